#include "queue/admin.h"
#include "queue/deadline.h"
#include "queue/queue.h"

#include "tests/unit/unit.h"

#include "common/crc32c.h"
#include "common/memory.h"
#include "io/clock.h"
#include "mail/body.h"
#include "queue/dispatch.h"
#include "tests/unit/queue/world.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

static const struct view body = VIEW_INIT("Subject: lunch\r\n\r\nAt noon?\r\n");

static void deliver(struct world_job *j)
{
    world_answer(j, OUTCOME_DELIVERED, SCOPE_RCPT, 250, "Ok");
}

static void defer(struct world_job *j)
{
    world_answer(j, OUTCOME_DEFERRED, SCOPE_RCPT, 451, "greylisted");
}

static void fault(struct world_job *j)
{
    world_answer(j, OUTCOME_DEFERRED, SCOPE_DESTINATION, 0, "connection refused");
}

static struct view job_body(const struct world_job *j)
{
    return view_make(j->body, j->body_len);
}

static bool body_has(const struct world_job *j, const char *text)
{
    return view_find_view(job_body(j), view_of(text)) < j->body_len;
}

static uint32_t count_mails(void)
{
    return world.queue.index.mails.count;
}

/* Destinations that have mail. */
static uint32_t count_busy(void)
{
    return world.queue.index.destinations.count - world.queue.index.resting_count;
}

/* ---- the straight road ---- */

static void delivers_what_smtpd_commits(void **state)
{
    uint64_t id = world_accept("a@here.test", "B@There.test", body);
    const struct world_job *j = world_job(0);

    (void)state;
    assert_true(id != 0);
    assert_true(j->start.message == id);
    assert_int_equal(j->start.attempt, 1);
    assert_int_equal(j->envelope.rcpt_count, 1);
    check_view("recipient", j->envelope.rcpts[0].address, VIEW("B@There.test"));
    check_view("sender", j->envelope.sender, VIEW("a@here.test"));
    check_view("hop", j->start.hop_name, VIEW("there.test"));
    check_view("body", job_body(j), body);
    assert_true(j->start.body_crc == crc32c(0, body));
    deliver(world_job(0));
    assert_int_equal(memory_store.finished, 1);
    assert_int_equal(count_mails(), 0);
    assert_int_equal(count_busy(), 0);
    assert_int_equal(world.queue.cache.bytes, 0);
    assert_int_equal(world.queue.totals.delivered, 1);
}

static void carries_bodies_that_exceed_a_packet(void **state)
{
    static const size_t sizes[] = { 0, 30001, 65000, 65536, 66000, 250000 };
    char *long_body = memory_new(250000);

    (void)state;
    for (size_t i = 0; i < 250000; i++)
        long_body[i] = (char)('a' + (i * i) % 23);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct view content = view_make(long_body, sizes[i]);

        assert_true(world_accept("a@here.test", "b@there.test", content) != 0);
        check_view("body", job_body(world_job((unsigned)i)), content);
        deliver(world_job((unsigned)i));
    }
    free(long_body);
}

static void hands_big_bodies_over_as_files(void **state)
{
    const struct message_spool_open open = { 7 };
    struct message_spool_commit commit = {
        .transaction = 7,
        .body_bytes = body.len,
        .body_crc = crc32c(0, body),
        .big = true,
        .envelope = VIEW_INIT("from=a@here.test\nrcpt=b@there.test\narrival=1795421700000\n"),
    };
    char room[100];

    (void)state;
    peer_send_spool_open(&world.smtpd, &open, -1);
    world_run();
    assert_true(world.opened_fd >= 0);
    assert_int_equal(write(world.opened_fd, body.ptr, body.len), body.len);
    peer_send_spool_commit(&world.smtpd, &commit, -1);
    world_run();
    assert_true(world.committed != 0);
    assert_true(world_job(0)->start.big);
    assert_int_equal(world_job(0)->start.body_bytes, body.len);
    assert_int_equal(pread(world_job(0)->big_fd, room, sizeof(room), 0), body.len);
    deliver(world_job(0));
    assert_int_equal(count_mails(), 0);
}

static void makes_one_job_of_each_destination(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@x.test c@y.test d@X.test e@local.test", body);
    assert_int_equal(world.job_count, 3);
    for (unsigned i = 0; i < 3; i++) {
        const struct world_job *j = world_job(i);

        if (view_equal(j->start.hop_name, VIEW("x.test")))
            assert_int_equal(j->envelope.rcpt_count, 2);
        else
            assert_int_equal(j->envelope.rcpt_count, 1);
        assert_true((j->start.hop_kind == HOP_LOCAL) == (j->worker == &world.workers[1]));
    }
    for (unsigned i = 0; i < 3; i++)
        deliver(world_job(i));
    assert_int_equal(count_mails(), 0);
    assert_int_equal(memory_store.finished, 1);
    /* The end of the message speaks for the last job. */
    assert_in_range(memory_store.settled[STORE_DELIVERED], 2, 3);
}

