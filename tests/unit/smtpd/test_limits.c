#include "smtpd/limits.h"

#include "ipc/messages.h"
#include "tests/unit/unit.h"

#include <sys/mman.h>
#include <unistd.h>

enum { PROCESSES = 3 };

static struct settings settings;
static struct listener_settings mx = { .name = VIEW_INIT("mx") },
                                also = { .name = VIEW_INIT("also") };
static int memory;

/* The same memory, as several processes have it. */
static void open_share(struct limits *l, uint32_t index)
{
    struct error err;

    assert_int_equal(limits_open(l, dup(memory), index, &settings, &err), 0);
}

static int open_all(void **state)
{
    static struct limits all[PROCESSES];

    settings.limits = (struct limits_settings){
        .connections = 100, .connections_per_client = 5, .client_prefix4 = 32, .client_prefix6 = 64
    };
    mx.limits = also.limits = settings.limits;
    memory = memfd_create("counters", MFD_CLOEXEC);
    assert_int_equal(ftruncate(memory, PROCESSES * COUNTERS_BYTES_PER_WORKER), 0);
    for (uint32_t i = 0; i < PROCESSES; i++)
        open_share(&all[i], i);
    *state = all;
    return 0;
}

static int close_all(void **state)
{
    struct limits *all = *state;

    for (size_t i = 0; i < PROCESSES; i++)
        limits_close(&all[i]);
    close(memory);
    return 0;
}

static struct net_address parse(const char *text)
{
    struct net_address a;

    assert_true(net_parse_address(view_of(text), &a));
    return a;
}

static void counts_a_client_everywhere(void **state)
{
    struct limits *all = *state;
    struct net_address a = parse("192.0.2.1"), b = parse("192.0.2.2");

    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(limits_take(&all[i % PROCESSES], &mx, &a), LIMITS_FINE);
    for (unsigned i = 0; i < PROCESSES; i++)
        assert_int_equal(limits_take(&all[i], &mx, &a), LIMITS_CLIENT);
    assert_int_equal(limits_take(&all[0], &mx, &b), LIMITS_FINE);
    limits_give(&all[1], &mx, &a);
    assert_int_equal(limits_take(&all[2], &mx, &a), LIMITS_FINE);
    assert_int_equal(limits_take(&all[2], &mx, &a), LIMITS_CLIENT);
}

static void counts_all(void **state)
{
    struct limits *all = *state;

    for (unsigned i = 0; i < 100; i++) {
        struct net_address a = { .family = AF_INET, .bytes = { 10, 0, (uint8_t)i, 1 } };

        assert_int_equal(limits_take(&all[i % PROCESSES], &mx, &a), LIMITS_FINE);
    }
    for (unsigned i = 0; i < PROCESSES; i++) {
        struct net_address a = parse("10.9.9.9");

        assert_int_equal(limits_take(&all[i], &mx, &a), LIMITS_TOTAL);
    }
    limits_give(&all[0], &mx, &(struct net_address){ .family = AF_INET, .bytes = { 10, 0, 0, 1 } });
    assert_int_equal(limits_take(&all[1], &mx, &(struct net_address){ .family = AF_INET }),
                     LIMITS_FINE);
}

static void counts_networks(void **state)
{
    struct limits *all = *state;

    for (unsigned i = 0; i < 5; i++) {
        struct net_address a = parse("2001:db8:0:1::");

        a.bytes[15] = (uint8_t)i;
        assert_int_equal(limits_take(&all[0], &mx, &a), LIMITS_FINE);
    }
    assert_int_equal(limits_take(&all[0], &mx, &(struct net_address){ 0 }), LIMITS_FINE);
    {
        struct net_address same = parse("2001:db8:0:1:ffff::1"), other = parse("2001:db8:0:2::");

        assert_int_equal(limits_take(&all[1], &mx, &same), LIMITS_CLIENT);
        assert_int_equal(limits_take(&all[1], &mx, &other), LIMITS_FINE);
    }
}

static void a_listener_may_have_its_own(void **state)
{
    struct limits *all = *state;
    struct net_address a = parse("192.0.2.1");

    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(limits_take(&all[0], i % 2 ? &mx : &also, &a), LIMITS_FINE);
    assert_int_equal(limits_take(&all[1], &also, &a), LIMITS_CLIENT);
    also.limits.connections_per_client = 8; /* counted apart */
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(limits_take(&all[i % PROCESSES], &also, &a), LIMITS_FINE);
    assert_int_equal(limits_take(&all[0], &also, &a), LIMITS_CLIENT);
    assert_int_equal(limits_take(&all[0], &mx, &a), LIMITS_CLIENT);
    mx.limits.connections = 4;
    for (unsigned i = 0; i < 2; i++) { /* it has two */
        struct net_address other = { .family = AF_INET, .bytes = { 10, 0, 0, (uint8_t)i } };

        assert_int_equal(limits_take(&all[i], &mx, &other), LIMITS_FINE);
    }
    assert_int_equal(limits_take(&all[2], &mx, &(struct net_address){ 0 }), LIMITS_LISTENER);
    limits_give(&all[1], &mx, &(struct net_address){ 0 });
    assert_int_equal(limits_take(&all[2], &mx, &(struct net_address){ 0 }), LIMITS_FINE);
    assert_int_equal(limits_take(&all[2], &also, &(struct net_address){ 0 }), LIMITS_FINE);
}

/* It died with connections; its successor begins with none, and the others keep theirs. */
static void forgets_the_dead(void **state)
{
    struct limits *all = *state;
    struct net_address a = parse("192.0.2.1");

    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(limits_take(&all[0], &mx, &a), LIMITS_FINE);
    assert_int_equal(limits_take(&all[1], &mx, &a), LIMITS_FINE);
    assert_int_equal(limits_take(&all[1], &mx, &a), LIMITS_CLIENT);
    limits_close(&all[0]);
    open_share(&all[0], 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(limits_take(&all[0], &mx, &a), LIMITS_FINE);
    assert_int_equal(limits_take(&all[1], &mx, &a), LIMITS_CLIENT);
}

static void needs_its_share(void **state)
{
    struct limits l;
    struct error err;
    int fd = dup(memory);

    (void)state;
    assert_true(limits_open(&l, fd, PROCESSES, &settings, &err) < 0);
    close(fd);
}

/* Many networks do not add up to one that has too many. */
static void collisions_are_rare(void **state)
{
    struct limits *all = *state;
    unsigned refused = 0;

    settings.limits.connections = mx.limits.connections = 4000;
    for (unsigned i = 0; i < 2000; i++) {
        struct net_address a = { .family = AF_INET,
                                 .bytes = { 10, (uint8_t)(i >> 8), (uint8_t)i, 1 } };

        refused += limits_take(&all[0], &mx, &a) != LIMITS_FINE;
    }
    assert_int_equal(refused, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(counts_a_client_everywhere),  TEST(counts_all),       TEST(counts_networks),
        TEST(a_listener_may_have_its_own), TEST(forgets_the_dead), TEST(needs_its_share),
        TEST(collisions_are_rare),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
