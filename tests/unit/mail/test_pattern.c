#include "mail/pattern.h"

#include "tests/unit/unit.h"

#include <string.h>

static const struct {
    const char *pattern;
    struct view subject;
    bool matches;
} cases[] = {
    { "bob@example\\.org", VIEW_INIT("bob@example.org"), true },
    { "bob@example\\.org", VIEW_INIT("BOB@Example.ORG"), true },
    { "bob", VIEW_INIT("bobby"), false },
    { "bob", VIEW_INIT("abob"), false },
    { "a|ab", VIEW_INIT("ab"), true },
    { "bob", VIEW_INIT("bob\n"), false },
    { "b.b", VIEW_INIT("b\nb"), false },
    { "b.b", VIEW_INIT("b\0b"), true },
    { ".*", VIEW_INIT(""), true },
    { "", VIEW_INIT(""), true },
    { "", VIEW_INIT("a"), false },
    { ".@b", VIEW_INIT("\xc3\xbc@b"), true },
    { ".@b", VIEW_INIT("\xc3@b"), true }, /* no UTF-8: by bytes, and all of it */
    { "..@b", VIEW_INIT("\xc3\xbc@b"), false },
    { "b",
      VIEW_INIT("\xff"
                "b"),
      false },
    { "b", VIEW_INIT("b\xff"), false },
    { ".*b.*",
      VIEW_INIT("\xff"
                "b\xff"),
      true },
    { "(a|b)\\1", VIEW_INIT("bb"), true },
    { "(a|b)\\1", VIEW_INIT("ab"), false },
    /* What is seen without the matcher: the first byte, the last one that must be there. */
    { "bob.*", VIEW_INIT("BOB"), true },
    { "bob.*", VIEW_INIT(""), false },
    { ".*bob", VIEW_INIT("aBOB"), true },
    { ".*bob", VIEW_INIT("abo"), false },
    { "[ab]x*", VIEW_INIT("B"), true },
    { "[ab]x*", VIEW_INIT("c"), false },
    { "[ab]x*", VIEW_INIT(""), false },
    { "a?", VIEW_INIT(""), true },
    { "(a|b)?1", VIEW_INIT("1"), true },
    { ".*\\.TEST", VIEW_INIT("a.test"), true },
    { "(?!b).*b", VIEW_INIT("ab"), true },
    { "\\Kbob", VIEW_INIT("bob"), true },
    { "(?=bo)[a-z]+", VIEW_INIT("Bob"), true },
    { "\xe2\x84\xaa.*", VIEW_INIT("kelvin"), true }, /* the sign is another case of k */
    { ".*\xe2\x84\xaa", VIEW_INIT("K"), true },
    { "kelvin",
      VIEW_INIT("\xe2\x84\xaa"
                "elvin"),
      true },
    { "\xc5\xbf.*", VIEW_INIT("S"), true }, /* and this one of s */
    { ".*s", VIEW_INIT("a\xc5\xbf"), true },
};

static void matches(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct error err;
        struct pattern *p = pattern_new(view_of(cases[i].pattern), &err);

        check(cases[i].pattern, p != NULL);
        check(cases[i].pattern,
              (pattern_match(p, cases[i].subject) == PATTERN_YES) == cases[i].matches);
        pattern_free(&p);
        assert_null(p);
    }
}

static void refuses_what_does_not_compile(void **state)
{
    static const char *const bad[] = { "(", "a{2,1}", "[b-a]", "\\C", "\xff", "*" };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct error err = { "" };

        check(bad[i], pattern_new(view_of(bad[i]), &err) == NULL);
        check(bad[i], strstr(err.text, "byte") != NULL);
    }
}

static void a_runaway_pattern_fails(void **state)
{
    char text[64];
    struct error err;
    struct pattern *p = pattern_new(VIEW("(?:a*)*[bc]"), &err);

    (void)state;
    memset(text, 'a', sizeof(text));
    assert_non_null(p);
    assert_int_equal(pattern_match(p, view_make(text, sizeof(text))), PATTERN_FAILED);
    assert_int_equal(pattern_match(p, VIEW("aab")), PATTERN_YES);
    assert_int_equal(pattern_match(p, VIEW("aad")), PATTERN_NO);
    pattern_free(&p);
    p = pattern_new(VIEW("\\x{20ac}.*"), &err);
    assert_non_null(p);
    assert_int_equal(pattern_match(p, VIEW("\xe2\x82\xac!")), PATTERN_YES);
    assert_int_equal(pattern_match(p, VIEW("\xe2\x82\xac\xff")), PATTERN_FAILED);
    pattern_free(&p);
}

/* Nothing that it begins with makes it read a text as what it is not. */
static void a_pattern_sets_no_traps(void **state)
{
    static const struct {
        const char *pattern;
        struct view subject;
        enum pattern_result result;
    } traps[] = {
        { "(*UTF)\\p{L}.*", VIEW_INIT("\xfd\xbf\xbf\xbf\xbf\xbf"), PATTERN_FAILED },
        { "(*UTF)a[^x]", VIEW_INIT("a\xf0"), PATTERN_FAILED },
        { "(*NO_START_OPT)(*UTF)a[^x]", VIEW_INIT("a\xf0"), PATTERN_FAILED },
        { "(*UCP)(*UTF)a[^x]", VIEW_INIT("a\xf0"), PATTERN_FAILED },
        { "(*UTF)a[^x]", VIEW_INIT("a\xc3\xbc"), PATTERN_YES },
        { "(*UTF)a[^x]", VIEW_INIT("ab"), PATTERN_YES },
        { "(*UCP)a\\w", VIEW_INIT("a\xe4"), PATTERN_YES },
        { "(*UCP)a\\w", VIEW_INIT("a\xc3\xa4"), PATTERN_YES },
        { "(*NO_START_OPT)ab*", VIEW_INIT("b"), PATTERN_NO },
        { "(*NO_START_OPT)ab*", VIEW_INIT("AB"), PATTERN_YES },
        { "(*LIMIT_MATCH=4000000000)(?:a*)*[bc]",
          VIEW_INIT("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), PATTERN_FAILED },
        { "(*LIMIT_MATCH=0)(?:a*)*[bc]", VIEW_INIT("ab"), PATTERN_FAILED },
        { "(*LIMIT_DEPTH=4000000000)(*LIMIT_HEAP=4000000000)(a?)+b", VIEW_INIT("aab"),
          PATTERN_YES },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(traps); i++) {
        struct error err;
        struct pattern *p = pattern_new(view_of(traps[i].pattern), &err);

        check(traps[i].pattern, p != NULL);
        check(traps[i].pattern, pattern_match(p, traps[i].subject) == traps[i].result);
        pattern_free(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches),
        cmocka_unit_test(refuses_what_does_not_compile),
        cmocka_unit_test(a_runaway_pattern_fails),
        cmocka_unit_test(a_pattern_sets_no_traps),
    };

    return cmocka_run_group_tests_name("mail/pattern", tests, NULL, NULL);
}
