#include "delivery/conn.h"

#include "common/memory.h"
#include "delivery/conn_job.h"
#include "delivery/conn_tls.h"
#include "io/log.h"

#include <stdlib.h>

enum {
    INPUT_BYTES = 65536, /* read at once; replies are used up at once */
};

/* ---- talking ---- */

/* Where a route has a login, every message needs it, whether or not there is a secret by now. */
static void log_in(struct conn *c)
{
    static struct credential none;
    const struct route_settings *r = c->destination->route;
    struct credential *credential;

    if (r == NULL || r->auth_login.len == 0)
        return;
    credential = conn_worker(c)->credentials[r - conn_settings(c)->routes];
    client_log_in(&c->client, credential != NULL ? credential : &none, dial_target(&c->dial)->host,
                  dial_target(&c->dial)->port);
}

static void lose(struct conn *c, struct view words)
{
    client_lost(&c->client, words);
    conn_fail(c, client_why(&c->client));
}

static void hear_of_end(struct conn *c, struct view words)
{
    client_closed(&c->client, words);
    conn_fail(c, client_why(&c->client));
}

/* Reads what is there. False: the connection is not what it was. */
static bool listen_to(struct conn *c)
{
    static char room[INPUT_BYTES];
    struct client_verdict v;
    struct view input;
    long n;

    do {
        n = stream_read(&c->stream, room, sizeof(room));
        c->read_blocked = n == STREAM_WANT_WRITE;
        if (n == STREAM_WANT_READ || n == STREAM_WANT_WRITE)
            return true;
        if (n <= 0) {
            hear_of_end(c, n == 0 ? VIEW("the connection was closed") : dial_words((int)n));
            return false;
        }
        input = view_make(room, (size_t)n);
        while (client_hear(&c->client, &input, &v)) {
            if (!conn_decide(c, &v))
                return false;
        }
        if (client_wish(&c->client) == CLIENT_WISH_CLOSE)
            return true; /* nobody listens to what else it says, however much that is */
    } while ((size_t)n == sizeof(room) || stream_has_pending(&c->stream));
    return true;
}

/* A server that gives up says why, and does not read any more. */
static void fail_to_write(struct conn *c, int err)
{
    if (!listen_to(c))
        return;
    if (client_wish(&c->client) == CLIENT_WISH_CLOSE)
        conn_fail(c, client_why(&c->client));
    else
        hear_of_end(c, dial_words(err));
}

/* Writes `out`. False: the rest must wait, or the connection is not what it was. */
static bool flush(struct conn *c)
{
    struct buf *out = &c->client.out;

    c->write_blocked = false;
    while (buf_len(out) > 0) {
        struct view bytes = buf_view(out);
        long n = stream_write(&c->stream, bytes.ptr, bytes.len);

        if (n == STREAM_WANT_READ || n == STREAM_WANT_WRITE) {
            c->write_blocked = n == STREAM_WANT_WRITE;
            return false;
        }
        if (n < 0) {
            fail_to_write(c, (int)n);
            return false;
        }
        buf_consume(out, (size_t)n);
        c->wrote = true;
    }
    return true;
}

static void close_engine(struct conn *c)
{
    conn_say_goodbye(c);
    conn_fail(c, client_why(&c->client));
}

/* False: the connection is gone. */
static bool put_content(struct conn *c, enum job_content (*put)(struct job *, struct buf *))
{
    switch (put(c->job, &c->client.out)) {
    case JOB_CONTENT_MORE:
        break;
    case JOB_CONTENT_DONE:
        client_body_sent(&c->client);
        break;
    case JOB_CONTENT_DAMAGED:
        conn_spoil(c);
        return false;
    }
    return true;
}

/* ---- time ---- */

/* For the next step; but all steps up to the first message, and those of a message, have a deadline
 * together too, or a host that takes a byte now and then would keep the connection for ever. What
 * may be accepted is not broken off before the time for its reply is over as well: a chunk is said
 * before anything is heard. */
static uint64_t patience_ms(const struct conn *c)
{
    const struct timeouts_settings *t = &conn_settings(c)->timeouts;
    uint64_t step_ms = client_timeout_ms(&c->client, t);
    uint64_t now_ms = conn_loop(c)->now_ms;
    uint64_t end_ms = c->until_ms + (client_is_past_dot(&c->client) ? t->final : 0);

    if (c->job == NULL)
        return step_ms;
    return MIN(step_ms, end_ms > now_ms ? end_ms - now_ms : 1);
}

/* ---- TLS ---- */

static void handshake(struct conn *c)
{
    struct error err = { "" };
    int result = stream_handshake(&c->stream, &err);
    unsigned wanted = result == STREAM_WANT_WRITE ? WANT_WRITE : WANT_READ;

    if (result != 0 && result != STREAM_WANT_READ && result != STREAM_WANT_WRITE) {
        lose(c, view_of(err.text));
        return;
    }
    if (result != 0) {
        if (loop_watch(conn_loop(c), &c->watch, wanted) < 0)
            lose(c, VIEW("out of resources"));
        return;
    }
    conn_note_tls(c);
    c->state = CONN_TALKING;
    client_tls_ready(&c->client);
}

static void start_tls(struct conn *c)
{
    int err = conn_open_tls(c);

    if (err < 0) {
        lose(c, dial_words(err));
        return;
    }
    c->state = CONN_HANDSHAKING;
    loop_start_timer(conn_loop(c), &c->timer, patience_ms(c));
    handshake(c);
}

