#include "smtpd/wishes.h"

#include "io/log.h"
#include "smtpd/external.h"
#include "smtpd/origin.h"
#include "smtpd/patience.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

bool wishes_await_queue(const struct conn *c)
{
    return c->session.wish == WISH_OPEN || c->session.wish == WISH_COMMIT;
}

bool wishes_await_answer(const struct conn *c)
{
    return wishes_await_queue(c) || c->session.wish == WISH_AUTH || c->session.wish == WISH_NAME;
}

void wishes_go_on(struct conn *c)
{
    c->asked = false;
    patience_renew(c);
    conn_advance(c, VIEW_EMPTY);
}

/* The wait for the next message has a deadline of its own. Answers to logins move none: they would
 * keep a session for ever. */
static void go_on_after_message(struct conn *c)
{
    if (!session_in_content(&c->session))
        patience_set_deadline(c);
    wishes_go_on(c);
}

/* ---- TLS ---- */

void wishes_shake_hands(struct conn *c)
{
    struct error why = { "" };
    int err = stream_handshake(&c->stream, &why);
    unsigned wanted = conn_want_of(err);
    struct tls_facts facts;

    if (wanted != 0) {
        conn_watch(c, wanted);
        return;
    }
    if (err < 0) {
        log_info("tls_failed", LOG_ID("session", c->session.id),
                 LOG_STRING("client", c->session.client_text), LOG_STRING("reason", why.text));
        conn_close(c, "handshake failed");
        return;
    }
    c->stage = CONN_SESSION;
    tls_describe(c->stream.tls, &facts);
    c->session.bindable = tls_is_bindable(c->stream.tls);
    c->session.external = external_login(c->server->settings, c->stream.tls).len > 0;
    session_tls_ready(&c->session, facts.text);
    patience_renew(c);
    conn_advance(c, VIEW_EMPTY);
}

/* Plain text that came along would be taken for a command under TLS: dropped. */
static void start_tls(struct conn *c)
{
    conn_keep_input(c, VIEW_EMPTY);
    if (stream_accept_tls(&c->stream, c->server->tls, c->session.rules->listener->name) < 0) {
        conn_close(c, "out of resources");
        return;
    }
    c->stage = CONN_HANDSHAKE;
    server_note_idle(c);
    patience_renew(c);
    wishes_shake_hands(c);
}

/* ---- a login ---- */

static void fail_login(struct conn *c)
{
    logins_cancel(&c->server->logins, &c->login);
    session_auth_ended(&c->session, LOGIN_TEMPORARY, VIEW_EMPTY);
}

static void begin_login(struct conn *c, const struct session_auth *a)
{
    char exporter[TLS_BINDING_MAX], unique[TLS_BINDING_MAX];
    size_t exporter_len = 0, unique_len = 0;
    struct message_login_begin m = {
        .session = c->session.id,
        .mechanism = view_of(a->mechanism),
        .listener = (uint32_t)(c->session.rules->listener - c->session.rules->settings->listeners),
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
        fail_login(c);
        wishes_go_on(c);
    }
}

/* One that is refused is a mistake as others are. */
static void end_login(struct conn *c, enum login_result result, struct view login)
{
    unsigned errors = c->session.errors;

    session_auth_ended(&c->session, result, login);
    if (c->session.errors > errors)
        patience_slow_down(c, 1);
    wishes_go_on(c);
}

/* What has no authzid yet is asked for one. */
static void run_external(struct conn *c, const struct session_auth *a)
{
    struct view login = external_login(c->server->settings, c->stream.tls);
    struct view authzid = view_make(a->response, a->response_len);

    if (a->begun || a->initial) {
        end_login(c, external_decide(&c->session, login, authzid), login);
        return;
    }
    session_auth_challenged(&c->session, VIEW_EMPTY);
    wishes_go_on(c);
}

static void ask_auth(struct conn *c)
{
    const struct session_auth *a = session_auth(&c->session);

    if (view_equal_nocase(view_of(a->mechanism), VIEW("EXTERNAL")))
        run_external(c, a);
    else if (a->begun)
        logins_respond(&c->server->logins, &c->login, view_make(a->response, a->response_len));
    else
        begin_login(c, a);
}

