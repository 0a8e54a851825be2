/* What was accepted is not let go because it could not be read. */
/* Each function has two names in the C library; both are ours here. */
#undef _FILE_OFFSET_BITS

#include "io/clock.h"
#include "queue/check.h"
#include "queue/digest.h"
#include "queue/journal.h"
#include "queue/record.h"
#include "queue/shelf.h"
#include "tests/unit/queue/spoolbox.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MESSAGES = 60, SIZE = 60000, SECTOR = 512 };

/* ---- a disk and a process with trouble ---- */

static struct {
    char file[32];       /* in whose bytes */
    uint64_t from, to;   /* from here to there reading fails */
    unsigned reads;      /* so many reads at `from` succeed first */
    unsigned opens;      /* the so many-th opening fails; 0: none */
    unsigned opens_done; /* for reading, of segments */
    int error;           /* of that opening */
    bool unsynced;       /* the file cannot be synced */
    char denied[32];     /* that file may not be opened, */
    bool readable;       /* but for reading */
} trouble;

static bool is_troubled(int fd)
{
    char path[BOX_PATH];

    return trouble.file[0] != '\0' && box_path_of(fd, path) && strstr(path, trouble.file) != NULL;
}

static uint64_t bytes_read;

/* By another name: the system's headers may have an inline function of that one. */
ssize_t read_in_trouble(int fd, void *bytes, size_t count, off_t at) __asm__("pread64");
ssize_t read_in_trouble(int fd, void *bytes, size_t count, off_t at)
{
    uint64_t from = (uint64_t)at;

    if (is_troubled(fd) && from < trouble.to && from + count > trouble.from) {
        if (trouble.reads > 0) {
            trouble.reads--;
        } else if (from >= trouble.from) {
            errno = EIO;
            return -1;
        } else {
            count = trouble.from - from;
        }
    }
    bytes_read += count;
    return syscall(SYS_pread64, fd, bytes, count, at);
}

int openat64(int folder, const char *path, int flags, ...);
int openat64(int folder, const char *path, int flags, ...)
{
    unsigned mode;
    va_list args;

    va_start(args, flags);
    mode = va_arg(args, unsigned);
    va_end(args);
    if (trouble.denied[0] != '\0' && strcmp(path, trouble.denied) == 0 &&
        !(trouble.readable && (flags & O_ACCMODE) == O_RDONLY)) {
        errno = EACCES;
        return -1;
    }
    if ((flags & O_ACCMODE) == O_RDONLY && strstr(path, ".seg") != NULL &&
        ++trouble.opens_done == trouble.opens) {
        errno = trouble.error;
        return -1;
    }
    return (int)syscall(SYS_openat, folder, path, flags, mode);
}

