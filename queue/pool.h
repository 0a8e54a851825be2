/* Elements of one size, named by 32-bit indexes: half the room of pointers, and a million of them
 * in a few hundred allocations. An element stays where it is until it is given back. */
#ifndef QUEUE_POOL_H
#define QUEUE_POOL_H

#include "common/attrs.h"

#include <stdint.h>

enum { POOL_NONE = 0 }; /* no element has this index */

struct pool {
    size_t element_bytes;
    char **chunks;
    uint32_t chunk_count;
    uint32_t end;   /* one more than the highest index ever taken */
    uint32_t free;  /* the first of those given back */
    uint32_t count; /* taken now */
};

/* The first four bytes of an element are the pool's while it is free; the others are zero then, so
 * that a walk from 1 to `end` can tell who lives. */
void pool_init(struct pool *p, size_t element_bytes);
void pool_release(struct pool *p);
uint32_t pool_take(struct pool *p) MUST_USE; /* zeroed */
void pool_give(struct pool *p, uint32_t index);
void *pool_at(const struct pool *p, uint32_t index); /* index below `end`, not POOL_NONE */

#endif
