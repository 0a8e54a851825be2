/* Whose turn it is to be asked, with many that get no answer, in virtual time. */
#include "dns/lines.h"

#include "tests/unit/unit.h"

enum { SILENT = 10000, RTT_MS = 20, STEP_MS = 5 };

static struct lines lines;
static struct in_line silent[SILENT], healthy;
static uint64_t now_ms, asked_ms; /* the healthy one, 0: not yet */
static unsigned asked;            /* of all */

static int begin(void **state)
{
    (void)state;
    lines_init(&lines);
    now_ms = 1000;
    asked_ms = asked = 0;
    for (unsigned i = 0; i < SILENT; i++)
        silent[i] = (struct in_line){ .state = LINE_NOWHERE };
    healthy = (struct in_line){ .state = LINE_NOWHERE };
    return 0;
}

static void ask_all(void)
{
    struct in_line *q;

    while ((q = lines_take(&lines, now_ms)) != NULL) {
        asked++;
        if (q == &healthy)
            asked_ms = now_ms;
    }
}

static void pass(uint64_t ms)
{
    for (uint64_t end_ms = now_ms + ms; now_ms < end_ms; now_ms += STEP_MS)
        ask_all();
}

static void queue_silent(enum line line)
{
    for (unsigned i = 0; i < SILENT; i++)
        lines_add(&lines, &silent[i], line);
}

/* However many wait in the others. */
static void lines_take_nothing_from_one_another(void **state)
{
    for (unsigned line = 0; line < LINES; line++) {
        begin(state);
        for (unsigned other = 0; other < LINES; other++) {
            for (unsigned i = other; i < SILENT && other != line; i += LINES)
                lines_add(&lines, &silent[i], other);
        }
        pass(10 * STEP_MS);
        lines_add(&lines, &healthy, line);
        pass(STEP_MS);
        assert_int_equal(asked_ms, now_ms - STEP_MS);
    }
}

/* All are asked at the same rate, answered or not: nobody is waited for. */
static void silent_ones_are_passed(void **state)
{
    enum { ALL_MS = SILENT / LINES_PLACES * LINES_FRESH_MS };

    (void)state;
    queue_silent(LINE_ROUTES);
    lines_add(&lines, &healthy, LINE_ROUTES);
    pass(STEP_MS);
    assert_int_equal(asked, LINES_PLACES);
    pass(ALL_MS / 2);
    assert_in_range(asked, SILENT / 2, SILENT / 2 + LINES_PLACES);
    pass(ALL_MS / 2);
    assert_int_equal(asked_ms, 1000 + ALL_MS);
}

/* Each of the domains without MX records needs two places there, at the rate of one before. */
static void implicit_addresses_have_two_places_for_each_route(void **state)
{
    (void)state;
    queue_silent(LINE_IMPLICIT);
    pass(STEP_MS);
    assert_int_equal(asked, 2 * LINES_PLACES);
    pass(LINES_FRESH_MS);
    assert_int_equal(asked, 4 * LINES_PLACES);
}

/* Who is answered takes no time: the line goes as fast as answers come. */
static void answers_make_room_at_once(void **state)
{
    unsigned answered = 0;

    (void)state;
    queue_silent(LINE_ROUTES);
    for (unsigned i = 0; i < SILENT; i += LINES_PLACES, now_ms += RTT_MS) {
        ask_all();
        assert_int_equal(asked, i + LINES_PLACES);
        for (; answered < asked; answered++)
            lines_remove(&lines, &silent[answered]);
        assert_int_equal(lines.of[LINE_ROUTES].taken, 0);
    }
    assert_int_equal(lines_due_ms(&lines), UINT64_MAX);
}

static void who_is_taken_back_is_not_asked(void **state)
{
    (void)state;
    queue_silent(LINE_STRANGERS);
    for (unsigned i = 1; i < SILENT; i++)
        lines_remove(&lines, &silent[i]);
    lines_remove(&lines, &healthy);
    pass(STEP_MS);
    assert_int_equal(asked, 1);
    assert_int_equal(lines_due_ms(&lines), 1000 + LINES_FRESH_MS);
    lines_remove(&lines, &silent[0]);
    lines_remove(&lines, &silent[0]);
    assert_int_equal(lines_due_ms(&lines), UINT64_MAX);
    lines_add(&lines, &silent[0], LINE_ROUTES); /* again */
    pass(STEP_MS);
    assert_int_equal(asked, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(lines_take_nothing_from_one_another, begin),
        cmocka_unit_test_setup(silent_ones_are_passed, begin),
        cmocka_unit_test_setup(implicit_addresses_have_two_places_for_each_route, begin),
        cmocka_unit_test_setup(answers_make_room_at_once, begin),
        cmocka_unit_test_setup(who_is_taken_back_is_not_asked, begin),
    };

    return cmocka_run_group_tests_name("lines", tests, NULL, NULL);
}
