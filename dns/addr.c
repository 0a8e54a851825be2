#include "dns/addr.h"

#include "io/net.h"

#include <string.h>

void addr_keep(const struct answer *answer, struct addr_half *half)
{
    half->status = answer->status;
    half->failure = answer->failure;
    half->ttl_s = answer->ttl_s;
    half->count = MIN(answer->count, COUNT_OF(half->addresses));
    for (size_t i = 0; i < half->count; i++)
        memcpy(half->addresses[i], answer->records[i].address, sizeof(half->addresses[i]));
}

static void put(struct dns_item *items, size_t *count, uint8_t family, const struct addr_half *half,
                size_t i)
{
    struct dns_item *item = &items[*count];

    if (i >= half->count)
        return;
    *item = (struct dns_item){ .family = family };
    memcpy(item->address, half->addresses[i], sizeof(item->address));
    (*count)++;
}

static bool either(const struct addr_half *a, const struct addr_half *b, enum answer_status status)
{
    return a->status == status || b->status == status;
}

/* A family without addresses does not shorten the life of the other's. */
static uint32_t ttl_with(uint32_t ttl_s, const struct addr_half *half)
{
    switch (half->status) {
    case ANSWER_OK:
        return MIN(ttl_s, half->ttl_s);
    case ANSWER_NO_DATA:
    case ANSWER_NO_DOMAIN:
        break;
    case ANSWER_FAILED:
    case ANSWER_MALFORMED:
        return MIN(ttl_s, (uint32_t)ADDR_PARTIAL_TTL_S);
    }
    return ttl_s;
}

enum dns_result addr_merge(const struct addr_half *v6, const struct addr_half *v4,
                           struct dns_item items[ADDR_ITEMS_MAX], size_t *count, uint32_t *ttl_s)
{
    *count = 0;
    for (size_t i = 0; i < ADDR_FAMILY_MAX; i++) {
        put(items, count, AF_INET6, v6, i);
        put(items, count, AF_INET, v4, i);
    }
    *ttl_s = ttl_with(ttl_with(UINT32_MAX, v6), v4);
    if (*count > 0)
        return DNS_OK;
    *ttl_s = MIN(v6->ttl_s, v4->ttl_s);
    if (either(v6, v4, ANSWER_FAILED))
        return DNS_TEMPORARY;
    if (either(v6, v4, ANSWER_MALFORMED))
        return DNS_MALFORMED;
    return either(v6, v4, ANSWER_NO_DATA) ? DNS_NO_HOSTS : DNS_NO_DOMAIN;
}

bool addr_read_literal(struct view name, struct dns_item *out)
{
    struct net_address address;

    if (view_take_byte(&name, '[')) {
        if (name.len == 0 || name.ptr[name.len - 1] != ']')
            return false;
        name.len--;
        view_take_nocase(&name, VIEW("IPv6:"));
    }
    if (!net_parse_address(name, &address))
        return false;
    *out = (struct dns_item){ .family = address.family };
    memcpy(out->address, address.bytes, sizeof(out->address));
    return true;
}
