#include "dns/answer.h"

#include <string.h>

enum {
    TYPE_NS = 2,
    TYPE_CNAME = 5,
    TYPE_SOA = 6,
    CLASS_IN = 1,
    RCODE_OK = 0,
    RCODE_NXDOMAIN = 3,
    LABEL_MAX = 63,
};

/* Reads from the front of a packet; remembers the first mistake, and reads zeros after it. */
struct cursor {
    struct view packet;
    size_t at;
    bool failed;
};

struct name {
    size_t len;
    bool odd; /* the text is not the name: two different ones may look the same */
    char text[ANSWER_NAME_MAX + 1];
};

struct record {
    struct name owner;
    unsigned type, class;
    uint32_t ttl_s;
    size_t end; /* of its data, where the next record begins */
};

struct header {
    bool is_answer, authoritative, truncated;
    unsigned opcode, rcode;
    unsigned questions, answers, authorities;
};

static unsigned get_u8(struct cursor *c)
{
    if (c->failed || c->at >= c->packet.len) {
        c->failed = true;
        return 0;
    }
    return (unsigned char)c->packet.ptr[c->at++];
}

static unsigned get_u16(struct cursor *c)
{
    unsigned high = get_u8(c);

    return high << 8 | get_u8(c);
}

static uint32_t get_u32(struct cursor *c)
{
    uint32_t high = get_u16(c);

    return high << 16 | get_u16(c);
}

static void get_bytes(struct cursor *c, void *out, size_t count)
{
    if (c->failed || count > c->packet.len - c->at) {
        c->failed = true;
        memset(out, 0, count);
        return;
    }
    memcpy(out, c->packet.ptr + c->at, count);
    c->at += count;
}

static void add_label(struct name *name, struct view label)
{
    if (name->len > 0)
        name->text[name->len++] = '.';
    for (size_t i = 0; i < label.len; i++) {
        char c = label.ptr[i];

        name->odd = name->odd || c <= ' ' || c > '~' || c == '.';
        name->text[name->len++] = byte_lower(c);
    }
}

/* A label or the end of the name, at *at, which moves. Compression (RFC 1035, 4.1.4) may only lead
 * to before where this run of labels began, *run: so it comes to an end. */
static bool take_label(struct view packet, size_t *at, size_t *run, struct view *label)
{
    unsigned first;

    while (*at < packet.len && ((unsigned char)packet.ptr[*at] & 0xc0) == 0xc0) {
        if (*at + 1 >= packet.len)
            return false;
        first = (unsigned char)packet.ptr[*at] & 0x3f;
        *at = first << 8 | (unsigned char)packet.ptr[*at + 1];
        if (*at >= *run)
            return false;
        *run = *at;
    }
    if (*at >= packet.len)
        return false;
    first = (unsigned char)packet.ptr[*at];
    if (first > LABEL_MAX || first > packet.len - *at - 1)
        return false;
    *label = view_sub(packet, *at + 1, first);
    *at += 1 + first;
    return true;
}

/* Where the cursor goes on: behind the labels up to the first pointer or the end. */
static void skip_name(struct cursor *c)
{
    unsigned first;

    do {
        first = get_u8(c);
        if (first >= 0xc0) {
            get_u8(c);
            return;
        }
        if (first > LABEL_MAX || first > c->packet.len - c->at)
            c->failed = true;
        c->at += c->failed ? 0 : first;
    } while (first != 0 && !c->failed);
}

static void get_name(struct cursor *c, struct name *name)
{
    size_t at = c->at, run = c->at;
    struct view label;

    name->len = 0;
    name->odd = false;
    skip_name(c);
    while (!c->failed) {
        if (!take_label(c->packet, &at, &run, &label)) {
            c->failed = true;
        } else if (label.len == 0) {
            break;
        } else if (name->len + (name->len > 0) + label.len > ANSWER_NAME_MAX) {
            c->failed = true;
        } else {
            add_label(name, label);
        }
    }
}

static bool name_is(const struct name *name, struct view text)
{
    return !name->odd && view_equal_nocase(view_make(name->text, name->len), text);
}

