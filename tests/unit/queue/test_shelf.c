/* Spares: who may take them, and what becomes of them when calls fail; and what must be durable
 * before anybody relies on it. */
#include "queue/shelf.h"
#include "tests/unit/queue/spoolbox.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    SPARES = 4,
    LETTER = 60000, /* bytes */
    FOLDERS_MOST = 1000,
};

static const uint64_t number = 0xffffffff0;

/* ---- calls ---- */

/* A folder that has changed since its last sync. */
struct dirty {
    dev_t disk;
    ino_t inode;
};

static struct {
    int allocate_error;
    bool only_cached;      /* what goes past the page cache is refused */
    atomic_bool fail_next; /* sync of a segment */
    atomic_ulong failed;   /* that file: every other sync of it fails, too */
    atomic_int held;       /* it, so that no other gets its number */
    atomic_uint again;     /* how many were tried */
    pthread_mutex_t lock;
    struct dirty dirty[FOLDERS_MOST];
    size_t dirty_count;
    char left[SHELF_MOST + 1][SHELF_NAME]; /* log/, which is not synced yet */
    size_t left_count;
    bool unsafe_spare; /* one was used before it had left for good */
} calls = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool path_has(int fd, const char *part, const char *end)
{
    char path[BOX_PATH];

    return box_path_of(fd, path) && strstr(path, part) != NULL && strstr(path, end) != NULL;
}

static bool is_segment(int fd)
{
    return path_has(fd, "/log/", ".seg");
}

static struct dirty *find_dirty(const struct stat *facts)
{
    for (size_t i = 0; i < calls.dirty_count; i++) {
        if (calls.dirty[i].disk == facts->st_dev && calls.dirty[i].inode == facts->st_ino)
            return &calls.dirty[i];
    }
    return NULL;
}

static bool is_dirty(int folder)
{
    struct stat facts;
    bool there;

    assert_int_equal(fstat(folder, &facts), 0);
    pthread_mutex_lock(&calls.lock);
    there = find_dirty(&facts) != NULL;
    pthread_mutex_unlock(&calls.lock);
    return there;
}

/* Of the one that holds the last name of `path`. */
static void soil(int folder, const char *path)
{
    const char *slash = strrchr(path, '/');
    char parent[256] = ".";
    struct stat facts;

    if (slash != NULL)
        snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
    if (fstatat(folder, parent, &facts, 0) < 0)
        abort();
    pthread_mutex_lock(&calls.lock);
    if (find_dirty(&facts) == NULL && calls.dirty_count < FOLDERS_MOST)
        calls.dirty[calls.dirty_count++] = (struct dirty){ facts.st_dev, facts.st_ino };
    pthread_mutex_unlock(&calls.lock);
}

int fsync(int fd)
{
    struct stat facts;
    struct dirty *d;
    int result = (int)syscall(SYS_fsync, fd);

    if (result < 0 || fstat(fd, &facts) < 0)
        return result;
    pthread_mutex_lock(&calls.lock);
    if (path_has(fd, "/log", "/log"))
        calls.left_count = 0;
    d = find_dirty(&facts);
    if (d != NULL)
        *d = calls.dirty[--calls.dirty_count];
    pthread_mutex_unlock(&calls.lock);
    return result;
}

int fdatasync(int fd)
{
    struct stat facts;

    if (fstat(fd, &facts) < 0 || !is_segment(fd))
        return (int)syscall(SYS_fdatasync, fd);
    if (calls.fail_next) {
        calls.fail_next = false;
        calls.failed = facts.st_ino;
        calls.held = dup(fd);
    } else if (facts.st_ino == calls.failed) {
        calls.again++;
    } else {
        return (int)syscall(SYS_fdatasync, fd);
    }
    errno = EIO;
    return -1;
}

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    int result = (int)syscall(SYS_renameat, from_folder, from, to_folder, to);

    if (result < 0)
        return result;
    soil(from_folder, from);
    soil(to_folder, to);
    pthread_mutex_lock(&calls.lock);
    for (size_t i = 0; i < calls.left_count; i++)
        calls.unsafe_spare = calls.unsafe_spare || strcmp(calls.left[i], from) == 0;
    if (path_has(from_folder, "/log", "/log") && calls.left_count < SHELF_MOST + 1)
        snprintf(calls.left[calls.left_count++], SHELF_NAME, "%s", from);
    pthread_mutex_unlock(&calls.lock);
    return result;
}

int mkdirat(int folder, const char *path, mode_t mode)
{
    int result = (int)syscall(SYS_mkdirat, folder, path, mode);

    if (result == 0)
        soil(folder, path);
    return result;
}

