/* How long `tern queue list --json` takes with many messages in the queue: of all, of one
 * recipient's domain, and of a state; what the queue and the tool take meanwhile, and how long
 * others wait for the queue.
 *
 *   bench_list TERN SPOOL [messages [body bytes]]
 *
 * TERN is the tool, as in build/tools/tern. The spool is filled as bench_start fills it. A table
 * for people, and a line of JSON for each list. */
#include "common/buf.h"
#include "queue/control.h"
#include "queue/queue.h"
#include "tests/bench/bench.h"
#include "tests/unit/config_text.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TICK_MS = 1, TICKS_A_LOOK = 50 };

/* Of the process of the queue, in memory that it shares. */
struct facts {
    uint64_t restored;
    uint64_t latest_ms; /* how late a timer was at most; the parent clears it */
    uint64_t cpu_ms, memory_kib, peak_kib;
};

struct listing {
    uint64_t rows, bytes, ms, queue_cpu_ms, tool_cpu_ms, tool_kib;
};

struct watchman {
    struct timer timer;
    struct queue *queue;
    struct facts *facts;
    uint64_t due_ms;
    unsigned ticks;
};

/* ---- the queue ---- */

static void on_tick(struct timer *t)
{
    struct watchman *w = container_of(t, struct watchman, timer);
    uint64_t now_ms = bench_now_ms();

    w->facts->latest_ms = MAX(w->facts->latest_ms, now_ms - MIN(now_ms, w->due_ms));
    w->facts->cpu_ms = bench_cpu_ms();
    if (w->ticks++ % TICKS_A_LOOK == 0) {
        w->facts->memory_kib = bench_memory_kib("VmRSS");
        w->facts->peak_kib = bench_memory_kib("VmHWM");
    }
    w->facts->restored = w->queue->restored;
    w->due_ms = now_ms + TICK_MS;
    loop_start_timer(w->queue->loop, t, TICK_MS);
}

static int listen_at(const char *path)
{
    struct sockaddr_un where = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    snprintf(where.sun_path, sizeof(where.sun_path), "%s", path);
    unlink(path);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&where, sizeof(where)) < 0 || listen(fd, 5) < 0)
        bench_fail("the socket cannot be made");
    return fd;
}

static void run_queue(const char *path, const char *text, const char *socket_path,
                      struct facts *facts)
{
    static char room[65536];
    static struct settings settings;
    static struct queue queue;
    const char *files[] = { "bench.yaml", text, NULL };
    struct watchman w = { .timer = { .fire = on_tick }, .queue = &queue, .facts = facts };
    struct config *config = config_from(room, sizeof(room), files);
    struct error err = { "" };
    struct loop loop;

    settings_read(&settings, config);
    if (config_error_count(config) > 0 || loop_init(&loop) < 0 ||
        queue_open(&queue, &loop, &settings, path, &err) < 0 || queue_start(&queue, &err) < 0)
        bench_fail(err.text);
    queue.control = control_new(&queue);
    control_listen(queue.control, listen_at(socket_path));
    w.due_ms = bench_now_ms();
    on_tick(&w.timer);
    while (loop_turn(&loop, 1000) == 0)
        continue;
    bench_fail("the loop ended");
}

/* ---- the tool ---- */

static void count_rows(int fd, struct listing *l)
{
    static char room[1 << 20];
    ssize_t n;

    while ((n = read(fd, room, sizeof(room))) > 0) {
        l->bytes += (uint64_t)n;
        for (const char *at = room; (at = memchr(at, '\n', (size_t)(room + n - at))) != NULL; at++)
            l->rows++;
    }
}

