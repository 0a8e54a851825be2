#include "dns/reverse.h"

#include <string.h>

void reverse_name(const struct net_address *address, struct buf *out)
{
    net_print_reversed(address, out);
    buf_put(out, address->family == AF_INET ? VIEW(".in-addr.arpa") : VIEW(".ip6.arpa"));
}

void reverse_keep(const struct answer *answer, struct reverse_hosts *out)
{
    *out = (struct reverse_hosts){ 0 };
    for (size_t i = 0; i < answer->count && out->count < REVERSE_HOSTS_MAX; i++) {
        const struct answer_record *r = &answer->records[i];

        if (r->host_odd || !answer_name_valid(view_make(r->host, r->host_len)))
            continue;
        memcpy(out->hosts[out->count++], r->host, r->host_len);
    }
}

bool reverse_confirms(const struct dns_item *items, size_t count, const struct net_address *address)
{
    for (size_t i = 0; i < count; i++) {
        struct net_address a = { .family = items[i].family };

        memcpy(a.bytes, items[i].address, sizeof(a.bytes));
        net_unmap(&a);
        if (net_equal(&a, address))
            return true;
    }
    return false;
}
