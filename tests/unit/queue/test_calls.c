/* What a commit costs in system calls, who makes segments, and a disk that takes no large body, or
 * no outcome. */
#include "tests/unit/queue/spoolbox.h"
#include "tests/unit/unit.h"

#include "io/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    PATIENCE_MS = 20000,
    SPARES = 4, /* as queue/shelf.h keeps */
};

/* ---- calls ---- */

static struct {
    atomic_uint writes, syncs; /* of segments in the log */
    atomic_uint made;          /* segments that were made in the log, when they were needed */
    atomic_uint zeroed_here;   /* writes to spares by the loop's thread */
    int body_error;            /* of syncs of large bodies */
    int log_error;             /* of syncs of segments */
    int write_error;           /* of writes to them */
    int unlink_error;          /* of segments */
    pthread_mutex_t gate;      /* syncs wait for it */
    pthread_t loop;
} calls = { .gate = PTHREAD_MUTEX_INITIALIZER };

static bool lies_in(int fd, const char *folder)
{
    char path[BOX_PATH];

    return box_path_of(fd, path) && strstr(path, folder) != NULL &&
           (strstr(path, ".seg") || strstr(path, ".eml"));
}

/* By another name: the system's headers may have an inline function of that one. */
ssize_t counted_write(int fd, const void *bytes, size_t count, off_t at) __asm__("pwrite64");
ssize_t counted_write(int fd, const void *bytes, size_t count, off_t at)
{
    if (lies_in(fd, "/log/")) {
        calls.writes++;
        if (calls.write_error != 0) {
            errno = calls.write_error;
            return -1;
        }
    } else if (lies_in(fd, "/free/") && pthread_equal(pthread_self(), calls.loop))
        calls.zeroed_here++;
    return syscall(SYS_pwrite64, fd, bytes, count, at);
}

