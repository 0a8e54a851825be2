#include "delivery/hosts.h"

#include "common/crc32c.h"

#include <stdlib.h>
#include <string.h>

enum {
    HOSTS_MOST = 64, /* of an answer; the dns process gives no more than 50 */
    CHECKSUM_BYTES = 10,
};

static int compare_hosts(const void *a, const void *b)
{
    const struct view *x = a, *y = b;
    int order = memcmp(x->ptr, y->ptr, MIN(x->len, y->len));

    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

static size_t drop_from(uint16_t preference, const uint16_t *preferences, size_t count)
{
    while (count > 0 && preferences[count - 1] >= preference)
        count--;
    return count;
}

/* Answers have the preferred hosts first. */
static size_t take_hosts(const struct message_dns_answer *a, struct view own,
                         struct view hosts[HOSTS_MOST])
{
    uint16_t preferences[HOSTS_MOST];
    struct view rest = a->items;
    struct dns_item item;
    size_t count = 0;

    while (a->result == DNS_OK && rest.len > 0 && count < HOSTS_MOST &&
           dns_items_take(&rest, DNS_ROUTE, &item)) {
        if (view_equal_nocase(item.host, own))
            return drop_from(item.preference, preferences, count);
        preferences[count] = item.preference;
        if (item.host.len > 0)
            hosts[count++] = item.host;
    }
    return count;
}

void hosts_name(const struct message_dns_answer *a, struct view own, struct buf *out)
{
    struct view hosts[HOSTS_MOST];
    size_t count = take_hosts(a, own, hosts);
    size_t fitting = 0; /* the length with the last host that leaves room for a checksum */
    uint32_t crc = 0;
    bool fits = true;

    buf_clear(out);
    qsort(hosts, count, sizeof(*hosts), compare_hosts);
    for (size_t i = 0; i < count; i++) {
        crc = crc32c(crc32c(crc, hosts[i]), VIEW(","));
        fits = fits && (i == 0 || buf_put_byte(out, ',')) && buf_put(out, hosts[i]) &&
               buf_len(out) <= MAIL_HOSTS_MAX;
        if (fits && buf_len(out) <= MAIL_HOSTS_MAX - CHECKSUM_BYTES)
            fitting = buf_len(out);
    }
    if (fits)
        return;
    buf_truncate(out, fitting);
    buf_printf(out, ",+%08x", (unsigned)crc);
}
