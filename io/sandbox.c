#include "io/sandbox.h"

#include "common/view.h"
#include "io/log.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BASE = 0, ARGS_MAX = 2 };

/* A call that is allowed if all of its tests hold. */
struct exception {
    unsigned powers; /* any of them; BASE: always */
    int call;
    unsigned test_count;
    struct scmp_arg_cmp tests[ARGS_MAX];
};

/* clang-format off */
#define CALL(name) SCMP_SYS(name)

static const int base_calls[] = {
    /* descriptors that are held */
    CALL(read), CALL(readv), CALL(pread64), CALL(preadv), CALL(preadv2),
    CALL(write), CALL(writev), CALL(pwrite64), CALL(pwritev), CALL(pwritev2),
    CALL(recvfrom), CALL(recvmsg), CALL(recvmmsg), CALL(sendmsg), CALL(sendmmsg),
    CALL(sendfile), CALL(shutdown), CALL(close), CALL(close_range), CALL(fstat), CALL(lseek),
    CALL(fcntl), CALL(dup), CALL(dup2), CALL(dup3),
    CALL(epoll_create1), CALL(epoll_ctl), CALL(epoll_wait), CALL(epoll_pwait), CALL(eventfd2),
    CALL(poll), CALL(ppoll), CALL(signalfd4),
    /* memory */
    CALL(brk), CALL(munmap), CALL(mremap), CALL(madvise), CALL(sysinfo),
    /* time, chance, waiting */
    CALL(clock_gettime), CALL(clock_getres), CALL(gettimeofday), CALL(time),
    CALL(clock_nanosleep), CALL(nanosleep), CALL(getrandom), CALL(futex), CALL(sched_yield),
    CALL(restart_syscall),
    /* itself */
    CALL(rt_sigaction), CALL(rt_sigprocmask), CALL(rt_sigreturn),
    CALL(getpid), CALL(gettid), CALL(getppid), CALL(getuid), CALL(geteuid), CALL(getgid),
    CALL(getegid), CALL(getrusage), CALL(exit), CALL(exit_group),
};

static const int accept_calls[] = {
    CALL(accept4), CALL(getpeername), CALL(getsockname), CALL(setsockopt), CALL(getsockopt),
};

static const int network_calls[] = {
    CALL(connect), CALL(bind), CALL(getpeername), CALL(getsockname), CALL(setsockopt),
    CALL(getsockopt),
};

static const int datagram_calls[] = {
    CALL(sendto),
};

static const int file_calls[] = {
    CALL(openat), CALL(rename), CALL(renameat), CALL(renameat2), CALL(link), CALL(linkat),
    CALL(unlink), CALL(unlinkat), CALL(mkdir), CALL(mkdirat), CALL(rmdir),
    CALL(stat), CALL(lstat), CALL(newfstatat), CALL(statx), CALL(statfs), CALL(fstatfs),
    CALL(access), CALL(faccessat), CALL(faccessat2), CALL(getdents64),
    CALL(fsync), CALL(fdatasync), CALL(sync_file_range), CALL(syncfs), CALL(fallocate),
    CALL(ftruncate), CALL(fadvise64), CALL(readahead), CALL(copy_file_range), CALL(flock),
    CALL(utimensat), CALL(fchmod), CALL(umask),
};

static const int read_calls[] = {
    CALL(openat), CALL(stat), CALL(newfstatat), CALL(statx),
};

static const int unix_calls[] = {
    CALL(connect),
};

static const int thread_calls[] = {
    CALL(set_robust_list), CALL(rseq), CALL(sched_getaffinity), CALL(membarrier),
};

/* A filter survives exec: what master may do has to contain what the others do before they
 * enter their own sandboxes, and afterwards. */
static const int supervise_calls[] = {
    CALL(execve), CALL(execveat), CALL(clone), CALL(clone3), CALL(fork), CALL(vfork),
    CALL(wait4), CALL(waitid), CALL(kill), CALL(tgkill), CALL(pidfd_open),
    CALL(pidfd_send_signal), CALL(setpgid), CALL(getpgid), CALL(getpgrp), CALL(setsid), CALL(prctl), CALL(arch_prctl),
    CALL(set_tid_address), CALL(seccomp), CALL(landlock_create_ruleset),
    CALL(landlock_add_rule), CALL(landlock_restrict_self), CALL(capget), CALL(capset),
    CALL(setuid), CALL(setgid), CALL(setgroups), CALL(setresuid), CALL(setresgid),
    CALL(getresuid), CALL(getresgid), CALL(getgroups), CALL(setrlimit), CALL(getrlimit),
    CALL(setpriority), CALL(sigaltstack), CALL(rt_sigtimedwait), CALL(rt_sigsuspend),
    CALL(socketpair), CALL(listen), CALL(accept), CALL(memfd_create), CALL(pipe), CALL(pipe2),
    CALL(ioctl), CALL(select), CALL(pselect6), CALL(open), CALL(creat), CALL(readlink),
    CALL(readlinkat), CALL(chmod), CALL(fchmodat), CALL(chown), CALL(fchown), CALL(fchownat),
    CALL(truncate), CALL(getdents), CALL(getcwd), CALL(chdir), CALL(fchdir), CALL(uname),
    CALL(getxattr), CALL(fgetxattr), CALL(timerfd_create), CALL(timerfd_settime), CALL(alarm),
    CALL(setitimer), CALL(getcpu), CALL(sched_setaffinity), CALL(inotify_init1),
    CALL(inotify_add_watch), CALL(mlock), CALL(munlock), CALL(msync), CALL(mincore),
};

