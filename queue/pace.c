#include "queue/pace.h"

#include "common/attrs.h"

/* Timers are no finer: what is due within the millisecond is due now. */
enum { TICK_US = 1000 };

void pace_init(struct pace *p)
{
    *p = (struct pace){ .window = PACE_WINDOW_FIRST, .threshold = UINT32_MAX };
}

uint32_t pace_window(const struct pace *p, const struct destination_limits *l)
{
    return (uint32_t)MIN((uint64_t)p->window, l->concurrency);
}

void pace_succeed(struct pace *p, const struct destination_limits *l, uint64_t now_ms)
{
    p->success_ms = now_ms;
    p->quarrels = 0;
    p->deaf -= p->deaf > 0;
    p->window = pace_window(p, l);
    if (p->window >= l->concurrency)
        return;
    if (p->window >= p->threshold && ++p->successes < p->window)
        return;
    p->successes = 0;
    p->window++;
}

void pace_slow_down(struct pace *p, const struct destination_limits *l, uint32_t running,
                    uint64_t now_ms)
{
    p->failure_ms = now_ms;
    p->quarrels++;
    if (p->deaf > 0) {
        p->deaf--;
        return;
    }
    p->window = MAX(pace_window(p, l) / 2, 1U);
    p->threshold = p->window;
    p->successes = 0;
    p->deaf = running;
}

bool pace_is_proven(const struct pace *p, uint64_t now_ms)
{
    return p->success_ms > 0 && p->success_ms >= p->failure_ms &&
           now_ms - p->success_ms < PACE_PROVEN_MS;
}

bool pace_has_hope(const struct pace *p, uint64_t now_ms)
{
    return p->success_ms > 0 && now_ms - p->success_ms < PACE_HOPE_MS &&
           p->quarrels + 1 < PACE_QUARRELS_MAX;
}

void pace_begin_again(struct pace *p, uint64_t now_ms)
{
    p->failure_ms = now_ms;
    if (p->window > 1)
        p->threshold = MAX(p->window / 2, 1U);
    p->window = 1;
    p->successes = p->deaf = 0;
    p->quarrels = PACE_QUARRELS_MAX;
}

uint64_t pace_free_ms(const struct pace *p, uint64_t now_ms)
{
    uint64_t free_us = MAX(p->messages_free_us, p->recipients_free_us);
    uint64_t now_us = now_ms * 1000 + TICK_US;

    return free_us <= now_us ? now_ms : now_ms + (free_us - now_us + TICK_US - 1) / TICK_US;
}

uint32_t pace_burst(const struct destination_limits *l)
{
    uint64_t part = MAX(l->recipients.count / PACE_BURST_PART, 1);

    return l->recipients.count == 0 ? UINT32_MAX : (uint32_t)MIN(part, UINT32_MAX);
}

void pace_begin(struct pace *p, const struct destination_limits *l, uint64_t former_ms)
{
    p->messages_free_us = former_ms * 1000 + rate_interval_us(&l->messages);
    p->recipients_free_us = former_ms * 1000 + rate_interval_us(&l->recipients) * pace_burst(l);
}

void pace_change_limits(struct pace *p, const struct destination_limits *l, uint64_t now_ms)
{
    uint64_t message_us = rate_interval_us(&l->messages);
    uint64_t burst_us = rate_interval_us(&l->recipients) * pace_burst(l);

    p->messages_free_us = MIN(p->messages_free_us, now_ms * 1000 + message_us);
    p->recipients_free_us = MIN(p->recipients_free_us, now_ms * 1000 + burst_us);
}

static void spend(uint64_t *free_us, const struct rate *r, uint32_t count, uint64_t now_ms)
{
    uint64_t interval_us = rate_interval_us(r);

    if (interval_us > 0)
        *free_us = MAX(*free_us, now_ms * 1000) + interval_us * count;
}

void pace_spend(struct pace *p, const struct destination_limits *l, uint32_t recipients,
                uint64_t now_ms)
{
    spend(&p->messages_free_us, &l->messages, 1, now_ms);
    spend(&p->recipients_free_us, &l->recipients, recipients, now_ms);
}
