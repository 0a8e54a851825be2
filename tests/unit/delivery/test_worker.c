#include "tests/unit/delivery/town.h"

#include "common/memory.h"
#include "delivery/destination.h"
#include "io/clock.h"
#include "tests/unit/unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define TWO_HOSTS  "b.test mx 10 mx1.test 20 mx2.test\nmx1.test a 127.0.0.2\nmx2.test a 127.0.0.3\n"
#define DEAD_FIRST "b.test mx 10 mx1.test 20 mx2.test\nmx1.test a 127.0.0.4\nmx2.test a 127.0.0.3\n"
#define CHUNKING   "EHLO 250-mx.test\\250-CHUNKING\\250 PIPELINING"
#define HELLO      VIEW("Subject: x\r\n\r\n.hello\r\n")

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
      .names = TWO_HOSTS,
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
      .names = TWO_HOSTS,
      .results = "1 all failed 0 5.1.2\n1 end\n",
      .reason = "the domain's name is none that can be looked up" },
    { .name = "a host that takes one recipient at a time",
      .names = TWO_HOSTS,
      .script0 = "EHLO 250-mx.test\\250-LIMITS RCPTMAX=1\\250 PIPELINING",
      .results = "1 0 delivered 250 2.0.0\n1 1 delivered 250 2.0.0\n1 end\n",
      .messages0 = 2 },
    { .name = "a sender refused at a host that takes one recipient at a time",
      .names = TWO_HOSTS,
      .script0 = "EHLO 250-mx.test\\250 LIMITS RCPTMAX=1\nMAIL 550 5.7.1 no",
      .results = "1 0 failed 550 5.7.1\n1 1 failed 550 5.7.1\n1 end\n" },
    { .name = "nobody listens at the first host",
      .names = DEAD_FIRST,
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .reason = "250 2.0.0 taken (mx2.test[], while waiting for the reply to the message)",
      .messages1 = 1 },
    { .name = "the first host greets with 554",
      .names = TWO_HOSTS,
      .script0 = "GREETING 554 no",
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages1 = 1 },
    { .name = "the first host closes at EHLO",
      .names = TWO_HOSTS,
      .script0 = "EHLO close",
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages1 = 1 },
    { .name = "the first host says 421 at MAIL",
      .names = TWO_HOSTS,
      .script0 = "MAIL 421 4.3.2 closing",
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages1 = 1 },
    { .name = "the first host is silent",
      .names = TWO_HOSTS,
      .script0 = "GREETING -",
      .timeout_ms = 100,
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages1 = 1 },
    { .name = "all hosts refuse to talk",
      .names = TWO_HOSTS,
      .script0 = "GREETING 554 no",
      .script1 = "GREETING 554 5.7.1 never",
      .results = "1 all deferred 554 4.7.1\n1 end\n",
      .reason = "554 4.7.1 never (mx2.test[], while waiting for the greeting)" },
    { .name = "all hosts are dead",
      .names = "b.test mx 10 mx1.test\nmx1.test a 127.0.0.4\n",
      .results = "1 all deferred 0 4.4.1\n1 end\n",
      .reason = "connection refused (mx1.test[], while connecting)" },
    { .name = "all hosts are silent",
      .names = TWO_HOSTS,
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
      .names = TWO_HOSTS,
      .script0 = "RCPT 550 5.1.1 who",
      .results = "1 0 failed 550 5.1.1\n1 1 failed 550 5.1.1\n1 end\n",
      .reason = "550 5.1.1 who (mx1.test[], while sending RCPT TO)" },
    { .name = "the recipients are put off: no other host is asked",
      .names = TWO_HOSTS,
      .script0 = "RCPT 450 4.2.1 later",
      .results = "1 0 deferred 450 4.2.1\n1 1 deferred 450 4.2.1\n1 end\n" },
    { .name = "the sender is refused",
      .names = TWO_HOSTS,
      .script0 = "MAIL 550 5.7.1 no",
      .results = "1 all failed 550 5.7.1\n1 end\n" },
    { .name = "closed after the dot: perhaps it was taken",
      .names = TWO_HOSTS,
      .script0 = "CONTENT close",
      .results = "1 all deferred 0 4.4.2\n1 end\n",
      .reason = "the connection was closed (mx1.test[], while waiting for the reply to the "
                "message)",
      .messages0 = 1 },
    { .name = "nonsense after the dot: perhaps it was taken",
      .names = TWO_HOSTS,
      .script0 = "CONTENT taken",
      .results = "1 all deferred 0 4.5.0\n1 end\n",
      .messages0 = 1 },
    { .name = "silent after the dot",
      .names = TWO_HOSTS,
      .script0 = "CONTENT -",
      .timeout_ms = 100,
      .results = "1 all deferred 0 4.4.2\n1 end\n",
      .messages0 = 1 },
    { .name = "TLS that does not work: the same host in plain text",
      .names = TWO_HOSTS,
      .script0 = "EHLO 250-mx.test\\250 STARTTLS\nSTARTTLS 220 go\nTLS nonsense",
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages0 = 1 },
    { .name = "more than 220 to STARTTLS: that host is not trusted with the message",
      .names = TWO_HOSTS,
      .script0 = "EHLO 250-mx.test\\250 STARTTLS\nSTARTTLS 220 go\\250 injected",
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages1 = 1 },
    { .name = "closed at STARTTLS: plain text, in another connection",
      .names = TWO_HOSTS,
      .script0 = "EHLO 250-mx.test\\250 STARTTLS\nSTARTTLS close",
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages0 = 1 },
    { .name = "TLS refused: plain text",
      .names = TWO_HOSTS,
      .script0 = "EHLO 250-mx.test\\250 STARTTLS\nSTARTTLS 454 no",
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages0 = 1 },
    { .name = "by BDAT",
      .names = TWO_HOSTS,
      .script0 = CHUNKING,
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages0 = 1 },
    { .name = "BDAT is not known after all: DATA, in the same connection",
      .names = TWO_HOSTS,
      .script0 = CHUNKING "\nBDAT 502 what",
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages0 = 1 },
    { .name = "closed after a chunk: perhaps it was taken",
      .names = TWO_HOSTS,
      .script0 = CHUNKING "\nBDAT close",
      .results = "1 all deferred 0 4.4.2\n1 end\n",
      .reason = "the connection was closed (mx1.test[], while waiting for the reply to the "
                "message)" },
    { .name = "recipients refused before a chunk",
      .names = TWO_HOSTS,
      .script0 = CHUNKING "\nRCPT 550 5.1.1 who",
      .results = "1 0 failed 550 5.1.1\n1 1 failed 550 5.1.1\n1 end\n",
      .messages0 = 1 }, /* for nobody: the town takes whatever it is sent */
    { .name = "too large for the first host",
      .names = TWO_HOSTS,
      .script0 = "EHLO 250-mx.test\\250 SIZE 5",
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages1 = 1 },
    { .name = "too large for all",
      .names = TWO_HOSTS,
      .script0 = "EHLO 250-mx.test\\250 SIZE 5",
      .script1 = "EHLO 250-mx.test\\250 SIZE 6",
      .results = "1 all failed 0 5.3.4\n1 end\n",
      .reason =
          "the message has 22 bytes, the host takes 6 (mx2.test[], while sending MAIL FROM)" },
    { .name = "too large for the first host, and the other does not answer: it may take it yet",
      .names = TWO_HOSTS,
      .script0 = "EHLO 250-mx.test\\250 SIZE 5",
      .script1 = "GREETING 421 4.3.2 not now",
      .results = "1 all deferred 421 4.3.2\n1 end\n" },
    { .name = "too large for the second host, and the first does not answer",
      .names = TWO_HOSTS,
      .script0 = "GREETING 421 4.3.2 not now",
      .script1 = "EHLO 250-mx.test\\250 SIZE 5",
      .results = "1 all deferred 421 4.3.2\n1 end\n" },
    { .name = "HELO, one command at a time",
      .names = TWO_HOSTS,
      .script0 = "EHLO 502 what",
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages0 = 1 },
};

