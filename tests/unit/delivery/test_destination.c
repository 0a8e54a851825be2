#include "tests/unit/delivery/town.h"

#include "delivery/destination.h"
#include "io/clock.h"
#include "tests/unit/unit.h"

#include <signal.h>
#include <stdlib.h>

/* Nobody connects before the command has got a token, or has failed to. */
static void waits_for_a_token(void **state)
{
    static const struct route_target targets[] = { TOWN_TARGET("127.0.0.2") };
    static struct town t;
    static struct route_settings r;

    (void)state;
    for (int got = 0; got < 2; got++) {
        town_open(&t, "", "", "");
        town_use_route(&t, &r, targets, COUNT_OF(targets));
        r.auth_command = VIEW("/bin/token");
        worker_set_secret(&t.worker, 0, VIEW_EMPTY);
        t.worker.credentials[0]->awaited = true;
        town_send_job(&t, 1, VIEW("b.test"), TOWN_HELLO, false);
        town_send_job(&t, 2, VIEW("b.test"), TOWN_HELLO, false);
        town_turn(&t, 20);
        assert_int_equal(t.hosts[0].connections, 0);
        worker_set_secret(&t.worker, 0, got ? VIEW("token") : VIEW_EMPTY);
        assert_true(town_await(&t, 2));
        assert_int_equal(t.hosts[0].messages, 2);
        free(t.worker.credentials[0]);
        town_close(&t);
    }
}

static void limits_concurrency(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS "c.test mx 10 mx2.test\n", NULL, NULL);
    t.settings.delivery.concurrency = 3;
    for (unsigned job = 1; job <= 30; job++)
        town_send_job(&t, job, job % 10 == 0 ? VIEW("c.test") : VIEW("b.test"), TOWN_HELLO, false);
    assert_true(town_await(&t, 30));
    assert_int_equal(t.hosts[0].messages, 27);
    assert_int_equal(t.hosts[1].messages, 3);
    assert_true(t.hosts[0].most_open <= 3);
    town_close(&t);
}

/* With all connections of the process in use, an idle one of another destination goes. */
static void makes_room(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS "c.test mx 10 mx2.test\n", NULL, NULL);
    t.settings.delivery.connections = 1;
    town_deliver(&t, 1, "b.test");
    town_deliver(&t, 2, "c.test");
    town_turn(&t, 3);
    assert_int_equal(t.hosts[0].open, 0);
    assert_int_equal(t.hosts[1].open, 1);
    assert_int_equal(t.worker.conn_count, 1);
    town_close(&t);
}

/* What waits for a destination that cannot be reached does not try for itself. */
static void gives_up_for_all(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS, "GREETING 554 no", "GREETING 554 no");
    t.settings.delivery.concurrency = 1;
    for (unsigned job = 1; job <= 10; job++)
        town_send_job(&t, job, VIEW("b.test"), TOWN_HELLO, false);
    assert_true(town_await(&t, 10));
    assert_int_equal(t.hosts[0].connections, 1);
    assert_int_equal(t.hosts[1].connections, 1);
    town_close(&t);
}

/* ---- domains with the same hosts ---- */

#define TWO_DOMAINS                                                                                \
    "b.test mx 10 mx1.test 20 mx2.test\nc.test mx 10 mx2.test 10 mx1.test\nd.test mx 5 mx2.test\n" \
    "mx1.test a 127.0.0.2\nmx2.test a 127.0.0.3\n"

static void shares_connections_to_the_same_hosts(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TWO_DOMAINS "e.test mx 1 mx1.test 5 mx2.test\n", NULL, NULL);
    t.mail_hosts = t.site = "mx1.test,mx2.test";
    town_deliver(&t, 1, "b.test");
    town_deliver(&t, 2, "e.test");
    assert_int_equal(t.hosts[0].messages, 2);
    assert_int_equal(t.hosts[0].connections, 1);
    town_close(&t);
}

/* They are not for a domain that prefers another of them, but count for the same limits. */
static void keeps_to_the_order_of_each_domain(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TWO_DOMAINS "e.test mx 10 mx2.test 20 mx1.test\n", NULL, NULL);
    t.mail_hosts = t.site = "mx1.test,mx2.test";
    t.settings.delivery.concurrency = 1;
    for (unsigned job = 1; job < 4; job += 2) {
        town_deliver(&t, job, "b.test");
        town_deliver(&t, job + 1, "e.test");
        assert_int_equal(t.worker.conn_count, 1);
    }
    assert_int_equal(t.hosts[0].messages, 2);
    assert_int_equal(t.hosts[1].messages, 2);
    assert_int_equal(t.worker.sites.count, 1);
    town_close(&t);
}

