/* What keeps a segment from being emptied or removed, for a time or for good. */
#include "tests/unit/queue/model.h"
#include "tests/unit/unit.h"

#include "io/clock.h"
#include "queue/haste.h"
#include "queue/record.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PATIENCE = 50000, /* turns of half a millisecond at least */
    HEADER = 20,      /* bytes behind where a record begins */
    BODY = 1000,
};

/* ---- damage: what is not told may be the end of a message ---- */

static void segment_path(struct model *m, uint64_t id, char *path, size_t size)
{
    snprintf(path, size, "%.80s/log/%012llx.seg", m->box.path,
             (unsigned long long)record_segment(id));
}

static void spoil(struct model *m, uint64_t id, unsigned at)
{
    char path[160];
    int fd;

    segment_path(m, id, path, sizeof(path));
    fd = open(path, O_WRONLY);
    check("spoilt", fd >= 0 && pwrite(fd, "\x01", 1, (off_t)record_offset(id) + at) == 1);
    close(fd);
}

/* Much mail, of which some lives; the record of one is spoilt as soon as it is there. */
static void accept_and_spoil(struct model *m, unsigned which, unsigned at)
{
    for (unsigned i = 0; i < 1000; i++) {
        struct box_commit *c = box_accept(&m->box, i, i % 20 == 1 ? 3000 : 60000);
        struct item *item = model_add(m, c, i);

        if (i % 20 != 1)
            model_finish(m, item);
        box_commit_free(c);
        box_settle(&m->box);
        if (i == which)
            spoil(m, item->id, at);
    }
}

static void a_segment_that_is_not_whole_is_not_emptied(void **state)
{
    struct model *m = model_new_resting(); /* so that nothing is read too early */
    struct store_numbers n;
    char path[160];

    (void)state;
    accept_and_spoil(m, 0, HEADER);
    store_count(m->box.store, &n);
    segment_path(m, m->items[0].id, path, sizeof(path));
    check("others were", n.segments_emptied > 5);
    check("it is still there", access(path, F_OK) == 0);
    model_end(m);
}

static unsigned told_count;
static uint64_t told_id;

static void on_damaged(struct store_watcher *w, uint64_t id)
{
    (void)w;
    told_count++;
    told_id = id;
}

/* The second message lives, and its body alone is damaged. */
static void damage_that_is_met_is_reported_once(void **state)
{
    struct model *m = model_new_resting();
    struct store_numbers n;
    char path[160];

    (void)state;
    told_count = 0;
    m->box.watcher.damaged = on_damaged;
    accept_and_spoil(m, 1, BODY);
    store_count(m->box.store, &n);
    segment_path(m, m->items[0].id, path, sizeof(path));
    check("counted", n.damaged == 1);
    check("its bytes were set aside", box_count_files(&m->box, "bad") == 1);
    check("that message is to be held", told_count == 1 && told_id == m->items[1].id);
    check("others were emptied", n.segments_emptied > 5);
    check("it is still there", access(path, F_OK) == 0);
    model_end(m);
}

/* The log is larger than it should be, and stays so: new mail is taken as ever. */
static void mail_does_not_wait_for_what_cannot_be_done(void **state)
{
    struct model *m = model_new_resting();
    struct store_numbers n;
    uint64_t segment = 0;

    (void)state;
    for (unsigned i = 0; i < 600; i++) {
        struct box_commit *c = box_accept(&m->box, i, i % 20 == 1 ? 3000 : 60000);
        struct item *item = model_add(m, c, i);
        bool first = record_segment(item->id) != segment;

        check("taken", c->trouble == SPOOL_FINE);
        segment = record_segment(item->id);
        if (i % 20 != 1 || first)
            model_finish(m, item);
        box_commit_free(c);
        box_settle(&m->box);
        if (first)
            spoil(m, item->id, HEADER);
    }
    store_count(m->box.store, &n);
    check("nothing could be done", n.segments_emptied == 0);
    check("too large", n.disk_bytes > n.live_bytes * 3 / 2 + (uint64_t)HASTE_BOUND * BOX_SEGMENT);
    model_end(m);
}

/* ---- what passes ---- */

static void accept_some(struct model *m, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct box_commit *c = box_accept(&m->box, i, i % 20 == 1 ? 3000 : 60000);
        struct item *item = model_add(m, c, i);

        if (i % 20 != 1)
            model_finish(m, item);
        box_commit_free(c);
    }
}

/* Virtual time; each step lets threads run. */
static void pass(struct model *m, uint64_t ms)
{
    for (uint64_t at = 0; at < ms; at += 100) {
        usleep(500);
        clock_advance(100);
        assert_int_equal(loop_turn(&m->box.loop, 0), 0);
        store_flush(m->box.store);
    }
}

