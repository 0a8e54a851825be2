#include "mail/address.h"

#include "tests/unit/unit.h"

#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NAME_252                                                                                   \
    A63 "." A63 "." A63 "."                                                                        \
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
    const char *name;
    struct view input;
    bool good;
    const char *local, *domain, *rest;
} paths[] = {
    { "plain", VIEW_INIT("<bob@example.org>"), true, "bob", "example.org", "" },
    { "null path", VIEW_INIT("<> SIZE=1"), true, "", "", " SIZE=1" },
    { "parameters follow", VIEW_INIT("<a@b> BODY=7BIT"), true, "a", "b", " BODY=7BIT" },
    { "postmaster", VIEW_INIT("<PostMaster>"), true, "PostMaster", "", "" },
    { "another bare local part", VIEW_INIT("<bob>"), false, NULL, NULL, NULL },
    { "source route", VIEW_INIT("<@a.test,@b.test:bob@c.test>"), true, "bob", "c.test", "" },
    { "route without end", VIEW_INIT("<@a.test,bob@c.test>"), false, NULL, NULL, NULL },
    { "route with an empty hop", VIEW_INIT("<@a.test,:bob@c.test>"), false, NULL, NULL, NULL },
    { "empty route", VIEW_INIT("<@:bob@c.test>"), false, NULL, NULL, NULL },
    { "route to nobody", VIEW_INIT("<@a.test:>"), false, NULL, NULL, NULL },
    { "all of atext", VIEW_INIT("<!#$%&'*+-/=?^_`{|}~.z9@b>"), true, "!#$%&'*+-/=?^_`{|}~.z9", "b",
      "" },
    { "quoted blank", VIEW_INIT("<\"a b\"@c>"), true, "\"a b\"", "c", "" },
    { "quoted brackets", VIEW_INIT("<\"a>b@c\"@d>"), true, "\"a>b@c\"", "d", "" },
    { "quoted pair", VIEW_INIT("<\"a\\\"b\"@c>"), true, "\"a\\\"b\"", "c", "" },
    { "empty quotes", VIEW_INIT("<\"\"@c>"), true, "\"\"", "c", "" },
    { "quote without end", VIEW_INIT("<\"ab@c>"), false, NULL, NULL, NULL },
    { "backslash at the end", VIEW_INIT("<\"ab\\"), false, NULL, NULL, NULL },
    { "CR in quotes", VIEW_INIT("<\"a\rb\"@c>"), false, NULL, NULL, NULL },
    { "quoted LF", VIEW_INIT("<\"a\\\nb\"@c>"), false, NULL, NULL, NULL },
    { "NUL", VIEW_INIT("<a\0b@c>"), false, NULL, NULL, NULL },
    { "NUL in quotes", VIEW_INIT("<\"a\0b\"@c>"), false, NULL, NULL, NULL },
    { "text behind quotes", VIEW_INIT("<\"a\"b@c>"), false, NULL, NULL, NULL },
    { "dot first", VIEW_INIT("<.a@b>"), false, NULL, NULL, NULL },
    { "dot last", VIEW_INIT("<a.@b>"), false, NULL, NULL, NULL },
    { "two dots", VIEW_INIT("<a..b@c>"), false, NULL, NULL, NULL },
    { "blank", VIEW_INIT("<a b@c>"), false, NULL, NULL, NULL },
    { "blank before the bracket", VIEW_INIT("<a@b >"), false, NULL, NULL, NULL },
    { "no brackets", VIEW_INIT("a@b"), false, NULL, NULL, NULL },
    { "no closing bracket", VIEW_INIT("<a@b"), false, NULL, NULL, NULL },
    { "no local part", VIEW_INIT("<@b>"), false, NULL, NULL, NULL },
    { "no domain", VIEW_INIT("<a@>"), false, NULL, NULL, NULL },
    { "two ats", VIEW_INIT("<a@b@c>"), false, NULL, NULL, NULL },
    { "two opening brackets", VIEW_INIT("<<a@b>>"), false, NULL, NULL, NULL },
    { "nothing", VIEW_INIT(""), false, NULL, NULL, NULL },
    { "one bracket", VIEW_INIT("<"), false, NULL, NULL, NULL },
    { "local part of 255", VIEW_INIT("<" A63 A63 A63 A63 "aaa@b>"), true, A63 A63 A63 A63 "aaa",
      "b", "" },
    { "local part of 256", VIEW_INIT("<" A63 A63 A63 A63 "aaaa@b>"), false, NULL, NULL, NULL },
    { "domain of 255", VIEW_INIT("<a@" NAME_252 ".bb>"), true, "a", NAME_252 ".bb", "" },
    { "domain of 256", VIEW_INIT("<a@" NAME_252 ".bbb>"), false, NULL, NULL, NULL },
    { "label of 64", VIEW_INIT("<a@" A63 "a>"), false, NULL, NULL, NULL },
    { "dot at the end", VIEW_INIT("<a@b.>"), false, NULL, NULL, NULL },
    { "dot at the start", VIEW_INIT("<a@.b>"), false, NULL, NULL, NULL },
    { "empty label", VIEW_INIT("<a@b..c>"), false, NULL, NULL, NULL },
    { "hyphen first", VIEW_INIT("<a@-b.c>"), false, NULL, NULL, NULL },
    { "hyphen last", VIEW_INIT("<a@b-.c>"), false, NULL, NULL, NULL },
    { "hyphens within", VIEW_INIT("<a@xn--b-c>"), true, "a", "xn--b-c", "" },
    { "underscore", VIEW_INIT("<a@b_c>"), false, NULL, NULL, NULL },
    { "percent", VIEW_INIT("<a%c@b>"), true, "a%c", "b", "" },
    { "IPv4 literal", VIEW_INIT("<a@[192.0.2.1]>"), true, "a", "[192.0.2.1]", "" },
    { "IPv6 literal", VIEW_INIT("<a@[IPv6:2001:db8::1]>"), true, "a", "[IPv6:2001:db8::1]", "" },
    { "IPv6 literal, lower case", VIEW_INIT("<a@[ipv6:::1]>"), true, "a", "[ipv6:::1]", "" },
    { "IPv6 without its tag", VIEW_INIT("<a@[2001:db8::1]>"), false, NULL, NULL, NULL },
    { "IPv4 out of range", VIEW_INIT("<a@[192.0.2.256]>"), false, NULL, NULL, NULL },
    { "IPv4 too short", VIEW_INIT("<a@[192.0.2]>"), false, NULL, NULL, NULL },
    { "NUL in a literal", VIEW_INIT("<a@[192.0.2.1\0]>"), false, NULL, NULL, NULL },
    { "unknown tag", VIEW_INIT("<a@[x:y]>"), false, NULL, NULL, NULL },
    { "empty literal", VIEW_INIT("<a@[]>"), false, NULL, NULL, NULL },
    { "open literal", VIEW_INIT("<a@[>"), false, NULL, NULL, NULL },
    { "octets above 127", VIEW_INIT("<gr\xc3\xbc\xc3\x9f@b>"), false, NULL, NULL, NULL },
};

