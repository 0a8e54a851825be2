/* Messages that want to be sent later, or by a time (RFC 4865, RFC 2852). */
#include "queue/admin.h"
#include "queue/appointment.h"

#include "tests/unit/unit.h"

#include "io/clock.h"
#include "tests/unit/queue/world.h"

enum { MINUTE = 60 * 1000, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

static const struct view body = VIEW_INIT("Subject: lunch\r\n\r\nAt noon?\r\n");

static bool has(const struct world_job *j, const char *text)
{
    if (j == NULL)
        return false;
    return view_find_view(view_make(j->body, j->body_len), view_of(text)) < j->body_len;
}

static void deliver(struct world_job *j)
{
    world_answer(j, OUTCOME_DELIVERED, SCOPE_RCPT, 250, "Ok");
}

static void defer(struct world_job *j)
{
    world_answer(j, OUTCOME_DEFERRED, SCOPE_RCPT, 451, "later");
}

/* Defers all that comes for so long; the first notice, or NULL. */
static struct world_job *defer_for(uint64_t ms)
{
    for (uint64_t passed = 0;; passed += MINUTE) {
        for (unsigned n = 0; n < world.job_count; n++) {
            struct world_job *j = world_job(n);

            if (!j->ended && j->envelope.sender.len == 0)
                return j;
            if (!j->ended)
                defer(j);
        }
        if (passed >= ms)
            return NULL;
        world_pass(MINUTE);
    }
}

static void waits_until_its_time(void **state)
{
    (void)state;
    world.said.not_before_ms = clock_wall_ms() + 3 * HOUR;
    world_accept("a@here.test", "b@x.test c@y.test", body);
    assert_int_equal(world.queue.cache.bytes, 0);
    world_pass(3 * HOUR - MINUTE);
    assert_int_equal(world.job_count, 0);
    world_pass(MINUTE + 1000);
    assert_int_equal(world.job_count, 2);
    check_view("body", view_make(world_job(0)->body, world_job(0)->body_len), body);
    deliver(world_job(0));
    deliver(world_job(1));
    assert_int_equal(world.queue.index.mails.count, 0);
}

static void waits_across_a_restart(void **state)
{
    (void)state;
    world.said.not_before_ms = clock_wall_ms() + 3 * HOUR;
    world_accept("a@here.test", "b@x.test", body);
    world_pass(HOUR);
    world_restart();
    world_pass(2 * HOUR - MINUTE);
    assert_int_equal(world.job_count, 0);
    world_pass(MINUTE + 1000);
    assert_int_equal(world.job_count, 1);
}

/* Its lifetime (a day) begins with it, and it is in nobody's way. */
static void its_lifetime_begins_then(void **state)
{
    struct world_job *j;

    (void)state;
    world.said.not_before_ms = clock_wall_ms() + 2 * DAY;
    world_accept("a@here.test", "b@x.test", body);
    world.said.not_before_ms = 0;
    world_accept("a@here.test", "other@x.test", body);
    j = defer_for(3 * HOUR);
    assert_non_null(j);
    assert_true(has(j, "Action: delayed") && has(j, "other@x.test"));
    deliver(j);
    j = defer_for(DAY);
    assert_non_null(j);
    assert_true(has(j, "Action: failed") && has(j, "other@x.test"));
    deliver(j);
    assert_null(defer_for(21 * HOUR)); /* two days are not over yet */
    j = defer_for(6 * HOUR);
    assert_non_null(j);
    assert_true(has(j, "Action: delayed") && has(j, "b@x.test"));
    deliver(j);
    j = defer_for(DAY);
    assert_non_null(j);
    assert_true(has(j, "Action: failed"));
}

static void a_time_that_is_over_is_no_reason_to_wait(void **state)
{
    (void)state;
    world.said.not_before_ms = clock_wall_ms() - HOUR;
    world_accept("a@here.test", "b@x.test", body);
    assert_int_equal(world.job_count, 1);
}

static void an_administrator_is_in_a_hurry(void **state)
{
    uint64_t id;

    (void)state;
    world.said.not_before_ms = clock_wall_ms() + 3 * HOUR;
    id = world_accept("a@here.test", "b@x.test", body);
    admin_retry(&world.queue, index_find(&world.queue.index, id));
    world_run();
    assert_int_equal(world.job_count, 1);
    deliver(world_job(0));
    world_pass(4 * HOUR);
    assert_int_equal(world.queue.index.mails.count, 0);
}

/* A message that was told of before its turn is in the way of none that came before it. */
static void what_was_told_of_early_delays_no_end(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@x.test", body);
    assert_null(defer_for(HOUR));
    world.said.by = BY_NOTIFY;
    world.said.deliver_by_ms = clock_wall_ms() + 10 * MINUTE;
    world_accept("c@here.test", "d@y.test", body);
    deliver(defer_for(12 * MINUTE));
    deliver(defer_for(HOUR));
    assert_null(defer_for(DAY - 3 * HOUR));
    world_forget_jobs();
    assert_non_null(defer_for(90 * MINUTE)); /* the end of the older one alone */
    assert_int_equal(world.queue.totals.expired, 1);
}

static void what_is_late_comes_back(void **state)
{
    struct world_job *j;

    (void)state;
    world.said.by = BY_RETURN;
    world.said.deliver_by_ms = clock_wall_ms() + 30 * MINUTE;
    world_accept("a@here.test", "b@x.test", body);
    assert_null(defer_for(28 * MINUTE));
    j = defer_for(4 * MINUTE);
    assert_non_null(j);
    assert_true(has(j, "Action: failed") && has(j, "the time for it is over"));
    deliver(j);
    assert_int_equal(world.queue.index.mails.count, 0);
}

static void what_is_late_is_reported_and_goes_on(void **state)
{
    struct world_job *j;

    (void)state;
    world.said.by = BY_NOTIFY;
    world.said.deliver_by_ms = clock_wall_ms() + 30 * MINUTE;
    world_accept("a@here.test", "b@x.test", body);
    world_restart();
    assert_null(defer_for(28 * MINUTE));
    j = defer_for(4 * MINUTE);
    assert_non_null(j);
    assert_true(has(j, "Action: delayed"));
    deliver(j);
    assert_int_equal(world.queue.index.mails.count, 1);
    assert_null(defer_for(5 * HOUR)); /* once */
}

static void what_was_late_before_is_not_reported(void **state)
{
    (void)state;
    world.said.by = BY_NOTIFY;
    world.said.deliver_by_ms = clock_wall_ms() - MINUTE;
    world_accept("a@here.test", "b@x.test", body);
    assert_null(defer_for(90 * MINUTE));
}

static void what_arrived_in_time_is_not_late(void **state)
{
    (void)state;
    world.said.by = BY_RETURN;
    world.said.deliver_by_ms = clock_wall_ms() + 30 * MINUTE;
    world_accept("a@here.test", "b@x.test", body);
    deliver(world_job(0));
    world_pass(HOUR);
    assert_int_equal(world.job_count, 1);
    assert_true(list_empty(&world.queue.appointments));
}

/* RFC 2852: the by-trace asks for a report of every hop, also when the next one reports. */
static void every_hop_is_reported_with_a_trace(void **state)
{
    static const unsigned notify[] = { NOTIFY_UNSAID, NOTIFY_NEVER };
    struct world_job *j;

    (void)state;
    world.said.by = BY_NOTIFY;
    world.said.by_trace = true;
    world.said.deliver_by_ms = clock_wall_ms() + 30 * MINUTE;
    world.notify = notify;
    world.dsn = true;
    world_accept("a@here.test", "b@x.test n@x.test", body);
    deliver(world_job(0));
    j = world_job(1);
    assert_true(has(j, "Action: relayed") && has(j, "b@x.test") && !has(j, "n@x.test"));
    deliver(j);
    assert_int_equal(world.queue.index.mails.count, 0);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(waits_until_its_time),
        IN_WORLD(waits_across_a_restart),
        IN_WORLD(its_lifetime_begins_then),
        IN_WORLD(a_time_that_is_over_is_no_reason_to_wait),
        IN_WORLD(an_administrator_is_in_a_hurry),
        IN_WORLD(what_was_told_of_early_delays_no_end),
        IN_WORLD(what_is_late_comes_back),
        IN_WORLD(what_is_late_is_reported_and_goes_on),
        IN_WORLD(what_was_late_before_is_not_reported),
        IN_WORLD(what_arrived_in_time_is_not_late),
        IN_WORLD(every_hop_is_reported_with_a_trace),
    };

    return cmocka_run_group_tests_name("queue/appointment", tests, NULL, NULL);
}
