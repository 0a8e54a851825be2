#include "common/arena.h"

#include "common/memory.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BLOCK = 512 }; /* bytes; every further block is as large as all before it */

struct arena_block {
    struct arena_block *next;
    size_t used, room; /* bytes of `bytes` */
    alignas(max_align_t) char bytes[];
};

void arena_init(struct arena *a, size_t limit)
{
    *a = (struct arena){ .limit = limit };
}

void arena_reset(struct arena *a)
{
    struct arena_block *block = a->blocks;

    while (block != NULL) {
        struct arena_block *next = block->next;

        free(block);
        block = next;
    }
    arena_init(a, a->limit);
}

/* The limit counts whole blocks, so that it really bounds the memory. */
static bool add_block(struct arena *a, size_t size)
{
    size_t left = a->limit - a->used;
    size_t room = MAX(size, MIN(MAX(a->used, FIRST_BLOCK), left));
    struct arena_block *block;

    if (size > left)
        return false;
    block = memory_new(sizeof(*block) + room);
    block->room = room;
    block->next = a->blocks;
    a->blocks = block;
    a->used += room;
    return true;
}

void *arena_alloc(struct arena *a, size_t size)
{
    size_t align = alignof(max_align_t);
    struct arena_block *block = a->blocks;
    void *ptr;

    if (size > a->limit)
        return NULL;
    size = (MAX(size, 1) + align - 1) / align * align;
    if (block == NULL || block->room - block->used < size) {
        if (!add_block(a, size))
            return NULL;
        block = a->blocks;
    }
    ptr = block->bytes + block->used;
    block->used += size;
    return ptr;
}

struct arena_mark arena_mark(const struct arena *a)
{
    return (struct arena_mark){ a->blocks, a->blocks == NULL ? 0 : a->blocks->used };
}

void arena_return(struct arena *a, struct arena_mark m)
{
    while (a->blocks != m.block) {
        struct arena_block *last = a->blocks;

        a->blocks = last->next;
        a->used -= last->room;
        free(last);
    }
    if (m.block == NULL)
        return;
    memset(m.block->bytes + m.used, 0, m.block->used - m.used);
    m.block->used = m.used;
}

bool arena_copy(struct arena *a, struct view bytes, struct view *copy)
{
    char *ptr;

    if (bytes.len >= a->limit)
        return false;
    ptr = arena_alloc(a, bytes.len + 1);
    if (ptr == NULL)
        return false;
    if (bytes.len > 0)
        memcpy(ptr, bytes.ptr, bytes.len);
    *copy = view_make(ptr, bytes.len);
    return true;
}
