#include "queue/admin.h"
#include "queue/deadline.h"
#include "queue/queue.h"

#include "tests/unit/unit.h"

#include "tests/unit/queue/world.h"

#include <errno.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

static const struct view body = VIEW_INIT("Subject: lunch\r\n\r\nAt noon?\r\n");

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
                world_defer(j);
                continue;
            }
            assert_true(passed >= 2 * HOUR && passed < 2 * HOUR + 2 * MINUTE);
            assert_true(world_body_has(j, "delayed") && world_body_has(j, "greylisted"));
            notices++;
            world_deliver(j);
        }
        world_pass(MINUTE);
    }
    assert_int_equal(notices, 1);
    assert_int_equal(memory_store.changes[STORE_NOTICED], 1);
    assert_int_equal(world_count_mails(), 1);
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
            world_deliver(j);
        }
        world_pass(5 * MINUTE);
    }
    return notice;
}

/* What comes later is told of in its own time, although an older one waits for its end. */
static void tells_of_each_delay_when_it_is_one(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        world_accept("a@here.test", i == 0 ? "b@there.test" : "c@other.test", body);
        assert_null(live_through(HOUR + 55 * MINUTE, world_defer));
        assert_non_null(live_through(10 * MINUTE, world_defer));
    }
}

/* Nothing can be read when its time has come. */
static void tells_of_a_delay_when_it_can_be_read_again(void **state)
{
    static const int errors[] = { EMFILE, ENFILE, ENOMEM };

    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        struct world_job *notice;

        world_accept("a@here.test", "b@there.test", body);
        world_defer(world_job(0));
        world_restart(); /* it is not in memory any more */
        memory_store.unreadable = errors[i];
        world_pass(2 * HOUR + 10 * MINUTE);
        assert_int_equal(world.job_count, 0);
        memory_store.unreadable = 0;
        notice = live_through(10 * MINUTE, world_defer);
        assert_non_null(notice);
        assert_true(world_body_has(notice, "Action: delayed"));
        assert_null(live_through(3 * HOUR, world_defer));
        assert_int_equal(memory_store.changes[STORE_NOTICED], 1);
        world_close(state);
        world_open(state);
    }
}

/* A message that cannot be read holds up no other's notice; a damaged one is held. */
static void what_cannot_be_read_holds_up_no_other_notice(void **state)
{
    static const int errors[] = { EIO, EBADMSG };

    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        uint64_t id = world_accept("a@here.test", "b@there.test", body);

        world_defer(world_job(0));
        world_restart();
        memory_store.unreadable = errors[i];
        world_pass(2 * HOUR + 2 * MINUTE);
        memory_store.unreadable = 0;
        assert_int_equal(world.queue.notice_pause_ms, 0);
        assert_int_equal(world.queue.index.held_count, errors[i] == EBADMSG);
        assert_int_not_equal(index_find(&world.queue.index, id), POOL_NONE);
        world_accept("c@here.test", "d@other.test", body);
        assert_non_null(live_through(3 * HOUR, world_defer));
        world_close(state);
        world_open(state);
    }
}

static void gives_up_after_the_lifetime(void **state)
{
    static void (*const answers[])(struct world_job * j) = { world_defer, world_fault };

    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        struct world_job *notice;

        world_accept("a@here.test", "b@there.test", body);
        notice = live_through(DAY + 2 * HOUR, answers[i]);
        assert_non_null(notice);
        assert_true(world_body_has(notice, "Action: failed"));
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
    notice = live_through(DAY + 2 * HOUR, world_fault);
    assert_non_null(notice);
    assert_int_equal(world_count_mails(), 0);
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
    world_fault(world_job(0));
    world_run();
    assert_int_equal(memory_store.settled_by_notice, 4);
    for (unsigned i = 1; i < 4; i++)
        world_fault(world_job(i));
    world_run();
    assert_int_equal(memory_store.settled_by_notice, 7);
    assert_int_equal(world.queue.index.overdue_count, 0);
}

static uint32_t arrival_of(uint64_t id)
{
    return index_mail(&world.queue.index, index_find(&world.queue.index, id))->arrival_s;
}

/* A hold and a release do not prolong a lifetime that goes on, nor does a restart after them; one
 * that was over begins again, once. */
static void a_release_means_the_same_after_a_restart(void **state)
{
    uint64_t id = world_accept("a@here.test", "b@there.test", body);
    uint32_t arrival = arrival_of(id);

    (void)state;
    world_defer(world_job(0));
    for (int over = 0; over < 2; over++) {
        admin_hold(&world.queue, index_find(&world.queue.index, id), VIEW("uid 0"));
        world_pass(over ? 2 * (uint64_t)DAY : 5 * (uint64_t)HOUR);
        admin_release(&world.queue, index_find(&world.queue.index, id), VIEW("uid 0"));
        world_run();
        if (over)
            assert_in_range(arrival_of(id), arrival + 2 * DAY / SECOND, arrival + 3 * DAY / SECOND);
        else
            assert_int_equal(arrival_of(id), arrival);
        world_defer(world_job(world.job_count - 1));
        arrival = arrival_of(id);
        world_restart();
        world_run();
        assert_int_equal(arrival_of(id), arrival);
    }
}