/* ---- driving ---- */

/* Watches for what comes next. The deadline moves with replies and with what was written, not with
 * single bytes of a reply. */
static void rest(struct conn *c)
{
    unsigned wanted = c->read_blocked ? 0u : WANT_READ;

    if (c->read_blocked || c->write_blocked)
        wanted |= WANT_WRITE;
    if (loop_watch(conn_loop(c), &c->watch, wanted) < 0) {
        lose(c, VIEW("out of resources"));
        return;
    }
    if (!c->wrote && c->heard == c->client.heard && timer_running(&c->timer))
        return;
    c->wrote = false;
    c->heard = c->client.heard;
    loop_start_timer(conn_loop(c), &c->timer, patience_ms(c));
}

/* Fulfils the engine's wish as far as it goes now. False: the connection is not what it was. */
static bool fulfil(struct conn *c)
{
    switch (client_wish(&c->client)) {
    case CLIENT_WISH_NOTHING:
        client_speak(&c->client);
        return true;
    case CLIENT_WISH_TLS:
        start_tls(c);
        return c->state == CONN_TALKING;
    case CLIENT_WISH_BODY:
        return put_content(c, job_put_content);
    case CLIENT_WISH_CHUNK:
        return put_content(c, job_put_chunk);
    case CLIENT_WISH_MESSAGE: /* a small one is said at once, with its commands */
        return conn_next_job(c) &&
               (client_wish(&c->client) != CLIENT_WISH_CHUNK || put_content(c, job_put_chunk));
    case CLIENT_WISH_CLOSE:
        close_engine(c);
        return false;
    }
    return false;
}

/* Does all that can be done without waiting. */
static void pump(struct conn *c)
{
    bool more;

    do {
        if (!fulfil(c))
            return;
        more = buf_len(&c->client.out) > 0 && flush(c);
    } while (more);
    if (c->state == CONN_TALKING)
        rest(c);
}

static void on_connected(struct dial *d, int fd)
{
    struct conn *c = container_of(d, struct conn, dial);

    stream_init(&c->stream, fd);
    c->watch.fd = fd;
    c->state = CONN_TALKING;
    c->started = c->resuming = c->read_blocked = c->elsewhere = false;
    c->messages = 0;
    c->domains.count = 0;
    c->until_ms = conn_loop(c)->now_ms + conn_settings(c)->timeouts.opening;
    c->tls_len = 0;
    c->policy = dial_tls_policy(d);
    client_init(&c->client, conn_settings(c)->hostname, c->policy, dial_target(d)->lmtp);
    c->client.own = d->route.mx ? conn_settings(c) : NULL;
    log_in(c);
    log_debug("connection_opened", LOG_VIEW("destination", c->destination->name),
              LOG_VIEW("host", dial_host(d)));
    pump(c);
}

static void on_ready(struct watch *w, unsigned what)
{
    struct conn *c = container_of(w, struct conn, watch);

    switch (c->state) {
    case CONN_HANDSHAKING:
        handshake(c);
        if (c->state == CONN_TALKING)
            pump(c);
        break;
    case CONN_TALKING:
        if (!(c->read_blocked || (what & WANT_READ)) || listen_to(c))
            pump(c);
        break;
    case CONN_DIALING:
    case CONN_CLOSED:
        break;
    }
}

static void on_timer(struct timer *t)
{
    struct conn *c = container_of(t, struct conn, timer);

    switch (c->state) {
    case CONN_HANDSHAKING:
    case CONN_TALKING:
        if (c->counted && c->job == NULL && client_wish(&c->client) == CLIENT_WISH_MESSAGE)
            conn_quit(c);
        else
            lose(c, VIEW("timed out"));
        break;
    case CONN_DIALING:
    case CONN_CLOSED:
        break;
    }
}

/* ---- beginning ---- */

static void on_deferred(struct deferred *d)
{
    struct conn *c = container_of(d, struct conn, deferred);

    if (c->state == CONN_CLOSED)
        free(c);
    else
        conn_start_over(c);
}

void conn_open(struct destination *d, struct job *j)
{
    struct conn *c = memory_new(sizeof(*c));

    list_init(&c->link);
    list_init(&c->idle_link);
    c->destination = d;
    c->job = j;
    j->conn = c;
    c->counted = true;
    dial_init(&c->dial, d, true);
    c->dial.connected = on_connected;
    c->dial.ended = conn_on_nothing_left;
    d->conn_count++;
    d->site->conn_count++;
    d->conn_total++;
    d->worker->conn_count++;
    c->stream.fd = -1;
    c->watch.ready = on_ready;
    c->timer.fire = on_timer;
    c->deferred.run = on_deferred;
    loop_defer(d->worker->loop, &c->deferred);
}

void conn_give(struct conn *c, struct job *j)
{
    list_remove(&c->link);
    list_remove(&c->idle_link);
    if (conn_start_job(c, j))
        pump(c);
}

void conn_quit(struct conn *c)
{
    conn_say_quit(c);
    pump(c);
}

bool conn_abandon(struct conn *c)
{
    if (c->state == CONN_TALKING && client_is_past_dot(&c->client))
        return true;
    conn_end_job(c);
    conn_end(c);
    return false;
}
