#include "power.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NAME_ROOM = 64 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all that follows */

/* What was there before a write that is not synced yet. */
struct write {
    struct write *before;
    int fd; /* ours */
    dev_t device;
    ino_t file;
    off_t at, size;
    size_t count;
    char bytes[];
};

/* One name of a folder. */
struct place {
    int folder; /* ours; -1: there is none, or its change is durable */
    dev_t device;
    ino_t inode;
    char name[NAME_ROOM];
};

/* A file has lost a name, or got one, or both. */
struct change {
    struct change *before;
    int file; /* ours; -1: it had no name before */
    struct place from, to;
};

/* A name that nobody looks at, of what has lost its own, so that it can have that again. */
struct grave {
    struct grave *before;
    int folder; /* ours */
    char name[NAME_ROOM];
};

static struct write *writes; /* the newest first */
static struct change *changes;
static struct grave *graves;
static unsigned buried;

/* ---- bytes ---- */

static int open_again(int fd, int flags)
{
    char path[64];
    int again;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    again = (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0);
    if (again < 0)
        abort();
    return again;
}

void power_writes(int fd, size_t count, off_t at)
{
    struct stat facts;
    struct write *w;
    ssize_t got;

    if (fstat(fd, &facts) < 0 || !S_ISREG(facts.st_mode))
        return;
    w = malloc(sizeof(*w) + count);
    if (w == NULL)
        abort();
    w->fd = open_again(fd, O_RDWR);
    got = syscall(SYS_pread64, w->fd, w->bytes, count, at);
    w->count = got < 0 ? 0 : (size_t)got;
    w->at = at;
    w->size = facts.st_size;
    w->device = facts.st_dev;
    w->file = facts.st_ino;
    pthread_mutex_lock(&lock);
    w->before = writes;
    writes = w;
    pthread_mutex_unlock(&lock);
}

static void forget_writes(const struct stat *facts)
{
    struct write **at = &writes, *w;

    while ((w = *at) != NULL) {
        if (w->device != facts->st_dev || w->file != facts->st_ino) {
            at = &w->before;
            continue;
        }
        *at = w->before;
        syscall(SYS_close, w->fd);
        free(w);
    }
}

/* ---- names ---- */

static struct place place_of(int folder, const char *path)
{
    struct place p = { .folder = -1 };
    const char *slash = strrchr(path, '/');
    char parent[4096] = ".";
    struct stat facts;

