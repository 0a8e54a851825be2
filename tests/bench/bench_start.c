/* How long a start takes with many messages in the queue, what the process takes then, and what the
 * spool takes on disk.
 *
 *   bench_start SPOOL [messages [body bytes]]
 *
 * Fills a new spool with messages that wait for their second attempt, each to a recipient of its
 * own, at one of 10,000 domains; then starts the queue in a new process, with cold caches if it may
 * (as root), and once more with warm ones. Run again, it takes the spool as it is. A table for
 * people, and a line of JSON. */
#include "common/crc32c.h"
#include "common/memory.h"
#include "queue/queue.h"
#include "tests/unit/config_text.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    AT_ONCE = 500,
    DOMAINS = 10000,
    HOUR_MS = 3600000,
};

struct start {
    uint64_t open_ms;     /* where the log ends is known: mail is accepted */
    uint64_t schedule_ms; /* every message has its time */
    uint64_t cpu_ms;      /* until then */
    uint64_t messages, memory_kib, peak_kib;
};

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void fail(const char *what)
{
    fprintf(stderr, "bench_start: %s\n", what);
    exit(1);
}

/* ---- filling ---- */

struct filler {
    struct loop loop;
    struct store *store;
    struct store_replay replay;
    struct store_watcher watcher;
    struct store_commit commits[AT_ONCE];
    char envelopes[AT_ONCE][256];
    unsigned waiting;
    uint64_t told, number, now_ms;
};

static void tell_message(struct store_replay *r, uint64_t id, struct store_ref where,
                         struct view envelope, uint64_t body_bytes)
{
    (void)id, (void)where, (void)envelope, (void)body_bytes;
    container_of(r, struct filler, replay)->told++;
}

static void tell_outcome(struct store_replay *r, const struct store_outcome *o,
                         struct store_ref where)
{
    (void)r, (void)o, (void)where;
}

static void tell_change(struct store_replay *r, const struct store_change *c)
{
    (void)r, (void)c;
}

static void tell_state(struct store_watcher *w, enum spool_trouble trouble, uint64_t room_bytes)
{
    (void)w, (void)trouble, (void)room_bytes;
}

static struct filler *filling;

static void on_done(struct store_commit *c, enum spool_trouble trouble)
{
    static const uint32_t first = 0;
    struct store_outcome o = { .message = c->id,
                               .rcpts = &first,
                               .rcpt_count = 1,
                               .state = STORE_DEFERRED,
                               .attempts = 1,
                               .next_ms = filling->now_ms + HOUR_MS,
                               .at_ms = filling->now_ms,
                               .text = VIEW("class=deferred\nscope=destination\n"
                                            "text=connection timed out\n") };

    if (trouble != SPOOL_FINE)
        fail("the spool takes no more");
    store_settle(filling->store, &o, NULL);
    filling->waiting--;
}

static void accept_some(struct filler *f, uint64_t messages, struct view body, uint32_t crc)
{
    for (unsigned i = 0; i < AT_ONCE && f->number < messages; i++, f->number++) {
        int len = snprintf(f->envelopes[i], sizeof(f->envelopes[i]),
                           "from=sender@example.org\nrcpt=recipient-%llu@domain-%llu.example.net\n"
                           "arrival=%llu\nclient=192.0.2.1\nhelo=client.example.org\n",
                           (unsigned long long)f->number,
                           (unsigned long long)(f->number * 7919 % DOMAINS),
                           (unsigned long long)f->now_ms);

        f->commits[i] = (struct store_commit){ .envelope = { f->envelopes[i], (size_t)len },
                                               .body = body,
                                               .big_fd = -1,
                                               .body_bytes = body.len,
                                               .body_crc = crc,
                                               .done = on_done };
        f->waiting++;
        store_accept(f->store, &f->commits[i]);
    }
    while (f->waiting > 0) {
        store_flush(f->store);
        if (loop_turn(&f->loop, 1000) < 0)
            fail("the loop ended");
    }
}