static void reads_paths(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        struct view input = paths[i].input;
        struct address a;

        check(paths[i].name, address_take_path(&input, false, &a) == paths[i].good);
        if (paths[i].good) {
            check_view(paths[i].name, a.local, view_of(paths[i].local));
            check_view(paths[i].name, a.domain, view_of(paths[i].domain));
            check_view(paths[i].name, input, view_of(paths[i].rest));
            check(paths[i].name, a.literal == (a.domain.len > 0 && a.domain.ptr[0] == '['));
        } else {
            check(paths[i].name, input.ptr == paths[i].input.ptr);
            check(paths[i].name, input.len == paths[i].input.len);
        }
    }
}

static void reads_utf8_when_asked(void **state)
{
    struct view input = VIEW("<gr\xc3\xbc\xc3\x9f@b\xc3\xbc"
                             "cher.test>");
    struct address a;

    (void)state;
    assert_false(address_take_path(&input, false, &a));
    assert_true(address_take_path(&input, true, &a));
    assert_true(a.utf8);
    input = VIEW("<a\xff@b>");
    assert_false(address_take_path(&input, true, &a));
    input = VIEW("<a@b\xc3>");
    assert_false(address_take_path(&input, true, &a));
    input = VIEW("<a@b>");
    assert_true(address_take_path(&input, true, &a));
    assert_false(a.utf8);
}

