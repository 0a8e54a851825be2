#include "queue/result.h"

#include "common/memory.h"
#include "io/clock.h"
#include "io/log.h"
#include "queue/attempts.h"
#include "queue/deadline.h"
#include "queue/dispatch.h"
#include "queue/judge.h"
#include "queue/losses.h"
#include "queue/notify.h"
#include "queue/remember.h"
#include "queue/schedule.h"
#include "queue/unread.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A line that a settled group has taken. */
static const struct verdict settled = { .duration_ms = 0 };

/* ---- hearing ---- */

static void log_delivered(const struct job *job, const struct job_line *line)
{
    const struct outcome *o = &line->verdict->outcome;
    uint64_t now_ms = clock_wall_ms();

    log_info("delivered", LOG_ID("message", job->message), LOG_VIEW("recipient", line->address),
             LOG_VIEW("destination", job->destination->hop.name),
             LOG_VIEW(o->host.len > 0 ? "host" : NULL, o->host),
             LOG_VIEW(o->tls.len > 0 ? "tls" : NULL, o->tls),
             LOG_U64(o->code > 0 ? "code" : NULL, o->code), LOG_VIEW("reply", o->text),
             LOG_U64("attempts", job->attempt),
             LOG_U64("delay_ms", now_ms > job->arrival_ms ? now_ms - job->arrival_ms : 0),
             LOG_U64("duration_ms", line->verdict->duration_ms));
}

static bool take_line(struct queue *q, struct job *job, struct job_line *line,
                      const struct verdict *v)
{
    if (line->verdict != NULL)
        return false;
    line->verdict = v;
    job->open--;
    if (v->outcome.class == OUTCOME_DELIVERED) {
        q->totals.delivered++;
        log_delivered(job, line);
    }
    return true;
}

static bool take_all(struct queue *q, struct job *job, const struct verdict *v)
{
    bool any = false;

    for (uint32_t i = 0; i < job->line_count; i++) {
        if (job->lines[i].verdict == NULL)
            any = take_line(q, job, &job->lines[i], v);
    }
    return any;
}

/* Results mostly come in the order of the recipients. */
static struct job_line *find_line(struct job *job, uint32_t rcpt)
{
    uint32_t start = job->line_count - job->open;

    for (uint32_t i = 0; i < job->line_count; i++) {
        struct job_line *line = &job->lines[(start + i) % job->line_count];

        if (line->rcpt == rcpt)
            return line;
    }
    return NULL;
}

bool result_hear(struct queue *q, struct job *job, const struct message_rcpt_result *r)
{
    struct verdict *v = arena_alloc(&job->arena, sizeof(*v));
    struct job_line *line;

    if (v == NULL || !arena_copy(&job->arena, r->outcome, &v->encoded) ||
        !outcome_decode(v->encoded, &job->arena, &v->outcome))
        return false;
    v->duration_ms = r->duration_ms;
    if (r->rcpt == JOB_ALL_RCPTS)
        return take_all(q, job, v);
    line = find_line(job, r->rcpt);
    return line != NULL && take_line(q, job, line, v);
}

void result_lost(struct queue *q, struct job *job)
{
    const struct outcome o = {
        .class = OUTCOME_DEFERRED,
        .scope = SCOPE_MESSAGE,
        .enhanced = { 4, 3, 0 },
        .text = VIEW("the process that delivered it ended, not for the first time"),
    };
    char room[512];
    struct buf encoded = BUF_ON_ARRAY(room);
    struct message_rcpt_result r = { .rcpt = JOB_ALL_RCPTS };

    if (job->open == 0 || !outcome_encode(&o, &encoded))
        return;
    r.outcome = buf_view(&encoded);
    if (!result_hear(q, job, &r))
        return; /* no room for it in the job: due again at once, as after the first time */
}

/* ---- settling ---- */

/* Recipients of a job that share a fate. */
struct group {
    struct rcpts set;
    uint32_t *rcpts;
    size_t count;
    const struct verdict *verdict;
    bool tells; /* they were delivered, and the sender is to hear of it */
};

/* What the sender is told of, of all groups. */
struct news {
    uint32_t *units;
    size_t unit_count;
    struct notify_rcpt *rcpts;
    size_t rcpt_count;
};

static bool same_verdict(const struct verdict *a, const struct verdict *b)
{
    return a == b || (a != NULL && b != NULL && view_equal(a->encoded, b->encoded));
}

/* RFC 3461, 5.2: the sender asked to be told, and nobody else will tell; or to be told of every hop
 * (RFC 2852, 4.1.5). What goes nowhere by the administrator's will is not said to have arrived. */
