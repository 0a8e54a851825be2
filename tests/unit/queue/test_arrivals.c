/* Whoever has a message does not get it again, while its sender waits for the notice of success. */
#include "tests/unit/queue/admin.h"

#include <errno.h>
#include <unistd.h>

enum { HOUR = 60 * MINUTE };

/* So many jobs are done; the spool takes no notice of that yet. */
static uint64_t owe(const char *rcpts, unsigned jobs)
{
    static const unsigned notify[] = { NOTIFY_SUCCESS, NOTIFY_SUCCESS };
    uint64_t id;

    world.notify = notify;
    id = world_accept("a@here.test", rcpts, body);
    memory_store.trouble = SPOOL_FULL;
    for (unsigned i = 0; i < jobs; i++)
        world_deliver(world_job(i));
    memory_store.trouble = SPOOL_FINE;
    return id;
}

static void hears_once(const char *text)
{
    struct world_job *j = world_job(0);

    assert_int_equal(j->envelope.sender.len, 0);
    assert_true(world_body_has(j, "Action: relayed") && world_body_has(j, "b@x.test"));
    assert_true(world_body_has(j, text));
    world_deliver(j);
    world_pass(HOUR);
    assert_int_equal(world.job_count, 1);
    assert_int_equal(memory_store.live, 0);
    world_restart();
    world_pass(HOUR);
    assert_int_equal(world.job_count, 0);
}

static void nobody_gets_it_twice_when_it_cannot_be_read(void **state)
{
    static const int errors[] = { EIO, EMFILE, EACCES };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        owe("b@x.test", 1);
        memory_store.unreadable = errors[i];
        world_restart();
        world_pass(10 * MINUTE);
        memory_store.unreadable = 0;
        world_pass(MINUTE);
        hears_once("250");
    }
}

/* No notice can be made, then. */
static void nobody_gets_it_twice_when_it_is_damaged(void **state)
{
    (void)state;
    owe("b@x.test", 1);
    memory_store.damaged = true;
    world_restart();
    world_pass(10 * MINUTE);
    assert_int_equal(memory_store.live, 0);
    memory_store.damaged = false;
    world_restart();
    world_pass(HOUR);
    assert_int_equal(world.job_count, 0);
}

static void nobody_gets_it_twice_when_the_outcome_is_lost(void **state)
{
    (void)state;
    owe("b@x.test", 1);
    memory_store.outcomes_lost = true;
    world_restart();
    world_pass(10 * MINUTE);
    hears_once("the message was accepted");
}

/* Neither a hold nor what follows it makes a job of them; their sender hears of them. */
static void nobody_gets_it_twice_for_an_administrator(void **state)
{
    static const char *const verbs[] = { "hold", "release", "retry" };
    uint64_t id = owe("b@x.test", 1);

    (void)state;
    memory_store.unreadable = EIO;
    world_restart();
    close(admin);
    admin_connect();
    world_run();
    memory_store.unreadable = 0;
    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        ask_about(verbs[i], id);
    assert_int_equal(world.job_count, 0);
    world_pass(MINUTE);
    hears_once("250");
}

static void check_given_out(uint64_t id)
{
    ask_about("get", id);
    assert_true(answered("rcpt=c@y.test") && !answered("b@x.test"));
    ask_about("show", id);
    check_lines();
    assert_true(answered("{\"addr\":\"b@x.test\",\"state\":\"done\"}"));
    assert_false(answered("{\"addr\":\"c@y.test\",\"state\":\"done\"}"));
}

static void whoever_has_it_is_not_given_out(void **state)
{
    uint64_t id = owe("c@y.test b@x.test", 1);

    (void)state;
    check_given_out(id);
    memory_store.unreadable = EIO;
    world_restart();
    close(admin);
    admin_connect();
    world_run();
    memory_store.unreadable = 0;
    check_given_out(id);
}

static void nothing_is_given_out_that_all_have(void **state)
{
    uint64_t id = owe("b@x.test", 1);

    (void)state;
    ask_about("list", id);
    assert_int_equal(matched(), 1);
    ask_about("get", id);
    assert_int_equal(matched(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(nobody_gets_it_twice_when_it_cannot_be_read),
        IN_WORLD(nobody_gets_it_twice_when_it_is_damaged),
        IN_WORLD(nobody_gets_it_twice_when_the_outcome_is_lost),
        IN_WORLD(nobody_gets_it_twice_for_an_administrator),
        IN_WORLD(whoever_has_it_is_not_given_out),
        IN_WORLD(nothing_is_given_out_that_all_have),
    };

    return cmocka_run_group_tests_name("queue/arrivals", tests, NULL, NULL);
}
