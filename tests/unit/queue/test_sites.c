/* Destinations that have their hosts in common: one site, learned from the name servers. */
#include "queue/site.h"

#include <stdio.h>

#include "tests/unit/unit.h"

#include "queue/admin.h"
#include "queue/backoff.h"
#include "queue/mx.h"
#include "tests/unit/queue/world.h"

enum { SECOND = 1000 };

static const struct view body = VIEW_INIT("Subject: lunch\r\n\r\nAt noon?\r\n");

static void deliver(struct world_job *j)
{
    world_answer(j, OUTCOME_DELIVERED, SCOPE_RCPT, 250, "Ok");
}

static void fault(struct world_job *j, enum outcome_scope scope)
{
    world_answer(j, OUTCOME_DEFERRED, scope, 0, "no");
}

static struct site *site_to(const char *domain)
{
    const struct hop hop = { HOP_MX, view_of(domain), view_of(domain), 0 };

    return index_destination_for(&world.queue.index, &hop)->site;
}

static void one_limit_holds_for_all_domains_of_a_host(void **state)
{
    (void)state;
    world.mail_hosts = "a.test mx.test b.test mx.test c.test mx.test,mx2.test";
    for (int i = 0; i < 3; i++) {
        world_accept("s@here.test", "x@a.test", body);
        world_accept("s@here.test", "x@b.test", body);
    }
    assert_int_equal(world.job_count, 4); /* 2 x concurrency */
    check_view("hosts", world_job(0)->start.hosts, VIEW("mx.test"));
    check_view("site", world_job(1)->start.site, VIEW("mx.test"));
    check_view("hop", world_job(1)->start.hop_name, VIEW("b.test"));
    world_accept("s@here.test", "x@c.test", body);
    assert_int_equal(world.job_count, 5);
    assert_ptr_equal(site_to("a.test"), site_to("b.test"));
    assert_ptr_not_equal(site_to("a.test"), site_to("c.test"));
    assert_int_equal(world.asked, 3); /* once for each */
}

static void one_breaker_holds_for_all_domains_of_a_host(void **state)
{
    (void)state;
    world.mail_hosts = "a.test mx.test b.test mx.test";
    world_accept("s@here.test", "x@a.test", body);
    world_accept("s@here.test", "x@b.test", body);
    fault(world_job(0), SCOPE_DESTINATION);
    fault(world_job(1), SCOPE_DESTINATION);
    world_accept("s@here.test", "x@b.test", body);
    assert_int_equal(world.job_count, 2);
    world_pass(15 * SECOND);
    assert_int_equal(world.job_count, 3); /* one goes first, for both */
    deliver(world_job(2));
    assert_int_equal(world.job_count, 5);
}

/* A host that takes no more connections for now, but serves those that it has. */
static void one_refused_connection_stops_nobody(void **state)
{
    struct site *s;

    (void)state;
    for (int i = 0; i < 4; i++)
        world_accept("s@here.test", "x@a.test", body);
    deliver(world_job(0));
    s = site_to("a.test");
    assert_int_equal(pace_window(&s->pace, s->limits), 2);
    fault(world_job(1), SCOPE_DESTINATION);
    assert_false(s->backed_off);
    assert_int_equal(pace_window(&s->pace, s->limits), 1);
    world_pass(1 * SECOND); /* soon again */
    assert_int_equal(world.job_count, 4);
    deliver(world_job(2));
    assert_int_equal(world.job_count, 5);
    assert_int_equal(world_job(4)->start.attempt, 2);
    assert_int_equal(world_job(4)->start.connections, 2);
    for (unsigned i = 3; i < 5; i++)
        fault(world_job(i), SCOPE_DESTINATION);
    world_pass(5 * SECOND);
    fault(world_job(5), SCOPE_DESTINATION);
    assert_true(s->backed_off); /* there were enough of them */
}

/* ---- witnesses ---- */

enum breaker { CLOSED, OPEN };

/* What one job among others, or the probe of a site that is backed off, says of the site. The
 * window is 2. */
