/* When to try again, when to say so, when to give up. Pure: times are milliseconds of the queue's
 * clock.
 *
 * That clock began with the wall clock's time when the spool was made, and never jumps: it goes as
 * the monotonic clock does, and at a start it goes on from the last time that was written down
 * (store_note_clock), plus what the wall clock says has passed since then. When that is less than
 * nothing or more than SCHEDULE_GAP_MS, the wall clock was set, and nothing has passed. So mail of
 * a machine that was off for three days is older by three days, and none gets older because a clock
 * was wrong, or is set right, while Tern runs or between two runs of it.
 *
 * What should have happened meanwhile does not happen at once: attempts are spread over as long as
 * they were missed, at most SCHEDULE_GRACE_MS, and before a message is given up it is tried once
 * more (at a destination that turns out to be in trouble, for all of its mail). */
#ifndef QUEUE_SCHEDULE_H
#define QUEUE_SCHEDULE_H

#include "ipc/settings.h"
#include "queue/store.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    SCHEDULE_GAP_MS = 7 * 24 * 3600 * 1000,
    /* A message from before the start is not given up earlier than this after it (or than its
     * lifetime, if that is shorter): Tern was down for days, or the time is not known. */
    SCHEDULE_GRACE_MS = 5 * 60 * 1000,
    /* The first back-off of a destination is this part of retry.first: a short trouble of a host
     * that much mail goes to should not cost it minutes. */
    SCHEDULE_BACKOFF_PART = 4,
    /* A connection was refused by hosts that serve others: the first interval, which grows fourfold
     * until it is that of a deferral. */
    SCHEDULE_AGAIN_MS = 1000,
};

/* From an attempt that failed to the next one, after `attempts` of them (1 or more). `seed` chooses
 * the jitter: the same seed, the same interval. */
uint64_t schedule_retry_ms(const struct retry_settings *r, unsigned attempts, uint64_t seed);
/* The same when the attempt ended with a fault of hosts that just now were without fault. */
uint64_t schedule_again_ms(const struct retry_settings *r, unsigned attempts, uint64_t seed);
/* The same for a destination that had `failures` in a row. */
uint64_t schedule_backoff_ms(const struct retry_settings *r, unsigned failures, uint64_t seed);

/* When the message is given up. `restored`: it was read from the spool at `started_ms`. */
uint64_t schedule_expiry_ms(const struct retry_settings *r, uint64_t arrival_ms, bool restored,
                            uint64_t started_ms);
/* When its sender is told of the delay; UINT64_MAX: never, since it is switched off, or would not
 * be before the expiry. */
uint64_t schedule_notice_ms(const struct retry_settings *r, uint64_t arrival_ms, bool restored,
                            uint64_t started_ms);

/* The queue's clock at a start. `last`: what was written down last; NULL: nothing is known. */
uint64_t schedule_clock_ms(const struct store_clock *last, uint64_t wall_ms) MUST_USE;
/* How long to wait for an attempt that a former run planned for `next_ms`. */
uint64_t schedule_restored_ms(const struct retry_settings *r, uint64_t next_ms, uint64_t now_ms,
                              uint64_t seed);
/* How long at most, so that the message is tried before it is given up; UINT64_MAX: it has time. */
uint64_t schedule_last_chance_ms(const struct retry_settings *r, uint64_t arrival_ms,
                                 uint64_t started_ms, uint64_t seed);

#endif
