#include "smtpd/rates.h"

#include "ipc/messages.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static struct settings settings = {
    .limits = { .client_prefix4 = 32, .client_prefix6 = 64 },
    .rates = { .client = { [RATE_MESSAGES] = { 5, 60000 }, [RATE_FAILURES] = { 2, 60000 } },
               .network = { [RATE_MESSAGES] = { 8, 60000 } },
               .login = { [RATE_MESSAGES] = { 3, 60000 } },
               .network_prefix4 = 24,
               .network_prefix6 = 48 },
};
static struct listener_settings mx = { .name = VIEW_INIT("mx") },
                                also = { .name = VIEW_INIT("also") };
static struct rates one, other; /* of two processes */
static int memory;

static int open_all(void **state)
{
    struct error err;

    (void)state;
    mx.rates = also.rates = settings.rates;
    memory = memfd_create("rates", MFD_CLOEXEC);
    assert_int_equal(ftruncate(memory, RATES_BYTES), 0);
    assert_int_equal(rates_open(&one, dup(memory), &settings, &err), 0);
    assert_int_equal(rates_open(&other, dup(memory), &settings, &err), 0);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    rates_close(&one);
    rates_close(&other);
    close(memory);
    return 0;
}

static enum rates_verdict take_at(const struct listener_settings *at, struct rates *r,
                                  enum rate_kind kind, const char *client, const char *login,
                                  uint64_t now_ms)
{
    struct net_address a = { 0 };
    struct rates_owner who = { .at = at, .client = &a, .login = view_of(login) };
    enum rates_verdict looked;

    if (client != NULL)
        assert_true(net_parse_address(view_of(client), &a));
    looked = rates_look(r, kind, &who, now_ms);
    assert_int_equal(looked, rates_take(r, kind, &who, now_ms));
    return looked;
}

static enum rates_verdict take(struct rates *r, enum rate_kind kind, const char *client,
                               const char *login, uint64_t now_ms)
{
    return take_at(&mx, r, kind, client, login, now_ms);
}

/* As many at once as the rate has, then one after another as they come back. */
static void gives_what_there_is(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(take(&one, RATE_MESSAGES, "192.0.2.1", NULL, 1000), RATES_FINE);
    assert_int_equal(take(&one, RATE_MESSAGES, "192.0.2.1", NULL, 1000), RATES_CLIENT);
    assert_int_equal(take(&one, RATE_MESSAGES, "192.0.2.1", NULL, 12999), RATES_CLIENT);
    assert_int_equal(take(&one, RATE_MESSAGES, "192.0.2.1", NULL, 13000), RATES_FINE);
    assert_int_equal(take(&one, RATE_MESSAGES, "192.0.2.1", NULL, 13000), RATES_CLIENT);
    for (int i = 0; i < 5; i++)
        assert_int_equal(take(&one, RATE_MESSAGES, "192.0.2.1", NULL, 100000), RATES_FINE);
    assert_int_equal(take(&one, RATE_MESSAGES, "192.0.2.1", NULL, 100000), RATES_CLIENT);
}

static void counts_in_all_processes(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(take(i % 2 ? &one : &other, RATE_MESSAGES, "192.0.2.1", NULL, 0),
                         RATES_FINE);
    assert_int_equal(take(&other, RATE_MESSAGES, "192.0.2.1", NULL, 0), RATES_FINE);
    assert_int_equal(take(&one, RATE_MESSAGES, "192.0.2.1", NULL, 0), RATES_CLIENT);
}

static void knows_networks(void **state)
{
    char text[64];

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        (void)snprintf(text, sizeof(text), "192.0.2.%u", i);
        assert_int_equal(take(&one, RATE_MESSAGES, text, NULL, 0), RATES_FINE);
    }
    assert_int_equal(take(&one, RATE_MESSAGES, "192.0.2.9", NULL, 0), RATES_NETWORK);
    assert_int_equal(take(&one, RATE_MESSAGES, "192.0.3.9", NULL, 0), RATES_FINE);
    /* IPv6: a client is a /64, and who changes within it stays the same. */
    for (unsigned i = 0; i < 5; i++) {
        (void)snprintf(text, sizeof(text), "2001:db8:0:1::%u", i);
        assert_int_equal(take(&one, RATE_MESSAGES, text, NULL, 0), RATES_FINE);
    }
    assert_int_equal(take(&one, RATE_MESSAGES, "2001:db8:0:1::99", NULL, 0), RATES_CLIENT);
    assert_int_equal(take(&one, RATE_MESSAGES, "2001:db8:0:2::1", NULL, 0), RATES_FINE);
}

static void a_login_is_one_in_any_letters(void **state)
{
    (void)state;
    assert_int_equal(take(&one, RATE_MESSAGES, NULL, "ann@here.test", 1), RATES_FINE);
    assert_int_equal(take(&one, RATE_MESSAGES, NULL, "Ann@here.test", 1), RATES_FINE);
    assert_int_equal(take(&other, RATE_MESSAGES, NULL, "ANN@HERE.test", 1), RATES_FINE);
    assert_int_equal(take(&one, RATE_MESSAGES, NULL, "aNN@here.test", 1), RATES_LOGIN);
    assert_int_equal(take(&one, RATE_MESSAGES, NULL, "bob@here.test", 1), RATES_FINE);
}

static void a_login_has_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(take(&one, RATE_MESSAGES, "192.0.2.1", "ann", 0), RATES_FINE);
    assert_int_equal(take(&one, RATE_MESSAGES, "192.0.2.2", "ann", 0), RATES_LOGIN);
    assert_int_equal(take(&one, RATE_MESSAGES, "192.0.2.1", "bob", 0), RATES_FINE);
    for (int i = 0; i < 5; i++)
        assert_int_equal(take(&one, RATE_MESSAGES, "192.0.2.1", NULL, 0), RATES_FINE);
}

