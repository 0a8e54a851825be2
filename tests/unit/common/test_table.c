#include "common/table.h"

#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

struct item {
    struct table_entry entry;
    char name[16];
    bool in, seen;
};

static struct item items[1000];

static void name_items(void)
{
    memset(items, 0, sizeof(items));
    for (size_t i = 0; i < COUNT_OF(items); i++)
        snprintf(items[i].name, sizeof(items[i].name), "Item%zu.Test", i);
}

static void an_empty_one_has_nothing(void **state)
{
    struct table t;

    (void)state;
    table_init(&t, false);
    assert_null(table_find(&t, VIEW("x")));
    assert_null(table_find_number(&t, 0));
    assert_null(table_next(&t, NULL));
    table_release(&t);
}

/* Random additions and removals, with the truth beside. */
static void finds_what_is_in(void **state)
{
    struct table t;
    uint64_t seed = 5;
    size_t count = 0;

    (void)state;
    name_items();
    table_init(&t, false);
    for (int turn = 0; turn < 50000; turn++) {
        struct item *item = &items[random_below(&seed, COUNT_OF(items))];
        struct table_entry *found = table_find(&t, view_of(item->name));

        assert_ptr_equal(found, item->in ? &item->entry : NULL);
        if (item->in)
            table_remove(&t, &item->entry);
        else
            table_add(&t, &item->entry, view_of(item->name));
        item->in = !item->in;
        count = item->in ? count + 1 : count - 1;
        assert_int_equal(t.count, count);
    }
    table_release(&t);
}

static void finds_numbers(void **state)
{
    struct table t;

    (void)state;
    name_items();
    table_init(&t, true);
    for (size_t i = 0; i < COUNT_OF(items); i++)
        table_add_number(&t, &items[i].entry, UINT64_MAX - i * i);
    for (size_t i = 0; i < COUNT_OF(items); i++)
        assert_ptr_equal(table_find_number(&t, UINT64_MAX - i * i), &items[i].entry);
    assert_null(table_find_number(&t, 0));
    assert_null(table_find_number(&t, 'A'));
    table_remove(&t, &items[4].entry);
    assert_null(table_find_number(&t, UINT64_MAX - 16));
    table_release(&t);
}

static void case_counts_or_not(void **state)
{
    struct table with, without;
    struct item a = { .name = "" }, b = { .name = "" };

    (void)state;
    table_init(&with, false);
    table_init(&without, true);
    table_add(&with, &a.entry, VIEW("Example.ORG"));
    table_add(&without, &b.entry, VIEW("Example.ORG"));
    assert_null(table_find(&with, VIEW("example.org")));
    assert_ptr_equal(table_find(&with, VIEW("Example.ORG")), &a.entry);
    assert_ptr_equal(table_find(&without, VIEW("eXAMPLE.org")), &b.entry);
    assert_null(table_find(&without, VIEW("example.orh")));
    assert_null(table_find(&without, VIEW_EMPTY));
    table_release(&with);
    table_release(&without);
}

static void a_walk_sees_everything_once(void **state)
{
    struct table t;
    struct table_entry *e;
    size_t count = 0;

    (void)state;
    name_items();
    table_init(&t, true);
    for (size_t i = 0; i < COUNT_OF(items); i++)
        table_add(&t, &items[i].entry, view_of(items[i].name));
    for (e = table_next(&t, NULL); e != NULL; e = table_next(&t, e)) {
        struct item *item = container_of(e, struct item, entry);

        assert_false(item->seen);
        item->seen = true;
        count++;
    }
    assert_int_equal(count, COUNT_OF(items));
    table_release(&t);
}

static void elements_may_leave_in_a_walk(void **state)
{
    struct table t;
    struct table_entry *e, *next;

    (void)state;
    name_items();
    table_init(&t, false);
    for (size_t i = 0; i < COUNT_OF(items); i++)
        table_add(&t, &items[i].entry, view_of(items[i].name));
    for (e = table_next(&t, NULL); e != NULL; e = next) {
        next = table_next(&t, e);
        table_remove(&t, e);
    }
    assert_int_equal(t.count, 0);
    assert_null(table_next(&t, NULL));
    table_release(&t);
}

/* What CPython 3.11, which uses SipHash-1-3 too, says with PYTHONHASHSEED=0. */
static void is_siphash_1_3(void **state)
{
    static const struct {
        size_t len;
        uint64_t hash;
    } cases[] = {
        { 1, 0x68a914128e01e473 },  { 7, 0x2f098ab0c751325a },  { 8, 0xead411e67ebe2eea },
        { 9, 0x75927f9d95124362 },  { 15, 0xf30eb725bb91c9ea }, { 16, 0x8972188433a5c5b7 },
        { 63, 0x385d3e39e5f37359 },
    };
    char bytes[64];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)i;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_true(hash_stable(view_make(bytes, cases[i].len)) == cases[i].hash);
    assert_true(hash_stable(VIEW("example.org")) == 0xedc56ea5d00fff5c);
}

static void hashes_are_keyed(void **state)
{
    (void)state;
    assert_true(hash_bytes(VIEW("a")) == hash_bytes(VIEW("a")));
    assert_true(hash_bytes(VIEW("a")) != hash_bytes(VIEW("b")));
    assert_true(hash_bytes(VIEW("a")) != hash_bytes(VIEW("a\0")));
    assert_true(hash_bytes(VIEW("a")) != hash_stable(VIEW("a")));
    assert_true(hash_bytes(VIEW("A")) != hash_bytes(VIEW("a")));
    assert_true(hash_bytes(VIEW_EMPTY) == hash_bytes(VIEW("")));
}

/* Every byte, at every place of a word and of the tail. */
static void hashes_ignore_ascii_case_alone(void **state)
{
    char a[12], b[12];

    (void)state;
    for (size_t at = 0; at < sizeof(a); at++) {
        for (int i = 0; i < 256; i++) {
            char byte = (char)(uint8_t)i;
            bool same = byte_lower(byte) == byte_lower((char)(byte ^ 0x20));

            memset(a, '\xff', sizeof(a));
            memset(b, '\xff', sizeof(b));
            a[at] = byte;
            b[at] = (char)(byte ^ 0x20);
            assert_int_equal(hash_bytes_nocase(view_make(a, sizeof(a))) ==
                                 hash_bytes_nocase(view_make(b, sizeof(b))),
                             same);
        }
    }
    assert_true(hash_bytes_nocase(VIEW("EXAMPLE.org!")) == hash_bytes(VIEW("example.org!")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_one_has_nothing),
        cmocka_unit_test(finds_what_is_in),
        cmocka_unit_test(finds_numbers),
        cmocka_unit_test(case_counts_or_not),
        cmocka_unit_test(a_walk_sees_everything_once),
        cmocka_unit_test(elements_may_leave_in_a_walk),
        cmocka_unit_test(is_siphash_1_3),
        cmocka_unit_test(hashes_are_keyed),
        cmocka_unit_test(hashes_ignore_ascii_case_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