int openat64(int folder, const char *path, int flags, ...);
int openat64(int folder, const char *path, int flags, ...)
{
    struct stat facts;
    unsigned mode;
    va_list args;
    bool there;
    int fd;

    va_start(args, flags);
    mode = (flags & O_CREAT) != 0 ? va_arg(args, unsigned) : 0;
    va_end(args);
    there = (flags & O_CREAT) == 0 || fstatat(folder, path, &facts, AT_SYMLINK_NOFOLLOW) == 0;
    fd = (int)syscall(SYS_openat, folder, path, flags, mode);
    if (fd >= 0 && !there)
        soil(folder, path);
    return fd;
}

int fallocate64(int fd, int mode, off_t at, off_t count)
{
    errno = calls.allocate_error;
    return errno != 0 ? -1 : (int)syscall(SYS_fallocate, fd, mode, at, count);
}

/* By another name: the headers of the system may have an inline function of that one. */
ssize_t seen_write(int fd, const void *bytes, size_t count, off_t at) __asm__("pwrite64");
ssize_t seen_write(int fd, const void *bytes, size_t count, off_t at)
{
    if (calls.only_cached && (fcntl(fd, F_GETFL) & O_DIRECT) != 0) {
        errno = EINVAL;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, bytes, count, at);
}

/* ---- spares ---- */

struct stock {
    struct box box;
    struct spool spool;
    struct shelf shelf;
};

static void begin(struct stock *s)
{
    struct error err;
    char name[200];

    box_new(&s->box);
    assert_int_equal(spool_open(&s->spool, s->box.path, false, &err), 0);
    for (int i = 0; i < SPARES; i++) {
        int fd;

        snprintf(name, sizeof(name), "%s/free/new-%d.seg", s->box.path, i);
        fd = open(name, O_CREAT | O_WRONLY, 0600);
        assert_int_equal(ftruncate(fd, BOX_SEGMENT), 0);
        close(fd);
    }
    assert_int_equal(shelf_open(&s->shelf, &s->spool, BOX_SEGMENT, false, &s->box.loop), 0);
    check("all are there", shelf_count(&s->shelf) == SPARES);
}

static void end(struct stock *s)
{
    calls.allocate_error = 0;
    shelf_close(&s->shelf);
    spool_close(&s->spool);
    box_remove(&s->box);
}

static int take(struct stock *s, uint64_t which, bool for_mail)
{
    int fd = shelf_take(&s->shelf, number + which, for_mail);

    if (fd >= 0)
        close(fd);
    return MIN(fd, 0);
}

static void mail_never_takes_the_last_two(void **state)
{
    struct stock s;

    (void)state;
    begin(&s);
    calls.allocate_error = ENOSPC;
    for (uint64_t i = 0; i < SPARES - SHELF_HELD_BACK; i++)
        check("mail takes the first ones", take(&s, i, true) == 0);
    check("and no more", take(&s, 8, true) == -ENOSPC && shelf_is_low(&s.shelf));
    check("though they are there", shelf_count(&s.shelf) == SHELF_HELD_BACK);
    for (uint64_t i = 0; i < SHELF_HELD_BACK; i++)
        check("for what happens to it", take(&s, 16 + i, false) == 0);
    check("until none is left", take(&s, 24, false) == -ENOSPC);
    end(&s);
}

static void a_moment_without_descriptors_costs_no_spare(void **state)
{
    struct rlimit was, low;
    struct stock s;

    (void)state;
    begin(&s);
    getrlimit(RLIMIT_NOFILE, &was);
    low = was;
    low.rlim_cur = (rlim_t)dup(0);
    close((int)low.rlim_cur);
    setrlimit(RLIMIT_NOFILE, &low);
    check("it fails", take(&s, 0, false) == -EMFILE);
    setrlimit(RLIMIT_NOFILE, &was);
    check("all are there", box_count_files(&s.box, "free") == SPARES);
    check("and known", shelf_count(&s.shelf) == SPARES);
    check("none is in use", box_count_files(&s.box, "log") == 0);
    check("it works again", take(&s, 0, true) == 0);
    end(&s);
}

static void a_spare_that_somebody_removed_is_passed_over(void **state)
{
    struct stock s;
    char name[200];

    (void)state;
    begin(&s);
    snprintf(name, sizeof(name), "%s/free/%s", s.box.path, s.shelf.spares[SPARES - 1]);
    assert_int_equal(unlink(name), 0);
    calls.allocate_error = ENOSPC;
    check("another one is taken", take(&s, 0, true) == 0);
    check("two are left", shelf_count(&s.shelf) == SPARES - 2);
    end(&s);
}

static void box_wait_for_spares(struct box *b)
{
    for (unsigned i = 0; i < 2000 && box_count_files(b, "free") < SPARES; i++)
        assert_int_equal(loop_turn(&b->loop, 10), 0);
    box_settle(b);
}

static void spares_have_blocks_wherever_they_lie(void **state)
{
    struct stat facts;
    struct box b;
    char name[200];

    (void)state;
    calls.allocate_error = EOPNOTSUPP;
    box_new(&b);
    b.fresh = true;
    box_open(&b, true);
    box_wait_for_spares(&b);
    box_close(&b);
    snprintf(name, sizeof(name), "%s/free/new-0.seg", b.path);
    assert_int_equal(stat(name, &facts), 0);
    check("as many as it needs", facts.st_blocks * 512 >= BOX_SEGMENT);
    calls.allocate_error = 0;
    box_remove(&b);
}

