/* Addresses that do not answer. The clock stands still, and is moved by hand. */
#include "delivery/conn.h"
#include "delivery/destination.h"
#include "io/clock.h"
#include "tests/unit/delivery/town.h"
#include "tests/unit/unit.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define HELLO VIEW("Subject: x\r\n\r\nhello\r\n")

enum {
    DEAF_GUESTS = 3,
    TURNS = 12, /* more than there are steps up to a greeting */
};

/* A host whose backlog is full: what connects to it gets no answer. */
struct deaf {
    int listener, guests[DEAF_GUESTS];
};

static struct deaf make_deaf(const struct town *t, const char *address)
{
    struct net_address a;
    struct sockaddr_storage where;
    struct deaf d;
    socklen_t len;

    assert_true(net_parse_address(view_of(address), &a));
    a.port = (uint16_t)t->settings.delivery.port;
    net_to_sockaddr(&a, &where, &len);
    d.listener = socket(a.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(d.listener, (const struct sockaddr *)&where, len), 0);
    assert_int_equal(listen(d.listener, 0), 0);
    for (unsigned i = 0; i < DEAF_GUESTS; i++) {
        d.guests[i] = net_connect(&a, NULL);
        assert_true(d.guests[i] >= 0);
    }
    return d;
}

static void free_deaf(struct deaf d)
{
    for (unsigned i = 0; i < DEAF_GUESTS; i++)
        close(d.guests[i]);
    close(d.listener);
}

static void pass(struct town *t, uint64_t ms)
{
    town_turn(t, TURNS);
    clock_advance(ms);
    town_turn(t, TURNS);
}

static void begins_another_address_beside_one_that_is_slow(void **state)
{
    static struct town t;
    struct deaf d;

    (void)state;
    town_open(&t, "b.test mx 10 mx1.test\nmx1.test a 127.0.0.9 127.0.0.2\n", NULL, NULL);
    d = make_deaf(&t, "127.0.0.9");
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    pass(&t, DIAL_PATIENCE_MS - 1);
    assert_int_equal(t.hosts[0].connections, 0);
    assert_int_equal(t.worker.conn_count, 1);
    pass(&t, 1);
    assert_true(town_await(&t, 1));
    assert_int_equal(t.hosts[0].messages, 1);
    assert_int_equal(t.worker.conn_count, 1); /* the other was dropped */
    town_close(&t);
    free_deaf(d);
}

/* Another address, and as many connections as the limits allow. */
static void keeps_to_the_limits(void **state)
{
    static struct town t;
    struct deaf d;

    (void)state;
    town_open(&t, "b.test mx 10 mx1.test\nmx1.test a 127.0.0.9 127.0.0.2\n", NULL, NULL);
    d = make_deaf(&t, "127.0.0.9");
    t.settings.delivery.concurrency = 1;
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    pass(&t, DIAL_PATIENCE_MS);
    assert_int_equal(t.hosts[0].connections, 0);
    pass(&t, t.settings.timeouts.connect); /* one after the other */
    assert_true(town_await(&t, 1));
    assert_int_equal(t.hosts[0].messages, 1);
    town_close(&t);
    free_deaf(d);
}

static const struct route_memory *families_of(const struct town *t)
{
    struct table_entry *e = table_next(&t->worker.destinations, NULL);

    return &container_of(e, struct destination, entry)->families;
}

/* With room for one alone, a family that does not answer makes way for the other, and is
 * remembered. */
static void turns_to_the_other_family(void **state)
{
    static struct town t;
    struct deaf d;

    (void)state;
    town_open(&t, "b.test mx 10 mx1.test\nmx1.test a ::1 127.0.0.2\n", NULL, NULL);
    d = make_deaf(&t, "::1");
    t.settings.delivery.concurrency = 1;
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    pass(&t, DIAL_PATIENCE_MS - 1);
    assert_int_equal(t.hosts[0].connections, 0);
    pass(&t, 1);
    assert_true(town_await(&t, 1));
    assert_int_equal(t.hosts[0].messages, 1);
    assert_int_equal(families_of(&t)->second, AF_INET6);
    town_close(&t);
    free_deaf(d);
}

/* Where neither answers, each has all of its time, and no more. */
static void turns_once(void **state)
{
    static struct town t;
    struct deaf d[2];

    (void)state;
    town_open(&t, "b.test mx 10 mx1.test\nmx1.test a ::1 127.0.0.9\n", NULL, NULL);
    d[0] = make_deaf(&t, "::1");
    d[1] = make_deaf(&t, "127.0.0.9");
    t.settings.delivery.concurrency = 1;
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    pass(&t, DIAL_PATIENCE_MS);
    pass(&t, t.settings.timeouts.connect);
    assert_int_equal(t.ended, 0);
    pass(&t, t.settings.timeouts.connect);
    assert_int_equal(t.ended, 1);
    check_view("results", buf_view(&t.results), VIEW("1 all deferred 0 4.4.1\n1 end\n"));
    town_close(&t);
    for (unsigned i = 0; i < COUNT_OF(d); i++)
        free_deaf(d[i]);
}

