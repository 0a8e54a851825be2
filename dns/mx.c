#include "dns/mx.h"

#include <stdlib.h>

static int by_preference(const void *a, const void *b)
{
    const struct dns_item *left = a;
    const struct dns_item *right = b;

    if (left->preference != right->preference)
        return left->preference < right->preference ? -1 : 1;
    return view_compare(left->host, right->host);
}

/* Every order is as likely as any other, but for the 2^-24 or less that the modulo costs. */
static void shuffle_all(struct dns_item *items, size_t count, struct mx_random *random)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = random->next(random) % i;
        struct dns_item item = items[i - 1];

        items[i - 1] = items[other];
        items[other] = item;
    }
}

void mx_shuffle(struct dns_item *items, size_t count, struct mx_random *random)
{
    size_t start = 0;

    for (size_t i = 1; i <= count; i++) {
        if (i < count && items[i].preference == items[start].preference)
            continue;
        shuffle_all(items + start, i - start, random);
        start = i;
    }
}

/* Keeps the first of those with the same name, which has the best preference. */
static size_t drop_repeated(struct dns_item *items, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        size_t j = 0;

        while (j < kept && !view_equal(items[j].host, items[i].host))
            j++;
        if (j == kept)
            items[kept++] = items[i];
    }
    return kept;
}

enum dns_result mx_choose(const struct answer *answer, struct mx_random *random,
                          struct dns_item items[MX_HOSTS_MAX], size_t *count)
{
    struct dns_item all[ANSWER_RECORDS_MAX];
    size_t usable = 0, roots = 0;

    *count = 0;
    for (size_t i = 0; i < answer->count; i++) {
        const struct answer_record *r = &answer->records[i];
        struct view host = view_make(r->host, r->host_len);

        roots += r->host_len == 0;
        if (!r->host_odd && answer_name_valid(host))
            all[usable++] = (struct dns_item){ .preference = r->preference, .host = host };
    }
    if (usable == 0)
        return roots > 0 && roots == answer->count ? DNS_NULL_MX : DNS_MALFORMED;
    qsort(all, usable, sizeof(all[0]), by_preference);
    usable = drop_repeated(all, usable);
    /* By name first, so that of too many it is always the same ones that are kept. */
    *count = MIN(usable, (size_t)MX_HOSTS_MAX);
    mx_shuffle(all, *count, random);
    for (size_t i = 0; i < *count; i++)
        items[i] = all[i];
    return DNS_OK;
}
