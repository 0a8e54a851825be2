#include "tests/unit/delivery/town.h"

#include "delivery/destination.h"
#include "tests/unit/unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { LARGE = 3 << 20 }; /* bytes of a message that no socket takes at once */

static void keeps_connections(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS, NULL, NULL);
    for (unsigned job = 1; job <= 5; job++)
        town_deliver(&t, job, "b.test");
    assert_int_equal(t.ready_for, 50);
    assert_int_equal(t.hosts[0].connections, 1);
    assert_int_equal(t.hosts[0].messages, 5);
    check_view("content", buf_view(&t.hosts[0].heard), VIEW("Subject: x\r\n\r\n..hello"));
    town_close(&t);
}

/* A host that is preferred less is met for the one message that the first cannot take. */
static void makes_detours_for_a_message_alone(void **state)
{
    static struct town t;
    char *large = town_make_body(2000, "x");

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS, "EHLO 250-mx.test\\250 SIZE 1000", NULL);
    t.settings.delivery.concurrency = 1;
    town_deliver(&t, 1, "b.test");
    town_send_job(&t, 2, VIEW("b.test"), view_make(large, 2000), false);
    assert_true(town_await(&t, 2));
    town_deliver(&t, 3, "b.test");
    assert_int_equal(t.hosts[0].messages, 2);
    assert_int_equal(t.hosts[1].messages, 1);
    town_close(&t);
    free(large);
}

static void does_not_keep_them_for_ever(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS, NULL, NULL);
    t.settings.timeouts.idle_connection = 50;
    town_deliver(&t, 1, "b.test");
    for (unsigned i = 0; i < 100 && t.hosts[0].open > 0; i++)
        town_turn(&t, 1);
    assert_int_equal(t.hosts[0].open, 0);
    town_turn(&t, 5);
    assert_int_equal(t.worker.destinations.count, 0);
    town_close(&t);
}

static void wears_connections_out(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS, NULL, NULL);
    t.settings.delivery.messages_per_connection = 2;
    for (unsigned job = 1; job <= 5; job++)
        town_deliver(&t, job, "b.test");
    assert_int_equal(t.hosts[0].connections, 3);
    assert_int_equal(t.hosts[0].messages, 5);
    town_close(&t);
}

/* The host has closed the connection that was kept; the message comes on another. */
static void keeps_to_the_hosts_limit_of_messages(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, "b.test mx 10 mx1.test\nmx1.test a 127.0.0.2\n",
              "EHLO 250-mx.test\\250-LIMITS MAILMAX=2\\250 PIPELINING", NULL);
    for (unsigned job = 1; job <= 4; job++)
        town_deliver(&t, job, "b.test");
    assert_int_equal(t.hosts[0].messages, 4);
    assert_int_equal(t.hosts[0].connections, 2);
    town_close(&t);
}

static void comes_from_its_source(void **state)
{
    static const struct route_target targets[] = { TOWN_TARGET("127.0.0.2") };
    static struct town t;
    struct sockaddr_storage from = { 0 };
    socklen_t len = sizeof(from);
    struct net_address source;
    struct route_settings r;

    (void)state;
    town_open(&t, "", "CONTENT -", "");
    town_use_route(&t, &r, targets, COUNT_OF(targets));
    assert_true(net_parse_address(VIEW("127.0.0.77"), &r.sources[0]));
    r.source_count = 1;
    town_send_job(&t, 1, VIEW("b.test"), TOWN_HELLO, false);
    for (unsigned i = 0; i < 100 && t.hosts[0].messages == 0; i++)
        town_turn(&t, 1);
    assert_int_equal(getpeername(t.hosts[0].guests[0].watch.fd, (struct sockaddr *)&from, &len), 0);
    assert_true(net_from_sockaddr(&from, &source) && net_equal(&source, &r.sources[0]));
    town_close(&t);
}