static void spares_are_made_through_the_page_cache_if_need_be(void **state)
{
    struct box b;

    (void)state;
    calls.only_cached = true;
    box_new(&b);
    box_open(&b, true);
    box_wait_for_spares(&b);
    check("they are there", box_count_files(&b, "free") == SPARES);
    box_close(&b);
    calls.only_cached = false;
    box_remove(&b);
}

/* ---- durable ---- */

static void send(struct box *b, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct box_commit *c = box_accept(b, i, LETTER);

        if (c->trouble == SPOOL_FINE)
            store_finish(b->store, c->commit.id, c->commit.where);
        box_settle(b);
        box_commit_free(c);
    }
}

/* Neither in that run nor in one that follows. */
static void a_file_on_which_a_write_failed_is_not_used_again(void **state)
{
    struct box b;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    box_wait_for_spares(&b);
    send(&b, 5);
    calls.fail_next = true;
    send(&b, 200);
    check("it failed", calls.failed != 0);
    for (unsigned life = 0; life < 3; life++) {
        box_close(&b);
        box_open(&b, true);
        send(&b, 100);
    }
    check("it is left alone", calls.again == 0);
    close(calls.held);
    calls.failed = 0;
    box_remove(&b);
}

static bool accept_large(struct box *b)
{
    enum { BYTES = 300000 };
    uint64_t file;
    int fd = store_create_body(b->store, &file);
    struct box_commit *c = box_commit(b, 1, BYTES);
    bool fine;

    assert_true(fd >= 0 && write(fd, c->commit.body.ptr, BYTES) == BYTES);
    free((char *)(uintptr_t)c->commit.body.ptr);
    c->commit.body = VIEW_EMPTY;
    c->commit.big_fd = fd;
    c->commit.big_file = file;
    store_accept(b->store, &c->commit);
    box_settle(b);
    fine = c->trouble == SPOOL_FINE;
    close(fd);
    box_commit_free(c);
    return fine;
}

static bool is_synced(struct box *b, const char *folder)
{
    char name[400];
    bool dirty;
    int fd;

    snprintf(name, sizeof(name), "%s/%s", b->path, folder);
    fd = open(name, O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    dirty = is_dirty(fd);
    close(fd);
    return !dirty;
}

static unsigned count_unsynced_folders_of_bodies(struct box *b)
{
    unsigned count = 0;

    for (unsigned i = 0; i < 256; i++) {
        struct stat facts;
        char name[200];

        snprintf(name, sizeof(name), "%s/big/%02x", b->path, i);
        if (stat(name, &facts) < 0)
            continue;
        snprintf(name, sizeof(name), "big/%02x", i);
        count += !is_synced(b, name);
    }
    return count;
}

/* Whoever was answered relies on the names, too. */
static void names_are_durable_before_the_answer(void **state)
{
    struct box b;
    char name[200];

    (void)state;
    box_new(&b);
    box_open(&b, true);
    check("the format", is_synced(&b, "."));
    for (unsigned i = 0; i < 20; i++) {
        box_commit_free(box_accept(&b, i, LETTER));
        check("that of the segment", is_synced(&b, "log"));
    }
    for (unsigned i = 0; i < 3; i++) {
        check("taken", accept_large(&b));
        check("that of the body", count_unsynced_folders_of_bodies(&b) == 0);
        check("that of its folder", is_synced(&b, "big"));
    }
    box_close(&b);
    snprintf(name, sizeof(name), "%s/big/zz", b.path); /* what a run that was killed left */
    soil(AT_FDCWD, name);
    check("as if a folder had been made there", !is_synced(&b, "big"));
    box_open(&b, true);
    check("is made good at the start", is_synced(&b, "big"));
    box_remove(&b);
}

static void a_segment_has_left_the_log_before_it_is_used_again(void **state)
{
    struct store_numbers n;
    struct box b;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    box_wait_for_spares(&b);
    calls.unsafe_spare = false;
    send(&b, 300);
    store_count(b.store, &n);
    check("some were used again", n.segments < 10);
    check("none too early", !calls.unsafe_spare);
    box_remove(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mail_never_takes_the_last_two),
        cmocka_unit_test(a_moment_without_descriptors_costs_no_spare),
        cmocka_unit_test(a_spare_that_somebody_removed_is_passed_over),
        cmocka_unit_test(spares_have_blocks_wherever_they_lie),
        cmocka_unit_test(spares_are_made_through_the_page_cache_if_need_be),
        cmocka_unit_test(a_file_on_which_a_write_failed_is_not_used_again),
        cmocka_unit_test(names_are_durable_before_the_answer),
        cmocka_unit_test(a_segment_has_left_the_log_before_it_is_used_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