static void set_timeouts(struct town *t, uint64_t ms)
{
    /* All of them, however many there are. */
    uint64_t *all = (uint64_t *)&t->settings.timeouts;

    for (size_t i = 0; i < sizeof(t->settings.timeouts) / sizeof(*all); i++)
        all[i] = ms;
}

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
            set_timeouts(&t, cases[i].timeout_ms);
        town_send_job(&t, 1, view_of(cases[i].domain != NULL ? cases[i].domain : "b.test"), HELLO,
                      false);
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

#define TARGET(name)                                                                               \
    {                                                                                              \
        .kind = TARGET_HOST, .host = VIEW_INIT(name)                                               \
    }
static const struct {
    const char *name, *script0, *script1;
    struct route_target targets[2];
    size_t target_count;
    const char *results, *reason;
    unsigned messages0, messages1;
} routed[] = {
    { .name = "the first target",
      .targets = { TARGET("127.0.0.2"), TARGET("127.0.0.3") },
      .target_count = 2,
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages0 = 1 },
    { .name = "the next target, when nobody listens at the first",
      .targets = { TARGET("127.0.0.4"), TARGET("127.0.0.3") },
      .target_count = 2,
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages1 = 1 },
    { .name = "the next target, when the first greets with 554",
      .script0 = "GREETING 554 no",
      .targets = { TARGET("127.0.0.2"), TARGET("127.0.0.3") },
      .target_count = 2,
      .results = "1 all delivered 250 2.0.0\n1 end\n",
      .messages1 = 1 },
    { .name = "no next target when the recipients are refused",
      .script0 = "RCPT 550 5.1.1 who",
      .targets = { TARGET("127.0.0.2"), TARGET("127.0.0.3") },
      .target_count = 2,
      .results = "1 0 failed 550 5.1.1\n1 1 failed 550 5.1.1\n1 end\n" },
    { .name = "a host that is not found, and a dead one",
      .targets = { TARGET("gone.test"), TARGET("127.0.0.4") },
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

static void use_route(struct town *t, struct route_settings *r, const struct route_target *targets,
                      size_t count)
{
    *r = (struct route_settings){ .target_count = count };
    for (size_t i = 0; i < count; i++) {
        r->targets[i] = targets[i];
        r->targets[i].port = (uint16_t)t->settings.delivery.port;
    }
    t->settings.routes = r;
    t->settings.route_count = 1;
    t->routed = true;
}

static void follows_routes(void **state)
{
    static struct town t;
    struct route_settings r;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(routed); i++) {
        town_open(&t, "", routed[i].script0, routed[i].script1);
        use_route(&t, &r, routed[i].targets, routed[i].target_count);
        town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
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
    static const struct route_target targets[] = { TARGET("127.0.0.2"), TARGET("127.0.0.3") };
    static struct town t;
    struct route_settings r;

    (void)state;
    town_open(&t, "", "", "");
    use_route(&t, &r, targets, COUNT_OF(targets));
    r.balance = true;
    for (uint64_t job = 1; job <= 4; job++)
        town_send_job(&t, job, VIEW("b.test"), HELLO, false);
    assert_true(town_await(&t, 4));
    assert_int_equal(t.hosts[0].messages, 2);
    assert_int_equal(t.hosts[1].messages, 2);
    town_close(&t);
}

/* Nobody connects before the command has got a token, or has failed to. */
static void waits_for_a_token(void **state)
{
    static const struct route_target targets[] = { TARGET("127.0.0.2") };
    static struct town t;
    static struct route_settings r;

    (void)state;
    for (int got = 0; got < 2; got++) {
        town_open(&t, "", "", "");
        use_route(&t, &r, targets, COUNT_OF(targets));
        r.auth_command = VIEW("/bin/token");
        worker_set_secret(&t.worker, 0, VIEW_EMPTY);
        t.worker.credentials[0]->awaited = true;
        town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
        town_send_job(&t, 2, VIEW("b.test"), HELLO, false);
        town_turn(&t, 20);
        assert_int_equal(t.hosts[0].connections, 0);
        worker_set_secret(&t.worker, 0, got ? VIEW("token") : VIEW_EMPTY);
        assert_true(town_await(&t, 2));
        assert_int_equal(t.hosts[0].messages, 2);
        free(t.worker.credentials[0]);
        town_close(&t);
    }
}

static void comes_from_its_source(void **state)
{
    static const struct route_target targets[] = { TARGET("127.0.0.2") };
    static struct town t;
    struct sockaddr_storage from = { 0 };
    socklen_t len = sizeof(from);
    struct net_address source;
    struct route_settings r;

    (void)state;
    town_open(&t, "", "CONTENT -", "");
    use_route(&t, &r, targets, COUNT_OF(targets));
    assert_true(net_parse_address(VIEW("127.0.0.77"), &r.sources[0]));
    r.source_count = 1;
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    for (unsigned i = 0; i < 100 && t.hosts[0].messages == 0; i++)
        town_turn(&t, 1);
    assert_int_equal(getpeername(t.hosts[0].guests[0].watch.fd, (struct sockaddr *)&from, &len), 0);
    assert_true(net_from_sockaddr(&from, &source) && net_equal(&source, &r.sources[0]));
    town_close(&t);
}

static void keeps_connections(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TWO_HOSTS, NULL, NULL);
    for (unsigned job = 1; job <= 5; job++) {
        town_send_job(&t, job, VIEW("b.test"), HELLO, false);
        assert_true(town_await(&t, job));
    }
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
    char large[2000];

    (void)state;
    memset(large, 'x', sizeof(large));
    memcpy(large + sizeof(large) - 2, "\r\n", 2);
    town_open(&t, TWO_HOSTS, "EHLO 250-mx.test\\250 SIZE 1000", NULL);
    t.settings.delivery.concurrency = 1;
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    assert_true(town_await(&t, 1));
    town_send_job(&t, 2, VIEW("b.test"), view_make(large, sizeof(large)), false);
    assert_true(town_await(&t, 2));
    town_send_job(&t, 3, VIEW("b.test"), HELLO, false);
    assert_true(town_await(&t, 3));
    assert_int_equal(t.hosts[0].messages, 2);
    assert_int_equal(t.hosts[1].messages, 1);
    town_close(&t);
}

static void does_not_keep_them_for_ever(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TWO_HOSTS, NULL, NULL);
    t.settings.timeouts.idle_connection = 50;
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    assert_true(town_await(&t, 1));
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
    town_open(&t, TWO_HOSTS, NULL, NULL);
    t.settings.delivery.messages_per_connection = 2;
    for (unsigned job = 1; job <= 5; job++) {
        town_send_job(&t, job, VIEW("b.test"), HELLO, false);
        assert_true(town_await(&t, job));
    }
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
    for (uint64_t job = 1; job <= 4; job++) {
        town_send_job(&t, job, VIEW("b.test"), HELLO, false);
        assert_true(town_await(&t, (unsigned)job));
    }
    assert_int_equal(t.hosts[0].messages, 4);
    assert_int_equal(t.hosts[0].connections, 2);
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
    static const struct route_target targets[] = { TARGET("127.0.0.2") };
    static struct town t;
    struct route_settings r;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(limited); i++) {
        char script[128];

        (void)snprintf(script, sizeof(script), "EHLO 250-mx.test\\250-PIPELINING\\250 %s",
                       limited[i].limits);
        town_open(&t, "", script, NULL);
        use_route(&t, &r, targets, COUNT_OF(targets));
        t.second = limited[i].second;
        for (unsigned job = 1; job <= limited[i].jobs; job++) {
            town_send_job(&t, job, VIEW("b.test"), HELLO, false);
            check(limited[i].name, town_await(&t, job));
        }
        check(limited[i].name, t.hosts[0].messages == limited[i].messages);
        check(limited[i].name, t.hosts[0].connections == limited[i].connections);
        town_close(&t);
    }
}