/* Every place that the queue knows is one that the store in memory has; it ends the test else. */
static void follows_what_the_store_moves(void **state)
{
    uint64_t id = world_accept("a@here.test", "b@x.test c@y.test", body);
    struct index *index = &world.queue.index;

    (void)state;
    defer(world_job(0));
    defer(world_job(1));
    memory_store_move();
    memory_store_move();
    index_each_unit (u, index, index_find(index, id)) {
        struct store_outcome o;
        struct arena arena;

        arena_init(&arena, 65536);
        assert_int_equal(
            store_read_outcome(world.queue.store, index_last(index_unit(index, u)), &arena, &o), 0);
        assert_true(o.message == id && o.state == STORE_DEFERRED);
        arena_reset(&arena);
    }
    cache_release(&world.queue.cache);
    cache_init(&world.queue.cache, 0);
    world_pass(HOUR);
    check_view("body", job_body(world_job(2)), body);
    deliver(world_job(2));
    memory_store_move();
    world_restart();
    world_pass(HOUR);
    assert_true(world_job(0)->start.message == id);
    deliver(world_job(0));
    assert_int_equal(memory_store.finished, 1);
    assert_true(index_find(&world.queue.index, id) == POOL_NONE);
    assert_true(world.queue.watcher.find(&world.queue.watcher, id).place == 0);
}

static void takes_new_mail_while_old_mail_is_restored(void **state)
{
    uint64_t old = world_accept("a@here.test", "b@x.test", body), fresh, third;

    (void)state;
    for (unsigned i = 0; i < 13; i++)
        world_accept("a@here.test", "b@x.test", body);
    third = world_accept("a@here.test", "c@y.test", body);
    memory_store.slow = true;
    world_restart();
    assert_false(world.queue.restored);
    assert_int_equal(world.job_count, 0);
    fresh = world_accept("a@here.test", "d@z.test", body);
    assert_true(fresh != 0);
    while (!world.queue.restored)
        world_run();
    assert_int_equal(count_mails(), 16);
    world_run();
    for (unsigned i = 0; i < world.job_count; i++) {
        assert_true(world_job(i)->start.message != 0);
        deliver(world_job(i));
    }
    assert_int_equal(memory_store.finished, 16);
    assert_int_equal(count_mails(), 0);
    (void)old, (void)third;
}

static void answers_trouble(void **state)
{
    (void)state;
    memory_store.trouble = SPOOL_FULL;
    assert_true(world_accept("a@here.test", "b@x.test", body) == 0);
    assert_int_equal(world.failed_with, SPOOL_FULL);
    assert_int_equal(world.job_count, 0);
    assert_int_equal(count_mails(), 0);
}

static void forgets_a_transaction_that_is_aborted(void **state)
{
    const struct message_spool_part part = { 9, body };
    const struct message_spool_abort aborted = { 9 };
    struct message_spool_commit commit = {
        .transaction = 9,
        .body_bytes = body.len,
        .body_crc = crc32c(0, body),
        .envelope = VIEW_INIT("from=a@here.test\nrcpt=b@there.test\narrival=1\n"),
        .body = body,
    };

    (void)state;
    peer_send_spool_part(&world.smtpd, &part, -1);
    peer_send_spool_abort(&world.smtpd, &aborted, -1);
    peer_send_spool_commit(&world.smtpd, &commit, -1);
    world_run();
    assert_true(world.committed != 0);
    check_view("body", job_body(world_job(0)), body);
}

static void delivers_what_smtpd_left_behind(void **state)
{
    struct message_spool_commit commit = {
        .transaction = 9,
        .body_bytes = body.len,
        .body_crc = crc32c(0, body),
        .envelope = VIEW_INIT("from=a@here.test\nrcpt=b@there.test\narrival=1\n"),
        .body = body,
    };

    (void)state;
    peer_send_spool_commit(&world.smtpd, &commit, -1);
    peer_close(&world.smtpd);
    world_run();
    assert_int_equal(world.job_count, 1);
}

static void refuses_a_body_of_another_length(void **state)
{
    const struct message_spool_commit commit = {
        .transaction = 9,
        .body_bytes = 5,
        .envelope = VIEW_INIT("from=a@here.test\nrcpt=b@there.test\narrival=1\n"),
        .body = VIEW_INIT("four"),
    };

    (void)state;
    peer_send_spool_commit(&world.smtpd, &commit, -1);
    world_run();
    assert_int_equal(world.failed_with, SPOOL_INVALID);
    assert_false(world.smtpd_gone);
}

static void refuses_an_envelope_that_did_not_go_ahead(void **state)
{
    const struct message_spool_part part = { 9, VIEW_INIT("from=a@here.test\n") };
    struct message_spool_commit commit = { .transaction = 9, .envelope_ahead = 18 };

    (void)state;
    peer_send_spool_part(&world.smtpd, &part, -1);
    peer_send_spool_commit(&world.smtpd, &commit, -1);
    world_run();
    assert_int_equal(world.failed_with, SPOOL_INVALID);
    commit.envelope_ahead = 17;
    commit.envelope = VIEW("rcpt=b@there.test\narrival=1\n"); /* not all of it */
    world.failed_with = SPOOL_FINE;
    peer_send_spool_part(&world.smtpd, &part, -1);
    peer_send_spool_commit(&world.smtpd, &commit, -1);
    world_run();
    assert_int_equal(world.failed_with, SPOOL_INVALID);
    assert_false(world.smtpd_gone);
}

