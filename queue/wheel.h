/* A hierarchical timer wheel: 4 levels of 256 slots, over elements that have numbers. Adding and
 * removing cost the same for ten elements and ten million; time goes on in slices, so that a slot
 * with a million elements does not stop the loop. Pure: ticks come from the caller. */
#ifndef QUEUE_WHEEL_H
#define QUEUE_WHEEL_H

#include "queue/pool.h"

#include <stdbool.h>

enum {
    WHEEL_LEVELS = 4,
    WHEEL_SLOT_BITS = 8,
    WHEEL_SLOTS = 1 << WHEEL_SLOT_BITS,
};

struct wheel_link {      /* embed in the element, whose number is below 2^31, and not POOL_NONE */
    uint32_t due;        /* tick */
    uint32_t prev, next; /* private while it is in the wheel; free for other lists otherwise */
};

struct wheel {
    struct wheel_link *(*link)(const void *owner, uint32_t element);
    const void *owner;
    uint32_t now; /* every tick before it is over */
    uint32_t count;
    /* The first element of every slot; the last row is for slots of the levels above the first
     * whose time has come, until each of their elements has moved on. */
    uint32_t first[WHEEL_LEVELS + 1][WHEEL_SLOTS];
    uint64_t taken[WHEEL_LEVELS + 1][WHEEL_SLOTS / 64]; /* a bit for each slot that is not empty */
};

void wheel_init(struct wheel *w, struct wheel_link *(*link)(const void *owner, uint32_t element),
                const void *owner);
/* The element must not be in the wheel; a tick that is over counts as now. */
void wheel_add(struct wheel *w, uint32_t element, uint32_t due);
void wheel_remove(struct wheel *w, uint32_t element);
/* The next element that is due at `now` or before, removed; POOL_NONE when there is none, or when
 * `*steps` is used up (then it is 0: call again soon). A step is an element that moved. Elements of
 * the same tick come in no order. */
uint32_t wheel_take(struct wheel *w, uint32_t now, unsigned *steps) MUST_USE;
/* The tick at which wheel_take has something to do; false: the wheel is empty. */
bool wheel_next(const struct wheel *w, uint32_t *tick) MUST_USE;

#endif
