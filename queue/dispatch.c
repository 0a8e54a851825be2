#include "queue/dispatch.h"

#include "common/memory.h"
#include "io/log.h"
#include "ipc/peer.h"
#include "queue/backoff.h"
#include "queue/content.h"
#include "queue/result.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    JOBS_PER_TURN = 512,
    JOB_ENVELOPE_BYTES = 49152,  /* of one job, encoded: a packet has to hold it */
    JOB_FIXED_BYTES = 256,       /* the numbers of a JOB_START, with the lengths of its views */
    JOB_ARENA_MAX = 4 << 20,     /* addresses, and what a worker says of them */
    UNSENT_MARK_BYTES = 4 << 20, /* a worker that does not read gets no more */
    RUNNING_PER_CONNECTION = 2,  /* jobs of a destination: one in its dialogue, one waiting */
};

struct worker {
    struct peer peer;
    struct list link; /* of the slot */
    struct dispatch *owner;
    struct list jobs;
    uint32_t running, credits;
    bool draining; /* a newer one has taken over */
    struct deferred free_later;
};

/* The place of a worker: its index among its kind. Processes come and go. */
struct slot {
    struct list workers; /* oldest first */
    struct list turn;    /* destinations that could start a job */
};

struct dispatch {
    struct queue *queue;
    struct slot *slots; /* number 0 is local's, the others are delivery's */
    uint32_t slot_count;
    uint32_t delivery_count; /* in force: what destinations are spread over */
    struct table jobs;
    uint64_t next_job;
    struct deferred again;
    /* Of the job that is being made. */
    struct envelope_rcpt *rcpts;
    struct buf envelope, indexes; /* encoded */
};

/* ---- slots ---- */

static void on_again(struct deferred *d)
{
    (void)d; /* the turn that it makes happen is what was wanted */
}

/* Destinations are in the lists of slots, so slots stay where they are: enough for all that there
 * may be. */
enum { SLOTS = 1 + 256 };

static uint32_t count_delivery(const struct queue *q)
{
    return (uint32_t)MAX(MIN(q->settings->workers.delivery, (uint64_t)SLOTS - 1), 1);
}

struct dispatch *dispatch_new(struct queue *q)
{
    struct dispatch *d = memory_new(sizeof(*d));

    d->queue = q;
    d->next_job = 1;
    d->again.run = on_again;
    d->slot_count = SLOTS;
    d->slots = memory_new_array(SLOTS, sizeof(*d->slots));
    for (uint32_t i = 0; i < SLOTS; i++) {
        list_init(&d->slots[i].workers);
        list_init(&d->slots[i].turn);
    }
    d->delivery_count = count_delivery(q);
    table_init(&d->jobs, false);
    d->rcpts = memory_new_array(ENVELOPE_RCPTS_MAX, sizeof(*d->rcpts));
    buf_new(&d->envelope, JOB_ENVELOPE_BYTES);
    buf_new(&d->indexes, ENVELOPE_RCPTS_MAX * sizeof(uint32_t));
    return d;
}

static struct slot *slot_of(struct dispatch *d, const struct destination *to)
{
    if (to->hop.kind == HOP_LOCAL)
        return &d->slots[0];
    return &d->slots[1 + hash_stable(to->hop.name) % d->delivery_count];
}

/* The oldest that nobody has taken over from: in a reload the new ones wait until it is whole. */
static struct worker *worker_of(const struct slot *s)
{
    list_each (it, &s->workers) {
        struct worker *w = container_of(it, struct worker, link);

        if (!w->draining)
            return w;
    }
    return NULL;
}

static bool may_start(const struct dispatch *d, const struct destination *to)
{
    return to->due_count > 0 && backoff_allows(to) &&
           to->running < RUNNING_PER_CONNECTION * d->queue->settings->delivery.concurrency;
}

void dispatch_wake(struct dispatch *d, struct destination *to)
{
    if (d == NULL || !list_empty(&to->turn) || !may_start(d, to))
        return;
    list_append(&slot_of(d, to)->turn, &to->turn);
    loop_defer(d->queue->loop, &d->again);
}

