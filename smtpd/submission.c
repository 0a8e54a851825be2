/* What is put right in mail that people and programs submit, and in no other (RFC 6409, 8):
 * addresses without a domain get one, in the envelope and in the header, and a message gets the
 * Date and Message-ID that it lacks. */
#include "mail/trace.h"
#include "smtpd/commands.h"

#include <inttypes.h>

enum { QUALIFIED_MAX = 200 }; /* addresses in a header that get a domain */

bool submission_is_here(const struct session *s)
{
    return s->rules->listener->role == LISTENER_SUBMISSION;
}

static struct view domain_of(const struct session *s)
{
    const struct listener_settings *l = s->rules->listener;

    return l->domain.len > 0 ? l->domain : view_of(s->rules->hostname);
}

void submission_qualify(const struct session *s, struct view *args)
{
    static char room[SESSION_LINE_MAX + ADDRESS_DOMAIN_MAX + 2];
    size_t end = view_find(*args, '>');
    struct view local = view_sub(*args, 1, end - 1), domain = domain_of(s);
    struct buf text = BUF_ON_ARRAY(room);

    if (!submission_is_here(s) || end >= args->len || args->ptr[0] != '<' || end < 2 ||
        view_has(local, '@') || view_has(local, '"'))
        return;
    if (buf_printf(&text, "<%.*s@%.*s%.*s", VIEW_ARG(local), VIEW_ARG(domain),
                   VIEW_ARG(view_from(*args, end))))
        *args = buf_view(&text);
}

/* In the header, or behind it if there is no body. */
static void put_missing(struct session *s)
{
    struct transaction *t = &s->transaction;
    char room[SUBMISSION_FIELDS_MAX];
    struct buf fields = BUF_ON_ARRAY(room);

    if (!t->completion.date) {
        buf_printf(&fields, "Date: ");
        (void)!trace_date(t->arrival_ms, &fields);
        buf_printf(&fields, "\r\n");
    }
    if (!t->completion.message_id)
        buf_printf(&fields, "Message-ID: <%" PRIx64 ".%s@%s>\r\n", t->arrival_ms, s->id_text,
                   s->rules->hostname);
    if (t->completion.no_blank)
        buf_printf(&fields, "\r\n");
    content_keep(s, buf_view(&fields));
}

size_t submission_growth(const struct session *s, size_t bytes)
{
    const struct transaction *t = &s->transaction;

    if (t->completion.ended)
        return COMPLETION_HELD_MAX;
    return COMPLETION_HELD_MAX + SUBMISSION_FIELDS_MAX + QUALIFY_HELD_MAX +
           MIN(QUALIFIED_MAX - t->qualified, bytes + 1) * (domain_of(s).len + 1);
}

/* "To: bob" becomes "To: bob@domain". `last`: the field has ended. */
static void qualify(struct session *s, struct view bytes, bool last)
{
    struct transaction *t = &s->transaction;
    enum qualify_step step;
    struct view piece;

    while ((step = qualify_next(&t->qualify, &bytes, last, &piece)) != QUALIFY_MORE) {
        if (step == QUALIFY_PIECE) {
            content_keep(s, piece);
        } else if (t->qualified < QUALIFIED_MAX) {
            t->qualified++;
            content_keep(s, VIEW("@"));
            content_keep(s, domain_of(s));
        }
    }
}

void submission_put(struct session *s, struct view bytes)
{
    struct transaction *t = &s->transaction;
    enum completion_step step;
    struct view piece;

    while ((step = completion_next(&t->completion, &bytes, &piece)) != COMPLETION_MORE) {
        if (step == COMPLETION_ADDRESSES) {
            qualify(s, piece, false);
            continue;
        }
        qualify(s, VIEW_EMPTY, true);
        if (step == COMPLETION_HERE)
            put_missing(s);
        else
            content_keep(s, piece);
    }
}

void submission_end(struct session *s)
{
    qualify(s, VIEW_EMPTY, true);
    if (!s->transaction.completion.ended)
        put_missing(s);
    s->transaction.completion.ended = true;
}
