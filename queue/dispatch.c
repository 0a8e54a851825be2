#include "queue/dispatch.h"

#include "common/memory.h"
#include "io/log.h"
#include "queue/backoff.h"
#include "queue/job.h"
#include "queue/mx.h"
#include "queue/result.h"
#include "queue/tlsnote.h"
#include "queue/worker.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    JOBS_PER_TURN = 512,
    UNSENT_MARK_BYTES = 4 << 20, /* a worker that does not read gets no more */
    RESERVED_PART = 4,           /* of the credits of a worker: for proven sites */
    RUNNING_PER_CONNECTION = 2,  /* jobs of a site: one in its dialogue, one waiting */
};

/* The place of a worker: its index among its kind. Processes come and go. */
struct slot {
    struct list workers; /* oldest first */
    struct list turn;    /* sites that could start a job */
};

struct dispatch {
    struct queue *queue;
    struct slot *slots; /* number 0 is local's, the others are delivery's */
    uint32_t slot_count;
    uint32_t delivery_count; /* in force: what sites are spread over */
    struct table jobs;
    uint64_t next_job;
    uint32_t worker_serial; /* of the last one */
    struct deferred again;
    struct job_maker maker;
    struct mx mx;
};

/* ---- slots ---- */

static void on_again(struct deferred *d)
{
    (void)d; /* the turn that it makes happen is what was wanted */
}

/* Sites are in the lists of slots, so slots stay where they are: enough for all that there
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
    job_maker_init(&d->maker, q);
    mx_init(&d->mx, q);
    return d;
}

static struct slot *slot_for(struct dispatch *d, struct view name)
{
    return &d->slots[1 + hash_stable(name) % d->delivery_count];
}

static struct slot *slot_of(struct dispatch *d, const struct site *s)
{
    return s->kind == SITE_LOCAL ? &d->slots[0] : slot_for(d, s->name);
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

struct worker *dispatch_worker_for(struct dispatch *d, struct view name)
{
    return worker_of(slot_for(d, name));
}

static void on_rate_free(struct timer *t)
{
    struct site *s = container_of(t, struct site, timer);
    struct queue *q = s->owner;

    dispatch_wake(q->dispatch, s);
    backoff_drop(q, s);
}

/* If not, it is woken when they do, and is not forgotten before that, though nothing may wait: so
 * this is asked first. */
static bool rates_allow(struct dispatch *d, struct site *s)
{
    uint64_t now_ms = queue_now_ms(d->queue);
    uint64_t free_ms = pace_free_ms(&s->pace, now_ms);

    if (free_ms <= now_ms)
        return true;
    if (!timer_running(&s->timer)) {
        s->timer.fire = on_rate_free;
        loop_start_timer(d->queue->loop, &s->timer, free_ms - now_ms);
    }
    return false;
}

static bool may_start(struct dispatch *d, struct site *s)
{
    return rates_allow(d, s) && s->due_count > 0 && backoff_allows(s) &&
           s->running - s->leaving < RUNNING_PER_CONNECTION * site_connections(s);
}

void dispatch_wake(struct dispatch *d, struct site *s)
{
    if (d == NULL || !list_empty(&s->turn))
        return;
    if (may_start(d, s) && !mx_must_wait(&d->mx, s))
        list_append(&slot_of(d, s)->turn, &s->turn);
    else if (!mx_is_wanted(&d->mx))
        return;
    loop_defer(d->queue->loop, &d->again);
}

void dispatch_unit(struct dispatch *d, uint32_t unit)
{
    struct index *x = &d->queue->index;

    index_make_due(x, unit, false);
    mx_hasten(&d->mx, unit);
    dispatch_wake(d, index_destination(x, index_unit(x, unit)->destination)->site);
}

void dispatch_probe(struct dispatch *d, struct site *s)
{
    mx_refresh_site(&d->mx, s);
    dispatch_wake(d, s);
}

void dispatch_set_apart(struct dispatch *d, struct destination *to)
{
    mx_set_apart(&d->mx, to);
}

/* ---- the ends of jobs ---- */

