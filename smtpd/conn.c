#include "smtpd/conn.h"

#include "common/memory.h"
#include "io/clock.h"
#include "io/log.h"
#include "smtpd/arrival.h"
#include "smtpd/origin.h"
#include "smtpd/patience.h"
#include "smtpd/wishes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { READS_BEFORE_CLOSE = 8 };

/* ---- the end ---- */

static void free_conn(struct deferred *d)
{
    free(container_of(d, struct conn, free));
}

/* Accepted mail has its own event; a session without trouble is nothing to report. */
static void tell_close(const struct conn *c, const char *reason)
{
    const struct session *s = &c->session;
    bool quiet = s->errors == 0 && (strcmp(reason, "quit") == 0 || strcmp(reason, "lost") == 0);

    LOG_AT(quiet ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "session_closed", LOG_ID("session", s->id),
           LOG_VIEW("listener", s->rules->listener->name), LOG_STRING("client", s->client_text),
           LOG_STRING(s->client_name != NULL ? "client_name" : NULL, s->client_name),
           LOG_VIEW(s->helo_len > 0 ? "helo" : NULL, view_make(s->helo, s->helo_len)),
           LOG_STRING("reason", reason), LOG_U64("messages", s->accepted_count),
           LOG_U64("errors", s->errors),
           LOG_U64("duration_ms", c->server->loop->now_ms - c->started_ms));
}

/* Unread input would turn the close into a reset, which may overtake what we said. */
static void read_away(struct conn *c)
{
    struct server *s = c->server;

    for (int i = 0; i < READS_BEFORE_CLOSE; i++) {
        if (recv(c->stream.fd, s->input, sizeof(s->input), MSG_DONTWAIT) <= 0)
            return;
    }
}

void conn_close(struct conn *c, const char *reason)
{
    struct server *s = c->server;

    if (c->closed)
        return;
    c->closed = true;
    tell_close(c, c->reason != NULL ? c->reason : reason);
    wishes_release(c);
    origin_release(c);
    patience_end(c);
    loop_unwatch(s->loop, &c->watch);
    list_remove(&c->idle);
    read_away(c);
    stream_close(&c->stream);
    session_release(&c->session);
    free(c->input);
    free(c->output);
    list_remove(&c->link);
    loop_defer(s->loop, &c->free);
    if (s->draining && list_empty(&s->conns))
        s->emptied(s);
}

void conn_lose(struct conn *c)
{
    enum session_state state = c->session.state;

    if (state == SESSION_MAIL || state == SESSION_RCPT || session_in_content(&c->session))
        conn_close(c, "lost within a transaction");
    else
        conn_close(c, "lost");
}

/* ---- output ---- */

unsigned conn_want_of(long answer)
{
    if (answer == STREAM_WANT_READ)
        return WANT_READ;
    return answer == STREAM_WANT_WRITE ? WANT_WRITE : 0;
}

void conn_watch(struct conn *c, unsigned wanted)
{
    if (loop_watch(c->server->loop, &c->watch, wanted) < 0)
        conn_close(c, "out of resources");
}

/* A close with input unread drops what the kernel still holds back. A client that said QUIT has
 * nothing more to say; others may, and are to hear why it ends. */
static bool says_last(const struct conn *c)
{
    return c->session.quit && session_wish(&c->session) == WISH_CLOSE;
}

/* Sends from *bytes; false: the rest waits, or the connection is closed. */
static bool send_bytes(struct conn *c, struct view *bytes)
{
    long (*say)(struct stream *, const void *, size_t) =
        says_last(c) ? stream_write_last : stream_write;

    while (bytes->len > 0) {
        long n = say(&c->stream, bytes->ptr, bytes->len);

        if (n <= 0) {
            unsigned wanted = conn_want_of(n);

            if (wanted == 0)
                conn_lose(c);
            else
                conn_watch(c, wanted);
            return false;
        }
        *bytes = view_from(*bytes, (size_t)n);
    }
    return true;
}

static void keep_output(struct conn *c, struct view bytes)
{
    if (bytes.len == 0)
        return;
    c->output = memory_grow(c->output, c->output_len + bytes.len, 1);
    memcpy(c->output + c->output_len, bytes.ptr, bytes.len);
    c->output_len += bytes.len;
}

/* Everything that was said so far; false: some of it waits, or the connection is closed. */
static bool flush(struct conn *c)
{
    struct buf *out = &c->server->out;
    struct view kept = view_make(c->output, c->output_len);
    struct view rest = view_from(kept, c->output_sent), said = buf_view(out);
    bool sent = !timer_running(&c->pause) && send_bytes(c, &rest) && send_bytes(c, &said);

    if (c->closed) {
        buf_clear(out);
        return false;
    }
    c->output_sent = c->output_len - rest.len;
    keep_output(c, said);
    buf_clear(out);
    if (sent && c->output != NULL) {
        free(c->output);
        c->output = NULL;
        c->output_len = c->output_sent = 0;
    }
    return sent;
}

/* ---- input ---- */

