#include "tests/bench/bench.h"

#include "common/crc32c.h"
#include "common/memory.h"
#include "queue/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum {
    AT_ONCE = 500,
    HOUR_MS = 3600000,
};

void bench_fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    exit(1);
}

uint64_t bench_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t bench_argument(char **argv, int argc, int i, uint64_t otherwise)
{
    uint64_t n;

    return i < argc && view_to_u64(view_of(argv[i]), 1ull << 40, &n) ? n : otherwise;
}

uint64_t bench_memory_kib(const char *name)
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

uint64_t bench_cpu_ms(void)
{
    struct rusage r;

    getrusage(RUSAGE_SELF, &r);
    return (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000 +
           (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1000;
}

/* ---- a spool with mail ---- */

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
        bench_fail("the spool takes no more");
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
                           (unsigned long long)(f->number * 7919 % BENCH_DOMAINS),
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
            bench_fail("the loop ended");
    }
}

void bench_fill(const char *path, uint64_t messages, uint64_t bytes)
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
        bench_fail(err.text);
    while (store_replay(f.store, UINT32_MAX))
        continue;
    for (f.number = f.told; f.number < messages;)
        accept_some(&f, messages, view_make(body, bytes), crc32c(0, view_make(body, bytes)));
    store_close(&f.store);
    free(body);
}
