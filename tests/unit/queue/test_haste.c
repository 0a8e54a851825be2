/* How hard compaction works: what it takes of the disk from others, in virtual time, and how large
 * the log gets. */
#include "queue/haste.h"
#include "tests/unit/unit.h"

enum { SEGMENT = 4 << 20 };

static void counts_what_is_too_much(void **state)
{
    const uint64_t fine = 150 + 4 * 64;

    (void)state;
    assert_int_equal(haste_excess(0, 0, 64), 0);
    assert_int_equal(haste_excess(fine, 100, 64), 0);
    assert_int_equal(haste_excess(fine + 1, 100, 64), 1);
    assert_int_equal(haste_excess(fine + 64, 100, 64), 1);
    assert_int_equal(haste_excess(fine + 65, 100, 64), 2);
    assert_int_equal(haste_excess(fine + 6400, 100, 64), 100);
}

static void grows_with_the_excess(void **state)
{
    (void)state;
    for (uint64_t excess = 1; excess < HASTE_MOST; excess++) {
        assert_true(haste_portion(excess, 1 << 19) < haste_portion(excess + 1, 1 << 19));
        assert_true(haste_rest_ms(excess, 5000, 1, 100) > haste_rest_ms(excess + 1, 5000, 1, 100));
        assert_true(haste_pause_ms(excess) >= haste_pause_ms(excess + 1));
    }
    assert_int_equal(haste_portion(1, 0), HASTE_PORTION_MOST); /* nobody else writes */
    assert_int_equal(haste_rest_ms(1, 5000, 25, 100), 5000);
    assert_int_equal(haste_rest_ms(1, 5000, 26, 100), 60000); /* much of it stays */
    assert_int_equal(haste_rest_ms(HASTE_MOST, 5000, 26, 100), 0);
    assert_int_equal(haste_rest_ms(1000, 5000, 26, 100), 0);
    assert_int_equal(haste_portion(1000, 1 << 20), HASTE_PORTION_MOST);
    assert_int_equal(haste_pause_ms(1000), 0);
}

/* What is moved in a second beside others who write so much. */
static uint64_t moved_beside(uint64_t others_a_second, uint64_t excess)
{
    uint64_t moved = 0;

    for (uint64_t ms = 0; ms < 1000; ms += HASTE_PAUSE_MS)
        moved += haste_portion(excess, others_a_second * HASTE_PAUSE_MS / 1000);
    return moved;
}

static void takes_a_quarter_first(void **state)
{
    (void)state;
    for (uint64_t mib = 10; mib <= 150; mib += 10) {
        uint64_t others = mib << 20, moved = moved_beside(others, 1);

        assert_true(moved <= others / 3 + 1000 && moved >= others / 3 - 1000);
        assert_true(moved_beside(others, 2) <= 2 * others / 3 + 1000);
    }
    assert_int_equal(moved_beside(1 << 20, 1), 50 * HASTE_PORTION_LEAST); /* it goes on */
}

/* Segments of which `stays` of a hundred lives on, written as fast as the disk does it; compaction
 * has its share of each step of virtual time. Returns the greatest excess. */
static uint64_t run(uint64_t stays, bool held, uint64_t *moved)
{
    uint64_t closed = 0, live = 0, most = 0, written = 0, credit = 0;
    const uint64_t disk = 8 << 20; /* bytes a step */

    *moved = 0;
    for (unsigned step = 0; step < 5000; step++) {
        uint64_t log = closed * SEGMENT + written + credit % SEGMENT + SEGMENT;
        uint64_t excess = haste_excess(log, live, SEGMENT);
        uint64_t mail = held && excess > HASTE_HOLD ? 0 : disk;

        most = MAX(most, excess);
        written += mail;
        for (; written >= SEGMENT; written -= SEGMENT) {
            closed++;
            live += SEGMENT / 100 * stays;
        }
        if (excess > 0)
            credit += haste_portion(excess, mail);
        /* Of the emptiest what stays is written again, at the end of others. */
        while (closed > 0 && credit >= SEGMENT / 100 * stays && excess > 0) {
            credit -= SEGMENT / 100 * stays;
            *moved += SEGMENT / 100 * stays;
            closed--;
            live -= SEGMENT / 100 * stays; /* and goes soon after */
        }
    }
    return most;
}

static void the_log_is_bounded(void **state)
{
    uint64_t moved;

    (void)state;
    for (uint64_t stays = 1; stays <= 60; stays++) {
        assert_true(HASTE_SLACK + run(stays, true, &moved) <= HASTE_BOUND);
        assert_true(moved > 0);
    }
    assert_true(HASTE_SLACK + run(60, false, &moved) > HASTE_BOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_what_is_too_much),
        cmocka_unit_test(grows_with_the_excess),
        cmocka_unit_test(takes_a_quarter_first),
        cmocka_unit_test(the_log_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
