#include "tests/unit/delivery/town.h"

#include "tests/unit/unit.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEAD_FIRST "b.test mx 10 mx1.test 20 mx2.test\nmx1.test a 127.0.0.4\nmx2.test a 127.0.0.3\n"

/* One job, two recipients. */
static const struct {
    const char *name, *names, *script0, *script1;
    const char *domain; /* default "b.test" */
    const char *results;
    const char *reason;            /* with "[]" for the bracketed address and port */
    unsigned messages0, messages1; /* that each host took */
    unsigned timeout_ms;           /* of everything */
} cases[] = {
    { .name = "delivered to the first host",
      .names = TOWN_TWO_HOSTS,
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .reason = "250 2.0.0 taken (mx1.test[], while waiting for the reply to the message)",
      .messages0 = 1 },
    { .name = "a domain beyond ASCII is looked up, and said, as A-labels",
      .domain = "b\xc3\xbc"
                "cher.test",
      .names = "xn--bcher-kva.test mx 10 mx1.test\nmx1.test a 127.0.0.2\n",
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages0 = 1 },
    { .name = "a domain that has no such form",
      .domain = "\xcc\x88x.test",
      .names = TOWN_TWO_HOSTS,
      .results = "1 all failed 0 5.1.2\n1 end\n",
      .reason = "the domain's name is none that can be looked up" },
    { .name = "a host that takes one recipient at a time",
      .names = TOWN_TWO_HOSTS,
      .script0 = "EHLO 250-mx.test\\250-LIMITS RCPTMAX=1\\250 PIPELINING",
      .results = "1 0 delivered 250 2.0.0\n1 1 delivered 250 2.0.0\n1 end\n",
      .messages0 = 2 },
    { .name = "a sender refused at a host that takes one recipient at a time",
      .names = TOWN_TWO_HOSTS,
      .script0 = "EHLO 250-mx.test\\250 LIMITS RCPTMAX=1\nMAIL 550 5.7.1 no",
      .results = "1 0 failed 550 5.7.1\n1 1 failed 550 5.7.1\n1 end\n" },
    { .name = "nobody listens at the first host",
      .names = DEAD_FIRST,
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .reason = "250 2.0.0 taken (mx2.test[], while waiting for the reply to the message)",
      .messages1 = 1 },
    { .name = "the first host greets with 554",
      .names = TOWN_TWO_HOSTS,
      .script0 = "GREETING 554 no",
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages1 = 1 },
    { .name = "the first host closes at EHLO",
      .names = TOWN_TWO_HOSTS,
      .script0 = "EHLO close",
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages1 = 1 },
    { .name = "the first host says 421 at MAIL",
      .names = TOWN_TWO_HOSTS,
      .script0 = "MAIL 421 4.3.2 closing",
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages1 = 1 },
    { .name = "the first host is silent",
      .names = TOWN_TWO_HOSTS,
      .script0 = "GREETING -",
      .timeout_ms = 100,
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages1 = 1 },
    { .name = "all hosts refuse to talk",
      .names = TOWN_TWO_HOSTS,
      .script0 = "GREETING 554 no",
      .script1 = "GREETING 554 5.7.1 never",
      .results = "1 all deferred 554 4.7.1\n1 end\n",
      .reason = "554 4.7.1 never (mx2.test[], while waiting for the greeting)" },
    { .name = "all hosts are dead",
      .names = "b.test mx 10 mx1.test\nmx1.test a 127.0.0.4\n",
      .results = "1 all deferred 0 4.4.1\n1 end\n",
      .reason = "connection refused (mx1.test[], while connecting)" },
    { .name = "all hosts are silent",
      .names = TOWN_TWO_HOSTS,
      .script0 = "EHLO -",
      .script1 = "EHLO -",
      .timeout_ms = 100,
      .results = "1 all deferred 0 4.4.2\n1 end\n",
      .reason = "timed out (mx2.test[], while sending EHLO)" },
    { .name = "the domain does not exist",
      .names = "",
      .results = "1 all failed 0 5.1.2\n1 end\n",
      .reason = "the domain does not exist (b.test) (while looking up the mail hosts)" },
    { .name = "the recipients are refused: no other host is asked",
      .names = TOWN_TWO_HOSTS,
      .script0 = "RCPT 550 5.1.1 who",
      .results = "1 0 failed 550 5.1.1\n1 1 failed 550 5.1.1\n1 end\n",
      .reason = "550 5.1.1 who (mx1.test[], while sending RCPT TO)" },
    { .name = "the recipients are put off: no other host is asked",
      .names = TOWN_TWO_HOSTS,
      .script0 = "RCPT 450 4.2.1 later",
      .results = "1 0 deferred 450 4.2.1\n1 1 deferred 450 4.2.1\n1 end\n" },
    { .name = "the sender is refused",
      .names = TOWN_TWO_HOSTS,
      .script0 = "MAIL 550 5.7.1 no",
      .results = "1 all failed 550 5.7.1\n1 end\n" },
    { .name = "closed after the dot: perhaps it was taken",
      .names = TOWN_TWO_HOSTS,
      .script0 = "CONTENT close",
      .results = "1 all deferred 0 4.4.2\n1 end\n",
      .reason = "the connection was closed (mx1.test[], while waiting for the reply to the "
                "message)",
      .messages0 = 1 },
    { .name = "nonsense after the dot: perhaps it was taken",
      .names = TOWN_TWO_HOSTS,
      .script0 = "CONTENT taken",
      .results = "1 all deferred 0 4.5.0\n1 end\n",
      .messages0 = 1 },
    { .name = "silent after the dot",
      .names = TOWN_TWO_HOSTS,
      .script0 = "CONTENT -",
      .timeout_ms = 100,
      .results = "1 all deferred 0 4.4.2\n1 end\n",
      .messages0 = 1 },
    { .name = "TLS that does not work: the same host in plain text",
      .names = TOWN_TWO_HOSTS,
      .script0 = "EHLO 250-mx.test\\250 STARTTLS\nSTARTTLS 220 go\nTLS nonsense",
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages0 = 1 },
    { .name = "more than 220 to STARTTLS: that host is not trusted with the message",
      .names = TOWN_TWO_HOSTS,
      .script0 = "EHLO 250-mx.test\\250 STARTTLS\nSTARTTLS 220 go\\250 injected",
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages1 = 1 },
    { .name = "closed at STARTTLS: plain text, in another connection",
      .names = TOWN_TWO_HOSTS,
      .script0 = "EHLO 250-mx.test\\250 STARTTLS\nSTARTTLS close",
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages0 = 1 },
    { .name = "TLS refused: plain text",
      .names = TOWN_TWO_HOSTS,
      .script0 = "EHLO 250-mx.test\\250 STARTTLS\nSTARTTLS 454 no",
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages0 = 1 },
    { .name = "by BDAT",
      .names = TOWN_TWO_HOSTS,
      .script0 = TOWN_CHUNKING,
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages0 = 1 },
    { .name = "BDAT is not known after all: DATA, in the same connection",
      .names = TOWN_TWO_HOSTS,
      .script0 = TOWN_CHUNKING "\nBDAT 502 what",
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages0 = 1 },
    { .name = "closed after a chunk: perhaps it was taken",
      .names = TOWN_TWO_HOSTS,
      .script0 = TOWN_CHUNKING "\nBDAT close",
      .results = "1 all deferred 0 4.4.2\n1 end\n",
      .reason = "the connection was closed (mx1.test[], while waiting for the reply to the "
                "message)" },
    { .name = "recipients refused before a chunk",
      .names = TOWN_TWO_HOSTS,
      .script0 = TOWN_CHUNKING "\nRCPT 550 5.1.1 who",
      .results = "1 0 failed 550 5.1.1\n1 1 failed 550 5.1.1\n1 end\n",
      .messages0 = 1 }, /* for nobody: the town takes whatever it is sent */
    { .name = "too large for the first host",
      .names = TOWN_TWO_HOSTS,
      .script0 = "EHLO 250-mx.test\\250 SIZE 5",
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages1 = 1 },
    { .name = "too large for all",
      .names = TOWN_TWO_HOSTS,
      .script0 = "EHLO 250-mx.test\\250 SIZE 5",
      .script1 = "EHLO 250-mx.test\\250 SIZE 6",
      .results = "1 all failed 0 5.3.4\n1 end\n",
      .reason =
          "the message has 22 bytes, the host takes 6 (mx2.test[], while sending MAIL FROM)" },
    { .name = "too large for the first host, and the other does not answer: it may take it yet",
      .names = TOWN_TWO_HOSTS,
      .script0 = "EHLO 250-mx.test\\250 SIZE 5",
      .script1 = "GREETING 421 4.3.2 not now",
      .results = "1 all deferred 421 4.3.2\n1 end\n" },
    { .name = "too large for the second host, and the first does not answer",
      .names = TOWN_TWO_HOSTS,
      .script0 = "GREETING 421 4.3.2 not now",
      .script1 = "EHLO 250-mx.test\\250 SIZE 5",
      .results = "1 all deferred 421 4.3.2\n1 end\n" },
    { .name = "too large for the first host, and the other cannot be looked up: it may take it yet",
      .names = "b.test mx 10 mx1.test 20 mx2.test\nmx1.test a 127.0.0.2\nmx2.test late\n",
      .script0 = "EHLO 250-mx.test\\250 SIZE 5",
      .results = "1 all deferred 0 4.4.3\n1 end\n" },
    { .name = "too large for the first host, and the other does not exist",
      .names = "b.test mx 10 mx1.test 20 mx2.test\nmx1.test a 127.0.0.2\n",
      .script0 = "EHLO 250-mx.test\\250 SIZE 5",
      .results = "1 all failed 0 5.3.4\n1 end\n" },
    { .name = "the first host does not answer, and the other cannot be looked up",
      .names = "b.test mx 10 mx1.test 20 mx2.test\nmx1.test a 127.0.0.2\nmx2.test late\n",
      .script0 = "GREETING 421 4.3.2 not now",
      .results = "1 all deferred 421 4.3.2\n1 end\n" },
    { .name = "HELO, one command at a time",
      .names = TOWN_TWO_HOSTS,
      .script0 = "EHLO 502 what",
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages0 = 1 },
};