#ifdef SANITIZED
/* What the sanitizers do to report; Landlock still answers for the paths. */
static const int sanitizer_calls[] = {
    CALL(open), CALL(openat), CALL(readlink), CALL(readlinkat), CALL(stat), CALL(lstat),
    CALL(newfstatat), CALL(access), CALL(getcwd), CALL(ioctl), CALL(getrlimit), CALL(mmap),
    CALL(mprotect), CALL(sigaltstack), CALL(sched_getaffinity), CALL(prctl), CALL(uname),
    CALL(set_robust_list), CALL(rseq), CALL(tgkill), CALL(prlimit64),
};
#endif

#define CALLS(list) (list), COUNT_OF(list)

/* Calls that are allowed whatever their arguments are. */
static const struct profile {
    unsigned powers; /* any of them; BASE: always */
    const int *calls;
    size_t count;
} profiles[] = {
    { BASE,                               CALLS(base_calls) },
    { SANDBOX_ACCEPT,                     CALLS(accept_calls) },
    { SANDBOX_CONNECT | SANDBOX_DATAGRAM, CALLS(network_calls) },
    { SANDBOX_DATAGRAM,                   CALLS(datagram_calls) },
    { SANDBOX_FILES,                      CALLS(file_calls) },
    { SANDBOX_READ,                       CALLS(read_calls) },
    { SANDBOX_UNIX,                       CALLS(unix_calls) },
    { SANDBOX_THREADS,                    CALLS(thread_calls) },
    { SANDBOX_SUPERVISE,                  CALLS(supervise_calls) },
#ifdef SANITIZED
    { BASE,                               CALLS(sanitizer_calls) },
#endif
};

#define EXACTLY(arg, value)           { (arg), SCMP_CMP_EQ, (value), 0 }
#define BITS(arg, mask, value)        { (arg), SCMP_CMP_MASKED_EQ, (mask), (value) }
#define SOCKET_TYPE_MASK              0xf

static const struct exception exceptions[] = {
    { BASE, CALL(mmap),       1, { BITS(2, PROT_EXEC, 0) } },
    { BASE, CALL(mprotect),   1, { BITS(2, PROT_EXEC, 0) } },
    { BASE, CALL(newfstatat), 1, { EXACTLY(3, AT_EMPTY_PATH) } }, /* fstat, to the C library */
    { BASE, CALL(sendto),     1, { EXACTLY(4, 0) } },             /* send */
    { BASE, CALL(prlimit64),  2, { EXACTLY(0, 0), EXACTLY(2, 0) } }, /* asks, of itself */
    { SANDBOX_PEERCRED, CALL(getsockopt), 2,
      { EXACTLY(1, SOL_SOCKET), EXACTLY(2, SO_PEERCRED) } },
    { SANDBOX_CONNECT,  CALL(socket), 2,
      { EXACTLY(0, AF_INET),  BITS(1, SOCKET_TYPE_MASK, SOCK_STREAM) } },
    { SANDBOX_CONNECT,  CALL(socket), 2,
      { EXACTLY(0, AF_INET6), BITS(1, SOCKET_TYPE_MASK, SOCK_STREAM) } },
    { SANDBOX_PATHS,    CALL(socket), 2,
      { EXACTLY(0, AF_UNIX),  BITS(1, SOCKET_TYPE_MASK, SOCK_STREAM) } },
    { SANDBOX_UNIX,     CALL(socket), 2,
      { EXACTLY(0, AF_UNIX),  BITS(1, SOCKET_TYPE_MASK, SOCK_STREAM) } },
    { SANDBOX_DATAGRAM, CALL(socket), 2,
      { EXACTLY(0, AF_INET),  BITS(1, SOCKET_TYPE_MASK, SOCK_DGRAM) } },
    { SANDBOX_DATAGRAM, CALL(socket), 2,
      { EXACTLY(0, AF_INET6), BITS(1, SOCKET_TYPE_MASK, SOCK_DGRAM) } },
    { SANDBOX_THREADS,  CALL(clone),  1, { BITS(0, CLONE_THREAD, CLONE_THREAD) } },
    { SANDBOX_THREADS,  CALL(prctl),  1, { EXACTLY(0, PR_SET_NAME) } },
};
/* clang-format on */

