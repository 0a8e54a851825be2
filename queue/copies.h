/* Where the newest copy lies of each message that was moved. Without a stall, as queue/chains.h. */
#ifndef QUEUE_COPIES_H
#define QUEUE_COPIES_H

#include "queue/chains.h"

#include <stdbool.h>

struct copies { /* it stays where it is */
    struct pool all;
    struct chains by_id;
};

void copies_init(struct copies *c);
void copies_release(struct copies *c);
/* It takes the place of those before it. */
void copies_put(struct copies *c, uint64_t id, uint64_t place);
/* One after another, in no order; *at is 0 to begin with. False: that was all. */
bool copies_next(const struct copies *c, uint32_t *at, uint64_t *id, uint64_t *place) MUST_USE;
uint64_t copies_find(const struct copies *c, uint64_t id) MUST_USE; /* 0: it was not moved */

#endif