/* Ports and addresses of the last reason, out of its brackets. */
static void strip_reason(struct buf *reason)
{
    char room[4096];
    struct buf copy = BUF_ON_ARRAY(room);
    struct view rest = buf_view(reason);

    buf_put(&copy, view_take_until(&rest, '['));
    if (rest.len > 0) {
        rest = view_from(rest, view_find(rest, ','));
        buf_put(&copy, VIEW("[]"));
        buf_put(&copy, rest);
    }
    buf_clear(reason);
    buf_put(reason, buf_view(&copy));
}

static void finds_a_host(void **state)
{
    static struct town t;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        town_open(&t, cases[i].names, cases[i].script0, cases[i].script1);
        if (cases[i].timeout_ms > 0)
            town_set_timeouts(&t, cases[i].timeout_ms);
        town_send_job(&t, 1, view_of(cases[i].domain != NULL ? cases[i].domain : "b.test"),
                      TOWN_HELLO, false);
        check(cases[i].name, town_await(&t, 1));
        check_view(cases[i].name, buf_view(&t.results), view_of(cases[i].results));
        check(cases[i].name, t.hosts[0].messages == cases[i].messages0);
        check(cases[i].name, t.hosts[1].messages == cases[i].messages1);
        if (cases[i].reason != NULL) {
            strip_reason(&t.reason);
            check_view(cases[i].name, buf_view(&t.reason), view_of(cases[i].reason));
        }
        town_close(&t);
    }
}