void conn_keep_input(struct conn *c, struct view rest)
{
    char *kept = NULL;

    if (rest.len > 0) {
        kept = memory_new(rest.len);
        memcpy(kept, rest.ptr, rest.len);
    }
    free(c->input);
    c->input = kept;
    c->input_len = rest.len;
}

static bool can_feed(const struct conn *c)
{
    return !c->closed && c->stage == CONN_SESSION && c->output_len == 0 &&
           session_wish(&c->session) == WISH_NOTHING &&
           (c->session.state == SESSION_NEW || !lists_pending(&c->listed));
}

/* One step of the engine. Time starts anew with each answer, and within a message with each
 * piece: a command that drips in has to be whole in time. */
static size_t feed(struct conn *c, struct view input)
{
    unsigned client_count = c->session.client_count;
    bool was_in_content = session_in_content(&c->session);
    unsigned errors = c->session.errors;
    size_t used = session_feed(&c->session, input);

    if (c->session.errors > errors)
        patience_slow_down(c, c->session.errors - errors);
    if (c->session.client_count != client_count)
        origin_recount(c);
    wishes_spill(c);
    if (session_in_content(&c->session) != was_in_content)
        patience_set_deadline(c);
    if (buf_len(&c->server->out) > 0 || (used > 0 && was_in_content))
        patience_renew(c);
    return used;
}

void conn_advance(struct conn *c, struct view input)
{
    struct view rest = input.len > 0 ? input : view_make(c->input, c->input_len);
    size_t used;

    list_remove(&c->idle);
    if (c->asked && wishes_await_answer(c)) {
        (void)flush(c);
        return;
    }
    c->session.now_ms = clock_wall_ms();
    do {
        bool sent = flush(c);

        used = 0;
        if (sent && can_feed(c) && rest.len > 0)
            used = feed(c, rest);
        rest = view_from(rest, used);
    } while (used > 0 || (!c->closed && buf_len(&c->server->out) > 0));
    if (c->closed)
        return;
    conn_keep_input(c, rest);
    wishes_fulfil(c);
}

static void receive(struct conn *c)
{
    struct server *s = c->server;
    long n;

    /* The engine takes whole lines, and all content. */
    assert(c->input_len <= SESSION_AUTH_LINE_MAX);
    if (c->input_len > 0)
        memcpy(s->input, c->input, c->input_len);
    n = stream_read(&c->stream, s->input + c->input_len, SERVER_READ_MAX);
    if (n > 0)
        conn_advance(c, view_make(s->input, c->input_len + (size_t)n));
    else if (conn_want_of(n) == 0)
        conn_lose(c);
    else
        conn_watch(c, conn_want_of(n));
}

static void talk(struct conn *c)
{
    if (c->output_len > 0) {
        conn_advance(c, VIEW_EMPTY);
    } else if (!can_feed(c)) {
        /* More input, or a hang-up, while somebody is asked: later. */
        loop_unwatch(c->server->loop, &c->watch);
    } else {
        receive(c);
    }
}

static void on_ready(struct watch *w, unsigned what)
{
    struct conn *c = container_of(w, struct conn, watch);

    (void)what;
    switch (c->stage) {
    case CONN_PROXY:
        arrival_receive_proxy(c);
        return;
    case CONN_GREETING:
        arrival_hear_early(c);
        return;
    case CONN_HANDSHAKE:
        wishes_shake_hands(c);
        return;
    case CONN_SESSION:
        talk(c);
        return;
    }
}

/* What TLS has read ahead makes no socket readable. Each turn takes a piece of it, as of what comes
 * from the network, and leaves room for others. */
void conn_await_input(struct conn *c)
{
    conn_watch(c, WANT_READ);
    if (stream_has_pending(&c->stream))
        loop_defer(c->server->loop, &c->again);
}

static void on_again(struct deferred *d)
{
    struct conn *c = container_of(d, struct conn, again);

    if (!c->closed)
        on_ready(&c->watch, WANT_READ);
}

/* ---- beginning ---- */

void conn_start(struct server *s, const struct session_rules *rules, int fd,
                const struct net_address *peer)
{
    struct conn *c = memory_new(sizeof(*c));

    s->conn_count++;
    *c = (struct conn){
        .server = s,
        .stage = network_list_has(&rules->listener->proxy, peer) ? CONN_PROXY : CONN_SESSION,
        .watch = { .fd = fd, .ready = on_ready },
        .again.run = on_again,
        .free.run = free_conn,
        .started_ms = s->loop->now_ms,
    };
    list_init(&c->idle);
    stream_init(&c->stream, fd);
    session_init(&c->session, rules, peer,
                 hash_bytes(view_make(&s->conn_count, sizeof(s->conn_count))), &s->out);
    patience_init(c);
    origin_init(c, peer);
    wishes_init(c);
    list_append(&s->conns, &c->link);
    log_debug("session_opened", LOG_ID("session", c->session.id),
              LOG_VIEW("listener", rules->listener->name),
              LOG_STRING("client", c->session.client_text));
    arrival_begin(c);
}