void dispatch_unit(struct dispatch *d, uint32_t unit)
{
    struct index *x = &d->queue->index;

    index_make_due(x, unit, false);
    dispatch_wake(d, index_destination(x, index_unit(x, unit)->destination));
}

/* ---- the ends of jobs ---- */

static void free_job(struct job *job)
{
    arena_reset(&job->arena);
    free(job);
}

static void end_job(struct dispatch *d, struct job *job)
{
    struct destination *to = job->destination;

    table_remove(&d->jobs, &job->entry);
    list_remove(&job->link);
    job->worker->running--;
    result_settle(d->queue, job); /* `to` stays, since a job of it is still counted */
    to->running--;
    dispatch_wake(d, to);
    backoff_drop(d->queue, to);
    free_job(job);
}

static struct job *find_job(const struct worker *w, uint64_t number)
{
    struct table_entry *e = table_find_number(&w->owner->jobs, number);
    struct job *job = e == NULL ? NULL : container_of(e, struct job, entry);

    return job != NULL && job->worker == w ? job : NULL;
}

/* ---- what workers say ---- */

static bool heard_ready_for(struct worker *w, struct view fields)
{
    struct message_ready_for m;

    if (!message_ready_for_decode(fields, &m))
        return false;
    w->credits = m.jobs;
    loop_defer(w->owner->queue->loop, &w->owner->again);
    return true;
}

static bool heard_result(struct worker *w, struct view fields)
{
    struct message_rcpt_result m;
    struct job *job;

    if (!message_rcpt_result_decode(fields, &m))
        return false;
    job = find_job(w, m.job);
    return job != NULL && result_hear(w->owner->queue, job, &m);
}

static bool heard_end(struct worker *w, struct view fields)
{
    struct message_job_end m;
    struct job *job;

    if (!message_job_end_decode(fields, &m))
        return false;
    job = find_job(w, m.job);
    if (job == NULL || (job->open > 0 && !job->cancelled))
        return false;
    end_job(w->owner, job);
    loop_defer(w->owner->queue->loop, &w->owner->again);
    return true;
}

static bool on_heard(struct peer *p, enum message type, struct view fields, int fd)
{
    struct worker *w = container_of(p, struct worker, peer);

    if (fd >= 0) {
        close(fd);
        return false;
    }
    if (type == MESSAGE_RCPT_RESULT)
        return heard_result(w, fields);
    if (type == MESSAGE_JOB_END)
        return heard_end(w, fields);
    return type == MESSAGE_READY_FOR && heard_ready_for(w, fields);
}

static void on_free(struct deferred *d)
{
    free(container_of(d, struct worker, free_later));
}

/* Once is bad luck, and the next worker gets it at once. A message that ends its worker again may
 * well be the cause: it waits, so that the others get through. */
static void blame(struct queue *q, struct job *job)
{
    struct mail *m = index_mail(&q->index, job->mail);

    if (m->flags & MAIL_JOB_LOST)
        result_lost(q, job);
    m->flags |= MAIL_JOB_LOST;
}

static void lose_jobs(struct worker *w)
{
    list_each_safe (it, &w->jobs) {
        struct job *job = container_of(it, struct job, link);

        log_warn("job_lost", LOG_ID("message", job->message),
                 LOG_VIEW("destination", job->destination->hop.name),
                 LOG_U64("recipients", job->open));
        blame(w->owner->queue, job);
        end_job(w->owner, job);
    }
}

static void on_gone(struct peer *p)
{
    struct worker *w = container_of(p, struct worker, peer);

    list_remove(&w->link);
    lose_jobs(w);
    loop_defer(w->owner->queue->loop, &w->free_later);
}

static void on_drained(struct channel *c)
{
    struct worker *w = container_of(c, struct worker, peer.channel);

    loop_defer(w->owner->queue->loop, &w->owner->again);
}

