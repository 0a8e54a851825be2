#include "queue/copies.h"

#include <stddef.h>

struct copy {
    uint64_t id, place;
    uint32_t next;
};

static uint64_t hash_id(uint64_t id)
{
    uint64_t hash = id * 0x9e3779b97f4a7c15;

    return hash ^ (hash >> 32);
}

static uint64_t hash_copy(const void *copy)
{
    return hash_id(((const struct copy *)copy)->id);
}

static struct copy *find(const struct copies *c, uint64_t id)
{
    uint32_t i = chains_first(&c->by_id, hash_id(id));

    for (; i != POOL_NONE; i = chains_next(&c->by_id, i)) {
        struct copy *copy = pool_at(&c->all, i);

        if (copy->id == id)
            return copy;
    }
    return NULL;
}

void copies_init(struct copies *c)
{
    pool_init(&c->all, sizeof(struct copy));
    chains_init(&c->by_id, &c->all, offsetof(struct copy, next), hash_copy);
}

void copies_release(struct copies *c)
{
    chains_release(&c->by_id);
    pool_release(&c->all);
}

void copies_put(struct copies *c, uint64_t id, uint64_t place)
{
    struct copy *copy = find(c, id);

    if (copy == NULL) {
        uint32_t i = pool_take(&c->all);

        copy = pool_at(&c->all, i);
        copy->id = id;
        chains_add(&c->by_id, i);
    }
    copy->place = place;
}

uint64_t copies_find(const struct copies *c, uint64_t id)
{
    const struct copy *copy = find(c, id);

    return copy == NULL ? 0 : copy->place;
}

bool copies_next(const struct copies *c, uint32_t *at, uint64_t *id, uint64_t *place)
{
    const struct copy *copy;

    if (*at + 1 >= c->all.end)
        return false;
    copy = pool_at(&c->all, ++*at);
    *id = copy->id;
    *place = copy->place;
    return true;
}