/* RFC 9422: what a session may have is all that it gets; the rest goes by another. */
static const struct {
    const char *name, *limits, *second;
    unsigned jobs, connections, messages;
} limited[] = {
    { "no limits", "SIZE", "c.test", 1, 1, 1 },
    { "one domain, all of it", "LIMITS RCPTDOMAINMAX=1", NULL, 3, 1, 3 },
    { "one domain at a time", "LIMITS RCPTDOMAINMAX=1", "c.test", 1, 2, 2 },
    { "one domain at a time, again and again", "LIMITS RCPTDOMAINMAX=1", "c.test", 3, 4, 6 },
    { "two domains", "LIMITS RCPTDOMAINMAX=2", "c.test", 3, 1, 3 },
    { "a message for a session", "LIMITS MAILMAX=1", NULL, 3, 3, 3 },
    { "a recipient for a message, and that for a session", "LIMITS MAILMAX=1 RCPTMAX=1", NULL, 2, 4,
      4 },
    { "three messages of one recipient", "LIMITS RCPTMAX=1 MAILMAX=3", NULL, 3, 2, 6 },
};

static void keeps_to_limits_of_a_session(void **state)
{
    static const struct route_target targets[] = { TOWN_TARGET("127.0.0.2") };
    static struct town t;
    struct route_settings r;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(limited); i++) {
        char script[128];

        (void)snprintf(script, sizeof(script), "EHLO 250-mx.test\\250-PIPELINING\\250 %s",
                       limited[i].limits);
        town_open(&t, "", script, NULL);
        town_use_route(&t, &r, targets, COUNT_OF(targets));
        t.second = limited[i].second;
        for (unsigned job = 1; job <= limited[i].jobs; job++) {
            town_send_job(&t, job, VIEW("b.test"), TOWN_HELLO, false);
            check(limited[i].name, town_await(&t, job));
        }
        check(limited[i].name, t.hosts[0].messages == limited[i].messages);
        check(limited[i].name, t.hosts[0].connections == limited[i].connections);
        town_close(&t);
    }
}

/* Our limit of messages, too, holds for the transactions of a job. */
static void wears_connections_out_within_a_job(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS, "EHLO 250-mx.test\\250-LIMITS RCPTMAX=1\\250 PIPELINING", NULL);
    t.settings.delivery.messages_per_connection = 2;
    t.rcpts = 5;
    town_deliver(&t, 1, "b.test");
    assert_int_equal(t.hosts[0].messages, 5);
    assert_int_equal(t.hosts[0].connections, 3);
    town_close(&t);
}

/* 452 to a recipient tells how many the host takes: the transactions that follow, in this
 * connection and in others, ask for no more. */
static void learns_how_many_recipients_are_taken(void **state)
{
    static const struct {
        const char *name;
        unsigned most, messages_per_connection;
        unsigned messages, asked;           /* after a message to ten */
        unsigned messages_then, asked_then; /* after another */
    } learned[] = {
        { "one", 1, 100, 10, 10 + 9, 20, 29 },
        { "four", 4, 100, 3, 10 + 6, 6, 26 },
        { "one, and a connection for each", 1, 1, 10, 10 + 9, 20, 29 },
        { "all", 0, 100, 1, 10, 2, 20 },
    };
    static struct town t;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(learned); i++) {
        town_open(&t, TOWN_TWO_HOSTS, NULL, NULL);
        t.settings.delivery.messages_per_connection = learned[i].messages_per_connection;
        t.rcpts = 10;
        t.hosts[0].rcpts_most = learned[i].most;
        /* The other one comes before the last connection is forgotten, and with it what was
         * learned. */
        town_send_job(&t, 1, VIEW("b.test"), TOWN_HELLO, false);
        while (t.hosts[0].messages < learned[i].messages)
            town_turn(&t, 1);
        check(learned[i].name, t.hosts[0].messages == learned[i].messages);
        check(learned[i].name, t.hosts[0].rcpts == learned[i].asked);
        town_deliver(&t, 2, "b.test");
        check(learned[i].name, t.hosts[0].messages == learned[i].messages_then);
        check(learned[i].name, t.hosts[0].rcpts == learned[i].asked_then);
        check(learned[i].name,
              view_find_view(buf_view(&t.results), VIEW("deferred")) == buf_len(&t.results));
        town_close(&t);
    }
}

