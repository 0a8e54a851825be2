/* Whom the queue tells what, as the sender asked for it (RFC 3461). */
#include "queue/admin.h"
#include "queue/notify.h"

#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/queue/world.h"

enum { MINUTE = 60 * 1000, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

static const struct view body = VIEW_INIT("Subject: lunch\r\n\r\nAt noon?\r\n");

static bool has(const struct world_job *j, const char *text)
{
    return view_find_view(view_make(j->body, j->body_len), view_of(text)) < j->body_len;
}

static void deliver(struct world_job *j)
{
    world_answer(j, OUTCOME_DELIVERED, SCOPE_RCPT, 250, "Ok");
}

static void refuse(struct world_job *j)
{
    world_answer(j, OUTCOME_FAILED, SCOPE_RCPT, 550, "No such user");
}

/* The notice that went out after `n` jobs; delivered, and nothing more is left. */
static struct world_job *last_notice(unsigned n)
{
    struct world_job *j = world_job(n);

    assert_int_equal(j->envelope.sender.len, 0);
    check_view("to", j->envelope.rcpts[0].address, VIEW("a@here.test"));
    deliver(j);
    assert_int_equal(world.job_count, n + 1);
    assert_int_equal(world.queue.index.mails.count, 0);
    return j;
}

static void nothing_after(unsigned jobs)
{
    assert_int_equal(world.job_count, jobs);
    assert_int_equal(world.queue.index.mails.count, 0);
}

static void failures_are_told_as_notify_says(void **state)
{
    static const unsigned notify[] = { NOTIFY_NEVER, NOTIFY_SUCCESS | NOTIFY_DELAY, NOTIFY_FAILURE,
                                       NOTIFY_UNSAID, NOTIFY_EXPANDED };
    struct world_job *j;

    (void)state;
    world.notify = notify;
    world.said.envelope_id = VIEW("QQ314159");
    world_accept("a@here.test", "n@x.test s@x.test f@x.test u@x.test e@x.test", body);
    /* What the address of several is told of comes first. */
    j = world_job(1);
    assert_true(has(j, "Action: expanded") && has(j, "e@x.test") && !has(j, "f@x.test"));
    deliver(j);
    refuse(world_job(0));
    j = last_notice(2);
    assert_true(has(j, "Original-Envelope-Id: QQ314159\r\n"));
    assert_true(has(j, "f@x.test") && has(j, "u@x.test") && has(j, "e@x.test"));
    assert_false(has(j, "n@x.test") || has(j, "s@x.test"));
    assert_int_equal(memory_store.settled_by_notice, 5 + 1); /* that it was expanded, too */
}

/* The queue dies before the notice is durable, or after it. */
static void an_expansion_is_told_once_whenever_the_queue_dies(void **state)
{
    static const unsigned notify[] = { NOTIFY_UNSAID, NOTIFY_EXPANDED };

    (void)state;
    world.notify = notify;
    for (unsigned lost = 0; lost < 2; lost++) {
        unsigned before;

        memory_store.trouble = lost ? SPOOL_BROKEN : SPOOL_FINE;
        memory_store.spared = 1;
        before = memory_store.accepted;
        world_accept("a@here.test", "b@x.test e@x.test", body);
        assert_int_equal(memory_store.accepted - before, lost ? 1 : 2);
        memory_store.trouble = SPOOL_FINE;
        for (int restarts = 0; restarts < 3; restarts++) {
            world_restart();
            memory_store_move();
            world_run();
            assert_int_equal(memory_store.accepted - before, 2);
        }
    }
}

/* Of a message that waits, and of one that has gone meanwhile. */
static void an_expansion_that_the_spool_refused_is_told_later(void **state)
{
    static const unsigned notify[] = { NOTIFY_EXPANDED };
    struct world_job *j;

    (void)state;
    for (unsigned gone = 0; gone < 2; gone++) {
        unsigned before = memory_store.settled_by_notice;

        world.notify = notify;
        memory_store.trouble = SPOOL_FULL;
        memory_store.spared = 1;
        world_accept("a@here.test", "e@x.test", body);
        if (gone)
            deliver(world_job(0));
        world_pass(10 * MINUTE);
        assert_int_equal(world.job_count, 1);
        memory_store.trouble = SPOOL_FINE;
        world_pass(MINUTE);
        j = world_job(1);
        assert_true(has(j, "Action: expanded") && has(j, "e@x.test"));
        assert_int_equal(memory_store.settled_by_notice - before, gone ? 0 : 1);
        deliver(j);
        if (!gone)
            deliver(world_job(0));
        nothing_after(2);
        world_forget_jobs();
    }
}

enum { MANY = 1000 };

static void a_full_envelope_has_its_expansion_told_once(void **state)
{
    static unsigned notify[MANY];
    static char list[MANY * 16];
    size_t at = 0;

    (void)state;
    for (int i = 0; i < MANY; i++) {
        notify[i] = i == 7 ? NOTIFY_EXPANDED : NOTIFY_NEVER;
        at += (size_t)snprintf(list + at, sizeof(list) - at, "u%d@x.test ", i);
    }
    world.notify = notify;
    memory_store.trouble = SPOOL_BROKEN;
    memory_store.spared = 1;
    world_accept("a@here.test", list, body);
    assert_int_equal(memory_store.accepted, 1);
    memory_store.trouble = SPOOL_FINE;
    for (int restarts = 0; restarts < 3; restarts++) {
        world_restart();
        world_run();
        assert_int_equal(memory_store.accepted, 2);
    }
}

static void nobody_is_told_who_does_not_want_it(void **state)
{
    static const unsigned notify[] = { NOTIFY_NEVER, NOTIFY_SUCCESS };

    (void)state;
    world.notify = notify;
    world_accept("a@here.test", "n@x.test s@x.test", body);
    refuse(world_job(0));
    nothing_after(1);
    assert_int_equal(memory_store.settled[STORE_FAILED], 2);
}

static void delays_are_told_as_notify_says(void **state)
{
    static const unsigned notify[] = { NOTIFY_NEVER, NOTIFY_FAILURE, NOTIFY_DELAY };
    unsigned notices = 0;

    (void)state;
    world.notify = notify;
    world_accept("a@here.test", "n@x.test f@x.test d@x.test", body);
    for (unsigned i = 0; i < 3 * 60; i++) {
        for (unsigned n = 0; n < world.job_count; n++) {
            struct world_job *j = world_job(n);

            if (j->ended)
                continue;
            if (j->envelope.sender.len == 0) {
                notices++;
                assert_true(has(j, "Action: delayed") && has(j, "d@x.test"));
                assert_false(has(j, "n@x.test") || has(j, "f@x.test"));
                deliver(j);
            } else {
                world_answer(j, OUTCOME_DEFERRED, SCOPE_RCPT, 451, "later");
            }
        }
        world_pass(MINUTE);
    }
    assert_int_equal(notices, 1);
}

/* ---- one notice for all ---- */

static bool tells_of(const struct world_job *notice, const struct world_job *j)
{
    struct view text = view_make(notice->body, notice->body_len);

    return view_find_view(text, j->envelope.rcpts[0].address) < text.len;
}

static void one_notice_tells_of_all_destinations(void **state)
{
    (void)state;
    world_accept("a@here.test", "x@a.test x@b.test x@c.test x@d.test", body);
    assert_int_equal(world.job_count, 4);
    for (unsigned i = 0; i < 4; i++)
        refuse(world_job(i));
    assert_int_equal(memory_store.settled_by_notice, 4);
    assert_true(has(world_job(4), "x@a.test") && has(world_job(4), "x@d.test"));
    assert_true(has(world_job(4), "No such user"));
    (void)last_notice(4);
}

/* The others may be deferred, or delivered; what is timed is not waited for. */
static void a_notice_waits_for_what_is_under_way(void **state)
{
    (void)state;
    world_accept("a@here.test", "x@a.test x@b.test x@c.test", body);
    refuse(world_job(0));
    world_answer(world_job(1), OUTCOME_DEFERRED, SCOPE_RCPT, 450, "later");
    assert_int_equal(world.job_count, 3);
    deliver(world_job(2));
    assert_int_equal(world.job_count, 4);
    assert_true(tells_of(world_job(3), world_job(0)));
    assert_false(tells_of(world_job(3), world_job(1)));
    deliver(world_job(3));
    world_pass(MINUTE);
    deliver(world_job(4));
    nothing_after(5);
}

static void a_notice_does_not_wait_long(void **state)
{
    (void)state;
    world_accept("a@here.test", "x@a.test x@b.test", body);
    refuse(world_job(0));
    world_pass(29 * 1000);
    assert_int_equal(world.job_count, 2);
    world_pass(1 * 1000);
    assert_int_equal(world.job_count, 3);
    assert_true(tells_of(world_job(2), world_job(0)));
    deliver(world_job(2));
    refuse(world_job(1));
    assert_true(tells_of(world_job(3), world_job(1)));
    (void)last_notice(3);
}

/* Who was refused for good is not asked for again, however long the spool takes no notice. */
static void a_notice_that_fails_is_made_again(void **state)
{
    (void)state;
    world_accept("a@here.test", "x@a.test", body);
    memory_store.trouble = SPOOL_FULL;
    refuse(world_job(0));
    world_pass(10 * MINUTE);
    assert_int_equal(world.job_count, 1);
    assert_int_equal(world.queue.totals.bounced, 1);
    memory_store.trouble = SPOOL_FINE;
    world_pass(1 * MINUTE);
    assert_true(has(world_job(1), "x@a.test") && has(world_job(1), "No such user"));
    (void)last_notice(1);
    assert_int_equal(world.queue.totals.bounced, 1);
}

/* A stop while the notice waits: they are tried again, and told of once. */
static void a_stop_loses_no_notice(void **state)
{
    (void)state;
    world_accept("a@here.test", "x@a.test x@b.test", body);
    refuse(world_job(0));
    world_restart();
    world_run();
    assert_int_equal(memory_store.settled_by_notice, 0);
    assert_int_equal(world.job_count, 2);
    refuse(world_job(0));
    refuse(world_job(1));
    assert_int_equal(memory_store.settled_by_notice, 2);
    (void)last_notice(2);
}

static void nobody_is_told_of_what_was_deleted_meanwhile(void **state)
{
    uint64_t id = world_accept("a@here.test", "x@a.test x@b.test", body);

    (void)state;
    refuse(world_job(0));
    admin_delete(&world.queue, index_find(&world.queue.index, id), VIEW("uid 0"));
    world_pass(MINUTE);
    refuse(world_job(1));
    assert_int_equal(world.job_count, 2);
    assert_int_equal(world.queue.totals.bounced, 0);
}

static const struct {
    const char *name, *rcpt;
    bool dsn, final;
    unsigned notify;
    const char *action; /* NULL: nobody is told */
} arrivals[] = {
    { "into a mailbox", "b@local.test", false, false, NOTIFY_SUCCESS, "Action: delivered" },
    { "into one by LMTP", "b@x.test", false, true, NOTIFY_SUCCESS, "Action: delivered" },
    { "passed on", "b@x.test", false, false, NOTIFY_SUCCESS | NOTIFY_FAILURE, "Action: relayed" },
    { "to a host that tells", "b@x.test", true, false, NOTIFY_SUCCESS, NULL },
    { "not asked for", "b@local.test", false, false, NOTIFY_FAILURE, NULL },
    { "nothing said", "b@local.test", false, false, NOTIFY_UNSAID, NULL },
};

static void success_is_told_once_where_it_is_asked_for(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(arrivals); i++) {
        unsigned jobs = world.job_count;

        world.notify = &arrivals[i].notify;
        world.dsn = arrivals[i].dsn;
        world.final = arrivals[i].final;
        world_accept("a@here.test", arrivals[i].rcpt, body);
        deliver(world_job(jobs));
        if (arrivals[i].action == NULL) {
            check(arrivals[i].name, world.job_count == jobs + 1);
            continue;
        }
        check(arrivals[i].name, has(world_job(jobs + 1), arrivals[i].action));
        check(arrivals[i].name, has(world_job(jobs + 1), "Status: 2.1.1"));
        (void)last_notice(jobs + 1);
    }
    assert_int_equal(world.queue.index.mails.count, 0);
    /* There is nobody to tell. */
    world.notify = &arrivals[0].notify;
    world_accept("", "b@local.test", body);
    deliver(world_job(world.job_count - 1));
    assert_int_equal(world.queue.index.mails.count, 0);
}

