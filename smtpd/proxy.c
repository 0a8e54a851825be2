#include "smtpd/proxy.h"

#include "common/crc32c.h"

#include <string.h>

enum {
    V1_MAX = 107, /* bytes, CRLF included */
    V2_FIXED = 16,
    V2_LOCAL = 0x20,
    V2_PROXY = 0x21,
    V2_CRC32C = 0x03, /* the type of a checksum over the whole header */
};

static const struct view v1_start = VIEW_INIT("PROXY ");
static const struct view v2_start = VIEW_INIT("\r\n\r\n\0\r\nQUIT\n");

static unsigned byte_at(struct view v, size_t i)
{
    return (unsigned char)v.ptr[i];
}

static unsigned u16_at(struct view v, size_t i)
{
    return byte_at(v, i) << 8 | byte_at(v, i + 1);
}

/* ---- version 1: a line of words with exactly one blank between them ---- */

/* Ports are decimal without a leading zero. */
static bool take_port(struct view word, uint16_t *port)
{
    uint64_t number;

    if (!view_to_u64(word, UINT16_MAX, &number) || (word.len > 1 && word.ptr[0] == '0'))
        return false;
    *port = (uint16_t)number;
    return true;
}

static bool take_address(struct view word, int family, struct net_address *out)
{
    return view_has(word, ':') == (family == AF_INET6) && net_parse_address(word, out);
}

/* "TCP4 192.0.2.1 198.51.100.1 56324 25" */
static enum proxy_result read_words(struct view words, struct proxy_header *out)
{
    struct view protocol = view_take_until(&words, ' ');
    struct view source = view_take_until(&words, ' ');
    struct view target = view_take_until(&words, ' ');
    struct view source_port = view_take_until(&words, ' ');
    int family = view_equal(protocol, VIEW("TCP6")) ? AF_INET6 : AF_INET;
    struct net_address to;

    if (view_equal(protocol, VIEW("UNKNOWN"))) /* whatever follows */
        return PROXY_ITSELF;
    if (!view_equal(protocol, VIEW("TCP4")) && !view_equal(protocol, VIEW("TCP6")))
        return PROXY_INVALID;
    if (!take_address(source, family, &out->client) || !take_address(target, family, &to) ||
        !take_port(source_port, &out->client.port) || !take_port(words, &to.port))
        return PROXY_INVALID;
    return PROXY_CLIENT;
}

static enum proxy_result read_v1(struct view input, struct proxy_header *out)
{
    size_t lf = view_find(view_sub(input, 0, V1_MAX), '\n');

    if (lf == input.len)
        return input.len < V1_MAX ? PROXY_MORE : PROXY_INVALID;
    if (lf >= V1_MAX || input.ptr[lf - 1] != '\r')
        return PROXY_INVALID;
    out->bytes = lf + 1;
    return read_words(view_sub(input, v1_start.len, lf - 1 - v1_start.len), out);
}

/* ---- version 2 ---- */

/* "When it is there it is right": over the header with the checksum's own bytes zero. */
static bool is_whole(struct view header, size_t at)
{
    static const char zero[4];
    uint32_t wanted = (uint32_t)u16_at(header, at) << 16 | u16_at(header, at + 2);
    uint32_t crc = crc32c(0, view_sub(header, 0, at));

    crc = crc32c(crc, view_make(zero, sizeof(zero)));
    return crc32c(crc, view_from(header, at + 4)) == wanted;
}

/* What follows the addresses: type, two bytes of length, value. */
static bool check_extras(struct view header, size_t at)
{
    while (at < header.len) {
        size_t len;

        if (header.len - at < 3)
            return false;
        len = u16_at(header, at + 1);
        if (header.len - at - 3 < len)
            return false;
        if (byte_at(header, at) == V2_CRC32C && (len != 4 || !is_whole(header, at + 3)))
            return false;
        at += 3 + len;
    }
    return true;
}

/* `header` is whole. Addresses and ports of both ends, the client's first. */
static enum proxy_result read_addresses(struct view header, struct proxy_header *out)
{
    unsigned family = byte_at(header, 13) >> 4;
    size_t size = family == 1 ? 4 : 16;
    size_t end = V2_FIXED + 2 * size + 4;

    if (family == 0 || family == 3) /* unspecified; UNIX sockets */
        return PROXY_ITSELF;
    if (family > 3 || header.len < end || !check_extras(header, end))
        return PROXY_INVALID;
    out->client = (struct net_address){
        .family = family == 1 ? AF_INET : AF_INET6,
        .port = (uint16_t)u16_at(header, V2_FIXED + 2 * size),
    };
    memcpy(out->client.bytes, header.ptr + V2_FIXED, size);
    net_unmap(&out->client);
    return PROXY_CLIENT;
}

static enum proxy_result read_v2(struct view input, struct proxy_header *out)
{
    if (input.len < V2_FIXED)
        return PROXY_MORE;
    out->bytes = V2_FIXED + u16_at(input, 14);
    if ((byte_at(input, 12) != V2_LOCAL && byte_at(input, 12) != V2_PROXY) ||
        out->bytes > PROXY_HEADER_MAX)
        return PROXY_INVALID;
    if (input.len < out->bytes)
        return PROXY_MORE;
    if (byte_at(input, 12) == V2_LOCAL)
        return PROXY_ITSELF;
    return read_addresses(view_sub(input, 0, out->bytes), out);
}

/* As far as both go. */
static bool begins_as(struct view input, struct view start)
{
    return view_starts(input, view_sub(start, 0, input.len));
}

enum proxy_result proxy_read(struct view input, struct proxy_header *out)
{
    *out = (struct proxy_header){ 0 };
    if (view_starts(input, v1_start))
        return read_v1(input, out);
    if (view_starts(input, v2_start))
        return read_v2(input, out);
    return begins_as(input, v1_start) || begins_as(input, v2_start) ? PROXY_MORE : PROXY_INVALID;
}
