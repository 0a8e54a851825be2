/* Failures are counted by client and by login, and come to be forgotten. */
#include "auth/tries.h"
#include "tests/unit/unit.h"

static struct tries tries;

static struct net_address address(const char *text)
{
    struct net_address a;

    assert_true(net_parse_address(view_of(text), &a));
    return a;
}

static int setup(void **state)
{
    (void)state;
    tries = (struct tries){
        .per_client = 3, .per_login = 5, .time_ms = 60000, .prefix4 = 32, .prefix6 = 64
    };
    tries_init(&tries);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tries_release(&tries);
    return 0;
}

static void test_client(void **state)
{
    struct net_address a = address("192.0.2.1"), b = address("192.0.2.2");

    (void)state;
    for (int i = 0; i < 3; i++) {
        check("still", tries_ask(&tries, &a, VIEW("x"), 1000) == TRIES_FINE);
        tries_fail(&tries, &a, VIEW("x"), 1000);
    }
    check("no more", tries_ask(&tries, &a, VIEW("other"), 1000) == TRIES_CLIENT);
    check("whatever it tries", tries_ask(&tries, &a, VIEW_EMPTY, 1000) == TRIES_CLIENT);
    check("others may", tries_ask(&tries, &b, VIEW("x"), 1000) == TRIES_FINE);
    check("not yet", tries_ask(&tries, &a, VIEW("x"), 20999) == TRIES_CLIENT);
    check("one came back", tries_ask(&tries, &a, VIEW("x"), 21000) == TRIES_FINE);
    tries_fail(&tries, &a, VIEW("x"), 21000);
    check("one only", tries_ask(&tries, &a, VIEW("x"), 21000) == TRIES_CLIENT);
}

static void test_networks(void **state)
{
    struct net_address a = address("2001:db8::1"), b = address("2001:db8::ffff:2"),
                       c = address("2001:db8:0:1::1");

    (void)state;
    for (int i = 0; i < 3; i++)
        tries_fail(&tries, &a, VIEW_EMPTY, 1000);
    check("same network", tries_ask(&tries, &b, VIEW("x"), 1000) == TRIES_CLIENT);
    check("another", tries_ask(&tries, &c, VIEW("x"), 1000) == TRIES_FINE);
}

static void test_login(void **state)
{
    struct net_address home = address("198.51.100.1");

    (void)state;
    check("a stranger", !tries_knows(&tries, &home, VIEW("bob")));
    tries_succeed(&tries, &home, VIEW("bob"), 500);
    check("known", tries_knows(&tries, &home, VIEW("Bob")));
    check("not as another", !tries_knows(&tries, &home, VIEW("ann")));
    for (int i = 0; i < 5; i++) {
        struct net_address a = address("192.0.2.0");

        a.bytes[3] = (uint8_t)(i + 1);
        check("still", tries_ask(&tries, &a, VIEW("bob"), 1000) == TRIES_FINE);
        tries_fail(&tries, &a, VIEW("BOB"), 1000);
    }
    home.bytes[3] = 2;
    check("no more", tries_ask(&tries, &home, VIEW("bob"), 1000) == TRIES_LOGIN);
    check("others", tries_ask(&tries, &home, VIEW("alice"), 1000) == TRIES_FINE);
    home.bytes[3] = 1;
    check("at home", tries_ask(&tries, &home, VIEW("Bob"), 1000) == TRIES_FINE);
    home.bytes[3] = 2;
    check("later", tries_ask(&tries, &home, VIEW("bob"), 13000) == TRIES_FINE);
}

static void test_bounded(void **state)
{
    struct net_address a = address("10.0.0.0");

    (void)state;
    for (unsigned i = 0; i < TRIES_ENTRIES_MAX + 1000; i++) {
        a.bytes[1] = (uint8_t)(i >> 16);
        a.bytes[2] = (uint8_t)(i >> 8);
        a.bytes[3] = (uint8_t)i;
        tries_fail(&tries, &a, VIEW_EMPTY, 1000);
    }
    check("entries", tries.entries.count == TRIES_ENTRIES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_client, setup, teardown),
        cmocka_unit_test_setup_teardown(test_networks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_login, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
    };

    return cmocka_run_group_tests_name("tries", tests, NULL, NULL);
}