/* RFC 3461 asks for no more: what arrives at another time, or elsewhere, is told of apart. */
static void success_is_told_for_each_attempt(void **state)
{
    static const unsigned notify[] = { NOTIFY_SUCCESS, NOTIFY_SUCCESS, NOTIFY_SUCCESS };
    unsigned notices = 0;

    (void)state;
    world.notify = notify;
    world_accept("a@here.test", "s@x.test t@x.test u@y.test", body);
    for (unsigned i = 0; i < world.job_count; i++) {
        struct world_job *j = world_job(i);

        if (j->envelope.sender.len == 0) {
            notices++;
            assert_true(has(j, "s@x.test") == has(j, "t@x.test") &&
                        has(j, "s@x.test") != has(j, "u@y.test"));
        }
        deliver(j);
    }
    assert_int_equal(notices, 2);
    nothing_after(4);
}

/* One job brings all that there is: each recipient is settled by itself. */
static void settles_arrivals_and_failures_of_one_job(void **state)
{
    static const unsigned notify[] = { NOTIFY_SUCCESS, NOTIFY_UNSAID, NOTIFY_SUCCESS,
                                       NOTIFY_UNSAID };
    struct world_job *j;

    (void)state;
    world.notify = notify;
    world_accept("a@here.test", "s@x.test u@x.test t@x.test f@x.test", body);
    j = world_job(0);
    for (uint32_t i = 0; i < 3; i++)
        world_result(j, i, OUTCOME_DELIVERED, SCOPE_RCPT, 250, "Ok");
    world_result(j, 3, OUTCOME_FAILED, SCOPE_RCPT, 550, "No such user");
    world_end(j);
    assert_int_equal(world.job_count, 3);
    j = world_job(1);
    assert_true(has(j, "Action: relayed") && has(j, "s@x.test") && has(j, "t@x.test"));
    assert_false(has(j, "u@x.test") || has(j, "f@x.test"));
    deliver(j);
    j = last_notice(2);
    assert_true(has(j, "Action: failed") && has(j, "f@x.test") && !has(j, "s@x.test"));
    assert_int_equal(memory_store.settled_by_notice, 3);
    assert_int_equal(memory_store.settled[STORE_DELIVERED], 1);
}

