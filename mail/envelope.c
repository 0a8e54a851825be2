#include "mail/envelope.h"

#include "mail/address.h"
#include "mail/fields.h"

/* The fields that are plain text and stand only when they have a value. */
static const struct {
    const char *key;
    size_t offset;
} texts[] = {
    { "client", offsetof(struct envelope, client) },
    { "client-name", offsetof(struct envelope, client_name) },
    { "helo", offsetof(struct envelope, helo) },
    { "protocol", offsetof(struct envelope, protocol) },
    { "tls", offsetof(struct envelope, tls) },
    { "session", offsetof(struct envelope, session) },
    { "listener", offsetof(struct envelope, listener) },
    { "login", offsetof(struct envelope, login) },
    { "tags", offsetof(struct envelope, tags) },
    { "route", offsetof(struct envelope, route) },
    { "hold", offsetof(struct envelope, hold) },
    { "message-id", offsetof(struct envelope, message_id) },
    { "envid", offsetof(struct envelope, envelope_id) },
};

static struct view *text_of(struct envelope *e, size_t i)
{
    return (struct view *)(void *)((char *)e + texts[i].offset);
}

static const struct view *const_text_of(const struct envelope *e, size_t i)
{
    return (const struct view *)(const void *)((const char *)e + texts[i].offset);
}

/* Words by their number; number 0 is what goes without saying. */
static const char *const yes_words[] = { "", "yes", NULL };
static const char *const body_words[] = { "", "8bit", NULL };
static const char *const return_words[] = { "", "full", "headers", NULL };
static const char *const by_words[] = { "", "notify", "return", NULL };
static const char *const priority_words[] = { "",   "1",  "2",  "3",  "4",  "5",  "6",
                                              "7",  "8",  "9",  "-1", "-2", "-3", "-4",
                                              "-5", "-6", "-7", "-8", "-9", NULL };

/* Everything that is a number or a choice of words. */
enum number {
    NUMBER_ARRIVAL,
    NUMBER_ACCEPTED,
    NUMBER_BODY,
    NUMBER_NOTICE,
    NUMBER_RETURN,
    NUMBER_UTF8,
    NUMBER_REQUIRE_TLS,
    NUMBER_PRIORITY,
    NUMBER_NOT_BEFORE,
    NUMBER_DELIVER_BY,
    NUMBER_BY,
    NUMBER_BY_TRACE,
    NUMBERS
};

static const struct {
    const char *key;
    const char *const *words; /* NULL: a number */
} number_fields[NUMBERS] = {
    [NUMBER_ARRIVAL] = { "arrival", NULL },
    [NUMBER_ACCEPTED] = { "accepted", NULL },
    [NUMBER_BODY] = { "body", body_words },
    [NUMBER_NOTICE] = { "notice", yes_words },
    [NUMBER_RETURN] = { "ret", return_words },
    [NUMBER_UTF8] = { "smtputf8", yes_words },
    [NUMBER_REQUIRE_TLS] = { "requiretls", yes_words },
    [NUMBER_PRIORITY] = { "priority", priority_words },
    [NUMBER_NOT_BEFORE] = { "not-before", NULL },
    [NUMBER_DELIVER_BY] = { "deliver-by", NULL },
    [NUMBER_BY] = { "by", by_words },
    [NUMBER_BY_TRACE] = { "by-trace", yes_words },
};

static void numbers_of(const struct envelope *e, uint64_t numbers[NUMBERS])
{
    int priority = e->priority >= 0 ? e->priority : PRIORITY_MOST - e->priority;

    numbers[NUMBER_ARRIVAL] = e->arrival_ms;
    numbers[NUMBER_ACCEPTED] = e->accepted_ms;
    numbers[NUMBER_BODY] = e->body_8bit;
    numbers[NUMBER_NOTICE] = e->notice;
    numbers[NUMBER_RETURN] = e->returns;
    numbers[NUMBER_UTF8] = e->utf8;
    numbers[NUMBER_REQUIRE_TLS] = e->require_tls;
    numbers[NUMBER_PRIORITY] = (uint64_t)priority;
    numbers[NUMBER_NOT_BEFORE] = e->not_before_ms;
    numbers[NUMBER_DELIVER_BY] = e->deliver_by_ms;
    numbers[NUMBER_BY] = e->by;
    numbers[NUMBER_BY_TRACE] = e->by_trace;
}

