#include "queue/admin.h"
#include "queue/queue.h"
#include "queue/unread.h"

#include "tests/unit/unit.h"

#include "io/clock.h"
#include "tests/unit/queue/world.h"

#include <errno.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

static const struct view body = VIEW_INIT("Subject: lunch\r\n\r\nAt noon?\r\n");

/* ---- trying again ---- */

static void tries_again_what_was_deferred(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@there.test", body);
    world_defer(world_job(0));
    assert_int_equal(memory_store.settled[STORE_DEFERRED], 1);
    assert_true(memory_store.next_ms == clock_wall_ms() + MINUTE);
    assert_int_equal(world.queue.cache.bytes, 0);
    world_pass(59 * SECOND);
    assert_int_equal(world.job_count, 1);
    world_pass(1 * SECOND);
    assert_int_equal(world.job_count, 2);
    assert_int_equal(world_job(1)->start.attempt, 2);
    check_view("body", world_job_body(world_job(1)), body);
    world_defer(world_job(1));
    world_pass(119 * SECOND);
    assert_int_equal(world.job_count, 2);
    world_pass(1 * SECOND);
    world_deliver(world_job(2));
    assert_int_equal(world_count_mails(), 0);
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
    assert_true(world_body_has(j, "d@x.test") && world_body_has(j, "No such user"));
    assert_false(world_body_has(j, "c@x.test"));
    world_deliver(j);
    /* What was deferred for different reasons goes together again. */
    world_pass(MINUTE);
    j = world_job(2);
    assert_int_equal(j->envelope.rcpt_count, 2);
    assert_int_equal(j->start.attempt, 2);
    world_deliver(j);
    assert_int_equal(world_count_mails(), 0);
    assert_int_equal(memory_store.live, 0);
}

static void tells_nobody_of_a_lost_notice(void **state)
{
    (void)state;
    world_accept("", "b@there.test", body);
    world_answer(world_job(0), OUTCOME_FAILED, SCOPE_RCPT, 550, "No such user");
    assert_int_equal(memory_store.settled[STORE_FAILED], 1);
    assert_int_equal(memory_store.accepted, 1);
    assert_int_equal(world_count_mails(), 0);
    assert_int_equal(world.queue.totals.failed, 1);
}

static void tries_again_when_the_notice_is_not_durable(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@there.test", body);
    memory_store.trouble = SPOOL_BROKEN;
    world_answer(world_job(0), OUTCOME_FAILED, SCOPE_RCPT, 550, "No such user");
    assert_int_equal(world_count_mails(), 1);
    assert_int_equal(memory_store.settled_by_notice, 0);
    memory_store.trouble = SPOOL_FINE;
    world_pass(MINUTE);
    assert_int_equal(memory_store.settled_by_notice, 1);
    world_deliver(world_job(1));
    assert_int_equal(world_count_mails(), 0);
}

static void holds_what_is_damaged(void **state)
{
    uint32_t mail;

    (void)state;
    world_accept("a@here.test", "b@there.test", body);
    world_defer(world_job(0));
    memory_store.damaged = true;
    world_pass(MINUTE);
    assert_int_equal(world.job_count, 1);
    mail = index_find(&world.queue.index, world_job(0)->start.message);
    assert_int_equal(index_mail(&world.queue.index, mail)->flags & (MAIL_HELD | MAIL_DAMAGED),
                     MAIL_HELD | MAIL_DAMAGED);
    memory_store.damaged = false;
    admin_release(&world.queue, mail, VIEW("uid 0"));
    world_run();
    world_deliver(world_job(1));
    assert_int_equal(world_count_mails(), 0);
}

static unsigned flags_of(uint64_t id)
{
    return index_mail(&world.queue.index, index_find(&world.queue.index, id))->flags;
}

