#include "common/wire.h"

#include <string.h>

struct wire_reader wire_read(struct view bytes)
{
    return (struct wire_reader){ .rest = bytes };
}

/* The next `count` bytes, or NULL after a mistake. */
static const char *take(struct wire_reader *r, size_t count)
{
    const char *ptr = r->rest.ptr;

    if (r->failed || count > r->rest.len) {
        r->failed = true;
        return NULL;
    }
    r->rest = view_from(r->rest, count);
    return ptr;
}

static uint64_t get_number(struct wire_reader *r, size_t width)
{
    const char *ptr = take(r, width);
    uint64_t number = 0;

    if (ptr == NULL)
        return 0;
    for (size_t i = width; i > 0; i--)
        number = number << 8 | (uint8_t)ptr[i - 1];
    return number;
}

uint8_t wire_get_u8(struct wire_reader *r)
{
    return (uint8_t)get_number(r, 1);
}

uint16_t wire_get_u16(struct wire_reader *r)
{
    return (uint16_t)get_number(r, 2);
}

uint32_t wire_get_u32(struct wire_reader *r)
{
    return (uint32_t)get_number(r, 4);
}

uint64_t wire_get_u64(struct wire_reader *r)
{
    return get_number(r, 8);
}

bool wire_get_bool(struct wire_reader *r)
{
    return wire_get_enum(r, 2) == 1;
}

struct view wire_get_view(struct wire_reader *r)
{
    uint32_t len = wire_get_u32(r);
    const char *ptr = take(r, len);

    return ptr == NULL ? VIEW_EMPTY : view_make(ptr, len);
}

struct view wire_get_rest(struct wire_reader *r)
{
    size_t len = r->rest.len;
    const char *ptr = take(r, len);

    return ptr == NULL ? VIEW_EMPTY : view_make(ptr, len);
}

unsigned wire_get_enum(struct wire_reader *r, unsigned count)
{
    unsigned number = wire_get_u8(r);

    if (number >= count) {
        r->failed = true;
        return 0;
    }
    return number;
}

bool wire_done(const struct wire_reader *r)
{
    return !r->failed && r->rest.len == 0;
}

struct wire_writer wire_write(void *room, size_t capacity)
{
    return (struct wire_writer){ .room = room, .capacity = capacity };
}

/* Room for the next `count` bytes, or NULL after a mistake. */
static char *give(struct wire_writer *w, size_t count)
{
    char *ptr;

    if (w->failed || count > w->capacity - w->len) {
        w->failed = true;
        return NULL;
    }
    ptr = w->room + w->len;
    w->len += count;
    return ptr;
}

static void put_number(struct wire_writer *w, size_t width, uint64_t number)
{
    char *ptr = give(w, width);

    if (ptr == NULL)
        return;
    for (size_t i = 0; i < width; i++)
        ptr[i] = (char)(uint8_t)(number >> (8 * i));
}

void wire_put_u8(struct wire_writer *w, uint8_t n)
{
    put_number(w, 1, n);
}

void wire_put_u16(struct wire_writer *w, uint16_t n)
{
    put_number(w, 2, n);
}

void wire_put_u32(struct wire_writer *w, uint32_t n)
{
    put_number(w, 4, n);
}

void wire_put_u64(struct wire_writer *w, uint64_t n)
{
    put_number(w, 8, n);
}

void wire_put_bool(struct wire_writer *w, bool b)
{
    put_number(w, 1, b);
}

void wire_put_view(struct wire_writer *w, struct view v)
{
    if (v.len > UINT32_MAX)
        w->failed = true;
    wire_put_u32(w, (uint32_t)v.len);
    wire_put_rest(w, v);
}

void wire_put_rest(struct wire_writer *w, struct view v)
{
    char *ptr;

    if (v.len == 0)
        return;
    ptr = give(w, v.len);
    if (ptr != NULL)
        memcpy(ptr, v.ptr, v.len);
}

bool wire_finish(const struct wire_writer *w, struct view *bytes)
{
    *bytes = w->failed ? VIEW_EMPTY : view_make(w->room, w->len);
    return !w->failed;
}
