#include "tests/unit/queue/conformance.h"
#include "tests/unit/unit.h"

#include "common/buf.h"
#include "common/crc32c.h"
#include "common/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TOLD_MOST = 400, /* messages */
    STORY_ROOM = 2048,
    BODY_ROOM = 512 << 10,
};

/* What the replay told of a message: a line for each thing that happened to it. */
struct told {
    uint64_t id;
    struct store_ref where, last_outcome;
    struct buf story;
    char room[STORY_ROOM];
};

static struct {
    struct store_options options;
    struct loop loop;
    struct store *store;
    struct store_replay replay;
    struct store_watcher watcher;
    struct told told[TOLD_MOST];
    size_t told_count;
    unsigned states; /* how often the watcher was told */
    enum spool_trouble trouble;
} box;

static char bytes[BODY_ROOM];

/* ---- the replay ---- */

static struct told *find(uint64_t id)
{
    for (size_t i = 0; i < box.told_count; i++) {
        if (box.told[i].id == id)
            return &box.told[i];
    }
    return NULL;
}

static struct told *must_find(uint64_t id)
{
    struct told *t = find(id);

    if (t == NULL) {
        print_error("a message was not told, though something happens to it\n");
        abort();
    }
    return t;
}

static const char *story_of(uint64_t id)
{
    struct told *t = find(id);

    if (t == NULL)
        return "not told";
    t->room[buf_len(&t->story)] = '\0';
    return t->room;
}

static void on_message(struct store_replay *r, uint64_t id, struct store_ref where,
                       struct view envelope, uint64_t body_bytes)
{
    struct told *t = &box.told[box.told_count];

    (void)r;
    assert_true(box.told_count < TOLD_MOST && id != 0 && where.place != 0);
    assert_null(find(id));
    box.told_count++;
    t->id = id;
    t->where = where;
    t->story = buf_on(t->room, STORY_ROOM - 1);
    buf_printf(&t->story, "%.*s:%llu", VIEW_ARG(envelope), (unsigned long long)body_bytes);
}

static void on_outcome(struct store_replay *r, const struct store_outcome *o,
                       struct store_ref where)
{
    static const char *const names[STORE_STATES] = { "deferred", "delivered", "failed" };
    struct told *t = must_find(o->message);

    (void)r;
    t->last_outcome = where;
    buf_printf(&t->story, " %s", names[o->state]);
    for (size_t i = 0; i < o->rcpt_count; i++)
        buf_printf(&t->story, ",%u", o->rcpts[i]);
}

static void on_change(struct store_replay *r, const struct store_change *c)
{
    static const char *const names[STORE_CHANGES] = { "hold", "release", "noticed", "deleted" };
    struct told *t = must_find(c->message);

    (void)r;
    buf_printf(&t->story, " %s", names[c->kind]);
    if (c->who.len > 0)
        buf_printf(&t->story, ",%.*s,%llu", VIEW_ARG(c->who), (unsigned long long)c->at_ms);
}

static void on_state(struct store_watcher *w, enum spool_trouble trouble, uint64_t room_bytes)
{
    (void)w, (void)room_bytes;
    box.states++;
    box.trouble = trouble;
}

/* ---- life ---- */

static void open_it(bool read_only)
{
    struct error err = { "" };

    box.told_count = 0;
    box.states = 0;
    box.options.read_only = read_only;
    if (store_open(&box.store, &box.options, &box.loop, &box.replay, &box.watcher, &err) < 0)
        fail_msg("%s", err.text);
    if (!read_only && store_start(box.store, &err) < 0)
        fail_msg("%s", err.text);
}

static void tell_all(void)
{
    while (store_replay(box.store, 3))
        continue;
}

static void settle_down(void)
{
    store_flush(box.store);
    while (!store_idle(box.store)) {
        assert_int_equal(loop_turn(&box.loop, 10), 0);
        store_flush(box.store);
    }
}

static void begin(void)
{
    box.replay = (struct store_replay){ on_message, on_outcome, on_change };
    box.watcher = (struct store_watcher){ .state = on_state };
    assert_int_equal(loop_init(&box.loop), 0);
    conformance.make(&box.options);
    open_it(false);
    tell_all();
    check("nothing is there", box.told_count == 0);
}

static void restart(void)
{
    store_close(&box.store);
    open_it(false);
    tell_all();
}

static void end(void)
{
    store_close(&box.store);
    conformance.remove(&box.options);
    loop_release(&box.loop);
}

/* ---- messages ---- */

