#include "queue/bodies.h"

#include "common/memory.h"
#include "io/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    POOL = 4,       /* threads: files that are synced at the same time */
    NAME_ROOM = 32, /* "1a/1a2b3c4d5e6f7081.eml" */
    FOLDER_LEN = 2,
    TRIES = 4,
    FILE_MODE = 0600,
    FOLDER_MODE = 0700,
};

static unsigned folder_of(uint64_t number)
{
    return (unsigned)(number >> 56);
}

static void name_of(uint64_t number, char name[static NAME_ROOM])
{
    snprintf(name, NAME_ROOM, "%02x/%016llx.eml", folder_of(number), (unsigned long long)number);
}

static void folder_name(unsigned folder, char name[static NAME_ROOM])
{
    snprintf(name, NAME_ROOM, "%02x", folder);
}

int bodies_open(struct bodies *b, const struct spool *spool, struct loop *l)
{
    *b = (struct bodies){ .spool = spool };
    /* Folders that a former run made and did not live to sync. */
    if (fsync(spool->big) < 0)
        return -errno;
    return workers_init(&b->pool, l);
}

int bodies_start(struct bodies *b)
{
    return workers_start(&b->pool, POOL);
}

void bodies_close(struct bodies *b)
{
    workers_release(&b->pool);
}

/* ---- create ---- */

static int create(struct bodies *b, uint64_t number)
{
    const int how = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
    char name[NAME_ROOM], folder[NAME_ROOM];
    int fd;

    name_of(number, name);
    folder_name(folder_of(number), folder);
    fd = openat(b->spool->big, name, how, FILE_MODE);
    if (fd >= 0 || errno != ENOENT)
        return fd < 0 ? -errno : fd;
    if (mkdirat(b->spool->big, folder, FOLDER_MODE) < 0 && errno != EEXIST)
        return -errno;
    b->fresh[folder_of(number)] = true;
    fd = openat(b->spool->big, name, how, FILE_MODE);
    return fd < 0 ? -errno : fd;
}

int bodies_create(struct bodies *b, uint64_t *number)
{
    int fd = -EEXIST;

    for (int i = 0; i < TRIES && fd == -EEXIST; i++) {
        if (getrandom(number, sizeof(*number), 0) != sizeof(*number) || *number == 0)
            continue;
        fd = create(b, *number);
    }
    return fd;
}

/* ---- sync ---- */

struct syncing {
    struct job job;
    struct bodies *bodies;
    int fd;
    uint64_t number, bytes;
    bool fresh;
    int error;
    void (*synced)(void *arg, int error);
    void *arg;
};

static int sync_folder(const struct spool *spool, uint64_t number)
{
    char name[NAME_ROOM];
    int fd, err = 0;

    folder_name(folder_of(number), name);
    fd = openat(spool->big, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fsync(fd) < 0)
        err = -errno;
    close(fd);
    return err;
}

static int sync_body(const struct syncing *s)
{
    const struct spool *spool = s->bodies->spool;
    struct stat facts;
    int err;

    if (fstat(s->fd, &facts) < 0)
        return -errno;
    if (!S_ISREG(facts.st_mode) || (uint64_t)facts.st_size != s->bytes)
        return -EBADMSG;
    if (fsync(s->fd) < 0)
        return -errno;
    err = sync_folder(spool, s->number);
    if (err == 0 && s->fresh && fsync(spool->big) < 0)
        err = -errno;
    return err;
}

static void run_sync(struct job *j)
{
    struct syncing *s = container_of(j, struct syncing, job);

    s->error = sync_body(s);
}

static void on_synced(struct job *j)
{
    struct syncing *s = container_of(j, struct syncing, job);

    if (s->error == 0 && s->fresh)
        s->bodies->fresh[folder_of(s->number)] = false;
    s->synced(s->arg, s->error);
    free(s);
}

