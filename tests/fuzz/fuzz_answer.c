#include "dns/addr.h"
#include "dns/answer.h"
#include "dns/mx.h"
#include "dns/reverse.h"

#include "tests/fuzz/fuzz.h"

/* The first byte chooses what was asked; the rest is the answer, to a question for there.test. */

static uint32_t next(struct mx_random *r)
{
    static uint32_t n;

    (void)r;
    return n++;
}

static void check_hosts(const struct answer *answer)
{
    struct mx_random chance = { next };
    struct dns_item items[MX_HOSTS_MAX];
    size_t count;
    enum dns_result result = mx_choose(answer, &chance, items, &count);

    assert(result == DNS_OK || result == DNS_NULL_MX || result == DNS_MALFORMED);
    assert((result == DNS_OK) == (count > 0) && count <= MX_HOSTS_MAX);
    for (size_t i = 0; i < count; i++) {
        assert(answer_name_valid(items[i].host));
        assert(i == 0 || items[i - 1].preference <= items[i].preference);
        for (size_t j = 0; j < i; j++)
            assert(!view_equal(items[i].host, items[j].host));
    }
}

static void check_addresses(const struct answer *answer)
{
    struct dns_item items[ADDR_ITEMS_MAX];
    struct addr_half half;
    uint32_t ttl_s;
    size_t count;

    addr_keep(answer, &half);
    assert((addr_merge(&half, &half, items, &count, &ttl_s) == DNS_OK) == (answer->count > 0));
    assert(count == 2 * MIN(answer->count, (size_t)ADDR_FAMILY_MAX));
}

static void check_names(const struct answer *answer)
{
    static struct reverse_hosts names;

    reverse_keep(answer, &names);
    assert(names.count <= answer->count);
    for (size_t i = 0; i < names.count; i++)
        assert(answer_name_valid(view_of(names.hosts[i])));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const enum answer_type types[] = { ANSWER_A, ANSWER_MX, ANSWER_AAAA, ANSWER_PTR };
    static struct answer answer;
    enum answer_type type;

    if (len == 0)
        return 0;
    type = types[bytes[0] % COUNT_OF(types)];
    answer_read(view_make(bytes + 1, len - 1), VIEW("there.test"), type, &answer);
    assert((answer.status == ANSWER_OK) == (answer.count > 0));
    assert(answer.count <= ANSWER_RECORDS_MAX);
    assert(answer.ttl_s <= INT32_MAX);
    if (answer.status == ANSWER_OK && type == ANSWER_MX)
        check_hosts(&answer);
    if (type == ANSWER_PTR)
        check_names(&answer);
    else if (type != ANSWER_MX)
        check_addresses(&answer);
    return 0;
}