/* What was to come in the next transaction, in a connection that the host had closed. */
static void goes_on_elsewhere_within_a_job(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, "b.test mx 10 mx1.test\nmx1.test a 127.0.0.2\n",
              "EHLO 250-mx.test\\250-LIMITS RCPTMAX=1\\250 PIPELINING", NULL);
    t.hosts[0].close_after = 1;
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    assert_true(town_await(&t, 1));
    check_view("results", buf_view(&t.results),
               VIEW("1 0 delivered 250 2.0.0\n1 1 delivered 250 2.0.0\n1 end\n"));
    town_close(&t);
}

static void remembers_the_family_that_works(void **state)
{
    static struct town t;
    struct table_entry *e;

    (void)state;
    town_open(&t, "b.test mx 10 mx1.test\nmx1.test a ::1 127.0.0.2\n", NULL, NULL);
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    assert_true(town_await(&t, 1));
    assert_int_equal(t.hosts[0].messages, 1);
    e = table_next(&t.worker.destinations, NULL);
    assert_non_null(e);
    assert_int_equal(container_of(e, struct destination, entry)->families.second, AF_INET6);
    town_close(&t);
}

static void outlive_stale_connections(const char *script)
{
    static struct town t;
    struct site *s;

    town_open(&t, TWO_HOSTS, script, NULL);
    t.hosts[0].close_after = 1;
    t.connection_us = 3600ULL * 1000 * 1000;
    for (unsigned job = 1; job <= 3; job++)
        town_send_job(&t, job, VIEW("b.test"), HELLO, false);
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
    outlive_stale_connections(CHUNKING);
}

