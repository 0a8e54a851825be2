#include "queue/idset.h"

#include "common/memory.h"

#include <assert.h>
#include <stdlib.h>

enum { ROOM_FIRST = 64 };

static uint64_t *look(const struct idset *s, uint64_t id)
{
    uint64_t hash = id * 0x9e3779b97f4a7c15;
    size_t at = (size_t)(hash ^ (hash >> 32)) & (s->room - 1);

    while (s->slots[at] != 0 && s->slots[at] != id)
        at = (at + 1) & (s->room - 1);
    return &s->slots[at];
}

static void grow(struct idset *s)
{
    struct idset old = *s;

    s->room = old.room == 0 ? ROOM_FIRST : old.room * 2;
    s->slots = memory_new_array(s->room, sizeof(*s->slots));
    for (size_t i = 0; i < old.room; i++) {
        if (old.slots[i] != 0)
            *look(s, old.slots[i]) = old.slots[i];
    }
    free(old.slots);
}

void idset_add(struct idset *s, uint64_t id)
{
    uint64_t *slot;

    assert(id != 0);
    if ((s->count + 1) * 3 > s->room * 2)
        grow(s);
    slot = look(s, id);
    s->count += *slot == 0;
    *slot = id;
}

bool idset_has(const struct idset *s, uint64_t id)
{
    return s->count > 0 && *look(s, id) == id;
}

void idset_release(struct idset *s)
{
    free(s->slots);
    *s = (struct idset){ 0 };
}
