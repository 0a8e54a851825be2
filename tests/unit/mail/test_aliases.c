#include "mail/aliases.h"

#include "common/buf.h"
#include "tests/unit/unit.h"

#include <stdio.h>

/* clang-format off */
static const struct {
    const char *name, *text, *wanted; /* "name=target|target;" for each entry, "!line;" */
} cases[] = {
    { "nothing",        "",                              "" },
    { "idle lines",     "# a: b\n\n   \n\t# x\r\n",      "" },
    { "one",            "root: ann\n",                   "root=ann;" },
    { "no line end",    "root:ann",                      "root=ann;" },
    { "CRLF",           "root: ann\r\nx: y\r\n",         "root=ann;x=y;" },
    { "several",        "team: ann, bob@b.test ,carl\n", "team=ann|bob@b.test|carl;" },
    { "goes on",        "team: ann,\n\tbob,\n  carl\nx: y\n", "team=ann|bob|carl;x=y;" },
    { "idle between",   "team: ann,\n# who?\n\n  # here\n bob\nx: y", "team=ann|bob;x=y;" },
    { "no comma",       "team: ann\n bob",               "team=ann|bob;" },
    { "empty targets",  "team: , ann,, ,\n",             "team=ann;" },
    { "no targets",     "team:\n",                       "team=;" },
    { "quoted",         "\"a b\": \"c, d\"@e.test, \"x\\\"y\"@e.test", "\"a b\"=\"c, d\"@e.test|\"x\\\"y\"@e.test;" },
    { "quoted colon",   "\"a:b\": c",                    "\"a:b\"=c;" },
    { "open quote",     "a: \"b, c\nd: e",               "a=\"b, c;d=e;" },
    { "include",        "a: :include:/etc/list",         "a=:include:/etc/list;" },
    { "no colon",       "root ann\nx: y\n",              "!root ann;x=y;" },
    { "no name",        ": ann\n",                       "!: ann;" },
    { "first line goes on", "  x: y\n",                  "x=y;" },
};
/* clang-format on */

static void print_entries(struct view text, struct buf *out)
{
    struct view name, targets, target;
    enum aliases_result result;

    while ((result = aliases_take_entry(&text, &name, &targets)) != ALIASES_END) {
        const char *between = "=";

        if (result == ALIASES_MALFORMED) {
            buf_printf(out, "!%.*s;", VIEW_ARG(targets));
            continue;
        }
        buf_put(out, name);
        while (aliases_take_target(&targets, &target)) {
            buf_printf(out, "%s%.*s", between, VIEW_ARG(target));
            between = "|";
        }
        buf_put(out, between[0] == '=' ? VIEW("=;") : VIEW(";"));
    }
}

static void reads_files(void **state)
{
    char room[512];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf out = BUF_ON_ARRAY(room);

        print_entries(view_of(cases[i].text), &out);
        check_view(cases[i].name, buf_view(&out), view_of(cases[i].wanted));
    }
}

static void knows_what_is_no_address(void **state)
{
    struct view include = VIEW(":Include:/etc/list"), quoted = VIEW("\":include:/a b\"");
    struct view address = VIEW("include@a.test");

    (void)state;
    assert_true(aliases_take_include(&include));
    check_view("include", include, VIEW("/etc/list"));
    assert_true(aliases_take_include(&quoted));
    check_view("quoted", quoted, VIEW("/a b"));
    assert_false(aliases_take_include(&address));
    assert_true(aliases_is_program(VIEW("|/bin/sh")));
    assert_true(aliases_is_program(VIEW("\"|exec /bin/sh\"")));
    assert_false(aliases_is_program(VIEW("a|b@a.test")));
    assert_true(aliases_is_file(VIEW("/dev/null")));
    assert_true(aliases_is_file(VIEW("\"/a b\"")));
    assert_false(aliases_is_file(VIEW("a/b@a.test")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_files),
        cmocka_unit_test(knows_what_is_no_address),
    };

    return cmocka_run_group_tests_name("mail/aliases", tests, NULL, NULL);
}