/* A notice that the spool did not take comes later, and what has arrived is not sent again. */
static void an_arrival_is_one_and_is_told_when_there_is_room(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(arrivals); i++) {
        unsigned before = memory_store.settled[STORE_DELIVERED];

        if (arrivals[i].action == NULL)
            continue;
        world.notify = &arrivals[i].notify;
        world.final = arrivals[i].final;
        world_accept("a@here.test", arrivals[i].rcpt, body);
        memory_store.trouble = SPOOL_FULL;
        deliver(world_job(0));
        world_pass(10 * MINUTE);
        assert_int_equal(world.job_count, 1);
        assert_int_equal(memory_store.settled[STORE_DELIVERED], before + 1);
        memory_store.trouble = SPOOL_FINE;
        world_pass(MINUTE);
        check(arrivals[i].name, has(world_job(1), arrivals[i].action));
        check(arrivals[i].name, has(world_job(1), arrivals[i].rcpt));
        (void)last_notice(1);
        world_pass(DAY);
        nothing_after(2);
        world_forget_jobs();
    }
}

/* A stop while the notice waits. */
static void an_arrival_is_told_once_whenever_the_queue_dies(void **state)
{
    static const unsigned notify[] = { NOTIFY_SUCCESS, NOTIFY_UNSAID, NOTIFY_SUCCESS };

    (void)state;
    world.notify = notify;
    world_accept("a@here.test", "b@x.test c@x.test d@local.test", body);
    memory_store.trouble = SPOOL_FULL;
    deliver(world_job(0));
    deliver(world_job(1));
    world_restart();
    world_run();
    world_pass(10 * MINUTE); /* the spool still takes none */
    assert_int_equal(world.job_count, 0);
    memory_store.trouble = SPOOL_FINE;
    world_restart();
    memory_store_move();
    world_run();
    assert_int_equal(world.job_count, 2);
    for (unsigned i = 0; i < 2; i++) {
        struct world_job *j = world_job(i);

        assert_int_equal(j->envelope.sender.len, 0);
        assert_true(has(j, "Action: relayed") == has(j, "b@x.test"));
        assert_true(has(j, "Action: delivered") == has(j, "d@local.test"));
        assert_true(has(j, "b@x.test") != has(j, "d@local.test") && !has(j, "c@x.test"));
        deliver(j);
    }
    nothing_after(2);
    world_restart();
    world_pass(HOUR);
    nothing_after(0);
}

