#include "queue/pool.h"

#include "common/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BITS = 14, CHUNK_ELEMENTS = 1 << CHUNK_BITS };

void pool_init(struct pool *p, size_t element_bytes)
{
    assert(element_bytes >= sizeof(p->free));
    *p = (struct pool){ .element_bytes = element_bytes, .end = 1 };
}

void pool_release(struct pool *p)
{
    for (uint32_t i = 0; i < p->chunk_count; i++)
        free(p->chunks[i]);
    free(p->chunks);
    pool_init(p, p->element_bytes);
}

void *pool_at(const struct pool *p, uint32_t index)
{
    assert(index != POOL_NONE && index < p->end);
    return p->chunks[index >> CHUNK_BITS] + (index & (CHUNK_ELEMENTS - 1)) * p->element_bytes;
}

static void add_chunk(struct pool *p)
{
    p->chunks = memory_grow(p->chunks, (size_t)p->chunk_count + 1, sizeof(*p->chunks));
    p->chunks[p->chunk_count++] = memory_new_array(CHUNK_ELEMENTS, p->element_bytes);
}

uint32_t pool_take(struct pool *p)
{
    uint32_t index = p->free;

    p->count++;
    if (index != POOL_NONE) {
        memcpy(&p->free, pool_at(p, index), sizeof(p->free));
        memset(pool_at(p, index), 0, sizeof(p->free));
        return index;
    }
    if (p->end >> CHUNK_BITS == p->chunk_count)
        add_chunk(p);
    return p->end++;
}

void pool_give(struct pool *p, uint32_t index)
{
    char *element = pool_at(p, index);

    memset(element, 0, p->element_bytes);
    memcpy(element, &p->free, sizeof(p->free));
    p->free = index;
    p->count--;
}
