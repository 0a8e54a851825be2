/* How much goes to a site in a time. */
#include "queue/pace.h"

#include "tests/unit/unit.h"

#include "tests/unit/queue/world.h"

#include <stdio.h>

enum { SECOND = 1000 };

static const struct view body = VIEW_INIT("Subject: lunch\r\n\r\nAt noon?\r\n");

static void deliver(struct world_job *j)
{
    world_answer(j, OUTCOME_DELIVERED, SCOPE_RCPT, 250, "Ok");
}

static void keeps_to_rates(void **state)
{
    (void)state;
    world_reload("destinations: [{domain: a.test, message-rate: 4/1s},\n"
                 "               {domain: b.test, recipient-rate: 1/100ms}]\n");
    for (int i = 0; i < 9; i++)
        world_accept("s@here.test", "x@a.test", body);
    assert_int_equal(world.job_count, 1);
    for (unsigned i = 1; i < 5; i++) {
        deliver(world_job(i - 1));
        assert_int_equal(world.job_count, i);
        world_pass(250);
    }
    assert_int_equal(world.job_count, 5);
    world_accept("s@here.test", "x@b.test y@b.test z@b.test", body);
    world_accept("s@here.test", "x@b.test", body);
    assert_int_equal(world.job_count, 6);
    world_pass(90);
    assert_int_equal(world.job_count, 6);
    world_pass(10);
    assert_int_equal(world.job_count, 7);
    world_pass(100);
    assert_int_equal(world.job_count, 8);
    world_pass(90);
    assert_int_equal(world.job_count, 9); /* one more to a.test */
    world_pass(10);
    assert_int_equal(world.job_count, 10);
    check_view("b", world_job(9)->start.hop_name, VIEW("b.test"));
    assert_int_equal(world_job(9)->envelope.rcpt_count, 1);
}

static void accept_for_many(const char *domain, unsigned count)
{
    char rcpts[8192];
    struct buf out = BUF_ON_ARRAY(rcpts);

    for (unsigned i = 0; i < count; i++)
        buf_printf(&out, "x%u@%s ", i, domain);
    buf_put_byte(&out, '\0');
    world_accept("s@here.test", rcpts, body);
}

static void a_message_to_many_keeps_to_the_rate(void **state)
{
    (void)state;
    world_reload("destinations: [{domain: a.test, recipient-rate: 100/1m}]\n");
    accept_for_many("a.test", 95);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(world.job_count, i + 1);
        assert_int_equal(world_job(i)->envelope.rcpt_count, i < 9 ? 10 : 5);
        check("in their order", *world_job(i)->indexes == 10 * i);
        deliver(world_job(i));
        world_pass(6 * SECOND - 100);
        assert_int_equal(world.job_count, i + 1);
        world_pass(100);
    }
    assert_int_equal(world_count_mails(), 0);
}

static void a_rate_ends_with_its_setting(void **state)
{
    static const char slow[] =
        "destinations: [{domain: a.test, message-rate: 1/10h, recipient-rate: 20/20h}]\n";

    (void)state;
    world_reload(slow);
    world_accept("s@here.test", "x@a.test y@a.test", body);
    deliver(world_job(0));
    for (int i = 0; i < 3; i++)
        world_accept("s@here.test", "x@a.test", body);
    world_reload(slow);
    world_pass(3600 * SECOND);
    assert_int_equal(world.job_count, 1);
    world_reload("destinations: [{domain: a.test, recipient-rate: 10/1m}]\n");
    world_pass(6 * SECOND - 10);
    assert_int_equal(world.job_count, 1);
    world_pass(10);
    assert_int_equal(world.job_count, 2);
    world_reload("destinations: [{domain: a.test}]\n");
    world_run();
    assert_int_equal(world.job_count, 4);
}

static void go_again(struct world_job *j, uint32_t rcpts)
{
    const struct message_job_again m = { j->start.job, rcpts };

    peer_send_job_again(&j->worker->peer, &m, -1);
    world_run();
}