static void takes_a_long_envelope_with_a_file(void **state)
{
    const struct message_spool_open open = { 9 };
    const struct message_spool_part part = {
        9, VIEW_INIT("from=a@here.test\nrcpt=b@there.test\narrival=1\n")
    };
    const struct message_spool_commit commit = { .transaction = 9,
                                                 .big = true,
                                                 .body_bytes = 3,
                                                 .body_crc = crc32c(0, VIEW("big")),
                                                 .envelope_ahead = (uint32_t)part.bytes.len };

    (void)state;
    peer_send_spool_open(&world.smtpd, &open, -1);
    world_run();
    assert_int_equal(write(world.opened_fd, "big", 3), 3);
    close(world.opened_fd);
    peer_send_spool_part(&world.smtpd, &part, -1);
    peer_send_spool_commit(&world.smtpd, &commit, -1);
    world_run();
    assert_true(world.committed != 0);
    check_view("recipient", world_job(0)->envelope.rcpts[0].address, VIEW("b@there.test"));
}

static void splits_recipients_that_exceed_a_packet(void **state)
{
    static char recipients[400000];
    struct buf text = BUF_ON_ARRAY(recipients);
    size_t seen = 0;

    (void)state;
    for (int i = 0; i < 1000; i++)
        buf_printf(&text, "%s%060d@there.test", i > 0 ? " " : "", i);
    buf_put_byte(&text, '\0');
    world_accept("a@here.test", recipients, body);
    for (unsigned i = 0; i < world.job_count; i++) {
        seen += world_job(i)->envelope.rcpt_count;
        check_view("body", job_body(world_job(i)), body);
        deliver(world_job(i));
    }
    assert_true(world.job_count > 1);
    assert_int_equal(seen, 1000);
    assert_int_equal(count_mails(), 0);
}

/* ---- trying again ---- */

static void tries_again_what_was_deferred(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@there.test", body);
    defer(world_job(0));
    assert_int_equal(memory_store.settled[STORE_DEFERRED], 1);
    assert_true(memory_store.next_ms == clock_wall_ms() + MINUTE);
    assert_int_equal(world.queue.cache.bytes, 0);
    world_pass(59 * SECOND);
    assert_int_equal(world.job_count, 1);
    world_pass(1 * SECOND);
    assert_int_equal(world.job_count, 2);
    assert_int_equal(world_job(1)->start.attempt, 2);
    check_view("body", job_body(world_job(1)), body);
    defer(world_job(1));
    world_pass(119 * SECOND);
    assert_int_equal(world.job_count, 2);
    world_pass(1 * SECOND);
    deliver(world_job(2));
    assert_int_equal(count_mails(), 0);
}

static void settles_each_recipient_by_itself(void **state)
{
    struct world_job *j;

    (void)state;
    world_accept("a@here.test", "b@x.test c@x.test d@x.test e@x.test", body);
    j = world_job(0);
    world_result(j, 2, OUTCOME_FAILED, SCOPE_RCPT, 550, "No such user");
    world_result(j, 0, OUTCOME_DELIVERED, SCOPE_RCPT, 250, "Ok");
    world_result(j, 1, OUTCOME_DEFERRED, SCOPE_RCPT, 450, "busy");
    world_result(j, 3, OUTCOME_DEFERRED, SCOPE_RCPT, 452, "full");
    world_end(j);
    assert_int_equal(memory_store.settled[STORE_DELIVERED], 1);
    assert_int_equal(memory_store.settled[STORE_DEFERRED], 2);
    assert_int_equal(memory_store.settled_by_notice, 1);
    /* The notice is on its way at once, to the sender. */
    j = world_job(1);
    check_view("to", j->envelope.rcpts[0].address, VIEW("a@here.test"));
    check_view("from", j->envelope.sender, VIEW(""));
    assert_true(body_has(j, "d@x.test") && body_has(j, "No such user"));
    assert_false(body_has(j, "c@x.test"));
    deliver(j);
    /* What was deferred for different reasons goes together again. */
    world_pass(MINUTE);
    j = world_job(2);
    assert_int_equal(j->envelope.rcpt_count, 2);
    assert_int_equal(j->start.attempt, 2);
    deliver(j);
    assert_int_equal(count_mails(), 0);
    assert_int_equal(memory_store.live, 0);
}

static void tells_nobody_of_a_lost_notice(void **state)
{
    (void)state;
    world_accept("", "b@there.test", body);
    world_answer(world_job(0), OUTCOME_FAILED, SCOPE_RCPT, 550, "No such user");
    assert_int_equal(memory_store.settled[STORE_FAILED], 1);
    assert_int_equal(memory_store.accepted, 1);
    assert_int_equal(count_mails(), 0);
    assert_int_equal(world.queue.totals.failed, 1);
}

static void tries_again_when_the_notice_is_not_durable(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@there.test", body);
    memory_store.trouble = SPOOL_BROKEN;
    world_answer(world_job(0), OUTCOME_FAILED, SCOPE_RCPT, 550, "No such user");
    assert_int_equal(count_mails(), 1);
    assert_int_equal(memory_store.settled_by_notice, 0);
    memory_store.trouble = SPOOL_FINE;
    world_pass(MINUTE);
    assert_int_equal(memory_store.settled_by_notice, 1);
    deliver(world_job(1));
    assert_int_equal(count_mails(), 0);
}

