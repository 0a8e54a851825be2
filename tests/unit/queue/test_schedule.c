#include "queue/schedule.h"

#include "tests/unit/unit.h"

enum { MINUTE = 60 * 1000, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

static const struct retry_settings defaults = {
    .first_ms = 5 * MINUTE,
    .factor_milli = 2000,
    .longest_ms = 4 * HOUR,
    .lifetime_ms = 5ull * DAY,
    .notice_ms = 4 * HOUR,
    .jitter_percent = 0,
};

static void retries_at_growing_intervals(void **state)
{
    static const struct {
        const char *name;
        unsigned attempts;
        uint64_t interval_ms;
    } cases[] = {
        { "first", 1, 5 * MINUTE },
        { "second", 2, 10 * MINUTE },
        { "third", 3, 20 * MINUTE },
        { "sixth", 6, 160 * MINUTE },
        { "seventh is cut", 7, 4 * HOUR },
        { "thousandth", 1000, 4 * HOUR },
        { "as many as there are", 65536, 4 * HOUR },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check(cases[i].name,
              schedule_retry_ms(&defaults, cases[i].attempts, i) == cases[i].interval_ms);
}

static void backs_off_from_a_smaller_first_interval(void **state)
{
    (void)state;
    assert_int_equal(schedule_backoff_ms(&defaults, 1, 0), 75 * 1000);
    assert_int_equal(schedule_backoff_ms(&defaults, 2, 0), 150 * 1000);
    assert_int_equal(schedule_backoff_ms(&defaults, 40, 0), 4 * HOUR);
}

static void keeps_the_interval_when_the_factor_is_one(void **state)
{
    struct retry_settings r = defaults;

    (void)state;
    r.factor_milli = 1000;
    assert_int_equal(schedule_retry_ms(&r, 50, 0), 5 * MINUTE);
}

static void never_waits_nothing(void **state)
{
    struct retry_settings r = defaults;

    (void)state;
    r.first_ms = 1;
    assert_int_equal(schedule_backoff_ms(&r, 1, 0), 1);
    assert_int_equal(schedule_retry_ms(&r, 1, 0), 1);
}

static void spreads_by_the_jitter(void **state)
{
    struct retry_settings r = defaults;
    uint64_t least = UINT64_MAX, most = 0;

    (void)state;
    r.jitter_percent = 10;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        uint64_t interval = schedule_retry_ms(&r, 1, seed);

        assert_true(interval == schedule_retry_ms(&r, 1, seed));
        least = MIN(least, interval);
        most = MAX(most, interval);
    }
    assert_true(least >= 270 * 1000 && least < 275 * 1000);
    assert_true(most <= 330 * 1000 && most > 325 * 1000);
}

static void gives_up_after_the_lifetime(void **state)
{
    static const struct {
        const char *name;
        uint64_t arrival_ms, started_ms;
        bool restored;
        uint64_t expiry_ms;
    } cases[] = {
        { "arrived now", 7ull * DAY, 7ull * DAY, false, 12ull * DAY },
        { "restored in time", 7ull * DAY, 8ull * DAY, true, 12ull * DAY },
        { "restored too late", 7ull * DAY, 20ull * DAY, true, 20ull * DAY + 5 * MINUTE },
        { "restored just before", 7ull * DAY, 12ull * DAY - 1, true, 12ull * DAY - 1 + 5 * MINUTE },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check(cases[i].name, schedule_expiry_ms(&defaults, cases[i].arrival_ms, cases[i].restored,
                                                cases[i].started_ms) == cases[i].expiry_ms);
}

static void tells_of_the_delay_once_and_before_the_end(void **state)
{
    struct retry_settings r = defaults;

    (void)state;
    assert_true(schedule_notice_ms(&r, DAY, false, 0) == (uint64_t)DAY + 4 * HOUR);
    assert_true(schedule_notice_ms(&r, DAY, true, 3ull * DAY) == 3ull * DAY + 5 * MINUTE);
    r.notice_ms = 0;
    assert_true(schedule_notice_ms(&r, DAY, false, 0) == UINT64_MAX);
    r.notice_ms = r.lifetime_ms;
    assert_true(schedule_notice_ms(&r, DAY, false, 0) == UINT64_MAX);
}

static void trusts_no_planned_time_too_far(void **state)
{
    (void)state;
    assert_true(schedule_restored_ms(&defaults, 1500, 1000, 1) == 500);
    assert_true(schedule_restored_ms(&defaults, UINT64_MAX, 1000, 1) == 6 * HOUR);
}

static void spreads_what_was_missed(void **state)
{
    static const struct {
        const char *name;
        uint64_t missed_ms, least_ms, most_ms;
    } cases[] = {
        { "nothing", 0, 0, 0 },
        { "a second", 1000, 900, 999 },
        { "three days", 3ull * DAY, 290 * 1000, 5 * MINUTE - 1 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t now_ms = 10ull * DAY, least = UINT64_MAX, most = 0;

        for (uint64_t seed = 0; seed < 1000; seed++) {
            uint64_t wait_ms =
                schedule_restored_ms(&defaults, now_ms - cases[i].missed_ms, now_ms, seed);

            least = MIN(least, wait_ms);
            most = MAX(most, wait_ms);
        }
        check(cases[i].name, least <= cases[i].missed_ms / 100);
        check(cases[i].name, most >= cases[i].least_ms && most <= cases[i].most_ms);
    }
}

static void goes_on_where_the_clock_was(void **state)
{
    static const struct {
        const char *name;
        struct store_clock last;
        uint64_t wall_ms, now_ms;
    } cases[] = {
        { "at once", { 500, 700, true }, 700, 500 },
        { "three days", { 500, 700, true }, 700 + 3ull * DAY, 500 + 3ull * DAY },
        { "a week", { 500, 700, false }, 700 + 7ull * DAY, 500 + 7ull * DAY },
        { "more than a week", { 500, 700, false }, 701 + 7ull * DAY, 500 },
        { "a year on", { 500, 700, false }, 700 + 365ull * DAY, 500 },
        { "a little back", { 500, 700, false }, 699, 500 },
        { "a year back", { 366ull * DAY, 366ull * DAY, false }, DAY, 366ull * DAY },
        { "the year again", { 366ull * DAY, DAY, false }, DAY + HOUR, 366ull * DAY + HOUR },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check(cases[i].name,
              schedule_clock_ms(&cases[i].last, cases[i].wall_ms) == cases[i].now_ms);
    check("nothing known", schedule_clock_ms(NULL, 12345) == 12345);
}

static void gives_a_last_chance_before_the_end(void **state)
{
    uint64_t most = 0;

    (void)state;
    assert_true(schedule_last_chance_ms(&defaults, DAY, DAY, 1) == UINT64_MAX);
    assert_true(schedule_last_chance_ms(&defaults, DAY, 6ull * DAY - 5 * MINUTE - 1, 1) ==
                UINT64_MAX);
    for (uint64_t seed = 0; seed < 1000; seed++)
        most = MAX(most, schedule_last_chance_ms(&defaults, DAY, 6ull * DAY - 5 * MINUTE, seed));
    assert_true(most > 3 * MINUTE && most < 4 * MINUTE);
    assert_true(schedule_expiry_ms(&defaults, DAY, true, 9ull * DAY) == 9ull * DAY + 5 * MINUTE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retries_at_growing_intervals),
        cmocka_unit_test(backs_off_from_a_smaller_first_interval),
        cmocka_unit_test(keeps_the_interval_when_the_factor_is_one),
        cmocka_unit_test(never_waits_nothing),
        cmocka_unit_test(spreads_by_the_jitter),
        cmocka_unit_test(gives_up_after_the_lifetime),
        cmocka_unit_test(tells_of_the_delay_once_and_before_the_end),
        cmocka_unit_test(trusts_no_planned_time_too_far),
        cmocka_unit_test(spreads_what_was_missed),
        cmocka_unit_test(goes_on_where_the_clock_was),
        cmocka_unit_test(gives_a_last_chance_before_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
