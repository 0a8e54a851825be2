/* What the queue's index takes in memory and in time.
 *
 *   bench_index [messages [destinations]]
 *
 * Messages with one recipient each, all of them waiting in the wheel for a time within four days;
 * then a look at each by its id, and the four days go by. A message that was deferred takes room in
 * the ledger, too: what both are together is what a queued message takes. */
#include "common/memory.h"
#include "io/clock.h"
#include "queue/index.h"
#include "queue/ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    TICKS = 4 * 24 * 3600 * 10, /* four days in ticks of 100 ms */
    STEPS = 20000,              /* of the wheel in one turn of the loop */
};

static uint64_t resident_bytes(void)
{
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (f == NULL || fscanf(f, "%*u %llu", &pages) != 1)
        pages = 0;
    if (f != NULL)
        fclose(f);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Ids as the log gives them: 512 bytes apart. */
static uint64_t id_of(uint64_t i)
{
    return (i + 1) << 3;
}

static uint32_t tick_of(uint64_t i)
{
    return (uint32_t)(i * 0x9e3779b97f4a7c15 >> 32) % TICKS;
}

static void add(struct index *x, uint64_t i, uint64_t destinations)
{
    char room[64];
    struct buf name = BUF_ON_ARRAY(room);
    struct hop hop = { .kind = HOP_MX };
    uint32_t mail = index_add_mail(x, id_of(i), 1);

    buf_printf(&name, "d%" PRIu64 ".example.org", i % destinations);
    hop.name = hop.host = buf_view(&name);
    index_add_rcpt(x, mail, index_destination_for(x, &hop), 0, 0);
    index_set_deadline(x, mail, DEADLINE_NOTICE);
    index_time(x, index_first_unit(x, mail), tick_of(i));
}

/* Each is deferred: its state is in one of a hundred segments. */
static uint64_t defer_all(struct ledger *l, uint64_t messages)
{
    enum { SEGMENTS = 100 };
    uint64_t before = resident_bytes();

    ledger_init(l);
    for (uint64_t i = 1; i <= SEGMENTS; i++)
        ledger_add(l, i);
    for (uint64_t i = 0; i < messages; i++)
        ledger_note(l, id_of(i), 0, 1 + i % SEGMENTS, 1, LEDGER_PLAIN_BYTES);
    return resident_bytes() - before;
}

static uint64_t let_time_pass(struct index *x, uint64_t *longest_us)
{
    uint64_t taken = 0;

    for (uint32_t tick = 0; tick <= TICKS; tick += 10) {
        unsigned steps;

        do {
            uint64_t began_us = now_us();

            steps = STEPS;
            while (index_take_timed(x, tick, &steps) != POOL_NONE)
                taken++;
            *longest_us = MAX(*longest_us, now_us() - began_us);
        } while (steps == 0);
    }
    return taken;
}

int main(int argc, char **argv)
{
    uint64_t messages = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    uint64_t destinations = argc > 2 ? strtoull(argv[2], NULL, 10) : 10000;
    uint64_t before, bytes, longest_us = 0, began_us, add_us, find_us, pass_us, taken, found = 0;
    uint64_t deferred_bytes;
    struct index x;
    struct ledger ledger;

    index_init(&x);
    before = resident_bytes();
    began_us = now_us();
    for (uint64_t i = 0; i < messages; i++)
        add(&x, i, MAX(destinations, 1));
    add_us = now_us() - began_us;
    bytes = resident_bytes() - before;
    deferred_bytes = defer_all(&ledger, messages);
    began_us = now_us();
    for (uint64_t i = 0; i < messages; i++)
        found += index_find(&x, id_of(i)) != POOL_NONE;
    find_us = now_us() - began_us;
    began_us = now_us();
    taken = let_time_pass(&x, &longest_us);
    pass_us = now_us() - began_us;
    index_release(&x);
    ledger_release(&ledger);
    printf("{\"messages\":%" PRIu64 ",\"destinations\":%" PRIu64 ",\"bytes\":%" PRIu64
           ",\"bytes_per_message\":%.1f,\"ledger_bytes_per_message\":%.1f,\"mail_bytes\":%zu,"
           "\"part_bytes\":%zu,\"add_us\":%" PRIu64 ",\"find_us\":%" PRIu64 ",\"pass_us\":%" PRIu64
           ",\"longest_turn_us\":%" PRIu64 "}\n",
           messages, destinations, bytes, (double)bytes / (double)MAX(messages, 1),
           (double)deferred_bytes / (double)MAX(messages, 1), sizeof(struct mail),
           sizeof(struct part), add_us, find_us, pass_us, longest_us);
    fprintf(stderr,
            "messages            %12" PRIu64 "\n"
            "memory              %12.1f MB, %.1f bytes each\n"
            "once deferred       %12.1f MB, %.1f bytes each\n"
            "to add one          %12.3f us\n"
            "to find one         %12.3f us\n"
            "four days go by in  %12.1f ms, the longest turn %.1f ms\n",
            messages, (double)bytes / 1e6, (double)bytes / (double)MAX(messages, 1),
            (double)(bytes + deferred_bytes) / 1e6,
            (double)(bytes + deferred_bytes) / (double)MAX(messages, 1),
            (double)add_us / (double)MAX(messages, 1), (double)find_us / (double)MAX(messages, 1),
            (double)pass_us / 1e3, (double)longest_us / 1e3);
    return found == messages && taken == messages ? EXIT_SUCCESS : EXIT_FAILURE;
}
