#include "io/sandbox.h"

#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ENTRY_FAILED = 99 };

static char folder[] = "/tmp/test_sandbox.XXXXXX"; /* Landlock may allow it */
static char mine[64], other[64];                   /* files inside and outside of it */

static int result_of(long result)
{
    return result < 0 ? errno : 0;
}

/* What a process does: 0 or a positive errno. */

static int work_in_memory(void)
{
    enum { COUNT = 100000 };
    int *numbers = calloc(COUNT, sizeof(*numbers));
    char *much = malloc(64 << 20);
    struct stat st;
    int err = numbers == NULL || much == NULL || fstat(0, &st) < 0 ? errno : 0;

    free(numbers);
    free(much);
    return err;
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(int));
}

static int sort_much(void)
{
    enum { COUNT = 100000 };
    int *numbers = calloc(COUNT, sizeof(*numbers));

    if (numbers == NULL)
        return errno;
    qsort(numbers, COUNT, sizeof(*numbers), compare);
    free(numbers);
    return 0;
}

static int wait_for_events(void)
{
    struct epoll_event event;
    int fd = epoll_create1(EPOLL_CLOEXEC);

    return fd < 0 ? errno : result_of(epoll_wait(fd, &event, 1, 1));
}

static int execute(void)
{
    char *const words[] = { (char[]){ "true" }, NULL };

    execve("/bin/true", words, NULL);
    return errno;
}

static int fork_and_execute(void)
{
    int status;
    pid_t pid = fork();

    if (pid < 0)
        return errno;
    if (pid == 0)
        _exit(execute());
    if (waitpid(pid, &status, 0) < 0)
        return errno;
    return status;
}

static int make_executable(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? errno : 0;
}

