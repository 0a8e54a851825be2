#include "queue/wheel.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

struct element {
    struct wheel_link link;
    uint32_t due; /* as the model knows it; 0: not in the wheel */
};

static struct pool pool;
static struct wheel wheel;

static struct wheel_link *link_of(const void *owner, uint32_t index)
{
    (void)owner;
    return &((struct element *)pool_at(&pool, index))->link;
}

static int set_up(void **state)
{
    (void)state;
    pool_init(&pool, sizeof(struct element));
    wheel_init(&wheel, link_of, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pool_release(&pool);
    return 0;
}

static struct element *element(uint32_t index)
{
    return pool_at(&pool, index);
}

static uint32_t add(uint32_t due)
{
    uint32_t index = pool_take(&pool);

    element(index)->due = due;
    wheel_add(&wheel, index, due);
    return index;
}

static uint32_t take(uint32_t now)
{
    unsigned steps = 1000000;

    return wheel_take(&wheel, now, &steps);
}

static void is_empty_at_first(void **state)
{
    uint32_t tick;

    (void)state;
    assert_false(wheel_next(&wheel, &tick));
    assert_int_equal(take(1000), POOL_NONE);
}

static void gives_each_at_its_tick(void **state)
{
    static const uint32_t ticks[] = {
        0,          1,          255,   256,   257,   511,      512,
        65535,      65536,      65537, 66048, 70000, 1u << 24, (1u << 24) + 5,
        3000000000, UINT32_MAX,
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ticks); i++)
        add(ticks[i]);
    for (size_t i = 0; i < COUNT_OF(ticks); i++) {
        uint32_t next, index;

        assert_true(wheel_next(&wheel, &next));
        assert_true(next <= ticks[i]);
        if (ticks[i] > 0)
            assert_int_equal(take(ticks[i] - 1), POOL_NONE);
        index = take(ticks[i]);
        assert_true(index != POOL_NONE);
        assert_true(element(index)->due == ticks[i]);
    }
    assert_int_equal(wheel.count, 0);
}

static void gives_what_is_overdue_at_once(void **state)
{
    uint32_t index;

    (void)state;
    assert_int_equal(take(5000), POOL_NONE);
    index = add(17);
    assert_true(take(5000) == index);
}

static void forgets_what_is_removed(void **state)
{
    uint32_t first = add(300), second = add(300), third = add(300);

    (void)state;
    wheel_remove(&wheel, second);
    wheel_remove(&wheel, third);
    assert_true(take(300) == first);
    assert_int_equal(take(300), POOL_NONE);
}

static void moves_many_in_slices(void **state)
{
    enum { MANY = 5000, SLICE = 100 };
    unsigned given = 0, slices = 0;
    uint32_t tick;

    (void)state;
    for (unsigned i = 0; i < MANY; i++)
        add(70000);
    for (;;) {
        unsigned steps = SLICE;

        while (wheel_take(&wheel, 80000, &steps) != POOL_NONE)
            given++;
        slices++;
        if (steps > 0 || wheel.count == 0)
            break;
        assert_true(wheel_next(&wheel, &tick));
        assert_true(tick <= 80000);
    }
    assert_int_equal(given, MANY);
    assert_true(slices >= 2 * MANY / SLICE);
}

/* What the wheel does must be what a list of ticks would do. */
static void check_taken(uint32_t index, uint32_t now, uint32_t before)
{
    struct element *e = element(index);

    assert_true(e->due != 0 && e->due <= now);
    /* Nothing waits longer than it has to: it was not due at the last look. */
    assert_true(e->due > before);
    e->due = 0;
}

static void agrees_with_a_list(void **state)
{
    enum { ELEMENTS = 2000, ROUNDS = 20000 };
    static const uint32_t spans[] = { 10, 300, 70000, 20000000 };
    uint64_t chance = 7;
    uint32_t now = 1, before;
    unsigned in = 0;

    (void)state;
    for (unsigned i = 0; i < ELEMENTS; i++)
        (void)!pool_take(&pool);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint32_t index = 1 + (uint32_t)random_below(&chance, ELEMENTS), taken;
        uint32_t span = spans[random_below(&chance, COUNT_OF(spans))];
        unsigned steps = 1000000;

        if (element(index)->due != 0) {
            wheel_remove(&wheel, index);
            in--;
        }
        element(index)->due = now + 1 + (uint32_t)random_below(&chance, span);
        wheel_add(&wheel, index, element(index)->due);
        in++;
        before = now;
        now += (uint32_t)random_below(&chance, random_below(&chance, 100) == 0 ? 100000 : 40);
        while ((taken = wheel_take(&wheel, now, &steps)) != POOL_NONE) {
            check_taken(taken, now, before);
            in--;
        }
        for (uint32_t i = 1; round % 500 == 0 && i <= ELEMENTS; i++)
            assert_true(element(i)->due == 0 || element(i)->due > now);
        assert_int_equal(wheel.count, in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(is_empty_at_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(gives_each_at_its_tick, set_up, tear_down),
        cmocka_unit_test_setup_teardown(gives_what_is_overdue_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(forgets_what_is_removed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(moves_many_in_slices, set_up, tear_down),
        cmocka_unit_test_setup_teardown(agrees_with_a_list, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