static bool name_equal(const struct name *a, const struct name *b)
{
    return !b->odd && name_is(a, view_make(b->text, b->len));
}

static struct header get_header(struct cursor *c)
{
    struct header h = { 0 };
    unsigned bits;

    get_u16(c); /* the id: what sent the question has compared it */
    bits = get_u16(c);
    h.is_answer = bits & 0x8000;
    h.opcode = bits >> 11 & 0xf;
    h.authoritative = bits & 0x0400;
    h.truncated = bits & 0x0200;
    h.rcode = bits & 0xf;
    h.questions = get_u16(c);
    h.answers = get_u16(c);
    h.authorities = get_u16(c);
    get_u16(c);
    return h;
}

/* The cursor is at the data afterwards. */
static void get_record(struct cursor *c, struct record *r)
{
    size_t len;

    get_name(c, &r->owner);
    r->type = get_u16(c);
    r->class = get_u16(c);
    r->ttl_s = get_u32(c);
    if (r->ttl_s > INT32_MAX) /* RFC 2181, 8 */
        r->ttl_s = 0;
    len = get_u16(c);
    if (len > c->packet.len - c->at)
        c->failed = true;
    r->end = c->at + len;
}

static void get_host(struct cursor *c, struct answer_record *out)
{
    struct name host;

    get_name(c, &host);
    out->host_len = (uint8_t)host.len;
    out->host_odd = host.odd;
    memcpy(out->host, host.text, host.len);
}

static void get_data(struct cursor *c, enum answer_type type, struct answer_record *out)
{
    switch (type) {
    case ANSWER_A:
        get_bytes(c, out->address, 4);
        break;
    case ANSWER_AAAA:
        get_bytes(c, out->address, 16);
        break;
    case ANSWER_MX:
        out->preference = (uint16_t)get_u16(c);
        get_host(c, out);
        break;
    case ANSWER_PTR:
        get_host(c, out);
        break;
    }
}

/* By name where the preference is the same, as they are sorted later (dns/mx.c). */
static bool is_better(const struct answer_record *a, const struct answer_record *b)
{
    if (a->preference != b->preference)
        return a->preference < b->preference;
    return view_compare(view_make(a->host, a->host_len), view_make(b->host, b->host_len)) < 0;
}

/* Of too many mail hosts the best are kept, in whatever order the server gives them. */
static void keep(struct answer *out, enum answer_type type, const struct answer_record *r)
{
    struct answer_record *worst = out->records;

    if (out->count < COUNT_OF(out->records)) {
        out->records[out->count++] = *r;
        return;
    }
    if (type != ANSWER_MX)
        return;
    for (size_t i = 1; i < out->count; i++) {
        if (is_better(worst, &out->records[i]))
            worst = &out->records[i];
    }
    if (is_better(r, worst))
        *worst = *r;
}

/* Whatever stands in the data must fill it. */
static void end_data(struct cursor *c, const struct record *r)
{
    if (c->at != r->end)
        c->failed = true;
}

/* One look at the answer section: the records of `owner`; if there are none, whether there is an
 * alias for it, which replaces *owner. The cursor is behind the section afterwards. */
static bool collect(struct cursor *c, unsigned count, struct name *owner, enum answer_type type,
                    struct answer *out)
{
    struct name alias = { 0 };
    bool aliased = false;
    uint32_t alias_ttl_s = 0;

    while (count-- > 0 && !c->failed) {
        struct record r;

        get_record(c, &r);
        if (c->failed || r.class != CLASS_IN || !name_equal(&r.owner, owner)) {
            c->at = c->failed ? c->at : r.end;
        } else if (r.type == (unsigned)type) {
            struct answer_record record = { 0 };

            get_data(c, type, &record);
            end_data(c, &r);
            keep(out, type, &record);
            out->ttl_s = MIN(out->ttl_s, r.ttl_s);
        } else if (r.type == TYPE_CNAME) {
            get_name(c, &alias);
            end_data(c, &r);
            alias_ttl_s = r.ttl_s;
            aliased = true;
        } else {
            c->at = r.end;
        }
    }
    if (c->failed || out->count > 0 || !aliased)
        return false;
    *owner = alias;
    out->ttl_s = MIN(out->ttl_s, alias_ttl_s);
    return true;
}