struct letter {
    struct store_commit commit;
    unsigned answers;
    enum spool_trouble trouble;
};

static void on_done(struct store_commit *c, enum spool_trouble trouble)
{
    struct letter *l = container_of(c, struct letter, commit);

    l->answers++;
    l->trouble = trouble;
}

static void write_letter(struct letter *l, const char *envelope, size_t body_bytes)
{
    *l = (struct letter){ .commit = { .envelope = view_of(envelope),
                                      .body = view_make(bytes, body_bytes),
                                      .big_fd = -1,
                                      .body_bytes = body_bytes,
                                      .body_crc = crc32c(0, view_make(bytes, body_bytes)),
                                      .done = on_done } };
}

static void write_large_letter(struct letter *l, const char *envelope, size_t body_bytes)
{
    write_letter(l, envelope, body_bytes);
    l->commit.body = VIEW_EMPTY;
    l->commit.big_fd = store_create_body(box.store, &l->commit.big_file);
    check("a file is made", l->commit.big_fd >= 0);
    check("and written", write(l->commit.big_fd, bytes, body_bytes) == (ssize_t)body_bytes);
}

static void send(struct letter *l)
{
    store_accept(box.store, &l->commit);
    check("not answered inside the call", l->answers == 0);
    settle_down();
    check("answered once", l->answers == 1);
}

static void post(struct letter *l, const char *envelope, size_t body_bytes)
{
    write_letter(l, envelope, body_bytes);
    send(l);
    check("taken", l->trouble == SPOOL_FINE && l->commit.id != 0 && l->commit.where.place != 0);
}

static bool file_holds(int fd, size_t body_bytes)
{
    static char back[BODY_ROOM];

    return pread(fd, back, sizeof(back), 0) == (ssize_t)body_bytes &&
           memcmp(back, bytes, body_bytes) == 0;
}

static bool reads_back(const struct letter *l, struct store_ref where)
{
    const struct store_commit *c = &l->commit;
    bool large = c->big_fd >= 0, same;
    struct store_message m;

    if (store_read(box.store, c->id, where, true, &m) < 0)
        return false;
    same = view_equal(m.envelope, c->envelope) && view_equal(m.body, c->body) &&
           m.body_bytes == c->body_bytes && m.body_crc == c->body_crc &&
           (large ? m.big_fd >= 0 && file_holds(m.big_fd, c->body_bytes) : m.big_fd == -1);
    store_message_release(&m);
    return same;
}

static bool envelope_reads_back(const struct letter *l, struct store_ref where)
{
    struct store_message m;
    bool same;

    if (store_read(box.store, l->commit.id, where, false, &m) < 0)
        return false;
    same = view_equal(m.envelope, l->commit.envelope) && m.body.len == 0 && m.big_fd == -1;
    store_message_release(&m);
    return same;
}

/* ---- accept, read ---- */

static void what_is_taken_is_there_at_once_and_later(void **state)
{
    static const size_t sizes[] = { 0, 1, 4096, 200000 };
    struct letter l[COUNT_OF(sizes)];
    char wanted[64];

    (void)state;
    begin();
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        post(&l[i], "from=a\nrcpt=b\n", sizes[i]);
        check("at once", reads_back(&l[i], l[i].commit.where));
        check("without its body", envelope_reads_back(&l[i], l[i].commit.where));
    }
    restart();
    check("all are told", box.told_count == COUNT_OF(sizes));
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        snprintf(wanted, sizeof(wanted), "from=a\nrcpt=b\n:%zu", sizes[i]);
        assert_string_equal(story_of(l[i].commit.id), wanted);
        check("later", reads_back(&l[i], must_find(l[i].commit.id)->where));
    }
    end();
}

static void what_does_not_fit_its_sums_is_refused(void **state)
{
    struct letter l[3];

    (void)state;
    begin();
    for (size_t i = 0; i < 3; i++) {
        write_letter(&l[i], "from=a\nrcpt=b\n", 1000);
        if (i == 0)
            l[i].commit.body_crc++;
        if (i == 1)
            l[i].commit.body_bytes++;
        if (i == 2) {
            write_large_letter(&l[i], "from=a\nrcpt=b\n", 1000);
            l[i].commit.body_bytes++;
        }
        send(&l[i]);
        check("refused", l[i].trouble == SPOOL_INVALID);
    }
    close(l[2].commit.big_fd);
    restart();
    check("and not kept", box.told_count == 0);
    end();
}

