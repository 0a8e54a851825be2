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
        struct tls_memory m = { cases[i].broken ? NOW_MS + 1 : 0 };
        struct tls_policy p = tlspolicy_choose(cases[i].wish, &m, NOW_MS);

        check(cases[i].name, p.level == cases[i].level);
        check(cases[i].name, p.verify == cases[i].verify);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chooses),
        cmocka_unit_test(remembers_for_a_while),
    };

    return cmocka_run_group_tests_name("tlspolicy", tests, NULL, NULL);
}