static void holds_what_is_damaged(void **state)
{
    uint32_t mail;

    (void)state;
    world_accept("a@here.test", "b@there.test", body);
    defer(world_job(0));
    memory_store.damaged = true;
    world_pass(MINUTE);
    assert_int_equal(world.job_count, 1);
    mail = index_find(&world.queue.index, world_job(0)->start.message);
    assert_int_equal(index_mail(&world.queue.index, mail)->flags & (MAIL_HELD | MAIL_DAMAGED),
                     MAIL_HELD | MAIL_DAMAGED);
    memory_store.damaged = false;
    admin_release(&world.queue, mail, VIEW("uid 0"));
    world_run();
    deliver(world_job(1));
    assert_int_equal(count_mails(), 0);
}

/* ---- destinations in trouble ---- */

static void waits_for_a_destination_in_trouble(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@there.test", body);
    fault(world_job(0));
    /* retry.first / 4 */
    for (int i = 0; i < 5; i++)
        world_accept("a@here.test", "c@there.test", body);
    world_accept("a@here.test", "d@elsewhere.test", body);
    assert_int_equal(world.job_count, 2);
    deliver(world_job(1));
    world_pass(14 * SECOND);
    assert_int_equal(world.job_count, 2);
    world_pass(1 * SECOND);
    assert_int_equal(world.job_count, 3); /* one goes first */
    fault(world_job(2));
    world_pass(29 * SECOND);
    assert_int_equal(world.job_count, 3);
    world_pass(1 * SECOND);
    assert_int_equal(world.job_count, 4);
    deliver(world_job(3));
    assert_int_equal(world.job_count, 8); /* the others follow, as many as may run at once */
    for (unsigned i = 4; i < world.job_count; i++)
        deliver(world_job(i));
    assert_int_equal(world.job_count, 9);
    assert_int_equal(count_mails(), 0);
    assert_int_equal(count_busy(), 0);
}

/* The time of the back-off is over before its last mail goes. */
static void forgets_a_destination_in_trouble(void **state)
{
    uint64_t waiting = world_accept("a@here.test", "b@there.test", body), other;

    (void)state;
    defer(world_job(0));
    other = world_accept("a@here.test", "c@there.test", body);
    fault(world_job(1));
    admin_delete(&world.queue, index_find(&world.queue.index, other), VIEW("uid 0"));
    admin_purge(&world.queue, index_find(&world.queue.index, other));
    world_pass(20 * SECOND);
    assert_int_equal(world.job_count, 2);
    assert_int_equal(count_busy(), 1);
    admin_delete(&world.queue, index_find(&world.queue.index, waiting), VIEW("uid 0"));
    admin_purge(&world.queue, index_find(&world.queue.index, waiting));
    assert_int_equal(count_busy(), 0);
    assert_true(list_empty(&world.queue.index.troubled));
}

static void counts_no_attempt_for_what_only_waited(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@there.test", body);
    fault(world_job(0));
    world_accept("a@here.test", "c@there.test", body);
    world_pass(15 * SECOND);
    /* The one that failed is first in line, since it has waited longest. */
    assert_int_equal(world_job(1)->start.attempt, 2);
    deliver(world_job(1));
    assert_int_equal(world_job(2)->start.attempt, 1);
}

static void does_not_prolong_for_jobs_from_before(void **state)
{
    const struct site *s;

    (void)state;
    for (int i = 0; i < 4; i++)
        world_accept("a@here.test", "b@there.test", body);
    assert_int_equal(world.job_count, 4);
    for (unsigned i = 0; i < 4; i++)
        fault(world_job(i));
    s = container_of(world.queue.index.troubled.next, struct site, trouble);
    assert_int_equal(s->failures, 1);
    assert_int_equal(s->due_count, 4);
}

static void retries_at_once_when_asked(void **state)
{
    uint64_t id = world_accept("a@here.test", "b@there.test", body);

    (void)state;
    fault(world_job(0));
    admin_retry(&world.queue, index_find(&world.queue.index, id));
    world_run();
    assert_int_equal(world.job_count, 2);
    defer(world_job(1));
    admin_retry(&world.queue, index_find(&world.queue.index, id));
    world_run();
    assert_int_equal(world.job_count, 3);
    assert_int_equal(world_job(2)->start.attempt, 3);
}

static void limits_what_runs_to_a_destination(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        world_accept("a@here.test", "b@there.test", body);
    assert_int_equal(world.job_count, 4); /* 2 x concurrency */
    world_accept("a@here.test", "c@elsewhere.test", body);
    assert_int_equal(world.job_count, 5);
    deliver(world_job(0));
    assert_int_equal(world.job_count, 6);
}

static void starts_no_more_than_a_worker_takes(void **state)
{
    static const struct message_ready_for one = { 1 };

    (void)state;
    peer_send_ready_for(&world.workers[0].peer, &one, -1);
    world_run();
    world_accept("a@here.test", "b@x.test", body);
    world_accept("a@here.test", "b@y.test", body);
    world_accept("a@here.test", "b@x.test", body);
    assert_int_equal(world.job_count, 1);
    deliver(world_job(0));
    /* Turn and turn about. */
    check_view("second", world_job(1)->start.hop_name, VIEW("y.test"));
    deliver(world_job(1));
    check_view("third", world_job(2)->start.hop_name, VIEW("x.test"));
}

/* ---- workers come and go ---- */

