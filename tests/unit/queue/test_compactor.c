/* How small the log stays, what moves for that, and what does not. */
#include "tests/unit/queue/model.h"
#include "tests/unit/unit.h"

#include "io/clock.h"
#include "queue/check.h"
#include "queue/haste.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000 };

/* One message that stays in each segment, among many that go at once. */
static void mail_that_stays_does_not_keep_whole_segments(void **state)
{
    struct model *m = model_new(1);
    struct store_numbers n;
    uint64_t most = 0, written = 0;

    (void)state;
    for (unsigned i = 0; i < 600; i++) {
        struct box_commit *c = box_accept(&m->box, i, i % 20 == 0 ? 3000 : 60000);
        struct item *item = model_add(m, c, i);

        if (i % 20 == 0)
            model_settle_some(m, item);
        else
            model_finish(m, item);
        written += c->commit.where.bytes;
        box_commit_free(c);
        assert_int_equal(loop_turn(&m->box.loop, 1), 0);
        store_count(m->box.store, &n);
        most = MAX(most, n.disk_bytes);
    }
    model_wait_until_small(m);
    store_count(m->box.store, &n);
    printf("# at most %llu MiB, %llu KiB moved of %llu KiB\n", (unsigned long long)most >> 20,
           (unsigned long long)n.moved_bytes >> 10, (unsigned long long)written >> 10);
    check("never many", most <= 20ull * BOX_SEGMENT && written > 30ull * BOX_SEGMENT);
    check("little was copied", n.moved_bytes > 0 && n.moved_bytes < written / 4);
    box_settle(&m->box);
    box_close(&m->box);
    model_open(m);
    model_end(m);
}

/* So many share a record: it is not as large as if each of them had one. */
static void a_state_of_many_recipients_is_small(void **state)
{
    enum { MANY = 1000 };
    struct model *m = model_new(1);
    uint32_t rcpts[MANY];
    struct store_numbers n;

    (void)state;
    for (uint32_t i = 0; i < MANY; i++)
        rcpts[i] = i;
    for (unsigned i = 0; i < 600; i++) {
        struct box_commit *c = box_accept(&m->box, i, i % 20 == 0 ? 3000 : 60000);
        struct item *item = model_add(m, c, i);

        if (i % 20 == 0) {
            const struct store_outcome o = box_outcome(item->id, rcpts, MANY, STORE_DEFERRED);
            struct store_ref where;

            store_settle(m->box.store, &o, &where);
            for (size_t k = 0; k < RCPTS; k++)
                item->fates[k] = (struct fate){ true, o.state, o.attempts, where };
        } else {
            model_finish(m, item);
        }
        box_commit_free(c);
    }
    model_wait_until_small(m);
    store_count(m->box.store, &n);
    check("small", n.disk_bytes <= 10ull * BOX_SEGMENT);
    model_end(m);
}

static void check_bound(struct model *m)
{
    struct store_numbers n;

    store_count(m->box.store, &n);
    if (n.disk_bytes > n.live_bytes * 3 / 2 + (uint64_t)HASTE_BOUND * BOX_SEGMENT)
        fail_msg("%llu of %llu bytes live, after %zu messages", (unsigned long long)n.live_bytes,
                 (unsigned long long)n.disk_bytes, m->count);
}

/* Whatever others write, and however fresh the segments are. */
static void the_log_is_bounded_under_load(void **state)
{
    struct model *m = model_new_resting();
    struct store_numbers n;
    uint64_t written = 0;

    (void)state;
    for (unsigned i = 0; i < 1500; i++) {
        struct box_commit *c = box_accept(&m->box, i, i % 20 == 0 ? 3000 : 60000);
        struct item *item = model_add(m, c, i);

        if (i % 20 != 0)
            model_finish(m, item);
        written += c->commit.where.bytes;
        box_commit_free(c);
        check_bound(m);
    }
    store_count(m->box.store, &n);
    check("much was written", written > 60ull * BOX_SEGMENT && n.moved_bytes < written / 4);
    box_settle(&m->box);
    box_close(&m->box);
    model_open(m);
    model_end(m);
}

enum { AT_ONCE = 50 };

/* Those that have been answered; one of ten stays. */
static size_t take_answered(struct model *m, struct box_commit **c)
{
    size_t left = 0;

    for (size_t i = 0; i < AT_ONCE; i++) {
        struct item *item;

        if (!c[i]->done || c[i]->commit.id == 0) {
            left += !c[i]->done;
            continue;
        }
        item = model_add(m, c[i], i);
        c[i]->commit.id = 0;
        if (i % 10 != 0)
            model_finish(m, item);
    }
    return left;
}

