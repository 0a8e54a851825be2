/* The From field: found whatever pieces the content comes in, and every address in it seen. */
#include "mail/from.h"

#include "tests/unit/unit.h"

#include <string.h>

static const struct {
    const char *name, *value;
    const char *addresses; /* each followed by a blank; NULL: malformed */
} fields[] = {
    { "bare", " bob@b.test", "bob@b.test " },
    { "with a name", " Bob <bob@b.test>", "bob@b.test " },
    { "a name that looks like an address", "\"ceo@b.test\" <bob@evil.test>", "bob@evil.test " },
    { "a comment that looks like one", "(ceo@b.test) bob@evil.test (x)", "bob@evil.test " },
    { "comments nest", "(a (b) \\) c) bob@b.test", "bob@b.test " },
    { "two", "a@b.test, \"B, C\" <b@b.test>", "a@b.test b@b.test " },
    { "holes", ",, a@b.test,, b@b.test,", "a@b.test b@b.test " },
    { "a group", "team: a@b.test, B <b@b.test>;", "a@b.test b@b.test " },
    { "an empty group", "undisclosed:;", "" },
    { "a quoted local part", "<\"a b\"@b.test>", "\"a b\"@b.test " },
    { "a literal", "a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1] " },
    { "UTF-8", "\xc3\xa9 <\xc3\xa9@b.test>", "\xc3\xa9@b.test " },
    { "a long name",
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa aaaaaaaaaaaaaaaaaaaaaaaaa <a@b.test>",
      "a@b.test " },
    { "nothing", "", "" },
    { "no domain", "bob", NULL },
    { "two addresses in one", "<a@b.test> <b@b.test>", NULL },
    { "something behind", "<a@b.test> b@b.test", NULL },
    { "brackets in brackets", "<<a@b.test>>", NULL },
    { "two without a comma", "a@b.test b@b.test", NULL },
    { "no end", "<a@b.test", NULL },
    { "a quote without end", "\"a@b.test", NULL },
    { "a comment without end", "(a@b.test", NULL },
    { "closed only", "a@b.test>", NULL },
    { "a backslash at the end", "\"a\\", NULL },
};

static void finds_addresses(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        char room[ADDRESS_MAX], got_room[256];
        struct buf text = BUF_ON_ARRAY(room), got = BUF_ON_ARRAY(got_room);
        struct view rest = view_of(fields[i].value);
        enum from_result result;
        struct address a;

        while ((result = from_take(&rest, &text, &a)) == FROM_ADDRESS)
            assert_true(address_print(&a, &got) && buf_put_byte(&got, ' '));
        check(fields[i].name, (result == FROM_MALFORMED) == (fields[i].addresses == NULL));
        if (fields[i].addresses != NULL)
            check_view(fields[i].name, buf_view(&got), view_of(fields[i].addresses));
    }
}

static const struct {
    const char *name, *content, *text;
    unsigned count;
} headers[] = {
    { "first", "From: a@b.test\r\nTo: x\r\n", " a@b.test", 1 },
    { "later, in another case", "To: x\r\nfROM:a@b.test\r\n", "a@b.test", 1 },
    { "folded", "From: A\r\n <a@b.test>\r\n\t(x)\r\nX: y\r\n", " A <a@b.test>\t(x)", 1 },
    { "a blank before the colon", "From : a@b.test\r\n", " a@b.test", 1 },
    { "twice", "From: a\r\nFrom: b\r\n", " a b", 2 },
    { "other fields", "X-From: a\r\nFromage: b\r\nFro: c\r\n From: d\r\n", "", 0 },
    { "folded others", "To: a\r\n From: b\r\n", "", 0 },
    { "in the body", "To: x\r\n\r\nFrom: a\r\n", "", 0 },
    { "at the end", "From: a", " a", 1 },
};

static void finds_the_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(headers); i++) {
        for (size_t most = 1; most < 20; most += 6) {
            struct from_scan f = { 0 };
            struct view rest = view_of(headers[i].content);
            struct arena arena;

            arena_init(&arena, 8192);
            for (; rest.len > 0; rest = view_from(rest, most))
                from_scan_feed(&f, &arena, view_sub(rest, 0, most));
            check(headers[i].name, f.count == headers[i].count && !f.cut);
            check_view(headers[i].name, view_make(f.text, f.len), view_of(headers[i].text));
            arena_reset(&arena);
        }
    }
}

static void is_bounded(void **state)
{
    struct from_scan f = { 0 };
    struct arena arena;

    (void)state;
    arena_init(&arena, 8192);
    from_scan_feed(&f, &arena, VIEW("From:"));
    for (int i = 0; i < 1000; i++)
        from_scan_feed(&f, &arena, VIEW("aaaaa"));
    check("cut", f.cut && !f.no_room && f.len == FROM_TEXT_MAX);
    arena_reset(&arena);
    f = (struct from_scan){ 0 };
    arena_init(&arena, FROM_TEXT_MAX / 2);
    from_scan_feed(&f, &arena, VIEW("From: a"));
    check("no memory", f.no_room && !f.cut && f.len == 0);
    arena_reset(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_addresses),
        cmocka_unit_test(finds_the_field),
        cmocka_unit_test(is_bounded),
    };

    return cmocka_run_group_tests_name("from", tests, NULL, NULL);
}