/* The message is not given, of which the notice is to be made. */
static void a_notice_is_made_when_its_message_can_be_read(void **state)
{
    static const unsigned success[] = { NOTIFY_SUCCESS }, several[] = { NOTIFY_EXPANDED };

    (void)state;
    world.notify = success;
    world_accept("a@here.test", "b@x.test", body);
    world_restart(); /* it is not in memory any more */
    world_run();
    memory_store.unreadable = EIO;
    deliver(world_job(0));
    world_pass(10 * MINUTE);
    assert_int_equal(world.job_count, 1);
    memory_store.unreadable = 0;
    world_pass(MINUTE);
    assert_true(has(world_job(1), "Action: relayed"));
    (void)last_notice(1);

    world.notify = several;
    memory_store.trouble = SPOOL_BROKEN;
    memory_store.spared = 1;
    world_accept("a@here.test", "e@x.test", body);
    memory_store.trouble = SPOOL_FINE;
    memory_store.unreadable = EIO;
    world_restart();
    world_pass(10 * MINUTE);
    assert_int_equal(world.job_count, 0);
    memory_store.unreadable = 0;
    world_pass(2 * MINUTE);
    assert_int_equal(memory_store.settled_by_notice, 2);
    world_pass(HOUR); /* the message itself rests for longer */
    for (unsigned i = 0; i < world.job_count; i++)
        deliver(world_job(i));
    nothing_after(2);
}

