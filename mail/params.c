#include "mail/params.h"

#include "common/text.h"

/* esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-") */
static bool keyword_valid(struct view v)
{
    if (v.len == 0 || v.ptr[0] == '-')
        return false;
    for (size_t i = 0; i < v.len; i++) {
        if (!byte_is_alnum(v.ptr[i]) && v.ptr[i] != '-')
            return false;
    }
    return true;
}

/* esmtp-value = 1*(%d33-60 / %d62-126 / UTF8-non-ascii); the last by RFC 6531, 3.3 */
static bool value_valid(struct view v)
{
    bool high = false;

    if (v.len == 0)
        return false;
    for (size_t i = 0; i < v.len; i++) {
        unsigned char c = (unsigned char)v.ptr[i];

        if (c <= 32 || c == '=' || c == 127)
            return false;
        high = high || c > 127;
    }
    return !high || utf8_valid(v);
}

enum params_result params_take(struct view *rest, struct param *out)
{
    struct view word;

    while (view_take_byte(rest, ' '))
        ;
    *out = (struct param){ .has_value = false };
    if (rest->len == 0)
        return PARAMS_END;
    word = view_take_until(rest, ' ');
    out->has_value = view_has(word, '=');
    out->keyword = view_take_until(&word, '=');
    out->value = word;
    if (!keyword_valid(out->keyword) || (out->has_value && !value_valid(out->value)))
        return PARAMS_MALFORMED;
    return PARAMS_NEXT;
}
