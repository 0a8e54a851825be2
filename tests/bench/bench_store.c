/* How many messages a second the store makes durable: N producers, each of which commits its next
 * message when the last one is durable, and finishes it then.
 *
 *   bench_store SPOOL [producers [body bytes [seconds [keep]]]]
 *
 * With "keep", messages are not finished: the next start shows how fast so many are read back. */
#include "common/crc32c.h"
#include "common/memory.h"
#include "io/clock.h"
#include "queue/store.h"
#include "tests/bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum {
    LATENCIES = 1 << 20, /* kept for the percentiles */
};

struct producer {
    struct store_commit commit;
    struct bench *bench;
    uint64_t began_us;
    bool running;
};

struct bench {
    struct loop loop;
    struct store *store;
    struct hook hook;
    struct store_replay replay;
    struct store_watcher watcher;
    struct producer *producers;
    uint64_t count, ends_us, done, refused, told;
    bool keep;
    uint32_t *latencies;
    uint64_t latency_count;
};

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void produce(struct producer *p)
{
    p->began_us = now_us();
    p->running = p->began_us < p->bench->ends_us;
    if (p->running)
        store_accept(p->bench->store, &p->commit);
}

static void on_done(struct store_commit *c, enum spool_trouble trouble)
{
    struct producer *p = container_of(c, struct producer, commit);
    struct bench *b = p->bench;

    if (trouble == SPOOL_FINE) {
        b->latencies[b->latency_count++ % LATENCIES] = (uint32_t)(now_us() - p->began_us);
        b->done++;
        if (!b->keep)
            store_finish(b->store, c->id, c->where);
    } else {
        b->refused++;
    }
    produce(p);
}

static bool anybody_runs(const struct bench *b)
{
    for (uint64_t i = 0; i < b->count; i++) {
        if (b->producers[i].running)
            return true;
    }
    return false;
}

static void on_turn(struct hook *h)
{
    struct bench *b = container_of(h, struct bench, hook);

    store_flush(b->store);
    if (!anybody_runs(b))
        loop_stop(&b->loop);
}

static void on_message(struct store_replay *r, uint64_t id, struct store_ref where,
                       struct view envelope, uint64_t body_bytes)
{
    (void)id, (void)where, (void)envelope, (void)body_bytes;
    container_of(r, struct bench, replay)->told++;
}

static void on_outcome(struct store_replay *r, const struct store_outcome *o,
                       struct store_ref where)
{
    (void)r, (void)o, (void)where;
}

static void on_change(struct store_replay *r, const struct store_change *c)
{
    (void)r, (void)c;
}

static void on_state(struct store_watcher *w, enum spool_trouble trouble, uint64_t room_bytes)
{
    (void)w, (void)trouble, (void)room_bytes;
}

static uint64_t argument(char **argv, int argc, int i, uint64_t otherwise)
{
    uint64_t n;

    return i < argc && view_to_u64(view_of(argv[i]), 1ull << 40, &n) ? n : otherwise;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static double cpu_s(void)
{
    struct rusage r;

    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static void print(const struct bench *b, double seconds, double cpu)
{
    uint64_t n = b->latency_count < LATENCIES ? b->latency_count : LATENCIES;
    struct store_numbers numbers;

    store_count(b->store, &numbers);
    qsort(b->latencies, n, sizeof(*b->latencies), compare);
    printf("%.0f messages/s, p50 %u us, p99 %u us, %.2f us CPU a message, %.1f messages a batch, "
           "%llu refused, %llu segments\n",
           (double)b->done / seconds, n ? b->latencies[n / 2] : 0,
           n ? b->latencies[n - 1 - n / 100] : 0, cpu * 1e6 / (double)(b->done + !b->done),
           (double)b->done / (double)(numbers.batches + !numbers.batches),
           (unsigned long long)b->refused, (unsigned long long)numbers.segments);
    printf("{\"v\":1,\"bench\":\"store\",\"producers\":%llu,\"messages_per_s\":%.0f,\"p50_us\":%u,"
           "\"p99_us\":%u,\"cpu_us\":%.2f,\"batch\":%.1f,\"refused\":%llu}\n",
           (unsigned long long)b->count, (double)b->done / seconds, n ? b->latencies[n / 2] : 0,
           n ? b->latencies[n - 1 - n / 100] : 0, cpu * 1e6 / (double)(b->done + !b->done),
           (double)b->done / (double)(numbers.batches + !numbers.batches),
           (unsigned long long)b->refused);
}

static void start(struct bench *b, const char *path)
{
    const struct store_options o = { .path = path,
                                     .segment_bytes = 64 << 20,
                                     .big_body_bytes = 256 << 10,
                                     .reserve_bytes = 64 << 20 };
    struct error err = { "" };

    if (loop_init(&b->loop) < 0 ||
        store_open(&b->store, &o, &b->loop, &b->replay, &b->watcher, &err) < 0 ||
        store_start(b->store, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    while (store_replay(b->store, UINT32_MAX))
        continue;
    b->hook.run = on_turn;
    loop_before_sleep(&b->loop, &b->hook);
}

int main(int argc, char **argv)
{
    static struct bench b = { .replay = { on_message, on_outcome, on_change },
                              .watcher = { .state = on_state } };
    struct view envelope = VIEW("from=sender@example.org\nrcpt=recipient@example.net\n"
                                "arrival=1700000000000\nclient=192.0.2.1\nhelo=client.test\n");
    size_t bytes = argument(argv, argc, 3, 4096);
    uint64_t seconds = argument(argv, argc, 4, 5), began;
    char *body = memory_new(bytes + 1);
    double cpu;

    if (argc < 2) {
        fprintf(stderr, "usage: %s SPOOL [producers [body bytes [seconds [keep]]]]\n", argv[0]);
        return 64;
    }
    b.keep = argc > 5;
    memset(body, 'x', bytes);
    b.count = argument(argv, argc, 2, 50);
    b.producers = memory_new_array(b.count, sizeof(*b.producers));
    b.latencies = memory_new_array(LATENCIES, sizeof(*b.latencies));
    began = now_us();
    bench_tell_disk(argv[1]);
    start(&b, argv[1]);
    printf("opened with %llu messages in %llu ms\n", (unsigned long long)b.told,
           (unsigned long long)(now_us() - began) / 1000);
    began = now_us();
    cpu = cpu_s();
    b.ends_us = began + seconds * 1000000;
    for (uint64_t i = 0; i < b.count; i++) {
        struct producer *p = &b.producers[i];

        p->bench = &b;
        p->commit = (struct store_commit){ .envelope = envelope,
                                           .body = { body, bytes },
                                           .big_fd = -1,
                                           .body_bytes = bytes,
                                           .body_crc = crc32c(0, view_make(body, bytes)),
                                           .done = on_done };
        produce(p);
    }
    if (loop_run(&b.loop) < 0)
        return 1;
    print(&b, (double)(now_us() - began) / 1e6, cpu_s() - cpu);
    store_close(&b.store);
    return b.refused != 0;
}