static int open_socket_tcp(void)
{
    return result_of(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

static int open_socket_tcp6(void)
{
    return result_of(socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

static int open_socket_udp(void)
{
    return result_of(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

static int open_socket_unix(void)
{
    return result_of(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int open_socket_raw(void)
{
    return result_of(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, 0));
}

static int listen_on(void)
{
    return result_of(listen(0, 1));
}

static int accept_on(void)
{
    int err = result_of(accept4(0, NULL, NULL, SOCK_CLOEXEC));

    return err == ENOTSOCK ? 0 : err;
}

static int write_mine(void)
{
    return result_of(open(mine, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
}

static int read_mine(void)
{
    return result_of(open(mine, O_RDONLY | O_CLOEXEC));
}

static int read_other(void)
{
    return result_of(open(other, O_RDONLY | O_CLOEXEC));
}

/* As a Maildir does: from one folder into another. */
static int move_mine(void)
{
    char from[80], to[80];

    snprintf(from, sizeof(from), "%s/from", folder);
    snprintf(to, sizeof(to), "%s/to", folder);
    if (mkdir(from, 0700) < 0 || mkdir(to, 0700) < 0)
        return errno;
    snprintf(from, sizeof(from), "%s/from/file", folder);
    snprintf(to, sizeof(to), "%s/to/file", folder);
    if (close(open(from, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) < 0 || link(from, to) < 0 ||
        rename(from, to) < 0 || unlink(from) < 0 || unlink(to) < 0)
        return errno;
    snprintf(from, sizeof(from), "%s/from", folder);
    snprintf(to, sizeof(to), "%s/to", folder);
    return rmdir(from) < 0 || rmdir(to) < 0 ? errno : 0;
}

static void *in_thread(void *what)
{
    free(malloc(1000));
    return what;
}

static int start_thread(void)
{
    pthread_t thread;
    int err = pthread_create(&thread, NULL, in_thread, NULL);

    return err != 0 ? err : pthread_join(thread, NULL);
}

static int start_process(void)
{
    return result_of(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL));
}

static int trace(void)
{
    return result_of(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int signal_parent(void)
{
    return result_of(kill(getppid(), 0));
}

static int assert_wrongly(void)
{
    abort();
}

static int ask_for_peer(void)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    int err = result_of(getsockopt(0, SOL_SOCKET, SO_PEERCRED, &peer, &len));

    return err == ENOTSOCK ? 0 : err;
}

static int ask_for_error(void)
{
    int value;
    socklen_t len = sizeof(value);

    return result_of(getsockopt(0, SOL_SOCKET, SO_ERROR, &value, &len));
}

static int enter_another(void)
{
    struct sandbox inner = { .role = "inner", .powers = SANDBOX_THREADS | SANDBOX_FILES };
    struct error err;
    int result;

    inner.writable[0] = folder;
    result = sandbox_enter(&inner, &err);
    if (result < 0)
        return -result;
    result = start_thread();
    return result != 0 ? result : write_mine();
}

enum { KILLED = -1, ABORTED = -2 };

static const struct {
    const char *name;
    unsigned powers;
    int (*what)(void);
    int outcome;     /* KILLED, ABORTED, or what it returned */
    bool unsanitary; /* sanitizers need the call themselves */
} cases[] = {
    { "memory", 0, work_in_memory, 0, false },
    { "qsort asks how much memory there is", 0, sort_much, 0, false },
    { "epoll", 0, wait_for_events, 0, false },
    { "a failed assertion is seen", 0, assert_wrongly, ABORTED, false },
    { "execve", 0, execute, KILLED, false },
    { "fork", 0, fork_and_execute, KILLED, false },
    { "fork with threads", SANDBOX_THREADS, start_process, KILLED, false },
    { "executable memory", 0, make_executable, KILLED, true },
    { "ptrace", 0, trace, KILLED, false },
    { "kill", 0, signal_parent, KILLED, false },
    { "threads", 0, start_thread, KILLED, false },
    { "threads allowed", SANDBOX_THREADS, start_thread, 0, false },
    { "open", 0, read_other, KILLED, true },
    { "open beyond the folder", SANDBOX_FILES, read_other, EACCES, false },
    { "open in the folder", SANDBOX_FILES, write_mine, 0, false },
    { "move in the folder", SANDBOX_FILES, move_mine, 0, false },
    { "TCP", SANDBOX_FILES | SANDBOX_ACCEPT | SANDBOX_DATAGRAM, open_socket_tcp, KILLED, false },
    { "TCP allowed", SANDBOX_CONNECT, open_socket_tcp, 0, false },
    { "TCP over IPv6 allowed", SANDBOX_CONNECT, open_socket_tcp6, 0, false },
    { "UDP", SANDBOX_CONNECT, open_socket_udp, KILLED, false },
    { "UDP allowed", SANDBOX_DATAGRAM, open_socket_udp, 0, false },
    { "UNIX sockets", SANDBOX_CONNECT | SANDBOX_DATAGRAM, open_socket_unix, KILLED, false },
    { "raw sockets", SANDBOX_CONNECT | SANDBOX_DATAGRAM, open_socket_raw, KILLED, false },
    { "listen", SANDBOX_CONNECT | SANDBOX_ACCEPT, listen_on, KILLED, false },
    { "accept", SANDBOX_CONNECT, accept_on, KILLED, false },
    { "accept allowed", SANDBOX_ACCEPT, accept_on, 0, false },
    { "credentials", 0, ask_for_peer, KILLED, false },
    { "credentials allowed", SANDBOX_PEERCRED, ask_for_peer, 0, false },
    { "credentials only", SANDBOX_PEERCRED, ask_for_error, KILLED, false },
    { "master executes", SANDBOX_SUPERVISE, fork_and_execute, 0, false },
    { "master's child has its own", SANDBOX_SUPERVISE, enter_another, 0, false },
    { "master traces", SANDBOX_SUPERVISE, trace, KILLED, false },
};

static int enter_and_do(unsigned powers, int (*what)(void))
{
    struct sandbox s = { .role = "test", .powers = powers };
    struct error err = { "" };
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (dup2(null, 0) < 0)
        return ENTRY_FAILED;
    if (!(powers & SANDBOX_SUPERVISE))
        s.writable[0] = folder;
    if (sandbox_enter(&s, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return ENTRY_FAILED;
    }
    return what();
}

static int outcome_of(unsigned powers, int (*what)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        signal(SIGABRT, SIG_DFL); /* cmocka has its own */
        _exit(enter_and_do(powers, what));
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    if (WTERMSIG(status) == SIGSYS)
        return KILLED;
    return WTERMSIG(status) == SIGABRT ? ABORTED : -WTERMSIG(status);
}

static void profiles_hold(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int outcome;

#ifdef SANITIZED
        if (cases[i].unsanitary)
            continue;
#endif
        outcome = outcome_of(cases[i].powers, cases[i].what);
        if (outcome != cases[i].outcome)
            fail_msg("%s: %d, not %d", cases[i].name, outcome, cases[i].outcome);
    }
}

static int read_but_not_write(void)
{
    struct sandbox s = { .role = "test", .powers = SANDBOX_FILES };
    struct error err = { "" };

    s.readable[0] = mine;
    if (sandbox_enter(&s, &err) < 0)
        return ENTRY_FAILED;
    if (read_mine() != 0 || write_mine() != EACCES)
        return EIO;
    return 0;
}

static int ask_for_a_missing_folder(void)
{
    struct sandbox s = { .role = "test", .powers = SANDBOX_FILES };
    struct error err = { "" };

    s.readable[0] = "/nonexistent/folder";
    if (sandbox_enter(&s, &err) != -ENOENT)
        return EIO;
    return strstr(err.text, "/nonexistent/folder") == NULL ? EIO : 0;
}

static int become_nobody(void)
{
    struct sandbox s = { .role = "test", .uid = 65534, .gid = 65533 };
    struct error err = { "" };

    if (sandbox_enter(&s, &err) < 0)
        return ENTRY_FAILED;
    return getuid() == 65534 && geteuid() == 65534 && getgid() == 65533 ? 0 : EIO;
}

static void in_child(int (*what)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0)
        _exit(what());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void readable_is_not_writable(void **state)
{
    (void)state;
    in_child(read_but_not_write);
}

static void a_missing_folder_is_named(void **state)
{
    (void)state;
    in_child(ask_for_a_missing_folder);
}

static void root_becomes_the_role(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    in_child(become_nobody);
}

static int make_files(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(mine, sizeof(mine), "%s/mine", folder);
    snprintf(other, sizeof(other), "%s.other", folder);
    return close(open(mine, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) < 0 ||
                   close(open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0644)) < 0
               ? -1
               : 0;
}

static int remove_files(void **state)
{
    (void)state;
    return unlink(mine) < 0 || unlink(other) < 0 || rmdir(folder) < 0 ? -1 : 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(profiles_hold),
        cmocka_unit_test(readable_is_not_writable),
        cmocka_unit_test(a_missing_folder_is_named),
        cmocka_unit_test(root_becomes_the_role),
    };

    return cmocka_run_group_tests(tests, make_files, remove_files);
}