/* RFC 2308, 5: the lesser of the SOA's TTL and of its last field. False: name servers instead of a
 * SOA, the answer of a server that sends us on to others (2.2). */
static bool read_negative_ttl(struct cursor *c, unsigned count, struct answer *out)
{
    bool begins_zone = false, leads_on = false;
    uint32_t ttl_s = 0;

    while (count-- > 0 && !c->failed) {
        struct record r;
        struct name ignored;
        uint32_t minimum = 0;

        get_record(c, &r);
        if (c->failed)
            break;
        if (r.type == TYPE_SOA && r.class == CLASS_IN) {
            get_name(c, &ignored);
            get_name(c, &ignored);
            for (int i = 0; i < 5; i++)
                minimum = get_u32(c);
            end_data(c, &r);
            ttl_s = MIN(r.ttl_s, minimum);
            begins_zone = true;
        } else {
            leads_on = leads_on || (r.type == TYPE_NS && r.class == CLASS_IN);
            c->at = r.end;
        }
    }
    out->ttl_s = MIN(out->ttl_s, ttl_s);
    return begins_zone || !leads_on;
}

static bool read_question(struct cursor *c, struct view name, enum answer_type type,
                          struct name *asked)
{
    unsigned asked_type, asked_class;

    get_name(c, asked);
    asked_type = get_u16(c);
    asked_class = get_u16(c);
    return !c->failed && name_is(asked, name) && asked_type == (unsigned)type &&
           asked_class == CLASS_IN;
}

static void read_sections(struct cursor *c, const struct header *h, struct name *owner,
                          enum answer_type type, struct answer *out)
{
    size_t start = c->at;
    unsigned aliases = 0;

    out->ttl_s = UINT32_MAX;
    while (collect(c, h->answers, owner, type, out)) {
        if (++aliases > ANSWER_CNAMES_MAX || owner->odd) {
            c->failed = true;
            return;
        }
        c->at = start;
    }
    if (out->count > 0 && h->rcode == RCODE_OK) {
        out->status = ANSWER_OK;
        return;
    }
    out->status = h->rcode == RCODE_OK ? ANSWER_NO_DATA : ANSWER_NO_DOMAIN;
    out->count = 0;
    if (!read_negative_ttl(c, h->authorities, out) && h->rcode == RCODE_OK && !h->authoritative)
        answer_set_failed(out, "the name server knows only others to ask: it is no resolver");
}

void answer_set_failed(struct answer *out, const char *failure)
{
    out->status = ANSWER_FAILED;
    out->failure = failure;
    out->ttl_s = 0;
    out->count = 0;
}

void answer_read(struct view packet, struct view name, enum answer_type type, struct answer *out)
{
    struct cursor c = { .packet = packet };
    struct header h = get_header(&c);
    struct name asked;

    answer_set_failed(out, NULL);
    out->status = ANSWER_MALFORMED;
    if (c.failed || !h.is_answer || h.opcode != 0 || h.questions != 1 ||
        !read_question(&c, name, type, &asked))
        return;
    if (h.truncated)
        answer_set_failed(out, "truncated answer");
    else if (h.rcode != RCODE_OK && h.rcode != RCODE_NXDOMAIN)
        answer_set_failed(out, "refused by the name server");
    else
        read_sections(&c, &h, &asked, type, out);
    if (!c.failed)
        return;
    answer_set_failed(out, NULL);
    out->status = ANSWER_MALFORMED;
}

static bool label_valid(struct view label)
{
    if (label.len == 0 || label.len > LABEL_MAX)
        return false;
    for (size_t i = 0; i < label.len; i++) {
        char c = label.ptr[i];

        if (!byte_is_alnum(c) && c != '-' && c != '_')
            return false;
    }
    return true;
}

bool answer_name_valid(struct view name)
{
    if (name.len == 0 || name.len > ANSWER_NAME_MAX || name.ptr[name.len - 1] == '.')
        return false;
    while (name.len > 0) {
        if (!label_valid(view_take_until(&name, '.')))
            return false;
    }
    return true;
}