/* Of a large body only the worker sees more than the length. */
static void freezes_what_a_worker_finds_damaged(void **state)
{
    uint64_t id = world_accept("a@here.test", "b@there.test c@other.test", body);

    (void)state;
    world.enhanced = (struct enhanced){ 4, 3, 0 };
    world_answer(world_job(0), OUTCOME_DEFERRED, SCOPE_SPOOL, 0, "damaged in the spool");
    assert_int_equal(flags_of(id) & (MAIL_HELD | MAIL_DAMAGED), MAIL_HELD | MAIL_DAMAGED);
    assert_true(world_job(1)->cancelled);
    world_defer(world_job(1));
    assert_true(list_empty(&world.queue.index.troubled));
    world_pass(3 * (uint64_t)DAY);
    assert_int_equal(world.job_count, 2); /* neither tried nor given up */
    assert_int_equal(memory_store.settled_by_notice, 0);
    world_restart();
    world_pass(HOUR);
    assert_int_equal(world.job_count, 0);
    assert_int_equal(flags_of(id) & (MAIL_HELD | MAIL_DAMAGED), MAIL_HELD | MAIL_DAMAGED);
    admin_release(&world.queue, index_find(&world.queue.index, id), VIEW("uid 0"));
    world_run();
    assert_int_equal(world.job_count, 2);
    world_restart();
    assert_int_equal(flags_of(id) & (MAIL_HELD | MAIL_DAMAGED), 0);
}

/* It is not held, as what is damaged is, and no attempt is counted. */
static void tries_again_what_the_disk_did_not_give(void **state)
{
    uint64_t id = world_accept("a@here.test", "b@there.test c@other.test", body);

    (void)state;
    world_defer(world_job(0));
    world_defer(world_job(1));
    world_restart(); /* it is not in memory any more */
    memory_store.unreadable = EIO;
    world_pass(10 * MINUTE);
    assert_int_equal(world.job_count, 0);
    assert_int_equal(flags_of(id) & (MAIL_HELD | MAIL_DAMAGED), 0);
    assert_int_equal(world.queue.unread.count, 1);
    memory_store.unreadable = 0;
    world_pass(HOUR);
    assert_int_equal(world_job(0)->start.attempt, 2);
    assert_int_equal(world.queue.unread.count, 0);
    world_deliver(world_job(0));
    world_deliver(world_job(1));
    assert_int_equal(world_count_mails(), 0);
}

/* Soon at first, since most such trouble is short; later it costs the disk little. */
static void reads_again_at_growing_intervals(void **state)
{
    uint64_t id = world_accept("a@here.test", "b@there.test", body);
    const struct unread *u;

    (void)state;
    world_defer(world_job(0));
    world_restart();
    memory_store.unreadable = EIO;
    while (world.queue.unread.count == 0)
        world_pass(SECOND);
    world_pass(8 * SECOND);
    u = unread_find(&world.queue, id);
    assert_true(u->tries >= 2 && u->tries <= 4);
    assert_int_equal(u->error, EIO);
    assert_int_equal(world.queue.unread_lasting, 0);
    world_pass(DAY);
    assert_true(u->tries > 20 && u->tries < 300);
    assert_int_equal(world.queue.unread_lasting, 1);
    admin_delete(&world.queue, index_find(&world.queue.index, id), VIEW("uid 0"));
    admin_purge(&world.queue, index_find(&world.queue.index, id));
    assert_int_equal(world.queue.unread.count + world.queue.unread_lasting, 0);
}

/* ---- destinations in trouble ---- */

