/* Time. Replaceable, so that tests turn the hands. */
#ifndef IO_CLOCK_H
#define IO_CLOCK_H

#include <stdint.h>

uint64_t clock_monotonic_ms(void); /* for timers; never jumps */
uint64_t clock_wall_ms(void);      /* since 1970; for dates and expiry */

/* Local time: minutes since Monday 0:00. clock_load_zone comes first, before the sandbox. */
void clock_load_zone(void);
unsigned clock_week_minute(uint64_t wall_ms);

/* Tests: from now on both clocks stand still and move only by clock_advance. */
void clock_freeze(uint64_t wall_ms);
void clock_advance(uint64_t ms);

#endif
