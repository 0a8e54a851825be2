#include "tests/unit/queue/admin.h"

#include "common/crc32c.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void stored(struct store_commit *c, enum spool_trouble trouble)
{
    (void)c;
    assert_int_equal(trouble, SPOOL_FINE);
}

/* Its checksum holds, but the envelope makes no sense. */
static void an_envelope_without_sense_is_for_the_administrator(void **state)
{
    struct store_commit c = { .envelope = VIEW("from=a@here.test\nrcpt=@@\nrcpt=b@there.test\n"),
                              .body = body,
                              .body_bytes = body.len,
                              .body_crc = crc32c(0, body),
                              .big_fd = -1,
                              .done = stored };
    static const uint32_t second = 1;
    struct store_outcome o = { .rcpts = &second, .rcpt_count = 1, .state = STORE_DELIVERED };

    (void)state;
    store_accept(world.queue.store, &c);
    world_run();
    o.message = c.id;
    store_settle(world.queue.store, &o, NULL);
    world_run();
    world_restart();
    close(admin);
    admin_connect();
    ask("list");
    check_lines();
    check("in the list", matched() == 1 && answered("\"state\":\"held\""));
    ask("status");
    check("an alarm", answered("\"alarm\":\"damaged\",\"what\":\"1 damaged places"));
    world_pass(30 * MINUTE);
    check("not tried", world.job_count == 0);
    ask_about("get", c.id);
    check("as it is", answered("\nfrom=a@here.test\nrcpt=@@\nrcpt=b@there.test\nSubject: lunch"));
    ask_about("release", c.id);
    world_run();
    ask("list");
    check("held again", matched() == 1 && answered("\"state\":\"held\""));
    ask_about("delete", c.id);
    ask("list state=deleted");
    check("in the trash", matched() == 1);
    world_pass(25 * 60 * MINUTE);
    check("gone", memory_store.live == 0);
}

static void tells_why_each_message_waits(void **state)
{
    static const struct {
        const char *name, *text;
    } parts[] = {
        { "state", "\"state\":\"deferred\"" },
        { "sender", "\"sender\":\"a@here.test\"" },
        { "size", "\"size\":28" },
        { "attempts", "\"attempts\":1" },
        { "next", "\"next_at\":\"2026-11-23T08:16:00.000Z\"" },
        { "arrived", "\"arrived\":\"2026-11-23T08:15:00.000Z\"" },
        { "expires", "\"expires_at\":\"2026-11-24T08:15:00.000Z\"" },
        { "reason", "\"reason\":\"451 4.1.1 come \\\"later\\\" (mx.there.test[192.0.2.1]:25, while "
                    "sending RCPT TO)\"" },
        { "recipient", "\"addr\":\"b@there.test\"" },
        { "destination", "\"destination\":\"there.test\"" },
        { "code", "\"code\":451" },
        { "stage", "\"stage\":\"sending RCPT TO\"" },
    };

    (void)state;
    world_accept("a@here.test", "b@there.test", body);
    world_answer(world_job(0), OUTCOME_DEFERRED, SCOPE_RCPT, 451, "come \"later\"");
    ask("list");
    assert_int_equal(matched(), 1);
    check_lines();
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        check(parts[i].name, answered(parts[i].text));
}

static void names_the_states(void **state)
{
    uint64_t held;
    char request[64];

    (void)state;
    world_accept("a@here.test", "b@active.test", body);
    world_accept("a@here.test", "b@deferred.test", body);
    world_answer(world_job(1), OUTCOME_DEFERRED, SCOPE_RCPT, 451, "later");
    world_accept("a@here.test", "b@waiting.test", body);
    world_answer(world_job(2), OUTCOME_DEFERRED, SCOPE_DESTINATION, 0, "connection refused");
    held = world_accept("a@here.test", "b@held.test", body);
    world_answer(world_job(3), OUTCOME_DEFERRED, SCOPE_RCPT, 451, "later");
    snprintf(request, sizeof(request), "hold id=%016llx", (unsigned long long)held);
    ask(request);
    assert_int_equal(matched(), 1);
    world_lose_worker(&world.workers[0]);
    world_accept("a@here.test", "b@ready.test", body);
    ask("list state=active");
    assert_int_equal(matched(), 0);
    ask("list state=ready");
    assert_int_equal(matched(), 2); /* the lost job, too */
    ask("list state=deferred");
    assert_true(matched() == 1 && answered("b@deferred.test"));
    ask("list state=waiting");
    assert_true(matched() == 1 && answered("b@waiting.test") && answered("connection refused"));
    ask("list state=held");
    assert_true(matched() == 1 && answered("b@held.test") && answered("held by"));
    ask("status");
    check_lines();
    assert_true(answered("\"ready\":2") && answered("\"deferred\":1") && answered("\"waiting\":1"));
    assert_true(answered("\"destination\":\"waiting.test\""));
}

