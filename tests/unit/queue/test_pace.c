#include "queue/pace.h"

#include "tests/unit/unit.h"

static const struct destination_limits twenty = { .concurrency = 20 };

/* s: a success; f: trouble, with a window's worth of jobs under way; d: the same, with none; o: all
 * has failed. */
static const struct {
    const char *name, *events;
    unsigned window;
} cases[] = {
    { "the beginning", "", 5 },
    { "one for each success", "ssss", 9 },
    { "up to the limit", "ssssssssssssssssssssss", 20 },
    { "half", "sssssd", 5 },
    { "slowly after trouble",
      "sssssd"
      "ssss",
      5 },
    { "by one in a round",
      "sssssd"
      "sssss",
      6 },
    { "jobs from before say nothing new",
      "sssssf"
      "dddddddddd",
      5 },
    { "what comes after them does",
      "sssssf"
      "dddddddddd"
      "d",
      2 },
    { "never less than one", "dddddddd", 1 },
    { "from one on after an outage", "ssssso", 1 },
    { "fast to half of what it was",
      "ssssso"
      "ssss",
      5 },
    { "then slowly",
      "ssssso"
      "ssss"
      "ssss",
      5 },
    { "a longer outage",
      "sssssooo"
      "ssss",
      5 },
};

static void windows(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct pace p;

        pace_init(&p);
        for (const char *e = cases[i].events; *e != '\0'; e++) {
            if (*e == 's')
                pace_succeed(&p, &twenty, 1);
            else if (*e == 'o')
                pace_begin_again(&p, 1);
            else
                pace_slow_down(&p, &twenty, *e == 'f' ? pace_window(&p, &twenty) : 0, 1);
        }
        if (pace_window(&p, &twenty) != cases[i].window)
            fail_msg("%s: %u", cases[i].name, pace_window(&p, &twenty));
    }
}

static void hopes(void **state)
{
    struct pace p;

    (void)state;
    pace_init(&p);
    assert_false(pace_has_hope(&p, 1000));
    pace_succeed(&p, &twenty, 1000);
    assert_true(pace_has_hope(&p, 1000));
    assert_false(pace_has_hope(&p, 1000 + PACE_HOPE_MS));
    for (unsigned i = 0; i + 1 < PACE_QUARRELS_MAX; i++) {
        assert_true(pace_has_hope(&p, 1000));
        pace_slow_down(&p, &twenty, 0, 1000);
    }
    assert_false(pace_has_hope(&p, 1000));
    pace_succeed(&p, &twenty, 2000);
    assert_true(pace_has_hope(&p, 2000));
    pace_begin_again(&p, 2000);
    assert_false(pace_has_hope(&p, 2000));
}

/* How many go in a time, one recipient each, as fast as they may. */
static unsigned count_in(const struct destination_limits *l, uint64_t ms)
{
    struct pace p;
    uint64_t now_ms = 1000;
    unsigned count = 0;

    pace_init(&p);
    while (now_ms < 1000 + ms) {
        uint64_t free_ms = pace_free_ms(&p, now_ms);

        if (free_ms <= now_ms) {
            pace_spend(&p, l, 1, now_ms);
            count++;
        } else {
            now_ms = free_ms;
        }
    }
    return count;
}

static void rates(void **state)
{
    static const struct {
        struct rate messages, recipients;
        uint64_t ms;
        unsigned least, most;
    } cases_of_rates[] = {
        { { true, 10, 1000 }, { 0 }, 60000, 600, 601 },
        { { true, 1, 200 }, { 0 }, 60000, 300, 301 },
        { { true, 5000, 1000 }, { 0 }, 1000, 5000, 5010 },
        { { true, 10, 1000 }, { true, 1, 1000 }, 60000, 60, 61 },
        { { true, 3, 3600000 }, { 0 }, 3600000, 3, 4 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases_of_rates); i++) {
        const struct destination_limits l = { .messages = cases_of_rates[i].messages,
                                              .recipients = cases_of_rates[i].recipients };

        assert_in_range(count_in(&l, cases_of_rates[i].ms), cases_of_rates[i].least,
                        cases_of_rates[i].most);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows),
        cmocka_unit_test(hopes),
        cmocka_unit_test(rates),
    };

    return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