static void parses_mailboxes(void **state)
{
    struct address a;

    (void)state;
    assert_true(address_parse(VIEW("a@b"), false, &a));
    assert_true(address_parse(VIEW("Postmaster"), false, &a));
    check_view("postmaster", a.local, VIEW("Postmaster"));
    assert_false(address_parse(VIEW(""), false, &a));
    assert_false(address_parse(VIEW_EMPTY, false, &a));
    assert_false(address_parse(VIEW("a@b>"), false, &a));
    assert_false(address_parse(VIEW("a@b "), false, &a));
    assert_false(address_parse(VIEW("<a@b>"), false, &a));
    assert_false(address_parse(VIEW("@x:a@b"), false, &a));
}

static const struct {
    const char *text, *key;
} keys[] = {
    { "Bob@Example.ORG", "bob@example.org" },
    { "\"bob\"@a", "bob@a" },
    { "\"B\\o\\b\"@a", "bob@a" },
    { "\"b.o.b\"@a", "b.o.b@a" },
    { "\"b..b\"@a", "\"b..b\"@a" },
    { "\"B B\"@a", "\"b b\"@a" },
    { "\"b\\ \\b\"@a", "\"b b\"@a" },
    { "\"\\\"\\\\\"@a", "\"\\\"\\\\\"@a" },
    { "\"\"@a", "\"\"@a" },
    { "POSTMASTER", "postmaster" },
    { "a@[IPv6:2001:DB8::1]", "a@[ipv6:2001:db8::1]" },
};

static void makes_keys(void **state)
{
    char room[ADDRESS_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        struct buf out = BUF_ON_ARRAY(room);
        struct address a;

        check(keys[i].text, address_parse(view_of(keys[i].text), false, &a));
        check(keys[i].text, address_key(&a, &out));
        check_view(keys[i].text, buf_view(&out), view_of(keys[i].key));
        buf_clear(&out);
        check(keys[i].text, address_print(&a, &out));
        check_view(keys[i].text, buf_view(&out), view_of(keys[i].text));
    }
}

static void prints_all_or_nothing(void **state)
{
    struct view input = VIEW("<>");
    struct address a;
    char room[4];
    struct buf out = BUF_ON_ARRAY(room);

    (void)state;
    assert_true(address_take_path(&input, false, &a));
    assert_true(address_is_null(&a));
    assert_true(address_print(&a, &out));
    assert_int_equal(buf_len(&out), 0);
    assert_true(address_parse(VIEW("abc@d"), false, &a));
    assert_false(address_is_null(&a));
    assert_false(address_print(&a, &out));
    assert_int_equal(buf_len(&out), 0);
}

static const struct {
    const char *domain;
    bool good;
} domains[] = {
    { "example.org", true },
    { "localhost", true },
    { "1.2.3", true },
    { "a-b.c", true },
    { "", false },
    { ".", false },
    { "a.", false },
    { "[192.0.2.1]", false },
    { "a b", false },
    { "a/b", false },
    { "b\xc3\xbc"
      "cher",
      false },
};

static void knows_domains(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(domains); i++)
        check(domains[i].domain,
              domain_valid(view_of(domains[i].domain), false) == domains[i].good);
    assert_true(domain_valid(VIEW("b\xc3\xbc"
                                  "cher"),
                             true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_paths),           cmocka_unit_test(reads_utf8_when_asked),
        cmocka_unit_test(parses_mailboxes),      cmocka_unit_test(makes_keys),
        cmocka_unit_test(prints_all_or_nothing), cmocka_unit_test(knows_domains),
    };

    return cmocka_run_group_tests_name("mail/address", tests, NULL, NULL);
}
