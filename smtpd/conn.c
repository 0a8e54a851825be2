#include "smtpd/conn.h"

#include "common/memory.h"
#include "io/clock.h"
#include "io/log.h"
#include "io/stream.h"
#include "smtpd/admission.h"
#include "smtpd/external.h"
#include "smtpd/proxy.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READS_BEFORE_CLOSE = 8,
    CONTENT_GRACE_MS = 60000, /* before a message's rate is looked at */
    PAUSE_MOST_MS = 30000,    /* for the mistakes of one turn */
    SHED_AFTER_MS = 10000,    /* without a command, when strangers want the place */
    SHED_LOOKED_AT = 64,      /* idle connections, to find one that may go */
};

struct conn {
    struct list link;
    struct server *server;
    struct stream stream;
    struct watch watch;
    struct timer timer; /* fires at `due_ms` or before, and looks then */
    struct deferred free;
    struct spool_request request;
    struct login_request login;
    struct question name;       /* of the client */
    struct lists_check listed;  /* whether it is */
    int file;                   /* of the content; -1: none */
    struct net_address counted; /* as whose this connection counts */
    bool awaits_proxy;          /* its header comes first */
    bool awaits_greeting;       /* of whom has to be silent before it */
    struct timer pause;         /* runs until the greeting, or until late answers are sent */
    struct list idle;           /* in server.idle */
    uint64_t idle_since_ms, content_since_ms;
    bool shaking_hands, closed;
    bool asked; /* the queue, for what the session wishes */
    uint64_t started_ms;
    uint64_t due_ms;      /* something has to happen until then... */
    uint64_t deadline_ms; /* ...and the message, or the wait for one, must end until then */
    const char *reason;   /* why it is about to end; NULL: it is not, or the client wanted it */
    /* What a turn left over: input that cannot be used yet, and output the socket did not take.
     * Heap, and nothing while idle. */
    char *input;
    size_t input_len;
    char *output;
    size_t output_len, output_sent;
    struct session session;
};

static void advance(struct conn *c, struct view input);
static void go_on(struct conn *c);
static void ask_dns(struct conn *c);

/* ---- the end ---- */

static const char quit[] = "quit", lost[] = "lost";

static void free_conn(struct deferred *d)
{
    free(container_of(d, struct conn, free));
}

/* Accepted mail has its own event; a session without trouble is nothing to report. */
static void tell_close(const struct conn *c, const char *reason)
{
    const struct session *s = &c->session;
    bool quiet = s->errors == 0 && (reason == quit || reason == lost);

    LOG_AT(quiet ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "session_closed", LOG_ID("session", s->id),
           LOG_VIEW("listener", s->rules->listener->name), LOG_STRING("client", s->client_text),
           LOG_STRING(s->client_name != NULL ? "client_name" : NULL, s->client_name),
           LOG_VIEW(s->helo_len > 0 ? "helo" : NULL, view_make(s->helo, s->helo_len)),
           LOG_STRING("reason", reason), LOG_U64("messages", s->accepted_count),
           LOG_U64("errors", s->errors),
           LOG_U64("duration_ms", c->server->loop->now_ms - c->started_ms));
}

