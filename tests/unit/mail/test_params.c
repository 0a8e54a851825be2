#include "mail/params.h"

#include "common/buf.h"
#include "tests/unit/unit.h"

/* Each parameter as "KEYWORD=[value]" or "KEYWORD", "!" when malformed. */
static const struct {
    const char *name;
    struct view input;
    const char *wanted;
} cases[] = {
    { "nothing", VIEW_INIT(""), "" },
    { "only blanks", VIEW_INIT("   "), "" },
    { "one", VIEW_INIT("SIZE=100"), "SIZE=[100] " },
    { "two", VIEW_INIT(" SIZE=100 BODY=8BITMIME"), "SIZE=[100] BODY=[8BITMIME] " },
    { "many blanks", VIEW_INIT("  A=1   B=2  "), "A=[1] B=[2] " },
    { "no value", VIEW_INIT("SMTPUTF8"), "SMTPUTF8 " },
    { "empty value", VIEW_INIT("SIZE="), "!" },
    { "no keyword", VIEW_INIT("=1"), "!" },
    { "equals sign in the value", VIEW_INIT("A=b=c"), "!" },
    { "hyphen first", VIEW_INIT("-A=1"), "!" },
    { "hyphen within", VIEW_INIT("MT-PRIORITY=3"), "MT-PRIORITY=[3] " },
    { "underscore", VIEW_INIT("A_B=1"), "!" },
    { "tab", VIEW_INIT("A=1\tB=2"), "!" },
    { "NUL", VIEW_INIT("A=\0"), "!" },
    { "CR", VIEW_INIT("A=1\r"), "!" },
    { "DEL", VIEW_INIT("A=\x7f"), "!" },
    { "xtext", VIEW_INIT("ENVID=a+3Db<>\"~"), "ENVID=[a+3Db<>\"~] " },
    { "UTF-8", VIEW_INIT("ORCPT=utf-8;\xc3\xbc@b"), "ORCPT=[utf-8;\xc3\xbc@b] " },
    { "broken UTF-8", VIEW_INIT("ORCPT=\xc3"), "!" },
    { "good, then bad", VIEW_INIT("A=1 =2"), "A=[1] !" },
};

static void takes_params(void **state)
{
    char room[256];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf got = BUF_ON_ARRAY(room);
        struct view rest = cases[i].input;
        enum params_result result;
        struct param p;

        while ((result = params_take(&rest, &p)) == PARAMS_NEXT) {
            buf_put(&got, p.keyword);
            if (p.has_value)
                buf_printf(&got, "=[%.*s]", VIEW_ARG(p.value));
            buf_put_byte(&got, ' ');
        }
        if (result == PARAMS_MALFORMED)
            buf_put_byte(&got, '!');
        check_view(cases[i].name, buf_view(&got), view_of(cases[i].wanted));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(takes_params) };

    return cmocka_run_group_tests_name("mail/params", tests, NULL, NULL);
}
