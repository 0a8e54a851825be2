/* When to try again, when to say so, when to give up. Pure: times are milliseconds of the queue's
 * clock (queue/queue.h), which starts with the wall clock's time and then never jumps. */
#ifndef QUEUE_SCHEDULE_H
#define QUEUE_SCHEDULE_H

#include "ipc/settings.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    /* A message from before the start is not given up earlier than this after it (or than its
     * lifetime, if that is shorter): the clock may have been wrong, or Tern was down for days. */
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

/* How long to wait for an attempt that a former run planned for `next_wall_ms`. */
uint64_t schedule_restored_ms(const struct retry_settings *r, uint64_t next_wall_ms,
                              uint64_t wall_ms);

#endif
