/* Makes DNS messages. Names are text; "@" is a pointer to the question's name. */
#ifndef TESTS_UNIT_DNS_PACKET_H
#define TESTS_UNIT_DNS_PACKET_H

#include "common/buf.h"

enum { PACKET_ANSWER = 0x8180, PACKET_NAME_AT = 12 /* where the question's name is */ };

struct packet {
    struct buf buf;
    char room[16384];
};

static inline UNUSED void put_u16(struct packet *p, unsigned n)
{
    buf_put_byte(&p->buf, (char)(n >> 8));
    buf_put_byte(&p->buf, (char)n);
}

static inline UNUSED void put_u32(struct packet *p, uint32_t n)
{
    put_u16(p, n >> 16);
    put_u16(p, n & 0xffff);
}

static inline UNUSED void put_name(struct packet *p, const char *text)
{
    struct view rest = view_of(text);

    if (view_equal(rest, VIEW("@"))) {
        put_u16(p, 0xc000 | PACKET_NAME_AT);
        return;
    }
    while (rest.len > 0) {
        struct view label = view_take_until(&rest, '.');

        buf_put_byte(&p->buf, (char)label.len);
        buf_put(&p->buf, label);
    }
    buf_put_byte(&p->buf, 0);
}

static inline UNUSED void begin_packet(struct packet *p, unsigned bits, const char *name,
                                       unsigned type)
{
    p->buf = BUF_ON_ARRAY(p->room);
    put_u16(p, 4711);
    put_u16(p, bits);
    put_u16(p, 1);
    for (int i = 0; i < 3; i++)
        put_u16(p, 0);
    put_name(p, name);
    put_u16(p, type);
    put_u16(p, 1);
}

/* Sections: 0 is the answer, 1 the authority. */
static inline UNUSED void count_record(struct packet *p, unsigned section)
{
    char *at = p->room + 6 + 2 * section;
    unsigned count = ((unsigned)(unsigned char)at[0] << 8 | (unsigned char)at[1]) + 1;

    at[0] = (char)(count >> 8);
    at[1] = (char)count;
}

/* Returns where the data begins; end_record sets its length. */
static inline UNUSED size_t begin_record(struct packet *p, unsigned section, const char *owner,
                                         unsigned type, uint32_t ttl_s)
{
    count_record(p, section);
    put_name(p, owner);
    put_u16(p, type);
    put_u16(p, 1);
    put_u32(p, ttl_s);
    put_u16(p, 0);
    return buf_len(&p->buf);
}

static inline UNUSED void end_record(struct packet *p, size_t start)
{
    size_t len = buf_len(&p->buf) - start;

    p->room[start - 2] = (char)(len >> 8);
    p->room[start - 1] = (char)len;
}

static inline UNUSED void add_mx(struct packet *p, const char *owner, uint32_t ttl_s,
                                 unsigned preference, const char *host)
{
    size_t start = begin_record(p, 0, owner, 15, ttl_s);

    put_u16(p, preference);
    put_name(p, host);
    end_record(p, start);
}

static inline UNUSED void add_ptr(struct packet *p, const char *owner, uint32_t ttl_s,
                                  const char *host)
{
    size_t start = begin_record(p, 0, owner, 12, ttl_s);

    put_name(p, host);
    end_record(p, start);
}

static inline UNUSED void add_cname(struct packet *p, const char *owner, uint32_t ttl_s,
                                    const char *target)
{
    size_t start = begin_record(p, 0, owner, 5, ttl_s);

    put_name(p, target);
    end_record(p, start);
}

/* An A record for 4 bytes, AAAA for 16. */
static inline UNUSED void add_address(struct packet *p, const char *owner, uint32_t ttl_s,
                                      struct view bytes)
{
    size_t start = begin_record(p, 0, owner, bytes.len == 4 ? 1 : 28, ttl_s);

    buf_put(&p->buf, bytes);
    end_record(p, start);
}

static inline UNUSED void add_ns(struct packet *p, const char *owner, const char *host)
{
    size_t start = begin_record(p, 1, owner, 2, 60);

    put_name(p, host);
    end_record(p, start);
}

static inline UNUSED void add_soa(struct packet *p, uint32_t ttl_s, uint32_t minimum)
{
    size_t start = begin_record(p, 1, "test", 6, ttl_s);

    put_name(p, "ns.test");
    put_name(p, "hostmaster.test");
    for (int i = 0; i < 4; i++)
        put_u32(p, 3600);
    put_u32(p, minimum);
    end_record(p, start);
}

#endif