/* Room that comes later is used, too. */
static void begins_another_address_when_there_is_room(void **state)
{
    static struct town t;
    struct deaf d;

    (void)state;
    town_open(&t, "b.test mx 10 mx1.test\nmx1.test a 127.0.0.9 127.0.0.2\n", NULL, NULL);
    d = make_deaf(&t, "127.0.0.9");
    t.settings.delivery.connections = 1;
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    pass(&t, DIAL_PATIENCE_MS);
    assert_int_equal(t.hosts[0].connections, 0);
    t.settings.delivery.connections = 2;
    pass(&t, DIAL_PATIENCE_MS);
    assert_true(town_await(&t, 1));
    assert_int_equal(t.hosts[0].messages, 1);
    town_close(&t);
    free_deaf(d);
}

/* The first to be tried is the first to answer, after all: of the other nothing is known. */
static void blames_no_family_that_had_no_time(void **state)
{
    static struct town t;
    struct deaf d[2];

    (void)state;
    town_open(&t, "b.test mx 10 mx1.test\nmx1.test a 127.0.0.9 ::1\n", NULL, NULL);
    d[0] = make_deaf(&t, "127.0.0.9");
    d[1] = make_deaf(&t, "::1");
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    pass(&t, DIAL_PATIENCE_MS);
    assert_int_equal(t.worker.conn_count, 2);
    /* It listens again, and hears of us when our kernel asks anew. */
    for (unsigned i = 0; i < 400 && t.worker.conn_count > 1; i++) {
        int fd = accept4(d[0].listener, NULL, NULL, SOCK_CLOEXEC);

        town_turn(&t, 1);
        if (fd >= 0)
            close(fd);
    }
    assert_int_equal(t.worker.conn_count, 1);
    assert_int_equal(families_of(&t)->second, 0);
    free_deaf(d[0]);
    free_deaf(d[1]);
    assert_true(town_await(&t, 1));
    town_close(&t);
}

static void counts_the_second_attempt(void **state)
{
    static struct town t;
    struct deaf d[3];

    (void)state;
    town_open(&t, "b.test mx 10 mx1.test\nmx1.test a 127.0.0.9 127.0.0.10 127.0.0.11\n", NULL,
              NULL);
    d[0] = make_deaf(&t, "127.0.0.9");
    d[1] = make_deaf(&t, "127.0.0.10");
    d[2] = make_deaf(&t, "127.0.0.11");
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    pass(&t, DIAL_PATIENCE_MS);
    assert_int_equal(t.worker.conn_count, 2);
    pass(&t, DIAL_PATIENCE_MS);
    assert_int_equal(t.worker.conn_count, 2); /* no third beside them */
    pass(&t, t.settings.timeouts.connect);
    pass(&t, t.settings.timeouts.connect);
    assert_true(town_await(&t, 1));
    check_view("results", buf_view(&t.results), VIEW("1 all deferred 0 4.4.1\n1 end\n"));
    town_turn(&t, 2);
    assert_int_equal(t.worker.conn_count, 0);
    town_close(&t);
    for (unsigned i = 0; i < COUNT_OF(d); i++)
        free_deaf(d[i]);
}

/* No other host is asked in the meantime: one that is preferred less must wait. */
static void waits_for_the_preferred_host(void **state)
{
    static struct town t;
    struct deaf d;

    (void)state;
    town_open(&t, "b.test mx 10 mx1.test 20 mx2.test\nmx1.test a 127.0.0.9\nmx2.test a 127.0.0.3\n",
              NULL, NULL);
    d = make_deaf(&t, "127.0.0.9");
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    pass(&t, DIAL_PATIENCE_MS);
    assert_int_equal(t.hosts[1].connections, 0);
    pass(&t, t.settings.timeouts.connect);
    assert_true(town_await(&t, 1));
    assert_int_equal(t.hosts[1].messages, 1);
    town_close(&t);
    free_deaf(d);
}

/* What is wrong here is said, and blames nobody. */
static void blames_no_host_for_what_is_wrong_here(void **state)
{
    static struct town t;
    struct route_settings r = { .targets = { { .kind = TARGET_HOST, .host = VIEW("127.0.0.2") } },
                                .target_count = 1,
                                .source_count = 1 };

    (void)state;
    town_open(&t, "", NULL, NULL);
    r.targets[0].port = (uint16_t)t.settings.delivery.port;
    assert_true(net_parse_address(VIEW("203.0.113.9"), &r.sources[0]));
    t.settings.routes = &r;
    t.settings.route_count = 1;
    t.routed = true;
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    assert_true(town_await(&t, 1));
    check_view("results", buf_view(&t.results), VIEW("1 all deferred 0 4.3.0\n1 end\n"));
    assert_int_equal(t.scope, SCOPE_MESSAGE);
    assert_true(view_starts(buf_view(&t.reason), VIEW("this host cannot connect: ")));
    town_close(&t);
}