static bool tells(const struct queue *q, const struct job *job, const struct job_line *line)
{
    const struct outcome *o = &line->verdict->outcome;
    bool has_sender = (index_mail(&q->index, job->mail)->flags & MAIL_NULL_SENDER) == 0;
    bool local = job->destination->hop.kind == HOP_LOCAL;
    bool arrived = (line->notify & NOTIFY_SUCCESS) != 0 && !o->dsn;
    bool hop = job->by_trace && !local && (line->notify & NOTIFY_NEVER) == 0;

    return has_sender && o->class == OUTCOME_DELIVERED && (arrived || hop) &&
           (o->host.len > 0 || local);
}

static bool belongs(const struct queue *q, const struct job *job, const struct job_line *line,
                    const struct group *g)
{
    return line->verdict != &settled && same_verdict(line->verdict, g->verdict) &&
           (g->verdict == NULL || tells(q, job, line) == g->tells);
}

static void begin_group(struct group *g, const struct job *job, unsigned total)
{
    rcpts_init(&g->set, total);
    g->rcpts = memory_new_array(job->line_count, sizeof(*g->rcpts));
    g->count = 0;
}

static void end_group(struct group *g, unsigned total)
{
    rcpts_release(&g->set, total);
    free(g->rcpts);
}

static void add_line(struct group *g, struct job_line *line, unsigned total)
{
    rcpts_add(&g->set, total, line->rcpt);
    g->rcpts[g->count++] = line->rcpt;
}

/* The outcome, and what happened before it. */
static void put_text(struct queue *q, const struct group *g, const struct unit *u, struct buf *out)
{
    struct store_outcome before = { .text = VIEW_EMPTY };
    struct arena arena;

    arena_init(&arena, ATTEMPTS_ARENA_MAX);
    if (u->last_place == 0 || store_read_outcome(q->store, index_last(u), &arena, &before) < 0)
        before.text = VIEW_EMPTY;
    attempts_put(g->verdict->encoded, g->verdict->duration_ms, before.text, before.at_ms, out);
    arena_reset(&arena);
}

static void record(struct queue *q, const struct job *job, const struct group *g,
                   enum store_state state, struct view text, uint64_t next_ms,
                   struct store_ref *where)
{
    const struct store_outcome o = {
        .message = job->message,
        .rcpts = g->rcpts,
        .rcpt_count = g->count,
        .state = state,
        .attempts = job->attempt,
        .next_ms = next_ms,
        .at_ms = clock_wall_ms(),
        .text = text,
    };

    store_settle(q->store, &o, where);
}

static void log_deferred(const struct job *job, const struct group *g, uint64_t wait_ms)
{
    char room[1024];
    struct buf words = BUF_ON_ARRAY(room);
    const struct outcome *o = &g->verdict->outcome;

    outcome_print(o, &words);
    for (uint32_t i = 0; i < job->line_count; i++) {
        const struct job_line *line = &job->lines[i];

        if (line->verdict != &settled && same_verdict(line->verdict, g->verdict))
            log_info(
                "deferred", LOG_ID("message", job->message), LOG_VIEW("recipient", line->address),
                LOG_VIEW("destination", job->destination->hop.name),
                LOG_VIEW(o->host.len > 0 ? "host" : NULL, o->host),
                LOG_VIEW(o->tls.len > 0 ? "tls" : NULL, o->tls),
                LOG_U64(o->code > 0 ? "code" : NULL, o->code), LOG_VIEW("reason", buf_view(&words)),
                LOG_U64("attempts", job->attempt), LOG_U64("duration_ms", g->verdict->duration_ms),
                LOG_U64("next_s", wait_ms / 1000));
    }
}

/* Into the wheel, or behind the others of a site that is backed off. Returns the time until
 * then. */
static uint64_t wait_for_next(struct queue *q, const struct job *job, const struct outcome *o,
                              uint32_t unit)
{
    const struct site *s = job->destination->site;
    const struct mail *m = index_mail(&q->index, job->mail);
    uint64_t now_ms = queue_now_ms(q);
    uint64_t wait_ms = schedule_retry_ms(&s->limits->retry, job->attempt, m->id + job->attempt);

    if (m->flags & MAIL_HELD) {
        index_park(&q->index, unit);
        return wait_ms;
    }
    /* What may be the message's doing is not to be the next probe. */
    if (s->backed_off && o->scope != SCOPE_MESSAGE && o->scope != SCOPE_DISK) {
        index_make_due(&q->index, unit, false);
        return s->until_ms > now_ms && !s->forced ? s->until_ms - now_ms : 0;
    }
    if (o->scope == SCOPE_DESTINATION) /* and not backed off: others of its mail get through */
        wait_ms = schedule_again_ms(&s->limits->retry, job->attempt, m->id + job->attempt);
    index_time(&q->index, unit, queue_tick(q, now_ms + wait_ms));
    queue_arm_wheel(q);
    return wait_ms;
}

