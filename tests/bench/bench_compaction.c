/* What compaction costs, and how small it keeps the log: messages come as fast as the disk takes
 * them, most of which go at once, and a few of which stay for a while, as mail does that is
 * deferred for minutes. The first of these stay to the end, as mail for a dead destination does for
 * days.
 *
 *   bench_compaction SPOOL [messages [one of so many stays [so many stay at a time [body bytes
 *                    [so many stay to the end [segment MiB]]]]]]
 *
 * A table for people, and a line of JSON. */
#include "common/crc32c.h"
#include "common/memory.h"
#include "common/table.h"
#include "queue/haste.h"
#include "queue/store.h"
#include "tests/bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    AT_ONCE = 50,
    REST_MS = 5000, /* of segments; as the queue leaves them alone */
    SETTLE_MS = 20000,
};

struct item {
    struct table_entry entry; /* by id */
    struct list link;         /* oldest first */
    struct store_ref where;
};

static struct bench {
    struct loop loop;
    struct store *store;
    struct store_replay replay;
    struct store_watcher watcher;
    struct store_commit commits[AT_ONCE];
    struct table by_id;
    struct list staying;
    uint64_t waiting, accepted, stay_every, stay_most, last_most, lasting;
    uint64_t written, most_disk, segment_bytes;
    uint64_t most_excess; /* bytes above one and a half times what lives */
} bench;

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct item *find(uint64_t id)
{
    struct table_entry *e = table_find_number(&bench.by_id, id);

    return e == NULL ? NULL : container_of(e, struct item, entry);
}

/* ---- what the store asks and tells ---- */

static struct store_ref on_find(struct store_watcher *w, uint64_t id)
{
    const struct item *i = find(id);

    (void)w;
    return i == NULL ? (struct store_ref){ 0 } : i->where;
}

static void on_moved(struct store_watcher *w, uint64_t id, struct store_ref where)
{
    (void)w;
    find(id)->where = where;
}

static void on_outcome_moved(struct store_watcher *w, uint64_t id, uint64_t from,
                             struct store_ref where)
{
    (void)w, (void)id, (void)from, (void)where;
}

static void on_state(struct store_watcher *w, enum spool_trouble trouble, uint64_t room_bytes)
{
    (void)w, (void)room_bytes;
    if (trouble != SPOOL_FINE) {
        fprintf(stderr, "bench_compaction: the spool takes no more\n");
        exit(1);
    }
}

/* ---- mail ---- */

static void keep(const struct store_commit *c)
{
    static const uint32_t first = 0;
    const struct store_outcome deferred = { .message = c->id,
                                            .rcpts = &first,
                                            .rcpt_count = 1,
                                            .state = STORE_DEFERRED,
                                            .attempts = 1,
                                            .text = VIEW("text=try again later\n") };
    struct item *i = memory_new(sizeof(*i));

    i->where = c->where;
    table_add_number(&bench.by_id, &i->entry, c->id);
    list_init(&i->link);
    if (bench.lasting < bench.last_most)
        bench.lasting++;
    else
        list_append(&bench.staying, &i->link);
    store_settle(bench.store, &deferred, NULL);
}

static void finish_oldest(void)
{
    struct list *oldest = list_take_first(&bench.staying);
    struct item *i;

    if (oldest == NULL)
        return;
    i = container_of(oldest, struct item, link);
    store_finish(bench.store, i->entry.number, i->where);
    table_remove(&bench.by_id, &i->entry);
    free(i);
}

static void on_done(struct store_commit *c, enum spool_trouble trouble)
{
    if (trouble != SPOOL_FINE)
        exit(1);
    bench.waiting--;
    bench.written += c->where.bytes;
    if (bench.accepted++ % bench.stay_every != 0) {
        store_finish(bench.store, c->id, c->where);
        return;
    }
    keep(c);
    if (bench.by_id.count > bench.stay_most + bench.lasting)
        finish_oldest();
}

static struct store_numbers look(void)
{
    struct store_numbers n;

    uint64_t fine;

    store_count(bench.store, &n);
    fine = n.live_bytes * 3 / 2;
    if (n.disk_bytes > fine && n.disk_bytes - fine > bench.most_excess)
        bench.most_excess = n.disk_bytes - fine;
    bench.most_disk = n.disk_bytes > bench.most_disk ? n.disk_bytes : bench.most_disk;
    return n;
}

static void turn(void)
{
    store_flush(bench.store);
    if (loop_turn(&bench.loop, 100) < 0)
        exit(1);
}

static void accept_some(const struct store_commit *like)
{
    for (unsigned i = 0; i < AT_ONCE; i++) {
        bench.commits[i] = *like;
        bench.waiting++;
        store_accept(bench.store, &bench.commits[i]);
    }
    while (bench.waiting > 0)
        turn();
}