static const struct {
    const char *name, *script0, *script1;
    struct route_target targets[2];
    size_t target_count;
    const char *results, *reason;
    unsigned messages0, messages1;
} routed[] = {
    { .name = "the first target",
      .targets = { TOWN_TARGET("127.0.0.2"), TOWN_TARGET("127.0.0.3") },
      .target_count = 2,
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages0 = 1 },
    { .name = "the next target, when nobody listens at the first",
      .targets = { TOWN_TARGET("127.0.0.4"), TOWN_TARGET("127.0.0.3") },
      .target_count = 2,
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages1 = 1 },
    { .name = "the next target, when the first greets with 554",
      .script0 = "GREETING 554 no",
      .targets = { TOWN_TARGET("127.0.0.2"), TOWN_TARGET("127.0.0.3") },
      .target_count = 2,
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages1 = 1 },
    { .name = "no next target when the recipients are refused",
      .script0 = "RCPT 550 5.1.1 who",
      .targets = { TOWN_TARGET("127.0.0.2"), TOWN_TARGET("127.0.0.3") },
      .target_count = 2,
      .results = "1 0 failed 550 5.1.1\n1 1 failed 550 5.1.1\n1 end\n" },
    { .name = "a host that is not found, and a dead one",
      .targets = { TOWN_TARGET("gone.test"), TOWN_TARGET("127.0.0.4") },
      .target_count = 2,
      .results = "1 all deferred 0 4.4.1\n1 end\n",
      .reason = "connection refused (127.0.0.4[], while connecting)" },
    { .name = "discard",
      .targets = { { .kind = TARGET_DISCARD } },
      .target_count = 1,
      .results = "1 all delivered 0 2.0.0\n1 end\n",
      .reason = "discarded (while following a route)" },
    { .name = "a reply for good",
      .targets = { { .kind = TARGET_REPLY,
                     .code = 550,
                     .enhanced = { 5, 7, 1 },
                     .host = VIEW_INIT("not here") } },
      .target_count = 1,
      .results = "1 all failed 550 5.7.1\n1 end\n",
      .reason = "550 5.7.1 not here (while following a route)" },
    { .name = "a reply for now",
      .targets = { { .kind = TARGET_REPLY, .code = 450, .enhanced = { 4, 0, 0 } } },
      .target_count = 1,
      .results = "1 all deferred 450 4.0.0\n1 end\n" },
    { .name = "a UNIX socket that is not there",
      .targets = { { .kind = TARGET_PATH, .lmtp = true, .host = VIEW_INIT("/nonexistent/lmtp") } },
      .target_count = 1,
      .results = "1 all deferred 0 4.4.1\n1 end\n",
      .reason = "no such file or directory (/nonexistent/lmtp, while connecting)" },
};

