/* A byte buffer with a fixed capacity. What does not fit is refused, whole. */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include "common/attrs.h"
#include "common/view.h"

#include <stdarg.h>

/* Bytes [start, end) of `room` are the content. The struct borrows `room` unless
 * buf_new made it. A zeroed struct buf is a valid buffer without capacity. */
struct buf {
    char *room;
    size_t capacity;
    size_t start, end;
    bool overflowed; /* something was refused since buf_clear */
};

/* Borrows room. */
static inline struct buf buf_on(void *room, size_t capacity)
{
    return (struct buf){ .room = room, .capacity = capacity };
}

/* Heap room; aborts when memory is out. */
void buf_new(struct buf *b, size_t capacity);
void buf_free(struct buf *b); /* only after buf_new; leaves a zeroed struct */
/* A buffer on a local array of n bytes: struct buf b = BUF_ON_ARRAY(array); */
#define BUF_ON_ARRAY(array) buf_on((array), sizeof(array))

static inline struct view buf_view(const struct buf *b)
{
    return b->room == NULL ? VIEW_EMPTY : view_make(b->room + b->start, b->end - b->start);
}

static inline size_t buf_len(const struct buf *b)
{
    return b->end - b->start;
}

/* What can still be appended. */
static inline size_t buf_space(const struct buf *b)
{
    return b->capacity - buf_len(b);
}

static inline void buf_clear(struct buf *b)
{
    b->start = b->end = 0;
    b->overflowed = false;
}

void buf_consume(struct buf *b, size_t count); /* drop from the front */
void buf_truncate(struct buf *b, size_t len);  /* keep the first len bytes */

/* Each returns false, changes nothing and sets `overflowed` when it does not fit. */
bool buf_put(struct buf *b, struct view bytes);
static inline bool buf_put_byte(struct buf *b, char byte)
{
    if (b->end == b->capacity)
        return buf_put(b, view_make(&byte, 1));
    b->room[b->end++] = byte;
    return true;
}

bool buf_put_u64(struct buf *b, uint64_t number); /* decimal */
bool buf_printf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
bool buf_vprintf(struct buf *b, const char *format, va_list args) PRINTF_LIKE(2, 0);

/* Free room at the end, for a read(); moves the content to the front if that helps.
 * After filling, say how much with buf_extend. */
char *buf_tail(struct buf *b, size_t *room);
void buf_extend(struct buf *b, size_t count);

#endif
