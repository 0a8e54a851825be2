/* What a process may still do once it has everything it needs: ids, limits, Landlock,
 * seccomp. A call that the profile does not name kills the process (SIGSYS), in tests and in
 * production alike. */
#ifndef IO_SANDBOX_H
#define IO_SANDBOX_H

#include "common/attrs.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What a role adds to the base (memory, read/write/send/recv on what it holds, epoll, clocks,
 * exit). */
enum sandbox_power {
    SANDBOX_ACCEPT = 1 << 0,    /* on inherited listeners: accept4, names and options of sockets */
    SANDBOX_CONNECT = 1 << 1,   /* TCP: socket, connect, bind, names and options of sockets */
    SANDBOX_DATAGRAM = 1 << 2,  /* the same for UDP, and sendto */
    SANDBOX_FILES = 1 << 3,     /* open, create, rename, link, remove, list, sync, lock */
    SANDBOX_THREADS = 1 << 4,   /* start threads; not processes */
    SANDBOX_SUPERVISE = 1 << 5, /* master: fork, exec, wait, kill, setuid, bind, listen, socket */
    SANDBOX_PEERCRED = 1 << 6,  /* getsockopt(SO_PEERCRED) */
    SANDBOX_UNIX = 1 << 8,      /* connect to UNIX sockets */
    SANDBOX_READ = 1 << 7,      /* open files that are there, where Landlock lets it */
    SANDBOX_PATHS = 1 << 8,     /* with CONNECT: UNIX sockets too */
};

struct sandbox {
    const char *role;
    unsigned powers;
    uid_t uid;
    gid_t gid;               /* dropped to when started as root; ignored otherwise */
    const char *writable[4]; /* Landlock: folders for reading and writing, NULL-terminated */
    const char *readable[4]; /* Landlock: folders or files for reading only */
    uint64_t files_max;      /* RLIMIT_NOFILE; 0: leave */
};

/* Sets limits, drops groups and ids (when root, and uid is not), sets no_new_privs, no dumping,
 * Landlock, seccomp, in this order: 0, or a negative errno and words. RLIMIT_NOFILE becomes as much
 * of files_max as this process may have. With SANDBOX_SUPERVISE and no folders there is no
 * Landlock, and seccomp allows what any other role may do: children inherit both. A kernel without
 * Landlock costs that layer alone: it is logged as a warning ("landlock_unavailable"), and the rest
 * holds. */
int sandbox_enter(const struct sandbox *s, struct error *err) MUST_USE;

#endif
