#include "queue/record.h"
#include "tests/unit/queue/spoolbox.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIZE = 1500 };

/* ---- messages in several places ---- */

enum { LONG = 60000, MANY = 50 };

/* Behind the last record of the newest segment, a copy of the message, made from one in a segment
 * that is not there. As it is when an old file comes back into the log. */
static void append_copy(struct box *b, const struct box_commit *c)
{
    struct record_message m = { .body_bytes = c->commit.body_bytes,
                                .body_crc = c->commit.body_crc,
                                .was = record_place(1, RECORD_HEAD) };
    char *segment = box_load(b), front[RECORD_HEADER + 1024];
    struct buf meta = buf_on(front + RECORD_HEADER, 1024);
    struct record r = { .type = RECORD_COPY, .id = c->commit.id, .body = c->commit.body };
    struct record_scan scan = { .bytes = view_make(segment, BOX_SEGMENT), .at = RECORD_HEAD };
    struct record last;
    struct record_start start;
    char path[192];
    size_t from, to, at = 0;

    box_newest_segment(b, path, sizeof(path));
    scan.segment = strtoull(strrchr(path, '/') + 1, NULL, 16);
    check("head", record_get_head(view_make(segment, RECORD_HEAD), scan.segment, &start) ==
                      RECORD_HEAD_WHOLE);
    scan.seed = record_seed(start.nonce);
    while (record_scan_next(&scan, &last, &from, &to) == RECORD_FOUND)
        at = to;
    r.batch = scan.batch + 1;
    check("the copy", record_put_message(&meta, &m) && buf_put(&meta, c->commit.envelope));
    r.meta = buf_view(&meta);
    record_seal(front, &r, scan.seed);
    box_overwrite(b, at, front, RECORD_HEADER + r.meta.len);
    box_overwrite(b, at + RECORD_HEADER + r.meta.len, r.body.ptr, r.body.len);
    free(segment);
}

static void let_pass(struct box *b)
{
    for (uint64_t i = 0; i < MANY; i++) {
        struct box_commit *c = box_accept(b, i, LONG);

        store_finish(b->store, c->commit.id, c->commit.where);
        box_settle(b);
        box_commit_free(c);
    }
}

/* Once, and once it is finished never again, although its first place outlives the others. */
static void a_message_in_several_places_is_one(void **state)
{
    struct box_commit *twice, *anchor;
    struct box b;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    twice = box_accept(&b, 1, SIZE);
    anchor = box_accept(&b, 2, SIZE);
    let_pass(&b);
    box_close(&b);
    append_copy(&b, twice);
    append_copy(&b, twice);
    box_open(&b, true);
    check("each once", b.told_count == 2);
    check("whole", box_is_told_whole(&b, twice, 1) && box_is_told_whole(&b, anchor, 2));
    store_finish(b.store, twice->commit.id, box_find(&b, twice->commit.id)->where);
    for (int round = 0; round < 3; round++) {
        let_pass(&b);
        box_close(&b);
        box_open(&b, true);
        check("never again", b.told_count == 1 && box_is_told_whole(&b, anchor, 2));
    }
    box_commit_free(twice);
    box_commit_free(anchor);
    box_remove(&b);
}

/* ---- former lives ---- */

static void leftovers_of_a_recycled_segment_are_no_records(void **state)
{
    struct box b;
    struct store_numbers n;
    struct box_commit *c;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    for (uint64_t i = 0; i < 100; i++) {
        c = box_accept(&b, i, 100000);
        store_finish(b.store, c->commit.id, c->commit.where);
        box_commit_free(c);
    }
    box_settle(&b);
    c = box_accept(&b, 500, SIZE);
    box_close(&b);
    box_open(&b, true);
    store_count(b.store, &n);
    check("only what was not finished", b.told_count == 1 && box_is_told_whole(&b, c, 500));
    check("no damage", n.damaged == 0);
    box_commit_free(c);
    box_remove(&b);
}

/* The crash came between the renaming of a spare and the first write. */
static void a_segment_that_never_began_is_returned(void **state)
{
    struct box b;
    struct box_commit *c, *d;
    char spare[192], name[32];
    struct stat facts;
    int fd;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    c = box_accept(&b, 1, SIZE);
    box_settle(&b);
    box_close(&b);
    snprintf(name, sizeof(name), "%012llx.seg",
             (unsigned long long)record_segment(c->commit.id) + 1);
    snprintf(spare, sizeof(spare), "%s/log/%s", b.path, name);
    fd = open(spare, O_WRONLY | O_CREAT, 0600);
    check("made", fd >= 0 && ftruncate(fd, BOX_SEGMENT) == 0);
    close(fd);
    box_open(&b, true);
    check("not taken for a segment", b.told_count == 1 && stat(spare, &facts) < 0);
    d = box_accept(&b, 2, SIZE);
    check("goes on", record_segment(d->commit.id) == record_segment(c->commit.id));
    box_commit_free(c);
    box_commit_free(d);
    box_remove(&b);
}

