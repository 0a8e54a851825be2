#include "tests/unit/queue/storebox.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- accept, read ---- */

static void what_is_taken_is_there_at_once_and_later(void **state)
{
    static const size_t sizes[] = { 0, 1, 4096, 200000 };
    struct letter l[COUNT_OF(sizes)];
    char wanted[64];

    (void)state;
    storebox_begin();
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        letter_post(&l[i], "from=a\nrcpt=b\n", sizes[i]);
        check("at once", letter_reads_back(&l[i], l[i].commit.where));
        check("without its body", letter_envelope_reads_back(&l[i], l[i].commit.where));
    }
    storebox_restart();
    check("all are told", storebox.told_count == COUNT_OF(sizes));
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        snprintf(wanted, sizeof(wanted), "from=a\nrcpt=b\n:%zu", sizes[i]);
        assert_string_equal(storebox_story(l[i].commit.id), wanted);
        check("later", letter_reads_back(&l[i], storebox_must_find(l[i].commit.id)->where));
    }
    storebox_end();
}

static void what_does_not_fit_its_sums_is_refused(void **state)
{
    struct letter l[3];

    (void)state;
    storebox_begin();
    for (size_t i = 0; i < 3; i++) {
        letter_write(&l[i], "from=a\nrcpt=b\n", 1000);
        if (i == 0)
            l[i].commit.body_crc++;
        if (i == 1)
            l[i].commit.body_bytes++;
        if (i == 2) {
            letter_write_large(&l[i], "from=a\nrcpt=b\n", 1000);
            l[i].commit.body_bytes++;
        }
        letter_send(&l[i]);
        check("refused", l[i].trouble == SPOOL_INVALID);
    }
    close(l[2].commit.big_fd);
    storebox_restart();
    check("and not kept", storebox.told_count == 0);
    storebox_end();
}

static void many_are_taken_in_one_turn(void **state)
{
    static struct letter l[TOLD_MOST];
    struct store_numbers n;

    (void)state;
    storebox_begin();
    for (size_t i = 0; i < COUNT_OF(l); i++) {
        letter_write(&l[i], "from=a\nrcpt=b\n", i);
        store_accept(storebox.store, &l[i].commit);
    }
    check("there is something to do", !store_idle(storebox.store));
    storebox_settle();
    for (size_t i = 0; i < COUNT_OF(l); i++)
        check("answered once", l[i].answers == 1 && l[i].trouble == SPOOL_FINE);
    store_count(storebox.store, &n);
    check("counted", n.live_messages == COUNT_OF(l) && n.trouble == SPOOL_FINE);
    storebox_restart();
    check("told once", storebox.told_count == COUNT_OF(l));
    for (size_t i = 0; i < COUNT_OF(l); i++)
        check("whole", letter_reads_back(&l[i], storebox_must_find(l[i].commit.id)->where));
    storebox_end();
}

static void ids_never_come_again(void **state)
{
    static uint64_t seen[60];
    struct letter l;

    (void)state;
    storebox_begin();
    for (size_t i = 0; i < COUNT_OF(seen); i++) {
        letter_post(&l, "from=a\nrcpt=b\n", 10);
        for (size_t k = 0; k < i; k++)
            check("new", l.commit.id != seen[k]);
        seen[i] = l.commit.id;
        store_finish(storebox.store, l.commit.id, l.commit.where);
        if (i % 6 == 5)
            storebox_restart();
    }
    check("none is left", storebox.told_count == 0);
    storebox_end();
}

/* ---- body files ---- */

static void large_bodies_are_files(void **state)
{
    struct letter l;

    (void)state;
    storebox_begin();
    letter_write_large(&l, "from=a\nrcpt=b\n", 300000);
    letter_send(&l);
    check("taken", l.trouble == SPOOL_FINE);
    check("at once", letter_reads_back(&l, l.commit.where));
    check("without its body", letter_envelope_reads_back(&l, l.commit.where));
    storebox_restart();
    assert_string_equal(storebox_story(l.commit.id), "from=a\nrcpt=b\n:300000");
    check("later", letter_reads_back(&l, storebox_must_find(l.commit.id)->where));
    store_finish(storebox.store, l.commit.id, storebox_must_find(l.commit.id)->where);
    storebox_settle();
    storebox_restart();
    check("done", storebox.told_count == 0);
    close(l.commit.big_fd);
    storebox_end();
}