static void follows_routes(void **state)
{
    static struct town t;
    struct route_settings r;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(routed); i++) {
        town_open(&t, "", routed[i].script0, routed[i].script1);
        town_use_route(&t, &r, routed[i].targets, routed[i].target_count);
        town_send_job(&t, 1, VIEW("b.test"), TOWN_HELLO, false);
        check(routed[i].name, town_await(&t, 1));
        check_view(routed[i].name, buf_view(&t.results), view_of(routed[i].results));
        check(routed[i].name, t.hosts[0].messages == routed[i].messages0);
        check(routed[i].name, t.hosts[1].messages == routed[i].messages1);
        if (routed[i].reason != NULL) {
            strip_reason(&t.reason);
            check_view(routed[i].name, buf_view(&t.reason), view_of(routed[i].reason));
        }
        town_close(&t);
    }
}

static void balances(void **state)
{
    static const struct route_target targets[] = { TOWN_TARGET("127.0.0.2"),
                                                   TOWN_TARGET("127.0.0.3") };
    static struct town t;
    struct route_settings r;

    (void)state;
    town_open(&t, "", "", "");
    town_use_route(&t, &r, targets, COUNT_OF(targets));
    r.balance = true;
    for (uint64_t job = 1; job <= 4; job++)
        town_send_job(&t, job, VIEW("b.test"), TOWN_HELLO, false);
    assert_true(town_await(&t, 4));
    assert_int_equal(t.hosts[0].messages, 2);
    assert_int_equal(t.hosts[1].messages, 2);
    town_close(&t);
}

