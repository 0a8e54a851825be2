#include "smtpd/rates.h"

#include "common/table.h"
#include "ipc/messages.h"
#include "smtpd/session.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WAYS = 8, SETS = 1 << 14 };

struct bucket {
    _Atomic uint64_t name;    /* hash of whose it is, and what for; 0: nobody's */
    _Atomic uint64_t full_us; /* monotonic time when all tokens are there again */
};

struct rates_memory {
    _Atomic uint64_t key; /* made by whoever comes first */
    struct bucket sets[SETS][WAYS];
};

_Static_assert(sizeof(struct rates_memory) <= RATES_BYTES, "the buckets fit");

/* A rate that applies, and the name of its bucket. */
struct claim {
    enum rates_verdict whose;
    const struct config_rate *rate;
    uint64_t name;
};

enum { CLAIMS_MAX = 2 };

int rates_open(struct rates *r, int fd, const struct settings *settings, struct error *err)
{
    uint64_t none = 0, fresh;
    struct stat st;
    void *map;

    if (fstat(fd, &st) < 0 || st.st_size < RATES_BYTES)
        return error_set(err, -EINVAL, "the memory of rates is too small");
    if (getrandom(&fresh, sizeof(fresh), 0) != (ssize_t)sizeof(fresh))
        return error_set(err, -errno, "there is no randomness");
    map = mmap(NULL, RATES_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return error_set(err, -errno, "the memory of rates cannot be mapped");
    close(fd);
    *r = (struct rates){ .memory = map, .settings = settings };
    fresh |= 1; /* not 0 */
    r->key = atomic_compare_exchange_strong(&r->memory->key, &none, fresh) ? fresh : none;
    return 0;
}

void rates_close(struct rates *r)
{
    if (r->memory != NULL)
        munmap(r->memory, RATES_BYTES);
    *r = (struct rates){ 0 };
}

/* ---- names ---- */

/* `pool`: the listener whose rate it is; empty: that of all. All processes have to agree. */
static uint64_t name_bucket(const struct rates *r, enum rates_verdict whose, enum rate_kind kind,
                            struct view pool, struct view bytes)
{
    uint64_t key = hash_keyed(r->key ^ ((uint64_t)whose << 8 | kind), pool);

    return hash_keyed(key, bytes) | 1;
}

/* Logins are compared without regard to case; Dovecot may give one as the client wrote it. */
static uint64_t name_login(const struct rates *r, enum rate_kind kind, struct view pool,
                           struct view login)
{
    char room[SESSION_LOGIN_MAX];
    size_t len = MIN(login.len, sizeof(room));

    for (size_t i = 0; i < len; i++)
        room[i] = byte_lower(login.ptr[i]);
    return name_bucket(r, RATES_LOGIN, kind, pool, view_make(room, len));
}

static uint64_t name_network(const struct rates *r, enum rates_verdict whose, enum rate_kind kind,
                             struct view pool, const struct net_address *client, uint64_t prefix4,
                             uint64_t prefix6)
{
    struct net_address net = net_prefix(client, (unsigned)prefix4, (unsigned)prefix6);
    uint8_t bytes[1 + sizeof(net.bytes)];

    bytes[0] = net.family;
    memcpy(bytes + 1, net.bytes, sizeof(net.bytes));
    return name_bucket(r, whose, kind, pool, view_make(bytes, sizeof(bytes)));
}

/* No rate of the settings counts for RATES_FINE: that is where the buckets of rules are. */
static struct claim claim_of(const struct rates *r, const struct rates_bucket *b)
{
    uint64_t rule = name_bucket(r, RATES_FINE, RATE_CONNECTIONS, VIEW_EMPTY, b->rule);

    return (struct claim){ RATES_FINE, b->rate, hash_keyed(rule + b->number, b->whose) | 1 };
}

/* ---- claims ---- */

static bool is_same(const struct config_rate *a, const struct config_rate *b)
{
    return a->count == b->count && a->span_ms == b->span_ms;
}

/* Tokens are counted apart where the listener has a rate of its own. */
static struct view pool_of(const struct rates_owner *who, const struct config_rate *own,
                           const struct config_rate *of_all)
{
    return is_same(own, of_all) ? VIEW_EMPTY : who->at->name;
}

static size_t find_claims(const struct rates *r, enum rate_kind kind, const struct rates_owner *who,
                          struct claim claims[CLAIMS_MAX])
{
    const struct rates_settings *all = &r->settings->rates, *s = &who->at->rates;
    const struct limits_settings *l = &r->settings->limits;
    const struct config_rate *login = &s->login[kind], *client = &s->client[kind],
                             *network = &s->network[kind];
    size_t count = 0;

    if (who->login.len > 0) {
        if (login->count > 0)
            claims[count++] =
                (struct claim){ RATES_LOGIN, login,
                                name_login(r, kind, pool_of(who, login, &all->login[kind]),
                                           who->login) };
        return count;
    }
    if (who->client->family != 0 && client->count > 0)
        claims[count++] =
            (struct claim){ RATES_CLIENT, client,
                            name_network(r, RATES_CLIENT, kind,
                                         pool_of(who, client, &all->client[kind]), who->client,
                                         l->client_prefix4, l->client_prefix6) };
    if (who->client->family != 0 && network->count > 0)
        claims[count++] =
            (struct claim){ RATES_NETWORK, network,
                            name_network(r, RATES_NETWORK, kind,
                                         pool_of(who, network, &all->network[kind]), who->client,
                                         all->network_prefix4, all->network_prefix6) };
    return count;
}

/* ---- buckets ---- */

static struct bucket *find_bucket(const struct rates *r, uint64_t name)
{
    struct bucket *set = r->memory->sets[(name >> 32) % SETS];

    for (size_t i = 0; i < WAYS; i++) {
        if (atomic_load_explicit(&set[i].name, memory_order_relaxed) == name)
            return &set[i];
    }
    return NULL;
}

/* Instead of the one that is the nearest to be full, as if it had never been used. */
static struct bucket *make_bucket(struct rates *r, uint64_t name)
{
    struct bucket *set = r->memory->sets[(name >> 32) % SETS], *least = &set[0];

    for (size_t i = 1; i < WAYS; i++) {
        if (atomic_load_explicit(&set[i].full_us, memory_order_relaxed) <
            atomic_load_explicit(&least->full_us, memory_order_relaxed))
            least = &set[i];
    }
    atomic_store_explicit(&least->full_us, 0, memory_order_relaxed);
    atomic_store_explicit(&least->name, name, memory_order_relaxed);
    return least;
}

static uint64_t after_one_more(const struct config_rate *rate, uint64_t full_us, uint64_t now_us)
{
    return MAX(full_us, now_us) + rate->span_ms * 1000 / rate->count;
}

static bool has_token(const struct rates *r, const struct claim *c, uint64_t now_us)
{
    const struct bucket *b = find_bucket(r, c->name);
    uint64_t full_us = b == NULL ? 0 : atomic_load_explicit(&b->full_us, memory_order_relaxed);

    return after_one_more(c->rate, full_us, now_us) <= now_us + c->rate->span_ms * 1000;
}

static void take_token(struct rates *r, const struct claim *c, uint64_t now_us)
{
    struct bucket *b = find_bucket(r, c->name);
    uint64_t full_us;

    if (b == NULL)
        b = make_bucket(r, c->name);
    full_us = atomic_load_explicit(&b->full_us, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&b->full_us, &full_us,
                                         after_one_more(c->rate, full_us, now_us)))
        ;
}