static void end_job(struct dispatch *d, struct job *job)
{
    struct destination *to = job->destination;
    struct site *site = job->site;

    table_remove(&d->jobs, &job->entry);
    list_remove(&job->link);
    job->worker->running--;
    result_settle(d->queue, job); /* both stay, since a job of them is still counted */
    to->running--;
    site->running--;
    site->leaving -= job->worker->draining;
    dispatch_wake(d, site);
    queue_rest(d->queue, to);
    backoff_drop(d->queue, site);
    job_free(job);
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

    if (!message_ready_for_decode(fields, &m) || m.jobs > JOBS_MOST)
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

/* The host took not all recipients at once, or another host is tried. */
static bool heard_again(struct worker *w, struct view fields)
{
    struct message_job_again m;
    struct job *job;

    if (!message_job_again_decode(fields, &m))
        return false;
    job = find_job(w, m.job);
    if (job == NULL || m.rcpts > job->line_count)
        return false;
    pace_spend(&job->site->pace, job->site->limits, m.rcpts, queue_now_ms(w->owner->queue));
    return true;
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

static bool heard_tls_missed(struct worker *w, struct view fields)
{
    struct message_tls_missed m;
    struct job *job;

    if (!message_tls_missed_decode(fields, &m))
        return false;
    job = find_job(w, m.job);
    if (job == NULL)
        return false;
    tlsnote_add(w->owner->queue, job->site, w, &m);
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
    if (type == MESSAGE_JOB_AGAIN)
        return heard_again(w, fields);
    if (type == MESSAGE_JOB_END)
        return heard_end(w, fields);
    if (type == MESSAGE_MX_ANSWER)
        return mx_hear(&w->owner->mx, w, fields);
    if (type == MESSAGE_TLS_MISSED)
        return heard_tls_missed(w, fields);
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
    mx_lose_worker(&w->owner->mx, w);
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
    w->serial = ++d->worker_serial;
    w->free_later.run = on_free;
    w->peer.heard = on_heard;
    w->peer.gone = on_gone;
    w->peer.channel.drained = on_drained;
    list_init(&w->jobs);
    list_init(&w->asked);
    err = peer_open(&w->peer, d->queue->loop, QUEUE, kind, index, fd);
    if (err < 0) {
        log_error("channel_failed", LOG_STRING("peer", process_name(kind)),
                  LOG_ERRNO("error", -err));
        close(fd);
        free(w);
        return;
    }
    list_append(&d->slots[slot].workers, &w->link);
    loop_defer(d->queue->loop, &d->again);
}

static void retire(struct worker *w)
{
    if (w->draining)
        return;
    w->draining = true;
    list_each (it, &w->jobs)
        container_of(it, struct job, link)->site->leaving++;
}

/* All but the newest of a slot, and all of slots that are not used any more. */
static void retire_workers(struct dispatch *d)
{
    for (uint32_t i = 0; i < d->slot_count; i++) {
        struct slot *s = &d->slots[i];

        list_each (it, &s->workers) {
            struct worker *w = container_of(it, struct worker, link);

            if (i > d->delivery_count || it->next != &s->workers)
                retire(w);
        }
    }
}

/* The sites that have their turn, to where they belong now. */
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
        dispatch_wake(d, container_of(it, struct site, turn));
}

void dispatch_reload(struct dispatch *d)
{
    d->delivery_count = count_delivery(d->queue);
    retire_workers(d);
    spread_again(d);
}

static bool has_room(const struct worker *w)
{
    return w->running < w->credits && w->peer.channel.unsent_bytes < UNSENT_MARK_BYTES;
}

static void start_job(struct dispatch *d, struct worker *w, struct site *s)
{
    struct job *job = job_start(&d->maker, w, d->next_job, site_first(&d->queue->index, s));

    if (job == NULL)
        return;
    table_add_number(&d->jobs, &job->entry, d->next_job++);
    job->probe = s->backed_off;
    s->probe_out = s->backed_off;
    pace_spend(&s->pace, s->limits, job->line_count, queue_now_ms(d->queue));
    mx_refresh(&d->mx, job->destination);
}

/* What must stay free when the site gets one more: a quarter of the credits is for sites that are
 * proven, so that they move however many others are slow. Half of that also serves to try the
 * others for the first time. */
static uint32_t reserve_from(const struct worker *w, const struct site *s, uint64_t now_ms)
{
    uint32_t reserve = w->credits / RESERVED_PART;
    bool untried = s->running == 0 && s->pace.success_ms == 0 && s->pace.failure_ms == 0;

    if (pace_is_proven(&s->pace, now_ms))
        return 0;
    return untried ? reserve / 2 : reserve;
}

/* A site may hold as many jobs as the worker could still take: however many sites are slow, there
 * is room for one more. */
static bool has_share(const struct worker *w, const struct site *s, uint64_t now_ms)
{
    uint32_t left = w->credits - w->running;

    return left > reserve_from(w, s, now_ms) && (s->running == 0 || s->running < left);
}

/* One job of each site in turn. Returns how many may still be started in this turn. */
static unsigned run_slot(struct dispatch *d, struct slot *slot, unsigned budget)
{
    struct worker *w = worker_of(slot);
    struct list greedy;
    struct list *it;

    list_init(&greedy);
    while (w != NULL && budget > 0 && has_room(w) && !list_empty(&slot->turn)) {
        struct site *s = container_of(list_take_first(&slot->turn), struct site, turn);

        if (!may_start(d, s))
            continue;
        if (!has_share(w, s, queue_now_ms(d->queue))) {
            list_append(&greedy, &s->turn);
            continue;
        }
        start_job(d, w, s);
        dispatch_wake(d, s);
        backoff_drop(d->queue, s);
        budget--;
    }
    while ((it = list_take_first(&greedy)) != NULL)
        list_append(&slot->turn, it); /* when a job ends it is looked at again */
    return budget;
}

void dispatch_run(struct dispatch *d)
{
    unsigned budget = JOBS_PER_TURN;

    if (d->queue->draining)
        return;
    mx_run(&d->mx, d);
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
    mx_release(&(*d)->mx);
    for (uint32_t i = 0; i < (*d)->slot_count; i++) {
        struct list *it;

        while ((it = list_take_first(&(*d)->slots[i].workers)) != NULL) {
            struct worker *w = container_of(it, struct worker, link);

            peer_close(&w->peer);
            while ((it = list_take_first(&w->jobs)) != NULL)
                job_free(container_of(it, struct job, link));
            free(w);
        }
    }
    table_release(&(*d)->jobs);
    job_maker_release(&(*d)->maker);
    free((*d)->slots);
    free(*d);
    *d = NULL;
}
