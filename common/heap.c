#include "common/heap.h"

#include "common/memory.h"

#include <assert.h>
#include <stdlib.h>

enum { FIRST_CAPACITY = 64 }; /* entries */

void heap_release(struct heap *h)
{
    free(h->entries);
    *h = (struct heap){ 0 };
}

static void place(struct heap *h, struct heap_entry *e, uint32_t slot)
{
    h->entries[slot] = e;
    e->slot = slot;
}

/* `slot` is a hole; finds the place for `e` between it and the top. */
static void sift_up(struct heap *h, struct heap_entry *e, uint32_t slot)
{
    for (; slot > 1 && e->key < h->entries[slot / 2]->key; slot /= 2)
        place(h, h->entries[slot / 2], slot);
    place(h, e, slot);
}

/* `slot` is a hole; finds the place for `e` between it and the leaves. */
static void sift_down(struct heap *h, struct heap_entry *e, uint32_t slot)
{
    while (slot <= h->count / 2) {
        uint32_t child = slot * 2;

        if (child < h->count && h->entries[child + 1]->key < h->entries[child]->key)
            child++;
        if (e->key <= h->entries[child]->key)
            break;
        place(h, h->entries[child], slot);
        slot = child;
    }
    place(h, e, slot);
}

static void grow(struct heap *h)
{
    assert(h->capacity <= UINT32_MAX / 2);
    h->capacity = MAX(h->capacity * 2, FIRST_CAPACITY);
    h->entries = memory_grow(h->entries, (size_t)h->capacity + 1, sizeof(h->entries[0]));
}

void heap_add(struct heap *h, struct heap_entry *e, uint64_t key)
{
    assert(e->slot == HEAP_NOWHERE);
    if (h->count == h->capacity)
        grow(h);
    e->key = key;
    h->count++;
    sift_up(h, e, h->count);
}

void heap_remove(struct heap *h, struct heap_entry *e)
{
    uint32_t slot = e->slot;
    struct heap_entry *last;

    assert(slot != HEAP_NOWHERE && slot <= h->count && h->entries[slot] == e);
    last = h->entries[h->count--];
    e->slot = HEAP_NOWHERE;
    if (last == e)
        return;
    if (slot > 1 && last->key < h->entries[slot / 2]->key)
        sift_up(h, last, slot);
    else
        sift_down(h, last, slot);
}

struct heap_entry *heap_first(const struct heap *h)
{
    return h->count > 0 ? h->entries[1] : NULL;
}

/* No deeper than the heap: what is below a greater key is greater, too. */
static uint32_t count_below(const struct heap *h, uint32_t slot, uint64_t key)
{
    if (slot > h->count || h->entries[slot]->key > key)
        return 0;
    return 1 + count_below(h, 2 * slot, key) + count_below(h, 2 * slot + 1, key);
}

uint32_t heap_count_until(const struct heap *h, uint64_t key)
{
    return count_below(h, 1, key);
}
