#include "mail/punycode.h"

#include "common/text.h"
#include "mail/address.h"

/* RFC 3492, 5 */
enum { BASE = 36, T_LEAST = 1, T_MOST = 26, SKEW = 38, DAMP = 700, FIRST_BIAS = 72, FIRST = 128 };

/* The next character of valid UTF-8. */
static uint32_t take_character(struct view *text)
{
    unsigned char lead = (unsigned char)text->ptr[0];
    unsigned more = lead < 0x80 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    uint32_t c = more == 0 ? lead : lead & (0x3fU >> more);

    for (unsigned i = 1; i <= more; i++)
        c = c << 6 | ((unsigned char)text->ptr[i] & 0x3fU);
    *text = view_from(*text, more + 1);
    return c;
}

static bool put_digit(struct buf *out, uint64_t digit)
{
    return buf_put_byte(out, (char)(digit < 26 ? 'a' + digit : '0' + digit - 26));
}

/* 3.3: a number of digits whose weights depend on where they stand. */
static bool put_delta(struct buf *out, uint64_t delta, uint64_t bias)
{
    for (uint64_t k = BASE;; k += BASE) {
        uint64_t t = k <= bias ? T_LEAST : k >= bias + T_MOST ? T_MOST : k - bias;

        if (delta < t)
            return put_digit(out, delta);
        if (!put_digit(out, t + (delta - t) % (BASE - t)))
            return false;
        delta = (delta - t) / (BASE - t);
    }
}

/* 6.1 */
static uint64_t adapt(uint64_t delta, uint64_t count, bool first)
{
    uint64_t k = 0;

    delta /= first ? DAMP : 2;
    delta += delta / count;
    for (; delta > (BASE - T_LEAST) * T_MOST / 2; k += BASE)
        delta /= BASE - T_LEAST;
    return k + (BASE - T_LEAST + 1) * delta / (delta + SKEW);
}

static uint32_t find_next(const uint32_t *all, size_t count, uint32_t least)
{
    uint32_t next = UINT32_MAX;

    for (size_t i = 0; i < count; i++) {
        if (all[i] >= least)
            next = MIN(next, all[i]);
    }
    return next;
}

/* 6.3: behind what is ASCII, where each other character stands, the smallest one first. */
static bool put_rest(const uint32_t *all, size_t count, size_t basic, struct buf *out)
{
    uint64_t delta = 0, bias = FIRST_BIAS;
    uint32_t n = FIRST;

    for (size_t done = basic; done < count; delta++, n++) {
        uint32_t next = find_next(all, count, n);

        delta += (uint64_t)(next - n) * (done + 1);
        n = next;
        for (size_t i = 0; i < count; i++) {
            delta += all[i] < n;
            if (all[i] != n)
                continue;
            if (!put_delta(out, delta, bias))
                return false;
            bias = adapt(delta, done + 1, done == basic);
            delta = 0;
            done++;
        }
    }
    return true;
}

static bool put_label(struct view label, struct buf *out)
{
    uint32_t all[ADDRESS_DOMAIN_MAX];
    size_t count = 0, basic = 0;

    if (text_is_ascii(label))
        return buf_put(out, label);
    if (label.len > ADDRESS_DOMAIN_MAX || !utf8_valid(label) || !buf_put(out, VIEW("xn--")))
        return false;
    while (label.len > 0) {
        uint32_t c = take_character(&label);

        all[count++] = c;
        if (c >= FIRST)
            continue;
        basic++;
        if (!buf_put_byte(out, byte_lower((char)c)))
            return false;
    }
    return (basic == 0 || buf_put_byte(out, '-')) && put_rest(all, count, basic, out);
}

bool punycode_domain(struct view domain, struct buf *out)
{
    while (domain.len > 0) {
        struct view label = view_sub(domain, 0, view_find(domain, '.'));

        domain = view_from(domain, label.len);
        if (!put_label(label, out) || (view_take_byte(&domain, '.') && !buf_put_byte(out, '.')))
            return false;
    }
    return true;
}