/* What a listener has no rate of its own for is counted together with the others'. */
static void a_listener_may_have_its_own(void **state)
{
    (void)state;
    also.rates.client[RATE_MESSAGES] = (struct config_rate){ 2, 60000 };
    also.rates.login[RATE_MESSAGES] = (struct config_rate){ 0, 0 };
    for (int i = 0; i < 2; i++)
        assert_int_equal(take_at(&also, &one, RATE_MESSAGES, "192.0.2.1", NULL, 0), RATES_FINE);
    assert_int_equal(take_at(&also, &one, RATE_MESSAGES, "192.0.2.1", NULL, 0), RATES_CLIENT);
    for (int i = 0; i < 5; i++)
        assert_int_equal(take(&one, RATE_MESSAGES, "192.0.2.1", NULL, 0), RATES_FINE);
    assert_int_equal(take_at(&also, &one, RATE_MESSAGES, "192.0.2.2", NULL, 0), RATES_FINE);
    assert_int_equal(take_at(&also, &one, RATE_MESSAGES, "192.0.2.3", NULL, 0), RATES_NETWORK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(take(&one, RATE_MESSAGES, NULL, "ann", 0), RATES_FINE);
    assert_int_equal(take(&one, RATE_MESSAGES, NULL, "ann", 0), RATES_LOGIN);
    assert_int_equal(take_at(&also, &one, RATE_MESSAGES, NULL, "ann", 0), RATES_FINE);
}

static void kinds_are_apart_and_may_be_off(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(take(&one, RATE_FAILURES, "192.0.2.1", NULL, 0), RATES_FINE);
    assert_int_equal(take(&one, RATE_FAILURES, "192.0.2.1", NULL, 0), RATES_CLIENT);
    assert_int_equal(take(&one, RATE_MESSAGES, "192.0.2.1", NULL, 0), RATES_FINE);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(take(&one, RATE_RECIPIENTS, "192.0.2.1", NULL, 0), RATES_FINE);
        assert_int_equal(take(&one, RATE_MESSAGES, NULL, NULL, 0), RATES_FINE); /* of nobody */
    }
}

/* A flood of strangers, each with one message: nobody of them is refused for the others, and one
 * who goes on sending all the while stays limited. */
static void a_flood_hurts_only_itself(void **state)
{
    char text[64];
    unsigned refused = 0;

    (void)state;
    for (unsigned i = 0; i < 400000; i++) {
        (void)snprintf(text, sizeof(text), "%u.%u.%u.1", 16 + i / 65536, i / 256 % 256, i % 256);
        assert_int_equal(take(&one, RATE_MESSAGES, text, NULL, 1), RATES_FINE);
        if (i % 100 == 0 && take(&one, RATE_MESSAGES, "192.0.2.1", NULL, 1) == RATES_CLIENT)
            refused++;
    }
    assert_true(refused > 3900);
}

static bool charge(const char *rule, unsigned number, const char *whose, uint64_t count,
                   uint64_t now_ms)
{
    const struct config_rate rate = { count, 60000 };
    const struct rates_bucket b = { view_of(rule), number, view_of(whose), &rate };
    bool looked = rates_bucket_look(&other, &b, now_ms);

    assert_int_equal(looked, rates_bucket_take(&one, &b, now_ms));
    return looked;
}

/* A bucket belongs to a rule, a limit in it, and whoever is counted, and to nobody else. */
static void rules_have_buckets(void **state)
{
    struct rates none = { 0 };
    const struct config_rate rate = { 1, 60000 };
    const struct rates_bucket b = { VIEW("a"), 0, VIEW("x"), &rate };

    (void)state;
    assert_true(charge("a", 0, "x", 2, 1000));
    assert_true(charge("a", 0, "x", 2, 1000));
    assert_false(charge("a", 0, "x", 2, 1000));
    assert_false(charge("a", 0, "x", 2, 30999));
    assert_true(charge("a", 0, "y", 1, 1000));
    assert_true(charge("a", 1, "x", 1, 1000));
    assert_true(charge("b", 0, "x", 1, 1000));
    assert_true(charge("x", 0, "a", 1, 1000));
    assert_true(charge("a", 0, "", 1, 1000));
    assert_true(charge("", 0, "a", 1, 1000));
    assert_true(charge("ax", 0, "", 1, 1000));
    assert_false(charge("ax", 0, "", 1, 1000));
    assert_true(charge("a", 0, "x", 2, 31000));
    assert_int_equal(take(&one, RATE_MESSAGES, NULL, "a", 1000), RATES_FINE);
    assert_true(rates_bucket_look(&none, &b, 0) && rates_bucket_take(&none, &b, 0));
}

int main(void)
{
#define RATES_TEST(test) cmocka_unit_test_setup_teardown(test, open_all, close_all)
    const struct CMUnitTest tests[] = {
        RATES_TEST(gives_what_there_is),
        RATES_TEST(counts_in_all_processes),
        RATES_TEST(knows_networks),
        RATES_TEST(a_login_is_one_in_any_letters),
        RATES_TEST(a_login_has_its_own),
        RATES_TEST(a_listener_may_have_its_own),
        RATES_TEST(kinds_are_apart_and_may_be_off),
        RATES_TEST(a_flood_hurts_only_itself),
        RATES_TEST(rules_have_buckets),
    };

    return cmocka_run_group_tests_name("smtpd/rates", tests, NULL, NULL);
}