static void gives_a_lost_job_to_the_next_worker(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@x.test c@x.test", body);
    world_result(world_job(0), 0, OUTCOME_DELIVERED, SCOPE_RCPT, 250, "Ok");
    world_run();
    world_lose_worker(&world.workers[0]);
    assert_int_equal(memory_store.settled[STORE_DELIVERED], 1);
    world_add_worker(DELIVERY, 0);
    world_run();
    assert_int_equal(world_job(1)->envelope.rcpt_count, 1);
    check_view("the other", world_job(1)->envelope.rcpts[0].address, VIEW("c@x.test"));
    assert_int_equal(world_job(1)->start.attempt, 1);
    deliver(world_job(1));
    assert_int_equal(count_mails(), 0);
}

static void defers_what_ends_its_worker_twice(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@x.test", body);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(world.job_count, i + 1);
        world_lose_worker(world_job((unsigned)i)->worker);
        world_add_worker(DELIVERY, 0);
        world_run();
    }
    assert_int_equal(world.job_count, 2);
    assert_int_equal(memory_store.settled[STORE_DEFERRED], 1);
    assert_int_equal(count_mails(), 1);
}

static void moves_to_the_new_workers_with_the_reload(void **state)
{
    struct world_worker *old = &world.workers[0], *new;

    (void)state;
    new = world_add_worker(DELIVERY, 0);
    world_accept("a@here.test", "b@x.test", body);
    assert_ptr_equal(world_job(0)->worker, old);
    world_reload("");
    world_accept("a@here.test", "b@x.test", body);
    assert_ptr_equal(world_job(1)->worker, new);
    deliver(world_job(0));
    deliver(world_job(1));
    assert_int_equal(count_mails(), 0);
}

static void routes_again_after_a_reload(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@x.test c@x.test d@y.test", body);
    defer(world_job(0));
    defer(world_job(1));
    world_reload("routes: [{domain: x.test, via: 'smtp://relay.test:2525'}]\n");
    world_pass(MINUTE);
    assert_int_equal(world.job_count, 4);
    for (unsigned i = 2; i < 4; i++) {
        const struct world_job *j = world_job(i);

        assert_int_equal(j->start.attempt, 2);
        if (j->envelope.rcpt_count == 2) {
            check_view("hop", j->start.hop_name, VIEW("relay.test:2525"));
            assert_int_equal(j->start.route, 1);
        } else {
            check_view("hop", j->start.hop_name, VIEW("y.test"));
        }
    }
    deliver(world_job(2));
    deliver(world_job(3));
    assert_int_equal(count_mails(), 0);
    assert_int_equal(count_busy(), 0);
}

static void tries_destinations_in_trouble_again_after_a_reload(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@x.test", body);
    fault(world_job(0));
    world_reload("routes: [{domain: x.test, via: 'smtp://relay.test'}]\n");
    world_run();
    check_view("hop", world_job(1)->start.hop_name, VIEW("relay.test:25"));
    deliver(world_job(1));
    assert_int_equal(count_mails(), 0);
    assert_int_equal(count_busy(), 0);
}

static void closes_the_channel_of_a_worker_that_talks_nonsense(void **state)
{
    static const struct {
        const char *name;
        uint64_t job_more;
        bool end, bad_outcome;
    } cases[] = {
        { "end without a result", 0, true, false },
        { "end of another job", 1000, true, false },
        { "result of another job", 1000, false, false },
        { "result that does not parse", 0, false, true },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct world_worker *w = i == 0 ? &world.workers[0] : world_add_worker(DELIVERY, 0);
        struct message_job_end end = { cases[i].job_more };
        struct message_rcpt_result result = { .job = cases[i].job_more };
        unsigned jobs;

        world_run();
        if (i > 0) /* what the one before lost */
            deliver(world_job(world.job_count - 1));
        jobs = world.job_count;
        world_accept("a@here.test", "b@x.test", body);
        assert_int_equal(world.job_count, jobs + 1);
        end.job += world_job(jobs)->start.job;
        result.job += world_job(jobs)->start.job;
        result.outcome = cases[i].bad_outcome ? VIEW("class=perhaps\n") : VIEW_EMPTY;
        if (cases[i].end)
            peer_send_job_end(&w->peer, &end, -1);
        else
            peer_send_rcpt_result(&w->peer, &result, -1);
        world_run();
        check(cases[i].name, w->gone);
    }
    world_add_worker(DELIVERY, 0);
    world_run();
    deliver(world_job(world.job_count - 1));
    assert_int_equal(count_mails(), 0);
}

/* ---- deadlines ---- */

static void tells_the_sender_of_a_delay_once(void **state)
{
    unsigned notices = 0;

    (void)state;
    world_accept("a@here.test", "b@there.test c@there.test", body);
    for (uint64_t passed = 0; passed < 5 * HOUR; passed += MINUTE) {
        for (unsigned i = 0; i < world.job_count; i++) {
            struct world_job *j = world_job(i);

            if (j->ended)
                continue;
            if (j->envelope.sender.len > 0) {
                defer(j);
                continue;
            }
            assert_true(passed >= 2 * HOUR && passed < 2 * HOUR + 2 * MINUTE);
            assert_true(body_has(j, "delayed") && body_has(j, "greylisted"));
            notices++;
            deliver(j);
        }
        world_pass(MINUTE);
    }
    assert_int_equal(notices, 1);
    assert_int_equal(memory_store.changes[STORE_NOTICED], 1);
    assert_int_equal(count_mails(), 1);
}

