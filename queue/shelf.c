#include "queue/shelf.h"

#include "common/memory.h"
#include "io/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CHUNK = 1 << 20,  /* bytes written and synced at a time, so that commits need not wait long */
    ALIGNMENT = 4096, /* of memory for O_DIRECT; all segments are multiples of it */
    FILE_MODE = 0600,
    DIGITS = 12,
};

static const char unfit[] = "unfit"; /* in free/: no spare, also for the next start */

void segment_name(uint64_t number, char name[SHELF_NAME])
{
    snprintf(name, SHELF_NAME, "%012llx.seg", (unsigned long long)number);
}

void segment_index_name(uint64_t number, char name[SHELF_NAME])
{
    snprintf(name, SHELF_NAME, "%012llx.idx", (unsigned long long)number);
}

static bool number_in(struct view name, struct view suffix, uint64_t *number)
{
    return name.len == DIGITS + suffix.len && view_ends_nocase(name, suffix) &&
           view_hex_to_u64(view_sub(name, 0, DIGITS), number) && *number != 0;
}

bool segment_number(struct view name, uint64_t *number)
{
    return number_in(name, VIEW(".seg"), number);
}

bool segment_index_number(struct view name, uint64_t *number)
{
    return number_in(name, VIEW(".idx"), number);
}

/* ---- spares ---- */

/* Under the lock, after each change. */
static void look_whether_low(struct shelf *s)
{
    atomic_store(&s->low, s->no_room && s->count <= SHELF_HELD_BACK);
}

static bool put_spare(struct shelf *s, const char *name)
{
    bool room;

    pthread_mutex_lock(&s->lock);
    room = s->count < SHELF_MOST;
    if (room)
        snprintf(s->spares[s->count++], SHELF_NAME, "%s", name);
    look_whether_low(s);
    pthread_mutex_unlock(&s->lock);
    return room;
}

/* One of those beyond `held_back`. */
static bool take_spare(struct shelf *s, unsigned held_back, char name[static SHELF_NAME])
{
    bool there;

    pthread_mutex_lock(&s->lock);
    there = s->count > held_back;
    if (there)
        memcpy(name, s->spares[--s->count], SHELF_NAME);
    look_whether_low(s);
    pthread_mutex_unlock(&s->lock);
    return there;
}

unsigned shelf_count(struct shelf *s)
{
    unsigned count;

    pthread_mutex_lock(&s->lock);
    count = s->count;
    pthread_mutex_unlock(&s->lock);
    return count;
}

bool shelf_is_low(const struct shelf *s)
{
    return atomic_load(&s->low);
}

static bool is_full(int err)
{
    return err == -ENOSPC || err == -EDQUOT;
}

static void note_room(struct shelf *s, int err)
{
    pthread_mutex_lock(&s->lock);
    s->no_room = is_full(err);
    look_whether_low(s);
    pthread_mutex_unlock(&s->lock);
}

/* A second name means that a power cut caught a rename half done: the file may be in use. One with
 * the name of a segment has been used. */
static void take_stock(void *arg, const char *name)
{
    struct shelf *s = arg;
    struct stat facts;
    uint64_t number;
    bool sound = fstatat(s->spool->free, name, &facts, AT_SYMLINK_NOFOLLOW) == 0 &&
                 S_ISREG(facts.st_mode) && facts.st_nlink == 1 &&
                 (uint64_t)facts.st_size == s->segment_bytes && strlen(name) < SHELF_NAME &&
                 strcmp(name, unfit) != 0 && !(s->fresh && segment_number(view_of(name), &number));

    if (!sound || !put_spare(s, name))
        unlinkat(s->spool->free, name, 0);
}

static int sync_folders(const struct shelf *s)
{
    return fsync(s->spool->log) < 0 || fsync(s->spool->free) < 0 ? -errno : 0;
}

/* `whole`: it has all of its blocks now, which not every file system can do. */
static int allocate(const struct shelf *s, int fd, bool *whole)
{
    *whole = fallocate(fd, 0, 0, (off_t)s->segment_bytes) == 0;
    if (*whole || (errno == EOPNOTSUPP && ftruncate(fd, (off_t)s->segment_bytes) == 0))
        return 0;
    return -errno;
}

/* No spare is ready. Slower to sync than a written file, but at once there. It comes to log/ with
 * its length synced: one that is short there has lost mail. Until then no spare has its name, and
 * no start takes it for one. */
static int make_now(const struct shelf *s, const char *name)
{
    const int how = O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW;
    char making[2 * SHELF_NAME];
    bool whole;
    int fd, err;

    snprintf(making, sizeof(making), "unfinished-%s", name);
    fd = openat(s->spool->free, making, how, FILE_MODE);
    if (fd < 0)
        return -errno;
    err = allocate(s, fd, &whole);
    if (err == 0 && (fsync(fd) < 0 || renameat(s->spool->free, making, s->spool->log, name) < 0))
        err = -errno;
    if (err == 0)
        return fd;
    close(fd);
    unlinkat(s->spool->free, making, 0);
    return err;
}