static void count_attempt(struct queue *q, const struct job *job, uint32_t unit)
{
    index_unit(&q->index, unit)->attempts =
        MIN(job->attempt, (uint32_t)UNIT_ATTEMPTS_MAX) & UNIT_ATTEMPTS_MAX;
}

static void defer(struct queue *q, const struct job *job, const struct group *g, uint32_t unit)
{
    struct unit *u = index_unit(&q->index, unit);
    char room[ATTEMPTS_BYTES_MAX];
    struct buf text = BUF_ON_ARRAY(room);
    struct store_ref where = { 0 };
    uint64_t wait_ms;

    count_attempt(q, job, unit);
    wait_ms = wait_for_next(q, job, &g->verdict->outcome, unit);
    put_text(q, g, u, &text);
    record(q, job, g, STORE_DEFERRED, buf_view(&text), queue_now_ms(q) + wait_ms, &where);
    index_set_last(u, where);
    q->totals.deferred += g->count;
    log_deferred(job, g, wait_ms);
}

static void collect(struct queue *q, const struct job *job, const struct group *g, uint32_t unit,
                    struct news *n)
{
    bool expired = g->verdict->outcome.class == OUTCOME_DEFERRED;

    count_attempt(q, job, unit);
    n->units[n->unit_count++] = unit;
    for (uint32_t i = 0; i < job->line_count; i++) {
        const struct job_line *line = &job->lines[i];

        if (belongs(q, job, line, g))
            n->rcpts[n->rcpt_count++] = (struct notify_rcpt){
                line->rcpt,      unit,    line->address, &g->verdict->outcome,
                clock_wall_ms(), expired, false,
            };
    }
}

/* The lines without a verdict: as if the job had never been. */
static void put_back(struct queue *q, uint32_t unit)
{
    const struct mail *m = index_mail(&q->index, index_mail_of(&q->index, unit));

    if (m->flags & MAIL_HELD)
        index_park(&q->index, unit);
    else
        dispatch_unit(q->dispatch, unit);
}

/* What comes of a job. */
struct settling {
    struct group delivered;  /* of which nobody is told */
    struct news arrivals[2]; /* relayed, and into mailboxes */
    struct news losses;
};

static bool is_final(const struct job *job, const struct outcome *o)
{
    return o->final || job->destination->hop.kind == HOP_LOCAL;
}

static void settle_group(struct queue *q, const struct job *job, const struct group *g,
                         struct settling *s)
{
    bool overdue =
        (index_mail(&q->index, job->mail)->flags & (MAIL_OVERDUE | MAIL_HELD)) == MAIL_OVERDUE;
    uint32_t unit = index_split(&q->index, job->unit, &g->set);

    if (g->verdict == NULL) {
        put_back(q, unit);
        return;
    }
    switch (g->verdict->outcome.class) {
    case OUTCOME_DELIVERED:
        remember(q, index_mail(&q->index, job->mail), PAST_DELIVERED, g->rcpts, g->count,
                 job->attempt, g->verdict->encoded);
        if (g->tells) {
            collect(q, job, g, unit, &s->arrivals[is_final(job, &g->verdict->outcome)]);
            break;
        }
        for (size_t i = 0; i < g->count; i++)
            s->delivered.rcpts[s->delivered.count++] = g->rcpts[i];
        queue_remove_unit(q, unit);
        break;
    case OUTCOME_DEFERRED:
        if (overdue)
            collect(q, job, g, unit, &s->losses);
        else
            defer(q, job, g, unit);
        break;
    case OUTCOME_FAILED:
        if (deadline_in_trash(index_mail(&q->index, job->mail)))
            index_park(&q->index, unit); /* nobody is told, unless it comes back */
        else
            collect(q, job, g, unit, &s->losses);
        break;
    case OUTCOME_CLASSES:
        break;
    }
}

/* Every line once, those with the same verdict together. */
static void settle_groups(struct queue *q, struct job *job, unsigned total, struct settling *s)
{
    for (uint32_t i = 0; i < job->line_count; i++) {
        struct group g = { .verdict = job->lines[i].verdict };

        if (g.verdict == &settled)
            continue;
        g.tells = g.verdict != NULL && tells(q, job, &job->lines[i]);
        begin_group(&g, job, total);
        for (uint32_t k = i; k < job->line_count; k++) {
            if (belongs(q, job, &job->lines[k], &g))
                add_line(&g, &job->lines[k], total);
        }
        settle_group(q, job, &g, s);
        for (uint32_t k = i; k < job->line_count; k++) {
            if (belongs(q, job, &job->lines[k], &g))
                job->lines[k].verdict = &settled;
        }
        end_group(&g, total);
    }
}