static const struct {
    const char *name;
    enum outcome_class class;
    enum outcome_scope scope;
    unsigned code;
    struct enhanced enhanced;
    enum breaker fresh, probed; /* afterwards, when nothing spoke for it */
    unsigned window;            /* after a success */
} witnesses[] = {
    { "accepted", OUTCOME_DELIVERED, SCOPE_MESSAGE, 250, { 2, 0, 0 }, CLOSED, CLOSED, 3 },
    { "refused for good", OUTCOME_FAILED, SCOPE_MESSAGE, 554, { 5, 7, 1 }, CLOSED, CLOSED, 3 },
    { "greylisted", OUTCOME_DEFERRED, SCOPE_RCPT, 450, { 4, 2, 0 }, CLOSED, CLOSED, 3 },
    { "421 to RCPT", OUTCOME_DEFERRED, SCOPE_RCPT, 421, { 4, 0, 0 }, OPEN, OPEN, 1 },
    { "421 at the dot", OUTCOME_DEFERRED, SCOPE_MESSAGE, 421, { 4, 7, 28 }, OPEN, OPEN, 1 },
    { "lost after the dot", OUTCOME_DEFERRED, SCOPE_MESSAGE, 0, { 4, 4, 2 }, OPEN, OPEN, 1 },
    { "nonsense at the dot", OUTCOME_DEFERRED, SCOPE_MESSAGE, 0, { 4, 5, 0 }, OPEN, OPEN, 1 },
    { "451 at the dot", OUTCOME_DEFERRED, SCOPE_MESSAGE, 451, { 4, 3, 0 }, CLOSED, CLOSED, 2 },
    { "a rate", OUTCOME_DEFERRED, SCOPE_RCPT, 451, { 4, 7, 1 }, CLOSED, CLOSED, 1 },
    { "takes nothing", OUTCOME_DEFERRED, SCOPE_MESSAGE, 452, { 4, 3, 2 }, CLOSED, CLOSED, 1 },
    { "congestion", OUTCOME_DEFERRED, SCOPE_MESSAGE, 450, { 4, 4, 5 }, CLOSED, CLOSED, 1 },
    { "damaged here", OUTCOME_DEFERRED, SCOPE_MESSAGE, 0, { 4, 3, 0 }, CLOSED, OPEN, 2 },
    { "TLS for this one", OUTCOME_DEFERRED, SCOPE_MESSAGE, 0, { 4, 7, 10 }, CLOSED, OPEN, 2 },
};

static struct world_job *last_job(void)
{
    return world_job(world.job_count - 1);
}

static void testify(size_t i)
{
    world.enhanced = witnesses[i].enhanced;
    world_answer(last_job(), witnesses[i].class, witnesses[i].scope, witnesses[i].code, "so");
    world.enhanced.class = 0;
}

static struct site *site_with_a_job(const char *rcpt, const char *domain)
{
    world_accept("s@here.test", rcpt, body);
    return site_to(domain);
}

static void check_witness(size_t i)
{
    static const struct destination_limits twenty = { .concurrency = 20 };
    const char *name = witnesses[i].name;
    struct site *s = site_with_a_job("x@probed.test", "probed.test");

    fault(last_job(), SCOPE_DESTINATION);
    world_pass(15 * SECOND);
    testify(i);
    check(name, s->backed_off == (witnesses[i].probed == OPEN));

    s = site_with_a_job("x@fresh.test", "fresh.test");
    testify(i);
    check(name, s->backed_off == (witnesses[i].fresh == OPEN));

    s = site_with_a_job("x@served.test", "served.test");
    s->limits = &twenty;
    s->pace.window = 2;
    s->pace.success_ms = queue_now_ms(&world.queue);
    testify(i);
    check(name, pace_window(&s->pace, s->limits) == witnesses[i].window);
}

static void judges_a_site_by_what_it_did(void **state)
{
    for (size_t i = 0; i < COUNT_OF(witnesses); i++) {
        check_witness(i);
        world_close(state);
        world_open(state);
    }
}

/* A recipient is refused for good, and then the connection is lost. */
static void trouble_outweighs_what_came_before_it(void **state)
{
    (void)state;
    world_accept("s@here.test", "x@a.test y@a.test", body);
    world_result(world_job(0), 0, OUTCOME_FAILED, SCOPE_RCPT, 550, "no");
    world_result(world_job(0), 1, OUTCOME_DEFERRED, SCOPE_MESSAGE, 0, "connection lost");
    world_end(world_job(0));
    assert_true(site_to("a.test")->backed_off);
}