/* A spare that is lost for want of a descriptor would be missed on a full disk: so it is opened
 * before it goes, and stays where it cannot. */
static int take_ready(struct shelf *s, unsigned held_back, const char *name)
{
    char spare[SHELF_NAME];
    int fd, err;

    if (!take_spare(s, held_back, spare))
        return -ENOSPC;
    fd = openat(s->spool->free, spare, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && renameat(s->spool->free, spare, s->spool->log, name) == 0)
        return fd;
    err = -errno;
    if (fd >= 0)
        close(fd);
    if (err == -ENOENT) /* somebody has removed it */
        return take_ready(s, held_back, name);
    if (!put_spare(s, spare))
        unlinkat(s->spool->free, spare, 0);
    return err;
}

static int take_or_make(struct shelf *s, const char *name, bool for_mail)
{
    int fd = take_ready(s, SHELF_HELD_BACK, name);

    if (fd >= 0)
        return fd;
    fd = make_now(s, name);
    note_room(s, fd);
    return is_full(fd) && !for_mail ? take_ready(s, 0, name) : fd;
}

int shelf_take(struct shelf *s, uint64_t number, bool for_mail)
{
    char name[SHELF_NAME];
    int fd, err;

    segment_name(number, name);
    fd = take_or_make(s, name, for_mail);
    if (fd < 0)
        return fd;
    err = sync_folders(s);
    if (err == 0)
        return fd;
    close(fd);
    return err;
}

/* On a read-only file system even what is not there cannot be removed. */
static int remove_segment(const struct shelf *s, uint64_t number, char name[static SHELF_NAME])
{
    struct stat facts;
    int err;

    segment_name(number, name);
    if (unlinkat(s->spool->log, name, 0) == 0)
        return 0;
    err = errno;
    return fstatat(s->spool->log, name, &facts, AT_SYMLINK_NOFOLLOW) == 0 ? -err : 0;
}

/* What stays would be taken for a damaged segment at the next start: so it is tried again. */
static void remove_abandoned(struct shelf *s)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->abandoned_count; i++) {
        char name[SHELF_NAME];
        int err = remove_segment(s, s->abandoned[i], name);

        if (err == 0)
            continue;
        if (!s->complained)
            log_error("segment_not_removed", LOG_STRING("file", name), LOG_ERRNO("error", -err));
        s->complained = true;
        s->abandoned[kept++] = s->abandoned[i];
    }
    if (kept < s->abandoned_count)
        (void)!fsync(s->spool->log);
    s->abandoned_count = kept;
    s->complained = s->complained && kept > 0;
}

void shelf_abandon(struct shelf *s, uint64_t number)
{
    if (s->abandoned_count == s->abandoned_room) {
        s->abandoned_room = s->abandoned_room == 0 ? 4 : s->abandoned_room * 2;
        s->abandoned = memory_grow(s->abandoned, s->abandoned_room, sizeof(*s->abandoned));
    }
    s->abandoned[s->abandoned_count++] = number;
    remove_abandoned(s);
}

/* ---- making ---- */

/* Past the page cache, where the file system can: zeros that nobody reads would be copied into it,
 * and drive out what somebody does. Some file systems say only when it is written that they cannot.
 */
static int write_zeros(int fd, uint64_t bytes)
{
    static _Alignas(ALIGNMENT) char zeros[CHUNK]; /* never written: one page of memory */
    int err = 0;

    (void)!fcntl(fd, F_SETFL, O_DIRECT);
    for (uint64_t at = 0; err == 0 && at < bytes; at += CHUNK) {
        struct view chunk = view_make(zeros, MIN(bytes - at, CHUNK));

        err = file_write_all(fd, chunk, at);
        if (err == -EINVAL && fcntl(fd, F_SETFL, 0) == 0)
            err = file_write_all(fd, chunk, at);
        if (err == 0 && fdatasync(fd) < 0)
            err = -errno;
    }
    return err;
}

/* All of its room is taken before its first byte is written: a disk that cannot hold it is not
 * filled for nothing. */
