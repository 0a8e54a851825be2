/* Preloaded into a program, stops it at one of the system calls that change what is on disk.
 *
 *   STOP_AT=k      at the k-th such call of the process (1, 2, 3 ...)
 *   STOP_HOW=      kill    SIGKILL instead of the call
 *                  tear    SIGKILL after some sectors of a write
 *                  power   SIGKILL instead of the call, and nothing that was not synced has reached
 *                          the disk, be it of a file or of a folder (power.h); with an odd k every
 *                          other change of a folder has
 *                  EIO, ENOSPC, EROFS   the call fails so, and is not done
 *   STOP_COUNT=n   so many calls fail (1)
 *   STOP_REPORT=1  prints the number of calls to descriptor 2 at the end
 *   STOP_SPEED=n   its clocks run so many times faster, since STOP_BEGAN, nanoseconds of the
 *                  monotonic clock
 * A call that fails for us is named on descriptor 2: "stopped NAME".
 *   READ_ONLY_WHILE=file   while that file begins with 1, its file system is as if it had been
 *                  mounted read-only under the files that are open, which the kernel does of its
 *                  own after an error, and for nobody else
 *   READ_FAILS_WHILE=file  while that file begins with 1, its disk gives nothing of a file (EIO)
 *
 * Writes to what is no regular file (pipes, event counters, the log) do not count. */
/* Each function has two names in the C library; both are ours here. */
#undef _FILE_OFFSET_BITS

#include "power.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SECTOR = 512 };

static atomic_long calls;
static long stop_at, stop_count = 1;
static const char *stop_how = "";
/* A disk with a trouble that comes and goes by the first byte of a file on it. */
struct trouble {
    const volatile char *byte; /* NULL: never */
    dev_t disk;
};
static struct trouble read_only, read_fails;
static long speed = 1, began; /* began: nanoseconds */

static long number(const char *name, long otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? strtol(text, NULL, 10) : otherwise;
}

static void watch(struct trouble *t, const char *variable)
{
    const char *path = getenv(variable);
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    struct stat facts;
    void *byte = MAP_FAILED;

    if (path == NULL)
        return;
    if (fd >= 0 && fstat(fd, &facts) == 0)
        byte = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
    if (byte == MAP_FAILED)
        abort();
    t->byte = byte;
    t->disk = facts.st_dev;
    close(fd);
}

static bool is_in(const struct trouble *t, int fd)
{
    struct stat facts;

    return t->byte != NULL && *t->byte == '1' && fstat(fd, &facts) == 0 && facts.st_dev == t->disk;
}

__attribute__((constructor)) static void begin(void)
{
    watch(&read_only, "READ_ONLY_WHILE");
    watch(&read_fails, "READ_FAILS_WHILE");
    stop_at = number("STOP_AT", 0);
    stop_count = number("STOP_COUNT", 1);
    speed = number("STOP_SPEED", 1);
    began = number("STOP_BEGAN", 0);
    if (getenv("STOP_HOW") != NULL)
        stop_how = getenv("STOP_HOW");
}

static bool how(const char *what)
{
    return strcmp(stop_how, what) == 0;
}

__attribute__((destructor)) static void report(void)
{
    if (how("power"))
        power_stays();
    if (getenv("STOP_REPORT") != NULL)
        dprintf(2, "calls %ld\n", (long)calls);
}

static void die(void)
{
    if (how("power"))
        power_off(stop_at % 2 != 0);
    syscall(SYS_tgkill, getpid(), gettid(), SIGKILL); /* which a sandbox allows */
    for (;;)
        pause();
}

static void name_call(const char *name)
{
    char line[64];
    int n = snprintf(line, sizeof(line), "stopped %s\n", name);

    syscall(SYS_write, 2, line, n);
}

/* Whether this call must fail, with errno set. */
static bool stopped(const char *name)
{
    long call = ++calls;

    if (stop_at == 0 || call < stop_at || call >= stop_at + stop_count)
        return false;
    if (how("kill") || how("tear") || how("power"))
        die();
    name_call(name);
    errno = how("ENOSPC") ? ENOSPC : how("EROFS") ? EROFS : EIO;
    return true;
}

/* Whether a call that changes what is at `fd`, a file or a folder, must fail, with errno set. */
static bool stopped_at(const char *name, int fd)
{
    if (is_in(&read_only, fd)) {
        errno = EROFS;
        return true;
    }
    return stopped(name);
}

static bool is_file(int fd)
{
    struct stat facts;

    return fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode);
}

