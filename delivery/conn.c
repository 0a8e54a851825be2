#include "delivery/conn.h"

#include "common/memory.h"
#include "delivery/conn_tls.h"
#include "io/log.h"

#include <assert.h>
#include <stdlib.h>

enum {
    INPUT_BYTES = 65536, /* read at once; replies are used up at once */
};

static struct worker *worker_of(const struct conn *c)
{
    return c->destination->worker;
}

static const struct settings *settings_of(const struct conn *c)
{
    return worker_of(c)->settings;
}

static struct loop *loop_of(const struct conn *c)
{
    return worker_of(c)->loop;
}

/* ---- ends ---- */

/* From now on the connection takes no jobs; until it is closed, none comes in its place. */
static void leave(struct conn *c)
{
    list_remove(&c->link);
    list_remove(&c->idle_link);
    if (!c->counted)
        return;
    c->counted = false;
    c->destination->conn_count--;
    c->destination->site->conn_count--;
    c->destination->site->leaving_count++;
    worker_of(c)->conn_count--;
}

static void close_stream(struct conn *c)
{
    if (c->stream.fd < 0)
        return;
    loop_unwatch(loop_of(c), &c->watch);
    loop_stop_timer(loop_of(c), &c->timer);
    stream_close(&c->stream);
    client_release(&c->client);
    log_debug("connection_closed", LOG_VIEW("destination", c->destination->name),
              LOG_VIEW("host", dial_host(&c->dial)), LOG_U64("messages", c->messages));
}

static void end(struct conn *c)
{
    close_stream(c);
    dial_stop(&c->dial);
    c->state = CONN_CLOSED;
    leave(c);
    loop_defer(loop_of(c), &c->deferred);
    c->destination->site->leaving_count--;
    c->destination->conn_total--;
    destination_lose_conn(c->destination);
}

/* The hosts are not to blame, or not for all their domains, when they are not those that the queue
 * knew, or when only this message or the route of this domain finds fault with their TLS. */
static enum outcome_scope scope_of(const struct conn *c, const struct outcome *o)
{
    bool shared = c->destination->mail_hosts.len > 0;

    if (o->scope != SCOPE_DESTINATION)
        return o->scope;
    if (conn_lacks_tls(c, o) && c->policy.onward)
        return SCOPE_MESSAGE;
    return c->dial.alone || (shared && conn_lacks_tls(c, o)) ? SCOPE_DOMAIN : SCOPE_DESTINATION;
}

/* What the engine and the route cannot know. */
static struct outcome complete(const struct conn *c, const struct outcome *o)
{
    struct outcome whole = *o;

    whole.host = dial_host(&c->dial);
    whole.tls = view_make(c->tls, c->tls_len);
    whole.dsn = whole.class == OUTCOME_DELIVERED && c->client.ext.dsn;
    whole.final = whole.class == OUTCOME_DELIVERED && dial_target(&c->dial)->lmtp;
    whole.scope = scope_of(c, o);
    return whole;
}

static void end_job(struct conn *c)
{
    struct job *j = c->job;

    c->job = NULL;
    worker_end_job(worker_of(c), j);
}

/* What is left of it goes by another connection. */
static void give_back_job(struct conn *c)
{
    struct job *j = c->job;

    c->job = NULL;
    destination_take_back(c->destination, j);
}

static void decide_rest(struct conn *c, const struct outcome *o)
{
    job_decide_rest(c->job, o, loop_of(c)->now_ms);
    end_job(c);
}

/* ---- failures before anything is decided ---- */

static void start_over(struct conn *c)
{
    c->messages = 0;
    c->no_resume = c->detour = false;
    c->state = CONN_DIALING;
    dial_begin(&c->dial, c->job->host);
}

static void try_next(struct conn *c)
{
    c->state = CONN_DIALING;
    dial_next(&c->dial);
}

/* A host that had been of use to other messages says little about where this one may go. */
static void redial(struct conn *c)
{
    close_stream(c);
    if (c->messages > 1)
        start_over(c);
    else
        try_next(c);
}

/* False: the connection is not what it was. */
static bool decide(struct conn *c, const struct client_verdict *v)
{
    struct outcome o;

    if (v->later) {
        job_put_off(c->job, v->rcpt);
        return true;
    }
    o = complete(c, &v->outcome);
    if (v->rest && job_is_untouched(c->job) && dial_avoid_ipv6(&c->dial, &o)) {
        dial_keep_failure(&c->dial, &o);
        close_stream(c);
        try_next(c);
        return false;
    }
    if (v->rest)
        job_decide_message(c->job, &o, loop_of(c)->now_ms);
    else
        job_decide(c->job, v->rcpt, &o, loop_of(c)->now_ms);
    if (c->job->undecided == 0)
        end_job(c);
    return true;
}

/* True: the same host is tried again, with a full handshake, when one that was to resume failed.
 * Else others come first, and then this one in plain text. */