static void limits_concurrency(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TWO_HOSTS "c.test mx 10 mx2.test\n", NULL, NULL);
    t.settings.delivery.concurrency = 3;
    for (unsigned job = 1; job <= 30; job++)
        town_send_job(&t, job, job % 10 == 0 ? VIEW("c.test") : VIEW("b.test"), HELLO, false);
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
    town_open(&t, TWO_HOSTS "c.test mx 10 mx2.test\n", NULL, NULL);
    t.settings.delivery.connections = 1;
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    assert_true(town_await(&t, 1));
    town_send_job(&t, 2, VIEW("c.test"), HELLO, false);
    assert_true(town_await(&t, 2));
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
    town_open(&t, TWO_HOSTS, "GREETING 554 no", "GREETING 554 no");
    t.settings.delivery.concurrency = 1;
    for (unsigned job = 1; job <= 10; job++)
        town_send_job(&t, job, VIEW("b.test"), HELLO, false);
    assert_true(town_await(&t, 10));
    assert_int_equal(t.hosts[0].connections, 1);
    assert_int_equal(t.hosts[1].connections, 1);
    town_close(&t);
}

static void remembers_broken_tls(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TWO_HOSTS, "EHLO 250-mx.test\\250 STARTTLS\nSTARTTLS 220 go\nTLS nonsense", NULL);
    t.settings.delivery.messages_per_connection = 1;
    for (unsigned job = 1; job <= 3; job++) {
        town_send_job(&t, job, VIEW("b.test"), HELLO, false);
        assert_true(town_await(&t, job));
    }
    assert_int_equal(t.hosts[0].messages, 3);
    assert_int_equal(t.hosts[0].connections, 4); /* one for the handshake that failed */
    town_close(&t);
}