/* A 452 that others are taken behind is a mailbox, and no limit, whatever its enhanced code; two on
 * end are one. */
static void learns_nothing_from_a_full_mailbox(void **state)
{
    static struct town t;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        bool limit = i & 1;

        town_open(&t, TOWN_TWO_HOSTS, NULL, NULL);
        t.rcpts = 10;
        t.hosts[0].bare = i & 2;
        t.hosts[0].rcpts_most = limit ? 4 : 0;
        t.hosts[0].full = limit ? 0 : 3;
        town_deliver(&t, 1, "b.test");
        assert_int_equal(t.hosts[0].messages, limit ? 3 : 2);
        t.hosts[0].rcpts = t.hosts[0].full = 0;
        town_deliver(&t, 2, "b.test");
        assert_int_equal(t.hosts[0].rcpts, 10);
        assert_int_equal(t.hosts[0].messages, limit ? 6 : 3);
        town_close(&t);
    }
}

/* Also while there is no connection. */
static void remembers_how_many_recipients_are_taken(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS, NULL, NULL);
    t.settings.timeouts.idle_connection = 50;
    t.rcpts = 10;
    t.hosts[0].rcpts_most = 4;
    town_deliver(&t, 1, "b.test");
    for (unsigned i = 0; i < 100 && t.hosts[0].open > 0; i++)
        town_turn(&t, 1);
    town_turn(&t, 5);
    assert_int_equal(t.worker.conn_count, 0);
    t.hosts[0].rcpts = 0;
    town_deliver(&t, 2, "b.test");
    assert_int_equal(t.hosts[0].rcpts, 10);
    town_close(&t);
}

/* What was to come in the next transaction, in a connection that the host had closed. */
static void goes_on_elsewhere_within_a_job(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, "b.test mx 10 mx1.test\nmx1.test a 127.0.0.2\n",
              "EHLO 250-mx.test\\250-LIMITS RCPTMAX=1\\250 PIPELINING", NULL);
    t.hosts[0].close_after = 1;
    town_deliver(&t, 1, "b.test");
    check_view("results", buf_view(&t.results),
               VIEW("1 0 delivered 250 2.0.0\n1 1 delivered 250 2.0.0\n1 end\n"));
    town_close(&t);
}

/* The host has had enough, and says so with the reply to the message: who was put off goes by
 * another connection, at once, and nothing goes twice. */
static void goes_on_when_the_host_closes_behind_a_message(void **state)
{
    static const char *const scripts[] = {
        "CONTENT 250 2.0.0 taken\\421 4.3.2 bye",
        "EHLO 250-mx.test\\250-CHUNKING\\250 PIPELINING\nBDAT 250 2.0.0 taken\\421 4.3.2 bye",
        "CONTENT 554 5.6.0 no\\421 4.3.2 bye",
    };
    static struct town t;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(scripts); i++) {
        const char *what = i == 2 ? "failed 554 5.6.0" : "delivered 250 2.0.0";
        char room[256];
        struct buf wanted = BUF_ON_ARRAY(room);

        town_open(&t, "b.test mx 10 mx1.test\nmx1.test a 127.0.0.2\n", scripts[i], NULL);
        t.rcpts = 3;
        t.hosts[0].rcpts_most = 1;
        town_deliver(&t, 1, "b.test");
        for (unsigned r = 0; r < 3; r++)
            buf_printf(&wanted, "1 %u %s\n", r, what);
        buf_printf(&wanted, "1 end\n");
        check_view(scripts[i], buf_view(&t.results), buf_view(&wanted));
        assert_int_equal(t.hosts[0].connections, 3);
        town_close(&t);
    }
}

/* 421 to the message is said to all that are left, too. */
static void defers_what_a_host_breaks_off(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, "b.test mx 10 mx1.test\nmx1.test a 127.0.0.2\n", "CONTENT 421 4.3.2 bye", NULL);
    t.hosts[0].rcpts_most = 1;
    town_deliver(&t, 1, "b.test");
    check_view("results", buf_view(&t.results),
               VIEW("1 0 deferred 421 4.3.2\n1 1 deferred 421 4.3.2\n1 end\n"));
    assert_int_equal(t.hosts[0].connections, 1);
    town_close(&t);
}

