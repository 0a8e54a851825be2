#include "common/buf.h"

#include "common/memory.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_new(struct buf *b, size_t capacity)
{
    *b = buf_on(memory_new(capacity), capacity);
}

void buf_free(struct buf *b)
{
    free(b->room);
    *b = (struct buf){ 0 };
}

void buf_consume(struct buf *b, size_t count)
{
    assert(count <= buf_len(b));
    b->start += count;
    if (b->start == b->end)
        b->start = b->end = 0;
}

void buf_truncate(struct buf *b, size_t len)
{
    b->end = b->start + MIN(len, buf_len(b));
}

static void move_to_front(struct buf *b)
{
    size_t len = buf_len(b);

    if (b->start == 0)
        return;
    memmove(b->room, b->room + b->start, len);
    b->start = 0;
    b->end = len;
}

static bool refuse(struct buf *b)
{
    b->overflowed = true;
    return false;
}

bool buf_put(struct buf *b, struct view bytes)
{
    if (bytes.len == 0)
        return true;
    if (bytes.len > buf_space(b))
        return refuse(b);
    if (bytes.len > b->capacity - b->end)
        move_to_front(b);
    memcpy(b->room + b->end, bytes.ptr, bytes.len);
    b->end += bytes.len;
    return true;
}

bool buf_put_u64(struct buf *b, uint64_t number)
{
    char digits[20]; /* of 2^64 - 1 */
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return buf_put(b, view_make(digits + at, sizeof(digits) - at));
}

bool buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    bool fits;

    va_start(args, format);
    fits = buf_vprintf(b, format, args);
    va_end(args);
    return fits;
}

/* By way of the heap: when the content must move first, or when the terminating NUL
 * has no place behind the text. */
PRINTF_LIKE(3, 0)
static bool print_aside(struct buf *b, size_t len, const char *format, va_list args)
{
    char *text = memory_new(len + 1);
    bool fits = vsnprintf(text, len + 1, format, args) == (int)len;

    fits = fits && buf_put(b, view_make(text, len));
    free(text);
    return fits;
}

bool buf_vprintf(struct buf *b, const char *format, va_list args)
{
    size_t room = b->capacity - b->end;
    va_list again;
    bool fits = true;
    int len;

    va_copy(again, args);
    len = vsnprintf(room > 0 ? b->room + b->end : NULL, room, format, args);
    if (len < 0 || (size_t)len > buf_space(b))
        fits = refuse(b);
    else if ((size_t)len < room)
        b->end += (size_t)len;
    else
        fits = print_aside(b, (size_t)len, format, again);
    va_end(again);
    return fits;
}

char *buf_tail(struct buf *b, size_t *room)
{
    /* Moving is worth it when it gains at least as many bytes as it moves. */
    if (b->end == b->capacity || b->start >= buf_len(b))
        move_to_front(b);
    *room = b->capacity - b->end;
    return b->room == NULL ? NULL : b->room + b->end;
}

void buf_extend(struct buf *b, size_t count)
{
    assert(count <= b->capacity - b->end);
    b->end += count;
}