/* As it is, without dots stuffed; from memory and from a file. */
static void sends_chunks(void **state)
{
    static struct town t;
    size_t len = 3 << 20;
    char *body = memory_new(len);

    (void)state;
    memset(body, 'x', len);
    memcpy(body + len - 2, "\r\n", 2);
    memcpy(body + 100, "\r\n.\r\n", 5);
    town_open(&t, TWO_HOSTS, CHUNKING, NULL);
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    assert_true(town_await(&t, 1));
    check_view("small", buf_view(&t.hosts[0].heard), HELLO);
    town_send_job(&t, 2, VIEW("b.test"), view_make(body, len), true);
    assert_true(town_await(&t, 2));
    check_view("large", buf_view(&t.hosts[0].heard), view_make(body, len));
    t.attempt = 2; /* what failed once goes in the way that every host knows */
    town_send_job(&t, 3, VIEW("b.test"), HELLO, false);
    assert_true(town_await(&t, 3));
    check_view("again", buf_view(&t.hosts[0].heard), VIEW("Subject: x\r\n\r\n..hello"));
    town_close(&t);
    free(body);
}

/* Of connections to come, too. */
static void remembers_who_knows_no_bdat(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TWO_HOSTS, CHUNKING "\nBDAT 502 what", NULL);
    t.settings.delivery.messages_per_connection = 3;
    for (unsigned job = 1; job <= 3; job++) {
        town_send_job(&t, job, VIEW("b.test"), HELLO, false);
        assert_true(town_await(&t, job));
    }
    assert_int_equal(t.hosts[0].messages, 3);
    assert_int_equal(t.worker.conn_count, 1);
    assert_true(
        container_of(table_next(&t.worker.destinations, NULL), struct destination, entry)->no_bdat);
    town_close(&t);
}

