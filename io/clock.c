#include "io/clock.h"

#include <stdbool.h>
#include <time.h>

static struct {
    bool still;
    uint64_t monotonic_ms, wall_ms;
} frozen;

static uint64_t read_clock(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t clock_monotonic_ms(void)
{
    return frozen.still ? frozen.monotonic_ms : read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ms(void)
{
    return frozen.still ? frozen.wall_ms : read_clock(CLOCK_REALTIME);
}

void clock_load_zone(void)
{
    tzset();
}

/* localtime_r reads no file: the zone is loaded. */
unsigned clock_week_minute(uint64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm t = { .tm_wday = 1 };

    (void)localtime_r(&seconds, &t);
    return (unsigned)((t.tm_wday + 6) % 7 * 1440 + t.tm_hour * 60 + t.tm_min);
}

void clock_freeze(uint64_t wall_ms)
{
    frozen.monotonic_ms = clock_monotonic_ms();
    frozen.wall_ms = wall_ms;
    frozen.still = true;
}

void clock_advance(uint64_t ms)
{
    frozen.monotonic_ms += ms;
    frozen.wall_ms += ms;
}