/* What was left unindexed is indexed by the first start. */
static void fill(const char *path, uint64_t messages, uint64_t bytes)
{
    static struct filler f = { .replay = { tell_message, tell_outcome, tell_change },
                               .watcher = { .state = tell_state } };
    const struct store_options o = { .path = path,
                                     .segment_bytes = 64 << 20,
                                     .big_body_bytes = 256 << 10,
                                     .reserve_bytes = 64 << 20 };
    struct error err = { "" };
    char *body = memory_new(bytes + 1);
    struct timespec t;

    memset(body, 'x', bytes);
    clock_gettime(CLOCK_REALTIME, &t);
    f.now_ms = (uint64_t)t.tv_sec * 1000;
    filling = &f;
    if (loop_init(&f.loop) < 0 ||
        store_open(&f.store, &o, &f.loop, &f.replay, &f.watcher, &err) < 0 ||
        store_start(f.store, &err) < 0)
        fail(err.text);
    while (store_replay(f.store, UINT32_MAX))
        continue;
    for (f.number = f.told; f.number < messages;)
        accept_some(&f, messages, view_make(body, bytes), crc32c(0, view_make(body, bytes)));
    store_close(&f.store);
    free(body);
}

/* ---- starting ---- */

static uint64_t memory_kib(const char *name)
{
    char line[128];
    unsigned long long kib = 0;
    FILE *status = fopen("/proc/self/status", "r");

    while (status != NULL && fgets(line, sizeof(line), status) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0)
            sscanf(line + strlen(name), ": %llu", &kib);
    }
    if (status != NULL)
        fclose(status);
    return kib;
}

static uint64_t cpu_ms(void)
{
    struct rusage r;

    getrusage(RUSAGE_SELF, &r);
    return (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000 +
           (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1000;
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
    uint64_t began = now_ms(), cpu = cpu_ms();

    settings_read(&settings, config);
    if (config_error_count(config) > 0)
        fail("the settings are wrong");
    if (loop_init(&loop) < 0 || queue_open(&queue, &loop, &settings, path, &err) < 0)
        fail(err.text);
    if (queue_start(&queue, &err) < 0)
        fail(err.text);
    s.open_ms = now_ms() - began;
    while (!queue.restored) {
        if (loop_turn(&loop, 0) < 0)
            fail("the loop ended");
    }
    s.schedule_ms = now_ms() - began;
    s.cpu_ms = cpu_ms() - cpu;
    s.messages = queue.index.mails.count;
    s.memory_kib = memory_kib("VmRSS");
    s.peak_kib = memory_kib("VmHWM");
    return s;
}

/* In a process of its own, which ends at once. */
static struct start start_elsewhere(const char *path)
{
    struct start s;
    int fds[2], status;
    pid_t child;

    if (pipe(fds) < 0)
        fail("no pipe");
    child = fork();
    if (child < 0)
        fail("no process");
    if (child == 0) {
        s = start_here(path);
        _exit(write(fds[1], &s, sizeof(s)) == sizeof(s) ? 0 : 1);
    }
    close(fds[1]);
    if (read(fds[0], &s, sizeof(s)) != sizeof(s) || waitpid(child, &status, 0) < 0 || status != 0)
        fail("the start failed");
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
           "memory %.1f MiB (at most %.1f MiB)\n",
           how, (unsigned long long)s->open_ms, (unsigned long long)s->schedule_ms,
           (unsigned long long)s->cpu_ms, (double)s->memory_kib / 1024, (double)s->peak_kib / 1024);
}

static void print_json(const char *how, const struct start *s, uint64_t segments, uint64_t indexes)
{
    printf("{\"v\":1,\"bench\":\"start\",\"caches\":\"%s\",\"messages\":%llu,\"accepts_ms\":%llu,"
           "\"schedule_ms\":%llu,\"cpu_ms\":%llu,\"memory_bytes\":%llu,\"peak_bytes\":%llu,"
           "\"segment_bytes\":%llu,"
           "\"index_bytes\":%llu}\n",
           how, (unsigned long long)s->messages, (unsigned long long)s->open_ms,
           (unsigned long long)s->schedule_ms, (unsigned long long)s->cpu_ms,
           (unsigned long long)s->memory_kib * 1024, (unsigned long long)s->peak_kib * 1024,
           (unsigned long long)segments, (unsigned long long)indexes);
}

static uint64_t argument(char **argv, int argc, int i, uint64_t otherwise)
{
    uint64_t n;

    return i < argc && view_to_u64(view_of(argv[i]), 1ull << 40, &n) ? n : otherwise;
}

int main(int argc, char **argv)
{
    uint64_t messages = argument(argv, argc, 2, 1000000), segments, indexes;
    const char *how;
    struct start s;

    if (argc < 2) {
        fprintf(stderr, "usage: %s SPOOL [messages [body bytes]]\n", argv[0]);
        return 64;
    }
    fill(argv[1], messages, argument(argv, argc, 3, 4096));
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