static void print(uint64_t ms, const struct store_numbers *busy, const struct store_numbers *quiet)
{
    printf("%llu messages of %.1f MiB in %.1f s; %llu stay, %.1f MiB\n"
           "log: at most %.1f MiB, %.1f MiB at the end, %.1f MiB a while later\n"
           "above one and a half times what lives in it: at most %.1f MiB, %.1f segments of %u\n"
           "written again: %.1f MiB (%.1f %%), %llu segments emptied\n",
           (unsigned long long)bench.accepted, (double)bench.written / (1 << 20), (double)ms / 1000,
           (unsigned long long)quiet->live_messages, (double)quiet->live_bytes / (1 << 20),
           (double)bench.most_disk / (1 << 20), (double)busy->disk_bytes / (1 << 20),
           (double)quiet->disk_bytes / (1 << 20), (double)bench.most_excess / (1 << 20),
           (double)bench.most_excess / (double)bench.segment_bytes, HASTE_BOUND,
           (double)quiet->moved_bytes / (1 << 20),
           100.0 * (double)quiet->moved_bytes / (double)bench.written,
           (unsigned long long)quiet->segments_emptied);
    printf("{\"v\":1,\"bench\":\"compaction\",\"messages\":%llu,\"written_bytes\":%llu,"
           "\"live_bytes\":%llu,\"most_log_bytes\":%llu,\"most_excess_bytes\":%llu,"
           "\"log_bytes\":%llu,"
           "\"quiet_log_bytes\":%llu,\"moved_bytes\":%llu,\"ms\":%llu}\n",
           (unsigned long long)bench.accepted, (unsigned long long)bench.written,
           (unsigned long long)quiet->live_bytes, (unsigned long long)bench.most_disk,
           (unsigned long long)bench.most_excess, (unsigned long long)busy->disk_bytes,
           (unsigned long long)quiet->disk_bytes, (unsigned long long)quiet->moved_bytes,
           (unsigned long long)ms);
}

static void start(const char *path, uint64_t segment_mib)
{
    const struct store_options o = { .path = path,
                                     .segment_bytes = segment_mib << 20,
                                     .big_body_bytes = 256 << 10,
                                     .reserve_bytes = 64 << 20,
                                     .rest_ms = REST_MS };
    struct error err = { "" };

    bench.segment_bytes = o.segment_bytes;
    bench.watcher =
        (struct store_watcher){ on_state, on_find, on_moved, on_outcome_moved, NULL, NULL };
    table_init(&bench.by_id, false);
    list_init(&bench.staying);
    if (loop_init(&bench.loop) < 0 ||
        store_open(&bench.store, &o, &bench.loop, &bench.replay, &bench.watcher, &err) < 0 ||
        store_replay(bench.store, 1) || store_start(bench.store, &err) < 0) {
        fprintf(stderr, "bench_compaction: %s (the spool must be new)\n", err.text);
        exit(1);
    }
}

static uint64_t argument(char **argv, int argc, int i, uint64_t otherwise)
{
    uint64_t n;

    return i < argc && view_to_u64(view_of(argv[i]), 1ull << 40, &n) ? n : otherwise;
}

int main(int argc, char **argv)
{
    uint64_t messages = argument(argv, argc, 2, 1000000);
    size_t bytes = argument(argv, argc, 5, 4096);
    char *body = memory_new(bytes + 1);
    const struct store_commit like = {
        .envelope = VIEW("from=sender@example.org\nrcpt=recipient@example.net\n"
                         "arrival=1700000000000\nclient=192.0.2.1\nhelo=client.test\n"),
        .body = { body, bytes },
        .big_fd = -1,
        .body_bytes = bytes,
        .body_crc = crc32c(0, view_make(body, bytes)),
        .done = on_done,
    };
    struct store_numbers busy, quiet;
    uint64_t began, ms;

    if (argc < 2) {
        fprintf(stderr,
                "usage: %s SPOOL [messages [one of so many stays [so many stay at a time "
                "[body bytes [so many stay to the end [segment MiB]]]]]]\n",
                argv[0]);
        return 64;
    }
    bench.stay_every = argument(argv, argc, 3, 50);
    bench.stay_most = argument(argv, argc, 4, 10000);
    bench_tell_disk(argv[1]);
    bench.last_most = argument(argv, argc, 6, 0);
    start(argv[1], argument(argv, argc, 7, 64));
    began = now_ms();
    while (bench.accepted < messages) {
        accept_some(&like);
        look();
    }
    ms = now_ms() - began;
    busy = look();
    while (now_ms() < began + ms + SETTLE_MS)
        turn();
    quiet = look();
    print(ms, &busy, &quiet);
    store_close(&bench.store);
    free(body);
    return 0;
}
