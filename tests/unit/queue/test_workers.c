#include "queue/mx.h"

#include "tests/unit/unit.h"

#include "tests/unit/queue/world.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND };

static const struct view body = VIEW_INIT("Subject: lunch\r\n\r\nAt noon?\r\n");

static void gives_a_lost_job_to_the_next_worker(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@x.test c@x.test", body);
    world_result(world_job(0), 0, OUTCOME_DELIVERED, SCOPE_RCPT, 250, "Ok");
    world_run();
    world_lose_worker(&world.workers[0]);
    assert_int_equal(memory_store.settled[STORE_DELIVERED], 1);
    world_add_worker(DELIVERY, 0);
    world_run();
    assert_int_equal(world_job(1)->envelope.rcpt_count, 1);
    check_view("the other", world_job(1)->envelope.rcpts[0].address, VIEW("c@x.test"));
    assert_int_equal(world_job(1)->start.attempt, 1);
    world_deliver(world_job(1));
    assert_int_equal(world_count_mails(), 0);
}

static void defers_what_ends_its_worker_twice(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@x.test", body);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(world.job_count, i + 1);
        world_lose_worker(world_job((unsigned)i)->worker);
        world_add_worker(DELIVERY, 0);
        world_run();
    }
    assert_int_equal(world.job_count, 2);
    assert_int_equal(memory_store.settled[STORE_DEFERRED], 1);
    assert_int_equal(world_count_mails(), 1);
}

static void moves_to_the_new_workers_with_the_reload(void **state)
{
    struct world_worker *old = &world.workers[0], *new;

    (void)state;
    new = world_add_worker(DELIVERY, 0);
    world_accept("a@here.test", "b@x.test", body);
    assert_ptr_equal(world_job(0)->worker, old);
    world_reload("");
    world_accept("a@here.test", "b@x.test", body);
    assert_ptr_equal(world_job(1)->worker, new);
    world_deliver(world_job(0));
    world_deliver(world_job(1));
    assert_int_equal(world_count_mails(), 0);
}

/* The window is 2. */
static void leaves_connections_to_the_old_workers(void **state)
{
    unsigned jobs;

    (void)state;
    for (int i = 0; i < 8; i++)
        world_accept("a@here.test", "b@x.test", body);
    assert_int_equal(world.job_count, 4);
    world_add_worker(DELIVERY, 0);
    world_reload("");
    world_run();
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(world.job_count, 4);
        world_deliver(world_job(i));
    }
    assert_int_equal(world.job_count, 4); /* two connections, and all of them the old one's */
    world_deliver(world_job(2));
    assert_int_equal(world.job_count, 6);
    assert_int_equal(world_job(5)->start.connections, 1);
    jobs = world.job_count;
    world_lose_worker(world_job(3)->worker); /* and the last job is begun anew */
    assert_true(world.job_count > jobs);
    assert_int_equal(world_job(world.job_count - 1)->start.connections, 2);
    for (unsigned i = 4; i < world.job_count; i++)
        world_deliver(world_job(i));
    assert_int_equal(world_count_mails(), 0);
}

/* As they heard it last, of those that are preferred and those that are not. */
static void tells_the_order_of_mail_hosts(void **state)
{
    (void)state;
    world.mail_hosts = "a.test mx.test,mx2.test";
    world.order = 7;
    world_accept("s@here.test", "x@a.test", body);
    world_deliver(world_job(0));
    assert_int_equal(world_job(0)->start.order, 7);
    world.order = 8;
    world_pass(MX_FRESH_MS);
    for (unsigned i = 1; i < 3; i++) { /* the first finds it old, and asks */
        world_accept("s@here.test", "x@a.test", body);
        world_deliver(world_job(i));
    }
    assert_int_equal(world_job(2)->start.order, 8);
}

static void routes_again_after_a_reload(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@x.test c@x.test d@y.test", body);
    world_defer(world_job(0));
    world_defer(world_job(1));
    world_reload("routes: [{domain: x.test, via: 'smtp://relay.test:2525'}]\n");
    world_pass(MINUTE);
    assert_int_equal(world.job_count, 4);
    for (unsigned i = 2; i < 4; i++) {
        const struct world_job *j = world_job(i);

        assert_int_equal(j->start.attempt, 2);
        if (j->envelope.rcpt_count == 2) {
            check_view("hop", j->start.hop_name, VIEW("relay.test:2525"));
            assert_int_equal(j->start.route, 1);
        } else {
            check_view("hop", j->start.hop_name, VIEW("y.test"));
        }
    }
    world_deliver(world_job(2));
    world_deliver(world_job(3));
    assert_int_equal(world_count_mails(), 0);
    assert_int_equal(world_count_busy(), 0);
}

static void tries_destinations_in_trouble_again_after_a_reload(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@x.test", body);
    world_fault(world_job(0));
    world_reload("routes: [{domain: x.test, via: 'smtp://relay.test'}]\n");
    world_run();
    check_view("hop", world_job(1)->start.hop_name, VIEW("relay.test:25"));
    world_deliver(world_job(1));
    assert_int_equal(world_count_mails(), 0);
    assert_int_equal(world_count_busy(), 0);
}

static void closes_the_channel_of_a_worker_that_talks_nonsense(void **state)
{
    static const struct {
        const char *name;
        uint64_t job_more;
        bool end, bad_outcome;
    } cases[] = {
        { "end without a result", 0, true, false },
        { "end of another job", 1000, true, false },
        { "result of another job", 1000, false, false },
        { "result that does not parse", 0, false, true },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct world_worker *w = i == 0 ? &world.workers[0] : world_add_worker(DELIVERY, 0);
        struct message_job_end end = { cases[i].job_more };
        struct message_rcpt_result result = { .job = cases[i].job_more };
        unsigned jobs;

        world_run();
        if (i > 0) /* what the one before lost */
            world_deliver(world_job(world.job_count - 1));
        jobs = world.job_count;
        world_accept("a@here.test", "b@x.test", body);
        assert_int_equal(world.job_count, jobs + 1);
        end.job += world_job(jobs)->start.job;
        result.job += world_job(jobs)->start.job;
        result.outcome = cases[i].bad_outcome ? VIEW("class=perhaps\n") : VIEW_EMPTY;
        if (cases[i].end)
            peer_send_job_end(&w->peer, &end, -1);
        else
            peer_send_rcpt_result(&w->peer, &result, -1);
        world_run();
        check(cases[i].name, w->gone);
    }
    world_add_worker(DELIVERY, 0);
    world_run();
    world_deliver(world_job(world.job_count - 1));
    assert_int_equal(world_count_mails(), 0);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(gives_a_lost_job_to_the_next_worker),
        IN_WORLD(defers_what_ends_its_worker_twice),
        IN_WORLD(moves_to_the_new_workers_with_the_reload),
        IN_WORLD(leaves_connections_to_the_old_workers),
        IN_WORLD(tells_the_order_of_mail_hosts),
        IN_WORLD(routes_again_after_a_reload),
        IN_WORLD(tries_destinations_in_trouble_again_after_a_reload),
        IN_WORLD(closes_the_channel_of_a_worker_that_talks_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
