#include "dns/cache.h"

#include "common/memory.h"

#include <stdlib.h>
#include <string.h>

struct cached {
    struct table_entry entry;
    struct list link;
    uint64_t until_ms;
    struct finding finding;
    char bytes[]; /* items, then key, words and host names */
};

void cache_init(struct cache *c, size_t most)
{
    table_init(&c->entries, true);
    list_init(&c->used);
    c->most = most;
}

static void drop(struct cache *c, struct cached *e)
{
    table_remove(&c->entries, &e->entry);
    list_remove(&e->link);
    free(e);
}

void cache_release(struct cache *c)
{
    list_each_safe (it, &c->used)
        drop(c, container_of(it, struct cached, link));
    table_release(&c->entries);
}

bool cache_make_key(enum dns_question kind, struct view name, struct buf *out)
{
    return buf_put_byte(out, (char)('0' + (int)kind)) && buf_put(out, name);
}

static struct cached *find(struct cache *c, struct view key)
{
    struct table_entry *e = table_find(&c->entries, key);

    return e == NULL ? NULL : container_of(e, struct cached, entry);
}

struct finding *cache_find(struct cache *c, enum dns_question kind, struct view name,
                           uint64_t now_ms)
{
    char room[CACHE_KEY_MAX];
    struct buf key = BUF_ON_ARRAY(room);
    struct cached *e = cache_make_key(kind, name, &key) ? find(c, buf_view(&key)) : NULL;

    if (e == NULL)
        return NULL;
    if (e->until_ms <= now_ms) {
        drop(c, e);
        return NULL;
    }
    list_remove(&e->link);
    list_insert_after(&c->used, &e->link);
    return &e->finding;
}

static struct view take_copy(char **room, struct view bytes)
{
    struct view copy = view_make(*room, bytes.len);

    if (bytes.len > 0)
        memcpy(*room, bytes.ptr, bytes.len);
    *room += bytes.len;
    return copy;
}

/* One piece of memory for all of it. */
static struct cached *make(const struct finding *f, struct view key)
{
    size_t items_bytes = f->count * sizeof(f->items[0]);
    size_t bytes = items_bytes + key.len + f->words.len;
    struct cached *e;
    char *rest;

    for (size_t i = 0; i < f->count; i++)
        bytes += f->items[i].host.len;
    e = memory_new(sizeof(*e) + bytes);
    e->finding = *f;
    e->finding.items = (struct dns_item *)(void *)e->bytes;
    rest = e->bytes + items_bytes;
    e->entry.key = take_copy(&rest, key);
    e->finding.words = take_copy(&rest, f->words);
    for (size_t i = 0; i < f->count; i++) {
        e->finding.items[i] = f->items[i];
        e->finding.items[i].host = take_copy(&rest, f->items[i].host);
    }
    return e;
}

void cache_put(struct cache *c, enum dns_question kind, struct view name, const struct finding *f,
               uint64_t now_ms)
{
    char room[CACHE_KEY_MAX];
    struct buf key = BUF_ON_ARRAY(room);
    struct cached *old, *fresh = NULL;
    uint64_t until_ms = now_ms + f->ttl_ms;

    if (!cache_make_key(kind, name, &key))
        return;
    if (f->ttl_ms > 0) /* before anything is dropped that *f may borrow from */
        fresh = make(f, buf_view(&key));
    old = find(c, buf_view(&key));
    if (old != NULL)
        drop(c, old);
    if (fresh == NULL)
        return;
    if (c->entries.count >= c->most)
        drop(c, container_of(c->used.prev, struct cached, link));
    fresh->until_ms = until_ms;
    table_add(&c->entries, &fresh->entry, fresh->entry.key);
    list_insert_after(&c->used, &fresh->link);
}