/* A message that ends every connection is not the one that is tried first for all the others. */
static void what_a_message_may_have_done_waits_for_itself(void **state)
{
    (void)state;
    world_accept("s@here.test", "x@a.test", body);
    fault(world_job(0), SCOPE_MESSAGE);
    assert_true(site_to("a.test")->backed_off);
    world_pass(16 * SECOND);
    assert_int_equal(world.job_count, 1);
    world_accept("s@here.test", "y@a.test", body);
    assert_int_equal(world.job_count, 2);
    deliver(world_job(1));
    world_pass(50 * SECOND);
    assert_int_equal(world.job_count, 3);
}

/* Nor does it cost the others time, unless they fare no better. */
static void a_message_that_ends_its_connection_is_not_believed_alone(void **state)
{
    struct site *s;

    (void)state;
    world_accept("s@here.test", "bad@a.test", body);
    world_answer(world_job(0), OUTCOME_DEFERRED, SCOPE_MESSAGE, 421, "closing");
    world_accept("t@here.test", "x@a.test", body);
    assert_int_equal(world.job_count, 2);
    deliver(world_job(1));
    s = site_to("a.test");
    assert_false(s->backed_off);

    s = site_with_a_job("bad@b.test", "b.test");
    world_answer(last_job(), OUTCOME_DEFERRED, SCOPE_MESSAGE, 421, "closing");
    for (unsigned i = 0; i < 3; i++)
        world_accept("t@here.test", "x@b.test", body);
    assert_int_equal(world.job_count, 4); /* one of them goes first */
    world_answer(last_job(), OUTCOME_DEFERRED, SCOPE_MESSAGE, 421, "closing");
    world_pass(14 * SECOND);
    assert_int_equal(world.job_count, 4);
    assert_int_equal(s->failures, 1);
    world_pass(1 * SECOND);
    assert_int_equal(world.job_count, 5);
    fault(last_job(), SCOPE_DESTINATION);
    world_pass(29 * SECOND);
    assert_int_equal(world.job_count, 5);
    assert_int_equal(s->failures, 2);
}

/* Some of a message's recipients were accepted before the connection was lost. */
static void what_was_served_speaks_for_a_site(void **state)
{
    (void)state;
    world_accept("s@here.test", "x@a.test y@a.test", body);
    world_result(world_job(0), 0, OUTCOME_DELIVERED, SCOPE_RCPT, 250, "Ok");
    world_result(world_job(0), 1, OUTCOME_DEFERRED, SCOPE_DESTINATION, 421, "closing");
    world_end(world_job(0));
    assert_false(site_to("a.test")->backed_off);
}

/* It was cancelled, or its worker ended: the next one goes in its place. */
static void a_probe_that_tells_nothing_is_sent_again(void **state)
{
    uint64_t id = world_accept("s@here.test", "x@a.test", body);

    (void)state;
    fault(world_job(0), SCOPE_DESTINATION);
    world_pass(15 * SECOND);
    assert_int_equal(world.job_count, 2);
    world_lose_worker(world_job(1)->worker);
    world_add_worker(DELIVERY, 0);
    world_run();
    assert_int_equal(world.job_count, 3);
    world_accept("s@here.test", "y@a.test", body);
    admin_hold(&world.queue, index_find(&world.queue.index, id), VIEW("uid 0"));
    world_run();
    assert_true(world_job(2)->cancelled);
    assert_int_equal(world.job_count, 3);
    world_end(world_job(2));
    assert_int_equal(world.job_count, 4);
    deliver(world_job(3));
    assert_false(site_to("a.test")->backed_off);
}

/* ---- what the settings say of some ---- */