static void accept_all(struct model *m, struct box_commit **c)
{
    for (size_t i = 0; i < AT_ONCE; i++) {
        c[i]->done = false;
        store_accept(m->box.store, &c[i]->commit);
    }
    while (take_answered(m, c) > 0) {
        store_flush(m->box.store);
        assert_int_equal(loop_turn(&m->box.loop, 10), 0);
        check_bound(m);
    }
}

/* However much comes at once: it waits for compaction, and in the end all of it is taken. */
static void mail_waits_while_the_log_is_too_large(void **state)
{
    struct model *m = model_new_resting();
    struct box_commit *c[AT_ONCE];
    struct store_numbers n;

    (void)state;
    for (size_t i = 0; i < AT_ONCE; i++)
        c[i] = box_commit(&m->box, i, i % 10 == 0 ? 3000 : 30000);
    for (unsigned round = 0; round < 70; round++)
        accept_all(m, c);
    store_count(m->box.store, &n);
    check("none was refused", m->box.refused == 0 && n.moved_bytes > 0);
    for (size_t i = 0; i < AT_ONCE; i++)
        box_commit_free(c[i]);
    box_settle(&m->box);
    box_close(&m->box);
    model_open(m);
    model_end(m);
}

/* A notice that waits may come to tell of a message that has ended meanwhile. */
static void a_notice_of_what_has_ended_keeps_no_segment(void **state)
{
    struct model *m = model_new_resting();
    struct box_commit *c[AT_ONCE], *notice;
    struct store_numbers n;
    unsigned waited = 0;

    (void)state;
    for (size_t i = 0; i < AT_ONCE; i++)
        c[i] = box_commit(&m->box, i, i % 10 == 0 ? 3000 : 300000);
    for (unsigned round = 0; round < 12; round++) {
        struct box_commit *about = box_accept(&m->box, round, 300);
        struct item *item = model_add(m, about, round);

        notice = box_commit(&m->box, round, 500);
        notice->commit.about = item->id;
        for (size_t i = 0; i < AT_ONCE; i++) {
            c[i]->done = false;
            store_accept(m->box.store, &c[i]->commit);
        }
        store_accept(m->box.store, &notice->commit);
        model_finish(m, item);
        while (take_answered(m, c) > 0) {
            store_flush(m->box.store);
            assert_int_equal(loop_turn(&m->box.loop, 10), 0);
        }
        box_settle(&m->box);
        waited += notice->commit.about == 0;
        model_finish(m, model_add(m, notice, round));
        box_commit_free(notice);
        box_commit_free(about);
    }
    check("some waited", waited > 0);
    for (size_t i = 0; i < m->count; i++) {
        if (m->items[i].live)
            model_finish(m, &m->items[i]);
    }
    model_wait_until_small(m);
    store_count(m->box.store, &n);
    check("nothing stays", n.segments <= 6);
    for (size_t i = 0; i < AT_ONCE; i++)
        box_commit_free(c[i]);
    model_end(m);
}

static void mail_that_goes_at_once_is_not_moved(void **state)
{
    struct model *m = model_new_resting();
    struct store_numbers n;

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        struct box_commit *c = box_accept(&m->box, i, 60000);

        model_finish(m, model_add(m, c, i));
        box_commit_free(c);
    }
    store_count(m->box.store, &n);
    check("nothing was moved", n.moved_bytes == 0 && n.disk_bytes <= 16ull * BOX_SEGMENT);
    model_end(m);
}

enum { PAIRS = 10 };

/* Small messages that stay, and larger ones that go, in one batch. */
static void accept_pairs(struct model *m)
{
    struct box_commit *c[2 * PAIRS];

    for (size_t i = 0; i < COUNT_OF(c); i++) {
        c[i] = box_commit(&m->box, i, i % 2 == 0 ? 300 : 2000);
        store_accept(m->box.store, &c[i]->commit);
    }
    box_settle(&m->box);
    for (size_t i = 0; i < COUNT_OF(c); i++) {
        if (i % 2 == 0)
            model_add(m, c[i], i);
        else
            store_finish(m->box.store, c[i]->commit.id, c[i]->commit.where);
        box_commit_free(c[i]);
    }
}

