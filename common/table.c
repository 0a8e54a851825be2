#include "common/table.h"

#include "common/memory.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { FIRST_BUCKETS = 16 }; /* always a power of two */

struct secret {
    uint64_t k0, k1;
};

static struct secret process_secret;
static pthread_once_t secret_once = PTHREAD_ONCE_INIT;

static void make_secret(void)
{
    ssize_t got;

    do
        got = getrandom(&process_secret, sizeof(process_secret), 0);
    while (got < 0 && errno == EINTR);
    if (got != (ssize_t)sizeof(process_secret))
        abort();
}

static const struct secret *get_secret(void)
{
    pthread_once(&secret_once, make_secret);
    return &process_secret;
}

/* Eight bytes at once: bit 5 is set in every byte that is A to Z. */
static uint64_t lower_bytes(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101;
    uint64_t low = word & (0x7f * ones);
    uint64_t from_a = low + (0x80 - 'A') * ones;
    uint64_t past_z = low + (0x7f - 'Z') * ones;
    uint64_t upper = (from_a ^ past_z) & ~word & (0x80 * ones);

    return word | upper >> 2;
}

/* Up to eight bytes, little-endian, so that hash_stable is the same everywhere. */
static uint64_t load(const char *ptr, size_t count, bool nocase)
{
    uint64_t word = 0;

    memcpy(&word, ptr, count);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return nocase ? lower_bytes(word) : word;
}

static uint64_t rotate(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32) + v[3];
    v[2] += v[1];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

/* SipHash-1-3: Aumasson and Bernstein, with one round a word and three at the end. */
static uint64_t sip_hash(const struct secret *secret, struct view bytes, bool nocase)
{
    uint64_t v[4] = { secret->k0 ^ 0x736f6d6570736575, secret->k1 ^ 0x646f72616e646f6d,
                      secret->k0 ^ 0x6c7967656e657261, secret->k1 ^ 0x7465646279746573 };
    size_t at = 0;
    uint64_t last = (uint64_t)bytes.len << 56;

    for (; bytes.len - at >= 8; at += 8)
        sip_word(v, load(bytes.ptr + at, 8, nocase));
    if (at < bytes.len)
        last |= load(bytes.ptr + at, bytes.len - at, nocase);
    sip_word(v, last);
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hash_bytes(struct view bytes)
{
    return sip_hash(get_secret(), bytes, false);
}

uint64_t hash_bytes_nocase(struct view bytes)
{
    return sip_hash(get_secret(), bytes, true);
}

uint64_t hash_keyed(uint64_t key, struct view bytes)
{
    const struct secret secret = { key, ~key };

    return sip_hash(&secret, bytes, false);
}

uint64_t hash_stable(struct view bytes)
{
    static const struct secret none = { 0, 0 };

    return sip_hash(&none, bytes, false);
}

/* Fetches the secret now, while the process may still ask the system for it. */
void table_init(struct table *t, bool nocase)
{
    get_secret();
    *t = (struct table){ .nocase = nocase };
}

void table_release(struct table *t)
{
    free(t->buckets);
    *t = (struct table){ .nocase = t->nocase };
}

static struct table_entry **bucket_of(const struct table *t, uint64_t hash)
{
    return &t->buckets[hash & (t->bucket_count - 1)];
}

static bool has_key(const struct table *t, const struct table_entry *e, struct view key)
{
    return t->nocase ? view_equal_nocase(e->key, key) : view_equal(e->key, key);
}

struct table_entry *table_find(const struct table *t, struct view key)
{
    uint64_t hash;

    if (t->count == 0)
        return NULL;
    hash = t->nocase ? hash_bytes_nocase(key) : hash_bytes(key);
    for (struct table_entry *e = *bucket_of(t, hash); e != NULL; e = e->next) {
        if (e->hash == hash && has_key(t, e, key))
            return e;
    }
    return NULL;
}

static uint64_t hash_number(uint64_t number)
{
    return hash_bytes(view_make(&number, sizeof(number)));
}

struct table_entry *table_find_number(const struct table *t, uint64_t number)
{
    uint64_t hash;

    if (t->count == 0)
        return NULL;
    hash = hash_number(number);
    for (struct table_entry *e = *bucket_of(t, hash); e != NULL; e = e->next) {
        if (e->hash == hash && e->number == number)
            return e;
    }
    return NULL;
}

static void link_entry(struct table *t, struct table_entry *e)
{
    struct table_entry **bucket = bucket_of(t, e->hash);

    e->next = *bucket;
    *bucket = e;
}

static void grow(struct table *t)
{
    struct table old = *t;

    t->bucket_count = MAX(old.bucket_count * 2, FIRST_BUCKETS);
    t->buckets = memory_new_array(t->bucket_count, sizeof(*t->buckets));
    for (size_t i = 0; i < old.bucket_count; i++) {
        for (struct table_entry *e = old.buckets[i], *next; e != NULL; e = next) {
            next = e->next;
            link_entry(t, e);
        }
    }
    free(old.buckets);
}

static void add(struct table *t, struct table_entry *e)
{
    if (t->count >= t->bucket_count)
        grow(t);
    link_entry(t, e);
    t->count++;
}

void table_add(struct table *t, struct table_entry *e, struct view key)
{
    e->key = key;
    e->number = 0;
    e->hash = t->nocase ? hash_bytes_nocase(key) : hash_bytes(key);
    add(t, e);
}

void table_add_number(struct table *t, struct table_entry *e, uint64_t number)
{
    e->number = number;
    e->key = view_make(&e->number, sizeof(e->number));
    e->hash = hash_number(number);
    add(t, e);
}

void table_remove(struct table *t, struct table_entry *e)
{
    struct table_entry **link;

    assert(t->count > 0);
    link = bucket_of(t, e->hash);
    while (*link != NULL && *link != e)
        link = &(*link)->next;
    assert(*link == e);
    *link = e->next;
    e->next = NULL;
    t->count--;
}

struct table_entry *table_next(const struct table *t, const struct table_entry *e)
{
    size_t bucket = 0;

    if (e != NULL) {
        if (e->next != NULL)
            return e->next;
        bucket = (e->hash & (t->bucket_count - 1)) + 1;
    }
    for (; bucket < t->bucket_count; bucket++) {
        if (t->buckets[bucket] != NULL)
            return t->buckets[bucket];
    }
    return NULL;
}
