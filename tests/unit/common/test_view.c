#include "common/view.h"

#include "tests/unit/unit.h"

static const struct {
    const char *name;
    struct view a, b;
    int order; /* sign of view_compare */
    bool nocase;
} pairs[] = {
    { "both empty", VIEW_INIT(""), { NULL, 0 }, 0, true },
    { "one empty", VIEW_INIT("a"), { NULL, 0 }, 1, false },
    { "the same", VIEW_INIT("abc"), VIEW_INIT("abc"), 0, true },
    { "case differs", VIEW_INIT("aBc"), VIEW_INIT("AbC"), 1, true },
    { "prefix", VIEW_INIT("ab"), VIEW_INIT("abc"), -1, false },
    { "the first difference decides", VIEW_INIT("b"), VIEW_INIT("abc"), 1, false },
    { "bytes are unsigned", VIEW_INIT("\x80"), VIEW_INIT("a"), 1, false },
    { "NUL is a byte", VIEW_INIT("a\0b"), VIEW_INIT("a\0c"), -1, false },
    { "not letters: @ and `", VIEW_INIT("@"), VIEW_INIT("`"), -1, false },
    { "not letters: [ and {", VIEW_INIT("["), VIEW_INIT("{"), -1, false },
    { "not ASCII", VIEW_INIT("\xc3\x84"), VIEW_INIT("\xc3\xa4"), -1, false },
};

static void compares(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        int order = view_compare(pairs[i].a, pairs[i].b);

        check(pairs[i].name, (order > 0) - (order < 0) == pairs[i].order);
        check(pairs[i].name, view_equal(pairs[i].a, pairs[i].b) == (pairs[i].order == 0));
        check(pairs[i].name, view_equal_nocase(pairs[i].a, pairs[i].b) == pairs[i].nocase);
    }
}

static void cuts_are_clipped(void **state)
{
    struct view v = VIEW("hello");

    (void)state;
    check_view("from 0", view_from(v, 0), v);
    check_view("from 2", view_from(v, 2), VIEW("llo"));
    check_view("from the end", view_from(v, 5), VIEW(""));
    check_view("from beyond", view_from(v, 6), VIEW(""));
    check_view("sub", view_sub(v, 1, 3), VIEW("ell"));
    check_view("sub too long", view_sub(v, 3, SIZE_MAX), VIEW("lo"));
    check_view("sub from beyond", view_sub(v, SIZE_MAX, SIZE_MAX), VIEW(""));
    check_view("of nothing", view_from(VIEW_EMPTY, 0), VIEW(""));
    check_view("NULL string", view_of(NULL), VIEW(""));
    check_view("string", view_of("hello"), v);
    check_view("trim", view_trim(VIEW(" \t a b\t ")), VIEW("a b"));
    check_view("trim blanks", view_trim(VIEW(" \t ")), VIEW(""));
    check_view("trim nothing", view_trim(VIEW_EMPTY), VIEW(""));
}

static void finds(void **state)
{
    struct view v = VIEW("a@b@c");

    (void)state;
    assert_int_equal(view_find(v, '@'), 1);
    assert_int_equal(view_find_last(v, '@'), 3);
    assert_int_equal(view_find(v, 'x'), 5);
    assert_int_equal(view_find_last(v, 'x'), 5);
    assert_int_equal(view_find(VIEW_EMPTY, 'x'), 0);
    assert_int_equal(view_find_last(VIEW_EMPTY, 'x'), 0);
    assert_int_equal(view_find_view(v, VIEW("@c")), 3);
    assert_int_equal(view_find_view(v, VIEW("@d")), 5);
    assert_int_equal(view_find_view(v, VIEW_EMPTY), 0);
    assert_int_equal(view_find_view(VIEW_EMPTY, VIEW("x")), 0);
    assert_true(view_has(v, 'c'));
    assert_false(view_has(v, 'd'));
    assert_false(view_has(VIEW_EMPTY, '\0'));
    assert_true(view_starts(v, VIEW("a@")));
    assert_true(view_starts(v, VIEW_EMPTY));
    assert_false(view_starts(v, VIEW("A@")));
    assert_false(view_starts(v, VIEW("a@b@c@")));
    assert_true(view_starts_nocase(v, VIEW("A@")));
    assert_true(view_ends_nocase(v, VIEW("@C")));
    assert_true(view_ends_nocase(VIEW_EMPTY, VIEW_EMPTY));
    assert_false(view_ends_nocase(v, VIEW("xa@b@c")));
}

