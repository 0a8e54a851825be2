#include "tokens/command.h"

#include "io/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    COMPLAINT_MAX = 200, /* bytes of what it says on standard error that are of interest */
    EXIT_NO_COMMAND = 127,
    PIPE_BYTES = 65536, /* that a pipe holds; pipe(7) */
};

enum { OUTPUT, COMPLAINT, PROCESS, SOURCES };

struct running {
    pid_t pid;
    struct pollfd sources[SOURCES];
    struct buf *texts[PROCESS]; /* of OUTPUT and COMPLAINT */
    bool too_much;
};

static NORETURN void become(char **argv, int output, int complaint)
{
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const char *why;

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    if (nothing >= 0 && dup2(nothing, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0 &&
        dup2(complaint, STDERR_FILENO) >= 0) {
        close_range(STDERR_FILENO + 1, ~0U, 0);
        execv(argv[0], argv);
    }
    why = strerror(errno);
    (void)!write(STDERR_FILENO, why, strlen(why));
    _exit(EXIT_NO_COMMAND);
}

static bool split(struct view words, char *argv[ROUTE_COMMAND_WORDS_MAX + 1])
{
    size_t count = 0;

    while (words.len > 0 && count < ROUTE_COMMAND_WORDS_MAX) {
        argv[count++] = (char *)(uintptr_t)words.ptr;
        words = view_from(words, view_find(words, '\0') + 1);
    }
    argv[count] = NULL;
    return count > 0 && words.len == 0;
}

static int make_pipe(int fds[2])
{
    return pipe2(fds, O_CLOEXEC) < 0 || fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int start(struct running *r, char **argv)
{
    int output[2], complaint[2];
    int err = make_pipe(output);

    if (err < 0)
        return err;
    err = make_pipe(complaint);
    if (err < 0) {
        close(output[0]);
        close(output[1]);
        return err;
    }
    command_adopt_orphans();
    r->pid = fork();
    if (r->pid == 0)
        become(argv, output[1], complaint[1]);
    err = r->pid < 0 ? -errno : 0;
    close(output[1]);
    close(complaint[1]);
    r->sources[OUTPUT] = (struct pollfd){ output[0], POLLIN, 0 };
    r->sources[COMPLAINT] = (struct pollfd){ complaint[0], POLLIN, 0 };
    if (err == 0)
        setpgid(r->pid, r->pid);
    r->sources[PROCESS] =
        (struct pollfd){ err == 0 ? (int)syscall(SYS_pidfd_open, r->pid, 0) : -1, POLLIN, 0 };
    return err;
}

static void close_source(struct running *r, int i)
{
    if (r->sources[i].fd >= 0)
        close(r->sources[i].fd);
    r->sources[i].fd = -1; /* poll passes over it */
}

/* What is there, as far as a pipe holds it: one that is filled without end is left to the deadline.
 * Of a complaint only the beginning is kept. */
static void take(struct running *r, int i)
{
    char spare[4096];
    size_t taken = 0;
    ssize_t n;

    do {
        size_t room;
        char *tail = buf_tail(r->texts[i], &room);
        bool full = room == 0;

        n = read(r->sources[i].fd, full ? spare : tail, full ? sizeof(spare) : room);
        if (n > 0 && !full)
            buf_extend(r->texts[i], (size_t)n);
        r->too_much = r->too_much || (n > 0 && full && i == OUTPUT);
        taken += n > 0 ? (size_t)n : 0;
    } while (n > 0 && !r->too_much && taken < PIPE_BYTES);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        close_source(r, i);
}

/* Until the process has ended: what it leaves behind may keep its pipes open. */
static int listen_to(struct running *r, uint64_t patience_ms)
{
    uint64_t end_ms = clock_monotonic_ms() + patience_ms;
    bool ended = false;

    while (!ended) {
        uint64_t now_ms = clock_monotonic_ms();

        if (now_ms >= end_ms)
            return -ETIMEDOUT;
        if (poll(r->sources, SOURCES, (int)MIN(end_ms - now_ms, (uint64_t)INT32_MAX)) < 0 &&
            errno != EINTR)
            return -errno;
        ended = r->sources[PROCESS].revents != 0;
        for (int i = 0; i < PROCESS; i++) {
            if (r->sources[i].fd >= 0)
                take(r, i);
        }
        if (r->too_much)
            return -EFBIG;
    }
    return 0;
}

void command_adopt_orphans(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
}

/* Returns how many there are. None of them is another process by now: nobody has buried it. */
static unsigned kill_children(void)
{
    char path[64], room[4096];
    unsigned count = 0;
    uint64_t pid;
    int fd;
    ssize_t n;

    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0; /* no /proc: what has left the command's group stays */
    n = read(fd, room, sizeof(room));
    close(fd);
    for (struct view list = view_make(room, n > 0 ? (size_t)n : 0); view_has(list, ' ');) {
        if (view_to_u64(view_take_until(&list, ' '), INT32_MAX, &pid) && pid > 1 &&
            kill((pid_t)pid, SIGKILL) == 0)
            count++;
    }
    return count;
}

/* The children of those that are killed come next. */
void command_end_descendants(void)
{
    while (kill_children() > 0 && waitpid(-1, NULL, 0) > 0) {
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
}

/* With all that it started, in whatever group or session that is by now. */
static int stop(struct running *r)
{
    int status = 0;

    kill(-r->pid, SIGKILL);
    kill(r->pid, SIGKILL);
    while (waitpid(r->pid, &status, 0) < 0 && errno == EINTR)
        ;
    command_end_descendants();
    for (int i = 0; i < SOURCES; i++)
        close_source(r, i);
    return status;
}

static int tell(struct error *err, const char *what, int number, struct view complaint)
{
    struct view line = view_sub(complaint, 0, view_find(complaint, '\n'));

    return error_set(err, -EPROTO, "%s %d%s%.*s", what, number, line.len > 0 ? ": " : "",
                     VIEW_ARG(line));
}

static int judge(int result, int status, uint64_t patience_ms, struct view complaint,
                 struct error *err)
{
    if (result == -ETIMEDOUT)
        return error_set(err, result, "it has not ended within %llu ms",
                         (unsigned long long)patience_ms);
    if (result == -EFBIG)
        return error_set(err, result, "it printed more than %d bytes", COMMAND_OUTPUT_MAX);
    if (result < 0)
        return error_set(err, result, "%s", strerror(-result));
    if (WIFSIGNALED(status))
        return tell(err, "it was ended by signal", WTERMSIG(status), complaint);
    if (WEXITSTATUS(status) != 0)
        return tell(err, "it ended with status", WEXITSTATUS(status), complaint);
    return 0;
}

int command_run(struct view words, uint64_t patience_ms, struct buf *output, struct error *err)
{
    char *argv[ROUTE_COMMAND_WORDS_MAX + 1];
    char room[COMPLAINT_MAX];
    struct buf complaint = BUF_ON_ARRAY(room);
    struct running r = { .sources = { { .fd = -1 }, { .fd = -1 }, { .fd = -1 } },
                         .texts = { output, &complaint } };
    int result, status;

    buf_clear(output);
    if (!split(words, argv))
        return error_set(err, -E2BIG, "it has more than %d words", ROUTE_COMMAND_WORDS_MAX);
    result = start(&r, argv);
    if (result < 0) {
        for (int i = 0; i < SOURCES; i++)
            close_source(&r, i);
        return error_set(err, result, "no process: %s", strerror(-result));
    }
    if (r.sources[PROCESS].fd < 0)
        result = -ENOSYS;
    else
        result = listen_to(&r, patience_ms);
    status = stop(&r);
    return judge(result, status, patience_ms, buf_view(&complaint), err);
}