static void sends_large_bodies(void **state)
{
    static struct town t;
    size_t len = 3 << 20;
    char *body = memory_new(len);

    (void)state;
    for (size_t i = 0; i < len; i++)
        body[i] = "0123456\r\n."[i % 10];
    memcpy(body + len - 2, "\r\n", 2);
    town_open(&t, TWO_HOSTS, NULL, NULL);
    town_send_job(&t, 1, VIEW("b.test"), view_make(body, len), true);
    assert_true(town_await(&t, 1));
    assert_int_equal(t.hosts[0].messages, 1);
    assert_int_equal(buf_len(&t.hosts[0].heard), len - 2 + len / 10);
    town_close(&t);
    free(body);
}

/* A host that refuses in the middle of a large message is heard. */
/* Each step has time enough, all of them together have not. */
static void gives_up_slow_transactions(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, "b.test mx 10 mx1.test\nmx1.test a 127.0.0.2\n", "DATA -", NULL);
    t.settings.timeouts.data = 10 * 60 * 1000;
    t.settings.timeouts.transaction = 50;
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    assert_true(town_await(&t, 1));
    check_view("results", buf_view(&t.results), VIEW("1 all deferred 0 4.4.2\n1 end\n"));
    town_close(&t);
}

/* A recipient that was to come in the next transaction was never offered, and is not refused. */
static void keeps_who_was_never_offered(void **state)
{
    static struct town t;
    size_t len = 3 << 20;
    char *body = memory_new(len);

    (void)state;
    memset(body, 'x', len);
    memcpy(body + len - 2, "\r\n", 2);
    town_open(&t, TWO_HOSTS, "EHLO 250-mx.test\\250 LIMITS RCPTMAX=1\nDATA 354 go\\554 5.6.0 no",
              NULL);
    town_send_job(&t, 1, VIEW("b.test"), view_make(body, len), true);
    assert_true(town_await(&t, 1));
    check_view("who", buf_view(&t.results),
               VIEW("1 0 failed 554 5.6.0\n1 1 deferred 554 4.6.0\n1 end\n"));
    town_close(&t);
    free(body);
}

static void hears_an_early_refusal(void **state)
{
    static struct town t;
    size_t len = 3 << 20;
    char *body = memory_new(len);

    (void)state;
    memset(body, 'x', len);
    memcpy(body + len - 2, "\r\n", 2);
    town_open(&t, TWO_HOSTS, "DATA 354 go\\552 5.3.4 too big", NULL);
    town_send_job(&t, 1, VIEW("b.test"), view_make(body, len), true);
    assert_true(town_await(&t, 1));
    check_view("early", buf_view(&t.results), VIEW("1 all failed 552 5.3.4\n1 end\n"));
    town_close(&t);
    free(body);
}

static void asks_another_dns_process(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TWO_HOSTS, NULL, NULL);
    t.dns_silent = true;
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    for (unsigned i = 0; i < 100 && t.questions == 0; i++)
        town_turn(&t, 1);
    assert_int_equal(t.questions, 1);
    t.dns_silent = false;
    town_connect_dns(&t);
    assert_true(town_await(&t, 1));
    check_view("another dns", buf_view(&t.results), VIEW("1 all delivered 250 2.0.0\n1 end\n"));
    town_close(&t);
}

/* Jobs of a queue that is gone are dropped; but a message whose dot was said is seen through. The
 * next queue begins with the same numbers. */
static void outlives_the_queue(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TWO_HOSTS "c.test mx 10 mx2.test\nd.test mx 10 mx2.test\n", "CONTENT -",
              "MAIL -\nRCPT -\nDATA -");
    t.settings.delivery.concurrency = 1;
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    town_send_job(&t, 2, VIEW("b.test"), HELLO, false); /* waits */
    town_send_job(&t, 3, VIEW("c.test"), HELLO, false);
    for (unsigned i = 0; i < 100 && (t.hosts[0].messages < 1 || t.hosts[1].open < 1); i++)
        town_turn(&t, 1);
    town_turn(&t, 3);
    assert_int_equal(t.worker.jobs.count, 3);
    town_connect_queue(&t);
    assert_int_equal(t.worker.jobs.count, 1);
    t.hosts[1].script = NULL;
    town_send_job(&t, 1, VIEW("d.test"), HELLO, false);
    assert_true(town_await(&t, 1));
    check_view("queue", buf_view(&t.results), VIEW("1 all delivered 250 2.0.0\n1 end\n"));
    assert_int_equal(t.worker.jobs.count, 1);
    shutdown(t.hosts[0].guests[0].watch.fd, SHUT_RDWR);
    town_turn(&t, 3);
    assert_int_equal(t.worker.jobs.count, 0);
    check_view("queue", buf_view(&t.results), VIEW("1 all delivered 250 2.0.0\n1 end\n"));
    town_close(&t);
}

