/* A set of numbers other than 0, as small as it can be: recovery keeps millions. */
#ifndef QUEUE_IDSET_H
#define QUEUE_IDSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct idset { /* zeroed is empty */
    uint64_t *slots;
    size_t count, room;
};

void idset_add(struct idset *s, uint64_t id);
bool idset_has(const struct idset *s, uint64_t id);
void idset_release(struct idset *s);

#endif
