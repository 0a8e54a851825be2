/* What much mail at once must not cost. */
#include "queue/queue.h"

#include "tests/unit/unit.h"

#include "io/clock.h"
#include "tests/unit/queue/world.h"

#include <string.h>

enum { SECOND = 1000 };

static const struct view body = VIEW_INIT("Subject: lunch\r\n\r\nAt noon?\r\n");

/* ---- a slot of the wheel ---- */

enum { MANY = 200000 };

/* They wait until `due`, and no store knows them. */
static void fill_slot(uint32_t due)
{
    const struct hop hop = { .kind = HOP_MX, .name = VIEW_INIT("x"), .host = VIEW_INIT("x") };
    struct index *x = &world.queue.index;
    struct destination *d = index_destination_for(x, &hop);

    for (uint64_t i = 0; i < MANY; i++) {
        uint32_t mail = index_add_mail(x, (i + 1) << 32, 1);

        index_add_rcpt(x, mail, d, 0, 0);
        index_time(x, index_first_unit(x, mail), due);
    }
    queue_arm_wheel(&world.queue);
}

/* That have yet to move on out of slots of higher levels whose time has come. */
static unsigned count_pending(void)
{
    const struct wheel *w = &world.queue.index.wheel;
    unsigned count = 0;

    for (unsigned level = 1; level < WHEEL_LEVELS; level++) {
        for (uint32_t u = w->first[WHEEL_LEVELS][level]; u != POOL_NONE;
             u = index_unit(&world.queue.index, u)->link.next)
            count++;
    }
    return count;
}

static void on_later(struct timer *t)
{
    (void)t;
}

static unsigned turn(void)
{
    assert_int_equal(loop_turn(&world.loop, 0), 0);
    return count_pending();
}

/* In slices, one in each turn of the loop, whatever other timers wait. */
static void other_work_goes_on_while_a_slot_moves(void **state)
{
    enum { DUE = 2 * WHEEL_SLOTS + 200, BEGINS = 2 * WHEEL_SLOTS };
    struct timer later[100];
    unsigned left, before;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(later); i++) {
        later[i] = (struct timer){ .fire = on_later };
        loop_start_timer(&world.loop, &later[i], (uint64_t)3600 * SECOND);
    }
    fill_slot(DUE);
    world_pass((BEGINS - 1) * QUEUE_TICK_MS);
    assert_int_equal(count_pending(), 0);
    clock_advance(QUEUE_TICK_MS);
    left = turn();
    assert_int_equal(left, MANY - QUEUE_STEPS_PER_TURN);
    world_accept("a@here.test", "b@there.test", body);
    assert_int_equal(world.job_count, 1);
    before = count_pending();
    assert_true(before > 0);
    for (; before > 0; before = left) {
        left = turn();
        assert_true(before - left <= QUEUE_STEPS_PER_TURN);
    }
    world_deliver(world_job(0));
    assert_int_equal(world.queue.index.wheel.count, MANY);
    for (size_t i = 0; i < COUNT_OF(later); i++)
        loop_stop_timer(&world.loop, &later[i]);
}

/* ---- a destination in back-off ---- */

/* Timers that run while so many messages wait for it. */
static uint32_t count_timers(unsigned messages)
{
    const struct index *x = &world.queue.index;

    for (unsigned i = 0; i < messages; i++)
        world_accept("a@here.test", "b@there.test", body);
    for (unsigned i = 0; i < world.job_count; i++)
        world_fault(world_job(i));
    assert_int_equal(x->unit_counts[UNIT_DUE], messages);
    assert_int_equal(x->unit_counts[UNIT_TIMED], 0);
    assert_int_equal(x->wheel.count, 0);
    return world.loop.timers.count;
}

static void a_destination_in_back_off_has_one_timer(void **state)
{
    uint32_t timers = count_timers(1);
    unsigned jobs;

    world_close(state);
    world_open(state);
    assert_int_equal(count_timers(500), timers);
    jobs = world.job_count;
    world_pass(14 * SECOND);
    assert_int_equal(world.job_count, jobs);
    world_pass(1 * SECOND);
    assert_int_equal(world.job_count, jobs + 1); /* one goes first */
    world_deliver(world_job(jobs));
    assert_true(world.job_count > jobs + 2);
}

/* ---- the cache of bodies ---- */

enum { LETTERS = 12, BODY = 1000 };

static struct view body_of(unsigned i)
{
    static char room[BODY];

    memset(room, 'a' + (int)i, sizeof(room));
    memcpy(room, "S: x\r\n\r\n", 8);
    return view_make(room, sizeof(room));
}

static void fresh_bodies_come_from_a_bounded_cache(void **state)
{
    uint64_t ids[LETTERS];
    unsigned fresh = 0;

    (void)state;
    world_reload("spool: { path: /tmp, cache: 4K }\n");
    for (unsigned i = 0; i < LETTERS; i++) {
        ids[i] = world_accept("a@here.test", "b@there.test", body_of(i));
        assert_in_range(world.queue.cache.bytes, BODY, 4096);
    }
    for (unsigned i = world.job_count; i < LETTERS; i++)
        fresh += cache_find(&world.queue.cache, ids[i]) != NULL;
    assert_int_equal(memory_store.reads, 0); /* what ran at once was fresh */
    assert_int_equal(fresh, 2);
    for (unsigned i = 0; i < world.job_count; i++) {
        check_view("body", world_job_body(world_job(i)), body_of(i));
        world_deliver(world_job(i));
    }
    assert_int_equal(world.job_count, LETTERS);
    assert_int_equal(memory_store.reads, LETTERS - 4 - fresh);
    assert_int_equal(world.queue.cache.bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(other_work_goes_on_while_a_slot_moves, world_open,
                                        world_close),
        cmocka_unit_test_setup_teardown(a_destination_in_back_off_has_one_timer, world_open,
                                        world_close),
        cmocka_unit_test_setup_teardown(fresh_bodies_come_from_a_bounded_cache, world_open,
                                        world_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
