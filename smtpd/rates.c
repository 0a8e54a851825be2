#include "smtpd/rates.h"

#include "ipc/messages.h"

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

/* SplitMix64's finalizer. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* Keyed at both ends, as in limits.c: all processes have to agree. */
static uint64_t name_bucket(const struct rates *r, enum rates_verdict whose, enum rate_kind kind,
                            struct view bytes)
{
    uint64_t h = mix(r->key ^ ((uint64_t)whose << 8 | kind) ^ (uint64_t)bytes.len << 16);

    while (bytes.len > 0) {
        uint64_t chunk = 0;
        struct view part = view_sub(bytes, 0, sizeof(chunk));

        memcpy(&chunk, part.ptr, part.len);
        h = mix((h ^ chunk) + r->key);
        bytes = view_from(bytes, part.len);
    }
    return mix(h ^ r->key) | 1;
}

static uint64_t name_network(const struct rates *r, enum rates_verdict whose, enum rate_kind kind,
                             const struct net_address *client, unsigned prefix4, unsigned prefix6)
{
    struct net_address net = net_prefix(client, prefix4, prefix6);
    uint8_t bytes[1 + sizeof(net.bytes)];

    bytes[0] = net.family;
    memcpy(bytes + 1, net.bytes, sizeof(net.bytes));
    return name_bucket(r, whose, kind, view_make(bytes, sizeof(bytes)));
}

/* No rate of the settings counts for RATES_FINE: that is where the buckets of rules are. */
static struct claim claim_of(const struct rates *r, const struct rates_bucket *b)
{
    uint64_t rule = name_bucket(r, RATES_FINE, RATE_CONNECTIONS, b->rule);
    uint64_t whose = name_bucket(r, RATES_FINE, RATE_MESSAGES, b->whose);

    return (struct claim){ RATES_FINE, b->rate, mix(mix(rule + b->number) ^ whose) | 1 };
}

/* ---- claims ---- */

static void add_claim(struct claim claims[CLAIMS_MAX], size_t *count, enum rates_verdict whose,
                      const struct config_rate *rate, uint64_t name)
{
    if (rate->count > 0)
        claims[(*count)++] = (struct claim){ whose, rate, name };
}

static size_t find_claims(const struct rates *r, enum rate_kind kind, const struct rates_owner *who,
                          struct claim claims[CLAIMS_MAX])
{
    const struct rates_settings *s = &r->settings->rates;
    const struct limits_settings *l = &r->settings->limits;
    size_t count = 0;

    if (r->memory == NULL)
        return 0;
    if (who->login.len > 0) {
        add_claim(claims, &count, RATES_LOGIN, &s->login[kind],
                  name_bucket(r, RATES_LOGIN, kind, who->login));
    } else if (who->client->family != 0) {
        add_claim(claims, &count, RATES_CLIENT, &s->client[kind],
                  name_network(r, RATES_CLIENT, kind, who->client, (unsigned)l->client_prefix4,
                               (unsigned)l->client_prefix6));
        add_claim(claims, &count, RATES_NETWORK, &s->network[kind],
                  name_network(r, RATES_NETWORK, kind, who->client, (unsigned)s->network_prefix4,
                               (unsigned)s->network_prefix6));
    }
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
    size_t count = find_claims(r, kind, who, claims);

    return look(r, claims, count, now_ms * 1000);
}

/* Two processes may take the last token both; the next one pays for it. */
enum rates_verdict rates_take(struct rates *r, enum rate_kind kind, const struct rates_owner *who,
                              uint64_t now_ms)
{
    struct claim claims[CLAIMS_MAX];
    size_t count = find_claims(r, kind, who, claims);
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