/* As in linux/landlock.h, which may be older than the kernel. */
struct landlock_rights {
    uint64_t files, network, scopes;
};

enum {
    LANDLOCK_FILES_1 = (1 << 13) - 1, /* all that the first version knows */
    LANDLOCK_TRUNCATE = 1 << 14,
    LANDLOCK_IOCTL_DEV = 1 << 15,
    LANDLOCK_TCP = 1 << 0 | 1 << 1,    /* bind, connect */
    LANDLOCK_SCOPES = 1 << 0 | 1 << 1, /* abstract UNIX sockets, signals */
    RIGHTS_TO_READ = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
    RIGHTS_TO_WRITE = RIGHTS_TO_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_TRUNCATE |
                      LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR |
                      LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                      LANDLOCK_ACCESS_FS_REFER,
    /* What a rule for something that is no folder may contain. */
    RIGHTS_ON_FILES = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                      LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_TRUNCATE,
};

static int set_limits(const struct sandbox *s)
{
    struct rlimit none = { 0, 0 };
    struct rlimit files;

    if (setrlimit(RLIMIT_CORE, &none) < 0 || getrlimit(RLIMIT_NOFILE, &files) < 0)
        return -errno;
    if (s->files_max == 0)
        return 0;
    files = (struct rlimit){ s->files_max, MAX(files.rlim_max, s->files_max) };
    if (setrlimit(RLIMIT_NOFILE, &files) == 0)
        return 0;
    /* Only root may go beyond the hard limit. */
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return -errno;
    files.rlim_cur = MIN(files.rlim_max, s->files_max);
    return setrlimit(RLIMIT_NOFILE, &files) < 0 ? -errno : 0;
}

static int drop_ids(const struct sandbox *s)
{
    if (geteuid() != 0 || s->uid == 0)
        return 0;
    if (setgroups(0, NULL) < 0 || setresgid(s->gid, s->gid, s->gid) < 0 ||
        setresuid(s->uid, s->uid, s->uid) < 0)
        return -errno;
    return 0;
}

static int give_up_privileges(void)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return -errno;
    return 0;
}

/* The version, or a negative errno when there is no Landlock. */
static int landlock_version(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    return version < 0 ? -errno : (int)version;
}

/* Everything that this version can forbid and that the powers do not need. */
static struct landlock_rights forbidden(int version, unsigned powers)
{
    struct landlock_rights r = { .files = LANDLOCK_FILES_1 };

    if (version >= 2)
        r.files |= LANDLOCK_ACCESS_FS_REFER;
    if (version >= 3)
        r.files |= LANDLOCK_TRUNCATE;
    if (version >= 4 && !(powers & (SANDBOX_CONNECT | SANDBOX_SUPERVISE)))
        r.network = LANDLOCK_TCP;
    if (version >= 5)
        r.files |= LANDLOCK_IOCTL_DEV;
    if (version >= 6 && !(powers & SANDBOX_SUPERVISE))
        r.scopes = LANDLOCK_SCOPES;
    return r;
}

static int allow_path(int ruleset, const char *path, uint64_t rights)
{
    struct landlock_path_beneath_attr rule = { .allowed_access = rights };
    struct stat st;
    int err = 0;
    int fd = open(path, O_PATH | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0) {
        err = -errno;
        goto out;
    }
    if (!S_ISDIR(st.st_mode))
        rule.allowed_access &= RIGHTS_ON_FILES;
    rule.parent_fd = fd;
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        err = -errno;
out:
    close(fd);
    return err;
}

static int allow_paths(int ruleset, const char *const *paths, size_t most, uint64_t rights,
                       struct error *err)
{
    for (size_t i = 0; i < most && paths[i] != NULL; i++) {
        int result = allow_path(ruleset, paths[i], rights);

        if (result < 0)
            return error_set(err, result, "cannot restrict the process to %s: %s", paths[i],
                             strerror(-result));
    }
    return 0;
}

