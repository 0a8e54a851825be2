/* Finds elements of a pool by a hash: chains of 32-bit links, a head for every other element. Grows
 * by one chain at a time (linear hashing), so that no step is long and no memory is needed twice,
 * with ten elements as with ten million. Pure. */
#ifndef QUEUE_CHAINS_H
#define QUEUE_CHAINS_H

#include "queue/pool.h"

#include <stddef.h>

struct chains {
    const struct pool *elements;
    size_t offset; /* of the uint32_t in the element that links it */
    uint64_t (*hash)(const void *element);
    struct pool heads;
    uint32_t count;
};

void chains_init(struct chains *c, const struct pool *elements, size_t offset,
                 uint64_t (*hash)(const void *element));
void chains_release(struct chains *c);
/* An element whose hash is known by now, and does not change while it is in. */
void chains_add(struct chains *c, uint32_t element);
void chains_remove(struct chains *c, uint32_t element);
/* All with this hash, and some others: POOL_NONE after the last. */
uint32_t chains_first(const struct chains *c, uint64_t hash) MUST_USE;
uint32_t chains_next(const struct chains *c, uint32_t element) MUST_USE;

#endif
