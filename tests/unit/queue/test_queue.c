#include "queue/admin.h"
#include "queue/queue.h"

#include "tests/unit/unit.h"

#include "common/crc32c.h"
#include "common/memory.h"
#include "mail/body.h"
#include "queue/dispatch.h"
#include "tests/unit/queue/world.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

static const struct view body = VIEW_INIT("Subject: lunch\r\n\r\nAt noon?\r\n");

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
    check_view("body", world_job_body(j), body);
    assert_true(j->start.body_crc == crc32c(0, body));
    world_deliver(world_job(0));
    assert_int_equal(memory_store.finished, 1);
    assert_int_equal(world_count_mails(), 0);
    assert_int_equal(world_count_busy(), 0);
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
        check_view("body", world_job_body(world_job((unsigned)i)), content);
        world_deliver(world_job((unsigned)i));
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
    world_deliver(world_job(0));
    assert_int_equal(world_count_mails(), 0);
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
        world_deliver(world_job(i));
    assert_int_equal(world_count_mails(), 0);
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
    world_defer(world_job(0));
    world_defer(world_job(1));
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
    check_view("body", world_job_body(world_job(2)), body);
    world_deliver(world_job(2));
    memory_store_move();
    world_restart();
    world_pass(HOUR);
    assert_true(world_job(0)->start.message == id);
    world_deliver(world_job(0));
    assert_int_equal(memory_store.finished, 1);
    assert_true(index_find(&world.queue.index, id) == POOL_NONE);
    assert_true(world.queue.watcher.find(&world.queue.watcher, id).place == 0);
}

static void holds_what_the_store_finds_damaged(void **state)
{
    uint64_t id = world_accept("a@here.test", "b@x.test", body);
    const struct store_watcher *told = &world.queue.watcher;
    uint32_t mail = index_find(&world.queue.index, id);

    (void)state;
    world_defer(world_job(0));
    told->damaged(&world.queue.watcher, id);
    told->damaged(&world.queue.watcher, id);
    told->damaged(&world.queue.watcher, id + 1); /* has ended */
    assert_true((index_mail(&world.queue.index, mail)->flags & MAIL_DAMAGED) != 0);
    assert_int_equal(world.queue.index.held_count, 1);
    world_pass(HOUR);
    assert_int_equal(world.job_count, 1);
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
    assert_int_equal(world_count_mails(), 16);
    world_run();
    for (unsigned i = 0; i < world.job_count; i++) {
        assert_true(world_job(i)->start.message != 0);
        world_deliver(world_job(i));
    }
    assert_int_equal(memory_store.finished, 16);
    assert_int_equal(world_count_mails(), 0);
    (void)old, (void)third;
}

/* More than get their time in one turn of the loop. */
static void takes_new_mail_while_old_mail_gets_its_time(void **state)
{
    enum { MANY = 8000 };
    unsigned turns = 0;

    (void)state;
    world.hold = "a rule";
    for (unsigned i = 0; i < MANY; i++)
        world_accept("a@here.test", "b@x.test", body);
    world.hold = NULL;
    memory_store.slow = true;
    world_restart();
    for (; world.queue.restore_at == 0 && turns < 2 * MANY; turns++)
        assert_int_equal(loop_turn(&world.loop, 0), 0);
    assert_true(world.queue.restore_at > 0);
    assert_false(world.queue.restored);
    world_accept("a@here.test", "d@z.test", body);
    world_run();
    assert_true(world.queue.restored);
    assert_int_equal(world_count_mails(), MANY + 1);
    world_deliver(world_job(0));
    assert_int_equal(world_count_mails(), MANY);
}

static void begins_nothing_while_the_store_is_behind(void **state)
{
    (void)state;
    memory_store.behind = true;
    world_accept("a@here.test", "b@there.test", body);
    assert_int_equal(world.job_count, 0);
    memory_store.behind = false;
    world_run();
    world_deliver(world_job(0));
    assert_int_equal(world_count_mails(), 0);
}

