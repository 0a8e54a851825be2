#include "common/text.h"

#include "tests/unit/unit.h"

/* RFC 4648, 10. */
static const struct {
    struct view bytes, text;
} base64[] = {
    { VIEW_INIT(""), VIEW_INIT("") },
    { VIEW_INIT("f"), VIEW_INIT("Zg==") },
    { VIEW_INIT("fo"), VIEW_INIT("Zm8=") },
    { VIEW_INIT("foo"), VIEW_INIT("Zm9v") },
    { VIEW_INIT("foob"), VIEW_INIT("Zm9vYg==") },
    { VIEW_INIT("fooba"), VIEW_INIT("Zm9vYmE=") },
    { VIEW_INIT("foobar"), VIEW_INIT("Zm9vYmFy") },
    { VIEW_INIT("\xff\xef\xbe"), VIEW_INIT("/+++") },
    { VIEW_INIT("\0\0\0\0"), VIEW_INIT("AAAAAA==") },
};

static const struct {
    const char *name;
    struct view text;
} bad_base64[] = {
    { "no padding", VIEW_INIT("Zg") },
    { "half of the padding", VIEW_INIT("Zg=") },
    { "too much padding", VIEW_INIT("Zg===") },
    { "one digit", VIEW_INIT("Z===") },
    { "only padding", VIEW_INIT("====") },
    { "padding inside", VIEW_INIT("Zg==Zg==") },
    { "padding in a group", VIEW_INIT("Zg=v") },
    { "a blank", VIEW_INIT("Zm9 ") },
    { "a line end", VIEW_INIT("Zm9v\r\n") },
    { "the other alphabet", VIEW_INIT("Zm9_") },
    { "a NUL", VIEW_INIT("Zm9\0") },
    { "not ASCII", VIEW_INIT("Zm9\xff") },
    { "bits left over, one byte", VIEW_INIT("Zh==") },
    { "bits left over, two bytes", VIEW_INIT("Zm9=") },
};

static void base64_both_ways(void **state)
{
    char room[16];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(base64); i++) {
        const char *name = base64[i].text.ptr;
        struct buf out = BUF_ON_ARRAY(room);

        check(name, base64_encode(base64[i].bytes, &out));
        check_view(name, buf_view(&out), base64[i].text);
        buf_clear(&out);
        check(name, base64_decode(base64[i].text, &out));
        check_view(name, buf_view(&out), base64[i].bytes);
    }
}

static void base64_is_strict(void **state)
{
    char room[16];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad_base64); i++) {
        struct buf out = BUF_ON_ARRAY(room);

        buf_put_byte(&out, '#');
        check(bad_base64[i].name, !base64_decode(bad_base64[i].text, &out));
        check_view(bad_base64[i].name, buf_view(&out), VIEW("#"));
    }
}

static void what_does_not_fit_is_refused(void **state)
{
    char room[8];

    (void)state;
    for (size_t capacity = 0; capacity < sizeof(room); capacity++) {
        struct buf out = buf_on(room, capacity);

        check("encode", !base64_encode(VIEW("foob"), &out) && out.overflowed);
        buf_clear(&out);
        check("hex", !hex_encode(VIEW("foob"), &out) && out.overflowed);
        buf_clear(&out);
        check("decode", base64_decode(VIEW("Zm9vYg=="), &out) == (capacity >= 4));
        buf_clear(&out);
        check("json", !json_quote(VIEW("a\"bcd"), &out) && out.overflowed);
        check("log", !log_quote(VIEW("abcdefgh"), &out));
        check("nothing written", buf_len(&out) == 0);
    }
}

static void hex(void **state)
{
    char room[8];
    struct buf out = BUF_ON_ARRAY(room);

    (void)state;
    assert_true(hex_encode(VIEW("\x00\x9f\xaa\xff"), &out));
    check_view("hex", buf_view(&out), VIEW("009faaff"));
    assert_true(hex_encode(VIEW_EMPTY, &out));
}