static void one_name_is_one_destination(void **state)
{
    (void)state;
    world.mail_hosts = "a.test a.mx.test b.test b1.mx.test,b2.mx.test c.test c.mx.test,evil.test";
    world_reload("destinations: [{name: big, host: .mx.test, concurrency: 1, retry-first: 7s,\n"
                 "                messages-per-connection: 3, connection-rate: 1/200ms}]\n");
    world_accept("s@here.test", "x@a.test", body);
    world_accept("s@here.test", "x@b.test", body);
    world_accept("s@here.test", "x@b.test", body);
    assert_int_equal(world.job_count, 2);
    check_view("name", world_job(0)->start.site, VIEW("big"));
    check_view("hosts", world_job(0)->start.hosts, VIEW("a.mx.test"));
    assert_int_equal(world_job(0)->start.connections, 1);
    assert_int_equal(world_job(0)->start.messages_per_connection, 3);
    assert_int_equal(world_job(0)->start.connection_us, 200000);
    assert_ptr_equal(site_to("a.test"), site_to("b.test"));
    world_accept("s@here.test", "x@c.test", body); /* one of its hosts is somebody else's */
    check_view("own", world_job(2)->start.site, VIEW("c.mx.test,evil.test"));
    world_answer(world_job(0), OUTCOME_DEFERRED, SCOPE_RCPT, 451, "greylisted");
    deliver(world_job(1));
    deliver(world_job(3));
    world_pass(7 * SECOND);
    assert_int_equal(world_job(4)->start.attempt, 2);
    world_reload("");
    check_view("apart again", site_to("a.test")->name, VIEW("a.mx.test"));
}

/* The first back-off is a quarter of the first retry. */
static void its_own_retry_times_are_those_of_its_breaker(void **state)
{
    struct site *s;

    (void)state;
    world_reload("destinations: [{domain: a.test, retry-first: 1h, retry-longest: 4h}]\n");
    world_accept("s@here.test", "x@a.test", body);
    fault(world_job(0), SCOPE_DESTINATION);
    s = site_to("a.test");
    assert_int_equal(s->until_ms - queue_now_ms(&world.queue), 900 * SECOND);
}

static void its_own_retry_times_are_those_of_its_mail(void **state)
{
    static const unsigned seconds[] = { 10, 30, 40, 40 };

    (void)state;
    world_reload("destinations: [{domain: a.test, retry-first: 10s, retry-factor: 3,\n"
                 "                retry-longest: 40s}]\n");
    world_accept("s@here.test", "x@a.test", body);
    for (unsigned i = 0; i < COUNT_OF(seconds); i++) {
        world_answer(world_job(i), OUTCOME_DEFERRED, SCOPE_RCPT, 451, "greylisted");
        world_pass(seconds[i] * SECOND - SECOND);
        assert_int_equal(world.job_count, i + 1);
        world_pass(2 * SECOND);
        assert_int_equal(world.job_count, i + 2);
    }
}

static void leaves_alone_what_an_administrator_holds_back(void **state)
{
    struct site *s;

    (void)state;
    world_accept("s@here.test", "x@a.test", body);
    deliver(world_job(0));
    s = site_to("a.test");
    backoff_force(&world.queue, s, VIEW("uid 0"));
    world_accept("s@here.test", "x@a.test", body);
    world_pass(600 * SECOND);
    world_reload("");
    world_run();
    assert_int_equal(world.job_count, 1);
    backoff_override(&world.queue, s);
    world_run();
    assert_int_equal(world.job_count, 2);
}

/* The mail hosts of one domain cannot be found out: no fault of the hosts that it had. */
static void the_fault_of_a_domain_is_its_own(void **state)
{
    (void)state;
    world.mail_hosts = "a.test mx.test b.test mx.test";
    world_accept("s@here.test", "x@a.test", body);
    world_accept("s@here.test", "x@b.test", body);
    fault(world_job(0), SCOPE_DOMAIN);
    world_accept("s@here.test", "x@b.test", body);
    assert_int_equal(world.job_count, 3);
    assert_false(site_to("b.test")->backed_off);
    assert_true(site_to("a.test")->backed_off);
    check_view("site", site_to("a.test")->name, VIEW("a.test"));
    world_pass(15 * SECOND);
    assert_int_equal(world.job_count, 4);
    check_view("still apart", site_to("a.test")->name, VIEW("a.test"));
    fault(world_job(3), SCOPE_DOMAIN); /* its hosts are known, and it has trouble all the same */
    world_pass(29 * SECOND);
    assert_int_equal(world.job_count, 4);
    world_pass(1 * SECOND);
    deliver(world_job(4));
    check_view("back among its hosts", site_to("a.test")->name, VIEW("mx.test"));
}