static int restrict_paths(const struct sandbox *s, int version, struct error *err)
{
    struct landlock_rights rights = forbidden(version, s->powers);
    uint64_t read = RIGHTS_TO_READ, write = RIGHTS_TO_WRITE;
    int result;
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &rights, sizeof(rights), 0);

    if (ruleset < 0)
        return error_set(err, -errno, "cannot make a Landlock ruleset: %s", strerror(errno));
    if (s->powers & SANDBOX_SUPERVISE) {
        read |= LANDLOCK_ACCESS_FS_EXECUTE;
        write |= LANDLOCK_ACCESS_FS_MAKE_SOCK;
    }
    result = allow_paths(ruleset, s->readable, COUNT_OF(s->readable), read & rights.files, err);
    if (result == 0)
        result =
            allow_paths(ruleset, s->writable, COUNT_OF(s->writable), write & rights.files, err);
    if (result == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        result = error_set(err, -errno, "cannot enter Landlock: %s", strerror(errno));
    close(ruleset);
    return result;
}

static int enter_landlock(const struct sandbox *s, struct error *err)
{
    int version = landlock_version();

    /* The children would inherit it, and need more than their parent can list. */
    if ((s->powers & SANDBOX_SUPERVISE) && s->readable[0] == NULL && s->writable[0] == NULL)
        return 0;
    /* The first version forbids every rename from one folder into another. */
    if (version == 1 && s->writable[0] != NULL)
        version = -EOPNOTSUPP;
    if (version < 0) {
        log_warn("landlock_unavailable", LOG_STRING("role", s->role), LOG_ERRNO("error", -version));
        return 0;
    }
    return restrict_paths(s, version, err);
}

/* A call that this architecture does not have is -EDOM, and needs no rule. */
static int add_rule(scmp_filter_ctx filter, uint32_t action, int call, unsigned test_count,
                    const struct scmp_arg_cmp *tests)
{
    int err = seccomp_rule_add_array(filter, action, call, test_count, tests);

    return err == -EDOM || err == -EEXIST ? 0 : err;
}

static bool applies(unsigned powers, const struct sandbox *s)
{
    return powers == BASE || (powers & s->powers) || (s->powers & SANDBOX_SUPERVISE);
}

static int add_profile(scmp_filter_ctx filter, const struct profile *p)
{
    int err = 0;

    for (size_t i = 0; i < p->count && err == 0; i++)
        err = add_rule(filter, SCMP_ACT_ALLOW, p->calls[i], 0, NULL);
    return err;
}

static int add_rules(scmp_filter_ctx filter, const struct sandbox *s)
{
    bool supervises = s->powers & SANDBOX_SUPERVISE;
    int err = 0;

    for (size_t i = 0; i < COUNT_OF(profiles) && err == 0; i++) {
        if (applies(profiles[i].powers, s))
            err = add_profile(filter, &profiles[i]);
    }
    for (size_t i = 0; i < COUNT_OF(exceptions) && err == 0; i++) {
        const struct exception *e = &exceptions[i];

        if (applies(e->powers, s))
            err =
                add_rule(filter, SCMP_ACT_ALLOW, e->call, supervises ? 0 : e->test_count, e->tests);
    }
    return err;
}

/* abort() signals itself; that it was an assertion should still be seen. clone3 hides its flags
 * from a filter: without it the C library takes clone. */
static int add_own_rules(scmp_filter_ctx filter, const struct sandbox *s)
{
    struct scmp_arg_cmp self = { 0, SCMP_CMP_EQ, (uint64_t)getpid(), 0 };
    int err;

    if (s->powers & SANDBOX_SUPERVISE)
        return 0;
    err = add_rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &self);
    if (err == 0 && (s->powers & SANDBOX_THREADS))
        err = add_rule(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0, NULL);
    return err;
}

static int enter_seccomp(const struct sandbox *s)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int err;

    if (filter == NULL)
        return -ENOMEM;
    err = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (err == 0)
        err = seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1);
    if (err == 0)
        err = add_rules(filter, s);
    if (err == 0)
        err = add_own_rules(filter, s);
    if (err == 0)
        err = seccomp_load(filter);
    seccomp_release(filter);
    return err;
}

static int explain(struct error *err, const struct sandbox *s, int code, const char *doing)
{
    return error_set(err, code, "%s: cannot %s: %s", s->role, doing, strerror(-code));
}

int sandbox_enter(const struct sandbox *s, struct error *err)
{
    int result = set_limits(s);

    if (result < 0)
        return explain(err, s, result, "set its limits");
    result = drop_ids(s);
    if (result < 0)
        return explain(err, s, result, "become an unprivileged user");
    result = give_up_privileges();
    if (result < 0)
        return explain(err, s, result, "give up privileges");
    result = enter_landlock(s, err);
    if (result < 0)
        return result;
    result = enter_seccomp(s);
    if (result < 0)
        return explain(err, s, result, "load its seccomp filter");
    return 0;
}