/* 421 to STARTTLS is a host whose TLS does not work. */
static void falls_back_when_the_host_closes_for_starttls(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS, "EHLO 250-mx.test\\250 STARTTLS\nSTARTTLS 421 4.7.0 no TLS",
              NULL);
    town_deliver(&t, 1, "b.test");
    check_view("results", buf_view(&t.results), VIEW("1 all delivered 250 2.0.0\n1 end\n"));
    assert_int_equal(t.hosts[0].connections, 2);
    assert_int_equal(t.hosts[1].connections, 0);
    town_close(&t);
}

static void remembers_the_family_that_works(void **state)
{
    static struct town t;
    struct table_entry *e;

    (void)state;
    town_open(&t, "b.test mx 10 mx1.test\nmx1.test a ::1 127.0.0.2\n", NULL, NULL);
    town_deliver(&t, 1, "b.test");
    assert_int_equal(t.hosts[0].messages, 1);
    e = table_next(&t.worker.destinations, NULL);
    assert_non_null(e);
    assert_int_equal(container_of(e, struct destination, entry)->families.second, AF_INET6);
    town_close(&t);
}

/* The next one would give the mail back to us. */
static void tries_no_host_behind_this_machine(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS, "GREETING 220 me.test ESMTP", NULL);
    town_deliver(&t, 1, "b.test");
    assert_int_equal(t.hosts[0].connections, 1);
    assert_int_equal(t.hosts[1].connections, 0);
    check_view("result", buf_view(&t.results), VIEW("1 all failed 0 5.4.6\n1 end\n"));
    town_close(&t);
}

/* Refused at once, it costs as much as one that is waited for. */
static void each_attempt_to_connect_counts(void **state)
{
    static struct town t;
    struct site *s;

    (void)state;
    town_open(&t,
              "b.test mx 10 mx1.test 20 mx2.test\nmx1.test a 127.0.0.8 127.0.0.9\n"
              "mx2.test a 127.0.0.2\n",
              NULL, NULL);
    t.connection_us = 3600ULL * 1000 * 1000;
    town_deliver(&t, 1, "b.test");
    assert_int_equal(t.hosts[0].messages, 1);
    s = container_of(table_next(&t.worker.sites, NULL), struct site, entry);
    assert_true(s->free_us > t.loop.now_ms * 1000 + t.connection_us * 5 / 2);
    assert_true(s->free_us <= t.loop.now_ms * 1000 + t.connection_us * 3);
    town_close(&t);
}

/* What the process before did is not known, and may have been done just now. */
static void a_new_process_begins_with_patience(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS, NULL, NULL);
    t.worker.former_ms = t.loop.now_ms;
    t.connection_us = 100 * 1000;
    town_send_job(&t, 1, VIEW("b.test"), TOWN_HELLO, false);
    assert_true(town_await(&t, 1));
    assert_true(t.loop.now_ms >= t.worker.former_ms + 100);
    assert_int_equal(t.hosts[0].messages, 1);
    town_close(&t);
}

/* The queue knows of the first: five recipients of which a host takes two at once, and those whom
 * one host refuses before another has them. */
static void the_queue_hears_of_each_transaction(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS, NULL, NULL);
    t.hosts[0].rcpts_most = 2;
    t.rcpts = 5;
    town_deliver(&t, 1, "b.test");
    assert_int_equal(t.hosts[0].messages, 3);
    assert_int_equal(t.more, 2);
    assert_int_equal(t.more_rcpts, 2 + 1);
    town_close(&t);

    town_open(&t, TOWN_TWO_HOSTS, "MAIL close", NULL);
    town_deliver(&t, 1, "b.test");
    assert_int_equal(t.hosts[1].messages, 1);
    assert_int_equal(t.more, 1);
    assert_int_equal(t.more_rcpts, 2);
    town_close(&t);
}

