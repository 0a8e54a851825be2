#include "queue/chains.h"

enum { PER_CHAIN = 2 }; /* elements, on average */

void chains_init(struct chains *c, const struct pool *elements, size_t offset,
                 uint64_t (*hash)(const void *element))
{
    *c = (struct chains){ .elements = elements, .offset = offset, .hash = hash };
    pool_init(&c->heads, sizeof(uint32_t));
}

void chains_release(struct chains *c)
{
    pool_release(&c->heads);
    c->count = 0;
}

/* Chain `i` of c->heads.count. */
static uint32_t *head(const struct chains *c, uint32_t i)
{
    return pool_at(&c->heads, i + 1);
}

static uint32_t *link_of(const struct chains *c, uint32_t element)
{
    return (uint32_t *)(void *)((char *)pool_at(c->elements, element) + c->offset);
}

static uint64_t hash_of(const struct chains *c, uint32_t element)
{
    return c->hash(pool_at(c->elements, element));
}

/* The greatest power of two that is no more than the number of chains. */
static uint32_t level(const struct chains *c)
{
    return (uint32_t)1 << (31 - __builtin_clz(c->heads.count));
}

/* Chains from the power of two on are the upper halves of the first ones. */
static uint32_t *chain_of(const struct chains *c, uint64_t hash)
{
    uint32_t low = level(c);
    uint32_t i = (uint32_t)hash & (2 * low - 1);

    return head(c, i < c->heads.count ? i : i & (low - 1));
}

static void push(const struct chains *c, uint32_t *chain, uint32_t element)
{
    *link_of(c, element) = *chain;
    *chain = element;
}

/* One chain more, which takes its share of the one that had it before. */
static void add_chain(struct chains *c)
{
    uint32_t added = pool_take(&c->heads) - 1, element, next;
    uint32_t *old;

    if (added == 0)
        return;
    old = head(c, added - ((uint32_t)1 << (31 - __builtin_clz(added))));
    element = *old;
    *old = POOL_NONE;
    for (; element != POOL_NONE; element = next) {
        next = *link_of(c, element);
        push(c, chain_of(c, hash_of(c, element)), element);
    }
}

void chains_add(struct chains *c, uint32_t element)
{
    if (c->count++ / PER_CHAIN >= c->heads.count)
        add_chain(c);
    push(c, chain_of(c, hash_of(c, element)), element);
}

void chains_remove(struct chains *c, uint32_t element)
{
    uint32_t *link = chain_of(c, hash_of(c, element));

    while (*link != element)
        link = link_of(c, *link);
    *link = *link_of(c, element);
    c->count--;
}

uint32_t chains_first(const struct chains *c, uint64_t hash)
{
    return c->heads.count == 0 ? POOL_NONE : *chain_of(c, hash);
}

uint32_t chains_next(const struct chains *c, uint32_t element)
{
    return *link_of(c, element);
}