/* However slow the threads are; false: in vain. */
static bool pass_until(struct model *m, bool (*what)(struct model *m))
{
    for (unsigned i = 0; i < PATIENCE && !what(m); i++)
        pass(m, 100);
    return what(m);
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

/* Renames it out of the store's sight. */
static void a_segment_that_cannot_be_read_for_a_time_is_emptied_later(void **state)
{
    struct model *m;
    struct store_numbers n;
    char path[160], hidden[180], index[160];

    (void)state;
    clock_freeze(1700000000000);
    m = model_new_resting();
    accept_some(m, 60);
    segment_path(m, m->items[0].id, path, sizeof(path));
    snprintf(index, sizeof(index), "%.*s.idx", (int)strlen(path) - 4, path);
    snprintf(hidden, sizeof(hidden), "%s.hidden", path);
    unlink(index);
    check("hidden", rename(path, hidden) == 0);
    accept_some(m, 400); /* more than may be: what rests is emptied, too */
    pass(m, 3000);
    store_count(m->box.store, &n);
    check("others were emptied", n.segments_emptied > 0);
    check("back", rename(hidden, path) == 0);
    for (unsigned i = 0; i < 100 && is_there(path); i++) {
        accept_some(m, 20);
        pass(m, 1000);
    }
    check("it was emptied", !is_there(path));
    box_settle(&m->box);
    box_close(&m->box);
    model_open(m);
    model_end(m);
}

/* Something lies where its file should go. */
static void a_segment_that_cannot_be_removed_for_a_time_is_removed_later(void **state)
{
    struct model *m;
    char path[160], obstacle[160];

    (void)state;
    clock_freeze(1700000000000);
    m = model_new(1);
    accept_some(m, 1);
    segment_path(m, m->items[0].id, path, sizeof(path));
    snprintf(obstacle, sizeof(obstacle), "%.80s/free/%012llx.seg", m->box.path,
             (unsigned long long)record_segment(m->items[0].id));
    check("in the way", mkdir(obstacle, 0700) == 0);
    accept_some(m, 100);
    for (size_t i = 0; i < m->count; i++) {
        if (m->items[i].live)
            model_finish(m, &m->items[i]);
    }
    pass(m, 10000);
    check("it is there", is_there(path));
    check("out of the way", rmdir(obstacle) == 0);
    for (unsigned i = 0; i < PATIENCE && is_there(path); i++)
        pass(m, 100);
    check("it has gone", !is_there(path));
    model_end(m);
}

/* As on a disk that is broken. */
static void let_writes_fail(bool fail)
{
    struct rlimit r;

    getrlimit(RLIMIT_FSIZE, &r);
    r.rlim_cur = fail ? 0 : r.rlim_max;
    setrlimit(RLIMIT_FSIZE, &r);
}

static bool has_failed(struct model *m)
{
    struct store_numbers n;

    store_count(m->box.store, &n);
    return n.syncs_failed > 0;
}

static bool is_well_and_small(struct model *m)
{
    struct store_numbers n;

    store_count(m->box.store, &n);
    return n.trouble == SPOOL_FINE && n.disk_bytes <= n.live_bytes * 3 / 2 + 6ull * BOX_SEGMENT;
}

/* Some of which are just being moved. */
static void finish_every(struct model *m, size_t nth)
{
    for (size_t i = 0; i < m->count; i += nth) {
        if (m->items[i].live)
            model_finish(m, &m->items[i]);
    }
}

/* Copies are written again in other segments, unless their messages have ended meanwhile. */
static void copies_that_could_not_be_written_are_written_again(void **state)
{
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    clock_freeze(1700000000000);
    for (unsigned turns = 0; turns < 24; turns += 3) {
        struct model *m = model_new(1);
        struct store_numbers n;

        for (unsigned i = 0; i < 200; i++) {
            struct box_commit *c = box_accept(&m->box, i, 60000);

            model_settle_some(m, model_add(m, c, i));
            box_commit_free(c);
        }
        for (size_t i = 0; i < m->count; i++) {
            if (i % 3 != 0)
                model_finish(m, &m->items[i]);
        }
        for (unsigned i = 0; i < turns; i++) {
            assert_int_equal(loop_turn(&m->box.loop, 1), 0);
            store_flush(m->box.store);
        }
        m->may_fail = true;
        let_writes_fail(true);
        finish_every(m, 7);
        pass(m, 300 + 100 * turns);
        check("it fails", pass_until(m, has_failed));
        finish_every(m, 11);
        pass(m, 2000);
        let_writes_fail(false);
        pass(m, 20000);
        check("it goes on", pass_until(m, is_well_and_small));
        box_settle(&m->box);
        store_count(m->box.store, &n);
        check("no damage", n.damaged == 0);
        box_close(&m->box);
        model_open(m);
        model_end(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segment_that_is_not_whole_is_not_emptied),
        cmocka_unit_test(damage_that_is_met_is_reported_once),
        cmocka_unit_test(mail_does_not_wait_for_what_cannot_be_done),
        cmocka_unit_test(a_segment_that_cannot_be_read_for_a_time_is_emptied_later),
        cmocka_unit_test(a_segment_that_cannot_be_removed_for_a_time_is_removed_later),
        cmocka_unit_test(copies_that_could_not_be_written_are_written_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