static void finds_by_what_is_asked(void **state)
{
    static const struct {
        const char *request;
        uint64_t count;
    } cases[] = {
        { "list", 4 },
        { "list all=1", 4 },
        { "list sender=a@here.test", 2 },
        { "list sender=A@HERE.test", 2 },
        { "list sender=<>", 1 },
        { "list sender=", 1 },
        { "list recipient=b@x.test", 2 },
        { "list domain=x.test", 3 },
        { "list domain=X.TEST sender=a@here.test", 2 },
        { "list domain=y.test recipient=b@x.test", 0 },
        { "list domain=test", 0 },
        { "list sender=o%20dd%25@here.test", 0 },
        { "list id=77", 0 },
        { "list sender=a%40here.test", 2 },
    };

    (void)state;
    world_accept("a@here.test", "b@x.test", body);
    world_accept("a@here.test", "c@x.test d@y.test", body);
    world_accept("", "b@x.test", body);
    world_accept("z@here.test", "d@y.test", body);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ask(cases[i].request);
        check_lines();
        check(cases[i].request, matched() == cases[i].count);
    }
}

static void refuses_what_it_does_not_understand(void **state)
{
    static const struct {
        const char *request, *words;
    } cases[] = {
        { "", "no such request" },         { "dance", "no such request" },
        { "list colour=red", "a filter" }, { "list id=xyz", "a filter" },
        { "list state=lost", "a filter" }, { "list sender=%4", "a filter" },
        { "delete", "which messages?" },   { "hold", "which messages?" },
        { "show", "which messages?" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ask(cases[i].request);
        check_lines();
        check(cases[i].request, answered(cases[i].words));
    }
}

static void shows_what_is_done_besides(void **state)
{
    struct world_job *j;

    (void)state;
    world_accept("a@here.test", "b@x.test c@x.test", body);
    j = world_job(0);
    world_result(j, 0, OUTCOME_DELIVERED, SCOPE_RCPT, 250, "Ok");
    world_result(j, 1, OUTCOME_DEFERRED, SCOPE_RCPT, 451, "later");
    world_end(j);
    ask("list");
    assert_false(answered("b@x.test"));
    ask("show all=1");
    check_lines();
    assert_true(answered("{\"addr\":\"b@x.test\",\"state\":\"done\"}"));
    assert_true(answered("c@x.test"));
}

static void acts_on_many(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        world_accept("a@here.test", i % 2 == 0 ? "b@x.test" : "b@y.test", body);
    for (unsigned i = 0; i < world.job_count; i++)
        world_answer(world_job(i), OUTCOME_DEFERRED, SCOPE_RCPT, 451, "later");
    ask("hold domain=x.test");
    assert_int_equal(matched(), 10);
    assert_int_equal(world.queue.index.held_count, 10);
    ask("delete domain=y.test");
    assert_int_equal(matched(), 10);
    ask("list");
    assert_int_equal(matched(), 10);
    ask("undelete recipient=b@x.test");
    assert_int_equal(matched(), 0);
    ask("undelete recipient=b@y.test");
    assert_int_equal(matched(), 10);
    ask("delete recipient=b@y.test");
    ask("delete state=deleted");
    assert_int_equal(matched(), 10);
    assert_int_equal(memory_store.live, 10);
    ask("release all=1");
    assert_int_equal(matched(), 10);
    assert_int_equal(world.queue.index.held_count, 0);
    ask("delete all=1");
    assert_int_equal(memory_store.live, 10);
    ask("delete state=deleted");
    assert_int_equal(memory_store.live, 4); /* a worker has them */
    for (unsigned i = 20; i < 24; i++)
        world_end(world_job(i));
    assert_int_equal(memory_store.live, 0);
    assert_int_equal(memory_store.changes[STORE_RELEASE], 10);
}

static void changes_nothing_while_the_store_is_behind(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@x.test", body);
    memory_store.behind = true;
    send_text(VIEW("hold all=1\n"));
    world_pass(SECOND);
    assert_int_equal(world.queue.index.held_count, 0);
    memory_store.behind = false;
    world_pass(SECOND);
    hear();
    assert_int_equal(matched(), 1);
    assert_int_equal(world.queue.index.held_count, 1);
}

static void tells_of_a_destination_that_is_tried_at_once(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@x.test", body);
    world_answer(world_job(0), OUTCOME_DEFERRED, SCOPE_DESTINATION, 0, "no route");
    ask("retry domain=x.test");
    assert_int_equal(matched(), 1);
    assert_int_equal(world.job_count, 2);
}

static void streams_long_lists(void **state)
{
    enum { MANY = 3000 };
    unsigned lines = 0;

    (void)state;
    world_lose_worker(&world.workers[0]);
    for (int i = 0; i < MANY; i++)
        world_accept("a@here.test", "somebody@far-away.test", body);
    ask("list");
    assert_int_equal(matched(), MANY);
    for (size_t i = 0; i < answer_len; i++)
        lines += answer[i] == '\n';
    assert_int_equal(lines, MANY + 1);
}

static void answers_one_request_after_the_other(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@x.test", body);
    send_text(VIEW("status\nlist\nli"));
    hear();
    while (!answered("b@x.test")) /* of the second */
        hear();
    send_text(VIEW("st\n"));
    hear();
    assert_true(answered("b@x.test"));
}

static void ends_with_its_client(void **state)
{
    char byte;

    (void)state;
    send_text(VIEW("status\n"));
    shutdown(admin, SHUT_WR);
    hear();
    world_run();
    assert_int_equal(recv(admin, &byte, 1, 0), 0);
    close(admin);
    admin_connect();
    send_text(VIEW("list\n"));
    close(admin); /* before the answer */
    admin = -1;
    world_run();
    admin_connect();
    ask("list");
    assert_int_equal(matched(), 0);
}

static void survives_garbage(void **state)
{
    char junk[70000];
    uint64_t chance = 3;

    (void)state;
    for (size_t i = 0; i < sizeof(junk); i++)
        junk[i] = (char)random_below(&chance, 256);
    (void)!send(admin, junk, sizeof(junk), MSG_NOSIGNAL);
    for (int i = 0; i < 50; i++) {
        world_run();
        (void)!recv(admin, answer, sizeof(answer), 0);
    }
    memset(junk, 'x', sizeof(junk)); /* a line without an end */
    for (int i = 0; i < 10; i++) {
        (void)!send(admin, junk, sizeof(junk), MSG_NOSIGNAL);
        world_run();
    }
    close(admin);
    world_run();
    admin_connect();
    ask("status");
    assert_int_equal(matched(), 1);
}

static void raises_alarms_about_the_spool(void **state)
{
    (void)state;
    ask("status");
    assert_true(answered("\"alarms\":[]"));
    memory_store.numbers = (struct store_numbers){ .trouble = SPOOL_SUSPENDED, .syncs_failed = 2 };
    ask("status");
    check_lines();
    assert_true(answered("{\"alarm\":\"spool_suspended\",\"what\":\"writing to the spool fails"));
    assert_true(answered("\"what\":\"2 writes to the spool failed since the start\",\"do\":"));
    assert_false(answered("\"alarm\":\"damaged\""));
    memory_store.numbers = (struct store_numbers){ .trouble = SPOOL_FULL, .damaged = 1 };
    ask("status");
    check_lines();
    assert_true(answered("\"alarms\":[{\"alarm\":\"spool_full\""));
    assert_true(answered("{\"alarm\":\"damaged\",\"what\":\"1 damaged places"));
    assert_false(answered("\"alarm\":\"syncs_failed\""));
    assert_false(answered("\"alarm\":\"compaction_paused\""));
    memory_store.numbers = (struct store_numbers){ .copies_error = EIO };
    ask("status");
    check_lines();
    assert_true(
        answered("\"alarms\":[{\"alarm\":\"compaction_paused\",\"what\":\"compaction cannot "
                 "write its copies (Input/output error)"));
    memory_store.numbers = (struct store_numbers){ .unread = 2,
                                                   .unread_file = "0000019f3a42.seg",
                                                   .unread_offset = 40960,
                                                   .unread_error = EIO,
                                                   .kept_bytes = 128 << 20 };
    ask("status");
    check_lines();
    assert_true(answered("\"alarms\":[{\"alarm\":\"segments_unreadable\",\"what\":\"2 files of "));
    assert_true(answered("log/0000019f3a42.seg at byte 40960 (Input/output error)"));
    assert_true(answered("128 MiB are kept"));
    memory_store.numbers.unread_error = 0;
    ask("status");
    assert_true(answered("at byte 40960 (it can be read again)"));
}

static void tells_what_cannot_be_read(void **state)
{
    uint64_t id = world_accept("a@here.test", "b@there.test", body);

    (void)state;
    memory_store.unreadable = EIO;
    world_restart(); /* it is not in memory any more */
    admin_connect();
    world_pass(10 * SECOND);
    ask_about("show", id);
    check_lines();
    assert_true(answered("\"state\":\"deferred\""));
    assert_true(answered("\"next_at\":"));
    assert_true(answered("\"reason\":\"cannot be read from the spool: Input/output error\""));
    ask("status");
    assert_true(answered("\"alarms\":[]")); /* it may well be over soon */
    world_pass(30 * MINUTE);
    ask("status");
    check_lines();
    assert_true(answered("{\"alarm\":\"unreadable\",\"what\":\"1 messages cannot be read"));
    memory_store.unreadable = 0;
    ask_about("show", id); /* what was read of it now says nothing of the body */
    assert_true(answered("\"reason\":\"it cannot be read from the spool: Input/output error\""));
    ask_about("retry", id);
    world_run();
    world_deliver(world_job(0));
    ask("status");
    assert_true(answered("\"alarms\":[]"));
}

/* Of a large body only the worker sees more than the length. */
static void tells_what_workers_could_not_read(void **state)
{
    uint64_t id;
    unsigned jobs = 0;

    (void)state;
    memory_store.in_files = true;
    id = world_accept("a@here.test", "b@there.test", body);
    world_restart();
    admin_connect();
    world_run();
    for (; jobs < 3; jobs++) {
        ask("status");
        assert_true(answered("\"alarms\":[]") == (jobs < 2)); /* it may well be over soon */
        world_answer(world_job(jobs), OUTCOME_DEFERRED, SCOPE_DISK, 0, "cannot be read");
        ask_about("show", id);
        assert_true(answered("\"state\":\"deferred\""));
        world_pass(2 * MINUTE);
        ask_about("retry", id);
        world_run();
    }
    ask("status");
    check_lines();
    assert_true(answered("{\"alarm\":\"unreadable\",\"what\":\"1 messages cannot be read"));
    world_answer(world_job(jobs), OUTCOME_DEFERRED, SCOPE_RCPT, 450, "later");
    ask("status");
    assert_true(answered("\"alarms\":[]"));
    ask_about("retry", id);
    world_run();
    world_answer(world_job(jobs + 1), OUTCOME_DEFERRED, SCOPE_SPOOL, 0, "damaged in the spool");
    ask("status");
    check_lines();
    assert_true(answered("{\"alarm\":\"damaged\",\"what\":\"1 damaged places"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(an_envelope_without_sense_is_for_the_administrator),
        IN_WORLD(tells_why_each_message_waits),
        IN_WORLD(names_the_states),
        IN_WORLD(finds_by_what_is_asked),
        IN_WORLD(refuses_what_it_does_not_understand),
        IN_WORLD(shows_what_is_done_besides),
        IN_WORLD(acts_on_many),
        IN_WORLD(changes_nothing_while_the_store_is_behind),
        IN_WORLD(tells_of_a_destination_that_is_tried_at_once),
        IN_WORLD(streams_long_lists),
        IN_WORLD(answers_one_request_after_the_other),
        IN_WORLD(ends_with_its_client),
        IN_WORLD(raises_alarms_about_the_spool),
        IN_WORLD(tells_what_cannot_be_read),
        IN_WORLD(tells_what_workers_could_not_read),
        IN_WORLD(survives_garbage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
