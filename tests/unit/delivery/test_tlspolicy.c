#include "delivery/tlspolicy.h"

#include "tests/unit/unit.h"

enum { NOW_MS = 1000 };

static const struct {
    const char *name;
    struct tls_wish wish;
    bool broken;
    enum route_tls level;
    bool verify, falls_back;
} cases[] = {
    { "offered", { ROUTE_TLS_OFFERED, false, false }, false, ROUTE_TLS_OFFERED, false, true },
    { "offered, broken", { ROUTE_TLS_OFFERED, false, false }, true, ROUTE_TLS_NONE, false, false },
    { "none", { ROUTE_TLS_NONE, false, false }, false, ROUTE_TLS_NONE, false, false },
    { "required", { ROUTE_TLS_VERIFY, false, false }, false, ROUTE_TLS_VERIFY, true, false },
    { "required, broken", { ROUTE_TLS_VERIFY, false, false }, true, ROUTE_TLS_VERIFY, true, false },
    { "encrypt", { ROUTE_TLS_ENCRYPT, false, false }, true, ROUTE_TLS_ENCRYPT, false, false },
    { "implicit", { ROUTE_TLS_OFFERED, true, false }, false, ROUTE_TLS_OFFERED, false, false },
    { "implicit, broken",
      { ROUTE_TLS_OFFERED, true, false },
      true,
      ROUTE_TLS_OFFERED,
      false,
      false },
    { "implicit, required",
      { ROUTE_TLS_VERIFY, true, false },
      false,
      ROUTE_TLS_VERIFY,
      true,
      false },
    { "onward", { ROUTE_TLS_OFFERED, false, true }, true, ROUTE_TLS_VERIFY, true, false },
};

static void chooses(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tls_memory m = { .broken_until_ms = cases[i].broken ? NOW_MS + 1 : 0 };
        struct tls_policy p = tlspolicy_choose(cases[i].wish, &m, NOW_MS);

        check(cases[i].name, p.level == cases[i].level);
        check(cases[i].name, p.verify == cases[i].verify);
        check(cases[i].name, p.tries == (p.level != ROUTE_TLS_NONE));
        check(cases[i].name,
              p.needs == (p.level == ROUTE_TLS_ENCRYPT || p.level == ROUTE_TLS_VERIFY));
        check(cases[i].name,
              p.implicit == cases[i].wish.implicit && p.onward == cases[i].wish.onward);
        check(cases[i].name, tlspolicy_fall_back(p, &m, NOW_MS) == cases[i].falls_back);
    }
}

static void remembers_for_a_while(void **state)
{
    static const struct tls_wish wish = { ROUTE_TLS_OFFERED, false, false };
    struct tls_memory m = { 0 };
    struct tls_policy p = tlspolicy_choose(wish, &m, NOW_MS);

    (void)state;
    assert_true(tlspolicy_fall_back(p, &m, NOW_MS));
    p = tlspolicy_choose(wish, &m, NOW_MS + TLSPOLICY_BROKEN_MS - 1);
    assert_int_equal(p.level, ROUTE_TLS_NONE);
    p = tlspolicy_choose(wish, &m, NOW_MS + TLSPOLICY_BROKEN_MS);
    assert_int_equal(p.level, ROUTE_TLS_OFFERED);
}

static void remembers_hosts(void **state)
{
    struct tls_memories m = { .next = 0 };
    struct net_address a = { .family = AF_INET, .bytes = { 192, 0, 2, 1 }, .port = 25 };

    (void)state;
    assert_null(tlspolicy_recall(&m, &a));
    tlspolicy_remember(&m, &a)->broken_until_ms = NOW_MS + 1;
    assert_int_equal(tlspolicy_until_ms(&m), NOW_MS + 1);
    assert_int_equal(tlspolicy_recall(&m, &a)->broken_until_ms, NOW_MS + 1);
    a.port = 587; /* another server */
    assert_null(tlspolicy_recall(&m, &a));
    tlspolicy_remember(&m, &a)->broken_until_ms = NOW_MS + 2;
    assert_int_equal(tlspolicy_until_ms(&m), NOW_MS + 2);
    for (unsigned i = 0; i < TLSPOLICY_HOSTS_MAX; i++) {
        a.bytes[3] = (uint8_t)(10 + i);
        tlspolicy_remember(&m, &a)->broken_until_ms = NOW_MS + 3;
    }
    assert_ptr_equal(tlspolicy_remember(&m, &a), tlspolicy_recall(&m, &a));
    a.bytes[3] = 1;
    assert_null(tlspolicy_recall(&m, &a));
}