int fdatasync(int fd)
{
    if (trouble.unsynced && is_troubled(fd)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

static void no_trouble(void)
{
    memset(&trouble, 0, sizeof(trouble));
}

static void trouble_in(uint64_t segment, uint64_t from, uint64_t to)
{
    no_trouble();
    segment_name(segment, trouble.file);
    trouble.from = from;
    trouble.to = to;
}

/* ---- a spool of several segments, closed ---- */

struct filled {
    struct box box;
    struct box_commit *c[MESSAGES];
    uint64_t first, newest;
};

static void fill(struct filled *f)
{
    no_trouble();
    box_new(&f->box);
    box_open(&f->box, true);
    for (uint64_t i = 0; i < MESSAGES; i++)
        f->c[i] = box_accept(&f->box, i, SIZE);
    box_close(&f->box);
    f->first = record_segment(f->c[0]->commit.id);
    f->newest = record_segment(f->c[MESSAGES - 1]->commit.id);
    assert_true(f->newest > f->first + 1);
}

static void empty(struct filled *f)
{
    for (size_t i = 0; i < MESSAGES; i++)
        box_commit_free(f->c[i]);
    no_trouble();
    box_remove(&f->box);
}

/* Without index files every start reads all. */
static void drop_indexes(struct filled *f)
{
    char path[160], name[SHELF_NAME];

    for (uint64_t n = f->first; n <= f->newest; n++) {
        segment_index_name(n, name);
        snprintf(path, sizeof(path), "%.80s/log/%s", f->box.path, name);
        unlink(path);
    }
}

static void let_mail_pass(struct box *b)
{
    for (uint64_t i = 0; i < MESSAGES; i++) {
        struct box_commit *c = box_accept(b, i, SIZE);

        store_finish(b->store, c->commit.id, c->commit.where);
        box_settle(b);
        box_commit_free(c);
    }
}

/* Opens it with that trouble, lets much mail come and go, and opens it without. */
static void live_through(struct filled *f)
{
    struct store_numbers n;

    drop_indexes(f);
    box_open(&f->box, true);
    store_count(f->box.store, &n);
    check("said", n.damaged > 0);
    let_mail_pass(&f->box);
    box_close(&f->box);
    no_trouble();
    drop_indexes(f);
    box_open(&f->box, true);
}

static void check_all(struct filled *f)
{
    check("all are back, and nothing else", f->box.told_count == MESSAGES);
    for (uint64_t i = 0; i < MESSAGES; i++) {
        const struct box_message *m = box_find(&f->box, f->c[i]->commit.id);

        check("whole", m != NULL && box_is_whole(&f->box, m->id, m->where, i, SIZE));
    }
    check("nothing is set aside as a whole", box_count_files(&f->box, "log") > 0);
}

/* ---- heads ---- */

static void a_head_that_cannot_be_read_frees_nothing(void **state)
{
    (void)state;
    for (int newest = 0; newest < 2; newest++) {
        struct filled f;

        fill(&f);
        trouble_in(newest ? f.newest : f.first, 0, RECORD_HEAD);
        live_through(&f);
        check_all(&f);
        empty(&f);
    }
}

static void a_blank_head_of_an_old_segment_frees_nothing(void **state)
{
    static const char zeros[SECTOR];
    char path[160], name[SHELF_NAME];
    struct filled f;
    int fd;

    (void)state;
    fill(&f);
    segment_name(f.first, name);
    snprintf(path, sizeof(path), "%.80s/log/%s", f.box.path, name);
    fd = open(path, O_WRONLY);
    check("blank", pwrite(fd, zeros, sizeof(zeros), 0) == SECTOR &&
                       pwrite(fd, zeros, sizeof(zeros), RECORD_HEAD_COPY) == SECTOR);
    close(fd);
    live_through(&f);
    snprintf(path, sizeof(path), "%.80s/bad/%s", f.box.path, name);
    check("kept in bad/", access(path, F_OK) == 0);
    empty(&f);
}

/* ---- rights: somebody has copied files as root ---- */

static void a_segment_of_another_owner_stops_nothing(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        struct store_numbers n;
        struct filled f;

        fill(&f);
        segment_name(kind == 0 ? f.first : f.newest, trouble.denied);
        trouble.readable = kind == 2;
        live_through(&f);
        check_all(&f);
        store_count(f.box.store, &n);
        check("and nothing is damaged", n.damaged == 0 && box_count_files(&f.box, "bad") == 0);
        empty(&f);
    }
}

/* It shows that the segment before was durable: what is broken there is no torn end. */
static void behind_damage_the_newest_may_be_unreadable(void **state)
{
    enum { AT_ONCE = 30, SPOILT = 5 };
    static const char junk[SECTOR] = "junk";
    char path[160], name[SHELF_NAME];
    struct box_commit *c[AT_ONCE];
    struct store_numbers n;
    struct box b;
    int fd;

    (void)state;
    no_trouble();
    box_new(&b);
    box_open(&b, true);
    for (uint64_t i = 0; i < AT_ONCE; i++) {
        c[i] = box_commit(&b, i, SIZE);
        store_accept(b.store, &c[i]->commit);
    }
    box_settle(&b);
    box_close(&b);
    segment_name(record_segment(c[SPOILT]->commit.id), name);
    snprintf(path, sizeof(path), "%.80s/log/%s", b.path, name);
    fd = open(path, O_WRONLY);
    check("spoilt", pwrite(fd, junk, SECTOR, (off_t)record_offset(c[SPOILT]->commit.id)) == SECTOR);
    close(fd);
    segment_name(record_segment(c[AT_ONCE - 1]->commit.id), trouble.denied);
    check("two segments", strcmp(name, trouble.denied) != 0);
    box_open(&b, true);
    store_count(b.store, &n);
    check("both are told", n.damaged == 2 && box_count_files(&b, "bad") == 1);
    box_close(&b);
    no_trouble();
    box_open(&b, true);
    check("only that one is lost",
          b.told_count == AT_ONCE - 1 && box_find(&b, c[SPOILT]->commit.id) == NULL);
    for (size_t i = 0; i < AT_ONCE; i++)
        box_commit_free(c[i]);
    box_remove(&b);
}

/* ---- tern spool check ---- */

static void what_cannot_be_read_is_reported(void **state)
{
    (void)state;
    for (int denied = 0; denied < 2; denied++) {
        char report[4096], name[SHELF_NAME];
        struct error err = { "" };
        struct filled f;
        FILE *out = tmpfile();
        size_t got;

        fill(&f);
        segment_name(segment_after(f.first, STREAM_FRESH), name);
        if (denied)
            segment_name(segment_after(f.first, STREAM_FRESH), trouble.denied);
        else
            trouble_in(segment_after(f.first, STREAM_FRESH), BATCH_BLOCK * 4, BATCH_BLOCK * 5);
        check("entered", chdir(f.box.path) == 0);
        check("damaged", check_spool(fileno(out), false, &err) == CHECK_DAMAGED);
        rewind(out);
        got = fread(report, 1, sizeof(report) - 1, out);
        report[got] = '\0';
        fclose(out);
        check("named", strstr(report, name) != NULL && strstr(report, "cannot be read") != NULL);
        check("and why", strstr(report, strerror(denied ? EACCES : EIO)) != NULL);
        check("back", chdir("/") == 0);
        empty(&f);
    }
}

/* ---- records ---- */

static void a_tail_that_cannot_be_read_is_not_written_over(void **state)
{
    struct filled f;

    (void)state;
    fill(&f);
    trouble_in(f.newest, RECORD_HEAD, BOX_SEGMENT);
    live_through(&f);
    check_all(&f);
    empty(&f);
}

static void a_middle_that_cannot_be_read_is_kept(void **state)
{
    struct filled f;

    (void)state;
    fill(&f);
    trouble_in(f.first, RECORD_HEAD, BOX_SEGMENT - BATCH_BLOCK);
    live_through(&f);
    check_all(&f);
    empty(&f);
}

static void what_fails_at_the_second_reading_is_kept(void **state)
{
    (void)state;
    for (int opening = 0; opening < 2; opening++) {
        struct filled f;
        struct store_numbers n;

        fill(&f);
        drop_indexes(&f);
        trouble_in(segment_after(f.first, STREAM_FRESH), RECORD_HEAD, BOX_SEGMENT);
        trouble.reads = 1;
        if (opening)
            *trouble.file = '\0';
        trouble.error = EACCES;
        /* Each is opened for its head and for its records, and then once more. */
        trouble.opens = opening ? (unsigned)((f.newest - f.first) / STREAMS + 1) * 2 + 1 : 0;
        /* The index files that the first reading made would spare the second one. */
        f.box.lazy = true;
        box_open(&f.box, true);
        drop_indexes(&f);
        while (store_replay(f.box.store, 7))
            continue;
        f.box.lazy = false;
        check("not all were told", f.box.told_count < MESSAGES);
        store_count(f.box.store, &n);
        check("said", n.damaged > 0);
        box_commit_free(box_accept(&f.box, 1000, 10));
        box_close(&f.box);
        no_trouble();
        drop_indexes(&f);
        box_open(&f.box, true);
        check("all, and the new one", f.box.told_count == MESSAGES + 1);
        empty(&f);
    }
}

/* What is lacking comes back: nothing is left out, and nobody turns in circles until then. */
static void without_descriptors_reading_waits(void **state)
{
    struct store_numbers n;
    struct filled f;

    (void)state;
    clock_freeze(1700000000000);
    fill(&f);
    drop_indexes(&f);
    f.box.lazy = true;
    box_open(&f.box, true);
    drop_indexes(&f);
    trouble.opens = 1;
    trouble.opens_done = 0;
    trouble.error = EMFILE;
    while (trouble.opens_done < trouble.opens)
        check("there is more", store_replay(f.box.store, 7));
    check("not at once", store_replay_rest_ms(f.box.store) > 500);
    check("nothing meanwhile", store_replay(f.box.store, 7) && trouble.opens_done == 1);
    clock_advance(1000);
    while (store_replay(f.box.store, 7))
        check("it has come back", store_replay_rest_ms(f.box.store) == 0);
    f.box.lazy = false;
    store_count(f.box.store, &n);
    check("no damage", n.damaged == 0);
    check_all(&f);
    empty(&f);
}

/* Without an index file it takes no longer turns: other work goes on between them. */
static void a_damaged_segment_is_read_in_slices(void **state)
{
    enum { SPOILT = 3, RECORDS = 1000, SLICE = 600 << 10 };
    static const char junk[SECTOR] = "junk";
    char path[160], name[SHELF_NAME];
    uint64_t began, before;
    struct filled f;
    size_t count;
    bool more;
    int fd;

    (void)state;
    fill(&f);
    drop_indexes(&f);
    segment_name(f.first, name);
    snprintf(path, sizeof(path), "%.80s/log/%s", f.box.path, name);
    fd = open(path, O_WRONLY);
    check("spoilt",
          pwrite(fd, junk, SECTOR, (off_t)record_offset(f.c[SPOILT]->commit.id)) == SECTOR);
    close(fd);
    f.box.lazy = true;
    box_open(&f.box, true);
    drop_indexes(&f);
    count = box_count_files(&f.box, "log");
    began = bytes_read;
    do {
        before = bytes_read;
        more = store_replay(f.box.store, RECORDS);
        check("bounded", bytes_read - before < SLICE);
    } while (more);
    check("each once", bytes_read - began < (count + 1) * BOX_SEGMENT);
    check("all but one", f.box.told_count == MESSAGES - 1);
    f.box.lazy = false;
    empty(&f);
}

/* A notice tells of a message that lies where nothing can be read. */
static void what_is_known_of_unreadable_mail_is_kept(void **state)
{
    static const uint32_t first = 0;
    const struct box_message *about;
    struct box_commit *notice;
    struct filled f;

    (void)state;
    fill(&f);
    box_open(&f.box, true);
    let_mail_pass(&f.box);
    notice = box_commit(&f.box, 1000, 100);
    notice->commit.about = f.c[0]->commit.id;
    notice->commit.settles = &first;
    notice->commit.settle_count = 1;
    store_accept(f.box.store, &notice->commit);
    box_settle(&f.box);
    store_finish(f.box.store, notice->commit.id, notice->commit.where);
    box_commit_free(notice);
    let_mail_pass(&f.box);
    box_close(&f.box);
    segment_name(f.first, trouble.denied);
    live_through(&f);
    check_all(&f);
    about = box_find(&f.box, f.c[0]->commit.id);
    check("its sender has been told", about != NULL && about->failed == 1);
    empty(&f);
}

static void a_newest_segment_that_cannot_be_synced_stops_nothing(void **state)
{
    struct store_numbers n;
    struct filled f;

    (void)state;
    fill(&f);
    trouble_in(f.newest, 0, 0);
    trouble.unsynced = true;
    live_through(&f);
    check_all(&f);
    store_count(f.box.store, &n);
    check("and nothing is damaged", n.damaged == 0 && box_count_files(&f.box, "bad") == 0);
    empty(&f);
}

/* Only what the disk gave, and gave wrongly, is damage. */
static void an_error_of_the_disk_is_no_damage(void **state)
{
    const uint32_t first = 0;
    struct box_commit *c;
    struct store_outcome o, back;
    struct store_numbers n;
    struct store_message m;
    struct store_ref where;
    struct arena arena;
    struct box b;

    (void)state;
    no_trouble();
    arena_init(&arena, 65536);
    box_new(&b);
    box_open(&b, true);
    c = box_accept(&b, 1, SIZE);
    o = box_outcome(c->commit.id, &first, 1, STORE_DEFERRED);
    store_settle(b.store, &o, &where);
    box_settle(&b);

    trouble_in(record_segment(c->commit.id), record_offset(c->commit.id) + SIZE / 2,
               record_offset(c->commit.id) + SIZE / 2 + SECTOR);
    check("the body", store_read(b.store, c->commit.id, c->commit.where, true, &m) == -EIO);
    check("not the front", store_read(b.store, c->commit.id, c->commit.where, false, &m) == 0);
    store_message_release(&m);
    trouble_in(record_segment(c->commit.id), 0, BOX_SEGMENT);
    check("the front", store_read(b.store, c->commit.id, c->commit.where, false, &m) == -EIO);
    check("an outcome", store_read_outcome(b.store, where, &arena, &back) == -EIO);
    no_trouble();
    store_count(b.store, &n);
    check("nothing is damaged", n.damaged == 0 && box_count_files(&b, "bad") == 0);
    check("whole again", box_is_whole(&b, c->commit.id, c->commit.where, 1, SIZE) &&
                             box_reads_outcome(&b, where, c->commit.id));
    arena_reset(&arena);
    box_commit_free(c);
    box_remove(&b);
}

static void a_digest_with_holes_says_so(void **state)
{
    struct digest d = { 0 };
    struct filled f;
    char path[160];
    int folder;

    (void)state;
    fill(&f);
    snprintf(path, sizeof(path), "%.80s/log", f.box.path);
    folder = open(path, O_RDONLY | O_DIRECTORY);
    trouble_in(f.first, 100000, 300000);
    digest_begin(&d, f.first, 0, BOX_SEGMENT);
    check("said", digest_make(&d, folder) == -EIO);
    digest_release(&d);
    close(folder);
    empty(&f);
}

/* ---- what comes later ---- */

static unsigned times_readable;

static void on_readable(struct store_watcher *w)
{
    (void)w;
    times_readable++;
}

/* Until the thread has found it there, and the loop knows. */
static struct store_numbers wait_for_a_look(struct box *b, uint64_t offset)
{
    struct store_numbers n;

    do {
        assert_int_equal(loop_turn(&b->loop, 10), 0);
        store_count(b->store, &n);
    } while (n.unread_offset != offset);
    return n;
}

/* The disk fails at that place for some minutes. */
static void what_cannot_be_read_is_looked_at_again(void **state)
{
    const uint64_t from = 5 * BATCH_BLOCK;
    struct store_numbers n;
    char name[SHELF_NAME];
    unsigned opens;
    struct filled f;

    (void)state;
    clock_freeze(1700000000000);
    fill(&f);
    drop_indexes(&f);
    segment_name(f.first, name);
    trouble_in(f.first, from, from + BATCH_BLOCK);
    f.box.watcher.readable = on_readable;
    times_readable = 0;
    box_open(&f.box, true);
    n = wait_for_a_look(&f.box, from);
    check("which", n.unread == 1 && strcmp(n.unread_file, name) == 0);
    check("why", n.unread_error == EIO && n.kept_bytes >= 4 * BOX_SEGMENT);
    opens = trouble.opens_done;
    trouble.from += BATCH_BLOCK;
    trouble.to += BATCH_BLOCK;
    clock_advance(9000);
    assert_int_equal(loop_turn(&f.box.loop, 1), 0);
    check("not all the time", trouble.opens_done == opens);
    clock_advance(1000);
    wait_for_a_look(&f.box, from + BATCH_BLOCK);
    opens = trouble.opens_done;
    trouble.from = trouble.to = 0; /* it has passed */
    clock_advance(19000);
    assert_int_equal(loop_turn(&f.box.loop, 1), 0);
    check("and less often", trouble.opens_done == opens && times_readable == 0);
    clock_advance(1000);
    wait_for_a_look(&f.box, BOX_SEGMENT);
    check("told, once", times_readable == 1);
    store_count(f.box.store, &n);
    check("no error any more", n.unread == 1 && n.unread_error == 0);
    box_close(&f.box);
    drop_indexes(&f);
    no_trouble();
    box_open(&f.box, true);
    check_all(&f);
    empty(&f);
}

/* What was there stays, and what comes and goes leaves nothing behind. */
static void what_comes_later_needs_no_more_room(void **state)
{
    size_t before, after;
    struct filled f;

    (void)state;
    fill(&f);
    drop_indexes(&f);
    trouble_in(f.first, 0, RECORD_HEAD);
    box_open(&f.box, true);
    for (uint64_t i = 0; i < MESSAGES; i++) {
        const struct box_message *m = box_find(&f.box, f.c[i]->commit.id);

        if (m != NULL && i % 2 == 0)
            store_finish(f.box.store, m->id, m->where);
    }
    let_mail_pass(&f.box);
    before = box_count_files(&f.box, "log");
    for (int i = 0; i < 3; i++)
        let_mail_pass(&f.box);
    after = box_count_files(&f.box, "log");
    check("it does not grow", after <= before + 1);
    box_close(&f.box);
    no_trouble();
    drop_indexes(&f);
    box_open(&f.box, true);
    for (uint64_t i = 0; i < MESSAGES; i++) {
        bool unread = record_segment(f.c[i]->commit.id) == f.first;

        check("finished or not",
              (box_find(&f.box, f.c[i]->commit.id) != NULL) == (unread || i % 2 == 1));
    }
    empty(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_that_cannot_be_read_frees_nothing),
        cmocka_unit_test(a_blank_head_of_an_old_segment_frees_nothing),
        cmocka_unit_test(a_segment_of_another_owner_stops_nothing),
        cmocka_unit_test(behind_damage_the_newest_may_be_unreadable),
        cmocka_unit_test(what_cannot_be_read_is_reported),
        cmocka_unit_test(a_tail_that_cannot_be_read_is_not_written_over),
        cmocka_unit_test(a_middle_that_cannot_be_read_is_kept),
        cmocka_unit_test(what_fails_at_the_second_reading_is_kept),
        cmocka_unit_test(without_descriptors_reading_waits),
        cmocka_unit_test(a_damaged_segment_is_read_in_slices),
        cmocka_unit_test(what_is_known_of_unreadable_mail_is_kept),
        cmocka_unit_test(a_newest_segment_that_cannot_be_synced_stops_nothing),
        cmocka_unit_test(an_error_of_the_disk_is_no_damage),
        cmocka_unit_test(a_digest_with_holes_says_so),
        cmocka_unit_test(what_cannot_be_read_is_looked_at_again),
        cmocka_unit_test(what_comes_later_needs_no_more_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