/* What decides in the end when several hosts were tried in vain. */
static void weighs_failures(void **state)
{
    static const struct outcome lacking = { .class = OUTCOME_FAILED, .scope = SCOPE_MESSAGE };
    static const struct outcome ours = { .class = OUTCOME_DEFERRED,
                                         .scope = SCOPE_MESSAGE,
                                         .enhanced = { 4, 3, 0 } };
    static const struct outcome theirs = { .class = OUTCOME_DEFERRED, .scope = SCOPE_DESTINATION };
    static const struct {
        const struct outcome *first, *second, *kept;
    } pairs[] = {
        { &lacking, &ours, &ours },     { &ours, &lacking, &ours },  { &lacking, &theirs, &theirs },
        { &theirs, &lacking, &theirs }, { &ours, &theirs, &theirs }, { &theirs, &ours, &theirs },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        struct dial d = { .failed = false };

        dial_keep_failure(&d, pairs[i].first);
        dial_keep_failure(&d, pairs[i].second);
        assert_int_equal(d.failure.outcome.class, pairs[i].kept->class);
        assert_int_equal(d.failure.outcome.scope, pairs[i].kept->scope);
    }
}

/* One that says goodbye is a connection too, as long as the host lets it wait. */
static void counts_connections_that_say_goodbye(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, "b.test mx 10 mx1.test\nmx1.test a 127.0.0.2\n", "QUIT -", NULL);
    t.settings.delivery.concurrency = 1;
    t.settings.delivery.messages_per_connection = 1;
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    town_send_job(&t, 2, VIEW("b.test"), HELLO, false);
    assert_true(town_await(&t, 1));
    town_turn(&t, 5);
    assert_int_equal(t.hosts[0].connections, 1);
    pass(&t, t.settings.timeouts.idle_connection);
    assert_true(town_await(&t, 2));
    assert_int_equal(t.hosts[0].messages, 2);
    assert_int_equal(t.hosts[0].most_open, 1);
    town_close(&t);
}

/* However little each step takes of its own time. */
static void gives_up_a_slow_opening(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, "b.test mx 10 mx1.test 20 mx2.test\nmx1.test a 127.0.0.2\nmx2.test a 127.0.0.3\n",
              "EHLO -", NULL);
    t.settings.timeouts.ehlo = t.settings.timeouts.opening * 10;
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    pass(&t, t.settings.timeouts.opening - 1);
    assert_int_equal(t.hosts[0].open, 1);
    assert_int_equal(t.hosts[1].connections, 0);
    pass(&t, 1);
    assert_true(town_await(&t, 1));
    assert_int_equal(t.hosts[1].messages, 1);
    town_close(&t);
}

/* Although the message was said before anything was heard of it, and may be accepted. */
static void gives_up_a_slow_host_that_has_the_chunk(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, "b.test mx 10 mx1.test\nmx1.test a 127.0.0.2\n",
              "EHLO 250-mx.test\\250-CHUNKING\\250 PIPELINING\nRCPT -\nBDAT -", NULL);
    t.settings.timeouts.rcpt = t.settings.timeouts.transaction * 10;
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    pass(&t, t.settings.timeouts.transaction);
    assert_int_equal(t.ended, 0);
    pass(&t, t.settings.timeouts.final);
    assert_int_equal(t.ended, 1);
    check_view("results", buf_view(&t.results), VIEW("1 all deferred 0 4.4.2\n1 end\n"));
    town_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(begins_another_address_beside_one_that_is_slow),
        cmocka_unit_test(keeps_to_the_limits),
        cmocka_unit_test(turns_to_the_other_family),
        cmocka_unit_test(turns_once),
        cmocka_unit_test(begins_another_address_when_there_is_room),
        cmocka_unit_test(blames_no_family_that_had_no_time),
        cmocka_unit_test(counts_the_second_attempt),
        cmocka_unit_test(waits_for_the_preferred_host),
        cmocka_unit_test(blames_no_host_for_what_is_wrong_here),
        cmocka_unit_test(weighs_failures),
        cmocka_unit_test(counts_connections_that_say_goodbye),
        cmocka_unit_test(gives_up_a_slow_opening),
        cmocka_unit_test(gives_up_a_slow_host_that_has_the_chunk),
    };

    signal(SIGPIPE, SIG_IGN);
    clock_freeze(clock_wall_ms());
    return cmocka_run_group_tests_name("dial", tests, NULL, NULL);
}