static void describes(void **state)
{
    static const struct tls_facts known = { "TLSv1.3 X 256", true, false };
    static const struct tls_facts again = { "TLSv1.3 X 256", true, true };
    static const struct tls_facts unknown = { "TLSv1.2 Y 128", false, false };
    struct tls_policy verify = { .level = ROUTE_TLS_VERIFY, .verify = true };
    struct tls_policy offered = { .level = ROUTE_TLS_OFFERED };
    struct tls_policy onward = { .level = ROUTE_TLS_VERIFY, .onward = true };
    char room[TLSPOLICY_TEXT_MAX];
    struct buf out = BUF_ON_ARRAY(room);

    (void)state;
    tlspolicy_describe(verify, "t.yaml:3", &known, &out);
    check_view("verify", buf_view(&out),
               VIEW("TLSv1.3 X 256, certificate verified, by verify at t.yaml:3"));
    buf_clear(&out);
    tlspolicy_describe(verify, "t.yaml:3", &again, &out);
    check_view("resumed", buf_view(&out),
               VIEW("TLSv1.3 X 256, resumed, certificate verified, by verify at t.yaml:3"));
    buf_clear(&out);
    tlspolicy_describe(offered, NULL, &unknown, &out);
    check_view("default", buf_view(&out),
               VIEW("TLSv1.2 Y 128, certificate not verified, by default opportunistic"));
    buf_clear(&out);
    tlspolicy_describe(onward, NULL, &known, &out);
    check_view("onward", buf_view(&out),
               VIEW("TLSv1.3 X 256, certificate verified, by REQUIRETLS"));
}

static void describes_what_is_lacking(void **state)
{
    static const struct {
        const char *name;
        struct tls_policy policy;
        const char *origin;
        enum tls_lack lack;
        const char *wanted;
    } lacking[] = {
        { "not offered",
          { .level = ROUTE_TLS_OFFERED },
          NULL,
          TLS_NOT_OFFERED,
          "plain text (STARTTLS is not offered), by default opportunistic" },
        { "refused",
          { .level = ROUTE_TLS_OFFERED },
          "t.yaml:3",
          TLS_REFUSED,
          "plain text (STARTTLS is refused), by opportunistic at t.yaml:3" },
        { "broken",
          { .level = ROUTE_TLS_NONE, .broken = true },
          NULL,
          TLS_REFUSED,
          "plain text (STARTTLS failed before), by default opportunistic" },
        { "not wanted",
          { .level = ROUTE_TLS_NONE },
          "t.yaml:3",
          TLS_REFUSED,
          "plain text, by none at t.yaml:3" },
        { "missing",
          { .level = ROUTE_TLS_VERIFY },
          "t.yaml:3",
          TLS_NOT_OFFERED,
          "plain text (STARTTLS is not offered), by verify at t.yaml:3" },
        { "failed",
          { .level = ROUTE_TLS_VERIFY },
          "t.yaml:3",
          TLS_FAILED,
          "TLS failed, by verify at t.yaml:3" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(lacking); i++) {
        char room[TLSPOLICY_TEXT_MAX];
        struct buf out = BUF_ON_ARRAY(room);

        tlspolicy_describe_lack(lacking[i].policy, lacking[i].origin, lacking[i].lack, &out);
        check_view(lacking[i].name, buf_view(&out), view_of(lacking[i].wanted));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chooses),
        cmocka_unit_test(remembers_for_a_while),
        cmocka_unit_test(remembers_hosts),
        cmocka_unit_test(describes),
        cmocka_unit_test(describes_what_is_lacking),
    };

    return cmocka_run_group_tests_name("tlspolicy", tests, NULL, NULL);
}
