/* How long a start takes with many messages in the queue, what the process takes then, and what the
 * spool takes on disk.
 *
 *   bench_start SPOOL [messages [body bytes]]
 *
 * Fills a new spool with messages that wait for their second attempt, each to a recipient of its
 * own, at one of 10,000 domains; then starts the queue in a new process, with cold caches if it may
 * (as root), and once more with warm ones. Run again, it takes the spool as it is. A table for
 * people, and a line of JSON. */
#include "queue/queue.h"
#include "tests/bench/bench.h"
#include "tests/unit/config_text.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct start {
    uint64_t open_ms;     /* where the log ends is known: mail is accepted */
    uint64_t schedule_ms; /* every message has its time */
    uint64_t cpu_ms;      /* until then */
    uint64_t longest_us;  /* turn of the loop meanwhile, */
    uint64_t busiest_us;  /* and what the processor had to do in one */
    uint64_t messages, memory_kib, peak_kib;
};

/* ---- starting ---- */

static uint64_t now_us(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static struct start start_here(const char *path)
{
    static char room[65536];
    static struct settings settings;
    static struct queue queue;
    const char *files[] = { "bench.yaml", "hostname: mx.example.org\nlog: {level: error}\n", NULL };
    struct start s = { 0 };
    struct error err = { "" };
    struct config *config = config_from(room, sizeof(room), files);
    struct loop loop;
    uint64_t began = bench_now_ms(), cpu = bench_cpu_ms();

    settings_read(&settings, config);
    if (config_error_count(config) > 0)
        bench_fail("the settings are wrong");
    if (loop_init(&loop) < 0 || queue_open(&queue, &loop, &settings, path, &err) < 0)
        bench_fail(err.text);
    if (queue_start(&queue, &err) < 0)
        bench_fail(err.text);
    s.open_ms = bench_now_ms() - began;
    while (!queue.restored) {
        uint64_t turn = now_us(CLOCK_MONOTONIC), work = now_us(CLOCK_THREAD_CPUTIME_ID);

        if (loop_turn(&loop, 0) < 0)
            bench_fail("the loop ended");
        s.longest_us = MAX(s.longest_us, now_us(CLOCK_MONOTONIC) - turn);
        s.busiest_us = MAX(s.busiest_us, now_us(CLOCK_THREAD_CPUTIME_ID) - work);
    }
    s.schedule_ms = bench_now_ms() - began;
    s.cpu_ms = bench_cpu_ms() - cpu;
    s.messages = queue.index.mails.count;
    s.memory_kib = bench_memory_kib("VmRSS");
    s.peak_kib = bench_memory_kib("VmHWM");
    return s;
}

/* In a process of its own, which ends at once. */
static struct start start_elsewhere(const char *path)
{
    struct start s;
    int fds[2], status;
    pid_t child;

    if (pipe(fds) < 0)
        bench_fail("no pipe");
    child = fork();
    if (child < 0)
        bench_fail("no process");
    if (child == 0) {
        s = start_here(path);
        _exit(write(fds[1], &s, sizeof(s)) == sizeof(s) ? 0 : 1);
    }
    close(fds[1]);
    if (read(fds[0], &s, sizeof(s)) != sizeof(s) || waitpid(child, &status, 0) < 0 || status != 0)
        bench_fail("the start failed");
    close(fds[0]);
    return s;
}

static bool drop_caches(void)
{
    int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
    bool done;

    sync();
    done = fd >= 0 && write(fd, "3\n", 2) == 2;
    if (fd >= 0)
        close(fd);
    return done;
}

static uint64_t bytes_in(const char *path, const char *suffix)
{
    char name[1024];
    uint64_t sum = 0;
    DIR *dir;
    const struct dirent *e;
    struct stat facts;

    snprintf(name, sizeof(name), "%.500s/log", path);
    dir = opendir(name);
    while (dir != NULL && (e = readdir(dir)) != NULL) {
        snprintf(name, sizeof(name), "%.500s/log/%s", path, e->d_name);
        if (view_ends_nocase(view_of(e->d_name), view_of(suffix)) && stat(name, &facts) == 0)
            sum += (uint64_t)facts.st_blocks * 512;
    }
    if (dir != NULL)
        closedir(dir);
    return sum;
}

static void print(const char *how, const struct start *s)
{
    printf("%-5s  accepts after %5llu ms, schedule complete after %5llu ms (CPU %llu ms), "
           "longest turn %.1f ms (CPU %.1f ms), memory %.1f MiB (at most %.1f MiB)\n",
           how, (unsigned long long)s->open_ms, (unsigned long long)s->schedule_ms,
           (unsigned long long)s->cpu_ms, (double)s->longest_us / 1000,
           (double)s->busiest_us / 1000, (double)s->memory_kib / 1024, (double)s->peak_kib / 1024);
}

static void print_json(const char *how, const struct start *s, uint64_t segments, uint64_t indexes)
{
    printf("{\"v\":1,\"bench\":\"start\",\"caches\":\"%s\",\"messages\":%llu,\"accepts_ms\":%llu,"
           "\"schedule_ms\":%llu,\"cpu_ms\":%llu,\"longest_turn_us\":%llu,\"longest_turn_cpu_us\":%"
           "llu,\"memory_bytes\":%llu,"
           "\"peak_bytes\":%llu,"
           "\"segment_bytes\":%llu,"
           "\"index_bytes\":%llu}\n",
           how, (unsigned long long)s->messages, (unsigned long long)s->open_ms,
           (unsigned long long)s->schedule_ms, (unsigned long long)s->cpu_ms,
           (unsigned long long)s->longest_us, (unsigned long long)s->busiest_us,
           (unsigned long long)s->memory_kib * 1024, (unsigned long long)s->peak_kib * 1024,
           (unsigned long long)segments, (unsigned long long)indexes);
}

int main(int argc, char **argv)
{
    uint64_t messages = bench_argument(argv, argc, 2, 1000000), segments, indexes;
    const char *how;
    struct start s;

    if (argc < 2) {
        fprintf(stderr, "usage: %s SPOOL [messages [body bytes]]\n", argv[0]);
        return 64;
    }
    bench_tell_disk(argv[1]);
    bench_fill(argv[1], messages, bench_argument(argv, argc, 3, 4096));
    s = start_elsewhere(argv[1]);
    print("first", &s);
    print_json("first", &s, bytes_in(argv[1], ".seg"), bytes_in(argv[1], ".idx"));
    how = drop_caches() ? "cold" : "warm";
    s = start_elsewhere(argv[1]);
    segments = bytes_in(argv[1], ".seg");
    indexes = bytes_in(argv[1], ".idx");
    print(how, &s);
    print_json(how, &s, segments, indexes);
    printf("%llu messages; on disk: segments %.1f MiB, index files %.1f MiB\n",
           (unsigned long long)s.messages, (double)segments / (1 << 20),
           (double)indexes / (1 << 20));
    return 0;
}