/* Every third sector of the write does not reach the disk. */
static void tear(int fd, const char *bytes, size_t count, off_t at)
{
    for (size_t done = 0; done < count; done += SECTOR) {
        size_t some = count - done < SECTOR ? count - done : SECTOR;

        if ((done / SECTOR + (size_t)stop_at) % 3 != 0)
            syscall(SYS_pwrite64, fd, bytes + done, some, at + (off_t)done);
    }
    die();
}

ssize_t write(int fd, const void *bytes, size_t count)
{
    if (is_file(fd) && stopped_at("write", fd))
        return -1;
    if (how("power"))
        power_writes(fd, count, lseek(fd, 0, SEEK_CUR));
    return syscall(SYS_write, fd, bytes, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t at)
{
    if (stop_at != 0 && how("tear") && calls + 1 == stop_at)
        tear(fd, bytes, count, at);
    if (stopped_at("pwrite", fd))
        return -1;
    if (how("power"))
        power_writes(fd, count, at);
    return syscall(SYS_pwrite64, fd, bytes, count, at);
}

/* Not by its name: the system's headers may have an inline function of that one. */
ssize_t read_at(int fd, void *bytes, size_t count, off_t at) __asm__("pread64");
ssize_t read_at(int fd, void *bytes, size_t count, off_t at)
{
    if (is_in(&read_fails, fd)) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_pread64, fd, bytes, count, at);
}

static int open_at(int folder, const char *path, int flags, unsigned mode)
{
    if ((flags & O_CREAT) && stopped_at("openat", folder))
        return -1;
    if ((flags & O_CREAT) && how("power"))
        return power_open(folder, path, flags, mode);
    return (int)syscall(SYS_openat, folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...)
{
    va_list args;
    unsigned mode;

    va_start(args, flags);
    mode = va_arg(args, unsigned);
    va_end(args);
    return open_at(folder, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    va_list args;
    unsigned mode;

    va_start(args, flags);
    mode = va_arg(args, unsigned);
    va_end(args);
    return open_at(folder, path, flags, mode);
}

static int sync_by(long call, int fd)
{
    int result = stopped(call == SYS_fsync ? "fsync" : "fdatasync") ? -1 : (int)syscall(call, fd);

    if (result == 0 && how("power"))
        power_synced(fd);
    return result;
}

int fsync(int fd)
{
    return sync_by(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return sync_by(SYS_fdatasync, fd);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    if (stopped_at("renameat", from_folder))
        return -1;
    return how("power") ? power_rename(from_folder, from, to_folder, to)
                        : (int)syscall(SYS_renameat, from_folder, from, to_folder, to);
}

int unlinkat(int folder, const char *path, int flags)
{
    if (stopped_at("unlinkat", folder))
        return -1;
    return how("power") && flags == 0 ? power_unlink(folder, path)
                                      : (int)syscall(SYS_unlinkat, folder, path, flags);
}

static int make_folder(int folder, const char *path, mode_t mode)
{
    return how("power") ? power_mkdir(folder, path, mode)
                        : (int)syscall(SYS_mkdirat, folder, path, mode);
}

int mkdir(const char *path, mode_t mode)
{
    return stopped("mkdir") ? -1 : make_folder(AT_FDCWD, path, mode);
}

int mkdirat(int folder, const char *path, mode_t mode)
{
    return stopped_at("mkdirat", folder) ? -1 : make_folder(folder, path, mode);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
    if (stopped_at("linkat", from_folder))
        return -1;
    return how("power") ? power_link(from_folder, from, to_folder, to, flags)
                        : (int)syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
}

int ftruncate64(int fd, off_t size)
{
    return stopped_at("ftruncate", fd) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

int fallocate64(int fd, int mode, off_t at, off_t count)
{
    return stopped_at("fallocate", fd) ? -1 : (int)syscall(SYS_fallocate, fd, mode, at, count);
}

/* ---- faster time ---- */

int clock_gettime(clockid_t id, struct timespec *t)
{
    static int (*real)(clockid_t, struct timespec *);
    struct timespec now;
    long more, ns;

    if (real == NULL)
        real = (int (*)(clockid_t, struct timespec *))(uintptr_t)dlsym(RTLD_NEXT, "clock_gettime");
    if (real(id, t) < 0)
        return -1;
    if (speed == 1)
        return 0;
    real(CLOCK_MONOTONIC, &now);
    more = (now.tv_sec * 1000000000 + now.tv_nsec - began) * (speed - 1);
    ns = t->tv_nsec + more % 1000000000;
    t->tv_sec += more / 1000000000 + ns / 1000000000;
    t->tv_nsec = ns % 1000000000;
    return 0;
}

int epoll_wait(int fd, struct epoll_event *events, int count, int ms)
{
    return (int)syscall(SYS_epoll_pwait, fd, events, count,
                        ms > 0 ? (int)((ms + speed - 1) / speed) : ms, NULL, 8);
}