static bool fall_back(struct conn *c, const struct outcome *o)
{
    struct destination *d = c->destination;
    bool full = c->resuming && !c->no_resume;

    if (!client_failed_at_tls(&c->client))
        return false;
    c->no_resume = full;
    log_warn("tls_failed", LOG_VIEW("destination", d->name), LOG_VIEW("host", dial_host(&c->dial)),
             LOG_VIEW("reason", o->text));
    if (full) {
        close_stream(c);
        c->state = CONN_DIALING;
        dial_again(&c->dial);
    } else if (tlspolicy_fall_back(c->policy,
                                   tlspolicy_remember(&d->tls_memories, &c->dial.address),
                                   loop_of(c)->now_ms)) {
        dial_prefer_tls(&c->dial);
    }
    return full;
}

static void note_bdat(struct conn *c)
{
    if (!c->client.chunk_refused || c->destination->no_bdat)
        return;
    c->destination->no_bdat = true;
    log_warn("bdat_refused", LOG_VIEW("destination", c->destination->name),
             LOG_VIEW("host", dial_host(&c->dial)));
}

/* The connection is of no use any more. A host that had been of use before may have closed it for
 * no fault of the message's; otherwise the next host may be better. A host that has decided about
 * some recipients decides about the others too, unless these were for another transaction. */
static void fail(struct conn *c, const struct outcome *why)
{
    struct outcome o;
    bool open = c->job != NULL && !client_is_past_dot(&c->client);
    bool again = open && (job_is_untouched(c->job) || !c->started);

    if (conn_lacks_tls(c, why))
        conn_note_plain(c);
    if (c->client.missed_tls && c->policy.preferred)
        tlspolicy_remember(&c->destination->tls_memories, &c->dial.address)->lacking_until_ms =
            loop_of(c)->now_ms + TLSPOLICY_BROKEN_MS;
    note_bdat(c);
    o = complete(c, why);
    if (fall_back(c, &o))
        return;
    if (again) {
        (void)dial_avoid_ipv6(&c->dial, &o);
        dial_keep_failure(&c->dial, &o);
        redial(c);
        return;
    }
    if (open && c->messages > 1)
        give_back_job(c);
    else if (c->job != NULL)
        decide_rest(c, &o);
    end(c);
}

/* A host is at work, and lacks what this message alone needs: that the others are not to be had
 * costs other mail nothing. So none of them is named but in words. */
static void blame_message(struct outcome *o)
{
    static char room[OUTCOME_TEXT_MAX];
    struct buf words = BUF_ON_ARRAY(room);

    o->scope = SCOPE_MESSAGE;
    if (o->host.len > 0 && buf_printf(&words, "%.*s: %.*s", VIEW_ARG(o->host), VIEW_ARG(o->text)))
        o->text = buf_view(&words);
    o->host = VIEW_EMPTY;
}

static void on_nothing_left(struct dial *d)
{
    struct conn *c = container_of(d, struct conn, dial);
    struct outcome o = d->failure.outcome;

    if (destination_gets_token(c->destination, c->job)) {
        c->job = NULL;
        end(c);
        return;
    }
    o.scope = scope_of(c, &o);
    if (d->met && o.class == OUTCOME_DEFERRED)
        blame_message(&o);
    destination_give_up(c->destination, &o);
    decide_rest(c, &o);
    end(c);
}

/* ---- talking ---- */

/* Where a route has a login, every message needs it, whether or not there is a secret by now. */
static void log_in(struct conn *c)
{
    static struct credential none;
    const struct route_settings *r = c->destination->route;
    struct credential *credential;

    if (r == NULL || r->auth_login.len == 0)
        return;
    credential = worker_of(c)->credentials[r - settings_of(c)->routes];
    client_log_in(&c->client, credential != NULL ? credential : &none, dial_target(&c->dial)->host,
                  dial_target(&c->dial)->port);
}

static void lose(struct conn *c, struct view words)
{
    client_lost(&c->client, words);
    fail(c, client_why(&c->client));
}

