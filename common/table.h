/* Hash table from a key (bytes or a number) to an element that the caller owns. */
#ifndef COMMON_TABLE_H
#define COMMON_TABLE_H

#include "common/attrs.h"
#include "common/view.h"

/* Embed in the element. The key's bytes must live as long as the element is in. */
struct table_entry {
    struct table_entry *next;
    struct view key; /* for number keys: points at `number` */
    uint64_t number;
    uint64_t hash;
};

/* Hashes are keyed (SipHash-1-3) with a secret made once per process, so that nobody
 * outside can choose colliding keys. Grows by doubling; growth failure aborts. */
struct table {
    struct table_entry **buckets;
    size_t bucket_count, count;
    bool nocase; /* keys compare and hash without ASCII case */
};

void table_init(struct table *t, bool nocase);
void table_release(struct table *t); /* the buckets; elements are the caller's */

struct table_entry *table_find(const struct table *t, struct view key);
struct table_entry *table_find_number(const struct table *t, uint64_t number);
/* The key must not be in the table yet. */
void table_add(struct table *t, struct table_entry *e, struct view key);
void table_add_number(struct table *t, struct table_entry *e, uint64_t number);
void table_remove(struct table *t, struct table_entry *e);
/* Every element in no order; pass NULL first. The element returned last may be removed
 * only after asking for the one that follows it. */
struct table_entry *table_next(const struct table *t, const struct table_entry *e);

/* The keyed hash, for other uses (sharding, jitter by key). */
uint64_t hash_bytes(struct view bytes);
uint64_t hash_bytes_nocase(struct view bytes);
/* With a secret of the caller's, which several processes may have. */
uint64_t hash_keyed(uint64_t key, struct view bytes);
/* The same bytes give the same value in every process and run. Not against attackers. */
uint64_t hash_stable(struct view bytes);

#endif
