#include "queue/attempts.h"
#include "tests/unit/queue/spoolbox.h"
#include "tests/unit/unit.h"

#include "common/crc32c.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const uint32_t first[] = { 0 }, second[] = { 1 }, both[] = { 0, 1 };

static void keeps_what_it_accepted(void **state)
{
    struct box b;
    struct box_commit *c[3];
    const size_t sizes[3] = { 0, 100, 200000 };

    (void)state;
    box_new(&b);
    box_open(&b, true);
    for (size_t i = 0; i < 3; i++) {
        c[i] = box_accept(&b, i, sizes[i]);
        check("accepted", c[i]->trouble == SPOOL_FINE && c[i]->commit.id != 0);
        check("read at once", box_is_whole(&b, c[i]->commit.id, c[i]->commit.where, i, sizes[i]));
    }
    box_close(&b);
    box_open(&b, true);
    check("all told", b.told_count == 3);
    for (size_t i = 0; i < 3; i++) {
        struct box_message *m = box_find(&b, c[i]->commit.id);

        check("told", m != NULL && m->body_bytes == sizes[i]);
        check("same place", m->where.place == c[i]->commit.where.place);
        check("read again", box_is_whole(&b, m->id, m->where, i, sizes[i]));
        box_commit_free(c[i]);
    }
    box_remove(&b);
}

static void ids_are_new_after_each_start(void **state)
{
    struct box b;
    uint64_t last = 0;

    (void)state;
    box_new(&b);
    for (uint64_t i = 0; i < 5; i++) {
        struct box_commit *c;

        box_open(&b, true);
        c = box_accept(&b, i, 50);
        check("new", c->commit.id > last);
        last = c->commit.id;
        store_finish(b.store, last, c->commit.where);
        box_commit_free(c);
        box_close(&b);
    }
    box_remove(&b);
}

static void ids_of_a_spool_that_was_removed_do_not_come_again(void **state)
{
    uint64_t last = 0;

    (void)state;
    for (int spool = 0; spool < 2; spool++) {
        struct box b;

        box_new(&b);
        box_open(&b, true);
        for (uint64_t i = 0; i < 20; i++) {
            struct box_commit *c = box_accept(&b, i, 200000);

            check("new", c->commit.id > last);
            last = c->commit.id;
            box_commit_free(c);
        }
        box_remove(&b);
    }
}

static void tells_what_happened(void **state)
{
    struct box b;
    struct box_commit *c, *gone;
    struct box_message *m;
    struct store_outcome o, back;
    struct store_change change = { .kind = STORE_HOLD, .at_ms = 5, .who = VIEW("uid 0") };
    struct store_ref where;
    struct arena arena;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    c = box_accept(&b, 1, 500);
    gone = box_accept(&b, 2, 500);
    o = box_outcome(c->commit.id, both, 2, STORE_DEFERRED);
    store_settle(b.store, &o, &where);
    o = box_outcome(c->commit.id, second, 1, STORE_DELIVERED);
    store_settle(b.store, &o, NULL);
    change.message = c->commit.id;
    store_change(b.store, &change);
    store_finish(b.store, gone->commit.id, gone->commit.where);
    box_settle(&b);
    box_close(&b);
    box_open(&b, false);
    check("only the live one", b.told_count == 1);
    m = box_find(&b, c->commit.id);
    check("its states", m != NULL && m->deferred == 1 && m->delivered == 1 && m->held);
    arena_init(&arena, 65536);
    check("outcome read", store_read_outcome(b.store, where, &arena, &back) == 0);
    check("as it was", back.message == c->commit.id && back.rcpt_count == 2 && back.rcpts[1] == 1 &&
                           back.state == STORE_DEFERRED && back.attempts == 3 &&
                           back.next_ms == 1700000000000);
    check_view("text", back.text, VIEW("code=450\ntext=try later\n"));
    arena_reset(&arena);
    box_commit_free(c);
    box_commit_free(gone);
    box_remove(&b);
}

static void outcomes_can_be_read_at_once(void **state)
{
    struct box b;
    struct box_commit *c;
    struct store_outcome o;
    struct store_ref where;
    struct store_numbers n;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    c = box_accept(&b, 1, 500);
    o = box_outcome(c->commit.id, both, 2, STORE_DEFERRED);
    store_settle(b.store, &o, &where);
    check("before it is written", box_reads_outcome(&b, where, o.message));
    store_flush(b.store);
    check("while it is written", box_reads_outcome(&b, where, o.message));
    box_settle(&b);
    check("when it is written", box_reads_outcome(&b, where, o.message));
    store_count(b.store, &n);
    check("no damage", n.damaged == 0 && box_count_files(&b, "bad") == 0);
    box_commit_free(c);
    box_remove(&b);
}

