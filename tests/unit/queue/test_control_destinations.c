/* What is told of destinations. */
#include "tests/unit/queue/admin.h"

#include "queue/tlsnote.h"

#include <stdio.h>

static void shows_destinations_and_their_breakers(void **state)
{
    static const struct {
        const char *name, *text;
    } parts[] = {
        { "name", "\"destination\":\"mx.there.test\"" },
        { "breaker", "\"breaker\":\"open\"" },
        { "since", "\"since\":\"2026-11-23T08:15:00.000Z\"" },
        { "next probe", "\"next_at\":\"2026-11-23T08:15:15.000Z\"" },
        { "cause", "\"cause\":\"refused (mx.there.test[192.0.2.1]:25, while sending RCPT TO)\"" },
        { "mail", "\"waiting\":2,\"senders_waiting\":1,\"deliveries\":2" },
        { "window", "\"connections\":1,\"connections_most\":2" },
        { "failure", "\"last_failure\":\"2026-11-23T08:15:00.000Z\"" },
        { "domains", "\"domain_count\":2,\"domains\":[\"there.test\",\"b.test\"]" },
    };

    (void)state;
    world.mail_hosts = "there.test mx.there.test b.test mx.there.test";
    world_accept("a@here.test", "b@there.test", body);
    world_answer(world_job(0), OUTCOME_DEFERRED, SCOPE_DESTINATION, 0, "refused");
    world_accept("a@here.test", "b@b.test", body);
    ask("destinations");
    check_lines();
    assert_int_equal(matched(), 1);
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        if (!answered(parts[i].text))
            fail_msg("%s: %s", parts[i].name, answer);
    }
    ask("destinations name=B.test");
    assert_int_equal(matched(), 1);
    ask("destinations name=mx.there.test");
    assert_int_equal(matched(), 1);
    ask("destinations name=elsewhere.test");
    assert_int_equal(matched(), 0);
    ask("close name=b.test");
    assert_int_equal(matched(), 1);
    world_run();
    assert_int_equal(world.job_count, 3);
    for (unsigned i = 1; i < 3; i++)
        world_answer(world_job(i), OUTCOME_DELIVERED, SCOPE_RCPT, 250, "Ok");
    ask("destinations");
    assert_true(answered("\"breaker\":\"closed\"") && answered("\"last_success\":"));
    ask("open name=mx.there.test");
    world_accept("a@here.test", "b@b.test", body);
    assert_int_equal(world.job_count, 3);
    ask("destinations");
    assert_true(answered("\"breaker\":\"open\"") && answered("\"forced\":true") &&
                answered("held back by an administrator (uid 0)") && !answered("next_at"));
    ask("list");
    assert_true(answered("\"state\":\"waiting\"") && answered("held back by an administrator"));
    ask("open");
    assert_true(answered("{\"error\":\"which destination?\"}"));
    ask("close name=mx.there.test");
    world_run();
    assert_int_equal(world.job_count, 4);
}

/* All that there are: with the cause, and when the next probe goes, where one does. */
static void names_the_state_of_a_breaker(void **state)
{
    static const char cause[] = "\"cause\":\"refused (mx.there.test[192.0.2.1]:25, "
                                "while sending RCPT TO)\"";

    (void)state;
    world_accept("a@here.test", "b@there.test", body);
    ask("destinations");
    assert_true(answered("\"breaker\":\"closed\"") && !answered("\"cause\"") &&
                !answered("\"since\"") && !answered("next_at"));
    world_answer(world_job(0), OUTCOME_DEFERRED, SCOPE_DESTINATION, 0, "refused");
    ask("destinations");
    assert_true(answered("\"breaker\":\"open\"") && answered(cause));
    assert_true(answered("\"next_at\":\"2026-11-23T08:15:15.000Z\"") && answered("\"failures\":1"));
    world_pass(15 * SECOND);
    assert_int_equal(world.job_count, 2); /* the probe, under way */
    ask("destinations");
    assert_true(answered("\"breaker\":\"probing\"") && answered(cause) && !answered("next_at"));
    assert_true(answered("\"since\":\"2026-11-23T08:15:00.000Z\""));
    world_answer(world_job(1), OUTCOME_DEFERRED, SCOPE_DESTINATION, 0, "refused");
    ask("destinations");
    assert_true(answered("\"breaker\":\"open\"") && answered("\"failures\":2"));
    assert_true(answered("\"next_at\":\"2026-11-23T08:15:45.000Z\""));
    world_pass(30 * SECOND);
    world_accept("a@here.test", "c@there.test", body);
    world_answer(world_job(2), OUTCOME_DELIVERED, SCOPE_RCPT, 250, "Ok");
    ask("destinations");
    assert_true(answered("\"breaker\":\"closed\"") && !answered("next_at"));
    assert_true(answered("\"last_success\":\"2026-11-23T08:15:45.000Z\""));
}