/* While batch follows batch, too, and a segment takes several portions. */
static void compaction_goes_on_while_mail_comes_in(void **state)
{
    struct model *m = model_new(1);
    struct store_numbers n;

    (void)state;
    do {
        accept_pairs(m);
        store_count(m->box.store, &n);
    } while (n.segments_emptied == 0 && m->count + PAIRS < ITEMS);
    check("a segment was emptied", n.segments_emptied > 0 && m->moved > 256);
    box_settle(&m->box);
    box_close(&m->box);
    model_open(m);
    model_end(m);
}

/* What `tern spool check` says, in the folder of the spool. */
static void read_check(struct model *m, char *said, size_t size)
{
    int here = open(".", O_RDONLY | O_DIRECTORY), fd = memfd_create("said", MFD_CLOEXEC);
    struct error err = { "" };
    ssize_t got;

    assert_int_equal(chdir(m->box.path), 0);
    check("sound", check_spool(fd, false, &err) == CHECK_SOUND);
    assert_int_equal(fchdir(here), 0);
    got = pread(fd, said, size - 1, 0);
    assert_true(got > 0);
    said[got] = '\0';
    close(fd);
    close(here);
}

static void a_large_body_stays_where_it_is(void **state)
{
    struct model *m = model_new(1);
    struct store_message message;
    uint64_t before;
    char said[4096];

    (void)state;
    model_accept_big(m);
    before = m->items[0].where.place;
    for (unsigned i = 0; i < 1000 && m->items[0].where.place == before; i++) {
        bool stays = i > 20 && i % 10 == 0; /* not where the large one lies */
        struct box_commit *c = box_accept(&m->box, i, stays ? 3000 : 60000);
        struct item *item = model_add(m, c, i);

        box_commit_free(c);
        if (!stays)
            model_finish(m, item);
        if (i % 100 == 99)
            model_wait_until_small(m);
    }
    check("the message was moved", m->items[0].where.place != before);
    box_settle(&m->box);
    box_close(&m->box);
    read_check(m, said, sizeof(said));
    check("one large body", strstr(said, "large bodies 1,") != NULL);
    model_open(m);
    check("its file is open",
          store_read(m->box.store, m->items[0].id, m->items[0].where, true, &message) == 0 &&
              message.big_fd >= 0);
    store_message_release(&message);
    model_finish(m, &m->items[0]);
    box_settle(&m->box);
    box_close(&m->box);
    read_check(m, said, sizeof(said));
    check("none", strstr(said, "large bodies 0,") != NULL);
    model_open(m);
    model_end(m);
}

static uint64_t count_indexes(struct model *m)
{
    char path[128];
    uint64_t count = 0;
    const struct dirent *e;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/log", m->box.path);
    dir = opendir(path);
    assert_non_null(dir);
    while ((e = readdir(dir)) != NULL)
        count += view_ends_nocase(view_of(e->d_name), VIEW(".idx"));
    closedir(dir);
    return count;
}

static void wait_for_indexes(struct model *m, uint64_t wanted)
{
    uint64_t began = clock_monotonic_ms();

    while (count_indexes(m) != wanted && clock_monotonic_ms() < began + PATIENCE_MS)
        assert_int_equal(loop_turn(&m->box.loop, 10), 0);
    check("index files", count_indexes(m) == wanted);
}

static void full_segments_that_stay_get_index_files(void **state)
{
    struct model *m = model_new(1);
    struct store_numbers n;

    (void)state;
    for (uint64_t i = 0; i < 60; i++) {
        struct box_commit *c = box_accept(&m->box, i, 60000);

        model_add(m, c, i);
        box_commit_free(c);
    }
    store_count(m->box.store, &n);
    check("several", n.segments > 3);
    wait_for_indexes(m, n.segments - 1);
    box_close(&m->box);
    model_open(m);
    for (unsigned i = 0; i < 60; i++)
        model_finish(m, &m->items[i]);
    box_settle(&m->box);
    wait_for_indexes(m, 0);
    model_end(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mail_that_stays_does_not_keep_whole_segments),
        cmocka_unit_test(a_state_of_many_recipients_is_small),
        cmocka_unit_test(the_log_is_bounded_under_load),
        cmocka_unit_test(mail_waits_while_the_log_is_too_large),
        cmocka_unit_test(a_notice_of_what_has_ended_keeps_no_segment),
        cmocka_unit_test(mail_that_goes_at_once_is_not_moved),
        cmocka_unit_test(compaction_goes_on_while_mail_comes_in),
        cmocka_unit_test(a_large_body_stays_where_it_is),
        cmocka_unit_test(full_segments_that_stay_get_index_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
