/* Memory that lives as long as one session or one transaction. */
#ifndef COMMON_ARENA_H
#define COMMON_ARENA_H

#include "common/attrs.h"
#include "common/view.h"

struct arena_block;

/* Grows by blocks up to `limit` bytes in total; blocks are taken when first needed, so
 * an unused arena costs nothing. A full arena is an answer to the client (452). */
struct arena {
    struct arena_block *blocks;
    size_t used, limit; /* bytes */
};

void arena_init(struct arena *a, size_t limit);
void arena_reset(struct arena *a); /* all allocations die; memory goes back */
/* Zeroed and aligned for any type; NULL when the limit would be passed. */
void *arena_alloc(struct arena *a, size_t size) MUST_USE;
/* What is allocated between the two calls dies. */
struct arena_mark {
    struct arena_block *block;
    size_t used; /* bytes of it */
};
struct arena_mark arena_mark(const struct arena *a);
void arena_return(struct arena *a, struct arena_mark m);
/* A copy of `bytes`, NUL-terminated beyond its length; false when full. */
bool arena_copy(struct arena *a, struct view bytes, struct view *copy) MUST_USE;

#endif
