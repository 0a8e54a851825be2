#include "tokens/token.h"

#include "ipc/messages.h"

enum { DEPTH_MAX = 32 }; /* of values in the object */

/* b64token is narrower (RFC 6750, 2.1), but a server may be generous; what could end the SASL
 * message that it travels in is not for it to have. */
static bool is_token(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f)
            return false;
    }
    return text.len > 0 && text.len <= TOKEN_MAX;
}

static bool keep(struct view text, struct buf *token)
{
    return is_token(text) && buf_put(token, text);
}

/* ---- JSON (RFC 8259), as far as it is needed: what comes from a server is not for a library that
 * wants to understand all of it ---- */

static void skip_blanks(struct view *text)
{
    while (text->len > 0 && view_has(VIEW(" \t\r\n"), text->ptr[0]))
        *text = view_from(*text, 1);
}

static bool take(struct view *text, char byte)
{
    skip_blanks(text);
    return view_take_byte(text, byte);
}

/* string = %x22 *char %x22; between the quotes, as it is written */
static bool take_string(struct view *text, struct view *inside)
{
    size_t i = 0;

    if (!take(text, '"'))
        return false;
    while (i < text->len && text->ptr[i] != '"')
        i += text->ptr[i] == '\\' ? 2 : 1;
    if (i >= text->len)
        return false;
    *inside = view_sub(*text, 0, i);
    *text = view_from(*text, i + 1);
    return true;
}

/* A number, true, false or null */
static bool take_word(struct view *text, struct view *word)
{
    size_t i = 0;

    skip_blanks(text);
    while (i < text->len && !view_has(VIEW(" \t\r\n,:]}[{\""), text->ptr[i]))
        i++;
    *word = view_sub(*text, 0, i);
    *text = view_from(*text, i);
    return i > 0;
}

/* An object or array that is of no interest: its brackets must match. */
static bool skip_nested(struct view *text)
{
    char closing[DEPTH_MAX];
    size_t depth = 0;
    struct view passed;

    do {
        if (take(text, '{')) {
            closing[depth++] = '}';
        } else if (take(text, '[')) {
            closing[depth++] = ']';
        } else if (depth > 0 && take(text, closing[depth - 1])) {
            depth--;
        } else if (!take(text, ',') && !take(text, ':') && !take_string(text, &passed) &&
                   !take_word(text, &passed)) {
            return false;
        }
    } while (depth > 0 && depth < DEPTH_MAX);
    return depth == 0;
}

/* "\/" is all that an encoder may make of a token. */
static bool put_unescaped(struct view text, struct buf *out)
{
    bool good = true;

    while (text.len > 0 && good) {
        if (view_take_byte(&text, '\\'))
            good = view_starts(text, VIEW("/"));
        good = good && buf_put_byte(out, text.ptr[0]);
        text = view_from(text, 1);
    }
    return good;
}

struct member {
    struct view name, value; /* empty: nothing that is of use here */
    bool string;
};

/* member = string ":" value */
static bool take_member(struct view *text, struct member *m)
{
    *m = (struct member){ .string = false };
    if (!take_string(text, &m->name) || !take(text, ':'))
        return false;
    skip_blanks(text);
    if (view_starts(*text, VIEW("{")) || view_starts(*text, VIEW("[")))
        return skip_nested(text);
    m->string = take_string(text, &m->value);
    return m->string || take_word(text, &m->value);
}

/* object = "{" [ member *( "," member ) ] "}" */
static bool read_answer(struct view text, struct buf *token, uint64_t *lifetime_s)
{
    char room[TOKEN_MAX + 1];
    struct buf found = BUF_ON_ARRAY(room);
    bool good = take(&text, '{');
    struct member m;

    do {
        good = good && take_member(&text, &m);
        if (good && m.string && view_equal(m.name, VIEW("access_token")))
            good = buf_len(&found) == 0 && put_unescaped(m.value, &found);
        if (good && view_equal(m.name, VIEW("expires_in")) &&
            !view_to_u64(m.value, UINT32_MAX, lifetime_s))
            *lifetime_s = 0;
    } while (good && take(&text, ','));
    good = good && take(&text, '}');
    skip_blanks(&text);
    if (good && text.len == 0 && keep(buf_view(&found), token))
        return true;
    *lifetime_s = 0;
    return false;
}

bool token_read(struct view output, struct buf *token, uint64_t *lifetime_s)
{
    skip_blanks(&output);
    while (output.len > 0 && view_has(VIEW(" \t\r\n"), output.ptr[output.len - 1]))
        output.len--;
    buf_clear(token);
    *lifetime_s = 0;
    if (view_starts(output, VIEW("{")))
        return read_answer(output, token, lifetime_s);
    return keep(output, token);
}