static void cancels_what_waits(void **state)
{
    static struct town t;
    const struct message_job_cancel first = { 1 }, second = { 2 }, unknown = { 9 };

    (void)state;
    town_open(&t, TWO_HOSTS, NULL, NULL);
    t.settings.delivery.concurrency = 1;
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    town_send_job(&t, 2, VIEW("b.test"), HELLO, false);
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
    town_open(&t, TWO_HOSTS, NULL, NULL);
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
    town_open(&t, TWO_HOSTS, NULL, NULL);
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    assert_true(town_await(&t, 1));
    assert_int_equal(t.hosts[0].open, 1);
    town_send_job(&t, 2, VIEW("b.test"), HELLO, false);
    town_turn(&t, 1);
    worker_drain(&t.worker, true);
    assert_int_equal(loop_run(&t.loop), 0);
    town_turn(&t, 2);
    assert_int_equal(t.ended, 2);
    assert_int_equal(t.ready_for, 0);
    assert_int_equal(t.worker.conn_count, 0);
    town_close(&t);
}

/* ---- domains with the same hosts ---- */

#define TWO_DOMAINS                                                                                \
    "b.test mx 10 mx1.test 20 mx2.test\nc.test mx 10 mx2.test 10 mx1.test\nd.test mx 5 mx2.test\n" \
    "mx1.test a 127.0.0.2\nmx2.test a 127.0.0.3\n"

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

static void shares_connections_to_the_same_hosts(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TWO_DOMAINS, NULL, NULL);
    t.mail_hosts = t.site = "mx1.test,mx2.test";
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    assert_true(town_await(&t, 1));
    town_send_job(&t, 2, VIEW("c.test"), HELLO, false);
    assert_true(town_await(&t, 2));
    assert_int_equal(t.hosts[0].messages, 2);
    assert_int_equal(t.hosts[0].connections, 1);
    town_close(&t);
}

/* The domain has other hosts than the queue thinks: its mail goes there, and nobody else's. */
static void shares_no_connection_that_is_not_theirs(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TWO_DOMAINS, NULL, NULL);
    t.mail_hosts = t.site = "mx1.test,mx2.test";
    town_send_job(&t, 1, VIEW("d.test"), HELLO, false);
    assert_true(town_await(&t, 1));
    town_send_job(&t, 2, VIEW("b.test"), HELLO, false);
    assert_true(town_await(&t, 2));
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
    set_timeouts(&t, 500);
    t.site = "provider";
    t.settings.delivery.concurrency = 2;
    t.mail_hosts = "mx1.test,mx2.test";
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    town_send_job(&t, 2, VIEW("b.test"), HELLO, false);
    t.mail_hosts = "mx2.test";
    for (unsigned i = 3; i < 6; i++)
        town_send_job(&t, i, VIEW("d.test"), HELLO, false);
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
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    assert_true(town_await(&t, 1));
    t.mail_hosts = "mx2.test";
    town_send_job(&t, 2, VIEW("d.test"), HELLO, false);
    assert_true(town_await(&t, 2));
    assert_int_equal(t.hosts[1].messages, 1);
    assert_int_equal(t.worker.conn_count, 1);
    town_close(&t);
}

/* The next attempt to connect waits for its time. */
static void keeps_to_the_rate_of_connections(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TWO_DOMAINS, "CONTENT -", NULL);
    set_timeouts(&t, 500);
    t.connection_us = 3600ULL * 1000 * 1000;
    for (unsigned i = 1; i < 4; i++)
        town_send_job(&t, i, VIEW("b.test"), HELLO, false);
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
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    assert_true(town_await(&t, 1));
    for (unsigned i = 0; i < 1000 && t.worker.destinations.count > 0; i++)
        town_turn(&t, 1);
    assert_int_equal(t.worker.destinations.count, 0);
    assert_int_equal(t.worker.sites.count, 1);
    town_send_job(&t, 2, VIEW("b.test"), HELLO, false);
    town_turn(&t, 5);
    assert_int_equal(t.hosts[0].connections, 1);
    assert_int_equal(t.worker.jobs.count, 1);
    town_close(&t);
}

