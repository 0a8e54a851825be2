#include "common/heap.h"

#include "tests/unit/unit.h"

static void is_empty_when_zeroed(void **state)
{
    struct heap h = { 0 };

    (void)state;
    assert_null(heap_first(&h));
    assert_int_equal(heap_count_until(&h, UINT64_MAX), 0);
    heap_release(&h);
}

static void gives_the_least_first(void **state)
{
    static const uint64_t keys[] = { 5, 3, 8, 3, UINT64_MAX, 0, 7 };
    static const uint64_t sorted[] = { 0, 3, 3, 5, 7, 8, UINT64_MAX };
    struct heap h = { 0 };
    struct heap_entry entries[COUNT_OF(keys)] = { { 0 } };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        heap_add(&h, &entries[i], keys[i]);
    for (size_t i = 0; i < COUNT_OF(sorted); i++) {
        struct heap_entry *e = heap_first(&h);

        assert_int_equal(heap_count_until(&h, 6), i < 4 ? 4 - i : 0);
        assert_true(e->key == sorted[i]);
        heap_remove(&h, e);
        assert_int_equal(e->slot, HEAP_NOWHERE);
    }
    assert_null(heap_first(&h));
    heap_release(&h);
}

static uint64_t least_key(const struct heap_entry *entries, size_t count)
{
    uint64_t least = UINT64_MAX;

    for (size_t i = 0; i < count; i++) {
        if (entries[i].slot != HEAP_NOWHERE)
            least = MIN(least, entries[i].key);
    }
    return least;
}

static void any_element_can_leave(void **state)
{
    struct heap h = { 0 };
    struct heap_entry entries[300] = { { 0 } };
    uint64_t seed = 7;

    (void)state;
    for (int turn = 0; turn < 20000; turn++) {
        struct heap_entry *e = &entries[random_below(&seed, COUNT_OF(entries))];

        if (e->slot == HEAP_NOWHERE)
            heap_add(&h, e, random_below(&seed, 1000));
        else
            heap_remove(&h, e);
        if (h.count > 0)
            assert_true(heap_first(&h)->key == least_key(entries, COUNT_OF(entries)));
        for (uint32_t slot = 1; slot <= h.count; slot++)
            assert_int_equal(h.entries[slot]->slot, slot);
    }
    heap_release(&h);
    assert_int_equal(h.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_empty_when_zeroed),
        cmocka_unit_test(gives_the_least_first),
        cmocka_unit_test(any_element_can_leave),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
