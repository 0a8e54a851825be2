#include "queue/job.h"

#include "common/memory.h"
#include "io/log.h"
#include "queue/content.h"
#include "queue/dispatch.h"
#include "queue/unread.h"
#include "queue/worker.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum {
    JOB_ENVELOPE_BYTES = 49152, /* of one job, encoded: a packet has to hold it */
    JOB_FIXED_BYTES = 256,      /* the numbers of a JOB_START, with the lengths of its views */
    JOB_ARENA_MAX = 4 << 20,    /* addresses, and what a worker says of them */
};

void job_maker_init(struct job_maker *k, struct queue *q)
{
    k->queue = q;
    k->rcpts = memory_new_array(ENVELOPE_RCPTS_MAX, sizeof(*k->rcpts));
    buf_new(&k->envelope, JOB_ENVELOPE_BYTES);
    buf_new(&k->indexes, ENVELOPE_RCPTS_MAX * sizeof(uint32_t));
}

void job_maker_release(struct job_maker *k)
{
    buf_free(&k->envelope);
    buf_free(&k->indexes);
    free(k->rcpts);
}

void job_free(struct job *job)
{
    arena_reset(&job->arena);
    free(job);
}

/* The other due units of the message for this destination (they were deferred for different
 * reasons) go along: one transaction for all. */
static void gather_siblings(struct index *x, uint32_t unit)
{
    const struct unit *u = index_unit(x, unit);

    index_each_unit (other, x, index_mail_of(x, unit)) {
        const struct unit *o = index_unit(x, other);

        if (other != unit && o->state == UNIT_DUE && o->destination == u->destination)
            index_merge(x, unit, other);
    }
}

/* Gives the unit's recipients from number `kept` on a unit of their own, due next. */
static void put_off(struct job_maker *k, uint32_t unit, size_t kept)
{
    struct index *x = &k->queue->index;
    unsigned total = index_mail(x, index_mail_of(x, unit))->rcpt_count;
    struct rcpts rest;
    uint32_t part;

    rcpts_init(&rest, total);
    rcpts_each (i, index_rcpts(x, unit), total) {
        if (kept > 0)
            kept--;
        else
            rcpts_add(&rest, total, i);
    }
    part = index_split(x, unit, &rest);
    rcpts_release(&rest, total);
    if (part != POOL_NONE)
        index_make_due(x, part, true);
}

static uint32_t burst_of(const struct index *x, uint32_t unit)
{
    return pace_burst(index_destination(x, index_unit(x, unit)->destination)->site->limits);
}

/* Encodes the envelope with as many recipients of the unit as a packet may hold and the site's rate
 * allows at once; the others get a unit of their own. Returns how many there are; 0: not one, of an
 * envelope that no smtpd made. */
static uint32_t put_envelope(struct job_maker *k, uint32_t unit, const struct envelope *e)
{
    const struct rcpts *set = index_rcpts(&k->queue->index, unit);
    struct envelope part = *e;
    bool fits;

    part.rcpts = k->rcpts;
    part.rcpt_count = 0;
    rcpts_each (i, set, (unsigned)e->rcpt_count)
        k->rcpts[part.rcpt_count++] = e->rcpts[i];
    part.rcpt_count = MIN(part.rcpt_count, burst_of(&k->queue->index, unit));
    buf_clear(&k->envelope);
    while (!(fits = envelope_encode(&part, &k->envelope)) && part.rcpt_count > 1)
        part.rcpt_count /= 2;
    if (!fits)
        return 0;
    put_off(k, unit, part.rcpt_count);
    return (uint32_t)part.rcpt_count;
}

static struct job *make_job(struct job_maker *k, struct worker *w, uint32_t unit, uint32_t count,
                            const struct envelope *e)
{
    struct index *x = &k->queue->index;
    const struct unit *u = index_unit(x, unit);
    struct job *job = memory_new(sizeof(*job) + count * sizeof(job->lines[0]));
    struct job_line *line = job->lines;
    bool fits = true;

    job->worker = w;
    job->mail = index_mail_of(x, unit);
    job->unit = unit;
    job->destination = index_destination(x, u->destination);
    job->site = job->destination->site;
    job->message = index_mail(x, job->mail)->id;
    job->arrival_ms = e->arrival_ms;
    job->by_trace = e->by_trace;
    job->attempt = u->attempts + 1u;
    job->open = job->line_count = count;
    arena_init(&job->arena, JOB_ARENA_MAX);
    buf_clear(&k->indexes);
    rcpts_each (i, index_rcpts(x, unit), (unsigned)e->rcpt_count) {
        line->rcpt = i;
        line->notify = e->rcpts[i].notify;
        fits = fits && arena_copy(&job->arena, e->rcpts[i].address, &line->address) &&
               job_index_put(&k->indexes, i);
        line++;
    }
    assert(fits && line == job->lines + count);
    list_append(&w->jobs, &job->link);
    w->running++;
    job->destination->running++;
    job->site->running++;
    return job;
}