static void on_challenged(struct login_request *r, struct view bytes)
{
    struct conn *c = container_of(r, struct conn, login);

    session_auth_challenged(&c->session, bytes);
    wishes_go_on(c);
}

static void on_login_ended(struct login_request *r, enum login_result result, struct view login)
{
    end_login(container_of(r, struct conn, login), result, login);
}

/* ---- the queue ---- */

static void drop_file(struct conn *c)
{
    if (c->file >= 0)
        close(c->file);
    c->file = -1;
}

/* The queue forgets it, if it does not want it anyway. */
static void drop_message(struct conn *c)
{
    spool_cancel(&c->server->spool, &c->request);
    drop_file(c);
}

static void fail_message(struct conn *c, enum spool_trouble trouble)
{
    drop_message(c);
    session_spool_failed(&c->session, trouble);
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

void wishes_spill(struct conn *c)
{
    struct content *content = session_content(&c->session);
    int err;

    if (c->file < 0)
        return;
    if (!content->filed) { /* the message was refused: the next one has nothing to do with it */
        drop_message(c);
        return;
    }
    err = write_file(c->file, content_in_memory(content));
    if (err == 0) {
        content_spilled(content);
        return;
    }
    log_warn("content_not_written", LOG_ID("session", c->session.id), LOG_ERRNO("error", -err));
    fail_message(c, err == -ENOSPC || err == -EDQUOT ? SPOOL_FULL : SPOOL_BROKEN);
}

/* A client that has hung up would send the message again: better not to have it. With more input
 * at hand it has only finished talking. */
static bool has_hung_up(const struct conn *c)
{
    char byte;
    ssize_t n;

    if (c->input_len > 0 || stream_has_pending(&c->stream))
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
        conn_close(c, "hung up before the answer");
        return;
    }
    spool_commit(&c->server->spool, &c->request);
}

static void on_opened(struct spool_request *r, int fd)
{
    struct conn *c = container_of(r, struct conn, request);

    c->file = fd;
    session_opened(&c->session);
    wishes_spill(c);
    wishes_go_on(c);
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
    go_on_after_message(c);
}

static void on_failed(struct spool_request *r, enum spool_trouble trouble)
{
    struct conn *c = container_of(r, struct conn, request);

    fail_message(c, trouble);
    go_on_after_message(c);
}

/* ---- all of them ---- */

/* While output waits, its watch is set already. */
void wishes_fulfil(struct conn *c)
{
    bool sent = c->output_len == 0;

    if (session_auth(&c->session) == NULL)
        logins_cancel(&c->server->logins, &c->login); /* the client has, or has made a mistake */
    if (wishes_await_answer(c)) {
        c->asked = true;
        patience_renew(c);
    }
    switch (session_wish(&c->session)) {
    case WISH_TLS:
        if (sent)
            start_tls(c);
        return;
    case WISH_AUTH:
        ask_auth(c);
        return;
    case WISH_NAME: /* was asked for when the client came */
        return;
    case WISH_OPEN:
        spool_open(&c->server->spool, &c->request);
        return;
    case WISH_COMMIT:
        commit(c);
        return;
    case WISH_CLOSE:
        if (sent)
            conn_close(c, c->session.quit ? "quit" : "ended by this server");
        return;
    case WISH_NOTHING:
        if (!sent)
            return;
        server_note_idle(c);
        conn_await_input(c);
        return;
    }
}

void wishes_time_out(struct conn *c)
{
    if (c->session.wish == WISH_AUTH) {
        log_warn("auth_timed_out", LOG_ID("session", c->session.id));
        fail_login(c);
        wishes_go_on(c);
    } else if (c->session.wish == WISH_NAME) {
        origin_fail_name(c);
        wishes_go_on(c);
    } else {
        log_warn("queue_timed_out", LOG_ID("session", c->session.id));
        on_failed(&c->request, SPOOL_BROKEN);
    }
}

void wishes_init(struct conn *c)
{
    c->login = (struct login_request){ .challenged = on_challenged, .ended = on_login_ended };
    c->request = (struct spool_request){
        .opened = on_opened, .describe = on_describe, .committed = on_committed, .failed = on_failed
    };
    c->file = -1;
}

void wishes_release(struct conn *c)
{
    drop_message(c);
    logins_cancel(&c->server->logins, &c->login);
}
