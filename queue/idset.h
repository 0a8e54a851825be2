/* A set of numbers other than 0, for millions of them that lie close together, as places do: pages
 * of 256 bits, which are found as chains (queue/chains.h) find things, without a stall and without
 * a copy however many there are. */
#ifndef QUEUE_IDSET_H
#define QUEUE_IDSET_H

#include "queue/chains.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct idset { /* zeroed is empty; it stays where it is */
    struct pool pages;
    struct chains by_key;
    uint32_t last; /* the page that was used last: the next number is most often there, too */
    size_t count;
};

void idset_add(struct idset *s, uint64_t id);
bool idset_has(const struct idset *s, uint64_t id);
/* How many there are that `other` has not. */
size_t idset_count_without(const struct idset *s, const struct idset *other);
void idset_release(struct idset *s);

#endif
