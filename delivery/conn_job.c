#include "delivery/conn_job.h"

#include "delivery/conn_tls.h"
#include "io/log.h"

#include <stdlib.h>

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
    conn_worker(c)->conn_count--;
}

static void close_stream(struct conn *c)
{
    if (c->stream.fd < 0)
        return;
    loop_unwatch(conn_loop(c), &c->watch);
    loop_stop_timer(conn_loop(c), &c->timer);
    stream_close(&c->stream);
    client_release(&c->client);
    log_debug("connection_closed", LOG_VIEW("destination", c->destination->name),
              LOG_VIEW("host", dial_host(&c->dial)), LOG_U64("messages", c->messages));
}

void conn_say_goodbye(struct conn *c)
{
    struct view bytes = buf_view(&c->client.out);

    if (bytes.len > 0 && stream_write(&c->stream, bytes.ptr, bytes.len) < 0)
        buf_clear(&c->client.out);
}

void conn_end(struct conn *c)
{
    close_stream(c);
    dial_stop(&c->dial);
    c->state = CONN_CLOSED;
    leave(c);
    loop_defer(conn_loop(c), &c->deferred);
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

void conn_end_job(struct conn *c)
{
    struct job *j = c->job;

    c->job = NULL;
    worker_end_job(conn_worker(c), j);
}

/* Its queue is gone, and the next one has those of its recipients that are left, too. */
static bool is_orphan(const struct conn *c)
{
    return c->job != NULL && c->job->queue == NULL;
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
    job_decide_rest(c->job, o, conn_loop(c)->now_ms);
    conn_end_job(c);
}

void conn_spoil(struct conn *c)
{
    decide_rest(c, job_damage(c->job));
    conn_end(c);
}

/* ---- failures before anything is decided ---- */

void conn_start_over(struct conn *c)
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

static void try_again(struct conn *c)
{
    c->state = CONN_DIALING;
    dial_again(&c->dial);
}

/* A host that had been of use to other messages says little about where this one may go. One that
 * could not have a chunk may have the message by DATA. */
static void redial(struct conn *c)
{
    bool refused = c->client.chunk_refused;

    close_stream(c);
    if (c->messages > 1)
        conn_start_over(c);
    else if (refused)
        try_again(c);
    else
        try_next(c);
}

/* The recipient, or all that are left, may be taken by the next host, when the transaction is over.
 * What this one said counts if there is none. */
static void pass_on(struct conn *c, const struct client_verdict *v, const struct outcome *o)
{
    dial_keep_failure(&c->dial, o);
    c->dial.met = c->elsewhere = true;
    if (!v->rest)
        job_put_off(c->job, v->rcpt);
}

bool conn_decide(struct conn *c, const struct client_verdict *v)
{
    struct outcome o;

    if (v->full)
        destination_learn_rcpts(c->destination, c->client.accepted, dial_host(&c->dial));
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
    if (v->elsewhere)
        pass_on(c, v, &o);
    else if (v->rest)
        job_decide_message(c->job, &o, conn_loop(c)->now_ms);
    else
        job_decide(c->job, v->rcpt, &o, conn_loop(c)->now_ms);
    if (c->job->undecided == 0)
        conn_end_job(c);
    return true;
}

/* The queue says so to those who ask. */
static void tell_missed_tls(const struct conn *c)
{
    const struct message_tls_missed m = { .job = c->job->start.job,
                                          .for_ms = TLSPOLICY_BROKEN_MS,
                                          .host = dial_host(&c->dial) };

    if (c->job->queue != NULL)
        peer_send_tls_missed(c->job->queue, &m, -1);
}

/* The same host again: with a full handshake, when one that was to resume failed, and else in plain
 * text. False: not where TLS is needed. */
static bool fall_back(struct conn *c, const struct outcome *o)
{
    struct destination *d = c->destination;

    if (!client_failed_at_tls(&c->client))
        return false;
    log_warn("tls_failed", LOG_VIEW("destination", d->name), LOG_VIEW("host", dial_host(&c->dial)),
             LOG_VIEW("tls", o->tls), LOG_VIEW("reason", o->text));
    c->no_resume = c->resuming && !c->no_resume;
    if (!c->no_resume) {
        if (!tlspolicy_fall_back(c->policy, tlspolicy_remember(&d->tls_memories, &c->dial.address),
                                 conn_loop(c)->now_ms))
            return false;
        tell_missed_tls(c);
    }
    close_stream(c);
    try_again(c);
    return true;
}

static void note_bdat(struct conn *c)
{
    struct destination *d = c->destination;

    if (!c->client.chunk_refused || !destination_may_use_bdat(d))
        return;
    d->no_bdat_until_ms = conn_loop(c)->now_ms + DESTINATION_BDAT_MS;
    log_warn("bdat_refused", LOG_VIEW("destination", c->destination->name),
             LOG_VIEW("host", dial_host(&c->dial)));
}

/* The connection is of no use any more. A host that had been of use before may have closed it for
 * no fault of the message's; otherwise the next host may be better. A host that has decided about
 * some recipients decides about the others too, unless these were for another transaction than the
 * last, which it has served; not those that it would take under TLS alone, which it would be asked
 * to take again. */
void conn_fail(struct conn *c, const struct outcome *why)
{
    struct outcome o;
    bool open = c->job != NULL && !is_orphan(c) && !client_is_past_dot(&c->client);
    bool again = open && (job_is_untouched(c->job) || !c->started);

    if (client_failed_at_tls(&c->client))
        conn_note_lack(c, TLS_FAILED);
    else if (c->client.missed_tls)
        conn_note_plain(c);
    note_bdat(c);
    o = complete(c, why);
    if (fall_back(c, &o))
        return;
    if (c->client.met_us)
        dial_meet_us(&c->dial);
    if (again) {
        (void)dial_avoid_ipv6(&c->dial, &o);
        if (client_failed_to_log_in(&c->client))
            dial_leave_host(&c->dial);
        dial_keep_failure(&c->dial, &o);
        redial(c);
        return;
    }
    if (open && (c->messages > 1 || (c->client.settled && !c->elsewhere)))
        give_back_job(c);
    else if (c->job != NULL)
        decide_rest(c, &o);
    conn_end(c);
}

/* A host's word on the message or a recipient. */
static bool is_refusal(const struct outcome *o)
{
    return o->code > 0 && (o->scope == SCOPE_MESSAGE || o->scope == SCOPE_RCPT);
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

void conn_on_nothing_left(struct dial *d)
{
    struct conn *c = container_of(d, struct conn, dial);
    struct outcome o = d->failure.outcome;

    if (destination_gets_token(c->destination, c->job)) {
        c->job = NULL;
        conn_end(c);
        return;
    }
    o.scope = scope_of(c, &o);
    if (d->met && o.class == OUTCOME_DEFERRED && !is_refusal(&o))
        blame_message(&o);
    destination_give_up(c->destination, &o);
    decide_rest(c, &o);
    conn_end(c);
}

/* ---- jobs ---- */

/* What this host lacks, the next may have; when none has it, the last failure decides. */
static void look_elsewhere(struct conn *c)
{
    client_quit(&c->client);
    conn_say_goodbye(c);
    c->elsewhere = false;
    c->detour = true;
    redial(c);
}

/* What failed once is tried in the way that every host knows: some announce CHUNKING, and then
 * hang or close. */
static bool may_use_bdat(const struct conn *c, const struct job *j)
{
    return j->start.bdat && j->start.attempt <= 1 && destination_may_use_bdat(c->destination);
}

void conn_say_quit(struct conn *c)
{
    leave(c);
    client_quit(&c->client);
}

/* What is left of the job goes by another session, and this one is over. */
static void give_back(struct conn *c)
{
    give_back_job(c);
    conn_say_quit(c);
}

bool conn_start_job(struct conn *c, struct job *j)
{
    struct ext ext = c->client.ext;
    struct client_verdict v;
    struct outcome o;
    enum job_fit fit;

    c->job = j;
    c->started = true;
    c->messages++;
    c->until_ms = conn_loop(c)->now_ms + conn_settings(c)->timeouts.transaction;
    j->conn = c;
    job_rewind(j);
    j->message.chunk = may_use_bdat(c, j);
    ext.rcpts_most = destination_rcpts_most(c->destination, ext.rcpts_most);
    fit = job_prepare(j, &ext, &c->domains, &v.outcome);
    if (fit == JOB_NEEDS_SESSION) {
        give_back(c);
        return true;
    }
    if (fit == JOB_FITS && !client_start(&c->client, &j->message, &v)) {
        job_begin_transaction(j);
        return true;
    }
    o = complete(c, &v.outcome);
    dial_keep_failure(&c->dial, &o);
    look_elsewhere(c);
    return false;
}

static void become_idle(struct conn *c)
{
    list_insert_after(&c->destination->idle, &c->link);
    list_append(&conn_worker(c)->idle, &c->idle_link);
}

/* It had as many transactions as we give it, or as the host has said that it takes in a session
 * (RFC 9422, 4.1). */
static bool is_used_up(const struct conn *c)
{
    uint64_t most = c->client.ext.mails_most;

    return c->messages >= c->destination->site->messages_per_connection ||
           (most > 0 && c->messages >= most);
}

static bool is_worn(const struct conn *c)
{
    return c->dial.alone || c->detour || is_used_up(c) || destination_is_crowded(c->destination) ||
           destination_gives_way(c->destination, c->messages);
}

/* The job that the connection was made for, or whose other recipients were too many for one
 * transaction, or one that waits. */
static struct job *pick_job(struct conn *c)
{
    if (c->job != NULL)
        return c->job;
    return is_worn(c) ? NULL : destination_next_job(c->destination);
}

bool conn_next_job(struct conn *c)
{
    struct job *j;

    conn_keep_session(c);
    conn_note_plain(c);
    note_bdat(c);
    if (is_orphan(c))
        conn_end_job(c);
    if (c->job != NULL && c->elsewhere) {
        look_elsewhere(c);
        return false;
    }
    if (c->job != NULL && is_used_up(c)) {
        give_back(c);
        return true;
    }
    j = pick_job(c);
    if (j != NULL)
        return conn_start_job(c, j);
    if (is_worn(c) || conn_worker(c)->draining)
        conn_say_quit(c);
    else if (list_empty(&c->link))
        become_idle(c);
    return true;
}