static void follows_a_domain_to_other_hosts(void **state)
{
    (void)state;
    world.mail_hosts = "a.test mx.test b.test mx.test";
    world_accept("s@here.test", "x@a.test", body);
    world_accept("s@here.test", "x@b.test", body);
    fault(world_job(0), SCOPE_DESTINATION);
    fault(world_job(1), SCOPE_DESTINATION);
    for (int i = 0; i < 5; i++)
        world_accept("s@here.test", "y@b.test", body);
    assert_int_equal(world.job_count, 2);
    world.mail_hosts = "a.test mx.test b.test mx.new.test";
    /* What is known is not old at the first probe. The one that finds it old asks. */
    for (unsigned i = 0; world.job_count < 5 && i < 10; i++) {
        world_pass(30 * SECOND);
        if (world.job_count == 3 && !world_job(2)->ended)
            fault(world_job(2), SCOPE_DESTINATION);
    }
    check_view("new site", site_to("b.test")->name, VIEW("mx.new.test"));
    assert_false(site_to("b.test")->backed_off);
    assert_true(site_to("a.test")->backed_off);
    assert_true(world.job_count > 5);
}

/* Who does not answer about one domain holds up no other. */
static void waits_for_the_answer_of_its_own_domain_alone(void **state)
{
    (void)state;
    world.silent = true;
    world_accept("s@here.test", "x@a.test", body);
    assert_int_equal(world.job_count, 0);
    assert_int_equal(world.asked, 1);
    world.silent = false;
    world_accept("s@here.test", "x@b.test", body);
    assert_int_equal(world.job_count, 1);
    world_lose_worker(&world.workers[0]);
    world_add_worker(DELIVERY, 0);
    world_run(); /* the next one is asked again */
    assert_int_equal(world.asked, 3);
    assert_int_equal(world.job_count, 3);
}

static void asks_again_when_it_has_become_old(void **state)
{
    (void)state;
    world.mail_hosts = "a.test mx.test";
    for (unsigned i = 0; i < 3; i++) {
        world_accept("s@here.test", "x@a.test", body);
        deliver(world_job(i));
    }
    assert_int_equal(world.asked, 1);
    world_pass(MX_FRESH_MS);
    world_accept("s@here.test", "x@a.test", body);
    assert_int_equal(world.asked, 2);
    assert_int_equal(world.job_count, 4);
}

/* How many of a mailing go after the single message has come, and before it does. */
static unsigned count_overtaken(const char *sender)
{
    unsigned running = world.job_count, n = 0;

    world_accept(sender, "reset@a.test", body);
    assert_int_equal(world.job_count, running);
    for (;; n++) {
        deliver(world_job(running + n - 2));
        assert_int_equal(world.job_count, running + n + 1);
        if (view_equal(last_job()->envelope.rcpts[0].address, VIEW("reset@a.test")))
            return n;
    }
}

/* On its way over one connection; another sender, another login, a message of more priority. */
static void a_bulk_mailing_delays_nobody_else(void **state)
{
    (void)state;
    world_reload("destinations: [{domain: a.test, concurrency: 1}]\n");
    world.said.login = VIEW("crm");
    for (int i = 0; i < 10000; i++)
        world_accept("bulk@here.test", "x@a.test", body);
    assert_int_equal(world.job_count, 2);
    world.said.login = VIEW("portal");
    assert_in_range(count_overtaken("bulk@here.test"), 0, 1);
    world.said.login = VIEW_EMPTY;
    assert_in_range(count_overtaken("reset@here.test"), 0, 1);
    world.said.login = VIEW("crm");
    world.said.priority = 3;
    assert_in_range(count_overtaken("bulk@here.test"), 0, 0);
    world.said.priority = 0; /* that is the mailing itself */
    deliver(world_job(world.job_count - 2));
    check_view("the mailing goes on", last_job()->envelope.rcpts[0].address, VIEW("x@a.test"));
}

/* A mailing in which each message has a reverse-path of its own is one sender, too. */
static void so_does_one_with_many_return_paths(void **state)
{
    char from[64];

    (void)state;
    world_reload("destinations: [{domain: a.test, concurrency: 1}]\n");
    for (int i = 0; i < 100; i++) {
        snprintf(from, sizeof(from), "news-%d-x%d=a.test@list.test", i, i);
        world_accept(from, "x@a.test", body);
    }
    assert_in_range(count_overtaken("reset@here.test"), 0, 1);
}