static void answers_trouble(void **state)
{
    (void)state;
    memory_store.trouble = SPOOL_FULL;
    assert_true(world_accept("a@here.test", "b@x.test", body) == 0);
    assert_int_equal(world.failed_with, SPOOL_FULL);
    assert_int_equal(world.job_count, 0);
    assert_int_equal(world_count_mails(), 0);
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
    check_view("body", world_job_body(world_job(0)), body);
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
        check_view("body", world_job_body(world_job(i)), body);
        world_deliver(world_job(i));
    }
    assert_true(world.job_count > 1);
    assert_int_equal(seen, 1000);
    assert_int_equal(world_count_mails(), 0);
}

/* It would end the queue at each start; no smtpd makes one, but it may have been imported. */
static void an_envelope_that_no_worker_takes_is_held(void **state)
{
    static char helo[60000];

    (void)state;
    memset(helo, 'h', sizeof(helo));
    world.said.helo = view_make(helo, sizeof(helo));
    world_accept("a@here.test", "b@x.test c@y.test", body);
    world.said.helo = VIEW_EMPTY;
    assert_int_equal(world.job_count, 0);
    assert_int_equal(world.queue.index.held_count, 1);
    world_accept("a@here.test", "b@x.test", body);
    assert_int_equal(world.job_count, 1);
    world_deliver(world_job(0));
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
        world_deliver(world_job(1));
    }
    held = world_accept("a@here.test", "e@z.test", body);
    admin_hold(&world.queue, index_find(&world.queue.index, held), VIEW("uid 0"));
    world_restart();
    assert_int_equal(world_count_mails(), 2);
    assert_int_equal(world.queue.index.held_count, 1);
    assert_int_equal(world.job_count, 0);
    world_pass(MINUTE);
    assert_int_equal(world.job_count, 1);
    assert_int_equal(world_job(0)->start.attempt, 2);
    check_view("the deferred one", world_job(0)->envelope.rcpts[0].address, VIEW("c@x.test"));
    world_deliver(world_job(0));
    admin_release(&world.queue, index_find(&world.queue.index, held), VIEW("uid 0"));
    world_run();
    check_view("the held one", world_job(1)->envelope.rcpts[0].address, VIEW("e@z.test"));
    world_deliver(world_job(1));
    assert_int_equal(memory_store.live, 0);
    world_restart();
    assert_int_equal(world_count_mails(), 0);
}

static void tries_once_more_when_it_was_down_for_too_long(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@there.test", body);
    world_defer(world_job(0));
    world_restart_after(3 * (uint64_t)DAY);
    world_pass(4 * MINUTE);
    assert_int_equal(world.job_count, 1);
    assert_int_equal(memory_store.accepted, 1);
    world_pass(6 * MINUTE);
    assert_int_equal(memory_store.settled_by_notice, 0); /* the attempt runs still */
    world_defer(world_job(0));
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
    assert_int_equal(world_count_mails(), 2);
    assert_false(world.loop.stopping);
    peer_close(&world.smtpd);
    world_run();
    assert_false(world.loop.stopping);
    world_deliver(world_job(0));
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
        IN_WORLD(holds_what_the_store_finds_damaged),
        IN_WORLD(takes_new_mail_while_old_mail_is_restored),
        IN_WORLD(takes_new_mail_while_old_mail_gets_its_time),
        IN_WORLD(begins_nothing_while_the_store_is_behind),
        IN_WORLD(answers_trouble),
        IN_WORLD(forgets_a_transaction_that_is_aborted),
        IN_WORLD(delivers_what_smtpd_left_behind),
        IN_WORLD(refuses_a_body_of_another_length),
        IN_WORLD(refuses_an_envelope_that_did_not_go_ahead),
        IN_WORLD(takes_a_long_envelope_with_a_file),
        IN_WORLD(splits_recipients_that_exceed_a_packet),
        IN_WORLD(an_envelope_that_no_worker_takes_is_held),
        IN_WORLD(goes_on_where_it_was_after_a_restart),
        IN_WORLD(tries_once_more_when_it_was_down_for_too_long),
        IN_WORLD(drains),
        IN_WORLD(drains_no_longer_than_it_may),
        IN_WORLD(tells_smtpd_when_the_spool_is_in_trouble),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
