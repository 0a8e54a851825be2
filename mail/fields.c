#include "mail/fields.h"

#include <assert.h>
#include <string.h>

static bool key_valid(struct view key)
{
    for (size_t i = 0; i < key.len; i++) {
        char c = key.ptr[i];

        if (!(c >= 'a' && c <= 'z') && !byte_is_digit(c) && c != '-')
            return false;
    }
    return key.len > 0;
}

static bool is_plain(char c)
{
    return (unsigned char)c >= 32 && c != 127 && c != '%';
}

static size_t plain_run(struct view v)
{
    size_t len = 0;

    while (len < v.len && is_plain(v.ptr[len]))
        len++;
    return len;
}

static bool put_value(struct buf *out, struct view value)
{
    while (value.len > 0) {
        size_t len = plain_run(value);

        if (len > 0 && !buf_put(out, view_sub(value, 0, len)))
            return false;
        value = view_from(value, len);
        if (value.len == 0)
            break;
        if (!buf_printf(out, "%%%02X", (unsigned char)value.ptr[0]))
            return false;
        value = view_from(value, 1);
    }
    return true;
}

bool fields_put(struct buf *out, const char *key, struct view value)
{
    size_t mark = buf_len(out);

    assert(key_valid(view_of(key)));
    if (buf_put(out, view_of(key)) && buf_put_byte(out, '=') && put_value(out, value) &&
        buf_put_byte(out, '\n'))
        return true;
    buf_truncate(out, mark);
    return false;
}

bool fields_put_u64(struct buf *out, const char *key, uint64_t value)
{
    size_t mark = buf_len(out);

    assert(key_valid(view_of(key)));
    if (buf_put(out, view_of(key)) && buf_put_byte(out, '=') && buf_put_u64(out, value) &&
        buf_put_byte(out, '\n'))
        return true;
    buf_truncate(out, mark);
    return false;
}

static bool decode_value(struct view text, struct arena *arena, struct view *value)
{
    size_t len = 0;
    char *copy;

    copy = arena_alloc(arena, text.len);
    if (copy == NULL)
        return false;
    while (text.len > 0) {
        size_t plain = plain_run(text);
        uint64_t byte;

        memcpy(copy + len, text.ptr, plain);
        len += plain;
        text = view_from(text, plain);
        if (text.len == 0)
            break;
        if (text.ptr[0] != '%' || text.len < 3 || !view_hex_to_u64(view_sub(text, 1, 2), &byte))
            return false;
        copy[len++] = (char)byte;
        text = view_from(text, 3);
    }
    *value = view_make(copy, len);
    return true;
}

enum fields_result fields_take(struct view *rest, struct arena *arena, struct view *key,
                               struct view *value)
{
    struct view line = *rest;

    if (rest->len == 0)
        return FIELDS_END;
    line.len = view_find(line, '\n');
    if (line.len == rest->len || !view_has(line, '='))
        return FIELDS_MALFORMED;
    *rest = view_from(*rest, line.len + 1);
    *key = view_take_until(&line, '=');
    if (!key_valid(*key))
        return FIELDS_MALFORMED;
    *value = line;
    if (plain_run(line) < line.len && !decode_value(line, arena, value))
        return FIELDS_MALFORMED;
    return FIELDS_NEXT;
}
