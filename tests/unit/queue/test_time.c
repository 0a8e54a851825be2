/* What mail makes of a wall clock that is set, while the queue runs and between two runs. */
#include "queue/admin.h"
#include "queue/deadline.h"
#include "queue/queue.h"

#include "tests/unit/unit.h"

#include "io/clock.h"
#include "tests/unit/queue/world.h"

#include <stdio.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

#define YEAR (365 * (int64_t)DAY)

static const struct view body = VIEW_INIT("Subject: lunch\r\n\r\nAt noon?\r\n");

static const struct {
    const char *name;
    int64_t by_ms;
} jumps[] = { { "on", YEAR }, { "back", -YEAR }, { "on and back", 0 } };

/* The wall clock alone. */
static void set_wall(int64_t by_ms)
{
    clock_freeze((uint64_t)((int64_t)clock_wall_ms() + by_ms));
}

static void jump(size_t i)
{
    set_wall(jumps[i].by_ms != 0 ? jumps[i].by_ms : YEAR);
    if (jumps[i].by_ms == 0) {
        world_pass(SECOND);
        set_wall(-YEAR);
    }
}

static void defer(struct world_job *j)
{
    world_answer(j, OUTCOME_DEFERRED, SCOPE_RCPT, 451, "greylisted");
}

static void renew(void)
{
    world_close(NULL);
    world_open(NULL);
}

static void keeps_its_times_when_the_wall_clock_is_set(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(jumps); i++) {
        renew();
        world_accept("", "b@there.test", body);
        defer(world_job(0));
        jump(i);
        world_pass(50 * SECOND);
        check(jumps[i].name, world.job_count == 1);
        world_pass(10 * SECOND);
        check(jumps[i].name, world.job_count == 2);
        defer(world_job(1));
        while (world.queue.totals.expired == 0 && world.job_count < 40) {
            world_pass(MINUTE);
            if (!world_job(world.job_count - 1)->ended)
                defer(world_job(world.job_count - 1));
        }
        /* At 1, 3, 7, 15, 31, 63 minutes, then each hour for the rest of the day. */
        check(jumps[i].name, world.job_count == 29);
        check(jumps[i].name, world.queue.totals.expired == 1);
    }
}

static void keeps_what_was_deleted_for_its_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * COUNT_OF(jumps); i++) {
        const char *name = jumps[i / 2].name;
        uint64_t id;

        renew();
        id = world_accept("a@here.test", "b@there.test", body);
        defer(world_job(0));
        admin_delete(&world.queue, index_find(&world.queue.index, id), VIEW("uid 0"));
        world_pass(HOUR);
        jump(i / 2);
        if (i % 2 == 1)
            world_restart();
        world_pass(22 * HOUR);
        check(name, world.queue.trash_count == 1);
        world_pass(HOUR + MINUTE);
        check(name, world.queue.trash_count == 0 && memory_store.live == 0);
    }
}

static void keeps_its_times_when_the_clock_is_set_between_two_runs(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * COUNT_OF(jumps); i++) {
        const char *name = jumps[i / 2].name;

        renew();
        world_accept("", "b@there.test", body);
        defer(world_job(0));
        world_pass(2 * SECOND); /* the clock is written down */
        memory_store.dies = i % 2 == 1;
        jump(i / 2);
        world_restart();
        check(name, world.job_count == 0);
        world_pass(50 * SECOND);
        check(name, world.job_count == 0);
        world_pass(10 * SECOND);
        check(name, world.job_count == 1);
        check(name, world.queue.totals.expired == 0);
    }
}

/* Mail that came after the clock was set has its time by the queue's clock, too. */
static void counts_the_age_of_mail_by_its_own_clock(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(jumps); i++) {
        uint64_t id;

        renew();
        jump(i);
        id = world_accept("", "b@there.test", body);
        defer(world_job(0));
        world_pass(HOUR);
        world_restart_after(HOUR);
        check(jumps[i].name,
              deadline_expiry_ms(&world.queue, index_mail(&world.queue.index,
                                                          index_find(&world.queue.index, id))) -
                      queue_now_ms(&world.queue) <=
                  22ull * HOUR + SECOND);
        check(jumps[i].name,
              deadline_expiry_ms(&world.queue, index_mail(&world.queue.index,
                                                          index_find(&world.queue.index, id))) -
                      queue_now_ms(&world.queue) >=
                  22ull * HOUR - SECOND);
    }
}

static void ages_while_the_machine_is_off(void **state)
{
    (void)state;
    world_accept("", "b@there.test", body);
    defer(world_job(0));
    world_restart_after(3 * (uint64_t)DAY);
    world_pass(4 * MINUTE);
    assert_int_equal(world.job_count, 1); /* once more */
    assert_int_equal(world.queue.totals.expired, 0);
    defer(world_job(0));
    world_pass(2 * MINUTE);
    assert_int_equal(world.queue.totals.expired, 1);
}

/* It would be tried in 13 minutes, and is given up in 5. */
static void tries_once_more_before_it_gives_up(void **state)
{
    (void)state;
    world_accept("", "b@there.test", body);
    do {
        defer(world_job(world.job_count - 1));
        world_pass(HOUR);
    } while (world.job_count < 24);
    assert_int_equal(world.queue.totals.expired, 0);
    world_pass(10 * MINUTE);
    defer(world_job(world.job_count - 1));
    world_restart_after(47 * MINUTE);
    assert_int_equal(world.job_count, 0);
    world_pass(4 * MINUTE);
    assert_int_equal(world.job_count, 1);
    assert_int_equal(world.queue.totals.expired, 0);
    defer(world_job(0));
    world_pass(2 * MINUTE);
    assert_int_equal(world.queue.totals.expired, 1);
}

static void spreads_attempts_that_were_missed(void **state)
{
    char rcpt[64];

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        snprintf(rcpt, sizeof(rcpt), "b@d%u.test", i);
        world_accept("", rcpt, body);
        defer(world_job(i));
    }
    world_restart_after(HOUR);
    assert_true(world.job_count <= 2);
    world_pass(2 * MINUTE);
    assert_true(world.job_count > 2 && world.job_count < 18);
    world_pass(3 * MINUTE);
    assert_int_equal(world.job_count, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keeps_its_times_when_the_wall_clock_is_set, world_open,
                                        world_close),
        cmocka_unit_test_setup_teardown(keeps_what_was_deleted_for_its_time, world_open,
                                        world_close),
        cmocka_unit_test_setup_teardown(keeps_its_times_when_the_clock_is_set_between_two_runs,
                                        world_open, world_close),
        cmocka_unit_test_setup_teardown(counts_the_age_of_mail_by_its_own_clock, world_open,
                                        world_close),
        cmocka_unit_test_setup_teardown(ages_while_the_machine_is_off, world_open, world_close),
        cmocka_unit_test_setup_teardown(tries_once_more_before_it_gives_up, world_open,
                                        world_close),
        cmocka_unit_test_setup_teardown(spreads_attempts_that_were_missed, world_open, world_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