static void takes(void **state)
{
    struct view v = VIEW("MAIL FROM:<a@b> \t SIZE=1\tX");

    (void)state;
    assert_false(view_take(&v, VIEW("mail ")));
    assert_true(view_take_nocase(&v, VIEW("mail ")));
    assert_true(view_take(&v, VIEW("FROM:")));
    assert_false(view_take_byte(&v, 'a'));
    assert_true(view_take_byte(&v, '<'));
    check_view("until", view_take_until(&v, '@'), VIEW("a"));
    check_view("word", view_take_word(&v), VIEW("b>"));
    check_view("next word", view_take_word(&v), VIEW("SIZE=1"));
    check_view("until without it", view_take_until(&v, '@'), VIEW("X"));
    assert_int_equal(v.len, 0);
    check_view("no word", view_take_word(&v), VIEW(""));
    assert_false(view_take_byte(&v, '\0'));
    v = VIEW(" a");
    check_view("a word before the blank", view_take_word(&v), VIEW(""));
    check_view("what is left", v, VIEW("a"));
    v = VIEW("a@");
    check_view("until the last byte", view_take_until(&v, '@'), VIEW("a"));
    assert_int_equal(v.len, 0);
}

static void takes_lines(void **state)
{
    static const struct view wanted[] = {
        VIEW_INIT("one"), VIEW_INIT("two"),     VIEW_INIT(""),
        VIEW_INIT(""),    VIEW_INIT("three\r"), VIEW_INIT("four\r"),
    };
    struct view v = VIEW("one\r\ntwo\n\r\n\nthree\r\r\nfour\r");
    struct view line;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        assert_true(view_take_line(&v, &line));
        check_view("line", line, wanted[i]);
    }
    assert_false(view_take_line(&v, &line));
}

static const struct {
    struct view text;
    uint64_t most;
    bool good;
    uint64_t number;
} decimals[] = {
    { VIEW_INIT("0"), 0, true, 0 },
    { VIEW_INIT("1"), 0, false, 0 },
    { VIEW_INIT("00000000000000000000000012"), 12, true, 12 },
    { VIEW_INIT("255"), 255, true, 255 },
    { VIEW_INIT("256"), 255, false, 0 },
    { VIEW_INIT("2550"), 255, false, 0 },
    { VIEW_INIT("18446744073709551615"), UINT64_MAX, true, UINT64_MAX },
    { VIEW_INIT("18446744073709551616"), UINT64_MAX, false, 0 },
    { VIEW_INIT("99999999999999999999"), UINT64_MAX, false, 0 },
    { VIEW_INIT(""), UINT64_MAX, false, 0 },
    { VIEW_INIT("+1"), UINT64_MAX, false, 0 },
    { VIEW_INIT("-1"), UINT64_MAX, false, 0 },
    { VIEW_INIT(" 1"), UINT64_MAX, false, 0 },
    { VIEW_INIT("1 "), UINT64_MAX, false, 0 },
    { VIEW_INIT("1\0"), UINT64_MAX, false, 0 },
    { VIEW_INIT("1:"), UINT64_MAX, false, 0 },
    { VIEW_INIT("\xff"), UINT64_MAX, false, 0 },
}, hexadecimals[] = {
    { VIEW_INIT("0"), 0, true, 0 },
    { VIEW_INIT("aF09"), 0, true, 0xaf09 },
    { VIEW_INIT("ffffffffffffffff"), 0, true, UINT64_MAX },
    { VIEW_INIT("00000000000000001"), 0, false, 0 },
    { VIEW_INIT(""), 0, false, 0 },
    { VIEW_INIT("g"), 0, false, 0 },
    { VIEW_INIT("0x1"), 0, false, 0 },
    { VIEW_INIT("-1"), 0, false, 0 },
    { VIEW_INIT("a`"), 0, false, 0 },
    { VIEW_INIT("@"), 0, false, 0 },
};

static void reads_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(decimals); i++) {
        uint64_t number = 0;

        check(decimals[i].text.ptr,
              view_to_u64(decimals[i].text, decimals[i].most, &number) == decimals[i].good);
        check(decimals[i].text.ptr, number == decimals[i].number);
    }
    for (size_t i = 0; i < COUNT_OF(hexadecimals); i++) {
        uint64_t number = 0;

        check(hexadecimals[i].text.ptr,
              view_hex_to_u64(hexadecimals[i].text, &number) == hexadecimals[i].good);
        check(hexadecimals[i].text.ptr, number == hexadecimals[i].number);
    }
}

static void knows_bytes(void **state)
{
    unsigned digits = 0, letters = 0, both = 0, lowered = 0;

    (void)state;
    for (int i = 0; i < 256; i++) {
        char c = (char)(uint8_t)i;

        digits += byte_is_digit(c);
        letters += byte_is_alpha(c);
        both += byte_is_alnum(c);
        lowered += byte_lower(c) != c;
    }
    assert_int_equal(digits, 10);
    assert_int_equal(letters, 52);
    assert_int_equal(both, 62);
    assert_int_equal(lowered, 26);
    assert_int_equal(byte_lower('Z'), 'z');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compares),    cmocka_unit_test(cuts_are_clipped),
        cmocka_unit_test(finds),       cmocka_unit_test(takes),
        cmocka_unit_test(takes_lines), cmocka_unit_test(reads_numbers),
        cmocka_unit_test(knows_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
