#include "mail/xtext.h"

#include "common/text.h"

/* xchar = %d33-42 / %d44-60 / %d62-126 */
static bool is_xchar(unsigned char c)
{
    return c > 32 && c < 127 && c != '+' && c != '=';
}

static bool put_byte(struct buf *out, unsigned char c)
{
    return is_xchar(c) ? buf_put_byte(out, (char)c) : buf_printf(out, "+%02X", c);
}

bool xtext_encode(struct view bytes, struct buf *out)
{
    for (size_t i = 0; i < bytes.len; i++) {
        if (!put_byte(out, (unsigned char)bytes.ptr[i]))
            return false;
    }
    return true;
}

static bool is_upper_hex(char c)
{
    return byte_is_digit(c) || (c >= 'A' && c <= 'F');
}

/* hexchar = "+" 2( %d48-57 / %d65-70 ) */
static bool take_hexchar(struct view *text, char *out)
{
    uint64_t number;

    if (text->len < 3 || !is_upper_hex(text->ptr[1]) || !is_upper_hex(text->ptr[2]) ||
        !view_hex_to_u64(view_sub(*text, 1, 2), &number) || number == 0)
        return false;
    *out = (char)(unsigned char)number;
    *text = view_from(*text, 3);
    return true;
}

bool xtext_decode(struct view text, struct buf *out)
{
    while (text.len > 0) {
        char c = text.ptr[0];

        if (c == '+') {
            if (!take_hexchar(&text, &c))
                return false;
        } else {
            if (!is_xchar((unsigned char)c))
                return false;
            text = view_from(text, 1);
        }
        if (!buf_put_byte(out, c))
            return false;
    }
    return true;
}

/* The character at the front of valid UTF-8, which begins with a byte above 127. */
static uint32_t take_character(struct view *text)
{
    unsigned char first = (unsigned char)text->ptr[0];
    unsigned more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    uint32_t c = first & (0x3fu >> more);

    for (unsigned i = 1; i <= more; i++)
        c = c << 6 | ((unsigned char)text->ptr[i] & 0x3fu);
    *text = view_from(*text, more + 1);
    return c;
}

/* EmbeddedUnicodeChar = "\x{" HEXPOINT "}" */
static bool put_point(struct buf *out, uint32_t c)
{
    return buf_printf(out, "\\x{%02X}", c);
}

/* QCHAR has no backslash either. */
static bool is_qchar(unsigned char c)
{
    return is_xchar(c) && c != '\\';
}

bool xtext_encode_unicode(struct view text, struct buf *out)
{
    if (!utf8_valid(text))
        return false;
    while (text.len > 0) {
        unsigned char c = (unsigned char)text.ptr[0];
        bool fits;

        if (c > 127) {
            fits = put_point(out, take_character(&text));
        } else {
            fits = is_qchar(c) ? buf_put_byte(out, (char)c) : put_point(out, c);
            text = view_from(text, 1);
        }
        if (!fits)
            return false;
    }
    return true;
}

static bool put_character(struct buf *out, uint32_t c)
{
    if (c < 0x80)
        return buf_put_byte(out, (char)c);
    if (c < 0x800)
        return buf_printf(out, "%c%c", (int)(0xc0 | c >> 6), (int)(0x80 | (c & 0x3f)));
    if (c < 0x10000)
        return buf_printf(out, "%c%c%c", (int)(0xe0 | c >> 12), (int)(0x80 | (c >> 6 & 0x3f)),
                          (int)(0x80 | (c & 0x3f)));
    return buf_printf(out, "%c%c%c%c", (int)(0xf0 | c >> 18), (int)(0x80 | (c >> 12 & 0x3f)),
                      (int)(0x80 | (c >> 6 & 0x3f)), (int)(0x80 | (c & 0x3f)));
}

/* HEXPOINT: two digits or more, in upper case, and not what may stand for itself. */
static bool take_point(struct view *text, struct buf *out)
{
    struct view digits;
    uint64_t c;

    if (!view_take(text, VIEW("\\x{")) || !view_has(*text, '}'))
        return false;
    digits = view_take_until(text, '}');
    for (size_t i = 0; i < digits.len; i++) {
        if (!is_upper_hex(digits.ptr[i]))
            return false;
    }
    return digits.len >= 2 && digits.len <= 6 && view_hex_to_u64(digits, &c) && c > 0 &&
           !(c < 0x80 && is_qchar((unsigned char)c)) && (c < 0xd800 || c > 0xdfff) &&
           c <= 0x10ffff && put_character(out, (uint32_t)c);
}

bool xtext_decode_unicode(struct view text, struct buf *out)
{
    if (!utf8_valid(text))
        return false;
    while (text.len > 0) {
        char c = text.ptr[0];
        bool good = true;

        if (c == '\\') {
            good = take_point(&text, out);
        } else if (c == '+') {
            good = take_hexchar(&text, &c) && buf_put_byte(out, c);
        } else {
            good = ((unsigned char)c > 127 || is_xchar((unsigned char)c)) && buf_put_byte(out, c);
            text = view_from(text, 1);
        }
        if (!good)
            return false;
    }
    return utf8_valid(buf_view(out));
}
