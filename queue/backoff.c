#include "queue/backoff.h"

#include "common/memory.h"
#include "io/log.h"
#include "mail/outcome.h"
#include "queue/deadline.h"
#include "queue/dispatch.h"
#include "queue/job.h"
#include "queue/schedule.h"

#include <stdlib.h>

static void on_time(struct timer *t)
{
    struct site *s = container_of(t, struct site, timer);
    struct queue *q = s->owner;

    s->probing = true;
    dispatch_probe(q->dispatch, s);
    backoff_drop(q, s);
}

static void set_cause(struct site *s, struct view cause)
{
    free((void *)(uintptr_t)s->cause.ptr);
    s->cause = cause.len == 0 ? VIEW_EMPTY : view_make(memory_copy(cause), cause.len);
}

static void log_backed_off(const struct site *s, uint64_t wait_ms)
{
    char room[1024];
    struct buf words = BUF_ON_ARRAY(room);
    struct arena arena;
    struct outcome o;

    arena_init(&arena, LETTER_ARENA_MAX);
    if (outcome_decode(s->cause, &arena, &o))
        outcome_print(&o, &words);
    log_warn("destination_backed_off", LOG_VIEW("destination", s->name),
             LOG_VIEW("reason", buf_view(&words)), LOG_U64("failures", s->failures),
             LOG_U64("next_s", wait_ms / 1000), LOG_U64("waiting", s->due_count));
    arena_reset(&arena);
}

static void on_sweep(struct timer *t)
{
    struct queue *q = container_of(t, struct queue, overdue_timer);
    unsigned steps = QUEUE_STEPS_PER_TURN;
    uint32_t mail;

    while ((mail = index_next_overdue(&q->index, &q->overdue_at, &steps)) != POOL_NONE)
        index_set_deadline(&q->index, mail, DEADLINE_EXPIRY);
    if (steps > 0) {
        deadline_arm(q);
        q->overdue_at = 1;
        if (!q->overdue_again)
            return;
        q->overdue_again = false;
    }
    loop_start_timer(q->loop, t, 0);
}

/* Mail whose lifetime ended when it was about to be tried: now it only waits, like the rest. It is
 * looked for in slices, and once more when others begin to wait meanwhile. */
static void expire_overdue(struct queue *q)
{
    if (q->index.overdue_count == 0)
        return;
    q->overdue_again = timer_running(&q->overdue_timer);
    if (q->overdue_again)
        return;
    q->overdue_at = 1;
    q->overdue_timer.fire = on_sweep;
    loop_start_timer(q->loop, &q->overdue_timer, 0);
}

/* Until one goes first again. */
static uint64_t count_failure(struct site *s, const struct verdict *fault)
{
    s->doubted = fault->outcome.scope == SCOPE_MESSAGE && !s->doubted;
    if (s->doubted)
        return 0;
    if (s->failures < UINT16_MAX)
        s->failures++;
    return schedule_backoff_ms(&s->limits->retry, s->failures, hash_bytes(s->name) + s->failures);
}

void backoff_failed(struct queue *q, struct site *s, bool probe, const struct verdict *fault)
{
    uint64_t wait_ms;

    if (s->backed_off && !probe)
        return;
    set_cause(s, fault->encoded);
    if (!s->backed_off && pace_has_hope(&s->pace, queue_now_ms(q))) {
        pace_slow_down(&s->pace, s->limits, s->running - 1, queue_now_ms(q));
        return;
    }
    pace_begin_again(&s->pace, queue_now_ms(q));
    if (!s->backed_off) {
        s->since_ms = queue_now_ms(q);
        list_append(&q->index.troubled, &s->trouble);
    }
    s->backed_off = true;
    s->probing = s->probe_out = false;
    wait_ms = count_failure(s, fault);
    s->until_ms = queue_now_ms(q) + wait_ms;
    s->timer.fire = on_time;
    loop_start_timer(q->loop, &s->timer, wait_ms);
    list_remove(&s->turn);
    log_backed_off(s, wait_ms);
    expire_overdue(q);
}

void backoff_override(struct queue *q, struct site *s)
{
    if (!s->backed_off)
        return;
    s->backed_off = s->probing = s->probe_out = s->forced = s->doubted = false;
    s->failures = 0;
    loop_stop_timer(q->loop, &s->timer);
    list_remove(&s->trouble);
    dispatch_wake(q->dispatch, s);
}

void backoff_retry(struct queue *q, struct site *s)
{
    if (!s->forced)
        backoff_override(q, s);
}

/* Words in the place of what a host would have said. */
static void set_forced_cause(struct site *s, struct view who)
{
    char text[128], room[512];
    struct buf words = BUF_ON_ARRAY(text), encoded = BUF_ON_ARRAY(room);
    struct outcome o = { .class = OUTCOME_DEFERRED,
                         .scope = SCOPE_DESTINATION,
                         .enhanced = { 4, 3, 2 } };

    buf_printf(&words, "held back by an administrator (%.*s)", VIEW_ARG(who));
    o.text = buf_view(&words);
    if (outcome_encode(&o, &encoded))
        set_cause(s, buf_view(&encoded));
}

void backoff_release(struct queue *q, struct site *s, struct view who)
{
    log_info("destination_closed", LOG_VIEW("destination", s->name), LOG_VIEW("by", who),
             LOG_U64("waiting", s->due_count));
    backoff_override(q, s);
}

void backoff_force(struct queue *q, struct site *s, struct view who)
{
    log_warn("destination_opened", LOG_VIEW("destination", s->name), LOG_VIEW("by", who),
             LOG_U64("waiting", s->due_count));
    set_forced_cause(s, who);
    if (!s->backed_off) {
        s->since_ms = queue_now_ms(q);
        list_append(&q->index.troubled, &s->trouble);
    }
    s->backed_off = s->forced = true;
    s->probing = s->probe_out = false;
    s->until_ms = UINT64_MAX;
    loop_stop_timer(q->loop, &s->timer);
    list_remove(&s->turn);
    expire_overdue(q);
}

void backoff_recovered(struct queue *q, struct site *s)
{
    if (!s->backed_off || s->forced)
        return;
    log_info("destination_recovered", LOG_VIEW("destination", s->name),
             LOG_U64("after_s", (queue_now_ms(q) - s->since_ms) / 1000),
             LOG_U64("waiting", s->due_count));
    backoff_override(q, s);
}

void backoff_untried(struct queue *q, struct site *s)
{
    s->probe_out = false;
    dispatch_wake(q->dispatch, s);
}

void backoff_drop(struct queue *q, struct site *s)
{
    if (s->probing && s->units == 0 && s->running == 0)
        backoff_override(q, s);
    index_drop_site(&q->index, s);
}

bool backoff_allows(const struct site *s)
{
    return !s->backed_off || (s->probing && !s->probe_out);
}