static void the_notice_of_success_survives_a_restart_and_comes_once(void **state)
{
    static const unsigned notify[] = { NOTIFY_SUCCESS, NOTIFY_UNSAID };

    (void)state;
    world.notify = notify;
    world_accept("a@here.test", "b@x.test c@y.test", body);
    deliver(
        world_job(view_equal(world_job(0)->envelope.rcpts[0].address, VIEW("b@x.test")) ? 0 : 1));
    assert_true(has(world_job(2), "Action: relayed"));
    world_restart();
    /* The other recipient, and the notice. */
    assert_int_equal(world.job_count, 2);
    for (unsigned i = 0; i < 2; i++) {
        if (world_job(i)->envelope.sender.len > 0)
            check_view("other", world_job(i)->envelope.rcpts[0].address, VIEW("c@y.test"));
        deliver(world_job(i));
    }
    nothing_after(2);
}

static void the_whole_message_comes_back_when_asked(void **state)
{
    struct world_job *j;

    (void)state;
    world.said.returns = RETURN_FULL;
    world_accept("a@here.test", "b@x.test", body);
    refuse(world_job(0));
    j = last_notice(1);
    assert_true(has(j, "Content-Type: message/rfc822") && has(j, "At noon?"));
    world.said.returns = RETURN_HEADERS;
    world_accept("a@here.test", "b@x.test", body);
    refuse(world_job(2));
    j = last_notice(3);
    assert_true(has(j, "Content-Type: text/rfc822-headers") && !has(j, "At noon?"));
}

static void notices_in_utf8_go_with_smtputf8(void **state)
{
    struct world_job *j;

    (void)state;
    world.said.utf8 = true;
    world_accept("a@here.test", "\xc3\xa4@x.test", body);
    refuse(world_job(0));
    j = last_notice(1);
    assert_true(j->envelope.utf8 && j->envelope.body_8bit);
    assert_true(has(j, "Final-Recipient: utf-8; \xc3\xa4@x.test"));
}

/* Servers may say much, and each byte may take four in both parts of the notice. */
static void a_notice_of_very_many_fits_the_spool(void **state)
{
    enum { TAKEN = 3 << 20 };
    static char list[MANY * 16], text[OUTCOME_TEXT_MAX + 1];
    size_t at = 0;

    (void)state;
    for (int i = 0; i < MANY; i++)
        at += (size_t)snprintf(list + at, sizeof(list) - at, "u%d@x.test ", i);
    memset(text, 0xff, OUTCOME_TEXT_MAX);
    world_accept("a@here.test", list, body);
    world_answer(world_job(0), OUTCOME_FAILED, SCOPE_RCPT, 550, text);
    assert_true(world_job(1)->body_len < TAKEN && has(world_job(1), "u999@x.test"));
    (void)last_notice(1);
}

/* Of the smallest segments, whatever recipients and servers say. */
static void a_notice_of_long_addresses_fits_the_spool(void **state)
{
    enum { SEGMENT = 1 << 20, ENVELOPE = 64 << 10, NAME = 64, DOMAIN = 180 };
    static char list[MANY * (NAME + DOMAIN + 16)], text[OUTCOME_TEXT_MAX + 1];
    static char header[40000];
    char domain[DOMAIN + 1];
    struct world_job *notice = NULL;
    size_t at = 0;

    (void)state;
    for (size_t i = 0; i < DOMAIN; i++)
        domain[i] = i % 60 == 59 && i + 1 < DOMAIN ? '.' : 'd';
    domain[DOMAIN] = '\0';
    for (int i = 0; i < MANY; i++)
        at += (size_t)snprintf(list + at, sizeof(list) - at, "%0*d@%s ", NAME, i, domain);
    memset(text, 0xff, OUTCOME_TEXT_MAX);
    memset(header, 0xff, sizeof(header));
    for (size_t i = 0; i + 1 < sizeof(header); i += 500)
        memcpy(header + i, "X: ", 3);
    for (size_t i = 498; i + 1 < sizeof(header); i += 500)
        memcpy(header + i, "\r\n", 2);
    world_accept("a@here.test", list, view_make(header, sizeof(header)));
    for (unsigned i = 0; world_job(i)->envelope.sender.len > 0; i++) {
        world_answer(world_job(i), OUTCOME_FAILED, SCOPE_RCPT, 550, text);
        notice = world_job(i + 1);
    }
    assert_true(notice->body_len < SEGMENT - ENVELOPE);
    assert_true(has(notice, "and ") && has(notice, " others, who are listed below."));
    assert_true(has(notice, "Final-Recipient: rfc822; 0") && has(notice, "999@dddd"));
    deliver(notice);
    assert_int_equal(world.queue.index.mails.count, 0);
}

