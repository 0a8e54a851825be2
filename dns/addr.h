/* The addresses of a host: AAAA and A records, asked together, become one list. Pure. */
#ifndef DNS_ADDR_H
#define DNS_ADDR_H

#include "dns/answer.h"
#include "ipc/messages.h"

enum {
    ADDR_FAMILY_MAX = 20,                 /* addresses kept of each family */
    ADDR_ITEMS_MAX = 2 * ADDR_FAMILY_MAX, /* in the list */
    ADDR_PARTIAL_TTL_S = 2,               /* when one family could not be asked for */
};

/* What is kept of one of the two answers until the other is there. */
struct addr_half {
    enum answer_status status;
    const char *failure;
    uint32_t ttl_s;
    size_t count;
    uint8_t addresses[ADDR_FAMILY_MAX][16];
};

void addr_keep(const struct answer *answer, struct addr_half *half);

/* IPv6 first, then alternating, so that a family that does not work costs one attempt. One family
 * that has addresses is enough; with none, trouble with one of them is trouble with the host. */
enum dns_result addr_merge(const struct addr_half *v6, const struct addr_half *v4,
                           struct dns_item items[ADDR_ITEMS_MAX], size_t *count,
                           uint32_t *ttl_s) MUST_USE;

/* A name that is an address: "192.0.2.1", "2001:db8::1", "[192.0.2.1]", "[IPv6:2001:db8::1]"
 * (RFC 5321, 4.1.3). */
bool addr_read_literal(struct view name, struct dns_item *out) MUST_USE;

#endif
