#include "mail/literal.h"

#include "common/buf.h"
#include "mail/pattern.h"
#include "tests/unit/unit.h"

#include <stdio.h>

/* clang-format off */
static const struct {
    const char *pattern, *literal;
} cases[] = {
    { "bob@example\\.org",          "bob@example.org" },
    { "BOB",                        "bob" },
    { "^[a-z]+-17@.*[.]test$",      "-17@" },
    { "news-?17(-[a-z0-9]+)*@([a-z]+\\.)*d9\\.test", "d9.test" },
    { ".*free money.*",             "free money" },
    { "",                           "" },
    { ".*",                         "" },
    { "abc?d",                      "ab" },
    { "ab+cd",                      "ab" },
    { "ab+?cde",                    "cde" },
    { "abc*+de",                    "ab" },
    { "abc{2}d",                    "ab" },
    { "abc{0,2}?def",               "def" },
    { "abc{,2}d",                   "ab" },
    { "a{x}b",                      "" },
    { "abc\\.?de",                  "abc" },
    { "abc\\.+de",                  "abc." },
    { "abc|def",                    "" },
    { "(abc|def)gh",                "gh" },
    { "(?:abcde)fg(hijk)?",         "fg" },
    { "(a(b|c)d)+xy",               "xy" },
    { "abc(?i)def",                 "" },
    { "(?x) a b c",                 "" },
    { "((?x) a b c)def",            "" },
    { "abc(?=d)",                   "" },
    { "abc(?#def)",                 "" },
    { "(?<name>x)abc",              "" },
    { "(*ACCEPT)abc",               "" },
    { "(*UTF)abc",                  "" },
    { "abc(*ACCEPT)def",            "" },
    { "\\Qa|b\\Eabc",               "" },
    { "abc\\x41",                   "" },
    { "abc\\1",                     "" },
    { "abc\\Kdef",                  "" },
    { "\\babc\\b.\\d\\D\\w\\W\\s\\S", "abc" },
    { "[]abc]def",                  "def" },
    { "[^]abc]def",                 "def" },
    { "[a\\]bcde]fg",               "fg" },
    { "[a\\Qbcde]fg",               "" },
    { "[a\\cbcde]fg",               "" },
    { "[[:alpha:]]abc",             "" },
    { "[a[b]cd",                    "cd" },
    { "([)]abc)def",                "def" },
    { "(\\)abcd)ef",                "ef" },
    { "abc$def",                    "abc" },
    { "abc\xc3\xa4" "defg",         "defg" },
    { "abc\\\xc3\xa4" "defg",       "defg" },
    { "a/b,c;d",                    "a/b,c;d" },
    { "a]b}cd",                     "" },
};
/* clang-format on */

static void finds_what_must_be_there(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct literal l = literal_of(view_of(cases[i].pattern));

        check_view(cases[i].pattern, view_make(l.bytes, l.len), view_of(cases[i].literal));
    }
}

static void cuts_what_is_long(void **state)
{
    static const char a[] = "0123456789012345678901234567890123456789012345678901234567890123"
                            "4*01234567890123456789";
    struct literal l = literal_of(view_of(a));

    (void)state;
    check_view("literal", view_make(l.bytes, l.len), view_make(a, LITERAL_MAX));
}

static void sees_it_in_texts(void **state)
{
    static const struct {
        const char *literal, *text;
        bool there;
    } texts[] = {
        { "", "", true },
        { "ask", "to ASK you", true },
        { "ask", "as k", false },
        { "ask", "as", false },
        { "ask", "a\xc5\xbf\xe2\x84\xaa", true },
        { "ask", "a\xc5\xbf\xe2\x84", false },
        { "to you", "say it to\r\n you", true },
        { "aab", "aaab", true },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct literal l = literal_of(view_of(texts[i].literal));

        check(texts[i].text, literal_is_in(&l, view_of(texts[i].text)) == texts[i].there);
    }
}

/* ---- a pattern in a group has no literal for us, and matches the same ---- */

static uint64_t seed = 7;

static unsigned pick(unsigned count)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % count;
}

static struct view put_pieces(struct buf *out, const char *const *pieces, unsigned count)
{
    buf_clear(out);
    for (unsigned i = 1 + pick(8); i > 0; i--)
        buf_printf(out, "%s", pieces[pick(count)]);
    return buf_view(out);
}

static void loses_no_match(void **state)
{
    static const char *const of_patterns[] = {
        "a",     "b",     "s",     "K",     "ab",       "ask",      "\\.",       ".",
        ".*",    "[ab]",  "[]a]",  "[^.]",  "*",        "+",        "?",         "{2}",
        "{0,1}", "{,2}",  "(",     "(?:",   "(?i)",     ")",        "|",         "^",
        "$",     "\\b",   "\\d",   "\\w+",  "\\Q*",     "\\E",      "(?x)",      " ",
        "#",     "(?=a)", "\\x61", "\\1",   "\xc5\xbf", "\xc3\xa4", "(*ACCEPT)", "[[:alpha:]]",
        "{",     "}",     "]",     "(?!b)", "\\K",      "-",        "@",         "(?<n>a)",
        "(?1)",  "(?-i)",
    };
    static const char *const of_texts[] = {
        "a", "b", "s", "k",        "ab",           "ask",      ".",    "A", "aa",
        "*", " ", "#", "\xc5\xbf", "\xe2\x84\xaa", "\xc3\xa4", "\xff", "1", "{2}",
        "-", "@", "]", "}"
    };
    char pattern_room[128], text_room[128], group_room[140];
    struct buf pattern_buf = BUF_ON_ARRAY(pattern_room), text_buf = BUF_ON_ARRAY(text_room);
    unsigned compiled = 0, matched = 0;

    (void)state;
    for (unsigned i = 0; i < 30000; i++) {
        struct view pattern = put_pieces(&pattern_buf, of_patterns, COUNT_OF(of_patterns));
        struct buf group = BUF_ON_ARRAY(group_room);
        struct error err;
        struct pattern *one = pattern_new(pattern, &err), *same;

        buf_printf(&group, "(?:%.*s)", VIEW_ARG(pattern));
        same = pattern_new(buf_view(&group), &err);
        for (unsigned j = 0; one != NULL && same != NULL && j < 20; j++) {
            struct view text = put_pieces(&text_buf, of_texts, COUNT_OF(of_texts));
            enum pattern_result wanted = pattern_match(same, text);

            matched += wanted == PATTERN_YES;
            if (wanted != PATTERN_FAILED && pattern_match(one, text) != wanted)
                fail_msg("/%.*s/ and \"%.*s\"", VIEW_ARG(pattern), VIEW_ARG(text));
        }
        compiled += one != NULL && same != NULL;
        pattern_free(&one);
        pattern_free(&same);
    }
    assert_true(compiled > 3000);
    assert_true(matched > 3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_must_be_there),
        cmocka_unit_test(cuts_what_is_long),
        cmocka_unit_test(sees_it_in_texts),
        cmocka_unit_test(loses_no_match),
    };

    return cmocka_run_group_tests_name("literal", tests, NULL, NULL);
}
