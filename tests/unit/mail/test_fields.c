#include "mail/fields.h"

#include "tests/unit/unit.h"

static const struct {
    const char *name;
    struct view value;
    const char *line;
} cases[] = {
    { "plain", VIEW_INIT("bob@example.org"), "key=bob@example.org\n" },
    { "empty", VIEW_INIT(""), "key=\n" },
    { "equals signs stay", VIEW_INIT("a=b=c"), "key=a=b=c\n" },
    { "line end", VIEW_INIT("a\nrcpt=x"), "key=a%0Arcpt=x\n" },
    { "percent", VIEW_INIT("100%"), "key=100%25\n" },
    { "control bytes", VIEW_INIT("\0\r\t\x1b\x7f"), "key=%00%0D%09%1B%7F\n" },
    { "octets above 127 stay", VIEW_INIT("gr\xc3\xbc\xff"), "key=gr\xc3\xbc\xff\n" },
    { "blanks stay", VIEW_INIT(" a "), "key= a \n" },
};

static void round_trips(void **state)
{
    struct arena arena;
    char room[128];

    (void)state;
    arena_init(&arena, 4096);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf out = BUF_ON_ARRAY(room);
        struct view rest, key, value;

        check(cases[i].name, fields_put(&out, "key", cases[i].value));
        check_view(cases[i].name, buf_view(&out), view_of(cases[i].line));
        rest = buf_view(&out);
        check(cases[i].name, fields_take(&rest, &arena, &key, &value) == FIELDS_NEXT);
        check_view(cases[i].name, key, VIEW("key"));
        check_view(cases[i].name, value, cases[i].value);
        check(cases[i].name, fields_take(&rest, &arena, &key, &value) == FIELDS_END);
    }
    arena_reset(&arena);
}

static const struct {
    const char *name;
    struct view line;
} malformed[] = {
    { "no line end", VIEW_INIT("key=value") },  { "no equals sign", VIEW_INIT("key\n") },
    { "empty line", VIEW_INIT("\n") },          { "no key", VIEW_INIT("=value\n") },
    { "upper case", VIEW_INIT("Key=value\n") }, { "blank in the key", VIEW_INIT("a b=value\n") },
    { "CR", VIEW_INIT("key=value\r\n") },       { "NUL", VIEW_INIT("key=\0\n") },
    { "DEL", VIEW_INIT("key=\x7f\n") },         { "half an escape", VIEW_INIT("key=%4\n") },
    { "percent alone", VIEW_INIT("key=%\n") },  { "not hexadecimal", VIEW_INIT("key=%4g\n") },
};

static void refuses(void **state)
{
    struct arena arena;

    (void)state;
    arena_init(&arena, 4096);
    for (size_t i = 0; i < COUNT_OF(malformed); i++) {
        struct view rest = malformed[i].line, key, value;

        check(malformed[i].name, fields_take(&rest, &arena, &key, &value) == FIELDS_MALFORMED);
    }
    arena_reset(&arena);
}

static void full_is_refused_whole(void **state)
{
    struct view rest = VIEW("key=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%41\n"), key, value;
    struct arena arena;
    char room[10];
    struct buf out = BUF_ON_ARRAY(room);

    (void)state;
    assert_true(fields_put_u64(&out, "n", 1));
    assert_false(fields_put(&out, "key", VIEW("a\n")));
    assert_false(fields_put_u64(&out, "key", 1000));
    check_view("what was there", buf_view(&out), VIEW("n=1\n"));
    arena_init(&arena, 8);
    assert_int_equal(fields_take(&rest, &arena, &key, &value), FIELDS_MALFORMED);
    arena_reset(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(refuses),
        cmocka_unit_test(full_is_refused_whole),
    };

    return cmocka_run_group_tests_name("mail/fields", tests, NULL, NULL);
}
