#include "smtpd/content.h"

#include "common/crc32c.h"
#include "common/memory.h"
#include "tests/unit/unit.h"

#include <stdlib.h>

static struct view make_bytes(size_t len)
{
    char *room = memory_new(len);
    uint64_t random = len;

    for (size_t i = 0; i < len; i++)
        room[i] = (char)(uint8_t)random_below(&random, 256);
    return view_make(room, len);
}

static void put_in_pieces(struct content *c, struct view bytes, size_t piece)
{
    for (size_t at = 0; at < bytes.len; at += piece) {
        struct view part = view_sub(bytes, at, piece);

        assert_true(content_reserve(c, part.len));
        content_put(c, part);
    }
}

static void keeps_what_was_put(void **state)
{
    struct content_budget budget = { .most = 1 << 20, .each_most = 1 << 19 };
    struct content c = { .budget = &budget };
    struct view bytes = make_bytes(300000);

    (void)state;
    put_in_pieces(&c, bytes, 1234);
    check_view("content", content_in_memory(&c), bytes);
    assert_int_equal(content_bytes(&c), bytes.len);
    assert_int_equal(content_crc(&c), crc32c(0, bytes));
    assert_in_range(budget.used, bytes.len, budget.most);
    content_clear(&c);
    assert_int_equal(budget.used, 0);
    assert_int_equal(content_bytes(&c), 0);
    free((char *)(uintptr_t)bytes.ptr);
}

static void one_has_a_limit(void **state)
{
    struct content_budget budget = { .most = 1 << 20, .each_most = 10000 };
    struct content c = { .budget = &budget };

    (void)state;
    assert_true(content_reserve(&c, 10000));
    assert_false(content_reserve(&c, 10001 + 8192));
    assert_true(content_reserve(&c, 0));
    content_clear(&c);
}

static void all_have_a_limit(void **state)
{
    struct content_budget budget = { .most = 20000, .each_most = 20000 };
    struct content a = { .budget = &budget }, b = { .budget = &budget }, c = { .budget = &budget };

    (void)state;
    assert_true(content_reserve(&a, 1));
    assert_true(content_reserve(&b, 1));
    assert_false(content_reserve(&c, 1));
    content_clear(&a);
    assert_true(content_reserve(&c, 1));
    content_clear(&b);
    content_clear(&c);
    assert_int_equal(budget.used, 0);
}

static void goes_to_a_file(void **state)
{
    struct content_budget budget = { .most = 0, .each_most = 0 };
    struct content c = { .budget = &budget };
    struct view bytes = make_bytes(100000);

    (void)state;
    assert_false(content_reserve(&c, 1));
    content_use_file(&c);
    for (size_t at = 0; at < bytes.len; at += 7000) {
        struct view part = view_sub(bytes, at, 7000);

        assert_true(content_reserve(&c, part.len));
        content_put(&c, part);
        check_view("stop-over", content_in_memory(&c), part);
        content_spilled(&c);
    }
    assert_int_equal(content_bytes(&c), bytes.len);
    assert_int_equal(content_crc(&c), crc32c(0, bytes));
    content_clear(&c);
    assert_false(c.filed);
    free((char *)(uintptr_t)bytes.ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_what_was_put),
        cmocka_unit_test(one_has_a_limit),
        cmocka_unit_test(all_have_a_limit),
        cmocka_unit_test(goes_to_a_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