/* Answers every job as `answer` does, until `until_ms` is over; the last job to the sender. */
static struct world_job *live_through(uint64_t until_ms, void (*answer)(struct world_job *j))
{
    struct world_job *notice = NULL;

    for (uint64_t passed = 0; passed < until_ms; passed += 5 * MINUTE) {
        for (unsigned i = 0; i < world.job_count; i++) {
            struct world_job *j = world_job(i);

            if (j->ended)
                continue;
            if (j->envelope.sender.len > 0) {
                answer(j);
                continue;
            }
            notice = j;
            deliver(j);
        }
        world_pass(5 * MINUTE);
    }
    return notice;
}

static void gives_up_after_the_lifetime(void **state)
{
    static void (*const answers[])(struct world_job * j) = { defer, fault };

    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        struct world_job *notice;

        world_accept("a@here.test", "b@there.test", body);
        notice = live_through(DAY + 2 * HOUR, answers[i]);
        assert_non_null(notice);
        assert_true(body_has(notice, "Action: failed"));
        assert_int_equal(world.queue.totals.expired, 1);
        assert_int_equal(memory_store.settled_by_notice, 1);
        world_close(state);
        world_open(state);
    }
}

static void gives_up_what_never_had_its_turn(void **state)
{
    struct world_job *notice;

    (void)state;
    world_accept("a@here.test", "b@there.test", body);
    for (int i = 0; i < 9; i++)
        world_accept("c@here.test", "b@there.test", body);
    notice = live_through(DAY + 2 * HOUR, fault);
    assert_non_null(notice);
    assert_int_equal(count_mails(), 0);
    assert_int_equal(memory_store.settled_by_notice, 10);
}

/* Its lifetime ends while it is due, and while it is under way. */
static void gives_up_what_was_about_to_be_tried(void **state)
{
    (void)state;
    for (int i = 0; i < 7; i++)
        world_accept("a@here.test", "b@there.test", body);
    assert_int_equal(world.job_count, 4);
    world_pass(DAY + HOUR);
    assert_int_equal(memory_store.settled_by_notice, 3);
    fault(world_job(0));
    world_run();
    assert_int_equal(memory_store.settled_by_notice, 4);
    for (unsigned i = 1; i < 4; i++)
        fault(world_job(i));
    world_run();
    assert_int_equal(memory_store.settled_by_notice, 7);
    assert_int_equal(world.queue.index.overdue_count, 0);
}

static void neither_tries_nor_expires_what_is_held(void **state)
{
    uint64_t id = world_accept("a@here.test", "b@there.test", body);
    uint32_t mail = index_find(&world.queue.index, id);

    (void)state;
    admin_hold(&world.queue, mail, VIEW("uid 0"));
    world_run();
    assert_true(world_job(0)->cancelled);
    defer(world_job(0));
    world_pass(3 * (uint64_t)DAY);
    assert_int_equal(world.job_count, 1);
    assert_int_equal(memory_store.accepted, 1);
    admin_release(&world.queue, mail, VIEW("uid 0"));
    world_run();
    assert_int_equal(world.job_count, 2);
    defer(world_job(1)); /* its time begins again: that was not its end */
    assert_int_equal(memory_store.settled_by_notice, 0);
    world_pass(2 * MINUTE);
    assert_int_equal(world.job_count, 3);
}

/* Also over a restart, and after the release for good. */
static void holds_what_came_to_be_held(void **state)
{
    uint64_t id;

    (void)state;
    world.hold = "rule 3";
    id = world_accept("a@here.test", "b@there.test c@other.test", body);
    world.hold = NULL;
    assert_int_equal(world.job_count, 0);
    world_restart();
    world_pass(3 * (uint64_t)DAY);
    assert_int_equal(world.job_count, 0);
    assert_int_equal(world.queue.index.held_count, 1);
    admin_release(&world.queue, index_find(&world.queue.index, id), VIEW("uid 0"));
    world_run();
    assert_int_equal(world.job_count, 2);
    world_restart();
    world_pass(1);
    assert_int_equal(world.queue.index.held_count, 0);
    assert_int_equal(world.job_count, 2);
}

static void forgets_what_is_deleted(void **state)
{
    uint64_t waiting = world_accept("a@here.test", "b@there.test", body), running;

    (void)state;
    defer(world_job(0));
    running = world_accept("a@here.test", "c@there.test", body);
    admin_delete(&world.queue, index_find(&world.queue.index, waiting), VIEW("uid 0"));
    admin_delete(&world.queue, index_find(&world.queue.index, running), VIEW("uid 0"));
    assert_int_equal(world.queue.trash_count, 2);
    world_run();
    assert_true(world_job(1)->cancelled);
    world_end(world_job(1)); /* without a result, since it had not begun */
    world_pass(20 * HOUR);
    world_restart(); /* which does not prolong it */
    assert_int_equal(count_mails(), 2);
    assert_int_equal(world.queue.trash_bytes, 2 * body.len);
    world_pass(4 * HOUR + MINUTE);
    assert_int_equal(count_mails(), 0);
    assert_int_equal(world.queue.trash_count, 0);
    assert_int_equal(world.queue.trash_bytes, 0);
    assert_int_equal(memory_store.finished, 2);
    assert_int_equal(memory_store.changes[STORE_DELETED], 2);
    assert_int_equal(world.job_count, 0); /* since the restart */
}