/* ---- workers ---- */

void dispatch_add_worker(struct dispatch *d, enum process kind, uint32_t index, int fd)
{
    uint32_t slot = kind == LOCAL ? 0 : index + 1;
    struct worker *w;
    int err;

    if (slot >= d->slot_count || (kind == LOCAL && index > 0)) {
        log_error("worker_refused", LOG_STRING("peer", process_name(kind)),
                  LOG_U64("index", index));
        close(fd);
        return;
    }
    w = memory_new(sizeof(*w));
    w->owner = d;
    w->free_later.run = on_free;
    w->peer.heard = on_heard;
    w->peer.gone = on_gone;
    w->peer.channel.drained = on_drained;
    list_init(&w->jobs);
    err = peer_open(&w->peer, d->queue->loop, QUEUE, kind, index, fd);
    if (err < 0) {
        log_error("channel_failed", LOG_STRING("peer", process_name(kind)),
                  LOG_ERRNO("error", -err));
        close(fd);
        free(w);
        return;
    }
    list_append(&d->slots[slot].workers, &w->link);
}

/* All but the newest of a slot, and all of slots that are not used any more. */
static void retire_workers(struct dispatch *d)
{
    for (uint32_t i = 0; i < d->slot_count; i++) {
        struct slot *s = &d->slots[i];

        list_each (it, &s->workers) {
            struct worker *w = container_of(it, struct worker, link);

            if (i > d->delivery_count || it->next != &s->workers)
                w->draining = true;
        }
    }
}

/* The destinations that have their turn, to where they belong now. */
static void spread_again(struct dispatch *d)
{
    struct list all;
    struct list *it;

    list_init(&all);
    for (uint32_t i = 0; i < d->slot_count; i++) {
        while ((it = list_take_first(&d->slots[i].turn)) != NULL)
            list_append(&all, it);
    }
    while ((it = list_take_first(&all)) != NULL)
        dispatch_wake(d, container_of(it, struct destination, turn));
}

void dispatch_reload(struct dispatch *d)
{
    d->delivery_count = count_delivery(d->queue);
    retire_workers(d);
    spread_again(d);
}

/* ---- making a job ---- */

/* The other due units of the message for this destination (they were deferred for different
 * reasons) go along: one transaction for all. */
static void gather_siblings(struct index *x, uint32_t unit)
{
    struct unit *u = index_unit(x, unit);

    index_each_unit (other, x, u->mail) {
        const struct unit *o = index_unit(x, other);

        if (other != unit && o->state == UNIT_DUE && o->destination == u->destination)
            index_merge(x, unit, other);
    }
}

