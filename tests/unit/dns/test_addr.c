#include "dns/addr.h"

#include "tests/unit/unit.h"

#include <string.h>
#include <sys/socket.h>

/* clang-format off */
static const struct {
    const char *name;
    enum answer_status v6_status;
    size_t v6_count;
    enum answer_status v4_status;
    size_t v4_count;
    enum dns_result result;
    const char *families; /* of the list */
    uint32_t ttl_s; /* v6 has 100, v4 has 50 */
} cases[] = {
    { "both",               ANSWER_OK, 2, ANSWER_OK, 3,              DNS_OK, "64644", 50 },
    { "more IPv6",          ANSWER_OK, 3, ANSWER_OK, 1,              DNS_OK, "6466", 50 },
    { "IPv4 only",          ANSWER_NO_DATA, 0, ANSWER_OK, 2,         DNS_OK, "44", 50 },
    { "IPv6 only",          ANSWER_OK, 2, ANSWER_NO_DATA, 0,         DNS_OK, "66", 100 },
    { "AAAA says NXDOMAIN", ANSWER_NO_DOMAIN, 0, ANSWER_OK, 1,       DNS_OK, "4", 50 },
    { "AAAA fails",         ANSWER_FAILED, 0, ANSWER_OK, 1,          DNS_OK, "4", 2 },
    { "A is malformed",     ANSWER_OK, 1, ANSWER_MALFORMED, 0,       DNS_OK, "6", 2 },
    { "nothing",            ANSWER_NO_DATA, 0, ANSWER_NO_DATA, 0,    DNS_NO_HOSTS, "", 50 },
    { "no domain",          ANSWER_NO_DOMAIN, 0, ANSWER_NO_DOMAIN, 0, DNS_NO_DOMAIN, "", 50 },
    { "no domain for one",  ANSWER_NO_DOMAIN, 0, ANSWER_NO_DATA, 0,  DNS_NO_HOSTS, "", 50 },
    { "one fails",          ANSWER_NO_DATA, 0, ANSWER_FAILED, 0,     DNS_TEMPORARY, "", 50 },
    { "no domain or fails", ANSWER_NO_DOMAIN, 0, ANSWER_FAILED, 0,   DNS_TEMPORARY, "", 50 },
    { "one is malformed",   ANSWER_MALFORMED, 0, ANSWER_NO_DATA, 0,  DNS_MALFORMED, "", 50 },
    { "both fail",          ANSWER_FAILED, 0, ANSWER_FAILED, 0,      DNS_TEMPORARY, "", 50 },
};
/* clang-format on */

static struct addr_half half(enum answer_status status, size_t count, uint32_t ttl_s)
{
    return (struct addr_half){ .status = status, .count = count, .ttl_s = ttl_s };
}

static void test_merge(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct addr_half v6 = half(cases[i].v6_status, cases[i].v6_count, 100);
        struct addr_half v4 = half(cases[i].v4_status, cases[i].v4_count, 50);
        struct dns_item items[ADDR_ITEMS_MAX];
        char families[ADDR_ITEMS_MAX];
        uint32_t ttl_s;
        size_t count;

        check(cases[i].name, addr_merge(&v6, &v4, items, &count, &ttl_s) == cases[i].result);
        for (size_t j = 0; j < count; j++)
            families[j] = items[j].family == AF_INET6 ? '6' : '4';
        check_view(cases[i].name, view_make(families, count), view_of(cases[i].families));
        check(cases[i].name, ttl_s == cases[i].ttl_s);
    }
}

static void test_only_so_many_are_kept(void **state)
{
    static struct answer answer = { .status = ANSWER_OK, .count = ANSWER_RECORDS_MAX, .ttl_s = 9 };
    struct addr_half kept;

    (void)state;
    answer.records[ADDR_FAMILY_MAX - 1].address[3] = 7;
    addr_keep(&answer, &kept);
    assert_int_equal(kept.count, ADDR_FAMILY_MAX);
    assert_int_equal(kept.addresses[ADDR_FAMILY_MAX - 1][3], 7);
    assert_int_equal(kept.ttl_s, 9);
}

static void test_literals(void **state)
{
    static const struct {
        const char *name;
        uint8_t family; /* 0: it is none */
    } literals[] = {
        { "192.0.2.1", AF_INET },
        { "[192.0.2.1]", AF_INET },
        { "2001:db8::1", AF_INET6 },
        { "[IPv6:2001:db8::1]", AF_INET6 },
        { "[ipv6:2001:db8::1]", AF_INET6 },
        { "mx.test", 0 },
        { "[mx.test]", 0 },
        { "[192.0.2.1", 0 },
        { "192.0.2.1]", 0 },
        { "[", 0 },
        { "[]", 0 },
        { "", 0 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(literals); i++) {
        struct dns_item item = { 0 };
        bool is = addr_read_literal(view_of(literals[i].name), &item);

        check(literals[i].name, is == (literals[i].family != 0));
        check(literals[i].name, item.family == literals[i].family);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_only_so_many_are_kept),
        cmocka_unit_test(test_literals),
    };

    return cmocka_run_group_tests_name("addr", tests, NULL, NULL);
}