static void neither_tries_nor_expires_what_is_held(void **state)
{
    uint64_t id = world_accept("a@here.test", "b@there.test", body);
    uint32_t mail = index_find(&world.queue.index, id);

    (void)state;
    admin_hold(&world.queue, mail, VIEW("uid 0"));
    world_run();
    assert_true(world_job(0)->cancelled);
    world_defer(world_job(0));
    world_pass(3 * (uint64_t)DAY);
    assert_int_equal(world.job_count, 1);
    assert_int_equal(memory_store.accepted, 1);
    admin_release(&world.queue, mail, VIEW("uid 0"));
    world_run();
    assert_int_equal(world.job_count, 2);
    world_defer(world_job(1)); /* its time begins again: that was not its end */
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

static uint64_t trash_bytes_of(uint64_t id)
{
    return deadline_trash_bytes(index_mail(&world.queue.index, index_find(&world.queue.index, id)));
}

static void forgets_what_is_deleted(void **state)
{
    uint64_t waiting = world_accept("a@here.test", "b@there.test", body), running;

    (void)state;
    world_defer(world_job(0));
    running = world_accept("a@here.test", "c@there.test", body);
    admin_delete(&world.queue, index_find(&world.queue.index, waiting), VIEW("uid 0"));
    admin_delete(&world.queue, index_find(&world.queue.index, running), VIEW("uid 0"));
    assert_int_equal(world.queue.trash_count, 2);
    world_run();
    assert_true(world_job(1)->cancelled);
    world_end(world_job(1)); /* without a result, since it had not begun */
    world_pass(20 * HOUR);
    world_restart(); /* which does not prolong it */
    assert_int_equal(world_count_mails(), 2);
    assert_int_equal(world.queue.trash_bytes, trash_bytes_of(waiting) + trash_bytes_of(running));
    world_pass(4 * HOUR + MINUTE);
    assert_int_equal(world_count_mails(), 0);
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
    world_defer(world_job(0));
    admin_delete(&world.queue, mail, VIEW("uid 0"));
    admin_release(&world.queue, mail, VIEW("uid 0"));
    admin_retry(&world.queue, mail);
    world_pass(20 * HOUR);
    assert_int_equal(world.job_count, 1);
    admin_undelete(&world.queue, mail, VIEW("uid 0"));
    assert_int_equal(world.queue.trash_bytes, 0);
    world_restart();
    world_pass(20 * HOUR); /* held: neither tried nor expired */
    assert_int_equal(world_count_mails(), 1);
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
    world_defer(world_job(0));
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
    assert_int_equal(world_count_mails(), 1);
    admin_undelete(&world.queue, mail, VIEW("uid 0"));
    admin_release(&world.queue, mail, VIEW("uid 0"));
    world_run();
    assert_int_equal(world_job(1)->envelope.rcpt_count, 1);
}

static void the_oldest_leave_a_full_trash(void **state)
{
    uint64_t first, second;

    (void)state;
    world_reload("spool: { path: /tmp, trash: 1000 }\n"); /* more than one takes, less than two */
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
    check("one takes more than its body",
          trash_bytes_of(second) > 500 && trash_bytes_of(second) < 1000);
    world.queue.trouble = SPOOL_FULL;
    deadline_arm(&world.queue);
    world_pass(1);
    assert_int_equal(world_count_mails(), 0);
}

/* Nothing but envelopes. */
static void empty_messages_fill_the_trash(void **state)
{
    (void)state;
    world_reload("spool: { path: /tmp, trash: 10000 }\n");
    for (unsigned i = 0; i < 100; i++) {
        uint64_t id = world_accept("a@here.test", "b@there.test c@other.test", VIEW_EMPTY);

        admin_delete(&world.queue, index_find(&world.queue.index, id), VIEW("uid 0"));
    }
    world_pass(1000);
    assert_in_range(world.queue.trash_count, 5, 20);
    assert_true(world.queue.trash_bytes <= 10000);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(tells_the_sender_of_a_delay_once),
        IN_WORLD(tells_of_each_delay_when_it_is_one),
        IN_WORLD(tells_of_a_delay_when_it_can_be_read_again),
        IN_WORLD(what_cannot_be_read_holds_up_no_other_notice),
        IN_WORLD(gives_up_after_the_lifetime),
        IN_WORLD(gives_up_what_never_had_its_turn),
        IN_WORLD(gives_up_what_was_about_to_be_tried),
        IN_WORLD(holds_what_came_to_be_held),
        IN_WORLD(neither_tries_nor_expires_what_is_held),
        IN_WORLD(a_release_means_the_same_after_a_restart),
        IN_WORLD(forgets_what_is_deleted),
        IN_WORLD(brings_back_what_was_deleted),
        IN_WORLD(an_undeleted_message_stays_after_its_release),
        IN_WORLD(a_deleted_message_tells_nobody),
        IN_WORLD(the_oldest_leave_a_full_trash),
        IN_WORLD(empty_messages_fill_the_trash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