/* The queue has not heard yet that the order is another now. */
static void shares_no_connection_in_an_order_of_before(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TWO_DOMAINS, NULL, NULL);
    t.mail_hosts = t.site = "mx1.test,mx2.test";
    town_send_job(&t, 1, VIEW("b.test"), TOWN_HELLO, false);
    t.names = "b.test mx 10 mx2.test 20 mx1.test\nmx1.test a 127.0.0.2\nmx2.test a 127.0.0.3\n";
    assert_true(town_await(&t, 1));
    assert_int_equal(t.hosts[1].messages, 1);
    town_turn(&t, 5);
    assert_int_equal(t.worker.conn_count, 0);
    town_close(&t);
}

/* The domain has other hosts than the queue thinks: its mail goes there, and nobody else's. */
static void shares_no_connection_that_is_not_theirs(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TWO_DOMAINS, NULL, NULL);
    t.mail_hosts = t.site = "mx1.test,mx2.test";
    town_deliver(&t, 1, "d.test");
    town_deliver(&t, 2, "b.test");
    assert_int_equal(t.hosts[1].messages, 1);
    assert_int_equal(t.hosts[0].messages, 1);
    town_close(&t);
}

/* Hosts that differ are one site if the queue says so, and its limit holds for them together. */
static void limits_a_site(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TWO_DOMAINS, "CONTENT -", "CONTENT -");
    town_set_timeouts(&t, 500);
    t.site = "provider";
    t.settings.delivery.concurrency = 2;
    t.mail_hosts = "mx1.test,mx2.test";
    town_send_job(&t, 1, VIEW("b.test"), TOWN_HELLO, false);
    town_send_job(&t, 2, VIEW("b.test"), TOWN_HELLO, false);
    t.mail_hosts = "mx2.test";
    for (unsigned i = 3; i < 6; i++)
        town_send_job(&t, i, VIEW("d.test"), TOWN_HELLO, false);
    for (unsigned i = 0; i < 100 && t.hosts[0].open < 2; i++)
        town_turn(&t, 1);
    town_turn(&t, 3);
    assert_int_equal(t.hosts[0].open, 2);
    assert_int_equal(t.hosts[1].open, 0);
    t.hosts[0].script = t.hosts[1].script = NULL;
    town_close(&t);
}

/* An unused connection to the one makes room for mail to the other. */
static void makes_room_in_a_site(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TWO_DOMAINS, NULL, NULL);
    t.site = "provider";
    t.settings.delivery.concurrency = 1;
    t.mail_hosts = "mx1.test,mx2.test";
    town_deliver(&t, 1, "b.test");
    t.mail_hosts = "mx2.test";
    town_deliver(&t, 2, "d.test");
    assert_int_equal(t.hosts[1].messages, 1);
    assert_int_equal(t.worker.conn_count, 1);
    town_close(&t);
}

/* Jobs `from` to `to` for hosts of the provider that share nothing but the site. */
static void send_to_provider(struct town *t, unsigned from, unsigned to, bool second)
{
    t->mail_hosts = second ? "mx2.test" : "mx1.test,mx2.test";
    for (unsigned job = from; job <= to; job++)
        town_send_job(t, job, second ? VIEW("d.test") : VIEW("b.test"), TOWN_HELLO, false);
}

/* Bulk mail for the one does not keep mail for the other waiting, for which one connection goes. */
static void gives_way_in_a_site(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TWO_DOMAINS, NULL, NULL);
    t.site = "provider";
    t.settings.delivery.concurrency = 2;
    send_to_provider(&t, 1, 40, false);
    send_to_provider(&t, 41, 41, true);
    for (unsigned i = 0; i < 1000 && t.hosts[1].messages == 0; i++)
        town_turn(&t, 1);
    assert_true(t.hosts[0].messages < 20);
    assert_true(town_await(&t, 41));
    assert_true(t.hosts[0].connections <= 3);
    assert_true(t.hosts[0].most_open + t.hosts[1].most_open <= 3);
    town_close(&t);
}