static void take_numbers(struct envelope *e, const uint64_t numbers[NUMBERS])
{
    int priority = (int)numbers[NUMBER_PRIORITY];

    e->arrival_ms = numbers[NUMBER_ARRIVAL];
    e->accepted_ms = numbers[NUMBER_ACCEPTED];
    e->body_8bit = numbers[NUMBER_BODY] != 0;
    e->notice = numbers[NUMBER_NOTICE] != 0;
    e->returns = (enum envelope_return)numbers[NUMBER_RETURN];
    e->utf8 = numbers[NUMBER_UTF8] != 0;
    e->require_tls = numbers[NUMBER_REQUIRE_TLS] != 0;
    e->priority = priority <= PRIORITY_MOST ? priority : PRIORITY_MOST - priority;
    e->not_before_ms = numbers[NUMBER_NOT_BEFORE];
    e->deliver_by_ms = numbers[NUMBER_DELIVER_BY];
    e->by = (enum deliver_by)numbers[NUMBER_BY];
    e->by_trace = numbers[NUMBER_BY_TRACE] != 0;
}

static const struct {
    struct view word;
    unsigned bit;
} notify_words[] = {
    { VIEW_INIT("never"), NOTIFY_NEVER },       { VIEW_INIT("success"), NOTIFY_SUCCESS },
    { VIEW_INIT("failure"), NOTIFY_FAILURE },   { VIEW_INIT("delay"), NOTIFY_DELAY },
    { VIEW_INIT("expanded"), NOTIFY_EXPANDED },
};

static bool put_notify(unsigned notify, struct buf *out)
{
    const char *between = "notify=";

    for (size_t i = 0; i < COUNT_OF(notify_words); i++) {
        if ((notify & notify_words[i].bit) == 0)
            continue;
        if (!buf_printf(out, "%s%.*s", between, VIEW_ARG(notify_words[i].word)))
            return false;
        between = ",";
    }
    return notify == NOTIFY_UNSAID || buf_put_byte(out, '\n');
}

static bool put_rcpt(const struct envelope_rcpt *r, struct buf *out)
{
    return fields_put(out, "rcpt", r->address) &&
           (r->original.len == 0 || fields_put(out, "orcpt", r->original)) &&
           put_notify(r->notify, out);
}

static bool put_number(enum number n, uint64_t value, struct buf *out)
{
    const char *const *words = number_fields[n].words;

    if (value == 0 && n != NUMBER_ARRIVAL)
        return true;
    if (words == NULL)
        return fields_put_u64(out, number_fields[n].key, value);
    return fields_put(out, number_fields[n].key, view_of(words[value]));
}

static bool put_all(const struct envelope *e, struct buf *out)
{
    uint64_t numbers[NUMBERS];

    if (!fields_put(out, "from", e->sender))
        return false;
    for (size_t i = 0; i < e->rcpt_count; i++) {
        if (!put_rcpt(&e->rcpts[i], out))
            return false;
    }
    numbers_of(e, numbers);
    for (enum number n = 0; n < NUMBERS; n++) {
        if (!put_number(n, numbers[n], out))
            return false;
    }
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        const struct view *text = const_text_of(e, i);

        if (text->len > 0 && !fields_put(out, texts[i].key, *text))
            return false;
    }
    return true;
}

bool envelope_encode(const struct envelope *e, struct buf *out)
{
    size_t mark = buf_len(out);

    if (put_all(e, out))
        return true;
    buf_truncate(out, mark);
    return false;
}

/* How many recipients the lines may hold at most. */
static size_t count_rcpts(struct view bytes)
{
    size_t count = 0;

    while (bytes.len > 0) {
        if (view_starts(bytes, VIEW("rcpt=")))
            count++;
        (void)view_take_until(&bytes, '\n');
    }
    return count;
}