static void a_notice_settles_in_the_same_record(void **state)
{
    struct box b;
    struct box_commit *about, *notice, *delay;
    struct box_message *m;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    about = box_accept(&b, 1, 500);
    notice = box_commit(&b, 2, 100);
    notice->commit.about = about->commit.id;
    notice->commit.settles = first;
    notice->commit.settle_count = 1;
    store_accept(b.store, &notice->commit);
    delay = box_commit(&b, 3, 100);
    delay->commit.about = about->commit.id;
    store_accept(b.store, &delay->commit);
    box_settle(&b);
    store_finish(b.store, notice->commit.id, notice->commit.where);
    box_close(&b);
    box_open(&b, false);
    m = box_find(&b, about->commit.id);
    check("still there", m != NULL && b.told_count == 2);
    check("settled although the notice is gone", m->failed == 1 && m->noticed == 1);
    box_commit_free(about);
    box_commit_free(notice);
    box_commit_free(delay);
    box_remove(&b);
}

static void large_bodies_are_files(void **state)
{
    struct box b;
    struct box_commit *c;
    struct box_message *m;
    struct store_message read_back;
    static char bytes[300000];
    uint64_t file, orphan;
    int fd;

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    box_new(&b);
    box_open(&b, true);
    fd = store_create_body(b.store, &file);
    check("made", fd >= 0);
    check("written", write(fd, bytes, sizeof(bytes)) == sizeof(bytes));
    close(store_create_body(b.store, &orphan));
    c = box_commit(&b, 1, 0);
    c->commit.big_fd = fd;
    c->commit.big_file = file;
    c->commit.body_bytes = sizeof(bytes);
    c->commit.body_crc = crc32c(0, view_make(bytes, sizeof(bytes)));
    store_accept(b.store, &c->commit);
    box_settle(&b);
    close(fd);
    check("accepted", c->done && c->trouble == SPOOL_FINE);
    box_close(&b);
    box_open(&b, true);
    m = box_find(&b, c->commit.id);
    check("told", m != NULL && m->body_bytes == sizeof(bytes));
    check("read", store_read(b.store, m->id, m->where, true, &read_back) == 0);
    check("as a file", read_back.big_fd >= 0 && read_back.body.len == 0 &&
                           lseek(read_back.big_fd, 0, SEEK_END) == sizeof(bytes));
    store_message_release(&read_back);
    store_finish(b.store, m->id, m->where);
    box_settle(&b);
    box_close(&b);
    box_open(&b, true);
    check("gone", b.told_count == 0);
    check("orphan gone", box_count_files(&b, "bad") == 0);
    check("removed twice is harmless", (store_remove_body(b.store, file), true));
    box_commit_free(c);
    box_remove(&b);
}

static bool has_body(const struct box *b, uint64_t file)
{
    char path[160];

    snprintf(path, sizeof(path), "%.60s/big/%02x/%016llx.eml", b->path, (unsigned)(file >> 56),
             (unsigned long long)file);
    return access(path, F_OK) == 0;
}

/* Mail comes in while they are swept away bit by bit. */
static void orphans_go_and_new_bodies_stay(void **state)
{
    enum { ORPHANS = 40, STEPS_MOST = 1000 };
    uint64_t orphans[ORPHANS], fresh[STEPS_MOST];
    size_t steps = 0;
    struct box b;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    for (size_t i = 0; i < ORPHANS; i++)
        close(store_create_body(b.store, &orphans[i]));
    box_close(&b);
    b.lazy = true;
    box_open(&b, true);
    check("none is swept before mail comes in", has_body(&b, orphans[0]));
    do
        close(store_create_body(b.store, &fresh[steps++]));
    while (store_replay(b.store, 1) && steps < STEPS_MOST);
    check("bit by bit", steps >= ORPHANS / 4 && steps < STEPS_MOST);
    for (size_t i = 0; i < ORPHANS; i++)
        check("gone", !has_body(&b, orphans[i]));
    for (size_t i = 0; i < steps; i++)
        check("there", has_body(&b, fresh[i]));
    box_remove(&b);
}

