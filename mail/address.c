#include "mail/address.h"

#include "common/text.h"

#include <arpa/inet.h>
#include <string.h>

enum { LABEL_MAX = 63 }; /* octets; RFC 1035, 2.3.4 */

static const struct view postmaster = VIEW_INIT("postmaster");

static bool is_high(char c)
{
    return ((unsigned char)c & 0x80) != 0;
}

/* atext of RFC 5322, 3.2.3; octets above 127 by RFC 6531, 3.3 */
static bool is_atext(char c)
{
    return byte_is_alnum(c) || is_high(c) ||
           (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool octets_valid(struct view v, bool utf8)
{
    for (size_t i = 0; i < v.len; i++) {
        if (is_high(v.ptr[i]))
            return utf8 && utf8_valid(v);
    }
    return true;
}

static struct view take_front(struct view *v, size_t len)
{
    struct view front = view_sub(*v, 0, len);

    *v = view_from(*v, len);
    return front;
}

/* Dot-string = Atom *("." Atom); its length at the front of v, 0 if there is none. */
static size_t dot_string(struct view v)
{
    size_t i = 0;

    for (;;) {
        size_t atom = i;

        while (i < v.len && is_atext(v.ptr[i]))
            i++;
        if (i == atom)
            return 0;
        if (i == v.len || v.ptr[i] != '.')
            return i;
        i++;
    }
}

/* Quoted-string = DQUOTE *QcontentSMTP DQUOTE; its length at the front of v, 0 if it is none.
 * qtextSMTP and quoted-pairSMTP have neither controls nor, unless utf8, octets above 127. */
static size_t quoted_string(struct view v)
{
    for (size_t i = 1; i < v.len; i++) {
        if (v.ptr[i] == '"')
            return i + 1;
        if (v.ptr[i] == '\\' && ++i == v.len)
            return 0;
        if ((unsigned char)v.ptr[i] < 32 || v.ptr[i] == 127)
            return 0;
    }
    return 0;
}

static bool take_local(struct view *v, bool utf8, struct view *local)
{
    bool quoted = v->len > 0 && v->ptr[0] == '"';
    size_t len = quoted ? quoted_string(*v) : dot_string(*v);

    if (len == 0 || len > ADDRESS_LOCAL_MAX)
        return false;
    *local = take_front(v, len);
    return octets_valid(*local, utf8);
}

/* address-literal = "[" ( IPv4-address-literal / IPv6-address-literal ) "]". The general form
 * needs a registered tag, and there is none besides IPv6. */
static bool literal_valid(struct view v)
{
    struct in6_addr unused;
    char text[INET6_ADDRSTRLEN];
    int family = AF_INET;

    if (!view_take_byte(&v, '[') || v.len == 0 || v.ptr[v.len - 1] != ']')
        return false;
    v.len--;
    if (view_take_nocase(&v, VIEW("IPv6:")))
        family = AF_INET6;
    if (v.len >= sizeof(text) || view_has(v, '\0'))
        return false;
    memcpy(text, v.ptr, v.len);
    text[v.len] = '\0';
    return inet_pton(family, text, &unused) == 1;
}

static bool take_domain(struct view *v, bool utf8, struct address *out)
{
    size_t end = view_find(*v, '>');

    out->domain = take_front(v, end);
    out->literal = out->domain.len > 0 && out->domain.ptr[0] == '[';
    return out->literal ? literal_valid(out->domain) : domain_valid(out->domain, utf8);
}

/* Mailbox = Local-part "@" ( Domain / address-literal ) */
static bool take_mailbox(struct view *v, bool utf8, struct address *out)
{
    if (!take_local(v, utf8, &out->local) || !view_take_byte(v, '@') || !take_domain(v, utf8, out))
        return false;
    out->utf8 = !octets_valid(out->local, false) || !octets_valid(out->domain, false);
    return true;
}

/* A-d-l = At-domain *( "," At-domain ), At-domain = "@" Domain; with the ":" behind it */
static bool drop_route(struct view *v, bool utf8)
{
    struct view route;

    if (v->len == 0 || v->ptr[0] != '@')
        return true;
    if (view_find(*v, ':') == v->len)
        return false;
    route = view_take_until(v, ':');
    if (route.ptr[route.len - 1] == ',')
        return false;
    while (route.len > 0) {
        struct view hop = view_take_until(&route, ',');

        if (!view_take_byte(&hop, '@') || !domain_valid(hop, utf8))
            return false;
    }
    return true;
}

bool address_take_path(struct view *input, bool utf8, struct address *out)
{
    struct view v = *input;

    *out = (struct address){ .literal = false };
    if (!view_take_byte(&v, '<'))
        return false;
    if (view_take_byte(&v, '>')) {
        *input = v;
        return true;
    }
    if (view_starts_nocase(v, VIEW("postmaster>")))
        out->local = take_front(&v, postmaster.len);
    else if (!drop_route(&v, utf8) || !take_mailbox(&v, utf8, out))
        return false;
    if (!view_take_byte(&v, '>'))
        return false;
    *input = v;
    return true;
}

bool address_parse(struct view text, bool utf8, struct address *out)
{
    *out = (struct address){ .literal = false };
    if (view_equal_nocase(text, postmaster)) {
        out->local = text;
        return true;
    }
    return take_mailbox(&text, utf8, out) && text.len == 0;
}

/* sub-domain = Let-dig [Ldh-str], and U-labels (RFC 6531, 3.3) */
static bool label_valid(struct view label)
{
    if (label.len == 0 || label.len > LABEL_MAX || label.ptr[0] == '-' ||
        label.ptr[label.len - 1] == '-')
        return false;
    for (size_t i = 0; i < label.len; i++) {
        char c = label.ptr[i];

        if (!byte_is_alnum(c) && c != '-' && !is_high(c))
            return false;
    }
    return true;
}

bool domain_valid(struct view domain, bool utf8)
{
    struct view rest = domain;

    if (domain.len == 0 || domain.len > ADDRESS_DOMAIN_MAX || domain.ptr[domain.len - 1] == '.' ||
        !octets_valid(domain, utf8))
        return false;
    while (rest.len > 0) {
        if (!label_valid(view_take_until(&rest, '.')))
            return false;
    }
    return true;
}

bool address_is_null(const struct address *a)
{
    return a->local.len == 0 && a->domain.len == 0;
}

static bool print(struct view local, struct view domain, struct buf *out)
{
    size_t mark = buf_len(out);

    if (buf_put(out, local) &&
        (domain.len == 0 || (buf_put_byte(out, '@') && buf_put(out, domain))))
        return true;
    buf_truncate(out, mark);
    return false;
}

bool address_print(const struct address *a, struct buf *out)
{
    return print(a->local, a->domain, out);
}

static struct view lower_into(char *room, struct view v)
{
    for (size_t i = 0; i < v.len; i++)
        room[i] = byte_lower(v.ptr[i]);
    return view_make(room, v.len);
}

/* The characters that a quoted local part stands for. */
static struct view unquote_into(char *room, struct view local)
{
    size_t len = 0;

    for (size_t i = 1; i + 1 < local.len; i++) {
        if (local.ptr[i] == '\\')
            i++;
        room[len++] = local.ptr[i];
    }
    return view_make(room, len);
}

/* Quoted again with the fewest backslashes, so that each local part has one spelling. */
static struct view quote_into(char *room, struct view plain)
{
    size_t len = 0;

    room[len++] = '"';
    for (size_t i = 0; i < plain.len; i++) {
        if (plain.ptr[i] == '"' || plain.ptr[i] == '\\')
            room[len++] = '\\';
        room[len++] = plain.ptr[i];
    }
    room[len++] = '"';
    return view_make(room, len);
}

bool address_key(const struct address *a, struct buf *out)
{
    char plain_room[ADDRESS_LOCAL_MAX], local_room[ADDRESS_LOCAL_MAX];
    char domain_room[ADDRESS_DOMAIN_MAX];
    struct view local = lower_into(local_room, a->local);

    if (local.len > 0 && local.ptr[0] == '"') {
        struct view plain = unquote_into(plain_room, local);

        if (plain.len > 0 && dot_string(plain) == plain.len)
            local = plain;
        else
            local = quote_into(local_room, plain);
    }
    return print(local, lower_into(domain_room, a->domain), out);
}
