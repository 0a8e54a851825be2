#include "common/wire.h"

#include "tests/unit/unit.h"

#include <string.h>

static struct view write_all(char *room, size_t capacity)
{
    struct wire_writer w = wire_write(room, capacity);
    struct view bytes;

    wire_put_u8(&w, 0x01);
    wire_put_u16(&w, 0x0203);
    wire_put_u32(&w, 0x04050607);
    wire_put_u64(&w, 0x08090a0b0c0d0e0f);
    wire_put_bool(&w, true);
    wire_put_view(&w, VIEW("a\0b"));
    wire_put_view(&w, VIEW_EMPTY);
    wire_put_rest(&w, VIEW("rest"));
    return wire_finish(&w, &bytes) ? bytes : VIEW_EMPTY;
}

static const struct view encoded = VIEW_INIT(
    "\x01\x03\x02\x07\x06\x05\x04\x0f\x0e\x0d\x0c\x0b\x0a\x09\x08\x01\x03\0\0\0a\0b\0\0\0\0rest");

static void writes_little_endian(void **state)
{
    char room[64];

    (void)state;
    check_view("bytes", write_all(room, sizeof(room)), encoded);
    check_view("exactly fitting", write_all(room, encoded.len), encoded);
}

static void says_when_it_did_not_fit(void **state)
{
    char room[64];

    (void)state;
    for (size_t capacity = 0; capacity < encoded.len; capacity++) {
        memset(room, '#', sizeof(room));
        check("short", write_all(room, capacity).ptr == NULL);
        check("not beyond", room[capacity] == '#');
    }
}

static void a_later_field_does_not_hide_a_mistake(void **state)
{
    char room[4];
    struct wire_writer w = wire_write(room, sizeof(room));
    struct wire_reader r = wire_read(VIEW("ab"));
    struct view bytes;

    (void)state;
    wire_put_u64(&w, 1);
    wire_put_u8(&w, 1);
    assert_false(wire_finish(&w, &bytes));
    assert_int_equal(bytes.len, 0);

    assert_int_equal(wire_get_u32(&r), 0);
    assert_int_equal(wire_get_u8(&r), 0);
    assert_int_equal(wire_get_rest(&r).len, 0);
    assert_false(wire_done(&r));
}

static bool read_all(struct view bytes)
{
    struct wire_reader r = wire_read(bytes);
    bool same = wire_get_u8(&r) == 0x01;

    same = wire_get_u16(&r) == 0x0203 && same;
    same = wire_get_u32(&r) == 0x04050607 && same;
    same = wire_get_u64(&r) == 0x08090a0b0c0d0e0f && same;
    same = wire_get_bool(&r) && same;
    same = view_equal(wire_get_view(&r), VIEW("a\0b")) && same;
    same = view_equal(wire_get_view(&r), VIEW_EMPTY) && same;
    same = view_equal(wire_get_view(&r), VIEW_EMPTY) && same;
    same = wire_get_u8(&r) == 'x' && same;
    return wire_done(&r) && same;
}

static void reads_what_was_written(void **state)
{
    char room[64];
    size_t len = encoded.len - 4;

    (void)state;
    memcpy(room, encoded.ptr, len);
    memcpy(room + len, "\0\0\0\0x", 5);
    len += 5;
    assert_true(read_all(view_make(room, len)));
    for (size_t cut = 0; cut < len; cut++)
        check("cut", !read_all(view_make(room, cut)));
    check("something left over", !read_all(view_make(room, len + 1)));
}

static void reads_the_rest(void **state)
{
    struct wire_reader r = wire_read(VIEW("\1rest"));

    (void)state;
    assert_int_equal(wire_get_u8(&r), 1);
    check_view("rest", wire_get_rest(&r), VIEW("rest"));
    assert_true(wire_done(&r));
    check_view("no rest", wire_get_rest(&r), VIEW(""));
    assert_true(wire_done(&r));
}

static void lengths_lie(void **state)
{
    struct wire_reader r = wire_read(VIEW("\xff\xff\xff\xff"
                                          "abc"));

    (void)state;
    assert_int_equal(wire_get_view(&r).len, 0);
    assert_false(wire_done(&r));
    r = wire_read(VIEW("\4\0\0\0abc"));
    assert_int_equal(wire_get_view(&r).len, 0);
    assert_false(wire_done(&r));
}

static void refuses_strange_values(void **state)
{
    struct wire_reader r = wire_read(VIEW("\2"));

    (void)state;
    assert_false(wire_get_bool(&r));
    assert_false(wire_done(&r));
    r = wire_read(VIEW("\2\3"));
    assert_int_equal(wire_get_enum(&r, 3), 2);
    assert_int_equal(wire_get_enum(&r, 3), 0);
    assert_false(wire_done(&r));
    r = wire_read(VIEW_EMPTY);
    assert_true(wire_done(&r));
    assert_int_equal(wire_get_enum(&r, 3), 0);
    assert_false(wire_done(&r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_little_endian),
        cmocka_unit_test(says_when_it_did_not_fit),
        cmocka_unit_test(a_later_field_does_not_hide_a_mistake),
        cmocka_unit_test(reads_what_was_written),
        cmocka_unit_test(reads_the_rest),
        cmocka_unit_test(lengths_lie),
        cmocka_unit_test(refuses_strange_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
