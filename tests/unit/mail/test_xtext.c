#include "mail/xtext.h"

#include "tests/unit/unit.h"

static const struct {
    const char *name, *bytes, *xtext, *unitext;
} cases[] = {
    { "nothing", "", "", "" },
    { "plain", "bob@b.test", "bob@b.test", "bob@b.test" },
    { "plus and equals", "a+b=c", "a+2Bb+3Dc", "a\\x{2B}b\\x{3D}c" },
    { "blank and control", "a b\x01\x7f", "a+20b+01+7F", "a\\x{20}b\\x{01}\\x{7F}" },
    { "backslash", "a\\b", "a\\b", "a\\x{5C}b" },
    { "two bytes", "\xc3\xb6", "+C3+B6", "\\x{F6}" },
    { "three bytes", "\xe2\x82\xac.", "+E2+82+AC.", "\\x{20AC}." },
    { "four bytes", "\xf0\x9f\x93\xa7", "+F0+9F+93+A7", "\\x{1F4E7}" },
    { "no UTF-8", "\xff", "+FF", NULL },
};

static void encodes(void **state)
{
    char room[64];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf out = BUF_ON_ARRAY(room);
        struct buf unicode = BUF_ON_ARRAY(room);

        check(cases[i].name, xtext_encode(view_of(cases[i].bytes), &out));
        check_view(cases[i].name, buf_view(&out), view_of(cases[i].xtext));
        check(cases[i].name, xtext_encode_unicode(view_of(cases[i].bytes), &unicode) ==
                                 (cases[i].unitext != NULL));
        if (cases[i].unitext != NULL)
            check_view(cases[i].name, buf_view(&unicode), view_of(cases[i].unitext));
    }
}

static void decodes(void **state)
{
    static const struct {
        const char *xtext, *bytes; /* NULL: refused */
    } texts[] = {
        { "", "" },
        { "bob@b.test", "bob@b.test" },
        { "a+2Bb+3Dc", "a+b=c" },
        { "+C3+B6", "\xc3\xb6" },
        { "a+2bb", NULL },
        { "a=b", NULL },
        { "a b", NULL },
        { "a+", NULL },
        { "a+2", NULL },
        { "+2", NULL },
        { "a+00b", NULL },
        { "+0A", "\n" },
        { "+GG", NULL },
        { "\xc3\xb6", NULL },
    };
    char room[64];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct buf out = BUF_ON_ARRAY(room);
        bool good = xtext_decode(view_of(texts[i].xtext), &out);

        check(texts[i].xtext, good == (texts[i].bytes != NULL));
        if (good)
            check_view(texts[i].xtext, buf_view(&out), view_of(texts[i].bytes));
    }
}

static void decodes_unicode(void **state)
{
    static const struct {
        const char *text, *bytes; /* NULL: refused */
    } texts[] = {
        { "bob@b.test", "bob@b.test" },
        { "bj\\x{F6}rn@b.test", "bj\xc3\xb6rn@b.test" },
        { "bj\xc3\xb6rn@b.test", "bj\xc3\xb6rn@b.test" },
        { "+C3+B6@b", "\xc3\xb6@b" },
        { "\\x{20AC}\\x{1F4E7}", "\xe2\x82\xac\xf0\x9f\x93\xa7" },
        { "a\\x{5C}\\x{2B}\\x{3D}b", "a\\+=b" },
        { "\\x{41}", NULL }, /* stands for itself */
        { "\\x{f6}", NULL },
        { "\\x{F}", NULL },
        { "\\x{00}", NULL },
        { "\\x{D800}", NULL },
        { "\\x{110000}", NULL },
        { "\\x{00000F6}", NULL },
        { "\\x{F6", NULL },
        { "\\x{}", NULL },
        { "\\y", NULL },
        { "\\", NULL },
        { "+00", NULL },
        { "+C3", NULL },
        { "a=b", NULL },
        { "\xff", NULL },
    };
    char room[64];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct buf out = BUF_ON_ARRAY(room);
        bool good = xtext_decode_unicode(view_of(texts[i].text), &out);

        check(texts[i].text, good == (texts[i].bytes != NULL));
        if (good)
            check_view(texts[i].text, buf_view(&out), view_of(texts[i].bytes));
    }
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf out = BUF_ON_ARRAY(room);

        if (cases[i].unitext == NULL)
            continue;
        check(cases[i].name, xtext_decode_unicode(view_of(cases[i].unitext), &out));
        check_view(cases[i].name, buf_view(&out), view_of(cases[i].bytes));
    }
}

static void needs_room(void **state)
{
    char room[4];
    struct buf out = BUF_ON_ARRAY(room);

    (void)state;
    assert_false(xtext_encode(VIEW("a+b"), &out));
    buf_clear(&out);
    assert_false(xtext_encode_unicode(VIEW("\xc3\xb6"), &out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes),
        cmocka_unit_test(decodes),
        cmocka_unit_test(decodes_unicode),
        cmocka_unit_test(needs_room),
    };

    return cmocka_run_group_tests_name("xtext", tests, NULL, NULL);
}