int fdatasync(int fd)
{
    if (lies_in(fd, "/log/")) {
        pthread_mutex_lock(&calls.gate);
        pthread_mutex_unlock(&calls.gate);
        calls.syncs++;
        if (calls.log_error != 0) {
            errno = calls.log_error;
            return -1;
        }
    }
    return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    if (calls.body_error != 0 && lies_in(fd, "/big/")) {
        errno = calls.body_error;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

int unlinkat(int folder, const char *path, int flags)
{
    if (calls.unlink_error != 0 && strstr(path, ".seg") != NULL) {
        errno = calls.unlink_error;
        return -1;
    }
    return (int)syscall(SYS_unlinkat, folder, path, flags);
}

int openat64(int folder, const char *path, int flags, ...);
int openat64(int folder, const char *path, int flags, ...)
{
    unsigned mode;
    va_list args;
    int fd;

    va_start(args, flags);
    mode = (flags & O_CREAT) != 0 ? va_arg(args, unsigned) : 0;
    va_end(args);
    fd = (int)syscall(SYS_openat, folder, path, flags, mode);
    if (fd >= 0 && (flags & O_CREAT) != 0 && lies_in(fd, "/log/"))
        calls.made++;
    return fd;
}

/* ---- tests ---- */

static bool has_all_spares(struct box *b)
{
    return box_count_files(b, "free") >= SPARES;
}

static void wait_for_spares(struct box *b)
{
    uint64_t began = clock_monotonic_ms();

    while (!has_all_spares(b) && clock_monotonic_ms() < began + PATIENCE_MS)
        assert_int_equal(loop_turn(&b->loop, 10), 0);
    check("spares are there", has_all_spares(b));
}

static void begin(struct box *b)
{
    box_new(b);
    calls.loop = pthread_self();
    box_open(b, true);
    wait_for_spares(b);
    box_settle(b);
    calls.writes = calls.syncs = calls.made = calls.zeroed_here = 0;
}

/* Messages, and what happens to others; and once more, however often the loop turns, all that comes
 * while that sync runs. */
static void one_write_and_one_sync_for_all_that_waits(void **state)
{
    enum { MESSAGES = 100, TURNS = 10 };
    static struct box_commit *c[(1 + TURNS) * MESSAGES];
    static const uint32_t both[] = { 0, 1 };
    struct box_commit *old;
    struct store_outcome o;
    struct box b;
    size_t count = 0;

    (void)state;
    begin(&b);
    old = box_accept(&b, 1, 100);
    o = box_outcome(old->commit.id, both, 2, STORE_DEFERRED);
    calls.writes = calls.syncs = 0;
    pthread_mutex_lock(&calls.gate);
    for (unsigned turn = 0; turn <= TURNS; turn++) {
        for (unsigned i = 0; i < MESSAGES / (turn == 0 ? 1 : TURNS); i++) {
            c[count] = box_commit(&b, count, 300);
            store_accept(b.store, &c[count++]->commit);
            store_settle(b.store, &o, NULL);
        }
        store_flush(b.store);
        while (calls.writes == 0) /* the first is on its way, and its sync waits */
            usleep(1000);
        assert_int_equal(loop_turn(&b.loop, 1), 0);
        check("nobody is answered", b.done == 1);
    }
    check("one write", calls.writes == 1 && calls.syncs == 0);
    pthread_mutex_unlock(&calls.gate);
    box_settle(&b);
    check("two, and as many syncs", calls.writes == 2 && calls.syncs == 2);
    check("all are answered", b.done == 1 + count && b.refused == 0);
    for (size_t i = 0; i < count; i++)
        box_commit_free(c[i]);
    box_commit_free(old);
    box_remove(&b);
}

/* The log goes on in files that another thread has written before. */
static void a_helper_keeps_spares_ready(void **state)
{
    enum { SEGMENTS = 6, LETTER = 60000 };
    struct store_numbers n;
    struct box b;

    (void)state;
    begin(&b);
    for (unsigned i = 0; i < SEGMENTS; i++) {
        for (size_t written = 0; written < BOX_SEGMENT; written += LETTER)
            box_commit_free(box_accept(&b, written, LETTER));
        wait_for_spares(&b);
    }
    store_count(b.store, &n);
    check("several segments", n.segments > SEGMENTS);
    check("none was made when it was needed", calls.made == 0);
    check("nor written by the loop", calls.zeroed_here == 0);
    box_remove(&b);
}

static void pass(struct box *b, uint64_t ms)
{
    for (uint64_t at = 0; at < ms; at += 100) {
        clock_advance(100);
        usleep(500);
        assert_int_equal(loop_turn(&b->loop, 0), 0);
        store_flush(b->store);
    }
}

/* While the disk fails, one segment after another is made, and none can be removed. */
static void segments_that_never_began_are_removed_later(void **state)
{
    struct store_numbers n;
    struct box_commit *c;
    struct box b;

    (void)state;
    clock_freeze(1700000000000);
    begin(&b);
    calls.log_error = EIO;
    calls.unlink_error = EROFS;
    c = box_commit(&b, 1, 100);
    store_accept(b.store, &c->commit);
    store_flush(b.store);
    for (unsigned i = 0; i < PATIENCE_MS; i++) {
        pass(&b, 100);
        store_count(b.store, &n);
        if (n.syncs_failed > 2 && box_count_files(&b, "log") > n.segments + 1)
            break;
    }
    check("it failed several times", n.syncs_failed > 2);
    check("files are left", box_count_files(&b, "log") > n.segments + 1);
    calls.log_error = calls.unlink_error = 0;
    for (unsigned i = 0; i < PATIENCE_MS; i++) {
        pass(&b, 100);
        store_count(b.store, &n);
        if (n.trouble == SPOOL_FINE && box_count_files(&b, "log") == n.segments)
            break;
    }
    check("well again", n.trouble == SPOOL_FINE);
    check("they are gone", box_count_files(&b, "log") == n.segments);
    box_commit_free(c);
    box_close(&b);
    box_open(&b, true);
    store_count(b.store, &n);
    check("no damage", n.damaged == 0 && box_count_files(&b, "bad") == 0);
    box_remove(&b);
}

static enum spool_trouble accept_large(struct box *b)
{
    enum { BYTES = 300000 };
    uint64_t file;
    int fd = store_create_body(b->store, &file);
    struct box_commit *c = box_commit(b, 1, BYTES);
    enum spool_trouble trouble;

    assert_true(fd >= 0 && write(fd, c->commit.body.ptr, BYTES) == BYTES);
    free((char *)(uintptr_t)c->commit.body.ptr);
    c->commit.body = VIEW_EMPTY;
    c->commit.big_fd = fd;
    c->commit.big_file = file;
    store_accept(b->store, &c->commit);
    box_settle(b);
    trouble = c->trouble;
    if (trouble != SPOOL_FINE)
        store_remove_body(b->store, file);
    close(fd);
    box_commit_free(c);
    return trouble;
}

/* It counts like one that takes no batch: the second time is once too often. */
static void a_disk_that_fails_for_large_bodies_suspends_mail(void **state)
{
    struct store_numbers n;
    struct box b;

    (void)state;
    clock_freeze(1700000000000);
    box_new(&b);
    box_open(&b, true);
    calls.body_error = ENOSPC;
    check("full", accept_large(&b) == SPOOL_FULL && accept_large(&b) == SPOOL_FULL);
    calls.body_error = EIO;
    check("broken", accept_large(&b) == SPOOL_BROKEN);
    store_count(b.store, &n);
    check("once", n.trouble == SPOOL_FINE && n.syncs_failed == 1 && n.write_error == EIO);
    clock_advance(30000);
    check("broken again", accept_large(&b) == SPOOL_BROKEN);
    store_count(b.store, &n);
    check("too often", n.trouble == SPOOL_SUSPENDED && n.syncs_failed == 2);
    calls.body_error = 0;
    for (unsigned i = 0; i < PATIENCE_MS && b.trouble != SPOOL_FINE; i++)
        pass(&b, 100);
    check("well again", b.trouble == SPOOL_FINE && accept_large(&b) == SPOOL_FINE);
    box_remove(&b);
}

/* What a host has said is lost then, and the next start has to know. */
static void an_end_with_outcomes_unwritten_is_not_a_good_one(void **state)
{
    struct store_clock now = { 1000000, 1000000, false }, last;
    struct box_commit *c;
    struct store_outcome o;
    uint32_t rcpt = 0;
    struct box b;

    (void)state;
    begin(&b);
    store_note_clock(b.store, &now);
    c = box_accept(&b, 1, 500);
    calls.write_error = EIO;
    o = box_outcome(c->commit.id, &rcpt, 1, STORE_DELIVERED);
    store_settle(b.store, &o, NULL);
    now.ended = true;
    store_note_clock(b.store, &now);
    box_close(&b);
    calls.write_error = 0;
    box_open(&b, true);
    check("lost", box_find(&b, c->commit.id)->delivered == 0);
    check("owned up to", store_last_clock(b.store, &last) && !last.ended);
    now.ended = true;
    store_note_clock(b.store, &now);
    box_close(&b);
    box_open(&b, true);
    check("a good one", store_last_clock(b.store, &last) && last.ended);
    box_commit_free(c);
    box_remove(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_write_and_one_sync_for_all_that_waits),
        cmocka_unit_test(a_helper_keeps_spares_ready),
        cmocka_unit_test(segments_that_never_began_are_removed_later),
        cmocka_unit_test(a_disk_that_fails_for_large_bodies_suspends_mail),
        cmocka_unit_test(an_end_with_outcomes_unwritten_is_not_a_good_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
