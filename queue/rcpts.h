/* A set of recipients of one message, by their index in the envelope: 32 fit into the struct
 * itself. The owner knows how many recipients the message has and says it in every call. */
#ifndef QUEUE_RCPTS_H
#define QUEUE_RCPTS_H

#include "common/attrs.h"

#include <stdbool.h>
#include <stdint.h>

struct rcpts {
    uint32_t bits; /* up to RCPTS_INLINE; beyond: where they are, among those of the process */
};

enum { RCPTS_INLINE = 32 };

void rcpts_init(struct rcpts *s, unsigned total); /* empty */
void rcpts_release(struct rcpts *s, unsigned total);
void rcpts_add(struct rcpts *s, unsigned total, unsigned i);
void rcpts_remove(struct rcpts *s, unsigned total, unsigned i);
bool rcpts_has(const struct rcpts *s, unsigned total, unsigned i);
unsigned rcpts_count(const struct rcpts *s, unsigned total);
bool rcpts_empty(const struct rcpts *s, unsigned total);
/* The first that is in the set, from `i` on; `total` when there is none. */
unsigned rcpts_next(const struct rcpts *s, unsigned total, unsigned i);
bool rcpts_include(const struct rcpts *s, const struct rcpts *others, unsigned total);
void rcpts_add_all(struct rcpts *s, unsigned total, const struct rcpts *others);

#define rcpts_each(i, s, total)                                                                    \
    for (unsigned i = rcpts_next((s), (total), 0); i < (total); i = rcpts_next((s), (total), i + 1))

#endif