static void brings_back_what_was_deleted(void **state)
{
    uint64_t id = world_accept("a@here.test", "b@there.test", body);
    uint32_t mail = index_find(&world.queue.index, id);

    (void)state;
    defer(world_job(0));
    admin_delete(&world.queue, mail, VIEW("uid 0"));
    admin_release(&world.queue, mail, VIEW("uid 0"));
    admin_retry(&world.queue, mail);
    world_pass(20 * HOUR);
    assert_int_equal(world.job_count, 1);
    admin_undelete(&world.queue, mail, VIEW("uid 0"));
    assert_int_equal(world.queue.trash_bytes, 0);
    world_restart();
    world_pass(20 * HOUR); /* held: neither tried nor expired */
    assert_int_equal(count_mails(), 1);
    assert_int_equal(world.job_count, 0);
    admin_release(&world.queue, index_find(&world.queue.index, id), VIEW("uid 0"));
    world_run();
    assert_int_equal(world.job_count, 1);
    assert_int_equal(world.queue.index.held_count, 0);
}

/* The log keeps the newest change of a message; of those before some may still be there. */
static void an_undeleted_message_stays_after_its_release(void **state)
{
    uint64_t id = world_accept("a@here.test", "b@there.test", body);
    uint32_t mail = index_find(&world.queue.index, id);

    (void)state;
    defer(world_job(0));
    admin_delete(&world.queue, mail, VIEW("uid 0"));
    admin_undelete(&world.queue, mail, VIEW("uid 0"));
    admin_release(&world.queue, mail, VIEW("uid 0"));
    world_run();
    memory_store_lose(STORE_HOLD);
    world_restart();
    assert_false(
        deadline_in_trash(index_mail(&world.queue.index, index_find(&world.queue.index, id))));
    assert_int_equal(world.queue.trash_count, 0);
    assert_int_equal(world.queue.index.held_count, 0);
}

static void a_deleted_message_tells_nobody(void **state)
{
    uint32_t mail =
        index_find(&world.queue.index, world_accept("a@here.test", "b@x.test c@x.test", body));
    struct world_job *j = world_job(0);

    (void)state;
    admin_delete(&world.queue, mail, VIEW("uid 0"));
    world_result(j, 0, OUTCOME_FAILED, SCOPE_RCPT, 550, "No such user");
    world_result(j, 1, OUTCOME_DELIVERED, SCOPE_RCPT, 250, "Ok");
    world_end(j);
    assert_int_equal(memory_store.settled[STORE_DELIVERED], 1);
    assert_int_equal(memory_store.settled_by_notice, 0);
    assert_int_equal(count_mails(), 1);
    admin_undelete(&world.queue, mail, VIEW("uid 0"));
    admin_release(&world.queue, mail, VIEW("uid 0"));
    world_run();
    assert_int_equal(world_job(1)->envelope.rcpt_count, 1);
}

static void the_oldest_leave_a_full_trash(void **state)
{
    uint64_t first, second;

    (void)state;
    world_reload("spool: { path: /tmp, trash: 40 }\n");
    first = world_accept("a@here.test", "b@there.test", body);
    second = world_accept("a@here.test", "c@there.test", body);
    admin_delete(&world.queue, index_find(&world.queue.index, first), VIEW("uid 0"));
    world_run();
    assert_int_equal(world.queue.trash_count, 1);
    admin_delete(&world.queue, index_find(&world.queue.index, second), VIEW("uid 0"));
    world_pass(1);
    assert_int_equal(world.queue.trash_count, 1);
    assert_true(
        deadline_in_trash(index_mail(&world.queue.index, index_find(&world.queue.index, second))));
    for (unsigned i = 0; i < world.job_count; i++)
        world_end(world_job(i));
    assert_int_equal(index_find(&world.queue.index, first), POOL_NONE);
    world.queue.trouble = SPOOL_FULL;
    deadline_arm(&world.queue);
    world_pass(1);
    assert_int_equal(count_mails(), 0);
}

/* ---- restart ---- */

static void goes_on_where_it_was_after_a_restart(void **state)
{
    uint64_t held;

    (void)state;
    world_accept("a@here.test", "b@x.test c@x.test d@y.test", body);
    world_result(world_job(0), 0, OUTCOME_DELIVERED, SCOPE_RCPT, 250, "Ok");
    if (world_job(0)->envelope.rcpt_count == 2)
        world_result(world_job(0), 1, OUTCOME_DEFERRED, SCOPE_RCPT, 451, "busy");
    world_end(world_job(0));
    if (world_job(1)->envelope.rcpt_count == 2) {
        world_result(world_job(1), 0, OUTCOME_DELIVERED, SCOPE_RCPT, 250, "Ok");
        world_result(world_job(1), 1, OUTCOME_DEFERRED, SCOPE_RCPT, 451, "busy");
        world_end(world_job(1));
    } else {
        deliver(world_job(1));
    }
    held = world_accept("a@here.test", "e@z.test", body);
    admin_hold(&world.queue, index_find(&world.queue.index, held), VIEW("uid 0"));
    world_restart();
    assert_int_equal(count_mails(), 2);
    assert_int_equal(world.queue.index.held_count, 1);
    assert_int_equal(world.job_count, 0);
    world_pass(MINUTE);
    assert_int_equal(world.job_count, 1);
    assert_int_equal(world_job(0)->start.attempt, 2);
    check_view("the deferred one", world_job(0)->envelope.rcpts[0].address, VIEW("c@x.test"));
    deliver(world_job(0));
    admin_release(&world.queue, index_find(&world.queue.index, held), VIEW("uid 0"));
    world_run();
    check_view("the held one", world_job(1)->envelope.rcpts[0].address, VIEW("e@z.test"));
    deliver(world_job(1));
    assert_int_equal(memory_store.live, 0);
    world_restart();
    assert_int_equal(count_mails(), 0);
}

