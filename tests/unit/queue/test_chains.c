#include "queue/chains.h"

#include "tests/unit/unit.h"

#include <stdlib.h>

enum { MANY = 100000 };

struct element {
    uint32_t next;
    uint32_t pad;
    uint64_t key;
};

static struct pool pool;
static struct chains chains;

static uint64_t hash_key(uint64_t key)
{
    uint64_t z = key * 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 32)) * 0x94d049bb133111eb;
    return z ^ (z >> 29);
}

static uint64_t hash(const void *element)
{
    return hash_key(((const struct element *)element)->key);
}

static uint64_t same(const void *element)
{
    (void)element;
    return 7;
}

static struct element *at(uint32_t i)
{
    return pool_at(&pool, i);
}

static void begin(uint64_t (*by)(const void *element))
{
    pool_init(&pool, sizeof(struct element));
    chains_init(&chains, &pool, offsetof(struct element, next), by);
}

static void end(void)
{
    chains_release(&chains);
    pool_release(&pool);
}

static uint32_t add(uint64_t key)
{
    uint32_t i = pool_take(&pool);

    at(i)->key = key;
    chains_add(&chains, i);
    return i;
}

/* And how many were looked at. */
static uint32_t find(uint64_t key, unsigned *steps)
{
    uint32_t i = chains_first(&chains, hash_key(key));

    while (i != POOL_NONE && at(i)->key != key) {
        i = chains_next(&chains, i);
        ++*steps;
    }
    return i;
}

static void finds_what_is_in(void **state)
{
    unsigned steps = 0;

    (void)state;
    begin(hash);
    assert_int_equal(find(1, &steps), POOL_NONE);
    for (uint64_t key = 1; key <= MANY; key++) {
        add(key << 3);
        if (key % 1000 == 0)
            assert_int_equal(at(find(key << 3, &steps))->key, key << 3);
    }
    for (uint64_t key = 1; key <= MANY; key += 2)
        chains_remove(&chains, find(key << 3, &steps));
    steps = 0;
    for (uint64_t key = 1; key <= MANY; key++)
        assert_int_equal(find(key << 3, &steps) == POOL_NONE, key % 2 == 1);
    assert_true(steps < 2 * MANY);
    assert_int_equal(chains.count, MANY / 2);
    end();
}

static void keeps_those_with_one_hash_apart(void **state)
{
    uint32_t all[50], seen = 0;

    (void)state;
    begin(same);
    for (unsigned i = 0; i < 50; i++)
        all[i] = add(i);
    for (unsigned i = 0; i < 50; i += 3)
        chains_remove(&chains, all[i]);
    for (uint32_t i = chains_first(&chains, 7); i != POOL_NONE; i = chains_next(&chains, i)) {
        assert_true(at(i)->key % 3 != 0);
        seen++;
    }
    assert_int_equal(seen, 33);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_is_in),
        cmocka_unit_test(keeps_those_with_one_hash_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