/* A spare that a power cut left with a name in log/ as well must not be written to. */
static void a_spare_with_two_names_is_no_spare(void **state)
{
    struct box b;
    struct box_commit *c;
    char path[192], spare[192];

    (void)state;
    box_new(&b);
    box_open(&b, true);
    c = box_accept(&b, 1, SIZE);
    box_close(&b);
    box_newest_segment(&b, path, sizeof(path));
    snprintf(spare, sizeof(spare), "%s/free/00000000abcd.seg", b.path);
    check("linked", link(path, spare) == 0);
    box_open(&b, true);
    check("unlinked", access(spare, F_OK) < 0);
    check("whole", box_is_told_whole(&b, c, 1));
    box_commit_free(c);
    box_remove(&b);
}

/* ---- segments that cannot be read at all ---- */

static void segment_path(struct box *b, uint64_t number, char *path, size_t size)
{
    snprintf(path, size, "%.80s/log/%012llx.seg", b->path, (unsigned long long)number);
}

/* A pipe has no end, and a file may claim more than any memory holds. */
static void files_of_a_strange_kind_stop_nothing(void **state)
{
    enum { MESSAGES = 40, BYTES = 60000 };
    struct box b;
    struct box_commit *c[MESSAGES];
    char path[160];
    uint64_t first;
    struct store_numbers n;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    for (uint64_t i = 0; i < MESSAGES; i++)
        c[i] = box_accept(&b, i, BYTES);
    first = record_segment(c[0]->commit.id);
    box_close(&b);

    segment_path(&b, first, path, sizeof(path));
    check("huge", truncate(path, (off_t)1 << 40) == 0);
    snprintf(path, sizeof(path), "%.80s/log/%012llx.idx", b.path, (unsigned long long)first);
    check("no index", (unlink(path) == 0 || errno == ENOENT) && mkfifo(path, 0600) == 0);
    segment_path(&b, first - 1, path, sizeof(path));
    check("no segment", mkfifo(path, 0600) == 0);
    box_open(&b, true);
    store_count(b.store, &n);
    check("all are there", b.told_count == MESSAGES);
    check("the pipe and the room behind the end are counted", n.damaged == 2);
    for (uint64_t i = 0; i < MESSAGES; i++) {
        check("whole", box_is_whole(&b, c[i]->commit.id, c[i]->commit.where, i, BYTES));
        box_commit_free(c[i]);
    }
    box_remove(&b);
}

/* What is in it comes back when it can be read again, and what ended meanwhile does not. */
static void a_segment_that_cannot_be_opened_stops_nothing(void **state)
{
    enum { MESSAGES = 40, BYTES = 60000 };
    struct box b;
    struct box_commit *c[MESSAGES], *more;
    char path[160], away[160];
    uint64_t first, gone = 0;
    struct store_numbers n;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    for (uint64_t i = 0; i < MESSAGES; i++)
        c[i] = box_accept(&b, i, BYTES);
    first = record_segment(c[0]->commit.id);
    for (size_t i = 0; i < MESSAGES; i++)
        gone += record_segment(c[i]->commit.id) == first;
    store_finish(b.store, c[1]->commit.id, c[1]->commit.where);
    box_settle(&b);
    box_close(&b);

    segment_path(&b, first, path, sizeof(path));
    snprintf(away, sizeof(away), "%.80s/away", b.path);
    check("away", rename(path, away) == 0 && symlink("/dev/null", path) == 0);
    box_open(&b, true);
    store_count(b.store, &n);
    check("the others are there", b.told_count == MESSAGES - gone && n.damaged == 1);
    for (uint64_t i = gone; i < MESSAGES; i++)
        check("whole", box_is_whole(&b, c[i]->commit.id, c[i]->commit.where, i, BYTES));
    /* All else ends, so that every other segment could be used again. */
    for (size_t i = gone; i < MESSAGES; i++)
        store_finish(b.store, c[i]->commit.id, c[i]->commit.where);
    for (uint64_t i = 0; i < 60; i++) {
        more = box_accept(&b, i, BYTES);
        store_finish(b.store, more->commit.id, more->commit.where);
        box_settle(&b);
        box_commit_free(more);
    }
    box_close(&b);

    check("back", unlink(path) == 0 && rename(away, path) == 0);
    box_open(&b, true);
    store_count(b.store, &n);
    check("what had not ended", b.told_count == gone - 1 && n.damaged == 0);
    check("and not what had", box_find(&b, c[1]->commit.id) == NULL);
    check("whole again", box_is_whole(&b, c[0]->commit.id, c[0]->commit.where, 0, BYTES));
    for (size_t i = 0; i < MESSAGES; i++)
        box_commit_free(c[i]);
    box_remove(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_in_several_places_is_one),
        cmocka_unit_test(leftovers_of_a_recycled_segment_are_no_records),
        cmocka_unit_test(a_segment_that_never_began_is_returned),
        cmocka_unit_test(a_spare_with_two_names_is_no_spare),
        cmocka_unit_test(files_of_a_strange_kind_stop_nothing),
        cmocka_unit_test(a_segment_that_cannot_be_opened_stops_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
