#include "common/text.h"

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char hex_digits[] = "0123456789abcdef";

/* Nothing is written unless all of it fits. */
static bool reserve(struct buf *out, size_t len)
{
    if (len <= buf_space(out))
        return true;
    out->overflowed = true;
    return false;
}

/* One to three bytes make four digits. */
static void encode_group(struct view group, struct buf *out)
{
    char digits[4] = { '=', '=', '=', '=' };
    uint32_t bits = 0;

    for (size_t i = 0; i < 3; i++)
        bits = bits << 8 | (i < group.len ? (uint8_t)group.ptr[i] : 0U);
    for (size_t i = 0; i <= group.len; i++)
        digits[i] = base64_digits[(bits >> (18 - 6 * i)) & 63];
    buf_put(out, view_make(digits, sizeof(digits)));
}

bool base64_encode(struct view bytes, struct buf *out)
{
    size_t groups = bytes.len / 3 + (bytes.len % 3 != 0);

    if (groups > SIZE_MAX / 4 || !reserve(out, groups * 4))
        return false;
    for (size_t at = 0; at < bytes.len; at += 3)
        encode_group(view_sub(bytes, at, 3), out);
    return true;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (byte_is_digit(c))
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Two to four digits (padding removed) make one to three bytes. */
static bool decode_group(struct view digits, struct buf *out)
{
    uint32_t bits = 0;
    size_t count = digits.len - 1;

    for (size_t i = 0; i < 4; i++) {
        int value = i < digits.len ? base64_value(digits.ptr[i]) : 0;

        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
    }
    /* RFC 4648, 3.5: bits that belong to no byte are zero. */
    if ((bits & (0xffffffU >> (8 * count))) != 0)
        return false;
    for (size_t i = 0; i < count; i++)
        buf_put_byte(out, (char)(uint8_t)(bits >> (16 - 8 * i)));
    return true;
}

bool base64_decode(struct view text, struct buf *out)
{
    size_t len = buf_len(out);
    size_t padding = 0;

    if (text.len % 4 != 0)
        return false;
    while (padding < 2 && padding < text.len && text.ptr[text.len - 1 - padding] == '=')
        padding++;
    if (!reserve(out, text.len / 4 * 3 - padding))
        return false;
    text.len -= padding;
    for (size_t at = 0; at < text.len; at += 4) {
        if (!decode_group(view_sub(text, at, 4), out)) {
            buf_truncate(out, len);
            return false;
        }
    }
    return true;
}

bool hex_encode(struct view bytes, struct buf *out)
{
    if (bytes.len > SIZE_MAX / 2 || !reserve(out, bytes.len * 2))
        return false;
    for (size_t i = 0; i < bytes.len; i++) {
        buf_put_byte(out, hex_digits[(uint8_t)bytes.ptr[i] >> 4]);
        buf_put_byte(out, hex_digits[(uint8_t)bytes.ptr[i] & 15]);
    }
    return true;
}

/* Length of the character at the front of `v` (RFC 3629, 4), or 0 if it is none. */
static size_t utf8_length(struct view v)
{
    uint8_t first = (uint8_t)v.ptr[0];
    uint8_t least = 0x80, most = 0xbf; /* of the second byte */
    size_t len;

    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    len = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (len > v.len)
        return 0;
    if (first == 0xe0)
        least = 0xa0; /* shorter forms exist */
    else if (first == 0xed)
        most = 0x9f; /* surrogates */
    else if (first == 0xf0)
        least = 0x90; /* shorter forms exist */
    else if (first == 0xf4)
        most = 0x8f; /* beyond U+10FFFF */
    if ((uint8_t)v.ptr[1] < least || (uint8_t)v.ptr[1] > most)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if (((uint8_t)v.ptr[i] & 0xc0) != 0x80)
            return 0;
    }
    return len;
}

bool utf8_valid(struct view bytes)
{
    size_t at = 0;

    while (at < bytes.len) {
        bool ascii = (unsigned char)bytes.ptr[at] < 0x80; /* nearly always */
        size_t len = ascii ? 1 : utf8_length(view_from(bytes, at));

        if (len == 0)
            return false;
        at += len;
    }
    return true;
}

static bool put_escape(struct buf *out, uint8_t byte)
{
    switch (byte) {
    case '"':
        return buf_put(out, VIEW("\\\""));
    case '\\':
        return buf_put(out, VIEW("\\\\"));
    case '\n':
        return buf_put(out, VIEW("\\n"));
    case '\r':
        return buf_put(out, VIEW("\\r"));
    case '\t':
        return buf_put(out, VIEW("\\t"));
    default: {
        char text[] = { '\\', 'u', '0', '0', hex_digits[byte >> 4], hex_digits[byte & 15] };

        return buf_put(out, view_make(text, sizeof(text)));
    }
    }
}

/* Moves *bytes past one character and writes it, escaped if it must be. */
static bool put_character(struct view *bytes, struct buf *out)
{
    size_t len = utf8_length(*bytes);
    struct view character = view_sub(*bytes, 0, MAX(len, 1));
    uint8_t first = (uint8_t)character.ptr[0];

    *bytes = view_from(*bytes, character.len);
    if (len == 0 || (len == 1 && (first < ' ' || first == 0x7f || first == '"' || first == '\\')))
        return put_escape(out, first);
    /* U+0080 to U+009F control terminals as well. */
    if (first == 0xc2 && (uint8_t)character.ptr[1] < 0xa0)
        return put_escape(out, (uint8_t)character.ptr[1]);
    return buf_put(out, character);
}

/* How many bytes from the first one on are written as they are. */
static size_t json_plain_length(struct view bytes)
{
    size_t len = 0;

    while (len < bytes.len && bytes.ptr[len] >= ' ' && bytes.ptr[len] < 0x7f &&
           bytes.ptr[len] != '"' && bytes.ptr[len] != '\\')
        len++;
    return len;
}

bool json_quote(struct view bytes, struct buf *out)
{
    size_t len = buf_len(out);
    bool fits = buf_put_byte(out, '"');

    while (fits && bytes.len > 0) {
        size_t plain = json_plain_length(bytes);

        fits = plain > 0 ? buf_put(out, view_sub(bytes, 0, plain)) : put_character(&bytes, out);
        bytes = view_from(bytes, plain);
    }
    fits = fits && buf_put_byte(out, '"');
    if (!fits)
        buf_truncate(out, len);
    return fits;
}

static bool is_plain(struct view bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        if (!byte_is_alnum(bytes.ptr[i]) && !view_has(VIEW("._-+:/@"), bytes.ptr[i]))
            return false;
    }
    return bytes.len > 0;
}

bool log_quote(struct view bytes, struct buf *out)
{
    return is_plain(bytes) ? buf_put(out, bytes) : json_quote(bytes, out);
}

bool text_is_ascii(struct view bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        if ((unsigned char)bytes.ptr[i] > 127)
            return false;
    }
    return true;
}
