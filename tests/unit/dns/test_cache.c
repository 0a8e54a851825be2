#include "dns/cache.h"

#include "tests/unit/unit.h"

#include <stdio.h>

static struct cache cache;

static int open_cache(void **state)
{
    (void)state;
    cache_init(&cache, 3);
    return 0;
}

static int close_cache(void **state)
{
    (void)state;
    cache_release(&cache);
    return 0;
}

static void put(const char *name, uint64_t ttl_ms, uint64_t now_ms)
{
    struct dns_item items[] = { { .preference = 10, .host = view_of("mx1.test") },
                                { .preference = 20, .host = view_of("mx2.test") } };
    const struct finding f = { .result = DNS_OK,
                               .words = VIEW_INIT("fine"),
                               .items = items,
                               .count = COUNT_OF(items),
                               .ttl_ms = ttl_ms };

    cache_put(&cache, DNS_ROUTE, view_of(name), &f, now_ms);
}

static bool has(const char *name, uint64_t now_ms)
{
    return cache_find(&cache, DNS_ROUTE, view_of(name), now_ms) != NULL;
}

static void test_keeps_a_copy(void **state)
{
    const struct finding *f;

    (void)state;
    put("a.test", 1000, 0);
    f = cache_find(&cache, DNS_ROUTE, VIEW("A.TEST"), 999);
    assert_non_null(f);
    assert_int_equal(f->count, 2);
    check_view("words", f->words, VIEW("fine"));
    check_view("host", f->items[1].host, VIEW("mx2.test"));
    assert_null(cache_find(&cache, DNS_ADDRESSES, VIEW("a.test"), 999));
}

static void test_forgets_in_time(void **state)
{
    (void)state;
    put("a.test", 1000, 0);
    assert_true(has("a.test", 999));
    assert_false(has("a.test", 1000));
    assert_int_equal(cache.entries.count, 0);
    put("a.test", 0, 0);
    assert_false(has("a.test", 0));
}

static void test_replaces(void **state)
{
    (void)state;
    put("a.test", 1000, 0);
    put("a.test", 1000, 500);
    assert_int_equal(cache.entries.count, 1);
    assert_true(has("a.test", 1400));
    put("a.test", 0, 600);
    assert_false(has("a.test", 600));
}

static void test_gives_up_the_least_used(void **state)
{
    (void)state;
    put("a.test", 1000, 0);
    put("b.test", 1000, 0);
    put("c.test", 1000, 0);
    assert_true(has("a.test", 1));
    put("d.test", 1000, 2);
    assert_int_equal(cache.entries.count, 3);
    assert_true(has("a.test", 3));
    assert_false(has("b.test", 3));
    assert_true(has("c.test", 3));
    assert_true(has("d.test", 3));
}

/* What is put may borrow from what has to go for it. */
static void test_puts_what_it_found(void **state)
{
    struct finding *f;

    (void)state;
    put("a.test", 1000, 0);
    f = cache_find(&cache, DNS_ROUTE, VIEW("a.test"), 0);
    assert_non_null(f);
    cache_put(&cache, DNS_ROUTE, VIEW("a.test"), f, 0);
    f = cache_find(&cache, DNS_ROUTE, VIEW("a.test"), 0);
    assert_non_null(f);
    check_view("host", f->items[0].host, VIEW("mx1.test"));
}

int main(void)
{
#define CACHE_TEST(test) cmocka_unit_test_setup_teardown(test, open_cache, close_cache)
    const struct CMUnitTest tests[] = {
        CACHE_TEST(test_keeps_a_copy),       CACHE_TEST(test_forgets_in_time),
        CACHE_TEST(test_replaces),           CACHE_TEST(test_gives_up_the_least_used),
        CACHE_TEST(test_puts_what_it_found),
    };

    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