static void tries_once_more_when_it_was_down_for_too_long(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@there.test", body);
    defer(world_job(0));
    world_restart_after(3 * (uint64_t)DAY);
    world_pass(4 * MINUTE);
    assert_int_equal(world.job_count, 1);
    assert_int_equal(memory_store.accepted, 1);
    world_pass(6 * MINUTE);
    assert_int_equal(memory_store.settled_by_notice, 0); /* the attempt runs still */
    defer(world_job(0));
    assert_int_equal(memory_store.settled_by_notice, 1);
}

/* ---- the end ---- */

static void drains(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@there.test", body);
    queue_drain(&world.queue);
    world_accept("a@here.test", "c@there.test", body);
    assert_int_equal(world.job_count, 1); /* accepted, but not begun */
    assert_int_equal(count_mails(), 2);
    assert_false(world.loop.stopping);
    peer_close(&world.smtpd);
    world_run();
    assert_false(world.loop.stopping);
    deliver(world_job(0));
    assert_true(world.loop.stopping);
}

static void drains_no_longer_than_it_may(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@there.test", body);
    queue_drain(&world.queue);
    world_pass(29 * SECOND);
    assert_false(world.loop.stopping);
    world_pass(1 * SECOND);
    assert_true(world.loop.stopping);
}

static void tells_smtpd_when_the_spool_is_in_trouble(void **state)
{
    (void)state;
    assert_int_equal(world.state.trouble, SPOOL_FINE);
    world.queue.watcher.state(&world.queue.watcher, SPOOL_FULL, 17);
    world_run();
    assert_int_equal(world.state.trouble, SPOOL_FULL);
    assert_int_equal(world.state.room_bytes, 17);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(delivers_what_smtpd_commits),
        IN_WORLD(carries_bodies_that_exceed_a_packet),
        IN_WORLD(hands_big_bodies_over_as_files),
        IN_WORLD(makes_one_job_of_each_destination),
        IN_WORLD(follows_what_the_store_moves),
        IN_WORLD(takes_new_mail_while_old_mail_is_restored),
        IN_WORLD(answers_trouble),
        IN_WORLD(forgets_a_transaction_that_is_aborted),
        IN_WORLD(delivers_what_smtpd_left_behind),
        IN_WORLD(refuses_a_body_of_another_length),
        IN_WORLD(refuses_an_envelope_that_did_not_go_ahead),
        IN_WORLD(takes_a_long_envelope_with_a_file),
        IN_WORLD(splits_recipients_that_exceed_a_packet),
        IN_WORLD(tries_again_what_was_deferred),
        IN_WORLD(settles_each_recipient_by_itself),
        IN_WORLD(tells_nobody_of_a_lost_notice),
        IN_WORLD(tries_again_when_the_notice_is_not_durable),
        IN_WORLD(holds_what_is_damaged),
        IN_WORLD(waits_for_a_destination_in_trouble),
        IN_WORLD(forgets_a_destination_in_trouble),
        IN_WORLD(counts_no_attempt_for_what_only_waited),
        IN_WORLD(does_not_prolong_for_jobs_from_before),
        IN_WORLD(retries_at_once_when_asked),
        IN_WORLD(limits_what_runs_to_a_destination),
        IN_WORLD(starts_no_more_than_a_worker_takes),
        IN_WORLD(gives_a_lost_job_to_the_next_worker),
        IN_WORLD(defers_what_ends_its_worker_twice),
        IN_WORLD(moves_to_the_new_workers_with_the_reload),
        IN_WORLD(routes_again_after_a_reload),
        IN_WORLD(tries_destinations_in_trouble_again_after_a_reload),
        IN_WORLD(closes_the_channel_of_a_worker_that_talks_nonsense),
        IN_WORLD(tells_the_sender_of_a_delay_once),
        IN_WORLD(gives_up_after_the_lifetime),
        IN_WORLD(gives_up_what_never_had_its_turn),
        IN_WORLD(gives_up_what_was_about_to_be_tried),
        IN_WORLD(holds_what_came_to_be_held),
        IN_WORLD(neither_tries_nor_expires_what_is_held),
        IN_WORLD(forgets_what_is_deleted),
        IN_WORLD(brings_back_what_was_deleted),
        IN_WORLD(an_undeleted_message_stays_after_its_release),
        IN_WORLD(a_deleted_message_tells_nobody),
        IN_WORLD(the_oldest_leave_a_full_trash),
        IN_WORLD(goes_on_where_it_was_after_a_restart),
        IN_WORLD(tries_once_more_when_it_was_down_for_too_long),
        IN_WORLD(drains),
        IN_WORLD(drains_no_longer_than_it_may),
        IN_WORLD(tells_smtpd_when_the_spool_is_in_trouble),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