    if (slash != NULL)
        snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
    if (parent[0] == '\0' || strlen(path) >= sizeof(parent) ||
        snprintf(p.name, NAME_ROOM, "%s", slash != NULL ? slash + 1 : path) >= NAME_ROOM)
        abort();
    p.folder = (int)syscall(SYS_openat, folder, parent, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (p.folder < 0 || fstat(p.folder, &facts) < 0)
        return p;
    p.device = facts.st_dev;
    p.inode = facts.st_ino;
    return p;
}

static int hold(const struct place *p)
{
    const int how = O_PATH | O_NOFOLLOW | O_CLOEXEC;

    return p->folder < 0 ? -1 : (int)syscall(SYS_openat, p->folder, p->name, how, 0);
}

static void close_ours(int *fd)
{
    if (*fd >= 0)
        syscall(SYS_close, *fd);
    *fd = -1;
}

static int rename_to(const struct place *from, int folder, const char *name)
{
    return (int)syscall(SYS_renameat, from->folder, from->name, folder, name);
}

static int bury(const struct place *p)
{
    struct grave *g = malloc(sizeof(*g));

    if (g == NULL)
        abort();
    snprintf(g->name, NAME_ROOM, ".grave-%d-%u", (int)getpid(), buried++);
    g->folder = (int)syscall(SYS_fcntl, p->folder, F_DUPFD_CLOEXEC, 0);
    g->before = graves;
    graves = g;
    return rename_to(p, g->folder, g->name);
}

/* Folders stay in theirs. */
static void open_graves(void)
{
    for (const struct grave *g = graves; g != NULL; g = g->before)
        syscall(SYS_unlinkat, g->folder, g->name, 0);
}

static void note(const struct change *c)
{
    struct change *kept = malloc(sizeof(*kept));

    if (kept == NULL)
        abort();
    *kept = *c;
    kept->before = changes;
    changes = kept;
}

static void make_durable(struct place *p, const struct stat *facts)
{
    if (p->folder >= 0 && p->device == facts->st_dev && p->inode == facts->st_ino)
        close_ours(&p->folder);
}

static void forget_changes(const struct stat *facts)
{
    struct change **at = &changes, *c;

    while ((c = *at) != NULL) {
        make_durable(&c->from, facts);
        make_durable(&c->to, facts);
        if (c->from.folder >= 0 || c->to.folder >= 0) {
            at = &c->before;
            continue;
        }
        *at = c->before;
        close_ours(&c->file);
        free(c);
    }
}

/* Nobody returns from here while the power goes. */
void power_synced(int fd)
{
    struct stat facts;

    if (fstat(fd, &facts) < 0)
        return;
    pthread_mutex_lock(&lock);
    forget_writes(&facts);
    if (S_ISDIR(facts.st_mode))
        forget_changes(&facts);
    pthread_mutex_unlock(&lock);
}

/* What a call has made. */
static int got_name(int result, int folder, const char *path)
{
    struct change c = { .file = -1, .from.folder = -1, .to = place_of(folder, path) };

    if (result >= 0 && c.to.folder >= 0)
        note(&c);
    else
        close_ours(&c.to.folder);
    return result;
}

static bool is_there(int folder, const char *path)
{
    struct stat facts;

    return fstatat(folder, path, &facts, AT_SYMLINK_NOFOLLOW) == 0;
}

int power_open(int folder, const char *path, int flags, unsigned mode)
{
    bool there;
    int fd;

    pthread_mutex_lock(&lock);
    there = is_there(folder, path);
    fd = (int)syscall(SYS_openat, folder, path, flags, mode);
    if (!there)
        got_name(fd, folder, path);
    pthread_mutex_unlock(&lock);
    return fd;
}

int power_mkdir(int folder, const char *path, mode_t mode)
{
    int result;

    pthread_mutex_lock(&lock);
    result = got_name((int)syscall(SYS_mkdirat, folder, path, mode), folder, path);
    pthread_mutex_unlock(&lock);
    return result;
}

int power_link(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
    int result;

    pthread_mutex_lock(&lock);
    result =
        got_name((int)syscall(SYS_linkat, from_folder, from, to_folder, to, flags), to_folder, to);
    pthread_mutex_unlock(&lock);
    return result;
}

static int lose_name(int folder, const char *path)
{
    struct change c = { .from = place_of(folder, path), .to.folder = -1 };
    int result;

    c.file = hold(&c.from);
    result = c.file < 0 ? -1 : bury(&c.from);
    if (result == 0) {
        note(&c);
        return 0;
    }
    close_ours(&c.file);
    close_ours(&c.from.folder);
    return -1;
}

int power_unlink(int folder, const char *path)
{
    int result;

    pthread_mutex_lock(&lock);
    result = lose_name(folder, path);
    pthread_mutex_unlock(&lock);
    return result;
}

static int change_name(int from_folder, const char *from, int to_folder, const char *to)
{
    struct change c = { .from = place_of(from_folder, from), .to = place_of(to_folder, to) };

    c.file = hold(&c.from);
    if (c.file >= 0 && is_there(to_folder, to) && lose_name(to_folder, to) < 0)
        abort();
    if (c.file >= 0 && rename_to(&c.from, c.to.folder, c.to.name) == 0) {
        note(&c);
        return 0;
    }
    close_ours(&c.file);
    close_ours(&c.from.folder);
    close_ours(&c.to.folder);
    return -1;
}

int power_rename(int from_folder, const char *from, int to_folder, const char *to)
{
    int result;

    pthread_mutex_lock(&lock);
    result = change_name(from_folder, from, to_folder, to);
    pthread_mutex_unlock(&lock);
    return result;
}

/* ---- the end ---- */

static bool is_same(const struct place *p, int file)
{
    struct stat a, b;

    return file < 0 ||
           (fstat(file, &a) == 0 && fstatat(p->folder, p->name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
            a.st_dev == b.st_dev && a.st_ino == b.st_ino);
}

/* The new name goes, unless a later change that stays has taken it; the old one comes back, unless
 * another file has it. */
static void take_back(const struct change *c)
{
    char path[64];

    if (c->to.folder >= 0 && is_same(&c->to, c->file))
        bury(&c->to);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", c->file);
    if (c->from.folder >= 0 &&
        syscall(SYS_linkat, AT_FDCWD, path, c->from.folder, c->from.name, AT_SYMLINK_FOLLOW) < 0 &&
        errno != EEXIST)
        abort();
}

void power_off(bool some)
{
    unsigned i = 0;

    pthread_mutex_lock(&lock);
    for (const struct write *w = writes; w != NULL; w = w->before) {
        syscall(SYS_pwrite64, w->fd, w->bytes, w->count, w->at);
        syscall(SYS_ftruncate, w->fd, w->size);
    }
    for (const struct change *c = changes; c != NULL; c = c->before, i++) {
        if (!some || i % 2 == 0)
            take_back(c);
    }
    open_graves();
}

void power_stays(void)
{
    pthread_mutex_lock(&lock);
    open_graves();
    pthread_mutex_unlock(&lock);
}
