/* Binary min-heap of elements that know their own slot, so that any can be removed. */
#ifndef COMMON_HEAP_H
#define COMMON_HEAP_H

#include "common/attrs.h"

#include <stdint.h>

enum { HEAP_NOWHERE = 0 }; /* slot of an element that is in no heap (zeroed) */

struct heap_entry {
    uint64_t key;
    uint32_t slot; /* 1-based */
};

struct heap {
    struct heap_entry **entries; /* entries[0] is unused */
    uint32_t count, capacity;
};

void heap_release(struct heap *h); /* a zeroed struct heap is an empty heap */
void heap_add(struct heap *h, struct heap_entry *e, uint64_t key);
void heap_remove(struct heap *h, struct heap_entry *e);        /* must be in h */
struct heap_entry *heap_first(const struct heap *h);           /* NULL when empty */
uint32_t heap_count_until(const struct heap *h, uint64_t key); /* those with this key or less */

#endif
