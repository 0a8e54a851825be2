#include "smtpd/server.h"

#include "io/log.h"
#include "smtpd/conn.h"

enum {
    SHED_AFTER_MS = 10000, /* without a command, when strangers want the place */
    SHED_LOOKED_AT = 64,   /* idle connections, to find one that may go */
};

/* ---- room for others ---- */

void server_note_idle(struct conn *c)
{
    if (c->session.trusted || session_in_content(&c->session))
        return;
    c->idle_since_ms = c->server->loop->now_ms;
    list_append(&c->server->idle, &c->idle);
}

/* For a stranger only who keeps still for long; for others also who has begun nothing yet. */
static bool may_go(const struct conn *c, bool for_stranger)
{
    bool long_idle = c->server->loop->now_ms - c->idle_since_ms >= SHED_AFTER_MS;

    return long_idle || (!for_stranger && c->session.state <= SESSION_READY);
}

bool server_make_room(struct server *s, const struct listener_settings *at, bool for_stranger)
{
    unsigned looked_at = 0;

    list_each (link, &s->idle) {
        struct conn *c = container_of(link, struct conn, idle);

        if (looked_at++ == SHED_LOOKED_AT)
            break;
        if ((at != NULL && c->session.rules->listener != at) || !may_go(c, for_stranger))
            continue;
        c->reason = "made room for others";
        if (c->stage == CONN_HANDSHAKE) {
            conn_close(c, c->reason);
        } else {
            session_turn_away(&c->session, "Others need this place, try again later");
            conn_advance(c, VIEW_EMPTY);
        }
        return true;
    }
    return false;
}

/* ---- draining ---- */

static void drain_conn(struct conn *c, bool now)
{
    if (c->stage != CONN_SESSION) {
        conn_close(c, "draining");
        return;
    }
    session_drain(&c->session, now);
    if (c->session.state == SESSION_CLOSED)
        c->reason = "draining";
    conn_advance(c, VIEW_EMPTY);
}

static void on_drain_timer(struct timer *t)
{
    struct server *s = container_of(t, struct server, drain_timer);

    if (!s->stopping) {
        server_drain(s, true);
        return;
    }
    list_each_safe (link, &s->conns) {
        struct conn *c = container_of(link, struct conn, link);

        drain_conn(c, true);
        conn_close(c, "draining");
    }
}

/* Nobody is sent away before the time that his listener gives him. */
static uint64_t longest_session_ms(const struct settings *settings)
{
    uint64_t longest_ms = 0;

    for (size_t i = 0; i < settings->listener_count; i++)
        longest_ms = MAX(longest_ms, settings->listeners[i].timeouts.session);
    return longest_ms;
}

void server_drain(struct server *s, bool stop)
{
    uint64_t patience_ms = stop ? s->settings->timeouts.drain : longest_session_ms(s->settings);

    if (s->stopping || (s->draining && !stop))
        return;
    s->draining = true;
    s->stopping = stop;
    log_info("draining", LOG_U64("timeout_ms", patience_ms));
    if (list_empty(&s->conns)) {
        s->emptied(s);
        return;
    }
    loop_start_timer(s->loop, &s->drain_timer, patience_ms);
    if (!stop)
        return;
    list_each_safe (link, &s->conns)
        drain_conn(container_of(link, struct conn, link), false);
}

/* ---- beginning ---- */

void server_init(struct server *s, struct loop *l, const struct settings *settings)
{
    s->loop = l;
    s->settings = settings;
    s->budget = (struct content_budget){
        .most = settings->limits.body_memory_bytes,
        .each_most = settings->spool.big_body_bytes,
    };
    s->addresses.most = settings->limits.address_memory_bytes;
    s->drain_timer.fire = on_drain_timer;
    s->out = BUF_ON_ARRAY(s->output);
    list_init(&s->conns);
    list_init(&s->idle);
    spool_init(&s->spool, l);
    asker_init(&s->asker, l, SMTPD);
    lists_init(&s->lists, l, &s->asker, &settings->strangers);
    logins_init(&s->logins, l);
}