static struct listing list(const char *tern, const char *config, const char *option,
                           const char *value, struct facts *facts)
{
    struct listing l = { 0 };
    uint64_t began = bench_now_ms(), queue_cpu = facts->cpu_ms;
    struct rusage used;
    int fds[2], status;
    pid_t child;

    facts->latest_ms = 0;
    if (pipe(fds) < 0)
        bench_fail("no pipe");
    child = fork();
    if (child == 0) {
        dup2(fds[1], STDOUT_FILENO);
        close(fds[0]);
        execl(tern, tern, "--config", config, "queue", "list", "--json", option, value, (char *)0);
        _exit(127);
    }
    close(fds[1]);
    count_rows(fds[0], &l);
    close(fds[0]);
    if (child < 0 || wait4(child, &status, 0, &used) < 0 || status != 0)
        bench_fail("the tool failed");
    l.ms = bench_now_ms() - began;
    usleep(5000); /* the queue's figures follow */
    l.queue_cpu_ms = facts->cpu_ms - queue_cpu;
    l.tool_cpu_ms = (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
                    (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000;
    l.tool_kib = (uint64_t)used.ru_maxrss;
    return l;
}

static void print(const char *what, const struct listing *l, const struct facts *f)
{
    printf("%-9s %8llu rows %8.1f MiB in %6llu ms (CPU: queue %llu ms, tool %llu ms), others wait "
           "%llu ms at most; memory: queue %.1f MiB (at most %.1f MiB), tool %.1f MiB\n",
           what, (unsigned long long)l->rows, (double)l->bytes / (1 << 20),
           (unsigned long long)l->ms, (unsigned long long)l->queue_cpu_ms,
           (unsigned long long)l->tool_cpu_ms, (unsigned long long)f->latest_ms,
           (double)f->memory_kib / 1024, (double)f->peak_kib / 1024, (double)l->tool_kib / 1024);
    printf("{\"v\":1,\"bench\":\"list\",\"what\":\"%s\",\"rows\":%llu,\"bytes\":%llu,\"ms\":%llu,"
           "\"queue_cpu_ms\":%llu,\"tool_cpu_ms\":%llu,\"wait_ms\":%llu,\"queue_bytes\":%llu,"
           "\"queue_peak_bytes\":%llu,\"tool_peak_bytes\":%llu}\n",
           what, (unsigned long long)l->rows, (unsigned long long)l->bytes,
           (unsigned long long)l->ms, (unsigned long long)l->queue_cpu_ms,
           (unsigned long long)l->tool_cpu_ms, (unsigned long long)f->latest_ms,
           (unsigned long long)f->memory_kib * 1024, (unsigned long long)f->peak_kib * 1024,
           (unsigned long long)l->tool_kib * 1024);
    fflush(stdout);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    if (f == NULL || fputs(text, f) == EOF || fclose(f) == EOF)
        bench_fail("the settings cannot be written");
}

int main(int argc, char **argv)
{
    /* clang-format off */
    static const struct { const char *name, *option, *value; } lists[] = {
        { "all",       NULL,       NULL },
        { "domain",    "--domain", "domain-7.example.net" },
        { "state",     "--state",  "held" },
    };
    /* clang-format on */
    struct facts *facts =
        mmap(NULL, sizeof(*facts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char config[512], socket_path[100], text[1024];
    pid_t child;

    if (argc < 3 || facts == MAP_FAILED) {
        fprintf(stderr, "usage: %s TERN SPOOL [messages [body bytes]]\n", argv[0]);
        return 64;
    }
    bench_tell_disk(argv[2]);
    bench_fill(argv[2], bench_argument(argv, argc, 3, 1000000),
               bench_argument(argv, argc, 4, 4096));
    snprintf(config, sizeof(config), "%.400s.yaml", argv[2]);
    snprintf(socket_path, sizeof(socket_path), "%.80s.control", argv[2]);
    snprintf(text, sizeof(text),
             "hostname: mx.example.org\nlog: {level: error}\ncontrol: %s\nspool: {path: %.400s}\n",
             socket_path, argv[2]);
    write_file(config, text);
    child = fork();
    if (child == 0)
        run_queue(argv[2], text, socket_path, facts);
    while (child > 0 && facts->restored == 0) {
        usleep(10000);
        if (waitpid(child, NULL, WNOHANG) != 0)
            return EXIT_FAILURE;
    }
    sleep(2); /* it listens once all is restored */
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        struct listing l = list(argv[1], config, lists[i].option, lists[i].value, facts);

        print(lists[i].name, &l, facts);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    unlink(config);
    unlink(socket_path);
    return EXIT_SUCCESS;
}
