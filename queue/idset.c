#include "queue/idset.h"

#include <assert.h>

enum { PAGE_BITS = 256, WORD_BITS = 64, WORDS = PAGE_BITS / WORD_BITS };

struct page {
    uint64_t key; /* the numbers in it, divided by PAGE_BITS */
    uint64_t words[WORDS];
    uint32_t next;
};

static uint64_t hash_key(uint64_t key)
{
    uint64_t hash = key * 0x9e3779b97f4a7c15;

    return hash ^ (hash >> 32);
}

static uint64_t hash_page(const void *page)
{
    return hash_key(((const struct page *)page)->key);
}

static struct page *page_at(const struct idset *s, uint32_t i)
{
    return pool_at(&s->pages, i);
}

/* POOL_NONE: there is none. */
static uint32_t find(const struct idset *s, uint64_t key)
{
    uint32_t i = s->last;

    if (s->count == 0 || page_at(s, i)->key == key)
        return i;
    i = chains_first(&s->by_key, hash_key(key));
    while (i != POOL_NONE && page_at(s, i)->key != key)
        i = chains_next(&s->by_key, i);
    return i;
}

static uint32_t add_page(struct idset *s, uint64_t key)
{
    uint32_t i;

    if (s->count == 0) {
        pool_init(&s->pages, sizeof(struct page));
        chains_init(&s->by_key, &s->pages, offsetof(struct page, next), hash_page);
    }
    i = pool_take(&s->pages);
    page_at(s, i)->key = key;
    chains_add(&s->by_key, i);
    return i;
}

void idset_add(struct idset *s, uint64_t id)
{
    uint64_t bit = (uint64_t)1 << id % WORD_BITS;
    uint32_t i = find(s, id / PAGE_BITS);
    uint64_t *word;

    assert(id != 0);
    if (i == POOL_NONE)
        i = add_page(s, id / PAGE_BITS);
    s->last = i;
    word = &page_at(s, i)->words[id % PAGE_BITS / WORD_BITS];
    s->count += (*word & bit) == 0;
    *word |= bit;
}

bool idset_has(const struct idset *s, uint64_t id)
{
    uint32_t i = find(s, id / PAGE_BITS);

    return i != POOL_NONE &&
           (page_at(s, i)->words[id % PAGE_BITS / WORD_BITS] >> id % WORD_BITS & 1) != 0;
}

size_t idset_count_without(const struct idset *s, const struct idset *other)
{
    size_t count = 0;

    for (uint32_t i = 1; i < s->pages.end; i++) {
        const struct page *p = page_at(s, i);
        uint32_t o = find(other, p->key);

        for (size_t w = 0; w < WORDS; w++)
            count += (size_t)__builtin_popcountll(
                p->words[w] & (o == POOL_NONE ? UINT64_MAX : ~page_at(other, o)->words[w]));
    }
    return count;
}

void idset_release(struct idset *s)
{
    if (s->count > 0) {
        chains_release(&s->by_key);
        pool_release(&s->pages);
    }
    *s = (struct idset){ 0 };
}