static int make_spare(struct shelf *s, char name[static SHELF_NAME])
{
    int fd, err;
    bool whole;

    do {
        snprintf(name, SHELF_NAME, "new-%u.seg", s->next_name++);
        fd = openat(s->spool->free, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    } while (fd < 0 && errno == EEXIST);
    if (fd < 0)
        return -errno;
    err = allocate(s, fd, &whole);
    if (err == 0 && (!s->fresh || !whole))
        err = write_zeros(fd, s->segment_bytes);
    if (err == 0 && (fsync(fd) < 0 || fsync(s->spool->free) < 0))
        err = -errno;
    close(fd);
    if (err < 0)
        unlinkat(s->spool->free, name, 0);
    return err;
}

struct making {
    struct job job;
    struct shelf *shelf;
    int error;
};

static void run_making(struct job *j)
{
    struct making *m = container_of(j, struct making, job);
    char name[SHELF_NAME];

    m->error = make_spare(m->shelf, name);
    note_room(m->shelf, m->error);
    if (m->error == 0 && !put_spare(m->shelf, name))
        unlinkat(m->shelf->spool->free, name, 0);
}

static void on_made(struct job *j)
{
    struct making *m = container_of(j, struct making, job);

    m->shelf->making = false;
    if (m->error < 0 && m->error != m->shelf->making_error)
        log_warn("spare_segment_failed", LOG_ERRNO("error", -m->error));
    m->shelf->making_error = m->error;
    if (m->error == 0)
        shelf_tend(m->shelf);
    free(m);
}

void shelf_tend(struct shelf *s)
{
    struct making *m;

    remove_abandoned(s);
    if (s->making || shelf_count(s) >= SHELF_KEPT || s->keeper.thread_count == 0)
        return;
    m = memory_new(sizeof(*m));
    *m = (struct making){ .job = { .run = run_making, .done = on_made }, .shelf = s };
    s->making = true;
    workers_give(&s->keeper, &m->job);
}

/* ---- recycling ---- */

struct recycling {
    struct job job;
    struct shelf *shelf;
    uint64_t number;
    bool keep;
    int error;
    void (*gone)(void *arg, uint64_t number, int error);
    void *arg;
};

static bool has_our_size(const struct shelf *s, const char *name)
{
    struct stat facts;

    return fstatat(s->spool->log, name, &facts, AT_SYMLINK_NOFOLLOW) == 0 &&
           (uint64_t)facts.st_size == s->segment_bytes;
}

/* It becomes a spare only once it is durably out of log/: else a power cut could bring it back
 * there with another life's bytes in it. */
static void run_recycling(struct job *j)
{
    struct recycling *r = container_of(j, struct recycling, job);
    const struct spool *spool = r->shelf->spool;
    char name[SHELF_NAME];
    const char *there = name;
    bool keep;

    segment_index_name(r->number, name);
    unlinkat(spool->log, name, 0);
    segment_name(r->number, name);
    keep = r->keep && !r->shelf->fresh && has_our_size(r->shelf, name);
    if (!keep)
        there = unfit;
    if (renameat(spool->log, name, spool->free, there) < 0) {
        r->error = -errno;
        return;
    }
    r->error = sync_folders(r->shelf);
    if (r->error < 0) /* only another change of the folders makes another sync mean something */
        (void)!renameat(spool->free, there, spool->log, name);
    else if (!keep || !put_spare(r->shelf, name))
        unlinkat(spool->free, there, 0);
}

static void on_recycled(struct job *j)
{
    struct recycling *r = container_of(j, struct recycling, job);

    if (r->error < 0)
        log_error("segment_not_recycled", LOG_U64("segment", r->number),
                  LOG_ERRNO("error", -r->error));
    r->gone(r->arg, r->number, r->error);
    free(r);
}

void shelf_recycle(struct shelf *s, uint64_t number, bool keep,
                   void (*gone)(void *arg, uint64_t number, int error), void *arg)
{
    struct recycling *r = memory_new(sizeof(*r));

    *r = (struct recycling){ .job = { .run = run_recycling, .done = on_recycled },
                             .shelf = s,
                             .number = number,
                             .keep = keep,
                             .gone = gone,
                             .arg = arg };
    workers_give(&s->keeper, &r->job);
}

/* ---- life ---- */

int shelf_open(struct shelf *s, const struct spool *spool, uint64_t segment_bytes, bool fresh,
               struct loop *l)
{
    uint64_t room;
    int err;

    *s = (struct shelf){ .spool = spool, .segment_bytes = segment_bytes, .fresh = fresh };
    err = workers_init(&s->keeper, l);
    if (err < 0)
        return err;
    pthread_mutex_init(&s->lock, NULL);
    err = folder_each(spool->free, take_stock, s);
    if (err == 0)
        err = spool_space(spool, &room);
    if (err < 0)
        shelf_close(s);
    else
        note_room(s, room < segment_bytes ? -ENOSPC : 0); /* until that is tried */
    return err;
}

int shelf_start(struct shelf *s)
{
    int err = workers_start(&s->keeper, 1);

    if (err == 0)
        shelf_tend(s);
    return err;
}

void shelf_close(struct shelf *s)
{
    remove_abandoned(s);
    free(s->abandoned);
    workers_release(&s->keeper);
    pthread_mutex_destroy(&s->lock);
}
