#include "common/buf.h"

#include "tests/unit/unit.h"

#include <string.h>

static void refuses_whole(void **state)
{
    char room[4];
    struct buf b = BUF_ON_ARRAY(room);

    (void)state;
    assert_true(buf_put(&b, VIEW("abc")));
    assert_false(buf_put(&b, VIEW("de")));
    assert_true(b.overflowed);
    check_view("kept", buf_view(&b), VIEW("abc"));
    assert_true(buf_put_byte(&b, 'd'));
    assert_false(buf_put_byte(&b, 'e'));
    assert_true(buf_put(&b, VIEW_EMPTY));
    assert_int_equal(buf_space(&b), 0);
    buf_clear(&b);
    assert_false(b.overflowed);
    assert_int_equal(buf_len(&b), 0);
    assert_int_equal(buf_space(&b), 4);
}

static void finds_room_at_the_front(void **state)
{
    char room[6];
    struct buf b = BUF_ON_ARRAY(room);

    (void)state;
    assert_true(buf_put(&b, VIEW("abcdef")));
    buf_consume(&b, 2);
    assert_int_equal(buf_space(&b), 2);
    assert_true(buf_put(&b, VIEW("gh")));
    check_view("moved", buf_view(&b), VIEW("cdefgh"));
    buf_consume(&b, 6);
    assert_int_equal(b.start, 0);
    buf_truncate(&b, 3);
    assert_int_equal(buf_len(&b), 0);
    assert_true(buf_put(&b, VIEW("abcdef")));
    buf_consume(&b, 1);
    buf_truncate(&b, 2);
    check_view("cut", buf_view(&b), VIEW("bc"));
    buf_truncate(&b, 5);
    check_view("not longer", buf_view(&b), VIEW("bc"));
}

static void prints(void **state)
{
    char room[8];
    struct buf b = BUF_ON_ARRAY(room);

    (void)state;
    assert_true(buf_printf(&b, "%d-%s", 12, "ab"));
    check_view("printed", buf_view(&b), VIEW("12-ab"));
    assert_false(buf_printf(&b, "%s", "cdef"));
    assert_true(b.overflowed);
    check_view("nothing changed", buf_view(&b), VIEW("12-ab"));
    assert_true(buf_printf(&b, "%s", "cde"));
    check_view("filled to the last byte", buf_view(&b), VIEW("12-abcde"));
    assert_false(buf_printf(&b, "x"));
    assert_true(buf_printf(&b, "%s", ""));
    buf_consume(&b, 3);
    assert_true(buf_printf(&b, "%.*s", 2, "xyz"));
    check_view("moved and printed", buf_view(&b), VIEW("abcdexy"));
}

static void prints_numbers(void **state)
{
    char room[42];
    struct buf b = BUF_ON_ARRAY(room);

    (void)state;
    assert_true(buf_put_u64(&b, 0));
    assert_true(buf_put_byte(&b, ' '));
    assert_true(buf_put_u64(&b, UINT64_MAX));
    check_view("numbers", buf_view(&b), VIEW("0 18446744073709551615"));
    assert_false(buf_put_u64(&b, UINT64_MAX) && buf_put_u64(&b, 1000));
}

static void nothing_fits_into_a_zeroed_one(void **state)
{
    struct buf b = { 0 };
    size_t room = 1;

    (void)state;
    assert_true(buf_put(&b, VIEW_EMPTY));
    assert_true(buf_printf(&b, "%s", ""));
    assert_false(b.overflowed);
    assert_false(buf_put_byte(&b, 'x'));
    assert_false(buf_printf(&b, "x"));
    assert_null(buf_tail(&b, &room));
    assert_int_equal(room, 0);
    assert_int_equal(buf_view(&b).len, 0);
    buf_free(&b);
}

/* A stream of bytes goes through in random portions and comes out unchanged. */
static void a_stream_passes(void **state)
{
    struct buf b;
    uint64_t seed = 1;
    uint8_t written = 0, read = 0;

    (void)state;
    buf_new(&b, 100);
    for (int turn = 0; turn < 20000; turn++) {
        size_t room, count;
        char *tail = buf_tail(&b, &room);

        assert_true(room > 0 || buf_len(&b) == 100);
        count = random_below(&seed, room + 1);
        for (size_t i = 0; i < count; i++)
            tail[i] = (char)written++;
        buf_extend(&b, count);
        count = random_below(&seed, buf_len(&b) + 1);
        for (size_t i = 0; i < count; i++)
            assert_int_equal((uint8_t)buf_view(&b).ptr[i], read++);
        buf_consume(&b, count);
    }
    buf_free(&b);
    assert_null(b.room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_whole),
        cmocka_unit_test(finds_room_at_the_front),
        cmocka_unit_test(prints),
        cmocka_unit_test(prints_numbers),
        cmocka_unit_test(nothing_fits_into_a_zeroed_one),
        cmocka_unit_test(a_stream_passes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
