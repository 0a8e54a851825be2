#include "delivery/ext.h"

#include "tests/unit/unit.h"

static const struct {
    const char *name, *text;
    struct ext ext;
} cases[] = {
    { "nothing", "mx.test", { .pipelining = false } },
    { "empty", "", { .pipelining = false } },
    { "all",
      "mx.test\nPIPELINING\nSIZE 1000\n8BITMIME\nSTARTTLS\nDSN\nSMTPUTF8\nREQUIRETLS\n"
      "MT-PRIORITY MIXER\nDELIVERBY 240,x",
      { .pipelining = true,
        .eight_bit = true,
        .starttls = true,
        .size = true,
        .size_most = 1000,
        .dsn = true,
        .utf8 = true,
        .require_tls = true,
        .priority = true,
        .deliver_by = true,
        .by_least = 240 } },
    { "limits",
      "mx.test\nLIMITS RCPTMAX=10 RCPTDOMAINMAX=1 mailmax=5",
      { .mails_most = 5, .rcpts_most = 10, .domains_most = 1 } },
    { "limits that are none", "mx.test\nLIMITS RCPTMAX=0 MAILMAX=x", { .mails_most = 0 } },
    { "deliver-by without a value", "mx.test\nDELIVERBY", { .deliver_by = true } },
    { "deliver-by with garbage", "mx.test\nDELIVERBY x", { .deliver_by = true } },
    { "case", "mx.test\npipelining\nSize 5", { .pipelining = true, .size = true, .size_most = 5 } },
    { "the first line is no keyword", "PIPELINING\nX", { .pipelining = false } },
    { "unknown", "mx.test\nAUTH PLAIN\nX-FOO\n\nHELP", { .pipelining = false } },
    { "size without a value", "mx.test\nSIZE", { .size = true } },
    { "size with garbage", "mx.test\nSIZE 1e9", { .size = true } },
    { "size beyond 64 bits", "mx.test\nSIZE 99999999999999999999", { .size = true } },
    { "only whole words", "mx.test\nSTARTTLSX\nPIPELINING=1", { .pipelining = false } },
};

static void reads_announcements(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ext got;

        ext_read(view_of(cases[i].text), &got);
        check(cases[i].name, got.pipelining == cases[i].ext.pipelining);
        check(cases[i].name, got.eight_bit == cases[i].ext.eight_bit);
        check(cases[i].name, got.starttls == cases[i].ext.starttls);
        check(cases[i].name, got.size == cases[i].ext.size);
        check(cases[i].name, got.size_most == cases[i].ext.size_most);
        check(cases[i].name, got.dsn == cases[i].ext.dsn);
        check(cases[i].name, got.utf8 == cases[i].ext.utf8);
        check(cases[i].name, got.require_tls == cases[i].ext.require_tls);
        check(cases[i].name, got.priority == cases[i].ext.priority);
        check(cases[i].name, got.deliver_by == cases[i].ext.deliver_by);
        check(cases[i].name, got.by_least == cases[i].ext.by_least);
        check(cases[i].name, got.mails_most == cases[i].ext.mails_most);
        check(cases[i].name, got.rcpts_most == cases[i].ext.rcpts_most);
        check(cases[i].name, got.domains_most == cases[i].ext.domains_most);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_announcements),
    };

    return cmocka_run_group_tests_name("ext", tests, NULL, NULL);
}
