#include "queue/cache.h"

#include "common/memory.h"

#include <stdlib.h>
#include <string.h>

static size_t copy(char *to, struct view from)
{
    if (from.len > 0)
        memcpy(to, from.ptr, from.len);
    return from.len;
}

struct letter *letter_new(struct view envelope, struct view front, struct view back)
{
    size_t room = envelope.len + front.len + back.len;
    struct letter *l = memory_grow(NULL, sizeof(*l) + room, 1);
    char *body;

    *l = (struct letter){ .body_crc = 0 };
    list_init(&l->link);
    arena_init(&l->arena, LETTER_ARENA_MAX);
    body = l->bytes + copy(l->bytes, envelope);
    copy(body + copy(body, front), back);
    l->encoded = view_make(l->bytes, envelope.len);
    l->body = view_make(body, front.len + back.len);
    if (!envelope_decode(l->encoded, &l->arena, &l->envelope))
        letter_free(&l);
    return l;
}

void letter_free(struct letter **l)
{
    if (*l == NULL)
        return;
    arena_reset(&(*l)->arena);
    free(*l);
    *l = NULL;
}

void cache_init(struct cache *c, uint64_t limit_bytes)
{
    *c = (struct cache){ .limit = limit_bytes };
    table_init(&c->table, false);
    list_init(&c->fresh);
}

/* All the memory that it costs. */
static uint64_t cost(const struct letter *l)
{
    return sizeof(*l) + l->encoded.len + l->body.len + l->arena.used;
}

static void drop(struct cache *c, struct letter *l)
{
    table_remove(&c->table, &l->entry);
    list_remove(&l->link);
    c->bytes -= cost(l);
    letter_free(&l);
}

void cache_limit(struct cache *c, uint64_t limit_bytes)
{
    c->limit = limit_bytes;
    while (c->bytes > c->limit)
        drop(c, container_of(c->fresh.next, struct letter, link));
}

void cache_release(struct cache *c)
{
    cache_limit(c, 0);
    table_release(&c->table);
}

void cache_keep(struct cache *c, uint64_t id, struct letter *l)
{
    table_add_number(&c->table, &l->entry, id);
    list_append(&c->fresh, &l->link);
    c->bytes += cost(l);
    cache_limit(c, c->limit);
}

static struct letter *find(const struct cache *c, uint64_t id)
{
    struct table_entry *e = table_find_number(&c->table, id);

    return e == NULL ? NULL : container_of(e, struct letter, entry);
}

const struct letter *cache_find(const struct cache *c, uint64_t id)
{
    return find(c, id);
}

void cache_drop(struct cache *c, uint64_t id)
{
    struct letter *l = find(c, id);

    if (l != NULL)
        drop(c, l);
}