static const struct {
    struct view bytes, json, log;
} quotes[] = {
    { VIEW_INIT(""), VIEW_INIT("\"\""), VIEW_INIT("\"\"") },
    { VIEW_INIT("a@b.test"), VIEW_INIT("\"a@b.test\""), VIEW_INIT("a@b.test") },
    { VIEW_INIT("._-+:/@09AZ"), VIEW_INIT("\"._-+:/@09AZ\""), VIEW_INIT("._-+:/@09AZ") },
    { VIEW_INIT("a b"), VIEW_INIT("\"a b\""), VIEW_INIT("\"a b\"") },
    { VIEW_INIT("a=b"), VIEW_INIT("\"a=b\""), VIEW_INIT("\"a=b\"") },
    { VIEW_INIT("\"\\\n\r\t"), VIEW_INIT("\"\\\"\\\\\\n\\r\\t\""),
      VIEW_INIT("\"\\\"\\\\\\n\\r\\t\"") },
    { VIEW_INIT("\0\x1b\x7f"), VIEW_INIT("\"\\u0000\\u001b\\u007f\""),
      VIEW_INIT("\"\\u0000\\u001b\\u007f\"") },
    { VIEW_INIT("\xc3\xa4"), VIEW_INIT("\"\xc3\xa4\""), VIEW_INIT("\"\xc3\xa4\"") },
    { VIEW_INIT("\xc3"), VIEW_INIT("\"\\u00c3\""), VIEW_INIT("\"\\u00c3\"") },
    { VIEW_INIT("\xff\xc3(\xa0"), VIEW_INIT("\"\\u00ff\\u00c3(\\u00a0\""),
      VIEW_INIT("\"\\u00ff\\u00c3(\\u00a0\"") },
    /* U+009B begins a control sequence of terminals. */
    { VIEW_INIT("\xc2\x9b\xc2\xa0"), VIEW_INIT("\"\\u009b\xc2\xa0\""),
      VIEW_INIT("\"\\u009b\xc2\xa0\"") },
};

static void quoting(void **state)
{
    char room[64];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(quotes); i++) {
        struct buf out = BUF_ON_ARRAY(room);

        check(quotes[i].json.ptr, json_quote(quotes[i].bytes, &out));
        check_view("json", buf_view(&out), quotes[i].json);
        buf_clear(&out);
        check(quotes[i].json.ptr, log_quote(quotes[i].bytes, &out));
        check_view("log", buf_view(&out), quotes[i].log);
    }
}

static const struct {
    const char *name;
    struct view bytes;
    bool valid;
} utf8[] = {
    { "nothing", { NULL, 0 }, true },
    { "ASCII with NUL", VIEW_INIT("a\0\x7f"), true },
    { "U+0080", VIEW_INIT("\xc2\x80"), true },
    { "U+07FF", VIEW_INIT("\xdf\xbf"), true },
    { "U+0800", VIEW_INIT("\xe0\xa0\x80"), true },
    { "U+D7FF", VIEW_INIT("\xed\x9f\xbf"), true },
    { "U+E000", VIEW_INIT("\xee\x80\x80"), true },
    { "U+FFFF", VIEW_INIT("\xef\xbf\xbf"), true },
    { "U+10000", VIEW_INIT("\xf0\x90\x80\x80"), true },
    { "U+10FFFF", VIEW_INIT("\xf4\x8f\xbf\xbf"), true },
    { "a continuation alone", VIEW_INIT("\x80"), false },
    { "overlong, two bytes", VIEW_INIT("\xc1\xbf"), false },
    { "overlong, three bytes", VIEW_INIT("\xe0\x9f\xbf"), false },
    { "overlong, four bytes", VIEW_INIT("\xf0\x8f\xbf\xbf"), false },
    { "first surrogate", VIEW_INIT("\xed\xa0\x80"), false },
    { "last surrogate", VIEW_INIT("\xed\xbf\xbf"), false },
    { "beyond the last", VIEW_INIT("\xf4\x90\x80\x80"), false },
    { "five bytes", VIEW_INIT("\xf8\x88\x80\x80\x80"), false },
    { "FF", VIEW_INIT("\xff"), false },
    { "cut, two bytes", VIEW_INIT("\xc2"), false },
    { "cut, three bytes", VIEW_INIT("\xe2\x82"), false },
    { "cut, four bytes", VIEW_INIT("\xf0\x9f\x98"), false },
    { "third byte", VIEW_INIT("\xe2\x82\x28"), false },
    { "fourth byte", VIEW_INIT("\xf0\x9f\x98\xc0"), false },
    { "after something good", VIEW_INIT("abc\xc2\xa9\xc2"), false },
};

static void utf8_is_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(utf8); i++)
        check(utf8[i].name, utf8_valid(utf8[i].bytes) == utf8[i].valid);
}

/* Whatever the bytes are, what is quoted is valid and holds no raw control. */
static void quoted_noise_is_harmless(void **state)
{
    char bytes[40], room[300];
    uint64_t seed = 11;

    (void)state;
    for (int turn = 0; turn < 20000; turn++) {
        size_t len = random_below(&seed, sizeof(bytes) + 1);
        struct buf out = BUF_ON_ARRAY(room);
        struct view text;

        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)(uint8_t)random_below(&seed, 256);
        assert_true(json_quote(view_make(bytes, len), &out));
        text = buf_view(&out);
        assert_true(utf8_valid(text));
        for (size_t i = 0; i < text.len; i++)
            assert_true((uint8_t)text.ptr[i] >= ' ' && text.ptr[i] != 0x7f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_both_ways),
        cmocka_unit_test(base64_is_strict),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(hex),
        cmocka_unit_test(quoting),
        cmocka_unit_test(utf8_is_checked),
        cmocka_unit_test(quoted_noise_is_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
