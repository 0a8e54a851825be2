#include "auth/dovecot_source.h"

#include "auth/sasl.h"
#include "common/memory.h"
#include "io/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    READ_MAX = 32768, /* bytes at once */
    WRITE_MAX = DOVECOT_LINE_MAX + 1024,
};

static struct dovecot_source *owner_of(struct source *s)
{
    return container_of(s, struct dovecot_source, source);
}

static struct loop *loop_of(const struct dovecot_source *s)
{
    return s->source.desk->loop;
}

/* ---- the connection ---- */

static void retry_later(struct dovecot_source *s)
{
    loop_start_timer(loop_of(s), &s->timer, s->retry_ms);
    s->retry_ms = MIN(s->retry_ms * 2, (uint64_t)DOVECOT_RETRY_LONGEST_MS);
}

/* What was asked there gets no answer any more. */
static void fail_all(struct dovecot_source *s)
{
    struct table_entry *entry;

    while ((entry = table_next(&s->requests, NULL)) != NULL)
        exchange_end(container_of(entry, struct exchange, number_entry), LOGIN_TEMPORARY,
                     VIEW_EMPTY, "the connection to Dovecot has ended");
}

static void disconnect(struct dovecot_source *s, const char *why)
{
    if (!s->complained)
        log_error("dovecot_unavailable", LOG_STRING("path", s->path), LOG_STRING("reason", why));
    s->complained = true;
    s->ready = false;
    desk_offer(s->source.desk, VIEW_EMPTY);
    if (s->watch.fd >= 0) {
        loop_unwatch(loop_of(s), &s->watch);
        close(s->watch.fd);
    }
    s->watch.fd = -1;
    free(s->unsent);
    s->unsent = NULL;
    s->unsent_len = 0;
    loop_stop_timer(loop_of(s), &s->timer);
    fail_all(s);
    retry_later(s);
}

static void watch(struct dovecot_source *s)
{
    if (loop_watch(loop_of(s), &s->watch,
                   WANT_READ | (s->unsent_len > 0 ? (unsigned)WANT_WRITE : 0)) < 0)
        disconnect(s, "out of resources");
}

/* Sends what waits. False: the connection is gone. */
static bool flush(struct dovecot_source *s)
{
    while (s->unsent_len > 0) {
        ssize_t n = send(s->watch.fd, s->unsent, s->unsent_len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            disconnect(s, strerror(errno));
            return false;
        }
        s->unsent_len -= (size_t)n;
        memmove(s->unsent, s->unsent + n, s->unsent_len);
    }
    watch(s);
    return s->watch.fd >= 0;
}

static void say(struct dovecot_source *s, struct view bytes)
{
    s->unsent = memory_grow(s->unsent, s->unsent_len + bytes.len, 1);
    memcpy(s->unsent + s->unsent_len, bytes.ptr, bytes.len);
    s->unsent_len += bytes.len;
    (void)flush(s);
}

static void connect_now(struct dovecot_source *s)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    char room[64];
    struct buf hello = BUF_ON_ARRAY(room);

    s->engine = (struct dovecot){ 0 };
    (void)snprintf(to.sun_path, sizeof(to.sun_path), "%s", s->path);
    s->watch.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->watch.fd < 0 || connect(s->watch.fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
        disconnect(s, strerror(errno));
        return;
    }
    loop_start_timer(loop_of(s), &s->timer, DOVECOT_HANDSHAKE_MS);
    if (dovecot_put_hello((uint32_t)getpid(), &hello))
        say(s, buf_view(&hello));
}

static void on_timer(struct timer *t)
{
    struct dovecot_source *s = container_of(t, struct dovecot_source, timer);

    if (s->watch.fd >= 0)
        disconnect(s, "it does not end its greeting");
    else
        connect_now(s);
}

/* ---- what Dovecot says ---- */

static void on_greeted(struct dovecot_source *s)
{
    s->ready = true;
    s->complained = false;
    s->retry_ms = DOVECOT_RETRY_FIRST_MS;
    loop_stop_timer(loop_of(s), &s->timer);
    desk_offer(s->source.desk, view_make(s->engine.mechanisms, s->engine.mechanisms_len));
    log_info("dovecot_connected", LOG_STRING("path", s->path),
             LOG_STRING("mechanisms", s->source.desk->mechanisms));
}

static void accept_user(struct exchange *e, struct view user)
{
    if (user.len > SASL_LOGIN_MAX)
        exchange_end(e, LOGIN_REFUSED, VIEW_EMPTY, "the user's name is too long");
    else
        exchange_end(e, LOGIN_OK, user, NULL);
}

