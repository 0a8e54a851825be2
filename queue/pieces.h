/* Pieces of JSON, for the rows that the admin tool gets. */
#ifndef QUEUE_PIECES_H
#define QUEUE_PIECES_H

#include "common/text.h"
#include "mail/trace.h"

static inline void put_key(struct buf *out, const char *key)
{
    struct view have = buf_view(out);
    char last = have.len > 0 ? have.ptr[have.len - 1] : '{';

    if (last != '{')
        buf_put_byte(out, ',');
    buf_put_byte(out, '"');
    buf_put(out, view_of(key));
    buf_put(out, VIEW("\":"));
}

static inline void put_view(struct buf *out, const char *key, struct view value)
{
    put_key(out, key);
    json_quote(value, out);
}

static inline void put_some(struct buf *out, const char *key, struct view value)
{
    if (value.len > 0)
        put_view(out, key, value);
}

static inline void put_number(struct buf *out, const char *key, uint64_t value)
{
    put_key(out, key);
    buf_put_u64(out, value);
}

static inline void put_bool(struct buf *out, const char *key, bool value)
{
    put_key(out, key);
    buf_put(out, value ? VIEW("true") : VIEW("false"));
}

static inline void put_time(struct buf *out, const char *key, uint64_t wall_ms)
{
    char room[40];
    struct buf text = BUF_ON_ARRAY(room);

    if (wall_ms > 0 && trace_timestamp(wall_ms, &text))
        put_view(out, key, buf_view(&text));
}

static inline void begin_object(struct buf *out, const char *key)
{
    put_key(out, key);
    buf_put_byte(out, '{');
}

/* An element of a list. */
static inline void begin_element(struct buf *out)
{
    struct view have = buf_view(out);

    buf_put(out, have.ptr[have.len - 1] == '[' ? VIEW("{") : VIEW(",{"));
}

#endif