void bodies_sync(struct bodies *b, int fd, uint64_t number, uint64_t bytes,
                 void (*synced)(void *arg, int error), void *arg)
{
    struct syncing *s = memory_new(sizeof(*s));

    *s = (struct syncing){ .job = { .run = run_sync, .done = on_synced },
                           .bodies = b,
                           .fd = fd,
                           .number = number,
                           .bytes = bytes,
                           .fresh = b->fresh[folder_of(number)],
                           .synced = synced,
                           .arg = arg };
    workers_give(&b->pool, &s->job);
}

/* ---- remove ---- */

struct removing {
    struct job job;
    const struct spool *spool;
    uint64_t number;
    int error;
};

static void run_removal(struct job *j)
{
    struct removing *r = container_of(j, struct removing, job);
    char name[NAME_ROOM];

    name_of(r->number, name);
    if (unlinkat(r->spool->big, name, 0) < 0 && errno != ENOENT)
        r->error = errno;
}

static void on_removed(struct job *j)
{
    struct removing *r = container_of(j, struct removing, job);

    if (r->error != 0)
        log_warn("body_not_removed", LOG_ID("body", r->number), LOG_ERRNO("error", r->error));
    free(r);
}

void bodies_remove(struct bodies *b, uint64_t number)
{
    struct removing *r = memory_new(sizeof(*r));

    *r = (struct removing){ .job = { .run = run_removal, .done = on_removed },
                            .spool = b->spool,
                            .number = number };
    workers_give(&b->pool, &r->job);
}

/* ---- read ---- */

static int judge(const struct stat *facts, uint64_t bytes)
{
    return S_ISREG(facts->st_mode) && (uint64_t)facts->st_size == bytes ? 0 : -EBADMSG;
}

int bodies_read(const struct spool *spool, uint64_t number, uint64_t bytes)
{
    char name[NAME_ROOM];
    struct stat facts;
    int fd, err;

    name_of(number, name);
    fd = openat(spool->big, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? -EBADMSG : -errno;
    err = fstat(fd, &facts) < 0 ? -errno : judge(&facts, bytes);
    if (err == 0)
        return fd;
    close(fd);
    return err;
}

int bodies_look(const struct spool *spool, uint64_t number, uint64_t bytes)
{
    char name[NAME_ROOM];
    struct stat facts;

    name_of(number, name);
    if (fstatat(spool->big, name, &facts, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? -EBADMSG : -errno;
    return judge(&facts, bytes);
}

/* ---- sweep ---- */

struct sweep {
    const struct spool *spool;
    const struct idset *named;
    bool aside;
    int folder;
};

static void sweep_file(void *arg, const char *name)
{
    struct sweep *s = arg;
    struct view stem = view_of(name);
    struct view number = view_take_until(&stem, '.');
    uint64_t n;

    if (view_hex_to_u64(number, &n) && idset_has(s->named, n))
        return;
    if (s->aside)
        spool_move_aside(s->spool, s->folder, name);
    else if (unlinkat(s->folder, name, 0) < 0)
        log_warn("body_not_removed", LOG_STRING("file", name), LOG_ERRNO("error", errno));
}

static void note_folder(void *arg, const char *name)
{
    bool *there = arg;
    uint64_t number;

    if (strlen(name) == FOLDER_LEN && view_hex_to_u64(view_of(name), &number))
        there[number] = true;
}

void bodies_folders(const struct spool *spool, bool there[static BODIES_FOLDERS])
{
    int err = folder_each(spool->big, note_folder, there);

    if (err < 0)
        log_warn("bodies_not_swept", LOG_ERRNO("error", -err));
}

void bodies_sweep(const struct spool *spool, unsigned folder, const struct idset *named, bool aside)
{
    struct sweep s = { .spool = spool, .named = named, .aside = aside };
    char name[NAME_ROOM];
    int err;

    folder_name(folder, name);
    s.folder = openat(spool->big, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    err = s.folder < 0 ? -errno : folder_each(s.folder, sweep_file, &s);
    if (err < 0)
        log_warn("bodies_not_swept", LOG_STRING("folder", name), LOG_ERRNO("error", -err));
    if (s.folder >= 0)
        close(s.folder);
}