/* A host that takes few recipients at once gets the message several times: what follows waits. */
static void each_transaction_counts(void **state)
{
    (void)state;
    world_reload("destinations: [{domain: a.test, message-rate: 1/1s},\n"
                 "               {domain: b.test, recipient-rate: 10/1s}]\n");
    world_accept("s@here.test", "x@a.test y@a.test z@a.test", body);
    world_accept("s@here.test", "x@a.test", body);
    world_pass(900);
    go_again(world_job(0), 1);
    go_again(world_job(0), 1);
    world_pass(2090);
    assert_int_equal(world.job_count, 1);
    world_pass(10);
    assert_int_equal(world.job_count, 2);
    world_accept("s@here.test", "x@b.test", body);
    go_again(world_job(2), 1);
    world_accept("s@here.test", "y@b.test", body);
    world_pass(190);
    assert_int_equal(world.job_count, 3);
    world_pass(10);
    assert_int_equal(world.job_count, 4);
}

/* Nobody remembers what went before the start; but no more than the rate may go. */
static void a_rate_outlives_the_queue(void **state)
{
    static const char slow[] = "destinations: [{domain: a.test, message-rate: 1/1h},\n"
                               "               {domain: b.test, recipient-rate: 100/1h}]\n";

    (void)state;
    world_reload(slow);
    world_accept("s@here.test", "x@a.test", body);
    world_accept("s@here.test", "x@b.test", body);
    deliver(world_job(0));
    deliver(world_job(1));
    world_restart();
    world_reload(slow);
    world_accept("s@here.test", "y@a.test", body);
    world_accept("s@here.test", "y@b.test", body);
    world_pass(360 * SECOND - 100);
    assert_int_equal(world.job_count, 0);
    world_pass(200);
    assert_int_equal(world.job_count, 1);
    check_view("ten recipients' time", world_job(0)->start.hop_name, VIEW("b.test"));
    world_pass(3240 * SECOND - 200);
    assert_int_equal(world.job_count, 1);
    world_pass(200);
    assert_int_equal(world.job_count, 2);
    deliver(world_job(0));
    deliver(world_job(1));
    world_restart_after(2 * 3600 * SECOND);
    world_reload(slow);
    world_accept("s@here.test", "z@a.test", body);
    assert_int_equal(world.job_count, 1); /* it was long over */
}

static void forget_all_without_mail(void)
{
    struct index *x = &world.queue.index;
    char name[32];

    for (unsigned i = 0; i < INDEX_RESTING_MAX; i++) {
        struct hop hop = { .kind = HOP_MX };

        snprintf(name, sizeof(name), "d%u.test", i);
        hop.name = hop.host = view_of(name);
        index_rest_destination(x, index_destination_for(x, &hop));
    }
}

static void a_rate_holds_after_a_pause(void **state)
{
    uint32_t sites;

    (void)state;
    world_reload("destinations: [{domain: a.test, message-rate: 1/1h}]\n");
    world_accept("s@here.test", "x@a.test", body);
    deliver(world_job(0));
    forget_all_without_mail();
    world_accept("s@here.test", "x@a.test", body);
    assert_int_equal(world.job_count, 1);
    world_pass(3600 * SECOND - 10);
    assert_int_equal(world.job_count, 1);
    world_pass(10);
    assert_int_equal(world.job_count, 2);
    deliver(world_job(1));
    forget_all_without_mail();
    sites = world.queue.index.sites.count;
    world_pass(3600 * SECOND);
    assert_int_equal(world.queue.index.sites.count, sites - 1); /* and no longer */
}

int main(void)
{
#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, world_open, world_close)
    const struct CMUnitTest tests[] = {
        IN_WORLD(keeps_to_rates),
        IN_WORLD(a_message_to_many_keeps_to_the_rate),
        IN_WORLD(each_transaction_counts),
        IN_WORLD(a_rate_ends_with_its_setting),
        IN_WORLD(a_rate_holds_after_a_pause),
        IN_WORLD(a_rate_outlives_the_queue),
    };
#undef IN_WORLD

    return cmocka_run_group_tests_name("rates", tests, NULL, NULL);
}