static enum rates_verdict look(const struct rates *r, const struct claim *claims, size_t count,
                               uint64_t now_us)
{
    for (size_t i = 0; i < count; i++) {
        if (!has_token(r, &claims[i], now_us))
            return claims[i].whose;
    }
    return RATES_FINE;
}

enum rates_verdict rates_look(const struct rates *r, enum rate_kind kind,
                              const struct rates_owner *who, uint64_t now_ms)
{
    struct claim claims[CLAIMS_MAX];
    size_t count = r->memory == NULL ? 0 : find_claims(r, kind, who, claims);

    return look(r, claims, count, now_ms * 1000);
}

/* Two processes may take the last token both; the next one pays for it. */
enum rates_verdict rates_take(struct rates *r, enum rate_kind kind, const struct rates_owner *who,
                              uint64_t now_ms)
{
    struct claim claims[CLAIMS_MAX];
    size_t count = r->memory == NULL ? 0 : find_claims(r, kind, who, claims);
    enum rates_verdict verdict = look(r, claims, count, now_ms * 1000);

    for (size_t i = 0; i < count && verdict == RATES_FINE; i++)
        take_token(r, &claims[i], now_ms * 1000);
    return verdict;
}

bool rates_bucket_look(const struct rates *r, const struct rates_bucket *b, uint64_t now_ms)
{
    struct claim c;

    if (r->memory == NULL)
        return true;
    c = claim_of(r, b);
    return has_token(r, &c, now_ms * 1000);
}

bool rates_bucket_take(struct rates *r, const struct rates_bucket *b, uint64_t now_ms)
{
    struct claim c;

    if (r->memory == NULL)
        return true;
    c = claim_of(r, b);
    if (!has_token(r, &c, now_ms * 1000))
        return false;
    take_token(r, &c, now_ms * 1000);
    return true;
}