/* Where there is one connection for both, each has its turn. */
static void takes_turns_in_a_site(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TWO_DOMAINS, NULL, NULL);
    t.site = "provider";
    t.settings.delivery.concurrency = 1;
    send_to_provider(&t, 1, 3 * DESTINATION_TURN, false);
    send_to_provider(&t, 3 * DESTINATION_TURN + 1, 6 * DESTINATION_TURN, true);
    assert_true(town_await(&t, 6 * DESTINATION_TURN));
    assert_int_equal(t.hosts[0].connections, 3);
    assert_int_equal(t.hosts[1].connections, 3);
    town_close(&t);
}

/* One of two domains with the same hosts has them in an order in which its mail comes back here. */
static void fails_for_none_but_the_domain(void **state)
{
    static struct listener_settings listener;
    static struct town t;

    (void)state;
    town_open(&t,
              "b.test mx 10 mx1.test 20 mx2.test\nc.test mx 10 mx2.test 20 mx1.test\n"
              "mx1.test a 127.0.0.4\nmx2.test a 127.0.0.3\n",
              NULL, NULL);
    assert_true(net_parse_address(VIEW("127.0.0.4"), &listener.address));
    listener.address.port = (uint16_t)t.settings.delivery.port;
    t.settings.listeners = &listener;
    t.settings.listener_count = 1;
    t.mail_hosts = t.site = "mx1.test,mx2.test";
    t.settings.delivery.concurrency = 1;
    town_send_job(&t, 1, VIEW("b.test"), TOWN_HELLO, false);
    town_send_job(&t, 2, VIEW("c.test"), TOWN_HELLO, false);
    assert_true(town_await(&t, 2));
    check_view("results", buf_view(&t.results),
               VIEW("1 all failed 0 5.4.6\n1 end\n2 all delivered 250 2.0.0\n2 end\n"));
    town_close(&t);
}

/* The hosts that one of two domains has now have no address; the other has moved. */
static void looks_up_hosts_for_each_domain(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, "b.test mx 10 mx1.test 20 mx2.test\nc.test mx 10 mx1.test 20 mx2.test\n", NULL,
              NULL);
    t.mail_hosts = t.site = "mx1.test,mx2.test";
    t.settings.delivery.concurrency = 1;
    town_send_job(&t, 1, VIEW("b.test"), TOWN_HELLO, false);
    town_send_job(&t, 2, VIEW("c.test"), TOWN_HELLO, false);
    t.names = "b.test mx 10 mx1.test 20 mx2.test\nc.test mx 10 mx3.test\nmx3.test a 127.0.0.2\n";
    assert_true(town_await(&t, 2));
    check_view("results", buf_view(&t.results),
               VIEW("1 all failed 0 5.4.4\n1 end\n2 all delivered 250 2.0.0\n2 end\n"));
    town_close(&t);
}

/* The next attempt to connect waits for its time. */
static void keeps_to_the_rate_of_connections(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TWO_DOMAINS, "CONTENT -", NULL);
    town_set_timeouts(&t, 500);
    t.connection_us = 3600ULL * 1000 * 1000;
    for (unsigned i = 1; i < 4; i++)
        town_send_job(&t, i, VIEW("b.test"), TOWN_HELLO, false);
    for (unsigned i = 0; i < 100 && t.hosts[0].open < 1; i++)
        town_turn(&t, 1);
    town_turn(&t, 3);
    assert_int_equal(t.hosts[0].connections, 1);
    assert_int_equal(t.worker.jobs.count, 3);
    town_close(&t);
}

/* Also while it has no mail in between. */
static void remembers_the_rate_of_connections(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TWO_DOMAINS, NULL, NULL);
    t.settings.delivery.messages_per_connection = 1;
    t.connection_us = 3600ULL * 1000 * 1000;
    town_deliver(&t, 1, "b.test");
    for (unsigned i = 0; i < 1000 && t.worker.destinations.count > 0; i++)
        town_turn(&t, 1);
    assert_int_equal(t.worker.destinations.count, 0);
    assert_int_equal(t.worker.sites.count, 1);
    town_send_job(&t, 2, VIEW("b.test"), TOWN_HELLO, false);
    town_turn(&t, 5);
    assert_int_equal(t.hosts[0].connections, 1);
    assert_int_equal(t.worker.jobs.count, 1);
    town_close(&t);
}

