#include "delivery/hosts.h"

#include "common/crc32c.h"

#include <stdlib.h>
#include <string.h>

enum {
    HOSTS_MOST = 64, /* of an answer; the dns process gives no more than 50 */
    CHECKSUM_BYTES = 10,
};

struct mail_host {
    struct view name;
    uint16_t preference;
};

static int compare_names(const void *a, const void *b)
{
    struct view x = ((const struct mail_host *)a)->name, y = ((const struct mail_host *)b)->name;
    int order = memcmp(x.ptr, y.ptr, MIN(x.len, y.len));

    return order != 0 ? order : (x.len > y.len) - (x.len < y.len);
}

static int compare_preferences(const void *a, const void *b)
{
    const struct mail_host *x = a, *y = b;

    return x->preference != y->preference ? x->preference - y->preference : compare_names(a, b);
}

static size_t drop_from(uint16_t preference, const struct mail_host *hosts, size_t count)
{
    while (count > 0 && hosts[count - 1].preference >= preference)
        count--;
    return count;
}

/* Answers have the preferred hosts first. */
static size_t take_hosts(const struct message_dns_answer *a, struct view own,
                         struct mail_host hosts[HOSTS_MOST])
{
    struct view rest = a->items;
    struct dns_item item;
    size_t count = 0;

    while (a->result == DNS_OK && rest.len > 0 && count < HOSTS_MOST &&
           dns_items_take(&rest, DNS_ROUTE, &item)) {
        if (view_equal_nocase(item.host, own))
            return drop_from(item.preference, hosts, count);
        if (item.host.len > 0)
            hosts[count++] = (struct mail_host){ item.host, item.preference };
    }
    return count;
}

/* What the preferences are is nothing to it, but which of them are equal. */
static uint32_t order_of(struct mail_host hosts[HOSTS_MOST], size_t count)
{
    uint32_t crc = 0;

    qsort(hosts, count, sizeof(*hosts), compare_preferences);
    for (size_t i = 0; i < count; i++) {
        bool equal = i > 0 && hosts[i].preference == hosts[i - 1].preference;

        crc = crc32c(crc32c(crc, equal ? VIEW(",") : VIEW(";")), hosts[i].name);
    }
    return crc;
}

static void put_name(struct mail_host hosts[HOSTS_MOST], size_t count, struct buf *out)
{
    size_t fitting = 0; /* the length with the last host that leaves room for a checksum */
    uint32_t crc = 0;
    bool fits = true;

    qsort(hosts, count, sizeof(*hosts), compare_names);
    for (size_t i = 0; i < count; i++) {
        crc = crc32c(crc32c(crc, hosts[i].name), VIEW(","));
        fits = fits && (i == 0 || buf_put_byte(out, ',')) && buf_put(out, hosts[i].name) &&
               buf_len(out) <= MAIL_HOSTS_MAX;
        if (fits && buf_len(out) <= MAIL_HOSTS_MAX - CHECKSUM_BYTES)
            fitting = buf_len(out);
    }
    if (fits)
        return;
    buf_truncate(out, fitting);
    buf_printf(out, ",+%08x", (unsigned)crc);
}

uint32_t hosts_name(const struct message_dns_answer *a, struct view own, struct buf *out)
{
    struct mail_host hosts[HOSTS_MOST];
    size_t count = take_hosts(a, own, hosts);
    uint32_t order = order_of(hosts, count);

    buf_clear(out);
    put_name(hosts, count, out);
    return order;
}
