#include "common/arena.h"

#include "tests/unit/unit.h"

#include <stdalign.h>
#include <string.h>

static void is_zeroed_and_aligned(void **state)
{
    static const char zeros[300];
    struct arena a;

    (void)state;
    arena_init(&a, 1 << 16);
    for (size_t size = 0; size < sizeof(zeros); size++) {
        char *ptr = arena_alloc(&a, size);

        assert_non_null(ptr);
        assert_int_equal((uintptr_t)ptr % alignof(max_align_t), 0);
        assert_memory_equal(ptr, zeros, size);
        memset(ptr, 0xff, size);
    }
    arena_reset(&a);
    assert_null(a.blocks);
    assert_int_equal(a.used, 0);
}

/* ASan sees an overlap as well as a leak; this sees a wrong pointer. */
static void allocations_do_not_touch(void **state)
{
    struct arena a;
    unsigned char *all[200];

    (void)state;
    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        all[i] = arena_alloc(&a, i);
        assert_non_null(all[i]);
        memset(all[i], (int)i, i);
    }
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        for (size_t at = 0; at < i; at++)
            assert_int_equal(all[i][at], i);
    }
    arena_reset(&a);
}

static void has_a_limit(void **state)
{
    struct arena a;
    size_t got = 0;

    (void)state;
    arena_init(&a, 4096);
    assert_null(arena_alloc(&a, 4097));
    assert_null(arena_alloc(&a, SIZE_MAX));
    while (arena_alloc(&a, 16) != NULL)
        got += 16;
    assert_int_equal(got, 4096);
    assert_int_equal(a.used, 4096);
    assert_null(arena_alloc(&a, 0));
    arena_reset(&a);
    assert_non_null(arena_alloc(&a, 4096));
    assert_null(arena_alloc(&a, 1));
    arena_reset(&a);
    arena_init(&a, 0);
    assert_null(arena_alloc(&a, 0));
    arena_init(&a, 100); /* not a multiple of the alignment */
    assert_null(arena_alloc(&a, 100));
    assert_non_null(arena_alloc(&a, 96));
    arena_reset(&a);
}

static void returns_to_a_mark(void **state)
{
    struct arena a;
    struct arena_mark empty, mark;
    struct view kept, copy;

    (void)state;
    arena_init(&a, 2048);
    empty = arena_mark(&a);
    assert_true(arena_copy(&a, VIEW("kept"), &kept));
    mark = arena_mark(&a);
    for (int i = 0; i < 10; i++) {
        const char *bytes;

        assert_true(arena_copy(&a, VIEW("gone"), &copy));
        assert_non_null(arena_alloc(&a, 1200)); /* twice there is no room for it */
        arena_return(&a, mark);
        assert_int_equal(a.used, 512);
        bytes = arena_alloc(&a, 8);
        assert_int_equal(bytes[0], 0);
        arena_return(&a, mark);
    }
    check_view("what was there before", kept, VIEW("kept"));
    arena_return(&a, empty);
    assert_int_equal(a.used, 0);
    assert_null(a.blocks);
    arena_reset(&a);
}

static void copies(void **state)
{
    struct arena a;
    struct view copy = VIEW("old");
    char text[] = "text";

    (void)state;
    arena_init(&a, 64);
    assert_true(arena_copy(&a, view_of(text), &copy));
    text[0] = 'n';
    check_view("copied", copy, VIEW("text"));
    assert_int_equal(copy.ptr[4], '\0');
    assert_true(arena_copy(&a, VIEW_EMPTY, &copy));
    assert_int_equal(copy.len, 0);
    assert_int_equal(copy.ptr[0], '\0');
    copy = VIEW("old");
    assert_false(arena_copy(&a, view_make(text, SIZE_MAX), &copy));
    assert_false(arena_copy(&a, view_make(text, 64), &copy));
    check_view("untouched", copy, VIEW("old"));
    arena_reset(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_zeroed_and_aligned),
        cmocka_unit_test(allocations_do_not_touch),
        cmocka_unit_test(has_a_limit),
        cmocka_unit_test(returns_to_a_mark),
        cmocka_unit_test(copies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
