#include "queue/schedule.h"

/* first, first * factor, first * factor^2 ..., at most longest. */
static uint64_t interval_ms(uint64_t first_ms, uint64_t factor_milli, uint64_t longest_ms,
                            unsigned count)
{
    uint64_t interval = MIN(first_ms, longest_ms);

    for (; count > 1 && interval < longest_ms; count--) {
        if (factor_milli <= 1000)
            break;
        if (interval > UINT64_MAX / factor_milli)
            return longest_ms;
        interval = MIN(interval * factor_milli / 1000, longest_ms);
    }
    return interval;
}

/* SplitMix64: every bit of the seed matters. */
static uint64_t mix(uint64_t seed)
{
    uint64_t z = seed + 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static uint64_t add_jitter(uint64_t interval, uint64_t percent, uint64_t seed)
{
    uint64_t spread = interval / 100 * percent + interval % 100 * percent / 100;

    return spread == 0 ? interval : interval - spread + mix(seed) % (2 * spread + 1);
}

uint64_t schedule_retry_ms(const struct retry_settings *r, unsigned attempts, uint64_t seed)
{
    return add_jitter(interval_ms(r->first_ms, r->factor_milli, r->longest_ms, attempts),
                      r->jitter_percent, seed);
}

uint64_t schedule_again_ms(const struct retry_settings *r, unsigned attempts, uint64_t seed)
{
    uint64_t usual_ms = schedule_retry_ms(r, attempts, seed);
    uint64_t soon_ms = interval_ms(SCHEDULE_AGAIN_MS, 4000, usual_ms, attempts);

    return MIN(add_jitter(soon_ms, r->jitter_percent, seed), usual_ms);
}

uint64_t schedule_backoff_ms(const struct retry_settings *r, unsigned failures, uint64_t seed)
{
    uint64_t first_ms = MAX(r->first_ms / SCHEDULE_BACKOFF_PART, 1);

    return add_jitter(interval_ms(first_ms, r->factor_milli, r->longest_ms, failures),
                      r->jitter_percent, seed);
}

static uint64_t deadline_ms(uint64_t arrival_ms, uint64_t span_ms, bool restored,
                            uint64_t started_ms)
{
    if (!restored)
        return arrival_ms + span_ms;
    return MAX(arrival_ms + span_ms, started_ms + MIN(span_ms, (uint64_t)SCHEDULE_GRACE_MS));
}

uint64_t schedule_expiry_ms(const struct retry_settings *r, uint64_t arrival_ms, bool restored,
                            uint64_t started_ms)
{
    return deadline_ms(arrival_ms, r->lifetime_ms, restored, started_ms);
}

uint64_t schedule_notice_ms(const struct retry_settings *r, uint64_t arrival_ms, bool restored,
                            uint64_t started_ms)
{
    if (r->notice_ms == 0 || r->notice_ms >= r->lifetime_ms)
        return UINT64_MAX;
    return deadline_ms(arrival_ms, r->notice_ms, restored, started_ms);
}

uint64_t schedule_clock_ms(const struct store_clock *last, uint64_t wall_ms)
{
    uint64_t gap_ms;

    if (last == NULL)
        return wall_ms;
    gap_ms = wall_ms > last->wall_ms ? wall_ms - last->wall_ms : 0;
    return last->queue_ms + (gap_ms <= SCHEDULE_GAP_MS ? gap_ms : 0);
}

uint64_t schedule_restored_ms(const struct retry_settings *r, uint64_t next_ms, uint64_t now_ms,
                              uint64_t seed)
{
    uint64_t longest_ms = r->longest_ms + r->longest_ms / 2; /* with jitter */

    if (next_ms >= now_ms)
        return MIN(next_ms - now_ms, longest_ms);
    return mix(seed) % MIN(now_ms - next_ms, (uint64_t)SCHEDULE_GRACE_MS);
}

uint64_t schedule_last_chance_ms(const struct retry_settings *r, uint64_t arrival_ms,
                                 uint64_t started_ms, uint64_t seed)
{
    uint64_t grace_ms = MIN(r->lifetime_ms, (uint64_t)SCHEDULE_GRACE_MS);

    if (arrival_ms + r->lifetime_ms > started_ms + grace_ms)
        return UINT64_MAX;
    return mix(seed) % (grace_ms - grace_ms / 4 + 1); /* and a quarter for the attempt */
}
