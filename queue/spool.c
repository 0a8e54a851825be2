#include "queue/spool.h"

#include "common/buf.h"
#include "common/text.h"
#include "io/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    FOLDER_MODE = 0700,
    FILE_MODE = 0600,
    BLOCK = 4096, /* what is given up when reading fails */
};

static const char format_head[] = "Tern spool\nversion ";

/* ---- files ---- */

int file_write_all(int fd, struct view bytes, uint64_t offset)
{
    while (bytes.len > 0) {
        ssize_t done = pwrite(fd, bytes.ptr, bytes.len, (off_t)offset);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? -errno : -EIO;
        bytes = view_from(bytes, (size_t)done);
        offset += (uint64_t)done;
    }
    return 0;
}

ssize_t file_read_all(int fd, char *room, size_t count, uint64_t offset, bool *broken)
{
    size_t have = 0;

    *broken = false;
    while (have < count) {
        ssize_t got = pread(fd, room + have, count - have, (off_t)(offset + have));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EIO) {
            size_t lost = MIN(count - have, BLOCK - (offset + have) % BLOCK);

            memset(room + have, 0, lost);
            have += lost;
            *broken = true;
            continue;
        }
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        have += (size_t)got;
    }
    return (ssize_t)have;
}

int file_read_text(int folder, const char *name, char *room, size_t size)
{
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool broken;
    ssize_t got;

    if (fd < 0)
        return -errno;
    got = file_read_all(fd, room, size - 1, 0, &broken);
    close(fd);
    if (got < 0)
        return (int)got;
    room[got] = '\0';
    return 0;
}

static int write_new(int folder, const char *name, struct view text)
{
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    int err;

    if (fd < 0)
        return -errno;
    err = file_write_all(fd, text, 0);
    if (err == 0 && fsync(fd) < 0)
        err = -errno;
    close(fd);
    return err;
}

int file_replace(int folder, const char *name, struct view text)
{
    char room[64];
    struct buf fresh = BUF_ON_ARRAY(room);
    int err;

    if (!buf_printf(&fresh, "%s.new%c", name, '\0'))
        return -ENAMETOOLONG;
    err = write_new(folder, room, text);
    if (err == 0 && renameat(folder, room, folder, name) < 0)
        err = -errno;
    if (err == 0 && fsync(folder) < 0)
        err = -errno;
    return err;
}

int folder_each(int folder, void (*each)(void *arg, const char *name), void *arg)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (dir == NULL)
        return -errno;
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.')
            each(arg, entry->d_name);
    }
    closedir(dir);
    return 0;
}

/* ---- folders ---- */

/* " /var/spool/tern", or nothing when it is the working folder. */
static const char *shown_path(const struct spool *s)
{
    static char room[256];

    snprintf(room, sizeof(room), " %s", s->path);
    return strcmp(s->path, ".") == 0 ? "" : room;
}

/* "cannot make log in the spool /var/spool/tern: Permission denied" */
static int fail(const struct spool *s, struct error *err, const char *doing, const char *name,
                int code)
{
    return error_set(err, -code, "cannot %s %s%sthe spool%s: %s", doing, name,
                     name[0] == '\0' ? "" : " in ", shown_path(s), strerror(code));
}

static int open_folder(const struct spool *s, const char *name, int *fd, struct error *err)
{
    if (!s->read_only && mkdirat(s->root, name, FOLDER_MODE) < 0 && errno != EEXIST)
        return fail(s, err, "make", name, errno);
    *fd = openat(s->root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd < 0 && !(s->read_only && errno == ENOENT))
        return fail(s, err, "open", name, errno);
    return 0;
}

static int open_folders(struct spool *s, struct error *err)
{
    const struct {
        const char *name;
        int *fd;
    } folders[] = {
        { "log", &s->log }, { "free", &s->free }, { "big", &s->big }, { "bad", &s->bad }
    };
    int result = 0;

    for (size_t i = 0; i < COUNT_OF(folders) && result == 0; i++)
        result = open_folder(s, folders[i].name, folders[i].fd, err);
    if (result == 0 && !s->read_only && fsync(s->root) < 0)
        result = fail(s, err, "sync", "", errno);
    return result;
}

