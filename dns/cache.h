/* Findings, kept for as long as their TTL allows, the least recently used given up first. */
#ifndef DNS_CACHE_H
#define DNS_CACHE_H

#include "common/list.h"
#include "common/table.h"
#include "ipc/messages.h"

/* What is known about a question. */
struct finding {
    enum dns_result result;
    bool implicit;          /* DNS_ROUTE: the domain itself is the host */
    struct view words;      /* why not */
    struct dns_item *items; /* hosts or addresses */
    size_t count;
    uint64_t ttl_ms;
};

struct cache {
    struct table entries; /* by the kind's digit and the name */
    struct list used;     /* most recently first */
    size_t most;
};

void cache_init(struct cache *c, size_t most);
void cache_release(struct cache *c);

/* NULL: not known, or too old. Valid until the cache is next used; the order of `items` may be
 * changed. */
struct finding *cache_find(struct cache *c, enum dns_question kind, struct view name,
                           uint64_t now_ms);
/* Keeps a copy for ttl_ms, instead of what was there; nothing is kept for 0. */
void cache_put(struct cache *c, enum dns_question kind, struct view name, const struct finding *f,
               uint64_t now_ms);

/* The key of a question: also for those in flight. */
enum { CACHE_KEY_MAX = 256 };
bool cache_make_key(enum dns_question kind, struct view name, struct buf *out) MUST_USE;

#endif