/* Neither is a destination kept whose only mail was cancelled before its time came. */
static void forgets_what_was_cancelled(void **state)
{
    static const struct message_job_cancel second = { 2 };
    static struct town t;

    (void)state;
    town_open(&t, TWO_DOMAINS, NULL, NULL);
    t.site = "provider";
    t.connection_us = 3600ULL * 1000 * 1000;
    t.settings.delivery.messages_per_connection = 1;
    town_deliver(&t, 1, "b.test");
    town_send_job(&t, 2, VIEW("d.test"), TOWN_HELLO, false);
    for (unsigned i = 0; i < 1000 && t.hosts[0].open > 0; i++)
        town_turn(&t, 1);
    town_turn(&t, 5);
    assert_int_equal(t.worker.destinations.count, 1);
    peer_send_job_cancel(&t.queue, &second, -1);
    assert_true(town_await(&t, 2));
    town_turn(&t, 2);
    assert_int_equal(t.worker.destinations.count, 0);
    town_close(&t);
}

/* What is known of destinations without mail has its bounds: the oldest goes. */
static void remembers_so_many(void **state)
{
    /* Where BDAT is known to be refused, one message does not use the connection up. */
    static const struct {
        const char *domain;
        unsigned destinations, connections;
    } steps[] = { { "b.test", 1, 0 }, { "c.test", 2, 0 }, { "d.test", 2, 0 },
                  { "d.test", 2, 1 }, { "b.test", 3, 1 }, { "c.test", 3, 2 } };
    static struct town t;

    (void)state;
    town_open(&t, TWO_DOMAINS, TOWN_CHUNKING "\nBDAT 502 what", TOWN_CHUNKING "\nBDAT 502 what");
    t.settings.delivery.messages_per_connection = 2;
    t.worker.remembered_most = 2;
    for (unsigned i = 0; i < COUNT_OF(steps); i++) {
        town_deliver(&t, i + 1, steps[i].domain);
        town_turn(&t, 5);
        assert_int_equal(t.worker.destinations.count, steps[i].destinations);
        assert_int_equal(t.worker.conn_count, steps[i].connections);
    }
    town_close(&t);
}

/* Two sites with the same hosts: the limit of the one is not used up, or widened, by the other. */
static void keeps_sites_apart(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TWO_DOMAINS, "CONTENT -", "CONTENT -");
    town_set_timeouts(&t, 500);
    t.mail_hosts = "mx1.test,mx2.test";
    t.site = "strict";
    t.settings.delivery.concurrency = 1;
    for (unsigned i = 1; i < 5; i++)
        town_send_job(&t, i, VIEW("b.test"), TOWN_HELLO, false);
    town_turn(&t, 5);
    t.site = "provider";
    t.settings.delivery.concurrency = 20;
    town_send_job(&t, 9, VIEW("c.test"), TOWN_HELLO, false);
    for (unsigned i = 0; i < 100 && t.hosts[0].open + t.hosts[1].open < 2; i++)
        town_turn(&t, 1);
    town_turn(&t, 5);
    assert_int_equal(t.hosts[0].open + t.hosts[1].open, 2);
    assert_int_equal(t.worker.sites.count, 2);
    t.hosts[0].script = t.hosts[1].script = NULL;
    town_close(&t);
}

static void gives_up_connections_that_are_too_many(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TWO_DOMAINS, NULL, NULL);
    for (unsigned i = 1; i < 5; i++)
        town_send_job(&t, i, VIEW("b.test"), TOWN_HELLO, false);
    assert_true(town_await(&t, 4));
    assert_int_equal(t.worker.conn_count, 4);
    t.settings.delivery.concurrency = 1;
    town_deliver(&t, 5, "b.test");
    assert_int_equal(t.worker.conn_count, 1);
    town_close(&t);
}

/* What one message asks for in vain is no fault of hosts that others are content with. */
static void blames_no_host_for_what_a_message_asks(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TWO_DOMAINS, NULL, NULL);
    t.mail_hosts = "mx1.test,mx2.test";
    t.require_tls = true;
    town_deliver(&t, 1, "b.test");
    assert_int_equal(t.scope, SCOPE_MESSAGE);
    town_close(&t);
}