static void asks_another_dns_process(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS, NULL, NULL);
    t.dns_silent = true;
    town_send_job(&t, 1, VIEW("b.test"), TOWN_HELLO, false);
    for (unsigned i = 0; i < 100 && t.questions == 0; i++)
        town_turn(&t, 1);
    assert_int_equal(t.questions, 1);
    t.dns_silent = false;
    town_connect_dns(&t);
    assert_true(town_await(&t, 1));
    check_view("another dns", buf_view(&t.results), VIEW("1 all delivered 250 2.0.0\n1 end\n"));
    town_close(&t);
}

/* One recipient is for another host, and this one closes: it is not asked again at once. */
static void asks_no_host_again_that_wants_tls(void **state)
{
    static const struct route_target target = { .kind = TARGET_HOST,
                                                .lmtp = true,
                                                .host = VIEW_INIT("127.0.0.2") };
    static struct town t;
    static struct route_settings r;

    (void)state;
    town_open(&t, "",
              "LHLO 250-mx.test\\250-STARTTLS\\250 PIPELINING\nSTARTTLS 454 no\n"
              "CONTENT 250 2.0.0 taken\\530 5.7.0 TLS\\421 4.3.2 bye",
              NULL);
    town_use_route(&t, &r, &target, 1);
    town_deliver(&t, 1, "b.test");
    check_view("results", buf_view(&t.results),
               VIEW("1 0 delivered 250 2.0.0\n1 1 deferred 0 4.5.0\n1 end\n"));
    assert_int_equal(t.hosts[0].messages, 1);
    town_close(&t);
}

/* Jobs of a queue that is gone are dropped; but a message whose dot was said is seen through. The
 * next queue begins with the same numbers. */
static void outlives_the_queue(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS "c.test mx 10 mx2.test\nd.test mx 10 mx2.test\n", "CONTENT -",
              "MAIL -\nRCPT -\nDATA -");
    t.settings.delivery.concurrency = 1;
    town_send_job(&t, 1, VIEW("b.test"), TOWN_HELLO, false);
    town_send_job(&t, 2, VIEW("b.test"), TOWN_HELLO, false); /* waits */
    town_send_job(&t, 3, VIEW("c.test"), TOWN_HELLO, false);
    for (unsigned i = 0; i < 100 && (t.hosts[0].messages < 1 || t.hosts[1].open < 1); i++)
        town_turn(&t, 1);
    town_turn(&t, 3);
    assert_int_equal(t.worker.jobs.count, 3);
    town_connect_queue(&t);
    assert_int_equal(t.worker.jobs.count, 1);
    t.hosts[1].script = NULL;
    town_deliver(&t, 1, "d.test");
    check_view("queue", buf_view(&t.results), VIEW("1 all delivered 250 2.0.0\n1 end\n"));
    assert_int_equal(t.worker.jobs.count, 1);
    shutdown(t.hosts[0].guests[0].watch.fd, SHUT_RDWR);
    town_turn(&t, 3);
    assert_int_equal(t.worker.jobs.count, 0);
    check_view("queue", buf_view(&t.results), VIEW("1 all delivered 250 2.0.0\n1 end\n"));
    town_close(&t);
}

/* The recipients that were to come in the next transaction are the next queue's. */
static void leaves_the_rest_to_the_next_queue(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS,
              "EHLO 250-mx.test\\250-LIMITS RCPTMAX=1\\250 PIPELINING\nCONTENT -", NULL);
    town_send_job(&t, 1, VIEW("b.test"), TOWN_HELLO, false);
    for (unsigned i = 0; i < 100 && t.hosts[0].messages < 1; i++)
        town_turn(&t, 1);
    town_connect_queue(&t);
    assert_int_equal(t.worker.jobs.count, 1);
    t.hosts[0].script = NULL;
    assert_int_equal(write(t.hosts[0].guests[0].watch.fd, "250 ok\r\n", 8), 8);
    town_turn(&t, 10);
    assert_int_equal(t.worker.jobs.count, 0);
    assert_int_equal(t.hosts[0].messages, 1);
    town_close(&t);
}