/* The window is 2. */
static void tells_what_a_reload_leaves_of_the_connections(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        world_accept("a@here.test", "b@there.test", body);
    ask("destinations");
    assert_true(answered("\"running\":4,\"connections\":2,"));
    world_add_worker(DELIVERY, 0);
    world_reload("");
    ask("destinations");
    assert_true(answered("\"running\":4,\"connections\":0,"));
    for (unsigned i = 0; i < 3; i++)
        world_deliver(world_job(i));
    ask("destinations");
    assert_true(answered("\"running\":1,\"connections\":1,"));
}

static void say_missed_tls(const struct world_job *j, const char *host)
{
    const struct message_tls_missed m = { j->start.job, 60 * MINUTE, view_of(host) };

    peer_send_tls_missed(&j->worker->peer, &m, -1);
    world_run();
}

/* For as long as the worker that has the destination remembers it. */
static void tells_of_hosts_whose_tls_is_missed(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@there.test", body);
    say_missed_tls(world_job(0), "mx.there.test[192.0.2.1]:25");
    world_pass(MINUTE);
    say_missed_tls(world_job(0), "mx2.there.test[192.0.2.2]:25");
    ask("destinations");
    assert_true(answered("\"tls_missed\":[{\"host\":\"mx.there.test[192.0.2.1]:25\","
                         "\"until\":\"2026-11-23T09:15:00.000Z\"},"
                         "{\"host\":\"mx2.there.test[192.0.2.2]:25\","
                         "\"until\":\"2026-11-23T09:16:00.000Z\"}]"));
    say_missed_tls(world_job(0), "mx.there.test[192.0.2.1]:25");
    world_pass(59 * MINUTE);
    ask("destinations"); /* one has been told anew, the other is over soon */
    assert_true(answered("\"until\":\"2026-11-23T09:16:00.000Z\"}]"));
    world_pass(MINUTE);
    ask("destinations");
    assert_false(answered("tls_missed"));
    say_missed_tls(world_job(0), "mx.there.test[192.0.2.1]:25");
    world_add_worker(DELIVERY, 0);
    world_reload("");
    ask("destinations");
    assert_false(answered("tls_missed"));
}

static void keeps_the_latest_of_many_hosts_without_tls(void **state)
{
    char host[32];

    (void)state;
    world_accept("a@here.test", "b@there.test", body);
    for (int i = 1; i <= TLSNOTES_MAX + 1; i++) {
        snprintf(host, sizeof(host), "mx%d.there.test", i);
        say_missed_tls(world_job(0), host);
    }
    ask("destinations");
    assert_false(answered("\"mx1.there.test\""));
    assert_true(answered("\"mx2.there.test\"") && answered("\"mx17.there.test\""));
}

static void believes_only_the_worker_of_the_job(void **state)
{
    struct message_tls_missed m = { 1000, MINUTE, VIEW_INIT("mx.test") };

    (void)state;
    peer_send_tls_missed(&world.workers[0].peer, &m, -1);
    world_run();
    assert_true(world.workers[0].gone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(shows_destinations_and_their_breakers),
        IN_WORLD(names_the_state_of_a_breaker),
        IN_WORLD(tells_what_a_reload_leaves_of_the_connections),
        IN_WORLD(tells_of_hosts_whose_tls_is_missed),
        IN_WORLD(keeps_the_latest_of_many_hosts_without_tls),
        IN_WORLD(believes_only_the_worker_of_the_job),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