/* However many others are slow. The worker takes 50 jobs. */
static void what_works_always_moves(void **state)
{
    char rcpt[32];

    (void)state;
    world_accept("s@here.test", "x@works.test", body);
    deliver(world_job(0));
    world_accept("s@here.test", "x@fails.test", body);
    fault(world_job(1), SCOPE_DESTINATION);
    for (unsigned i = 0; i < 50; i++) {
        snprintf(rcpt, sizeof(rcpt), "x@slow%u.test", i);
        world_accept("s@here.test", rcpt, body);
    }
    assert_int_equal(world.job_count, 2 + 44); /* all but half of a quarter */
    world_accept("s@here.test", "y@works.test", body);
    assert_int_equal(world.job_count, 47);
    check_view("works", last_job()->start.hop_name, VIEW("works.test"));
    world_pass(20 * SECOND); /* the time of the probe */
    assert_int_equal(world.job_count, 47);
    for (unsigned i = 2; world_job(world.job_count - 1)->start.attempt == 1; i++)
        deliver(world_job(i));
    check_view("fails", last_job()->start.hop_name, VIEW("fails.test"));
}

static void refuses_an_answer_to_no_question(void **state)
{
    static const struct message_mx_answer never = { 1000, VIEW_INIT("mx.test"), 0 };

    (void)state;
    peer_send_mx_answer(&world.workers[0].peer, &never, -1);
    world_run();
    assert_true(world.workers[0].gone);
}

/* A worker that was taken over by a server it talks to must not put anything into logs and lists,
 * nor get all mail at once. */
static void refuses_hosts_that_are_none(void **state)
{
    static const struct view names[] = {
        VIEW_INIT(""),
        VIEW_INIT("mx.test,_mx-2.test,+1234abcd"), /* these are */
        VIEW_INIT("mx.test\nsite"),
        VIEW_INIT("mx.test,,mx2.test"),
        VIEW_INIT(",mx.test"),
        VIEW_INIT("mx.test, mx2.test"),
        VIEW_INIT("mx+.test"),
        VIEW_INIT("m\xc3\xbc.test"),
    };
    char room[1024];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const struct message_mx_answer m = { .question = 1, .hosts = names[i] };
        struct buf packet = BUF_ON_ARRAY(room);
        struct message_mx_answer out;

        assert_true(message_mx_answer_encode(&m, &packet));
        assert_int_equal(message_mx_answer_decode(view_from(buf_view(&packet), 1), &out), i < 2);
    }
}

static void refuses_more_jobs_than_can_be(void **state)
{
    static const struct message_ready_for greedy = { JOBS_MOST + 1 };

    (void)state;
    peer_send_ready_for(&world.workers[0].peer, &greedy, -1);
    world_run();
    assert_true(world.workers[0].gone);
}

int main(void)
{
#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, world_open, world_close)
    const struct CMUnitTest tests[] = {
        IN_WORLD(one_limit_holds_for_all_domains_of_a_host),
        IN_WORLD(one_breaker_holds_for_all_domains_of_a_host),
        IN_WORLD(one_refused_connection_stops_nobody),
        IN_WORLD(judges_a_site_by_what_it_did),
        IN_WORLD(trouble_outweighs_what_came_before_it),
        IN_WORLD(what_a_message_may_have_done_waits_for_itself),
        IN_WORLD(a_message_that_ends_its_connection_is_not_believed_alone),
        IN_WORLD(what_was_served_speaks_for_a_site),
        IN_WORLD(a_probe_that_tells_nothing_is_sent_again),
        IN_WORLD(its_own_retry_times_are_those_of_its_breaker),
        IN_WORLD(its_own_retry_times_are_those_of_its_mail),
        IN_WORLD(one_name_is_one_destination),
        IN_WORLD(leaves_alone_what_an_administrator_holds_back),
        IN_WORLD(the_fault_of_a_domain_is_its_own),
        IN_WORLD(follows_a_domain_to_other_hosts),
        IN_WORLD(waits_for_the_answer_of_its_own_domain_alone),
        IN_WORLD(asks_again_when_it_has_become_old),
        IN_WORLD(a_bulk_mailing_delays_nobody_else),
        IN_WORLD(so_does_one_with_many_return_paths),
        IN_WORLD(what_works_always_moves),
        IN_WORLD(refuses_an_answer_to_no_question),
        IN_WORLD(refuses_hosts_that_are_none),
        IN_WORLD(refuses_more_jobs_than_can_be),
    };
#undef IN_WORLD

    return cmocka_run_group_tests_name("sites", tests, NULL, NULL);
}