/* The message was deleted while a worker had it. */
static void drop_unit(struct queue *q, const struct job *job)
{
    queue_remove_unit(q, job->unit);
    queue_finish_if_done(q, job->mail);
}

/* One message with one recipient that was delivered is nearly all there ever is. */
static bool settle_single(struct queue *q, const struct job *job)
{
    const struct mail *m = index_mail(&q->index, job->mail);
    const struct verdict *v = job->lines[0].verdict;

    if (m->rcpt_count != 1 || v == NULL || v->outcome.class != OUTCOME_DELIVERED ||
        tells(q, job, &job->lines[0]))
        return false;
    remember(q, m, PAST_DELIVERED, &job->lines[0].rcpt, 1, job->attempt, v->encoded);
    drop_unit(q, job);
    return true;
}

/* What waits for hours need not stay in memory. */
static void forget_letter(struct queue *q, uint32_t mail)
{
    index_each_unit (u, &q->index, mail) {
        unsigned state = index_unit(&q->index, u)->state;

        if (state == UNIT_RUNNING || state == UNIT_DUE)
            return;
    }
    cache_drop(&q->cache, index_mail(&q->index, mail)->id);
}

static void begin_news(struct news *n, const struct job *job)
{
    n->units = memory_new_array(job->line_count, sizeof(*n->units));
    n->rcpts = memory_new_array(job->line_count, sizeof(*n->rcpts));
}

static void end_news(struct news *n)
{
    free(n->units);
    free(n->rcpts);
}

/* The message may be gone afterwards. */
static void tell(struct queue *q, const struct job *job, const struct settling *s)
{
    const struct news *l = &s->losses;

    for (unsigned final = 0; final < 2; final++) {
        const struct news *a = &s->arrivals[final];

        if (a->unit_count > 0)
            notify_success(q, job->mail, final, a->units, a->unit_count, a->rcpts, a->rcpt_count);
    }
    if (l->unit_count > 0)
        losses_take(q, job->mail, l->units, l->unit_count, l->rcpts, l->rcpt_count);
}

static void settle_lines(struct queue *q, struct job *job)
{
    unsigned total = index_mail(&q->index, job->mail)->rcpt_count;
    struct settling s = { .delivered.count = 0 };

    begin_group(&s.delivered, job, total);
    begin_news(&s.arrivals[0], job);
    begin_news(&s.arrivals[1], job);
    begin_news(&s.losses, job);
    settle_groups(q, job, total, &s);
    if (s.delivered.count > 0 && index_first_unit(&q->index, job->mail) != POOL_NONE)
        record(q, job, &s.delivered, STORE_DELIVERED, VIEW_EMPTY, 0, NULL);
    if (s.arrivals[0].unit_count + s.arrivals[1].unit_count + s.losses.unit_count > 0)
        tell(q, job, &s);
    else if (!queue_finish_if_done(q, job->mail))
        forget_letter(q, job->mail);
    end_group(&s.delivered, total);
    end_news(&s.arrivals[0]);
    end_news(&s.arrivals[1]);
    end_news(&s.losses);
}

static bool has_scope(const struct job *job, enum outcome_scope scope)
{
    for (uint32_t i = 0; i < job->line_count; i++) {
        const struct verdict *v = job->lines[i].verdict;

        if (v != NULL && v->outcome.scope == scope)
            return true;
    }
    return false;
}

/* Of a large body only the worker sees more than the length. What is damaged is held before its
 * recipients are put off: they wait for an administrator. */
static void note_body(struct queue *q, const struct job *job)
{
    if (has_scope(job, SCOPE_SPOOL)) {
        q->bodies_damaged++;
        queue_set_aside(q, job->mail, -EBADMSG);
    } else if (has_scope(job, SCOPE_DISK)) {
        (void)!unread_note(q, job->message, -EIO);
    } else if (job->lines[0].verdict != NULL) {
        unread_forget(q, job->message);
    }
}

void result_settle(struct queue *q, struct job *job)
{
    const struct mail *m = index_mail(&q->index, job->mail);

    judge_site(q, job);
    note_body(q, job);
    if ((m->flags & MAIL_DELETED) && !deadline_in_trash(m))
        drop_unit(q, job);
    else if (!settle_single(q, job))
        settle_lines(q, job);
    losses_look(q, job->message);
}