/* An envelope that is being read. */
struct reading {
    struct envelope *e;
    struct envelope_rcpt *rcpts;
    uint64_t numbers[NUMBERS];
    unsigned seen; /* a bit for each key of the message; a second line with it is a mistake */
};
enum { SEEN_FROM = NUMBERS, SEEN_TEXTS };
_Static_assert(SEEN_TEXTS + COUNT_OF(texts) <= 32, "one bit for each key");

static bool see(struct reading *r, unsigned bit)
{
    bool first = (r->seen & 1u << bit) == 0;

    r->seen |= 1u << bit;
    return first;
}

static bool read_words(const char *const *words, struct view value, uint64_t *number)
{
    for (*number = 1; words[*number] != NULL; ++*number) {
        if (view_equal(value, view_of(words[*number])))
            return true;
    }
    return false;
}

static bool read_notify(struct view value, unsigned *notify)
{
    if (*notify != NOTIFY_UNSAID)
        return false;
    do {
        struct view word = view_take_until(&value, ',');
        size_t i = 0;

        while (i < COUNT_OF(notify_words) && !view_equal(notify_words[i].word, word))
            i++;
        if (i == COUNT_OF(notify_words))
            return false;
        *notify |= notify_words[i].bit;
    } while (value.len > 0);
    return (*notify & ~(unsigned)NOTIFY_EXPANDED) == NOTIFY_NEVER || (*notify & NOTIFY_NEVER) == 0;
}

/* What belongs to the recipient that was read last. */
static bool read_of_rcpt(struct reading *r, struct view key, struct view value)
{
    struct envelope_rcpt *rcpt;

    if (r->e->rcpt_count == 0)
        return false;
    rcpt = &r->rcpts[r->e->rcpt_count - 1];
    if (view_equal(key, VIEW("notify")))
        return read_notify(value, &rcpt->notify);
    if (rcpt->original.len > 0 || value.len == 0)
        return false;
    rcpt->original = value;
    return true;
}

static bool read_rcpt(struct reading *r, struct view value)
{
    struct address unused;

    r->rcpts[r->e->rcpt_count++] = (struct envelope_rcpt){ .address = value };
    return address_parse(value, true, &unused);
}

static bool read_sender(struct reading *r, struct view value)
{
    struct address unused;

    r->e->sender = value;
    return see(r, SEEN_FROM) && (value.len == 0 || address_parse(value, true, &unused));
}

static bool read_field(struct reading *r, struct view key, struct view value)
{
    if (view_equal(key, VIEW("rcpt")))
        return read_rcpt(r, value);
    if (view_equal(key, VIEW("orcpt")) || view_equal(key, VIEW("notify")))
        return read_of_rcpt(r, key, value);
    if (view_equal(key, VIEW("from")))
        return read_sender(r, value);
    for (enum number n = 0; n < NUMBERS; n++) {
        const char *const *words = number_fields[n].words;

        if (view_equal(key, view_of(number_fields[n].key)))
            return see(r, n) && (words != NULL ? read_words(words, value, &r->numbers[n])
                                               : view_to_u64(value, UINT64_MAX, &r->numbers[n]));
    }
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        if (view_equal(key, view_of(texts[i].key))) {
            *text_of(r->e, i) = value;
            return see(r, SEEN_TEXTS + (unsigned)i);
        }
    }
    return true;
}

bool envelope_decode(struct view bytes, struct arena *arena, struct envelope *out)
{
    size_t count = count_rcpts(bytes);
    struct reading r = { .e = out };
    enum fields_result result;
    struct view key, value;

    *out = (struct envelope){ .rcpt_count = 0 };
    if (count == 0 || count > ENVELOPE_RCPTS_MAX)
        return false;
    r.rcpts = arena_alloc(arena, count * sizeof(*r.rcpts));
    if (r.rcpts == NULL)
        return false;
    out->rcpts = r.rcpts;
    while ((result = fields_take(&bytes, arena, &key, &value)) == FIELDS_NEXT) {
        if (!read_field(&r, key, value))
            return false;
    }
    take_numbers(out, r.numbers);
    return result == FIELDS_END && (r.seen & 1u << SEEN_FROM) != 0 &&
           (r.seen & 1u << NUMBER_ARRIVAL) != 0;
}
