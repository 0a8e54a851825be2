/* Letters: envelope and body of one message in one piece of memory. A fresh small message is kept
 * as the letter it arrived as, so that its first attempt reads nothing back and parses nothing
 * again. */
#ifndef QUEUE_CACHE_H
#define QUEUE_CACHE_H

#include "common/list.h"
#include "common/table.h"
#include "mail/envelope.h"

enum { LETTER_ARENA_MAX = 1 << 20 }; /* bytes; what 1,000 recipients with escapes need */

struct letter {
    struct table_entry entry; /* by message id, while in the cache */
    struct list link;
    struct arena arena;
    struct envelope envelope; /* decoded; borrows from this letter */
    struct view encoded;      /* the envelope as it came */
    struct view body;
    uint32_t body_crc;
    char bytes[];
};

/* Copies; `front` and `back` together are the body. NULL: the envelope is malformed. */
struct letter *letter_new(struct view envelope, struct view front, struct view back) MUST_USE;
void letter_free(struct letter **l);

struct cache {
    struct table table;
    struct list fresh; /* oldest first */
    uint64_t bytes, limit;
};

void cache_init(struct cache *c, uint64_t limit_bytes);
void cache_release(struct cache *c);
void cache_limit(struct cache *c, uint64_t limit_bytes); /* drops what is too much */
/* Takes the letter; it may be freed at once, and others may be. */
void cache_keep(struct cache *c, uint64_t id, struct letter *l);
const struct letter *cache_find(const struct cache *c, uint64_t id); /* NULL: not there */
void cache_drop(struct cache *c, uint64_t id);

#endif