static void send_parts(const struct job *job, uint64_t number, struct view *body, size_t last_room)
{
    while (body->len > last_room) {
        struct message_job_part part = { number, VIEW_EMPTY };

        part.bytes = view_sub(*body, 0, CHANNEL_PACKET_MAX - JOB_FIXED_BYTES);
        peer_send_job_part(&job->worker->peer, &part, -1);
        *body = view_from(*body, part.bytes.len);
    }
}

static void send_job(struct job_maker *k, const struct job *job, uint64_t number,
                     const struct content *c)
{
    const struct destination_limits *limits = job->site->limits;
    const struct hop *hop = &job->destination->hop;
    struct message_job_start m = {
        .job = number,
        .message = job->message,
        .attempt = job->attempt,
        .hop_kind = (uint8_t)hop->kind,
        .hop_name = hop->name,
        .host = hop->host,
        .route = hop->route,
        .site = job->site->name,
        .hosts = job->destination->hosts,
        .order = job->destination->order,
        .connections = site_connections(job->site),
        .messages_per_connection = (uint32_t)limits->messages_per_connection,
        .connection_us = rate_interval_us(&limits->connections),
        .bdat = limits->bdat,
        .big = c->big_fd >= 0,
        .body_bytes = c->body_bytes,
        .body_crc = c->body_crc,
        .envelope = buf_view(&k->envelope),
        .indexes = buf_view(&k->indexes),
        .body = c->body,
    };

    send_parts(job, number, &m.body,
               CHANNEL_PACKET_MAX - JOB_FIXED_BYTES - hop->name.len - hop->host.len - m.site.len -
                   m.hosts.len - m.envelope.len - m.indexes.len);
    peer_send_job_start(&job->worker->peer, &m, c->big_fd);
}

/* The recipients of the unit that go to the destination of the first one that does not go to the
 * unit's own any more get a unit of their own. False: there is none. */
static bool move_some(struct job_maker *k, uint32_t unit, const uint32_t *to, bool *emptied)
{
    struct index *x = &k->queue->index;
    const struct unit *u = index_unit(x, unit);
    unsigned total = index_mail(x, index_mail_of(x, unit))->rcpt_count;
    struct destination *here = index_destination(x, u->destination);
    uint32_t elsewhere = u->destination;
    struct rcpts moving;
    uint32_t part;

    rcpts_init(&moving, total);
    rcpts_each (i, index_rcpts(x, unit), total) {
        if (elsewhere == u->destination)
            elsewhere = to[i];
        if (elsewhere != u->destination && to[i] == elsewhere)
            rcpts_add(&moving, total, i);
    }
    part = index_split(x, unit, &moving);
    rcpts_release(&moving, total);
    if (part == POOL_NONE)
        return false;
    *emptied = part == unit;
    index_unit(x, part)->routing = k->queue->routing;
    index_move(x, part, elsewhere);
    queue_rest(k->queue, here);
    dispatch_unit(k->queue->dispatch, part);
    return true;
}

/* When the settings have changed since the unit was made, its recipients may go elsewhere now.
 * True: some of them still go to the same place, and are what is left of the unit. */
static bool still_routed(struct job_maker *k, uint32_t unit, const struct envelope *e)
{
    struct queue *q = k->queue;
    struct unit *u = index_unit(&q->index, unit);
    uint32_t *to;
    bool emptied = false;

    if (u->routing == q->routing)
        return true;
    to = memory_new_array(e->rcpt_count, sizeof(*to));
    rcpts_each (i, index_rcpts(&q->index, unit), (unsigned)e->rcpt_count)
        to[i] = queue_destination(q, e, i)->self;
    while (!emptied && move_some(k, unit, to, &emptied))
        ;
    free(to);
    if (!emptied)
        u->routing = q->routing;
    return !emptied;
}

static void log_doubt(struct queue *q, const struct job *job)
{
    struct unit *u = index_unit(&q->index, job->unit);

    if (u->in_doubt)
        log_warn("possible_duplicate", LOG_ID("message", job->message),
                 LOG_VIEW("destination", job->destination->hop.name),
                 LOG_U64("recipients", job->line_count));
    u->in_doubt = 0;
}

struct job *job_start(struct job_maker *k, struct worker *w, uint64_t number, uint32_t unit)
{
    struct queue *q = k->queue;
    uint32_t mail = index_mail_of(&q->index, unit);
    struct content content;
    struct job *job = NULL;
    uint32_t count = 0;
    int err;

    err = content_open(q, index_mail(&q->index, mail), true, &content);
    if (err < 0) {
        queue_set_aside(q, mail, err);
        return NULL;
    }
    if (content.big_fd < 0) /* else the worker reads it */
        unread_forget(q, index_mail(&q->index, mail)->id);
    if (still_routed(k, unit, &content.envelope)) {
        gather_siblings(&q->index, unit);
        count = put_envelope(k, unit, &content.envelope);
        err = count > 0 ? 0 : -EBADMSG;
    }
    if (count > 0) {
        job = make_job(k, w, unit, count, &content.envelope);
        site_charge(&q->index, unit, count);
        index_run(&q->index, unit);
        log_doubt(q, job);
        send_job(k, job, number, &content);
    }
    content_close(&content);
    if (err < 0)
        queue_set_aside(q, mail, err);
    return job;
}
