#include "smtpd/limits.h"

#include "common/table.h"
#include "ipc/messages.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROWS = 2, COLUMNS = 8192 };

struct limits_share {
    _Atomic uint64_t key; /* of the first share: for all; made by whoever comes first */
    _Atomic uint32_t total;
    _Atomic uint32_t rows[ROWS][COLUMNS];
};

_Static_assert(sizeof(struct limits_share) <= COUNTERS_BYTES_PER_WORKER, "a share fits");

/* The columns of a client, or of a listener. */
struct place {
    unsigned column[ROWS];
};

static struct limits_share *share(const struct limits *l, size_t i)
{
    return (struct limits_share *)(void *)(l->shares + i * COUNTERS_BYTES_PER_WORKER);
}

static int agree_on_key(struct limits *l)
{
    _Atomic uint64_t *shared = &share(l, 0)->key;
    uint64_t none = 0, fresh;

    if (getrandom(&fresh, sizeof(fresh), 0) != (ssize_t)sizeof(fresh))
        return -errno;
    fresh |= 1; /* not 0 */
    l->key = atomic_compare_exchange_strong(shared, &none, fresh) ? fresh : none;
    return 0;
}

static void zero_own(struct limits *l)
{
    atomic_store(&l->own->total, 0);
    for (size_t row = 0; row < ROWS; row++) {
        for (size_t i = 0; i < COLUMNS; i++)
            atomic_store_explicit(&l->own->rows[row][i], 0, memory_order_relaxed);
    }
}

int limits_open(struct limits *l, int fd, uint32_t index, const struct settings *s,
                struct error *err)
{
    struct stat st;
    size_t count;
    char *map;

    if (fstat(fd, &st) < 0)
        return error_set(err, -errno, "the shared counters cannot be looked at");
    count = (size_t)st.st_size / COUNTERS_BYTES_PER_WORKER;
    if (index >= count)
        return error_set(err, -EINVAL, "the shared counters have no share number %u", index);
    map = mmap(NULL, count * COUNTERS_BYTES_PER_WORKER, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return error_set(err, -errno, "the shared counters cannot be mapped");
    close(fd);
    *l = (struct limits){
        .shares = map,
        .share_count = count,
        .settings = s,
    };
    l->own = share(l, index);
    zero_own(l);
    return agree_on_key(l);
}

void limits_close(struct limits *l)
{
    if (l->shares != NULL)
        munmap(l->shares, l->share_count * COUNTERS_BYTES_PER_WORKER);
    *l = (struct limits){ 0 };
}

static struct place find_place(uint64_t hash)
{
    return (struct place){ { (unsigned)(hash % COLUMNS), (unsigned)((hash >> 32) % COLUMNS) } };
}

/* All processes have to agree, and hash_bytes has a key of each process. */
static struct place place_of_listener(const struct limits *l, const struct listener_settings *at)
{
    return find_place(hash_keyed(l->key, at->name));
}

/* Apart where the listener has a limit of its own. */
static struct place place_of_client(const struct limits *l, const struct listener_settings *at,
                                    const struct net_address *client)
{
    const struct limits_settings *all = &l->settings->limits;
    bool own = at->limits.connections_per_client != all->connections_per_client;
    uint64_t pool = hash_keyed(l->key + client->family, own ? at->name : VIEW_EMPTY);
    struct net_address net =
        net_prefix(client, (unsigned)all->client_prefix4, (unsigned)all->client_prefix6);

    return find_place(hash_keyed(pool, view_make(net.bytes, sizeof(net.bytes))));
}

static uint64_t count_total(const struct limits *l)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < l->share_count; i++)
        sum += atomic_load_explicit(&share(l, i)->total, memory_order_relaxed);
    return sum;
}

static uint64_t count_at(const struct limits *l, const struct place *p)
{
    uint64_t sums[ROWS] = { 0 };

    for (size_t i = 0; i < l->share_count; i++) {
        for (size_t row = 0; row < ROWS; row++)
            sums[row] +=
                atomic_load_explicit(&share(l, i)->rows[row][p->column[row]], memory_order_relaxed);
    }
    return MIN(sums[0], sums[1]);
}

static void add_at(struct limits *l, const struct place *p, uint32_t count)
{
    for (size_t row = 0; row < ROWS; row++)
        atomic_fetch_add(&l->own->rows[row][p->column[row]], count);
}

static void add(struct limits *l, const struct place *listener, const struct place *client,
                uint32_t count)
{
    atomic_fetch_add(&l->own->total, count);
    add_at(l, listener, count);
    add_at(l, client, count);
}

/* Counted first and looked at afterwards: two processes that take the last place at the same time
 * both refuse, but never both accept. */
enum limits_verdict limits_take(struct limits *l, const struct listener_settings *at,
                                const struct net_address *client)
{
    struct place listener = place_of_listener(l, at), p = place_of_client(l, at, client);
    enum limits_verdict verdict = LIMITS_FINE;

    add(l, &listener, &p, 1);
    if (count_total(l) > l->settings->limits.connections)
        verdict = LIMITS_TOTAL;
    else if (count_at(l, &listener) > at->limits.connections)
        verdict = LIMITS_LISTENER;
    else if (client->family != 0 && count_at(l, &p) > at->limits.connections_per_client)
        verdict = LIMITS_CLIENT;
    if (verdict != LIMITS_FINE)
        add(l, &listener, &p, UINT32_MAX);
    return verdict;
}

void limits_give(struct limits *l, const struct listener_settings *at,
                 const struct net_address *client)
{
    struct place listener = place_of_listener(l, at), p = place_of_client(l, at, client);

    add(l, &listener, &p, UINT32_MAX); /* minus one */
}
