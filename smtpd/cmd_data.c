#include "mail/trace.h"
#include "smtpd/commands.h"

#include <stdio.h>

enum {
    TRACE_MAX = 2048,  /* bytes of the Received field */
    HELD_BACK_MAX = 8, /* bytes of a line end that the receiver gives out with the next piece */
};

/* data = "DATA" CRLF; RFC 5321, 4.1.1.4 */
struct step run_data(struct session *s, struct view args)
{
    (void)args;
    s->transaction.arrival_ms = s->now_ms;
    s->message_count++;
    snprintf(s->id_text, sizeof(s->id_text), "%016llx.%u", (unsigned long long)s->id,
             s->message_count);
    return step_accept(SESSION_CONTENT, 354, NULL, "End data with <CR><LF>.<CR><LF>");
}

/* RFC 5321, 4.4: on top of the content. */
static void put_trace(struct session *s)
{
    char room[TRACE_MAX];
    struct buf field = BUF_ON_ARRAY(room);
    struct envelope e;

    session_envelope(s, &e);
    if (s->rules->listener->hide_client) {
        e.client = VIEW_EMPTY;
        e.helo = VIEW("hidden.invalid"); /* there must be a name; this one is nobody's (RFC 6761) */
    }
    if (trace_received(&e, view_of(s->rules->hostname), &field))
        content_put(&s->transaction.content, buf_view(&field));
    s->transaction.traced = true;
}

/* The rest is read to its end, since what follows must never be taken for a command. */
static void give_up_content(struct transaction *t)
{
    t->too_large = true;
    content_clear(&t->content);
}

static bool is_wanted(const struct transaction *t)
{
    return !t->too_large && t->trouble == SPOOL_FINE;
}

static void keep_piece(struct session *s, struct view piece)
{
    struct transaction *t = &s->transaction;

    if (!t->header.ended)
        header_scan_feed(&t->header, piece);
    if (!is_wanted(t))
        return;
    if (t->receiver.bytes > s->rules->message_bytes)
        give_up_content(t);
    else
        content_put(&t->content, piece);
}

bool data_take(struct session *s, struct view *input)
{
    struct transaction *t = &s->transaction;
    size_t most = input->len + HELD_BACK_MAX + (t->traced ? 0 : TRACE_MAX);
    struct view piece;

    if (is_wanted(t) && !content_reserve(&t->content, most))
        return false;
    if (is_wanted(t) && !t->traced)
        put_trace(s);
    while (body_receive(&t->receiver, input, &piece))
        keep_piece(s, piece);
    return true;
}

struct step data_finish(struct session *s)
{
    const struct transaction *t = &s->transaction;
    struct step commit = { .next = SESSION_CONTENT, .wish = WISH_COMMIT };

    if (t->receiver.bare_cr || t->receiver.bare_lf)
        return step_accept(SESSION_READY, 550, "5.5.2", "Bare CR or LF in the message");
    if (t->too_large)
        return step_accept(SESSION_READY, 552, "5.3.4", "Message too large");
    if (t->header.received > s->rules->settings->limits.hops)
        return step_accept(SESSION_READY, 554, "5.4.6", "Too many hops: the mail goes in circles");
    if (t->trouble != SPOOL_FINE)
        return step_trouble(SESSION_READY, t->trouble);
    return commit;
}
