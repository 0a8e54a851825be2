/* Borrowed bytes. A view owns nothing and is valid as long as what it points into. */
#ifndef COMMON_VIEW_H
#define COMMON_VIEW_H

#include "common/attrs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct view {
    const char *ptr;
    size_t len;
};

/* VIEW_INIT for static tables, VIEW for expressions; both take string literals. */
#define VIEW_INIT(literal)                                                                         \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }
#define VIEW(literal) ((struct view)VIEW_INIT(literal))
#define VIEW_EMPTY    ((struct view){ NULL, 0 })
/* The two arguments of a "%.*s". */
#define VIEW_ARG(v) (int)(v).len, ((v).ptr != NULL ? (v).ptr : "")

static inline struct view view_make(const void *ptr, size_t len)
{
    return (struct view){ ptr, len };
}

/* NULL gives the empty view. */
static inline struct view view_of(const char *string)
{
    return string == NULL ? VIEW_EMPTY : view_make(string, strlen(string));
}

/* Clipped to v; beyond it, empty. */
static inline struct view view_sub(struct view v, size_t start, size_t count)
{
    start = MIN(start, v.len);
    return view_make(start > 0 ? v.ptr + start : v.ptr, MIN(count, v.len - start));
}

static inline struct view view_from(struct view v, size_t start)
{
    return view_sub(v, start, v.len);
}

static inline bool view_equal(struct view a, struct view b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool view_equal_nocase(struct view a, struct view b); /* ASCII only */
int view_compare(struct view a, struct view b);       /* as memcmp, shorter first */
bool view_starts(struct view v, struct view prefix);
bool view_starts_nocase(struct view v, struct view prefix);
bool view_ends_nocase(struct view v, struct view suffix);

/* Position of the first (last) `byte`, or v.len. */
size_t view_find(struct view v, char byte);
size_t view_find_last(struct view v, char byte);
/* Position of the first `needle`, or v.len. */
size_t view_find_view(struct view v, struct view needle);
bool view_has(struct view v, char byte);

struct view view_trim(struct view v); /* blanks and tabs at both ends */

/* The take family moves the front of *v past what it returns. */
bool view_take(struct view *v, struct view prefix);        /* exact */
bool view_take_nocase(struct view *v, struct view prefix); /* ASCII case ignored */
bool view_take_byte(struct view *v, char byte);
/* Up to the next space or tab (which are skipped too); the rest if there is none. */
struct view view_take_word(struct view *v);
/* Up to `byte`, which is skipped; the rest if there is none. */
struct view view_take_until(struct view *v, char byte);
/* A line without its LF or CRLF; false when *v is empty. */
bool view_take_line(struct view *v, struct view *line);

/* The whole view is a decimal number, no sign, at most `most`. */
bool view_to_u64(struct view v, uint64_t most, uint64_t *out) MUST_USE;
/* The whole view is hexadecimal, 1 to 16 digits. */
bool view_hex_to_u64(struct view v, uint64_t *out) MUST_USE;

/* ASCII */
static inline char byte_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static inline bool byte_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool byte_is_alpha(char c)
{
    return byte_lower(c) >= 'a' && byte_lower(c) <= 'z';
}

static inline bool byte_is_alnum(char c)
{
    return byte_is_alpha(c) || byte_is_digit(c);
}

#endif