static void body_files_are_numbered_and_may_go_unused(void **state)
{
    uint64_t one, two;
    int fds[2];

    (void)state;
    storebox_begin();
    fds[0] = store_create_body(storebox.store, &one);
    fds[1] = store_create_body(storebox.store, &two);
    check("two files", fds[0] >= 0 && fds[1] >= 0 && one != two);
    close(fds[0]);
    close(fds[1]);
    store_remove_body(storebox.store, one);
    storebox_settle();
    storebox_restart();
    check("no message comes of them", storebox.told_count == 0);
    storebox_end();
}

/* ---- what happens to them ---- */

static const uint32_t first[] = { 0 }, second[] = { 1 }, both[] = { 0, 1 };

static void settle(uint64_t id, enum store_state to, const uint32_t *rcpts, size_t count,
                   struct store_ref *where)
{
    const struct store_outcome o = { .message = id,
                                     .rcpts = rcpts,
                                     .rcpt_count = count,
                                     .state = to,
                                     .attempts = 3,
                                     .next_ms = 1700000000000,
                                     .at_ms = 1600000000000,
                                     .text = VIEW("code=450\ntext=later\n") };

    store_settle(storebox.store, &o, where);
}

static void change(uint64_t id, enum store_change_kind kind)
{
    const struct store_change c = { id, kind, 5, VIEW("uid 0") };

    store_change(storebox.store, &c);
}

static bool outcome_reads_back(uint64_t id, struct store_ref where)
{
    struct store_outcome o;
    struct arena arena;
    bool same;

    arena_init(&arena, 65536);
    same = store_read_outcome(storebox.store, where, &arena, &o) == 0 && o.message == id &&
           o.state == STORE_DEFERRED && o.attempts == 3 && o.next_ms == 1700000000000 &&
           o.at_ms == 1600000000000 && o.rcpt_count == 2 && o.rcpts[0] == 0 && o.rcpts[1] == 1 &&
           view_equal(o.text, VIEW("code=450\ntext=later\n"));
    arena_reset(&arena);
    return same;
}

static void outcomes_read_back_at_once_and_later(void **state)
{
    struct store_ref where;
    struct letter l;

    (void)state;
    storebox_begin();
    letter_post(&l, "from=a\nrcpt=b\nrcpt=c\n", 10);
    settle(l.commit.id, STORE_DEFERRED, both, 2, &where);
    check("before it is written", outcome_reads_back(l.commit.id, where));
    storebox_settle();
    check("when it is written", outcome_reads_back(l.commit.id, where));
    storebox_restart();
    check("at the next start",
          outcome_reads_back(l.commit.id, storebox_must_find(l.commit.id)->last_outcome));
    storebox_end();
}

static void all_that_happened_is_told_in_order(void **state)
{
    struct letter a, b;

    (void)state;
    storebox_begin();
    letter_post(&a, "a", 1);
    letter_post(&b, "b", 2);
    settle(a.commit.id, STORE_DEFERRED, both, 2, NULL);
    change(b.commit.id, STORE_HOLD);
    change(a.commit.id, STORE_NOTICED);
    settle(b.commit.id, STORE_FAILED, second, 1, NULL);
    change(b.commit.id, STORE_RELEASE);
    storebox_settle();
    settle(a.commit.id, STORE_DELIVERED, first, 1, NULL);
    change(a.commit.id, STORE_DELETED);
    storebox_settle();
    storebox_restart();
    assert_string_equal(storebox_story(a.commit.id),
                        "a:1 deferred,0,1 noticed,uid 0,5 delivered,0 deleted,uid 0,5");
    assert_string_equal(storebox_story(b.commit.id), "b:2 hold,uid 0,5 failed,1 release,uid 0,5");
    settle(a.commit.id, STORE_DEFERRED, second, 1, NULL);
    storebox_settle();
    storebox_restart();
    assert_string_equal(storebox_story(a.commit.id),
                        "a:1 deferred,0,1 noticed,uid 0,5 delivered,0 deleted,uid 0,5 deferred,1");
    storebox_end();
}

static void a_notice_settles_what_it_is_about(void **state)
{
    struct letter about, bounce, delay;

    (void)state;
    storebox_begin();
    letter_post(&about, "about", 1);
    letter_write(&bounce, "bounce", 2);
    bounce.commit.about = about.commit.id;
    bounce.commit.settles = second;
    bounce.commit.settle_count = 1;
    letter_send(&bounce);
    letter_write(&delay, "delay", 3);
    delay.commit.about = about.commit.id;
    letter_send(&delay);
    store_finish(storebox.store, bounce.commit.id, bounce.commit.where);
    storebox_settle();
    storebox_restart();
    assert_string_equal(storebox_story(about.commit.id), "about:1 failed,1 noticed");
    assert_string_equal(storebox_story(delay.commit.id), "delay:3");
    check("the other is done", storebox_find(bounce.commit.id) == NULL);
    storebox_end();
}

