#include "smtpd/content.h"

#include "common/crc32c.h"
#include "common/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 8192 }; /* bytes; most messages fit, and it doubles from there */

static size_t room_for(size_t bytes)
{
    size_t capacity = FIRST_ROOM;

    while (capacity < bytes)
        capacity *= 2;
    return capacity;
}

bool content_reserve(struct content *c, size_t bytes)
{
    size_t capacity;

    if (bytes <= c->capacity - c->len)
        return true;
    capacity = room_for(c->len + bytes);
    if (!c->filed && (c->len + bytes > c->budget->each_most ||
                      c->budget->used + capacity - c->capacity > c->budget->most))
        return false;
    c->room = memory_grow(c->room, capacity, 1);
    c->budget->used += capacity - c->capacity;
    c->capacity = capacity;
    return true;
}

void content_put(struct content *c, struct view bytes)
{
    if (bytes.len == 0)
        return;
    assert(bytes.len <= c->capacity - c->len);
    memcpy(c->room + c->len, bytes.ptr, bytes.len);
    c->len += bytes.len;
}

void content_use_file(struct content *c)
{
    c->filed = true;
}

struct view content_in_memory(const struct content *c)
{
    return view_make(c->room, c->len);
}

void content_spilled(struct content *c)
{
    c->crc = crc32c(c->crc, content_in_memory(c));
    c->spilled += c->len;
    c->len = 0;
}

uint64_t content_bytes(const struct content *c)
{
    return c->spilled + c->len;
}

uint32_t content_crc(const struct content *c)
{
    return crc32c(c->crc, content_in_memory(c));
}

void content_clear(struct content *c)
{
    c->budget->used -= c->capacity;
    free(c->room);
    *c = (struct content){ .budget = c->budget };
}