static void drop_file(struct conn *c)
{
    if (c->file >= 0)
        close(c->file);
    c->file = -1;
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

static void close_conn(struct conn *c, const char *reason)
{
    struct server *s = c->server;

    if (c->closed)
        return;
    c->closed = true;
    tell_close(c, c->reason != NULL ? c->reason : reason);
    spool_cancel(&s->spool, &c->request);
    asker_forget(&s->asker, &c->name);
    lists_forget(&c->listed);
    logins_cancel(&s->logins, &c->login);
    drop_file(c);
    loop_unwatch(s->loop, &c->watch);
    loop_stop_timer(s->loop, &c->timer);
    loop_stop_timer(s->loop, &c->pause);
    list_remove(&c->idle);
    read_away(c);
    stream_close(&c->stream);
    limits_give(&s->limits, &c->counted);
    session_release(&c->session);
    free(c->input);
    free(c->output);
    list_remove(&c->link);
    loop_defer(s->loop, &c->free);
    if (s->draining && list_empty(&s->conns))
        s->emptied(s);
}

/* ---- time ---- */

static bool in_content(const struct conn *c)
{
    return session_in_content(&c->session);
}

static bool awaits_queue(const struct conn *c)
{
    return c->session.wish == WISH_OPEN || c->session.wish == WISH_COMMIT;
}

static bool awaits_answer(const struct conn *c)
{
    return awaits_queue(c) || c->session.wish == WISH_AUTH;
}

static uint64_t patience_ms(const struct conn *c)
{
    if (c->awaits_proxy)
        return c->server->settings->timeouts.handshake;
    if (c->output_len > 0 && !awaits_answer(c))
        return c->server->settings->timeouts.command;
    return session_patience_ms(&c->session);
}

/* A stranger's message that comes too slowly ends here, however long it lives by single bytes. */
static uint64_t content_due_ms(const struct conn *c)
{
    uint64_t rate = c->server->settings->strangers.content_rate;

    if (!in_content(c) || c->session.trusted || rate == 0)
        return UINT64_MAX;
    return c->content_since_ms + CONTENT_GRACE_MS +
           c->session.transaction.receiver.bytes * 1000 / rate;
}

/* Something happened: the patience begins anew. The timer is left alone when it fires before
 * that: it looks at due_ms. So an exchange costs no work on the heap of timers. */
static void renew(struct conn *c)
{
    uint64_t now_ms = c->server->loop->now_ms, due_ms = now_ms + patience_ms(c);

    c->due_ms = awaits_queue(c) ? due_ms : MIN(MIN(due_ms, c->deadline_ms), content_due_ms(c));
    if (!timer_running(&c->timer) || c->timer.entry.key > c->due_ms)
        loop_start_timer(c->server->loop, &c->timer, c->due_ms > now_ms ? c->due_ms - now_ms : 0);
}

static void set_deadline(struct conn *c)
{
    const struct timeouts_settings *t = &c->server->settings->timeouts;

    c->content_since_ms = c->server->loop->now_ms;
    c->deadline_ms = c->server->loop->now_ms + (in_content(c) ? t->message : t->session);
}

static void refuse_proxy(struct conn *c, const char *why)
{
    log_warn("proxy_header_refused", LOG_ID("session", c->session.id),
             LOG_VIEW("listener", c->session.rules->listener->name),
             LOG_STRING("client", c->session.client_text), LOG_STRING("reason", why));
    close_conn(c, "no PROXY header");
}

static void on_timer(struct timer *t)
{
    struct conn *c = container_of(t, struct conn, timer);
    struct server *s = c->server;

    if (s->loop->now_ms < c->due_ms) {
        loop_start_timer(s->loop, t, c->due_ms - s->loop->now_ms);
        return;
    }
    if (c->session.wish == WISH_AUTH) {
        log_warn("auth_timed_out", LOG_ID("session", c->session.id));
        logins_cancel(&s->logins, &c->login);
        session_auth_ended(&c->session, LOGIN_TEMPORARY, VIEW_EMPTY);
        go_on(c);
        return;
    }
    if (awaits_queue(c)) {
        log_warn("queue_timed_out", LOG_ID("session", c->session.id));
        spool_cancel(&s->spool, &c->request);
        drop_file(c);
        session_spool_failed(&c->session, SPOOL_BROKEN);
        go_on(c);
        return;
    } else if (c->awaits_proxy) {
        refuse_proxy(c, "no header came in time");
        return;
    } else if (c->shaking_hands || c->output_len > 0) {
        close_conn(c, c->shaking_hands ? "handshake timed out" : "client reads no replies");
        return;
    } else {
        c->reason = in_content(c) ? "timed out within a message" : "timed out";
        session_time_out(&c->session);
    }
    advance(c, VIEW_EMPTY);
}

/* ---- what the session says ---- */

/* What to wait for after a stream's answer; 0: it is over. */
static unsigned want_of(long answer)
{
    if (answer == STREAM_WANT_READ)
        return WANT_READ;
    return answer == STREAM_WANT_WRITE ? WANT_WRITE : 0;
}

static void lose(struct conn *c)
{
    enum session_state state = c->session.state;

    if (state == SESSION_MAIL || state == SESSION_RCPT || in_content(c))
        close_conn(c, "lost within a transaction");
    else
        close_conn(c, lost);
}

static void watch(struct conn *c, unsigned wanted)
{
    if (loop_watch(c->server->loop, &c->watch, wanted) < 0)
        close_conn(c, "out of resources");
}

/* Sends from *bytes; false: the rest waits, or the connection is closed. */
static bool send_bytes(struct conn *c, struct view *bytes)
{
    while (bytes->len > 0) {
        long n = stream_write(&c->stream, bytes->ptr, bytes->len);

        if (n <= 0) {
            unsigned wanted = want_of(n);

            if (wanted == 0)
                lose(c);
            else
                watch(c, wanted);
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

/* ---- what the session wishes ---- */

static bool is_bindable(const struct conn *c)
{
    char room[TLS_BINDING_MAX];
    size_t len;

    tls_bind_exporter(c->stream.tls, room, &len);
    return len > 0;
}

static void shake_hands(struct conn *c)
{
    struct error why = { "" };
    int err = stream_handshake(&c->stream, &why);
    unsigned wanted = want_of(err);
    struct tls_facts facts;

    if (wanted != 0) {
        watch(c, wanted);
        return;
    }
    if (err < 0) {
        log_info("tls_failed", LOG_ID("session", c->session.id),
                 LOG_STRING("client", c->session.client_text), LOG_STRING("reason", why.text));
        close_conn(c, "handshake failed");
        return;
    }
    c->shaking_hands = false;
    tls_describe(c->stream.tls, &facts);
    c->session.bindable = is_bindable(c);
    c->session.external = external_login(c->server->settings, c->stream.tls).len > 0;
    session_tls_ready(&c->session, facts.text);
    renew(c);
    advance(c, VIEW_EMPTY);
}

/* A stranger who lets us wait: for a command, or for the next step of a handshake. */
static void list_if_idle(struct conn *c)
{
    if (c->session.trusted || in_content(c))
        return;
    c->idle_since_ms = c->server->loop->now_ms;
    list_append(&c->server->idle, &c->idle);
}

/* Plain text that came along would be taken for a command under TLS: dropped. */
static void start_tls(struct conn *c)
{
    free(c->input);
    c->input = NULL;
    c->input_len = 0;
    if (stream_accept_tls(&c->stream, c->server->tls, c->session.rules->listener->name) < 0) {
        close_conn(c, "out of resources");
        return;
    }
    c->shaking_hands = true;
    list_if_idle(c);
    renew(c);
    shake_hands(c);
}

/* 0 or a negative errno. */
static int write_file(int file, struct view bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(file, bytes.ptr, bytes.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ENOSPC;
        bytes = view_from(bytes, (size_t)n);
    }
    return 0;
}

/* Content that came goes to its file, if it has one. */
static void spill(struct conn *c)
{
    struct content *content = session_content(&c->session);

    int err;

    if (c->file < 0 || !content->filed)
        return;
    err = write_file(c->file, content_in_memory(content));
    if (err == 0) {
        content_spilled(content);
        return;
    }
    log_warn("content_not_written", LOG_ID("session", c->session.id), LOG_ERRNO("error", -err));
    spool_cancel(&c->server->spool, &c->request);
    drop_file(c);
    session_spool_failed(&c->session, err == -ENOSPC || err == -EDQUOT ? SPOOL_FULL : SPOOL_BROKEN);
}

/* A client that has hung up would send the message again: better not to have it. With more input
 * at hand it has only finished talking. */
static bool has_hung_up(const struct conn *c)
{
    char byte;
    ssize_t n;

    if (c->input_len > 0)
        return false;
    n = recv(c->stream.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

static void commit(struct conn *c)
{
    if (has_hung_up(c)) {
        log_info("message_abandoned", LOG_ID("session", c->session.id),
                 LOG_STRING("client", c->session.client_text),
                 LOG_VIEW("sender", c->session.transaction.sender));
        close_conn(c, "hung up before the answer");
        return;
    }
    c->asked = true;
    renew(c);
    spool_commit(&c->server->spool, &c->request);
}

static void open_file(struct conn *c)
{
    c->asked = true;
    renew(c);
    spool_open(&c->server->spool, &c->request);
}

static void begin_login(struct conn *c, const struct session_auth *a)
{
    char exporter[TLS_BINDING_MAX], unique[TLS_BINDING_MAX];
    size_t exporter_len = 0, unique_len = 0;
    struct message_login_begin m = {
        .session = c->session.id,
        .mechanism = view_of(a->mechanism),
        .client = view_of(c->session.client_text),
        .tls = view_of(c->session.tls),
        .initial = a->initial,
        .response = view_make(a->response, a->response_len),
    };

    if (c->stream.tls != NULL) {
        tls_bind_exporter(c->stream.tls, exporter, &exporter_len);
        tls_bind_unique(c->stream.tls, unique, &unique_len);
    }
    m.exporter = view_make(exporter, exporter_len);
    m.unique = view_make(unique, unique_len);
    if (!logins_begin(&c->server->logins, &c->login, &m)) {
        session_auth_ended(&c->session, LOGIN_TEMPORARY, VIEW_EMPTY);
        go_on(c);
    }
}

/* What has no authzid yet is asked for one. */
static void run_external(struct conn *c, const struct session_auth *a)
{
    struct view login = external_login(c->server->settings, c->stream.tls);
    struct view authzid = view_make(a->response, a->response_len);

    if (!a->begun && !a->initial)
        session_auth_challenged(&c->session, VIEW_EMPTY);
    else
        session_auth_ended(&c->session, external_decide(&c->session, login, authzid), login);
    go_on(c);
}

static void ask_auth(struct conn *c)
{
    const struct session_auth *a = session_auth(&c->session);

    c->asked = true;
    renew(c);
    if (view_equal_nocase(view_of(a->mechanism), VIEW("EXTERNAL")))
        run_external(c, a);
    else if (a->begun)
        logins_respond(&c->server->logins, &c->login, view_make(a->response, a->response_len));
    else
        begin_login(c, a);
}

/* What is wished, when it is new. While output waits, its watch is set already. */
static void fulfil(struct conn *c)
{
    bool sent = c->output_len == 0;

    if (session_auth(&c->session) == NULL)
        logins_cancel(&c->server->logins, &c->login); /* the client has, or has made a mistake */
    switch (session_wish(&c->session)) {
    case WISH_TLS:
        if (sent)
            start_tls(c);
        return;
    case WISH_AUTH:
        ask_auth(c);
        return;
    case WISH_OPEN:
        open_file(c);
        return;
    case WISH_COMMIT:
        commit(c);
        return;
    case WISH_CLOSE:
        if (sent)
            close_conn(c, c->session.quit ? quit : "ended by this server");
        return;
    case WISH_NOTHING:
        if (!sent)
            return;
        list_if_idle(c);
        watch(c, WANT_READ);
        return;
    }
}

/* The queue, or the auth process, has answered, or will not. */
static void go_on(struct conn *c)
{
    c->asked = false;
    if (!in_content(c))
        set_deadline(c);
    renew(c);
    advance(c, VIEW_EMPTY);
}

static void on_challenged(struct login_request *r, struct view bytes)
{
    struct conn *c = container_of(r, struct conn, login);

    session_auth_challenged(&c->session, bytes);
    go_on(c);
}

static void on_login_ended(struct login_request *r, enum login_result result, struct view login)
{
    struct conn *c = container_of(r, struct conn, login);

    session_auth_ended(&c->session, result, login);
    go_on(c);
}

static void on_opened(struct spool_request *r, int fd)
{
    struct conn *c = container_of(r, struct conn, request);

    c->file = fd;
    session_opened(&c->session);
    spill(c);
    go_on(c);
}

static void on_describe(struct spool_request *r, struct envelope *e, struct message_spool_commit *m)
{
    struct conn *c = container_of(r, struct conn, request);
    struct content *content = session_content(&c->session);

    session_envelope(&c->session, e);
    m->body_bytes = content_bytes(content);
    m->body_crc = content_crc(content);
    m->big = content->filed;
    m->body = content_in_memory(content);
}

static void on_committed(struct spool_request *r, uint64_t message)
{
    struct conn *c = container_of(r, struct conn, request);

    drop_file(c);
    session_committed(&c->session, message);
    go_on(c);
}

static void on_failed(struct spool_request *r, enum spool_trouble trouble)
{
    struct conn *c = container_of(r, struct conn, request);

    drop_file(c);
    session_spool_failed(&c->session, trouble);
    go_on(c);
}

/* ---- what the client says ---- */

/* `rest` may lie in c->input. */
static void keep_input(struct conn *c, struct view rest)
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
    return !c->closed && !c->shaking_hands && c->output_len == 0 &&
           session_wish(&c->session) == WISH_NOTHING &&
           (c->session.state == SESSION_NEW || !lists_pending(&c->listed));
}

/* A proxy has said who the client is. The connection counts as that one's, who may have too many.
 */
static void recount(struct conn *c)
{
    enum admission a = admission_take(c->server, c->session.rules, &c->session.client);

    if (a == ADMITTED) {
        limits_give(&c->server->limits, &c->counted);
        c->counted = c->session.client;
        asker_forget(&c->server->asker, &c->name);
        lists_forget(&c->listed);
        ask_dns(c);
        return;
    }
    log_info("connection_refused", LOG_STRING("client", c->session.client_text),
             LOG_STRING("reason", admission_reason(a)), LOG_U64("count", 1));
    c->reason = admission_reason(a);
    session_turn_away(&c->session, admission_reply(a));
}

/* A stranger who makes one mistake after the other waits for the answers. */
static void slow_down(struct conn *c, unsigned mistakes)
{
    const struct strangers_settings *s = &c->server->settings->strangers;

    if (c->session.trusted || s->slow_ms == 0 || c->session.errors <= s->slow_after)
        return;
    loop_unwatch(c->server->loop, &c->watch);
    loop_start_timer(c->server->loop, &c->pause,
                     MIN(mistakes * s->slow_ms, (uint64_t)PAUSE_MOST_MS));
}

/* One step of the engine. Time starts anew with each answer, and within a message with each
 * piece: a command that drips in has to be whole in time. */
static size_t feed(struct conn *c, struct view input)
{
    const struct net_address client = c->session.client;
    bool was_in_content = in_content(c);
    unsigned errors = c->session.errors;
    size_t used = session_feed(&c->session, input);

    if (c->session.errors > errors)
        slow_down(c, c->session.errors - errors);
    if (!net_equal(&client, &c->session.client))
        recount(c);
    spill(c);
    if (in_content(c) != was_in_content)
        set_deadline(c);
    if (buf_len(&c->server->out) > 0 || (used > 0 && was_in_content))
        renew(c);
    return used;
}

/* Feeds what there is, sends what is said, and looks at the wish: after everything that happens to
 * a connection. `input` came just now; with none, what was kept is used. */
static void advance(struct conn *c, struct view input)
{
    struct view rest = input.len > 0 ? input : view_make(c->input, c->input_len);
    size_t used;

    list_remove(&c->idle);
    if (c->asked && awaits_answer(c)) {
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
    keep_input(c, rest);
    fulfil(c);
}

static void receive(struct conn *c)
{
    struct server *s = c->server;
    long n;

    assert(c->input_len <=
           SESSION_AUTH_LINE_MAX); /* the engine takes whole lines, and all content */
    if (c->input_len > 0)
        memcpy(s->input, c->input, c->input_len);
    n = stream_read(&c->stream, s->input + c->input_len, SERVER_READ_MAX);
    if (n > 0)
        advance(c, view_make(s->input, c->input_len + (size_t)n));
    else if (want_of(n) == 0)
        lose(c);
    else
        watch(c, want_of(n));
}

/* ---- proxies ---- */

/* Takes the next `count` bytes off the socket, which were looked at before. */
static void drop_input(struct conn *c, size_t count)
{
    (void)!recv(c->stream.fd, c->server->input, count, MSG_DONTWAIT);
}

static void greet(struct conn *c)
{
    c->awaits_greeting = false;
    set_deadline(c);
    if (c->session.state != SESSION_CLOSED)
        session_greet(&c->session);
    renew(c);
    advance(c, VIEW_EMPTY);
}

/* The header of a proxy is over: what follows is the client's, perhaps a TLS handshake. */
static void begin_session(struct conn *c)
{
    uint64_t delay_ms = c->server->settings->strangers.greet_delay_ms;

    c->awaits_proxy = false;
    if (delay_ms == 0 || c->session.trusted || !c->session.rules->listener->strangers ||
        c->session.state == SESSION_CLOSED ||
        c->session.rules->listener->tls == LISTENER_TLS_IMPLICIT) {
        greet(c);
        return;
    }
    c->awaits_greeting = true;
    loop_stop_timer(c->server->loop, &c->timer);
    loop_start_timer(c->server->loop, &c->pause, delay_ms);
    watch(c, WANT_READ);
}

/* RFC 5321, 4.3.1: the client waits for the greeting. Programs that only want to get rid of their
 * mail do not. */
static void hear_too_early(struct conn *c)
{
    char byte;
    ssize_t n = recv(c->stream.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        lose(c);
        return;
    }
    log_info("early_talker", LOG_ID("session", c->session.id),
             LOG_VIEW("listener", c->session.rules->listener->name),
             LOG_STRING("client", c->session.client_text));
    (void)!conn_count_rate(&c->session, RATE_FAILURES);
    c->awaits_greeting = false;
    loop_stop_timer(c->server->loop, &c->pause);
    c->reason = "talked before the greeting";
    session_turn_away(&c->session, "You spoke before the greeting");
    set_deadline(c);
    renew(c);
    advance(c, VIEW_EMPTY);
}

static void on_pause_over(struct timer *t)
{
    struct conn *c = container_of(t, struct conn, pause);

    if (c->awaits_greeting) {
        greet(c);
        return;
    }
    renew(c);
    advance(c, VIEW_EMPTY);
}

/* Only looks at what came, since no byte behind the header may be taken. */
static void receive_proxy(struct conn *c)
{
    char *room = c->server->input;
    size_t kept = c->input_len;
    struct proxy_header header;
    struct view whole;
    ssize_t n;

    if (kept > 0)
        memcpy(room, c->input, kept);
    n = recv(c->stream.fd, room + kept, PROXY_HEADER_MAX - kept, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        lose(c);
        return;
    }
    whole = view_make(room, kept + (size_t)n);
    switch (proxy_read(whole, &header)) {
    case PROXY_MORE:
        keep_input(c, whole);
        drop_input(c, (size_t)n);
        return;
    case PROXY_INVALID:
        refuse_proxy(c, "what came is no header of the PROXY protocol");
        return;
    case PROXY_CLIENT:
        session_set_client(&c->session, &header.client);
        recount(c);
        break;
    case PROXY_ITSELF: /* whoever is behind it: the trust in the proxy is not theirs */
        session_set_client(&c->session, &(struct net_address){ 0 });
        break;
    }
    drop_input(c, header.bytes - kept);
    keep_input(c, VIEW_EMPTY);
    begin_session(c);
}

static void on_ready(struct watch *w, unsigned what)
{
    struct conn *c = container_of(w, struct conn, watch);

    (void)what;
    if (c->awaits_proxy) {
        receive_proxy(c);
    } else if (c->awaits_greeting) {
        hear_too_early(c);
    } else if (c->shaking_hands) {
        shake_hands(c);
    } else if (c->output_len > 0) {
        advance(c, VIEW_EMPTY);
    } else if (!can_feed(c)) {
        /* More input, or a hang-up, while the queue works: later. */
        loop_unwatch(c->server->loop, w);
    } else {
        receive(c);
        while (can_feed(c) && stream_has_pending(&c->stream))
            receive(c);
    }
}

/* Whoever may relay for his address has no rates; for a login there are its own. */
enum rates_verdict conn_count_rate(struct session *s, enum rate_kind kind)
{
    struct server *server = container_of(s, struct conn, session)->server;
    const struct rates_owner who = { .client = &s->client, .login = view_of(s->login) };

    if (s->trusted && s->login == NULL)
        return RATES_FINE;
    return rates_take(&server->rates, kind, &who, server->loop->now_ms);
}

bool conn_charge_rate(struct session *s, const struct rates_bucket *b, bool take)
{
    struct server *server = container_of(s, struct conn, session)->server;

    return take ? rates_bucket_take(&server->rates, b, server->loop->now_ms)
                : rates_bucket_look(&server->rates, b, server->loop->now_ms);
}

/* ---- beginning, and draining ---- */

static void on_named(struct question *q, const struct message_dns_answer *a)
{
    struct conn *c = container_of(q, struct conn, name);
    struct view rest = a->items;
    struct dns_item item;

    if (a->result != DNS_OK || !dns_items_take(&rest, DNS_NAME, &item))
        return;
    session_name_client(&c->session, item.host);
    log_debug("client_named", LOG_ID("session", c->session.id),
              LOG_STRING("client", c->session.client_text),
              LOG_STRING("client_name", c->session.client_name));
}

static void on_list_decided(struct lists_check *l, const struct list_settings *by,
                            const struct net_address *answer)
{
    struct conn *c = container_of(l, struct conn, listed);
    char room[NET_ADDRESS_TEXT_MAX];
    struct buf text = BUF_ON_ARRAY(room);

    if (by != NULL) {
        (void)net_print_address(answer, &text);
        log_info("client_listed", LOG_ID("session", c->session.id),
                 LOG_STRING("client", c->session.client_text), LOG_VIEW("list", by->zone),
                 LOG_VIEW("answer", buf_view(&text)));
        session_list_client(&c->session, by->zone);
    }
    if (!c->shaking_hands && !c->awaits_proxy && !c->awaits_greeting)
        advance(c, VIEW_EMPTY);
}

/* Nothing waits for the name: until it comes, and when there is none, it is unknown. Lists are
 * waited for before MAIL, and asked only where a stranger could send mail. */
static void ask_dns(struct conn *c)
{
    const struct session *s = &c->session;

    if (s->client.family == 0 || net_is_loopback(&s->client))
        return;
    if (s->client_name == NULL)
        asker_ask(&c->server->asker, &c->name, DNS_NAME, view_of(s->client_text));
    if (!s->trusted && s->rules->listener->strangers)
        lists_ask(&c->server->lists, &c->listed, &s->client);
}

struct net_address conn_counted(const struct session_rules *rules, const struct net_address *peer)
{
    const struct listener_settings *l = rules->listener;
    bool is_proxy = network_list_has(&l->proxy, peer) || network_list_has(&l->xclient, peer);

    return is_proxy ? (struct net_address){ 0 } : *peer;
}

void conn_start(struct server *s, const struct session_rules *rules, int fd,
                const struct net_address *peer)
{
    struct conn *c = memory_new(sizeof(*c));

    s->conn_count++;
    *c = (struct conn){
        .server = s,
        .watch = { .fd = fd, .ready = on_ready },
        .timer.fire = on_timer,
        .pause.fire = on_pause_over,
        .free.run = free_conn,
        .request = { .opened = on_opened,
                     .describe = on_describe,
                     .committed = on_committed,
                     .failed = on_failed },
        .name.answered = on_named,
        .listed.decided = on_list_decided,
        .login = { .challenged = on_challenged, .ended = on_login_ended },
        .file = -1,
        .counted = conn_counted(rules, peer),
        .awaits_proxy = network_list_has(&rules->listener->proxy, peer),
        .started_ms = s->loop->now_ms,
    };
    list_init(&c->idle);
    stream_init(&c->stream, fd);
    session_init(&c->session, rules, peer,
                 hash_bytes(view_make(&s->conn_count, sizeof(s->conn_count))), &s->out);
    list_append(&s->conns, &c->link);
    log_debug("session_opened", LOG_ID("session", c->session.id),
              LOG_VIEW("listener", rules->listener->name),
              LOG_STRING("client", c->session.client_text));
    if (c->awaits_proxy) {
        c->deadline_ms = s->loop->now_ms + s->settings->timeouts.handshake;
        renew(c);
        watch(c, WANT_READ);
        return;
    }
    ask_dns(c);
    begin_session(c);
}

/* For a stranger only who keeps still for long; for others also who has begun nothing yet. */
static bool may_go(const struct conn *c, bool for_stranger)
{
    bool long_idle = c->server->loop->now_ms - c->idle_since_ms >= SHED_AFTER_MS;

    return long_idle || (!for_stranger && c->session.state <= SESSION_READY);
}

bool server_make_room(struct server *s, bool for_stranger)
{
    unsigned looked_at = 0;

    list_each (link, &s->idle) {
        struct conn *c = container_of(link, struct conn, idle);

        if (looked_at++ == SHED_LOOKED_AT)
            break;
        if (!may_go(c, for_stranger))
            continue;
        c->reason = "made room for others";
        if (c->shaking_hands) {
            close_conn(c, c->reason);
        } else {
            session_turn_away(&c->session, "Others need this place, try again later");
            advance(c, VIEW_EMPTY);
        }
        return true;
    }
    return false;
}

static void drain_conn(struct conn *c, bool now)
{
    if (c->shaking_hands || c->awaits_proxy || c->awaits_greeting) {
        close_conn(c, "draining");
        return;
    }
    session_drain(&c->session, now);
    if (c->session.state == SESSION_CLOSED)
        c->reason = "draining";
    advance(c, VIEW_EMPTY);
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
        close_conn(c, "draining");
    }
}

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

void server_drain(struct server *s, bool stop)
{
    const struct timeouts_settings *t = &s->settings->timeouts;
    uint64_t patience_ms = stop ? t->drain : t->session;

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