static void what_is_finished_is_not_told(void **state)
{
    struct letter done, stays;
    struct store_numbers n;

    (void)state;
    storebox_begin();
    letter_post(&done, "done", 1);
    letter_post(&stays, "stays", 1);
    settle(done.commit.id, STORE_DEFERRED, both, 2, NULL);
    change(done.commit.id, STORE_HOLD);
    store_finish(storebox.store, done.commit.id, done.commit.where);
    storebox_settle();
    store_count(storebox.store, &n);
    check("counted", n.live_messages == 1);
    for (int starts = 0; starts < 3; starts++) {
        storebox_restart();
        check("one is left", storebox.told_count == 1);
        assert_string_equal(storebox_story(stays.commit.id), "stays:1");
    }
    storebox_end();
}

/* ---- replay ---- */

static void mail_comes_and_goes_while_the_replay_runs(void **state)
{
    struct letter old[3], fresh, brief;

    (void)state;
    storebox_begin();
    for (size_t i = 0; i < 3; i++) {
        letter_post(&old[i], "old", i);
        settle(old[i].commit.id, STORE_DEFERRED, both, 2, NULL);
    }
    storebox_settle();
    store_close(&storebox.store);
    storebox_open(false);
    check("a record at a time", store_replay(storebox.store, 1) && storebox.told_count < 3);
    letter_post(&fresh, "fresh", 4);
    letter_post(&brief, "brief", 5);
    check("read", letter_reads_back(&fresh, fresh.commit.where));
    store_finish(storebox.store, brief.commit.id, brief.commit.where);
    while (store_replay(storebox.store, 1))
        storebox_settle();
    check("what came meanwhile is no part of it", storebox.told_count == 3);
    for (size_t i = 0; i < 3; i++)
        check("with its outcome",
              strstr(storebox_story(old[i].commit.id), " deferred,0,1") != NULL);
    storebox_restart();
    check("at the next start it is", storebox.told_count == 4);
    assert_string_equal(storebox_story(fresh.commit.id), "fresh:4");
    storebox_end();
}

/* ---- the rest ---- */

static void says_that_mail_may_come(void **state)
{
    (void)state;
    storebox_begin();
    check("idle", store_idle(storebox.store));
    store_flush(storebox.store);
    assert_int_equal(loop_turn(&storebox.loop, 10), 0);
    check("told once", storebox.states == 1 && storebox.trouble == SPOOL_FINE);
    storebox_end();
}

static void a_look_changes_nothing(void **state)
{
    struct letter small, large;

    (void)state;
    storebox_begin();
    letter_post(&small, "small", 10);
    settle(small.commit.id, STORE_DEFERRED, both, 2, NULL);
    letter_write_large(&large, "large", 300000);
    letter_send(&large);
    store_close(&storebox.store);
    for (int looks = 0; looks < 2; looks++) {
        storebox_open(true);
        storebox_tell_all();
        check("both are told", storebox.told_count == 2 && store_idle(storebox.store));
        assert_string_equal(storebox_story(small.commit.id), "small:10 deferred,0,1");
        check("small one", letter_reads_back(&small, storebox_must_find(small.commit.id)->where));
        check("large one", letter_reads_back(&large, storebox_must_find(large.commit.id)->where));
        check("outcome", outcome_reads_back(small.commit.id,
                                            storebox_must_find(small.commit.id)->last_outcome));
        store_close(&storebox.store);
    }
    storebox_open(false);
    storebox_tell_all();
    check("as before", storebox.told_count == 2);
    close(large.commit.big_fd);
    storebox_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_is_there_at_once_and_later),
        cmocka_unit_test(what_does_not_fit_its_sums_is_refused),
        cmocka_unit_test(many_are_taken_in_one_turn),
        cmocka_unit_test(ids_never_come_again),
        cmocka_unit_test(large_bodies_are_files),
        cmocka_unit_test(body_files_are_numbered_and_may_go_unused),
        cmocka_unit_test(outcomes_read_back_at_once_and_later),
        cmocka_unit_test(all_that_happened_is_told_in_order),
        cmocka_unit_test(a_notice_settles_what_it_is_about),
        cmocka_unit_test(what_is_finished_is_not_told),
        cmocka_unit_test(mail_comes_and_goes_while_the_replay_runs),
        cmocka_unit_test(says_that_mail_may_come),
        cmocka_unit_test(a_look_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
