#include "queue/backoff.h"

#include "common/memory.h"
#include "io/log.h"
#include "mail/outcome.h"
#include "queue/dispatch.h"
#include "queue/schedule.h"

#include <stdlib.h>

static void on_time(struct timer *t)
{
    struct destination *d = container_of(t, struct destination, timer);
    struct queue *q = d->owner;

    d->probing = true;
    dispatch_wake(q->dispatch, d);
    backoff_drop(q, d);
}

static void set_cause(struct destination *d, struct view cause)
{
    free((void *)(uintptr_t)d->cause.ptr);
    d->cause = cause.len == 0 ? VIEW_EMPTY : view_make(memory_copy(cause), cause.len);
}

static void log_backed_off(const struct destination *d, uint64_t wait_ms)
{
    char room[1024];
    struct buf words = BUF_ON_ARRAY(room);
    struct arena arena;
    struct outcome o;

    arena_init(&arena, LETTER_ARENA_MAX);
    if (outcome_decode(d->cause, &arena, &o))
        outcome_print(&o, &words);
    log_warn("destination_backed_off", LOG_VIEW("destination", d->hop.name),
             LOG_VIEW("reason", buf_view(&words)), LOG_U64("failures", d->failures),
             LOG_U64("next_s", wait_ms / 1000), LOG_U64("waiting", d->due_count));
    arena_reset(&arena);
}

/* Mail whose lifetime ended when it was about to be tried: now it only waits, like the rest. */
static void expire_overdue(struct queue *q, const struct destination *d)
{
    if (q->index.overdue_count == 0)
        return;
    for (uint32_t u = d->first; u != POOL_NONE; u = index_unit(&q->index, u)->link.next) {
        uint32_t mail = index_unit(&q->index, u)->mail;
        const struct mail *m = index_mail(&q->index, mail);

        if ((m->flags & MAIL_OVERDUE) && m->deadline == DEADLINE_NONE)
            index_set_deadline_first(&q->index, mail, DEADLINE_EXPIRY);
    }
    queue_arm_deadlines(q);
}

void backoff_failed(struct queue *q, struct destination *d, bool probe, struct view cause)
{
    uint64_t wait_ms;

    if (d->backed_off && !probe)
        return;
    if (d->failures < UINT16_MAX)
        d->failures++;
    if (!d->backed_off) {
        d->since_ms = queue_now_ms(q);
        list_append(&q->index.troubled, &d->trouble);
    }
    d->backed_off = true;
    d->probing = d->probe_out = false;
    set_cause(d, cause);
    wait_ms = schedule_backoff_ms(&q->settings->retry, d->failures,
                                  hash_bytes(d->hop.name) + d->failures);
    d->until_ms = queue_now_ms(q) + wait_ms;
    d->owner = q;
    d->timer.fire = on_time;
    loop_start_timer(q->loop, &d->timer, wait_ms);
    list_remove(&d->turn);
    log_backed_off(d, wait_ms);
    expire_overdue(q, d);
}

void backoff_override(struct queue *q, struct destination *d)
{
    if (!d->backed_off)
        return;
    d->backed_off = d->probing = d->probe_out = false;
    d->failures = 0;
    loop_stop_timer(q->loop, &d->timer);
    list_remove(&d->trouble);
    dispatch_wake(q->dispatch, d);
}

void backoff_recovered(struct queue *q, struct destination *d)
{
    if (!d->backed_off)
        return;
    log_info("destination_recovered", LOG_VIEW("destination", d->hop.name),
             LOG_U64("after_s", (queue_now_ms(q) - d->since_ms) / 1000),
             LOG_U64("waiting", d->due_count));
    set_cause(d, VIEW_EMPTY);
    backoff_override(q, d);
}

void backoff_untried(struct queue *q, struct destination *d)
{
    d->probe_out = false;
    dispatch_wake(q->dispatch, d);
}

void backoff_drop(struct queue *q, struct destination *d)
{
    if (d->probing && d->units == 0 && d->running == 0)
        backoff_override(q, d);
    index_drop_destination(&q->index, d);
}

bool backoff_allows(const struct destination *d)
{
    return !d->backed_off || (d->probing && !d->probe_out);
}