static void many_are_taken_in_one_turn(void **state)
{
    static struct letter l[TOLD_MOST];
    struct store_numbers n;

    (void)state;
    begin();
    for (size_t i = 0; i < COUNT_OF(l); i++) {
        write_letter(&l[i], "from=a\nrcpt=b\n", i);
        store_accept(box.store, &l[i].commit);
    }
    check("there is something to do", !store_idle(box.store));
    settle_down();
    for (size_t i = 0; i < COUNT_OF(l); i++)
        check("answered once", l[i].answers == 1 && l[i].trouble == SPOOL_FINE);
    store_count(box.store, &n);
    check("counted", n.live_messages == COUNT_OF(l) && n.trouble == SPOOL_FINE);
    restart();
    check("told once", box.told_count == COUNT_OF(l));
    for (size_t i = 0; i < COUNT_OF(l); i++)
        check("whole", reads_back(&l[i], must_find(l[i].commit.id)->where));
    end();
}

static void ids_never_come_again(void **state)
{
    static uint64_t seen[60];
    struct letter l;

    (void)state;
    begin();
    for (size_t i = 0; i < COUNT_OF(seen); i++) {
        post(&l, "from=a\nrcpt=b\n", 10);
        for (size_t k = 0; k < i; k++)
            check("new", l.commit.id != seen[k]);
        seen[i] = l.commit.id;
        store_finish(box.store, l.commit.id, l.commit.where);
        if (i % 6 == 5)
            restart();
    }
    check("none is left", box.told_count == 0);
    end();
}

/* ---- body files ---- */

static void large_bodies_are_files(void **state)
{
    struct letter l;

    (void)state;
    begin();
    write_large_letter(&l, "from=a\nrcpt=b\n", 300000);
    send(&l);
    check("taken", l.trouble == SPOOL_FINE);
    check("at once", reads_back(&l, l.commit.where));
    check("without its body", envelope_reads_back(&l, l.commit.where));
    restart();
    assert_string_equal(story_of(l.commit.id), "from=a\nrcpt=b\n:300000");
    check("later", reads_back(&l, must_find(l.commit.id)->where));
    store_finish(box.store, l.commit.id, must_find(l.commit.id)->where);
    settle_down();
    restart();
    check("done", box.told_count == 0);
    close(l.commit.big_fd);
    end();
}

static void body_files_are_numbered_and_may_go_unused(void **state)
{
    uint64_t one, two;
    int fds[2];

    (void)state;
    begin();
    fds[0] = store_create_body(box.store, &one);
    fds[1] = store_create_body(box.store, &two);
    check("two files", fds[0] >= 0 && fds[1] >= 0 && one != two);
    close(fds[0]);
    close(fds[1]);
    store_remove_body(box.store, one);
    settle_down();
    restart();
    check("no message comes of them", box.told_count == 0);
    end();
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

    store_settle(box.store, &o, where);
}

static void change(uint64_t id, enum store_change_kind kind)
{
    const struct store_change c = { id, kind, 5, VIEW("uid 0") };

    store_change(box.store, &c);
}

static bool outcome_reads_back(uint64_t id, struct store_ref where)
{
    struct store_outcome o;
    struct arena arena;
    bool same;

    arena_init(&arena, 65536);
    same = store_read_outcome(box.store, where, &arena, &o) == 0 && o.message == id &&
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
    begin();
    post(&l, "from=a\nrcpt=b\nrcpt=c\n", 10);
    settle(l.commit.id, STORE_DEFERRED, both, 2, &where);
    check("before it is written", outcome_reads_back(l.commit.id, where));
    settle_down();
    check("when it is written", outcome_reads_back(l.commit.id, where));
    restart();
    check("at the next start",
          outcome_reads_back(l.commit.id, must_find(l.commit.id)->last_outcome));
    end();
}

static void all_that_happened_is_told_in_order(void **state)
{
    struct letter a, b;

    (void)state;
    begin();
    post(&a, "a", 1);
    post(&b, "b", 2);
    settle(a.commit.id, STORE_DEFERRED, both, 2, NULL);
    change(b.commit.id, STORE_HOLD);
    change(a.commit.id, STORE_NOTICED);
    settle(b.commit.id, STORE_FAILED, second, 1, NULL);
    change(b.commit.id, STORE_RELEASE);
    settle_down();
    settle(a.commit.id, STORE_DELIVERED, first, 1, NULL);
    change(a.commit.id, STORE_DELETED);
    settle_down();
    restart();
    assert_string_equal(story_of(a.commit.id),
                        "a:1 deferred,0,1 noticed,uid 0,5 delivered,0 deleted,uid 0,5");
    assert_string_equal(story_of(b.commit.id), "b:2 hold,uid 0,5 failed,1 release,uid 0,5");
    settle(a.commit.id, STORE_DEFERRED, second, 1, NULL);
    settle_down();
    restart();
    assert_string_equal(story_of(a.commit.id),
                        "a:1 deferred,0,1 noticed,uid 0,5 delivered,0 deleted,uid 0,5 deferred,1");
    end();
}

