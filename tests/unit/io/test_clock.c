#include "io/clock.h"

#include "tests/unit/unit.h"

static void real_clocks_run(void **state)
{
    uint64_t before_ms = clock_monotonic_ms();

    (void)state;
    assert_true(clock_wall_ms() > 1700000000000); /* November 2023 */
    assert_true(clock_monotonic_ms() >= before_ms);
}

static void frozen_clocks_move_by_hand(void **state)
{
    uint64_t before_ms;

    (void)state;
    clock_freeze(1000);
    before_ms = clock_monotonic_ms();
    assert_int_equal(clock_wall_ms(), 1000);
    clock_advance(250);
    assert_int_equal(clock_wall_ms(), 1250);
    assert_int_equal(clock_monotonic_ms(), before_ms + 250);
    clock_freeze(5);
    assert_int_equal(clock_wall_ms(), 5);
    assert_int_equal(clock_monotonic_ms(), before_ms + 250);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_clocks_run),
        cmocka_unit_test(frozen_clocks_move_by_hand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