static void waits_for_a_destination_in_trouble(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@there.test", body);
    world_fault(world_job(0));
    /* retry.first / 4 */
    for (int i = 0; i < 5; i++)
        world_accept("a@here.test", "c@there.test", body);
    world_accept("a@here.test", "d@elsewhere.test", body);
    assert_int_equal(world.job_count, 2);
    world_deliver(world_job(1));
    world_pass(14 * SECOND);
    assert_int_equal(world.job_count, 2);
    world_pass(1 * SECOND);
    assert_int_equal(world.job_count, 3); /* one goes first */
    world_fault(world_job(2));
    world_pass(29 * SECOND);
    assert_int_equal(world.job_count, 3);
    world_pass(1 * SECOND);
    assert_int_equal(world.job_count, 4);
    world_deliver(world_job(3));
    assert_int_equal(world.job_count, 8); /* the others follow, as many as may run at once */
    for (unsigned i = 4; i < world.job_count; i++)
        world_deliver(world_job(i));
    assert_int_equal(world.job_count, 9);
    assert_int_equal(world_count_mails(), 0);
    assert_int_equal(world_count_busy(), 0);
}

/* The time of the back-off is over before its last mail goes. */
static void forgets_a_destination_in_trouble(void **state)
{
    uint64_t waiting = world_accept("a@here.test", "b@there.test", body), other;

    (void)state;
    world_defer(world_job(0));
    other = world_accept("a@here.test", "c@there.test", body);
    world_fault(world_job(1));
    admin_delete(&world.queue, index_find(&world.queue.index, other), VIEW("uid 0"));
    admin_purge(&world.queue, index_find(&world.queue.index, other));
    world_pass(20 * SECOND);
    assert_int_equal(world.job_count, 2);
    assert_int_equal(world_count_busy(), 1);
    admin_delete(&world.queue, index_find(&world.queue.index, waiting), VIEW("uid 0"));
    admin_purge(&world.queue, index_find(&world.queue.index, waiting));
    assert_int_equal(world_count_busy(), 0);
    assert_true(list_empty(&world.queue.index.troubled));
}

static void counts_no_attempt_for_what_only_waited(void **state)
{
    (void)state;
    world_accept("a@here.test", "b@there.test", body);
    world_fault(world_job(0));
    world_accept("a@here.test", "c@there.test", body);
    world_pass(15 * SECOND);
    /* The one that failed is first in line, since it has waited longest. */
    assert_int_equal(world_job(1)->start.attempt, 2);
    world_deliver(world_job(1));
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
        world_fault(world_job(i));
    s = container_of(world.queue.index.troubled.next, struct site, trouble);
    assert_int_equal(s->failures, 1);
    assert_int_equal(s->due_count, 4);
}

static void retries_at_once_when_asked(void **state)
{
    uint64_t id = world_accept("a@here.test", "b@there.test", body);

    (void)state;
    world_fault(world_job(0));
    admin_retry(&world.queue, index_find(&world.queue.index, id));
    world_run();
    assert_int_equal(world.job_count, 2);
    world_defer(world_job(1));
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
    world_deliver(world_job(0));
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
    world_deliver(world_job(0));
    /* Turn and turn about. */
    check_view("second", world_job(1)->start.hop_name, VIEW("y.test"));
    world_deliver(world_job(1));
    check_view("third", world_job(2)->start.hop_name, VIEW("x.test"));
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(tries_again_what_was_deferred),
        IN_WORLD(settles_each_recipient_by_itself),
        IN_WORLD(tells_nobody_of_a_lost_notice),
        IN_WORLD(tries_again_when_the_notice_is_not_durable),
        IN_WORLD(holds_what_is_damaged),
        IN_WORLD(freezes_what_a_worker_finds_damaged),
        IN_WORLD(tries_again_what_the_disk_did_not_give),
        IN_WORLD(reads_again_at_growing_intervals),
        IN_WORLD(waits_for_a_destination_in_trouble),
        IN_WORLD(forgets_a_destination_in_trouble),
        IN_WORLD(counts_no_attempt_for_what_only_waited),
        IN_WORLD(does_not_prolong_for_jobs_from_before),
        IN_WORLD(retries_at_once_when_asked),
        IN_WORLD(limits_what_runs_to_a_destination),
        IN_WORLD(starts_no_more_than_a_worker_takes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
