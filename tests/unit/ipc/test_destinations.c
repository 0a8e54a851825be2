#include "ipc/settings.h"

#include "tests/unit/ipc/settings_text.h"

#include <stdio.h>
#include <string.h>

/* clang-format off */
#define RATE_WORDS "expected a number and a period: 10/1s, 600/1h or 1/200ms; or none"
static const struct {
    const char *name, *text, *wanted;
} mistakes[] = {
    { "no destination", "{concurrency: 3}", "t.yaml:2:16: error: which destinations? domain or host tells" },
    { "no domain", "{domain: []}", "t.yaml:2:16: error: which destinations? domain or host tells" },
    { "a bad domain", "{domain: \"a b\"}", "t.yaml:2:26: error: expected a name: example.net or .example.net" },
    { "every domain", "{host: \"*\"}", "t.yaml:2:24: error: expected a name: example.net or .example.net" },
    { "a bad name", "{name: a b, host: a}", "t.yaml:2:23: error: expected a name: letters, digits and . _ -" },
    { "no period", "{host: a, message-rate: 10}", "t.yaml:2:40: error: " RATE_WORDS },
    { "no unit", "{host: a, message-rate: 10/5}", "t.yaml:2:40: error: " RATE_WORDS },
    { "none at all", "{host: a, recipient-rate: 0/1s}", "t.yaml:2:42: error: " RATE_WORDS },
    { "no time", "{host: a, connection-rate: 1/0s}", "t.yaml:2:43: error: " RATE_WORDS },
    { "years", "{host: a, connection-rate: 1/400d}", "t.yaml:2:43: error: " RATE_WORDS },
};
/* clang-format on */

static void reports_mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(mistakes); i++) {
        char text[512];

        (void)snprintf(text, sizeof(text), "hostname: a.test\ndestinations: [%s]\n",
                       mistakes[i].text);
        check_mistake(mistakes[i].name, text, mistakes[i].wanted);
    }
}

static void finds_the_first_that_matches(void **state)
{
    static const struct {
        const char *domain, *hosts;
        int entry; /* -1: none */
    } cases[] = {
        { "a.test", "mx.elsewhere.test", 0 },
        { "sub.a.test", "mx.elsewhere.test", -1 },
        { "b.test", "x.mx.test", 1 },
        { "b.test", "x.mx.test,y.mx.test", 1 },
        { "b.test", "x.mx.test,evil.test", -1 },
        { "b.test", "mx.test", -1 },
        { "b.test", "evilmx.test", -1 },
        { "b.test", "x.mx.test,+0123abcd", -1 }, /* a name that was too long */
        { "b.test", "", -1 },
        { "a.b.test", "", 2 },
        { "a.b.test", "x.mx.test", 1 },
        { "", "smart.test", 3 },
    };
    struct settings s;
    struct config *c = read_text("hostname: m.test\n"
                                 "destinations:\n"
                                 "  - domain: A.test\n"
                                 "  - host: [.mx.test]\n"
                                 "  - domain: [.b.test]\n"
                                 "  - {host: smart.test, name: smart}\n",
                                 &s);

    (void)state;
    check_view("errors", config_errors(c), VIEW_EMPTY);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct destination_settings *d =
            settings_destination(&s, view_of(cases[i].domain), view_of(cases[i].hosts));

        if (d != (cases[i].entry < 0 ? NULL : &s.destinations[cases[i].entry]))
            fail_msg("%s at %s", cases[i].domain, cases[i].hosts);
    }
    assert_string_equal(s.destinations[3].origin, "t.yaml:6");
    release(&s, c);
}

static void leaves_the_rest_to_the_usual(void **state)
{
    struct settings s;
    struct config *c = read_text("hostname: m.test\n"
                                 "delivery: {concurrency: 30, message-rate: 10/1s,\n"
                                 "           connection-rate: 1/50ms}\n"
                                 "retry: {first: 1m}\n"
                                 "destinations:\n"
                                 "  - {host: a.test, concurrency: 3, message-rate: none,\n"
                                 "     retry-longest: 10m}\n",
                                 &s);
    struct destination_limits own, usual;

    (void)state;
    check_view("errors", config_errors(c), VIEW_EMPTY);
    settings_limits(&s, NULL, &usual);
    settings_limits(&s, &s.destinations[0], &own);
    assert_int_equal(usual.concurrency, 30);
    assert_int_equal(rate_interval_us(&usual.messages), 100000);
    assert_int_equal(own.concurrency, 3);
    assert_int_equal(own.messages_per_connection, 100);
    assert_int_equal(rate_interval_us(&own.messages), 0);
    assert_int_equal(rate_interval_us(&own.connections), 50000);
    assert_int_equal(own.retry.first_ms, 60000);
    assert_int_equal(own.retry.longest_ms, 600000);
    assert_int_equal(own.retry.lifetime_ms, usual.retry.lifetime_ms);
    release(&s, c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reports_mistakes),
        cmocka_unit_test(finds_the_first_that_matches),
        cmocka_unit_test(leaves_the_rest_to_the_usual),
    };

    return cmocka_run_group_tests_name("destinations", tests, NULL, NULL);
}
