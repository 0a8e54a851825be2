#include "smtpd/recipients.h"

#include "common/text.h"
#include "mail/address.h"
#include "mail/punycode.h"
#include "smtpd/session.h"

enum { FIRST_RCPTS = 4 };

struct known_rcpt {
    struct table_entry entry;
    struct known_rcpt *before;
    size_t at; /* in `all` */
};

/* What "key=value" takes in an envelope; what is escaped there takes three bytes. */
static size_t encoded_bytes(const char *frame, struct view value)
{
    size_t bytes = view_of(frame).len;

    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        bytes += c <= ' ' || c >= 127 || c == '%' ? 3 : 1;
    }
    return bytes;
}

static size_t rcpt_bytes(const struct envelope_rcpt *r)
{
    size_t bytes = encoded_bytes("rcpt=\n", r->address);

    if (r->original.len > 0)
        bytes += encoded_bytes("orcpt=\n", r->original);
    if (r->notify != NOTIFY_UNSAID)
        bytes += view_of("notify=success,failure,delay,expanded\n").len;
    return bytes;
}

static bool has_room(struct transaction *t)
{
    struct recipients *to = &t->to;
    size_t room = to->room == 0 ? FIRST_RCPTS : to->room * 2;
    struct envelope_rcpt *all;

    if (to->count < to->room)
        return true;
    all = arena_alloc(&t->arena, room * sizeof(*all));
    if (all == NULL)
        return false;
    for (size_t i = 0; i < to->count; i++)
        all[i] = to->all[i];
    to->all = all;
    to->room = room;
    return true;
}

/* The table compares without case: only quotes, and letters beyond ASCII in a domain, make another
 * spelling of the same. */
static struct view key_of(struct view address, struct buf *room)
{
    char bytes[ADDRESS_MAX + 2];
    struct buf key = BUF_ON_ARRAY(bytes);
    struct address a;
    size_t at;

    if (address.len == 0 || (address.ptr[0] != '"' && text_is_ascii(address)))
        return address;
    if (!address_parse(address, true, &a) || !address_key(&a, &key))
        return address;
    at = view_find_last(buf_view(&key), '@') + 1;
    return buf_put(room, view_sub(buf_view(&key), 0, at)) &&
                   punycode_domain(view_from(buf_view(&key), at), room)
               ? buf_view(room)
               : address;
}

/* Then the sender hears of it if one of them asks for that. */
static bool is_there(struct recipients *to, struct view key, const struct envelope_rcpt *r)
{
    struct table_entry *e = to->newest == NULL ? NULL : table_find(&to->known, key);
    struct envelope_rcpt *first;

    if (e == NULL)
        return false;
    first = &to->all[container_of(e, struct known_rcpt, entry)->at];
    if (first->notify == NOTIFY_NEVER)
        first->notify = r->notify;
    return true;
}

/* `address` is a copy that lives as long as the transaction. */
static bool know(struct transaction *t, struct view key, struct view address)
{
    struct recipients *to = &t->to;
    struct known_rcpt *known = arena_alloc(&t->arena, sizeof(*known));

    if (known == NULL)
        return false;
    if (view_equal_nocase(key, address))
        key = address;
    else if (!arena_copy(&t->arena, key, &key))
        return false;
    if (to->newest == NULL)
        table_init(&to->known, true);
    known->at = to->count;
    known->before = to->newest;
    to->newest = known;
    table_add(&to->known, &known->entry, key);
    return true;
}

enum recipients_answer recipients_add(struct transaction *t, const struct envelope_rcpt *r,
                                      size_t most)
{
    char room[ADDRESS_MAX + 2];
    struct buf text = BUF_ON_ARRAY(room);
    struct view key = key_of(r->address, &text);
    struct recipients *to = &t->to;
    struct envelope_rcpt copy = *r;
    size_t bytes = rcpt_bytes(r);

    if (is_there(to, key, r))
        return RECIPIENTS_TAKEN;
    if (to->count >= most || to->bytes + bytes > SESSION_RCPTS_BYTES_MAX)
        return RECIPIENTS_TOO_MANY;
    if (!has_room(t) || !arena_copy(&t->arena, r->address, &copy.address) ||
        !know(t, key, copy.address))
        return RECIPIENTS_NO_ROOM;
    to->all[to->count++] = copy;
    to->bytes += bytes;
    return RECIPIENTS_TAKEN;
}

static void forget_until(struct recipients *to, const struct known_rcpt *last)
{
    while (to->newest != last) {
        table_remove(&to->known, &to->newest->entry);
        to->newest = to->newest->before;
    }
    if (to->newest == NULL)
        table_release(&to->known);
}

void recipients_forget(struct transaction *t)
{
    if (t->to.newest != NULL)
        forget_until(&t->to, NULL);
}

void recipients_set_apart(struct transaction *t)
{
    recipients_forget(t);
}

void recipients_unite(struct transaction *t)
{
    struct recipients *to = &t->to;
    size_t count = to->count;

    recipients_forget(t);
    to->count = to->bytes = 0;
    for (size_t i = 0; i < count; i++) {
        char room[ADDRESS_MAX + 2];
        struct buf text = BUF_ON_ARRAY(room);
        struct envelope_rcpt r = to->all[i];
        struct view key = key_of(r.address, &text);

        if (is_there(to, key, &r))
            continue;
        (void)!know(t, key, r.address); /* without memory it may stay twice */
        to->all[to->count++] = r;
        to->bytes += rcpt_bytes(&r);
    }
}

void recipients_mark(const struct transaction *t, struct recipients_mark *m)
{
    m->arena = arena_mark(&t->arena);
    m->recipients = t->to;
    m->screen = t->screen;
}

/* The table may have grown since: it stays, without what was added. */
void recipients_return(struct transaction *t, const struct recipients_mark *m)
{
    struct table known;

    if (t->to.newest != m->recipients.newest)
        forget_until(&t->to, m->recipients.newest);
    known = t->to.known;
    t->to = m->recipients;
    t->to.known = known;
    t->screen = m->screen;
    arena_return(&t->arena, m->arena);
}

void recipients_settle(struct transaction *t, const struct recipients_mark *m)
{
    if (t->to.count > m->recipients.count || t->screen.rcpt_count > m->screen.rcpt_count)
        return;
    t->screen.charges = m->screen.charges; /* none is left, but their room may be new */
    t->screen.rcpts = m->screen.rcpts;
    t->screen.rcpt_room = m->screen.rcpt_room;
    arena_return(&t->arena, m->arena);
}
