#include "common/view.h"

#include <string.h>

bool view_equal_nocase(struct view a, struct view b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (byte_lower(a.ptr[i]) != byte_lower(b.ptr[i]))
            return false;
    }
    return true;
}

int view_compare(struct view a, struct view b)
{
    size_t common = MIN(a.len, b.len);
    int order = common == 0 ? 0 : memcmp(a.ptr, b.ptr, common);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

bool view_starts(struct view v, struct view prefix)
{
    return v.len >= prefix.len && view_equal(view_sub(v, 0, prefix.len), prefix);
}

bool view_starts_nocase(struct view v, struct view prefix)
{
    return v.len >= prefix.len && view_equal_nocase(view_sub(v, 0, prefix.len), prefix);
}

bool view_ends_nocase(struct view v, struct view suffix)
{
    return v.len >= suffix.len && view_equal_nocase(view_from(v, v.len - suffix.len), suffix);
}

size_t view_find(struct view v, char byte)
{
    const char *found = v.len == 0 ? NULL : memchr(v.ptr, byte, v.len);

    return found == NULL ? v.len : (size_t)(found - v.ptr);
}

size_t view_find_last(struct view v, char byte)
{
    const char *found = v.len == 0 ? NULL : memrchr(v.ptr, byte, v.len);

    return found == NULL ? v.len : (size_t)(found - v.ptr);
}

size_t view_find_view(struct view v, struct view needle)
{
    const char *found;

    if (needle.len == 0)
        return 0;
    found = v.len == 0 ? NULL : memmem(v.ptr, v.len, needle.ptr, needle.len);
    return found == NULL ? v.len : (size_t)(found - v.ptr);
}

bool view_has(struct view v, char byte)
{
    return view_find(v, byte) < v.len;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static size_t count_blanks(struct view v)
{
    size_t count = 0;

    while (count < v.len && is_blank(v.ptr[count]))
        count++;
    return count;
}

struct view view_trim(struct view v)
{
    v = view_from(v, count_blanks(v));
    while (v.len > 0 && is_blank(v.ptr[v.len - 1]))
        v.len--;
    return v;
}

bool view_take(struct view *v, struct view prefix)
{
    if (!view_starts(*v, prefix))
        return false;
    *v = view_from(*v, prefix.len);
    return true;
}

bool view_take_nocase(struct view *v, struct view prefix)
{
    if (!view_starts_nocase(*v, prefix))
        return false;
    *v = view_from(*v, prefix.len);
    return true;
}

bool view_take_byte(struct view *v, char byte)
{
    return view_take(v, view_make(&byte, 1));
}

struct view view_take_word(struct view *v)
{
    size_t len = 0;
    struct view word;

    while (len < v->len && !is_blank(v->ptr[len]))
        len++;
    word = view_sub(*v, 0, len);
    *v = view_from(*v, len);
    *v = view_from(*v, count_blanks(*v));
    return word;
}

struct view view_take_until(struct view *v, char byte)
{
    size_t len = view_find(*v, byte);
    struct view front = view_sub(*v, 0, len);

    *v = view_from(*v, MIN(len + 1, v->len));
    return front;
}

bool view_take_line(struct view *v, struct view *line)
{
    bool ended = view_has(*v, '\n');

    if (v->len == 0)
        return false;
    *line = view_take_until(v, '\n');
    if (ended && line->len > 0 && line->ptr[line->len - 1] == '\r')
        line->len--;
    return true;
}

bool view_to_u64(struct view v, uint64_t most, uint64_t *out)
{
    uint64_t number = 0;

    if (v.len == 0)
        return false;
    for (size_t i = 0; i < v.len; i++) {
        uint64_t digit = (uint64_t)(v.ptr[i] - '0');

        if (!byte_is_digit(v.ptr[i]) || number > most / 10 || digit > most - number * 10)
            return false;
        number = number * 10 + digit;
    }
    *out = number;
    return true;
}

static int hex_digit(char c)
{
    if (byte_is_digit(c))
        return c - '0';
    c = byte_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool view_hex_to_u64(struct view v, uint64_t *out)
{
    uint64_t number = 0;

    if (v.len == 0 || v.len > 16)
        return false;
    for (size_t i = 0; i < v.len; i++) {
        int digit = hex_digit(v.ptr[i]);

        if (digit < 0)
            return false;
        number = number << 4 | (uint64_t)digit;
    }
    *out = number;
    return true;
}