/* Gives the unit's recipients from number `kept` on a unit of their own, due next. */
static void put_off(struct dispatch *d, uint32_t unit, size_t kept)
{
    struct index *x = &d->queue->index;
    const struct unit *u = index_unit(x, unit);
    unsigned total = index_mail(x, u->mail)->rcpt_count;
    struct rcpts rest;
    uint32_t part;

    rcpts_init(&rest, total);
    rcpts_each (i, &u->rcpts, total) {
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

/* Encodes the envelope with as many recipients of the unit as a packet may hold; the others get a
 * unit of their own. Returns how many there are. */
static uint32_t put_envelope(struct dispatch *d, uint32_t unit, const struct envelope *e)
{
    const struct unit *u = index_unit(&d->queue->index, unit);
    struct envelope part = *e;
    bool fits;

    part.rcpts = d->rcpts;
    part.rcpt_count = 0;
    rcpts_each (i, &u->rcpts, (unsigned)e->rcpt_count)
        d->rcpts[part.rcpt_count++] = e->rcpts[i];
    buf_clear(&d->envelope);
    while (!(fits = envelope_encode(&part, &d->envelope)) && part.rcpt_count > 1)
        part.rcpt_count /= 2;
    assert(fits); /* with one recipient, as it came in a packet too */
    put_off(d, unit, part.rcpt_count);
    return (uint32_t)part.rcpt_count;
}

static struct job *make_job(struct dispatch *d, struct worker *w, uint32_t unit, uint32_t count,
                            const struct envelope *e)
{
    struct index *x = &d->queue->index;
    const struct unit *u = index_unit(x, unit);
    struct job *job = memory_new(sizeof(*job) + count * sizeof(job->lines[0]));
    struct job_line *line = job->lines;
    bool fits = true;

    job->worker = w;
    job->mail = u->mail;
    job->unit = unit;
    job->destination = index_destination(x, u->destination);
    job->message = index_mail(x, u->mail)->id;
    job->arrival_ms = e->arrival_ms;
    job->attempt = u->attempts + 1u;
    job->open = job->line_count = count;
    arena_init(&job->arena, JOB_ARENA_MAX);
    buf_clear(&d->indexes);
    rcpts_each (i, &u->rcpts, (unsigned)e->rcpt_count) {
        line->rcpt = i;
        fits = fits && arena_copy(&job->arena, e->rcpts[i].address, &line->address) &&
               job_index_put(&d->indexes, i);
        line++;
    }
    assert(fits && line == job->lines + count);
    table_add_number(&d->jobs, &job->entry, d->next_job++);
    list_append(&w->jobs, &job->link);
    w->running++;
    job->destination->running++;
    return job;
}

static void send_parts(const struct job *job, struct view *body, size_t last_room)
{
    while (body->len > last_room) {
        struct message_job_part part = { job->entry.number, VIEW_EMPTY };

        part.bytes = view_sub(*body, 0, CHANNEL_PACKET_MAX - JOB_FIXED_BYTES);
        peer_send_job_part(&job->worker->peer, &part, -1);
        *body = view_from(*body, part.bytes.len);
    }
}

static void send_job(struct dispatch *d, const struct job *job, const struct content *c)
{
    const struct hop *hop = &job->destination->hop;
    struct message_job_start m = {
        .job = job->entry.number,
        .message = job->message,
        .attempt = job->attempt,
        .hop_kind = (uint8_t)hop->kind,
        .hop_name = hop->name,
        .host = hop->host,
        .route = hop->route,
        .big = c->big_fd >= 0,
        .body_bytes = c->body_bytes,
        .body_crc = c->body_crc,
        .envelope = buf_view(&d->envelope),
        .indexes = buf_view(&d->indexes),
        .body = c->body,
    };

    send_parts(job, &m.body,
               CHANNEL_PACKET_MAX - JOB_FIXED_BYTES - hop->name.len - hop->host.len -
                   m.envelope.len - m.indexes.len);
    peer_send_job_start(&job->worker->peer, &m, c->big_fd);
}

/* The recipients of the unit that go to the destination of the first one that does not go to the
 * unit's own any more get a unit of their own. False: there is none. */
static bool move_some(struct dispatch *d, uint32_t unit, const uint32_t *to, bool *emptied)
{
    struct index *x = &d->queue->index;
    const struct unit *u = index_unit(x, unit);
    unsigned total = index_mail(x, u->mail)->rcpt_count;
    uint32_t elsewhere = u->destination;
    struct rcpts moving;
    uint32_t part;

    rcpts_init(&moving, total);
    rcpts_each (i, &u->rcpts, total) {
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
    index_unit(x, part)->routing = d->queue->routing;
    index_move(x, part, elsewhere);
    dispatch_unit(d, part);
    return true;
}

/* When the settings have changed since the unit was made, its recipients may go elsewhere now.
 * True: some of them still go to the same place, and are what is left of the unit. */
static bool still_routed(struct dispatch *d, uint32_t unit, const struct envelope *e)
{
    struct queue *q = d->queue;
    struct unit *u = index_unit(&q->index, unit);
    uint32_t *to;
    bool emptied = false;

    if (u->routing == q->routing)
        return true;
    to = memory_new_array(e->rcpt_count, sizeof(*to));
    rcpts_each (i, &u->rcpts, (unsigned)e->rcpt_count)
        to[i] = queue_destination(q, e, i)->self;
    while (!emptied && move_some(d, unit, to, &emptied))
        ;
    free(to);
    if (!emptied)
        u->routing = q->routing;
    return !emptied;
}

static void start_job(struct dispatch *d, struct worker *w, struct destination *to)
{
    struct queue *q = d->queue;
    uint32_t unit = to->first;
    uint32_t mail = index_unit(&q->index, unit)->mail;
    struct content content;
    struct job *job;
    int err;

    err = content_open(q, index_mail(&q->index, mail), true, &content);
    if (err < 0) {
        queue_set_aside(q, mail, err);
        return;
    }
    if (still_routed(d, unit, &content.envelope)) {
        gather_siblings(&q->index, unit);
        job = make_job(d, w, unit, put_envelope(d, unit, &content.envelope), &content.envelope);
        index_run(&q->index, unit);
        job->probe = to->backed_off;
        to->probe_out = to->backed_off;
        send_job(d, job, &content);
    }
    content_close(&content);
}

static bool has_room(const struct worker *w)
{
    return w->running < w->credits && w->peer.channel.unsent_bytes < UNSENT_MARK_BYTES;
}

/* One job of each destination in turn. Returns how many may still be started in this turn. */
static unsigned run_slot(struct dispatch *d, struct slot *s, unsigned budget)
{
    struct worker *w = worker_of(s);

    while (w != NULL && budget > 0 && has_room(w) && !list_empty(&s->turn)) {
        struct list *first = list_take_first(&s->turn);
        struct destination *to = container_of(first, struct destination, turn);

        if (!may_start(d, to))
            continue;
        start_job(d, w, to);
        dispatch_wake(d, to);
        backoff_drop(d->queue, to);
        budget--;
    }
    return budget;
}

void dispatch_run(struct dispatch *d)
{
    unsigned budget = JOBS_PER_TURN;

    if (d->queue->draining)
        return;
    for (uint32_t i = 0; i <= d->delivery_count; i++)
        budget = run_slot(d, &d->slots[i], budget);
    if (budget == 0)
        loop_defer(d->queue->loop, &d->again);
}

void dispatch_cancel(struct dispatch *d, uint32_t unit)
{
    struct table_entry *e = NULL;

    while ((e = table_next(&d->jobs, e)) != NULL) {
        struct job *job = container_of(e, struct job, entry);
        const struct message_job_cancel m = { job->entry.number };

        if (job->unit != unit || job->cancelled)
            continue;
        job->cancelled = true;
        peer_send_job_cancel(&job->worker->peer, &m, -1);
        return;
    }
}

uint64_t dispatch_running(const struct dispatch *d)
{
    return d->jobs.count;
}

void dispatch_each_worker(const struct dispatch *d,
                          void (*tell)(void *context, const struct worker_numbers *w),
                          void *context)
{
    for (uint32_t i = 0; i < d->slot_count; i++) {
        list_each (it, &d->slots[i].workers) {
            const struct worker *w = container_of(it, struct worker, link);
            const struct worker_numbers numbers = { w->peer.kind, w->peer.index, w->running,
                                                    w->credits, w->draining };

            tell(context, &numbers);
        }
    }
}

void dispatch_free(struct dispatch **d)
{
    if (*d == NULL)
        return;
    for (uint32_t i = 0; i < (*d)->slot_count; i++) {
        struct list *it;

        while ((it = list_take_first(&(*d)->slots[i].workers)) != NULL) {
            struct worker *w = container_of(it, struct worker, link);

            peer_close(&w->peer);
            while ((it = list_take_first(&w->jobs)) != NULL)
                free_job(container_of(it, struct job, link));
            free(w);
        }
    }
    table_release(&(*d)->jobs);
    buf_free(&(*d)->envelope);
    buf_free(&(*d)->indexes);
    free((*d)->rcpts);
    free((*d)->slots);
    free(*d);
    *d = NULL;
}