static void outlive_stale_connections(const char *script)
{
    static struct town t;
    struct site *s;

    town_open(&t, TOWN_TWO_HOSTS, script, NULL);
    t.hosts[0].close_after = 1;
    t.connection_us = 3600ULL * 1000 * 1000;
    for (unsigned job = 1; job <= 3; job++)
        town_send_job(&t, job, VIEW("b.test"), TOWN_HELLO, false);
    t.settings.delivery.concurrency = 1;
    assert_true(town_await(&t, 3));
    assert_int_equal(t.hosts[0].messages, 3);
    assert_int_equal(t.hosts[1].messages, 0);
    /* Every one of them counts for the rate. */
    s = container_of(table_next(&t.worker.sites, NULL), struct site, entry);
    assert_true(s->free_us > t.loop.now_ms * 1000 + t.connection_us * 5 / 2);
    town_close(&t);
}

/* Whether all of a message was said before this shows, or only MAIL. */
static void outlives_a_stale_connection(void **state)
{
    (void)state;
    outlive_stale_connections(NULL);
    outlive_stale_connections(TOWN_CHUNKING);
}

static void remembers_broken_tls(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS, "EHLO 250-mx.test\\250 STARTTLS\nSTARTTLS 220 go\nTLS nonsense",
              NULL);
    t.settings.delivery.messages_per_connection = 1;
    for (unsigned job = 1; job <= 3; job++)
        town_deliver(&t, job, "b.test");
    assert_int_equal(t.hosts[0].messages, 3);
    assert_int_equal(t.hosts[0].connections, 4); /* one for the handshake that failed */
    check_view("the queue", buf_view(&t.tls_missed), VIEW("mx1.test[127.0.0.2]\n"));
    town_close(&t);
}

/* As it is, without dots stuffed; from memory and from a file. */
static void sends_chunks(void **state)
{
    static struct town t;
    char *body = town_make_body(LARGE, "x");

    (void)state;
    memcpy(body + 100, "\r\n.\r\n", 5);
    town_open(&t, TOWN_TWO_HOSTS, TOWN_CHUNKING, NULL);
    town_deliver(&t, 1, "b.test");
    check_view("small", buf_view(&t.hosts[0].heard), TOWN_HELLO);
    town_send_job(&t, 2, VIEW("b.test"), view_make(body, LARGE), true);
    assert_true(town_await(&t, 2));
    check_view("large", buf_view(&t.hosts[0].heard), view_make(body, LARGE));
    t.attempt = 2; /* what failed once goes in the way that every host knows */
    town_deliver(&t, 3, "b.test");
    check_view("again", buf_view(&t.hosts[0].heard), VIEW("Subject: x\r\n\r\n..hello"));
    town_close(&t);
    free(body);
}

/* Of connections to come, too. */
static void remembers_who_knows_no_bdat(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS, TOWN_CHUNKING "\nBDAT 502 what", NULL);
    t.settings.delivery.messages_per_connection = 3;
    for (unsigned job = 1; job <= 3; job++)
        town_deliver(&t, job, "b.test");
    assert_int_equal(t.hosts[0].messages, 3);
    assert_int_equal(t.worker.conn_count, 1);
    assert_false(destination_may_use_bdat(
        container_of(table_next(&t.worker.destinations, NULL), struct destination, entry)));
    town_close(&t);
}

/* In the middle of a chunk, which ends the session: the same host has the message by DATA. */
static void begins_again_without_chunks(void **state)
{
    static struct town t;
    char *body = town_make_body(LARGE, "x");

    (void)state;
    town_open(&t, "b.test mx 10 mx1.test\nmx1.test a 127.0.0.2\n", TOWN_CHUNKING "\nEARLY 502 what",
              NULL);
    town_send_job(&t, 1, VIEW("b.test"), view_make(body, LARGE), true);
    assert_true(town_await(&t, 1));
    check_view("results", buf_view(&t.results), VIEW("1 all delivered 250 2.0.0\n1 end\n"));
    assert_int_equal(t.hosts[0].connections, 2);
    town_close(&t);
    free(body);
}

