#include "queue/time.h"

#include "io/clock.h"
#include "queue/queue.h"
#include "queue/schedule.h"

#include <inttypes.h>

enum {
    CLOCK_NOTE_MS = 60 * 1000, /* the clock is written down so often while there is mail, */
    CLOCK_FIRST_MS = 1000,     /* and so soon when there was none */
    CLOCK_AGREES_MS = 60 * 1000,
};

uint64_t queue_now_ms(const struct queue *q)
{
    return q->base_ms + (q->loop->now_ms - q->monotonic_base_ms);
}

/* `at` of one clock by the other one. */
static uint64_t convert(uint64_t at_ms, uint64_t now_ms, uint64_t other_ms)
{
    if (at_ms >= now_ms)
        return at_ms - now_ms > UINT64_MAX - other_ms ? UINT64_MAX : other_ms + (at_ms - now_ms);
    return other_ms - MIN(other_ms, now_ms - at_ms);
}

uint64_t queue_wall_ms(const struct queue *q, uint64_t at_ms)
{
    return convert(at_ms, queue_now_ms(q), clock_wall_ms());
}

uint64_t queue_time_ms(const struct queue *q, uint64_t wall_ms)
{
    return convert(wall_ms, clock_wall_ms(), queue_now_ms(q));
}

uint64_t queue_accepted_ms(const struct queue *q)
{
    uint64_t now_ms = queue_now_ms(q), wall_ms = clock_wall_ms();
    uint64_t apart_ms = now_ms > wall_ms ? now_ms - wall_ms : wall_ms - now_ms;

    return apart_ms > CLOCK_AGREES_MS ? now_ms : 0;
}

struct view queue_stamp(const struct queue *q, struct view encoded, struct buf *room)
{
    uint64_t accepted_ms = queue_accepted_ms(q);

    if (accepted_ms == 0 || !buf_put(room, encoded) ||
        !buf_printf(room, "accepted=%" PRIu64 "\n", accepted_ms))
        return encoded;
    return buf_view(room);
}

uint64_t queue_until_ms(const struct queue *q, uint64_t at_ms)
{
    uint64_t now_ms = queue_now_ms(q);

    return at_ms > now_ms ? at_ms - now_ms : 0;
}

uint32_t queue_tick(const struct queue *q, uint64_t at_ms)
{
    uint64_t after_ms = at_ms > q->base_ms ? at_ms - q->base_ms : 0;

    return (uint32_t)MIN((after_ms + QUEUE_TICK_MS - 1) / QUEUE_TICK_MS, (uint64_t)UINT32_MAX);
}

uint64_t queue_tick_ms(const struct queue *q, uint32_t tick)
{
    return q->base_ms + (uint64_t)tick * QUEUE_TICK_MS;
}

/* It died at most so long after it wrote the clock down: a disk may be slow. */
void time_begin(struct queue *q)
{
    struct store_clock last;
    bool known = store_last_clock(q->store, &last);

    q->base_ms = schedule_clock_ms(known ? &last : NULL, clock_wall_ms());
    q->monotonic_base_ms = q->loop->now_ms = clock_monotonic_ms();
    if (!known)
        q->doubt_ms = q->base_ms;
    else if (!last.ended)
        q->doubt_ms = MIN(q->base_ms, last.queue_ms + 2 * (uint64_t)CLOCK_NOTE_MS);
    if (known)
        q->former_ms = last.ended ? last.queue_ms : q->doubt_ms;
}

void time_note(struct queue *q, bool ended)
{
    const struct store_clock now = { queue_now_ms(q), clock_wall_ms(), ended };

    store_note_clock(q->store, &now);
}

static void on_clock(struct timer *t)
{
    struct queue *q = container_of(t, struct queue, clock_timer);

    time_note(q, false);
    if (q->index.mails.count > 0)
        loop_start_timer(q->loop, t, CLOCK_NOTE_MS);
}

void time_keep(struct queue *q)
{
    q->clock_timer.fire = on_clock;
    if (!timer_running(&q->clock_timer))
        loop_start_timer(q->loop, &q->clock_timer, CLOCK_FIRST_MS);
}