static void take_event(struct dovecot_source *s, enum dovecot_event event)
{
    struct dovecot *d = &s->engine;
    struct table_entry *entry = table_find_number(&s->requests, d->id);
    struct exchange *e;

    if (entry == NULL) /* it was cancelled meanwhile */
        return;
    e = container_of(entry, struct exchange, number_entry);
    if (event == DOVECOT_CHALLENGE)
        exchange_challenge(e, d->bytes);
    /* Dovecot does not know of our counts: a login that has run out of tries hears the same,
     * whether it was right or wrong. */
    else if (d->user.len > 0 && exchange_blocked(e, d->user))
        return;
    else if (event == DOVECOT_OK)
        accept_user(e, d->user);
    else
        exchange_end(e, d->temporary ? LOGIN_TEMPORARY : LOGIN_REFUSED, d->user, d->why);
}

static void hear(struct dovecot_source *s, struct view input)
{
    enum dovecot_event event;

    while ((event = dovecot_hear(&s->engine, &input)) != DOVECOT_NOTHING) {
        if (event == DOVECOT_BROKEN) {
            disconnect(s, s->engine.why);
            return;
        }
        if (event == DOVECOT_READY)
            on_greeted(s);
        else
            take_event(s, event);
    }
}

static void on_ready(struct watch *w, unsigned what)
{
    struct dovecot_source *s = container_of(w, struct dovecot_source, watch);
    static char room[READ_MAX];
    ssize_t n;

    if ((what & WANT_WRITE) && !flush(s))
        return;
    n = recv(s->watch.fd, room, sizeof(room), MSG_DONTWAIT);
    if (n > 0)
        hear(s, view_make(room, (size_t)n));
    else if (n == 0)
        disconnect(s, "it has closed the connection");
    else if (errno != EAGAIN && errno != EINTR)
        disconnect(s, strerror(errno));
}

/* ---- exchanges ---- */

static bool is_offered(const struct desk *d, struct view mechanism)
{
    struct view rest = view_of(d->mechanisms);

    while (rest.len > 0) {
        if (view_equal_nocase(view_take_word(&rest), mechanism))
            return true;
    }
    return false;
}

static void on_begin(struct source *source, struct exchange *e, const struct message_login_begin *m)
{
    struct dovecot_source *s = owner_of(source);
    char room[WRITE_MAX], session[17];
    struct buf out = BUF_ON_ARRAY(room);
    struct dovecot_request r = { .id = ++s->last_number,
                                 .mechanism = m->mechanism,
                                 .client = e->client.family != 0 ? m->client : VIEW_EMPTY,
                                 .tls = m->tls.len > 0,
                                 .initial = m->initial,
                                 .response = m->response };

    if (!s->ready || s->unsent_len > DOVECOT_UNSENT_MAX) {
        exchange_end(e, LOGIN_TEMPORARY, VIEW_EMPTY, "there is no connection to Dovecot");
        return;
    }
    if (!is_offered(source->desk, m->mechanism)) {
        exchange_end(e, LOGIN_REFUSED, VIEW_EMPTY, "no such mechanism");
        return;
    }
    (void)snprintf(session, sizeof(session), "%016llx", (unsigned long long)m->session);
    r.session = view_of(session);
    if (m->response.len > DOVECOT_BYTES_MAX || !dovecot_put_request(&r, &out)) {
        exchange_end(e, LOGIN_REFUSED, VIEW_EMPTY, "the response is too long");
        return;
    }
    e->number = r.id;
    table_add_number(&s->requests, &e->number_entry, e->number);
    say(s, buf_view(&out));
    explicit_bzero(room, sizeof(room));
}

static void on_hear(struct source *source, struct exchange *e, struct view response)
{
    struct dovecot_source *s = owner_of(source);
    char room[WRITE_MAX];
    struct buf out = BUF_ON_ARRAY(room);

    if (response.len > DOVECOT_BYTES_MAX ||
        !dovecot_put_response((uint32_t)e->number, response, &out)) {
        exchange_end(e, LOGIN_REFUSED, VIEW_EMPTY, "the response is too long");
        return;
    }
    say(s, buf_view(&out));
    explicit_bzero(room, sizeof(room));
}

static void on_forget(struct source *source, struct exchange *e)
{
    struct dovecot_source *s = owner_of(source);
    char room[64];
    struct buf out = BUF_ON_ARRAY(room);

    if (e->number == 0)
        return;
    table_remove(&s->requests, &e->number_entry);
    /* It may have ended there: then Dovecot knows no such id, and does not mind. */
    if (s->ready && !e->ended && dovecot_put_cancel((uint32_t)e->number, &out))
        say(s, buf_view(&out));
    e->number = 0;
}

void dovecot_source_init(struct dovecot_source *s, const char *path)
{
    *s = (struct dovecot_source){
        .source = { .begin = on_begin, .hear = on_hear, .forget = on_forget },
        .path = path,
        .watch = { .fd = -1, .ready = on_ready },
        .timer.fire = on_timer,
        .retry_ms = DOVECOT_RETRY_FIRST_MS,
    };
    table_init(&s->requests, false);
}

void dovecot_source_start(struct dovecot_source *s)
{
    connect_now(s);
}