static void a_notice_settles_what_it_is_about(void **state)
{
    struct letter about, bounce, delay;

    (void)state;
    begin();
    post(&about, "about", 1);
    write_letter(&bounce, "bounce", 2);
    bounce.commit.about = about.commit.id;
    bounce.commit.settles = second;
    bounce.commit.settle_count = 1;
    send(&bounce);
    write_letter(&delay, "delay", 3);
    delay.commit.about = about.commit.id;
    send(&delay);
    store_finish(box.store, bounce.commit.id, bounce.commit.where);
    settle_down();
    restart();
    assert_string_equal(story_of(about.commit.id), "about:1 failed,1 noticed");
    assert_string_equal(story_of(delay.commit.id), "delay:3");
    check("the other is done", find(bounce.commit.id) == NULL);
    end();
}

static void what_is_finished_is_not_told(void **state)
{
    struct letter done, stays;
    struct store_numbers n;

    (void)state;
    begin();
    post(&done, "done", 1);
    post(&stays, "stays", 1);
    settle(done.commit.id, STORE_DEFERRED, both, 2, NULL);
    change(done.commit.id, STORE_HOLD);
    store_finish(box.store, done.commit.id, done.commit.where);
    settle_down();
    store_count(box.store, &n);
    check("counted", n.live_messages == 1);
    for (int starts = 0; starts < 3; starts++) {
        restart();
        check("one is left", box.told_count == 1);
        assert_string_equal(story_of(stays.commit.id), "stays:1");
    }
    end();
}

/* ---- replay ---- */

static void mail_comes_and_goes_while_the_replay_runs(void **state)
{
    struct letter old[3], fresh, brief;

    (void)state;
    begin();
    for (size_t i = 0; i < 3; i++) {
        post(&old[i], "old", i);
        settle(old[i].commit.id, STORE_DEFERRED, both, 2, NULL);
    }
    settle_down();
    store_close(&box.store);
    open_it(false);
    check("a record at a time", store_replay(box.store, 1) && box.told_count < 3);
    post(&fresh, "fresh", 4);
    post(&brief, "brief", 5);
    check("read", reads_back(&fresh, fresh.commit.where));
    store_finish(box.store, brief.commit.id, brief.commit.where);
    while (store_replay(box.store, 1))
        settle_down();
    check("what came meanwhile is no part of it", box.told_count == 3);
    for (size_t i = 0; i < 3; i++)
        check("with its outcome", strstr(story_of(old[i].commit.id), " deferred,0,1") != NULL);
    restart();
    check("at the next start it is", box.told_count == 4);
    assert_string_equal(story_of(fresh.commit.id), "fresh:4");
    end();
}

/* ---- the rest ---- */

static void says_that_mail_may_come(void **state)
{
    (void)state;
    begin();
    check("idle", store_idle(box.store));
    store_flush(box.store);
    assert_int_equal(loop_turn(&box.loop, 10), 0);
    check("told once", box.states == 1 && box.trouble == SPOOL_FINE);
    end();
}

static void a_look_changes_nothing(void **state)
{
    struct letter small, large;

    (void)state;
    begin();
    post(&small, "small", 10);
    settle(small.commit.id, STORE_DEFERRED, both, 2, NULL);
    write_large_letter(&large, "large", 300000);
    send(&large);
    store_close(&box.store);
    for (int looks = 0; looks < 2; looks++) {
        open_it(true);
        tell_all();
        check("both are told", box.told_count == 2 && store_idle(box.store));
        assert_string_equal(story_of(small.commit.id), "small:10 deferred,0,1");
        check("small one", reads_back(&small, must_find(small.commit.id)->where));
        check("large one", reads_back(&large, must_find(large.commit.id)->where));
        check("outcome",
              outcome_reads_back(small.commit.id, must_find(small.commit.id)->last_outcome));
        store_close(&box.store);
    }
    open_it(false);
    tell_all();
    check("as before", box.told_count == 2);
    close(large.commit.big_fd);
    end();
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

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)('a' + i * 7 % 26);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