/* Nor is it theirs when one lacks what the message needs, and the others cannot be reached. */
static void blames_no_host_for_what_a_message_needs(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, "b.test mx 10 mx1.test 20 mx2.test\nmx1.test a 127.0.0.2\nmx2.test a 127.0.0.4\n",
              "EHLO 250-mx.test\\250 SIZE 5", NULL);
    town_deliver(&t, 1, "b.test");
    check_view("results", buf_view(&t.results), VIEW("1 all deferred 0 4.4.1\n1 end\n"));
    assert_int_equal(t.scope, SCOPE_MESSAGE);
    assert_true(view_starts(buf_view(&t.reason), VIEW("mx2.test[127.0.0.4]:")));
    town_close(&t);
}

/* Where this host is one of them, those that are preferred to it. */
static void names_the_mail_hosts(void **state)
{
    static const char *const domains[] = { "b.test", "c.test", "d.test", "none.test",
                                           "e.test", "f.test", "g.test" };
    static struct town t;

    (void)state;
    town_open(&t,
              TWO_DOMAINS "e.test mx 10 mx1.test 20 mx2.test 20 ME.test 30 mx3.test\n"
                          "f.test mx 10 me.test 10 mx1.test\ng.test mx 10 mx1.test 10 me.test\n",
              NULL, NULL);
    for (unsigned i = 0; i < COUNT_OF(domains); i++) {
        const struct message_mx_ask ask = { i, view_of(domains[i]) };

        peer_send_mx_ask(&t.queue, &ask, -1);
        town_turn(&t, 10);
    }
    check_view("answers", buf_view(&t.results),
               VIEW("0 hosts mx1.test,mx2.test\n1 hosts mx1.test,mx2.test\n2 hosts mx2.test\n"
                    "3 hosts \n4 hosts mx1.test\n5 hosts \n6 hosts \n"));
    town_close(&t);
}

/* Runs last: the clock stands still afterwards. */
static void does_not_wait_for_the_names_of_hosts(void **state)
{
    static const struct message_mx_ask ask = { 7, VIEW_INIT("b.test") };
    static struct town t;

    (void)state;
    town_open(&t, TWO_DOMAINS, NULL, NULL);
    t.dns_silent = true;
    peer_send_mx_ask(&t.queue, &ask, -1);
    for (unsigned i = 0; i < 100 && t.questions == 0; i++)
        town_turn(&t, 1);
    check_view("nothing yet", buf_view(&t.results), VIEW(""));
    clock_freeze(clock_wall_ms());
    clock_advance(WORKER_INQUIRY_MS);
    town_turn(&t, 5);
    check_view("answer", buf_view(&t.results), VIEW("7 hosts \n"));
    assert_true(list_empty(&t.worker.inquiries));
    town_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_for_a_token),
        cmocka_unit_test(limits_concurrency),
        cmocka_unit_test(makes_room),
        cmocka_unit_test(gives_up_for_all),
        cmocka_unit_test(shares_connections_to_the_same_hosts),
        cmocka_unit_test(keeps_to_the_order_of_each_domain),
        cmocka_unit_test(shares_no_connection_in_an_order_of_before),
        cmocka_unit_test(shares_no_connection_that_is_not_theirs),
        cmocka_unit_test(limits_a_site),
        cmocka_unit_test(makes_room_in_a_site),
        cmocka_unit_test(gives_way_in_a_site),
        cmocka_unit_test(takes_turns_in_a_site),
        cmocka_unit_test(fails_for_none_but_the_domain),
        cmocka_unit_test(looks_up_hosts_for_each_domain),
        cmocka_unit_test(keeps_to_the_rate_of_connections),
        cmocka_unit_test(remembers_the_rate_of_connections),
        cmocka_unit_test(forgets_what_was_cancelled),
        cmocka_unit_test(remembers_so_many),
        cmocka_unit_test(keeps_sites_apart),
        cmocka_unit_test(gives_up_connections_that_are_too_many),
        cmocka_unit_test(blames_no_host_for_what_a_message_asks),
        cmocka_unit_test(blames_no_host_for_what_a_message_needs),
        cmocka_unit_test(names_the_mail_hosts),
        cmocka_unit_test(does_not_wait_for_the_names_of_hosts),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("destination", tests, NULL, NULL);
}