/* Two sites with the same hosts: the limit of the one is not used up, or widened, by the other. */
static void keeps_sites_apart(void **state)
{
    static struct town t;

    (void)state;
    town_open(&t, TWO_DOMAINS, "CONTENT -", "CONTENT -");
    set_timeouts(&t, 500);
    t.mail_hosts = "mx1.test,mx2.test";
    t.site = "strict";
    t.settings.delivery.concurrency = 1;
    for (unsigned i = 1; i < 5; i++)
        town_send_job(&t, i, VIEW("b.test"), HELLO, false);
    town_turn(&t, 5);
    t.site = "provider";
    t.settings.delivery.concurrency = 20;
    town_send_job(&t, 9, VIEW("c.test"), HELLO, false);
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
        town_send_job(&t, i, VIEW("b.test"), HELLO, false);
    assert_true(town_await(&t, 4));
    assert_int_equal(t.worker.conn_count, 4);
    t.settings.delivery.concurrency = 1;
    town_send_job(&t, 5, VIEW("b.test"), HELLO, false);
    assert_true(town_await(&t, 5));
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
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    assert_true(town_await(&t, 1));
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
    town_send_job(&t, 1, VIEW("b.test"), HELLO, false);
    assert_true(town_await(&t, 1));
    check_view("results", buf_view(&t.results), VIEW("1 all deferred 0 4.4.1\n1 end\n"));
    assert_int_equal(t.scope, SCOPE_MESSAGE);
    assert_true(view_starts(buf_view(&t.reason), VIEW("mx2.test[127.0.0.4]:")));
    town_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_a_host),
        cmocka_unit_test(follows_routes),
        cmocka_unit_test(balances),
        cmocka_unit_test(waits_for_a_token),
        cmocka_unit_test(comes_from_its_source),
        cmocka_unit_test(keeps_connections),
        cmocka_unit_test(makes_detours_for_a_message_alone),
        cmocka_unit_test(does_not_keep_them_for_ever),
        cmocka_unit_test(wears_connections_out),
        cmocka_unit_test(keeps_to_the_hosts_limit_of_messages),
        cmocka_unit_test(keeps_to_limits_of_a_session),
        cmocka_unit_test(goes_on_elsewhere_within_a_job),
        cmocka_unit_test(remembers_the_family_that_works),
        cmocka_unit_test(outlives_a_stale_connection),
        cmocka_unit_test(limits_concurrency),
        cmocka_unit_test(makes_room),
        cmocka_unit_test(gives_up_for_all),
        cmocka_unit_test(remembers_broken_tls),
        cmocka_unit_test(sends_large_bodies),
        cmocka_unit_test(sends_chunks),
        cmocka_unit_test(remembers_who_knows_no_bdat),
        cmocka_unit_test(gives_up_slow_transactions),
        cmocka_unit_test(hears_an_early_refusal),
        cmocka_unit_test(keeps_who_was_never_offered),
        cmocka_unit_test(asks_another_dns_process),
        cmocka_unit_test(outlives_the_queue),
        cmocka_unit_test(cancels_what_waits),
        cmocka_unit_test(drops_parts),
        cmocka_unit_test(drains),
        cmocka_unit_test(names_the_mail_hosts),
        cmocka_unit_test(shares_connections_to_the_same_hosts),
        cmocka_unit_test(shares_no_connection_that_is_not_theirs),
        cmocka_unit_test(limits_a_site),
        cmocka_unit_test(makes_room_in_a_site),
        cmocka_unit_test(blames_no_host_for_what_a_message_asks),
        cmocka_unit_test(blames_no_host_for_what_a_message_needs),
        cmocka_unit_test(keeps_to_the_rate_of_connections),
        cmocka_unit_test(remembers_the_rate_of_connections),
        cmocka_unit_test(keeps_sites_apart),
        cmocka_unit_test(gives_up_connections_that_are_too_many),
        cmocka_unit_test(does_not_wait_for_the_names_of_hosts),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