/* Where its own name stands. */
static int sync_parent(const struct spool *s)
{
    int fd = openat(s->root, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = fd < 0 || fsync(fd) < 0 ? -errno : 0;

    if (fd >= 0)
        close(fd);
    return err;
}

static int open_root(struct spool *s, struct error *err)
{
    bool made = false;
    struct stat facts;
    int result;

    s->root = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->root < 0 && errno == ENOENT && !s->read_only) {
        if (mkdir(s->path, FOLDER_MODE) < 0)
            return fail(s, err, "make", "", errno);
        made = true;
        s->root = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (s->root < 0 || fstat(s->root, &facts) < 0)
        return fail(s, err, "open", "", errno);
    if (made && (result = sync_parent(s)) < 0)
        return fail(s, err, "sync", "", -result);
    if (!s->read_only && facts.st_uid != geteuid())
        return error_set(err, -EPERM, "the spool%s belongs to user %u, not to user %u",
                         shown_path(s), (unsigned)facts.st_uid, (unsigned)geteuid());
    return 0;
}

static int take_lock(struct spool *s, struct error *err)
{
    char room[32] = "";

    s->lock = openat(s->root, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    if (s->lock < 0)
        return fail(s, err, "open", "lock", errno);
    if (flock(s->lock, LOCK_EX | LOCK_NB) < 0) {
        int code = -errno;
        int got = file_read_text(s->root, "lock", room, sizeof(room));

        room[got == 0 ? strcspn(room, "\n") : 0] = '\0';
        return error_set(err, code, "the spool%s is in use by another process (pid %s)",
                         shown_path(s), room[0] != '\0' ? room : "unknown");
    }
    return 0;
}

/* For people only: that it is locked is what counts, also on a full disk. */
static void sign_lock(const struct spool *s)
{
    char room[32];
    struct buf text = BUF_ON_ARRAY(room);

    if (buf_printf(&text, "%ld\n", (long)getpid()) &&
        (ftruncate(s->lock, 0) < 0 || file_write_all(s->lock, buf_view(&text), 0) < 0))
        log_warn("lock_not_written", LOG_STRING("spool", s->path), LOG_ERRNO("error", errno));
}

/* ---- format: "Tern spool\nversion 1\nuuid 0123...\n" ---- */

static int read_format(struct spool *s, struct error *err)
{
    char room[256];
    struct view text, line;
    uint64_t version;
    int result = file_read_text(s->root, "format", room, sizeof(room));

    if (result == -ENOENT)
        return 0;
    if (result < 0)
        return fail(s, err, "read", "format", -result);
    text = view_of(room);
    if (!view_take(&text, view_of(format_head)) || !view_take_line(&text, &line) ||
        !view_to_u64(line, UINT64_MAX, &version)) {
        log_warn("spool_format_lost", LOG_STRING("spool", s->path));
        return 0;
    }
    if (version > SPOOL_VERSION)
        return error_set(err, -EPROTONOSUPPORT,
                         "the spool%s was written by a newer Tern: its format is %llu, and this "
                         "one knows %d",
                         shown_path(s), (unsigned long long)version, (int)SPOOL_VERSION);
    s->uuid_known = view_take_line(&text, &line) && view_take(&line, VIEW("uuid ")) &&
                    line.len == SPOOL_UUID_LEN;
    if (s->uuid_known)
        memcpy(s->uuid, line.ptr, SPOOL_UUID_LEN);
    return 0;
}

static int make_uuid(struct spool *s)
{
    char bytes[SPOOL_UUID_LEN / 2];
    struct buf hex = BUF_ON_ARRAY(s->uuid);

    if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes) ||
        !hex_encode(view_make(bytes, sizeof(bytes)), &hex))
        return -EIO;
    return 0;
}

int spool_settle_format(struct spool *s, struct error *err)
{
    char room[128], was[256];
    struct buf text = BUF_ON_ARRAY(room);
    int result = 0;

    if (!s->uuid_known)
        result = make_uuid(s);
    s->uuid_known = true;
    if (result == 0 && !buf_printf(&text, "%s%d\nuuid %.*s\n", format_head, (int)SPOOL_VERSION,
                                   SPOOL_UUID_LEN, s->uuid))
        result = -EIO;
    if (result == 0 && file_read_text(s->root, "format", was, sizeof(was)) == 0 &&
        view_equal(view_of(was), buf_view(&text)))
        return 0;
    if (result == 0)
        result = file_replace(s->root, "format", buf_view(&text));
    if (result < 0)
        return fail(s, err, "write", "format", -result);
    return 0;
}

int spool_open(struct spool *s, const char *path, bool read_only, struct error *err)
{
    int result;

    *s = (struct spool){ .path = path,
                         .read_only = read_only,
                         .root = -1,
                         .log = -1,
                         .free = -1,
                         .big = -1,
                         .bad = -1,
                         .lock = -1 };
    result = open_root(s, err);
    if (result == 0 && !read_only)
        result = take_lock(s, err);
    if (result == 0)
        result = read_format(s, err); /* before anything is changed: it may be a newer one */
    if (result == 0 && !read_only)
        sign_lock(s);
    if (result == 0)
        result = open_folders(s, err);
    if (result < 0)
        spool_close(s);
    return result;
}

void spool_close(struct spool *s)
{
    const int fds[] = { s->bad, s->big, s->free, s->log, s->lock, s->root };

    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

int spool_space(const struct spool *s, uint64_t *bytes)
{
    struct statvfs facts;

    if (fstatvfs(s->root, &facts) < 0)
        return -errno;
    *bytes = (uint64_t)facts.f_bavail * facts.f_frsize;
    return 0;
}

/* ---- damage ---- */

void spool_set_aside(const struct spool *s, const char *name, struct view bytes)
{
    int fd;

    if (s->read_only)
        return;
    fd = openat(s->bad, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    if (fd < 0 && errno == EEXIST)
        return; /* set aside at an earlier start */
    if (fd < 0 || file_write_all(fd, bytes, 0) < 0 || fsync(fd) < 0)
        log_error("damage_not_copied", LOG_STRING("file", name), LOG_ERRNO("error", errno));
    if (fd >= 0)
        close(fd);
}

void spool_move_aside(const struct spool *s, int folder, const char *name)
{
    if (s->read_only)
        return;
    if (renameat(folder, name, s->bad, name) < 0)
        log_error("damage_not_moved", LOG_STRING("file", name), LOG_ERRNO("error", errno));
    else
        log_warn("file_set_aside", LOG_STRING("file", name));
}
