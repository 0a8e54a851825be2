#include "smtpd/head.h"

#include "common/memory.h"

#include <stdlib.h>
#include <string.h>

enum {
    FIRST_ROOM = 4096,   /* bytes; most headers fit, and it doubles from there */
    PIECE_MAX = 1 << 16, /* bytes that may come with the end of the header */
};

bool head_put(struct head *h, struct content_budget *budget, struct view piece)
{
    size_t capacity = h->capacity > 0 ? h->capacity : FIRST_ROOM;

    if (piece.len == 0)
        return true;
    if (h->len > HEAD_MAX || piece.len > PIECE_MAX)
        return false;
    while (capacity < h->len + piece.len)
        capacity *= 2;
    if (capacity > h->capacity) {
        if (budget->used + capacity - h->capacity > budget->most)
            return false;
        h->room = memory_grow(h->room, capacity, 1);
        budget->used += capacity - h->capacity;
        h->capacity = capacity;
    }
    memcpy(h->room + h->len, piece.ptr, piece.len);
    h->len += piece.len;
    return true;
}

struct view head_view(const struct head *h)
{
    return view_make(h->room, h->len);
}

void head_clear(struct head *h, struct content_budget *budget)
{
    budget->used -= h->capacity;
    free(h->room);
    *h = (struct head){ .room = NULL };
}