static void await_content(struct town *t, unsigned messages)
{
    for (unsigned i = 0; i < 100 && t->hosts[0].messages < messages; i++)
        town_turn(t, 1);
    assert_int_equal(t->hosts[0].messages, messages);
}

static void say(struct town *t, unsigned guest, struct view words)
{
    assert_int_equal(write(t->hosts[0].guests[guest].watch.fd, words.ptr, words.len), words.len);
    town_turn(t, 10);
}

/* Nor do they go by another connection when the host closes behind its reply. */
static void gives_nothing_back_for_a_queue_that_is_gone(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS, "CONTENT -", NULL);
    t.hosts[0].rcpts_most = 1;
    town_send_job(&t, 1, VIEW("b.test"), TOWN_HELLO, false);
    await_content(&t, 1);
    town_connect_queue(&t);
    t.rcpts = 1;
    t.connection_us = 60000000;
    town_send_job(&t, 1, VIEW("b.test"), TOWN_HELLO, false);
    await_content(&t, 2);
    assert_int_equal(t.worker.jobs.count, 2);
    say(&t, 0, VIEW("250 taken\r\n421 bye\r\n"));
    assert_int_equal(t.worker.jobs.count, 1);
    say(&t, 1, VIEW("250 2.0.0 taken\r\n"));
    check_view("queue", buf_view(&t.results), VIEW("1 all delivered 250 2.0.0\n1 end\n"));
    assert_int_equal(t.hosts[0].messages, 2);
    town_close(&t);
}

static void cancels_what_waits(void **state)
{
    static struct town t;
    const struct message_job_cancel first = { 1 }, second = { 2 }, unknown = { 9 };

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS, NULL, NULL);
    t.settings.delivery.concurrency = 1;
    town_send_job(&t, 1, VIEW("b.test"), TOWN_HELLO, false);
    town_send_job(&t, 2, VIEW("b.test"), TOWN_HELLO, false);
    peer_send_job_cancel(&t.queue, &first, -1); /* too late */
    peer_send_job_cancel(&t.queue, &second, -1);
    peer_send_job_cancel(&t.queue, &unknown, -1);
    assert_true(town_await(&t, 2));
    check_view("cancel", buf_view(&t.results), VIEW("2 end\n1 all delivered 250 2.0.0\n1 end\n"));
    assert_int_equal(t.hosts[0].messages, 1);
    town_close(&t);
}

/* The parts of a queue that is gone go with it. */
static void drops_parts(void **state)
{
    static struct town t;
    const struct message_job_part part = { 1, VIEW_INIT("Subject: x\r\n") };

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS, NULL, NULL);
    peer_send_job_part(&t.queue, &part, -1);
    peer_send_job_part(&t.queue, &part, -1);
    town_turn(&t, 2);
    assert_int_equal(t.worker.bodies.count, 1);
    town_connect_queue(&t);
    assert_int_equal(t.worker.bodies.count, 0);
    town_close(&t);
}

/* Ends when what runs is done, and takes idle connections down at once. */
static void drains(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TOWN_TWO_HOSTS, NULL, NULL);
    town_deliver(&t, 1, "b.test");
    assert_int_equal(t.hosts[0].open, 1);
    town_send_job(&t, 2, VIEW("b.test"), TOWN_HELLO, false);
    town_turn(&t, 2);
    worker_drain(&t.worker, true);
    assert_int_equal(loop_run(&t.loop), 0);
    town_turn(&t, 2);
    assert_int_equal(t.ended, 2);
    assert_int_equal(t.ready_for, 0);
    assert_int_equal(t.worker.conn_count, 0);
    town_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_a_host),
        cmocka_unit_test(follows_routes),
        cmocka_unit_test(balances),
        cmocka_unit_test(asks_another_dns_process),
        cmocka_unit_test(asks_no_host_again_that_wants_tls),
        cmocka_unit_test(outlives_the_queue),
        cmocka_unit_test(leaves_the_rest_to_the_next_queue),
        cmocka_unit_test(gives_nothing_back_for_a_queue_that_is_gone),
        cmocka_unit_test(cancels_what_waits),
        cmocka_unit_test(drops_parts),
        cmocka_unit_test(drains),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