static void sends_large_bodies(void **state)
{
    static struct town t;
    char *body = town_make_body(LARGE, "0123456\r\n.");

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS, NULL, NULL);
    town_send_job(&t, 1, VIEW("b.test"), view_make(body, LARGE), true);
    assert_true(town_await(&t, 1));
    assert_int_equal(t.hosts[0].messages, 1);
    assert_int_equal(buf_len(&t.hosts[0].heard), LARGE - 2 + LARGE / 10);
    town_close(&t);
    free(body);
}

/* Each step has time enough, all of them together have not. */
static void gives_up_slow_transactions(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, "b.test mx 10 mx1.test\nmx1.test a 127.0.0.2\n", "DATA -", NULL);
    t.settings.timeouts.data = 10 * 60 * 1000;
    t.settings.timeouts.transaction = 50;
    town_deliver(&t, 1, "b.test");
    check_view("results", buf_view(&t.results), VIEW("1 all deferred 0 4.4.2\n1 end\n"));
    town_close(&t);
}

/* A recipient that was to come in the next transaction was never offered, and is not refused. */
static void keeps_who_was_never_offered(void **state)
{
    static struct town t;
    char *body = town_make_body(LARGE, "x");

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS,
              "EHLO 250-mx.test\\250 LIMITS RCPTMAX=1\nDATA 354 go\\554 5.6.0 no", NULL);
    town_send_job(&t, 1, VIEW("b.test"), view_make(body, LARGE), true);
    assert_true(town_await(&t, 1));
    check_view("who", buf_view(&t.results),
               VIEW("1 0 failed 554 5.6.0\n1 1 deferred 554 4.6.0\n1 end\n"));
    town_close(&t);
    free(body);
}

/* In the middle of a large message. */
static void hears_an_early_refusal(void **state)
{
    static struct town t;
    char *body = town_make_body(LARGE, "x");

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS, "DATA 354 go\\552 5.3.4 too big", NULL);
    town_send_job(&t, 1, VIEW("b.test"), view_make(body, LARGE), true);
    assert_true(town_await(&t, 1));
    check_view("early", buf_view(&t.results), VIEW("1 all failed 552 5.3.4\n1 end\n"));
    town_close(&t);
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_connections),
        cmocka_unit_test(makes_detours_for_a_message_alone),
        cmocka_unit_test(does_not_keep_them_for_ever),
        cmocka_unit_test(wears_connections_out),
        cmocka_unit_test(keeps_to_the_hosts_limit_of_messages),
        cmocka_unit_test(comes_from_its_source),
        cmocka_unit_test(keeps_to_limits_of_a_session),
        cmocka_unit_test(wears_connections_out_within_a_job),
        cmocka_unit_test(learns_how_many_recipients_are_taken),
        cmocka_unit_test(learns_nothing_from_a_full_mailbox),
        cmocka_unit_test(remembers_how_many_recipients_are_taken),
        cmocka_unit_test(goes_on_elsewhere_within_a_job),
        cmocka_unit_test(goes_on_when_the_host_closes_behind_a_message),
        cmocka_unit_test(defers_what_a_host_breaks_off),
        cmocka_unit_test(falls_back_when_the_host_closes_for_starttls),
        cmocka_unit_test(remembers_the_family_that_works),
        cmocka_unit_test(tries_no_host_behind_this_machine),
        cmocka_unit_test(each_attempt_to_connect_counts),
        cmocka_unit_test(a_new_process_begins_with_patience),
        cmocka_unit_test(the_queue_hears_of_each_transaction),
        cmocka_unit_test(outlives_a_stale_connection),
        cmocka_unit_test(remembers_broken_tls),
        cmocka_unit_test(sends_chunks),
        cmocka_unit_test(remembers_who_knows_no_bdat),
        cmocka_unit_test(begins_again_without_chunks),
        cmocka_unit_test(sends_large_bodies),
        cmocka_unit_test(gives_up_slow_transactions),
        cmocka_unit_test(keeps_who_was_never_offered),
        cmocka_unit_test(hears_an_early_refusal),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