/* Its file may come back: the message is not forgotten, and nothing is swept meanwhile. */
static void a_message_stays_without_its_large_body(void **state)
{
    static char bytes[300000];
    char path[160], away[160];
    struct store_message m;
    struct box_commit *c;
    uint64_t file, orphan;
    struct box b;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    c = box_commit(&b, 1, 0);
    c->commit.big_fd = store_create_body(b.store, &file);
    check("written", write(c->commit.big_fd, bytes, sizeof(bytes)) == sizeof(bytes));
    c->commit.big_file = file;
    c->commit.body_bytes = sizeof(bytes);
    c->commit.body_crc = crc32c(0, view_make(bytes, sizeof(bytes)));
    store_accept(b.store, &c->commit);
    box_settle(&b);
    close(c->commit.big_fd);
    check("accepted", c->trouble == SPOOL_FINE);
    close(store_create_body(b.store, &orphan));
    box_close(&b);

    snprintf(path, sizeof(path), "%.60s/big/%02x/%016llx.eml", b.path, (unsigned)(file >> 56),
             (unsigned long long)file);
    snprintf(away, sizeof(away), "%.60s/big/%02x/0%016llx.eml", b.path, (unsigned)(file >> 56),
             (unsigned long long)file);
    check("under another name", rename(path, away) == 0);
    box_open(&b, true);
    check("told", b.told_count == 1);
    check("damaged", store_read(b.store, b.told[0].id, b.told[0].where, true, &m) == -EBADMSG);
    box_close(&b);
    check("not swept", rename(away, path) == 0);
    box_open(&b, true);
    check("whole",
          b.told_count == 1 && store_read(b.store, b.told[0].id, b.told[0].where, true, &m) == 0);
    store_message_release(&m);
    snprintf(path, sizeof(path), "%.60s/big/%02x/%016llx.eml", b.path, (unsigned)(orphan >> 56),
             (unsigned long long)orphan);
    check("swept now", access(path, F_OK) < 0);
    box_commit_free(c);
    box_remove(&b);
}

static void a_large_body_of_the_wrong_size_is_refused(void **state)
{
    struct box b;
    struct box_commit *c;
    uint64_t file;
    int fd;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    fd = store_create_body(b.store, &file);
    c = box_commit(&b, 1, 0);
    c->commit.big_fd = fd;
    c->commit.big_file = file;
    c->commit.body_bytes = 7;
    store_accept(b.store, &c->commit);
    box_settle(&b);
    close(fd);
    check("refused", c->done && c->trouble == SPOOL_INVALID);
    box_commit_free(c);
    c = box_commit(&b, 1, 10);
    c->commit.body_crc++;
    store_accept(b.store, &c->commit);
    check("not inside the call", !c->done);
    box_settle(&b);
    check("refused", c->done && c->trouble == SPOOL_INVALID);
    box_commit_free(c);
    box_remove(&b);
}

/* Else the newest reply would go with those before it that had no room. */
static void keeps_as_much_text_as_attempts_may_have(void **state)
{
    static char text[ATTEMPTS_BYTES_MAX];
    const uint32_t rcpt = 0;
    struct store_outcome o, back;
    struct store_ref where;
    struct box_commit *c;
    struct arena arena;
    struct box b;

    (void)state;
    memset(text, 'x', sizeof(text));
    box_new(&b);
    box_open(&b, true);
    c = box_accept(&b, 1, 100);
    o = box_outcome(c->commit.id, &rcpt, 1, STORE_DEFERRED);
    o.text = view_make(text, sizeof(text));
    store_settle(b.store, &o, &where);
    box_settle(&b);
    arena_init(&arena, 65536);
    check("all of it",
          store_read_outcome(b.store, where, &arena, &back) == 0 && view_equal(back.text, o.text));
    arena_reset(&arena);
    box_commit_free(c);
    box_remove(&b);
}

static void many_at_once_share_batches(void **state)
{
    struct box b;
    static struct box_commit *c[3000];
    struct store_numbers before, after;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    store_count(b.store, &before);
    for (uint64_t i = 0; i < COUNT_OF(c); i++) {
        c[i] = box_commit(&b, i, 500);
        store_accept(b.store, &c[i]->commit);
    }
    box_settle(&b);
    store_count(b.store, &after);
    check("in few batches", after.batches - before.batches <= 10);
    check("all answered", b.done == COUNT_OF(c) && b.refused == 0);
    check("watcher was told", b.states >= 1 && b.trouble == SPOOL_FINE);
    box_close(&b);
    box_open(&b, false);
    check("all told", b.told_count == COUNT_OF(c));
    for (uint64_t i = 0; i < COUNT_OF(c); i++) {
        check("whole", box_is_whole(&b, c[i]->commit.id, c[i]->commit.where, i, 500));
        box_commit_free(c[i]);
    }
    box_remove(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_what_it_accepted),
        cmocka_unit_test(ids_are_new_after_each_start),
        cmocka_unit_test(ids_of_a_spool_that_was_removed_do_not_come_again),
        cmocka_unit_test(tells_what_happened),
        cmocka_unit_test(outcomes_can_be_read_at_once),
        cmocka_unit_test(a_notice_settles_in_the_same_record),
        cmocka_unit_test(large_bodies_are_files),
        cmocka_unit_test(orphans_go_and_new_bodies_stay),
        cmocka_unit_test(a_message_stays_without_its_large_body),
        cmocka_unit_test(a_large_body_of_the_wrong_size_is_refused),
        cmocka_unit_test(keeps_as_much_text_as_attempts_may_have),
        cmocka_unit_test(many_at_once_share_batches),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