static unsigned count_bounced(const char *client, const char *login, unsigned messages)
{
    unsigned notices = 0;

    world.said.client = view_of(client);
    world.said.login = view_of(login);
    for (unsigned i = 0; i < messages; i++) {
        world_forget_jobs();
        world_accept("a@here.test", "b@x.test", body);
        refuse(world_job(0));
        if (world.job_count > 1) {
            notices++;
            deliver(world_job(1));
        }
        assert_int_equal(world.queue.index.mails.count, 0);
    }
    return notices;
}

static void strangers_cause_so_many_notices(void **state)
{
    (void)state;
    world.settings.limits.notices = 3;
    assert_int_equal(count_bounced("192.0.2.7", "", 5), 3);
    assert_int_equal(count_bounced("192.0.2.7", "bob", 2), 2);
    assert_int_equal(count_bounced("127.0.0.1", "", 2), 2);
    world_pass(HOUR);
    assert_int_equal(count_bounced("192.0.2.7", "", 5), 3);
}

/* Whatever they tell of: a reverse-path that is forged gets none of it. */
static void each_kind_of_notice_counts(void **state)
{
    static const unsigned success[] = { NOTIFY_SUCCESS }, several[] = { NOTIFY_EXPANDED };

    (void)state;
    world.settings.limits.notices = 1;
    world.said.client = VIEW("192.0.2.7");
    assert_int_equal(count_bounced("192.0.2.7", "", 1), 1);
    world_forget_jobs();
    world.notify = success;
    world_accept("a@here.test", "b@x.test", body);
    deliver(world_job(0));
    world.notify = several;
    world_accept("a@here.test", "b@x.test", body);
    deliver(world_job(1));
    nothing_after(2);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(failures_are_told_as_notify_says),
        IN_WORLD(an_expansion_is_told_once_whenever_the_queue_dies),
        IN_WORLD(an_expansion_that_the_spool_refused_is_told_later),
        IN_WORLD(a_full_envelope_has_its_expansion_told_once),
        IN_WORLD(nobody_is_told_who_does_not_want_it),
        IN_WORLD(delays_are_told_as_notify_says),
        IN_WORLD(success_is_told_once_where_it_is_asked_for),
        IN_WORLD(success_is_told_for_each_attempt),
        IN_WORLD(settles_arrivals_and_failures_of_one_job),
        IN_WORLD(an_arrival_is_one_and_is_told_when_there_is_room),
        IN_WORLD(an_arrival_is_told_once_whenever_the_queue_dies),
        IN_WORLD(a_notice_is_made_when_its_message_can_be_read),
        IN_WORLD(the_notice_of_success_survives_a_restart_and_comes_once),
        IN_WORLD(the_whole_message_comes_back_when_asked),
        IN_WORLD(notices_in_utf8_go_with_smtputf8),
        IN_WORLD(a_notice_of_very_many_fits_the_spool),
        IN_WORLD(a_notice_of_long_addresses_fits_the_spool),
        IN_WORLD(strangers_cause_so_many_notices),
        IN_WORLD(each_kind_of_notice_counts),
        IN_WORLD(one_notice_tells_of_all_destinations),
        IN_WORLD(a_notice_waits_for_what_is_under_way),
        IN_WORLD(a_notice_does_not_wait_long),
        IN_WORLD(a_notice_that_fails_is_made_again),
        IN_WORLD(a_stop_loses_no_notice),
        IN_WORLD(nobody_is_told_of_what_was_deleted_meanwhile),
    };

    return cmocka_run_group_tests_name("queue/notify", tests, NULL, NULL);
}
