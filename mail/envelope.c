#include "mail/envelope.h"

#include "mail/address.h"
#include "mail/fields.h"

/* The fields that are plain text and stand only when they have a value. */
static const struct {
    const char *key;
    size_t offset;
} texts[] = {
    { "client", offsetof(struct envelope, client) },
    { "helo", offsetof(struct envelope, helo) },
    { "protocol", offsetof(struct envelope, protocol) },
    { "tls", offsetof(struct envelope, tls) },
    { "session", offsetof(struct envelope, session) },
};

static struct view *text_of(struct envelope *e, size_t i)
{
    return (struct view *)(void *)((char *)e + texts[i].offset);
}

static const struct view *const_text_of(const struct envelope *e, size_t i)
{
    return (const struct view *)(const void *)((const char *)e + texts[i].offset);
}

static bool put_all(const struct envelope *e, struct buf *out)
{
    if (!fields_put(out, "from", e->sender))
        return false;
    for (size_t i = 0; i < e->rcpt_count; i++) {
        if (!fields_put(out, "rcpt", e->rcpts[i].address))
            return false;
    }
    if (!fields_put_u64(out, "arrival", e->arrival_ms))
        return false;
    if (e->body_8bit && !fields_put(out, "body", VIEW("8bit")))
        return false;
    if (e->notice && !fields_put(out, "notice", VIEW("yes")))
        return false;
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

/* One bit for each key that was seen; a second line with the same key is a mistake. */
enum { SEEN_FROM = 1, SEEN_ARRIVAL = 2, SEEN_BODY = 4, SEEN_NOTICE = 8, SEEN_TEXTS = 16 };

static bool see(unsigned *seen, unsigned bit)
{
    bool first = (*seen & bit) == 0;

    *seen |= bit;
    return first;
}

static bool read_text(struct envelope *e, unsigned *seen, struct view key, struct view value)
{
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        if (view_equal(key, view_of(texts[i].key))) {
            *text_of(e, i) = value;
            return see(seen, (unsigned)SEEN_TEXTS << i);
        }
    }
    return true;
}

static bool read_rcpt(struct envelope *e, struct envelope_rcpt *rcpts, struct view value)
{
    struct address unused;

    rcpts[e->rcpt_count++].address = value;
    return address_parse(value, true, &unused);
}

static bool read_sender(struct envelope *e, unsigned *seen, struct view value)
{
    struct address unused;

    e->sender = value;
    return see(seen, SEEN_FROM) && (value.len == 0 || address_parse(value, true, &unused));
}

static bool read_field(struct envelope *e, struct envelope_rcpt *rcpts, unsigned *seen,
                       struct view key, struct view value)
{
    if (view_equal(key, VIEW("rcpt")))
        return read_rcpt(e, rcpts, value);
    if (view_equal(key, VIEW("from")))
        return read_sender(e, seen, value);
    if (view_equal(key, VIEW("arrival")))
        return see(seen, SEEN_ARRIVAL) && view_to_u64(value, UINT64_MAX, &e->arrival_ms);
    if (view_equal(key, VIEW("body"))) {
        e->body_8bit = true;
        return see(seen, SEEN_BODY) && view_equal(value, VIEW("8bit"));
    }
    if (view_equal(key, VIEW("notice"))) {
        e->notice = true;
        return see(seen, SEEN_NOTICE) && view_equal(value, VIEW("yes"));
    }
    return read_text(e, seen, key, value);
}

bool envelope_decode(struct view bytes, struct arena *arena, struct envelope *out)
{
    size_t count = count_rcpts(bytes);
    enum fields_result result;
    struct envelope_rcpt *rcpts;
    struct view key, value;
    unsigned seen = 0;

    *out = (struct envelope){ .rcpt_count = 0 };
    if (count == 0 || count > ENVELOPE_RCPTS_MAX)
        return false;
    rcpts = arena_alloc(arena, count * sizeof(*rcpts));
    if (rcpts == NULL)
        return false;
    out->rcpts = rcpts;
    while ((result = fields_take(&bytes, arena, &key, &value)) == FIELDS_NEXT) {
        if (!read_field(out, rcpts, &seen, key, value))
            return false;
    }
    return result == FIELDS_END && (seen & SEEN_FROM) != 0 && (seen & SEEN_ARRIVAL) != 0;
}
