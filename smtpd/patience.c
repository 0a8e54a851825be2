#include "smtpd/patience.h"

#include "smtpd/arrival.h"
#include "smtpd/wishes.h"

enum {
    CONTENT_GRACE_MS = 60000, /* before a message's rate is looked at */
    PAUSE_MOST_MS = 30000,    /* for the mistakes of one turn */
};

static const struct listener_settings *listener_of(const struct conn *c)
{
    return c->session.rules->listener;
}

/* ---- what the client may take ---- */

static uint64_t patience_ms(const struct conn *c)
{
    if (c->stage == CONN_PROXY)
        return listener_of(c)->timeouts.handshake;
    if (c->output_len > 0 && !wishes_await_answer(c))
        return listener_of(c)->timeouts.command;
    return session_patience_ms(&c->session);
}

/* A stranger's message that comes too slowly ends here, however long it lives by single bytes. */
static uint64_t content_due_ms(const struct conn *c)
{
    uint64_t rate = listener_of(c)->manners.content_rate;

    if (!session_in_content(&c->session) || c->session.trusted || rate == 0)
        return UINT64_MAX;
    return c->content_since_ms + CONTENT_GRACE_MS +
           session_content_bytes(&c->session) * 1000 / rate;
}

/* The timer is left alone when it fires before that: it looks at due_ms. So an exchange costs no
 * work on the heap of timers. */
void patience_renew(struct conn *c)
{
    uint64_t now_ms = c->server->loop->now_ms, due_ms = now_ms + patience_ms(c);

    c->due_ms =
        wishes_await_queue(c) ? due_ms : MIN(MIN(due_ms, c->deadline_ms), content_due_ms(c));
    if (!timer_running(&c->timer) || c->timer.entry.key > c->due_ms)
        loop_start_timer(c->server->loop, &c->timer, c->due_ms > now_ms ? c->due_ms - now_ms : 0);
}

void patience_set_deadline(struct conn *c)
{
    const struct timeouts_settings *t = &listener_of(c)->timeouts;

    c->content_since_ms = c->server->loop->now_ms;
    c->deadline_ms = c->server->loop->now_ms;
    if (c->stage == CONN_PROXY)
        c->deadline_ms += t->handshake;
    else
        c->deadline_ms += session_in_content(&c->session) ? t->message : t->session;
}

static void on_timer(struct timer *t)
{
    struct conn *c = container_of(t, struct conn, timer);
    struct loop *l = c->server->loop;

    if (timer_running(&c->pause)) /* it waits for us: its time starts anew behind that */
        return;
    if (l->now_ms < c->due_ms) {
        loop_start_timer(l, t, c->due_ms - l->now_ms);
        return;
    }
    if (wishes_await_answer(c)) {
        wishes_time_out(c);
    } else if (c->stage == CONN_PROXY) {
        arrival_refuse_proxy(c, "no header came in time");
    } else if (c->stage == CONN_HANDSHAKE) {
        conn_close(c, "handshake timed out");
    } else if (c->output_len > 0) {
        conn_close(c, "client reads no replies");
    } else {
        c->reason = session_in_content(&c->session) ? "timed out within a message" : "timed out";
        session_time_out(&c->session);
        conn_advance(c, VIEW_EMPTY);
    }
}

/* ---- what it has to wait ---- */

void patience_pause(struct conn *c, uint64_t ms)
{
    loop_start_timer(c->server->loop, &c->pause, ms);
}

void patience_slow_down(struct conn *c, unsigned mistakes)
{
    const struct strangers_settings *s = &listener_of(c)->manners;

    if (c->session.trusted || s->slow_ms == 0 || c->session.errors <= s->slow_after)
        return;
    loop_unwatch(c->server->loop, &c->watch);
    patience_pause(c, MIN(mistakes * s->slow_ms, (uint64_t)PAUSE_MOST_MS));
}

static void on_pause_over(struct timer *t)
{
    struct conn *c = container_of(t, struct conn, pause);

    if (c->stage == CONN_GREETING) {
        arrival_greet(c);
        return;
    }
    patience_renew(c);
    conn_advance(c, VIEW_EMPTY);
}

void patience_init(struct conn *c)
{
    c->timer.fire = on_timer;
    c->pause.fire = on_pause_over;
}

void patience_end(struct conn *c)
{
    loop_stop_timer(c->server->loop, &c->timer);
    loop_stop_timer(c->server->loop, &c->pause);
}