static void hear_of_end(struct conn *c, struct view words)
{
    client_closed(&c->client, words);
    fail(c, client_why(&c->client));
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
        if (n == STREAM_WANT_READ || n == STREAM_WANT_WRITE)
            return true;
        if (n <= 0) {
            hear_of_end(c, n == 0 ? VIEW("the connection was closed") : dial_words((int)n));
            return false;
        }
        input = view_make(room, (size_t)n);
        while (client_hear(&c->client, &input, &v)) {
            if (!decide(c, &v))
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
        fail(c, client_why(&c->client));
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

/* The last words, if they can be said without waiting. */
static void say_goodbye(struct conn *c)
{
    struct view bytes = buf_view(&c->client.out);

    if (bytes.len > 0 && stream_write(&c->stream, bytes.ptr, bytes.len) < 0)
        buf_clear(&c->client.out);
}

static void close_engine(struct conn *c)
{
    say_goodbye(c);
    fail(c, client_why(&c->client));
}

static void spoil(struct conn *c)
{
    decide_rest(c, job_damage(c->job));
    end(c);
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
        spoil(c);
        return false;
    }
    return true;
}

/* What this host lacks, the next may have; when none has it, the last failure decides. */
static void look_elsewhere(struct conn *c, const struct outcome *why)
{
    struct outcome o = complete(c, why);

    client_quit(&c->client);
    say_goodbye(c);
    dial_keep_failure(&c->dial, &o);
    c->detour = true;
    redial(c);
}

/* What failed once is tried in the way that every host knows: some announce CHUNKING, and then
 * hang or close. */
static bool may_use_bdat(const struct conn *c, const struct job *j)
{
    return j->start.bdat && j->start.attempt <= 1 && !c->destination->no_bdat;
}

static void say_quit(struct conn *c)
{
    leave(c);
    client_quit(&c->client);
}

/* What is left of the job goes by another session, and this one is over. */
static void give_back(struct conn *c)
{
    give_back_job(c);
    say_quit(c);
}

/* False: the connection is not what it was. */
static bool start_job(struct conn *c, struct job *j)
{
    struct client_verdict v;
    enum job_fit fit;

    c->job = j;
    c->started = true;
    c->messages++;
    c->until_ms = loop_of(c)->now_ms + settings_of(c)->timeouts.transaction;
    j->conn = c;
    job_rewind(j);
    j->message.chunk = may_use_bdat(c, j);
    fit = job_prepare(j, &c->client.ext, &c->domains, &v.outcome);
    if (fit == JOB_NEEDS_SESSION) {
        give_back(c);
        return true;
    }
    if (fit == JOB_FITS && !client_start(&c->client, &j->message, &v))
        return true;
    look_elsewhere(c, &v.outcome);
    return false;
}

static void become_idle(struct conn *c)
{
    list_insert_after(&c->destination->idle, &c->link);
    list_append(&worker_of(c)->idle, &c->idle_link);
}

/* The host has said how many transactions it takes in a session (RFC 9422, 4.1). */
static bool has_had_enough(const struct conn *c)
{
    uint64_t most = c->client.ext.mails_most;

    return most > 0 && c->messages >= most;
}

static bool is_worn(const struct conn *c)
{
    return c->dial.alone || c->detour || has_had_enough(c) ||
           c->messages >= c->destination->site->messages_per_connection ||
           destination_is_crowded(c->destination);
}

/* The job that the connection was made for, or whose other recipients were too many for one
 * transaction, or one that waits. */
static struct job *pick_job(struct conn *c)
{
    if (c->job != NULL)
        return c->job;
    return is_worn(c) ? NULL : destination_next_job(c->destination);
}

/* The engine is ready for a message. False: the connection is not what it was. */
static bool next_message(struct conn *c)
{
    struct job *j;

    conn_keep_session(c);
    conn_note_plain(c);
    note_bdat(c);
    if (c->job != NULL && has_had_enough(c)) {
        give_back(c);
        return true;
    }
    j = pick_job(c);
    if (j != NULL)
        return start_job(c, j);
    if (is_worn(c) || worker_of(c)->draining)
        say_quit(c);
    else if (list_empty(&c->link))
        become_idle(c);
    return true;
}

/* ---- time ---- */

/* For the next step; but all steps up to the first message, and those of a message, have a deadline
 * together too, or a host that takes a byte now and then would keep the connection for ever. What
 * may be accepted is not broken off before the time for its reply is over as well: a chunk is said
 * before anything is heard. */
static uint64_t patience_ms(const struct conn *c)
{
    const struct timeouts_settings *t = &settings_of(c)->timeouts;
    uint64_t step_ms = client_timeout_ms(&c->client, t);
    uint64_t now_ms = loop_of(c)->now_ms;
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
        if (loop_watch(loop_of(c), &c->watch, wanted) < 0)
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
    loop_start_timer(loop_of(c), &c->timer, patience_ms(c));
    handshake(c);
}

/* ---- driving ---- */

/* Watches for what comes next. The deadline moves with replies and with what was written, not with
 * single bytes of a reply. */
static void rest(struct conn *c)
{
    unsigned wanted = WANT_READ | (c->write_blocked ? WANT_WRITE : 0u);

    if (loop_watch(loop_of(c), &c->watch, wanted) < 0) {
        lose(c, VIEW("out of resources"));
        return;
    }
    if (!c->wrote && c->heard == c->client.heard && timer_running(&c->timer))
        return;
    c->wrote = false;
    c->heard = c->client.heard;
    loop_start_timer(loop_of(c), &c->timer, patience_ms(c));
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
        return next_message(c) &&
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
    c->started = c->resuming = false;
    c->messages = 0;
    c->domains.count = 0;
    c->until_ms = loop_of(c)->now_ms + settings_of(c)->timeouts.opening;
    c->tls_len = 0;
    c->policy = dial_tls_policy(d);
    client_init(&c->client, settings_of(c)->hostname, c->policy, dial_target(d)->lmtp);
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
        if (!(what & WANT_READ) || listen_to(c))
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
        start_over(c);
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
    c->dial.ended = on_nothing_left;
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
    if (start_job(c, j))
        pump(c);
}

void conn_quit(struct conn *c)
{
    say_quit(c);
    pump(c);
}

bool conn_abandon(struct conn *c)
{
    if (c->state == CONN_TALKING && client_is_past_dot(&c->client))
        return true;
    end_job(c);
    end(c);
    return false;
}
