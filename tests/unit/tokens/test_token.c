/* Output of commands: tokens, and what is none. */
#include "tokens/token.h"

#include "ipc/messages.h"

#include "tests/unit/unit.h"

#include <string.h>

static const struct {
    const char *name, *output, *token;
    uint64_t lifetime_s;
} cases[] = {
    { "a line", "ya29.a-b_c~d+e/f==\n", "ya29.a-b_c~d+e/f==", 0 },
    { "no line end", "token", "token", 0 },
    { "an answer of an endpoint",
      "{\"token_type\": \"Bearer\",\n \"access_token\": \"abc\", \"expires_in\": 3599}\n", "abc",
      3599 },
    { "the lifetime as text", "{\"access_token\":\"abc\",\"expires_in\":\"3599\"}", "abc", 3599 },
    { "no lifetime", "{\"access_token\":\"abc\"}", "abc", 0 },
    { "a lifetime that is none", "{\"access_token\":\"abc\",\"expires_in\":\"soon\"}", "abc", 0 },
    { "more that is of no interest",
      "{\"a\":{\"access_token\":\"no\",\"b\":[1,{\"c\":\"}\"}]},\"d\":[],\"access_token\":\"abc\","
      "\"e\":null}",
      "abc", 0 },
    { "an escaped slash", "{\"access_token\":\"a\\/b\"}", "a/b", 0 },
    { "an escape that no token needs", "{\"access_token\":\"a\\\"b\"}", "", 0 },
    { "two of them", "{\"access_token\":\"a\",\"access_token\":\"b\"}", "", 0 },
    { "something behind it", "{\"access_token\":\"a\"} x", "", 0 },
    { "brackets that do not match", "{\"b\":[{],\"access_token\":\"a\"}", "", 0 },
    { "an object that is left open", "{\"access_token\":\"abc\"", "", 0 },
    { "an escape at the very end", "{\"access_token\":\"abc\\", "", 0 },
    { "too deep",
      "{\"b\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]],\"access_"
      "token\":\"a\"}",
      "", 0 },
    { "nothing", "", "", 0 },
    { "blanks", " \n", "", 0 },
    { "two lines", "abc\ndef\n", "", 0 },
    { "words", "no such account", "", 0 },
    { "control characters", "ab\001c", "", 0 },
    { "not ASCII", "ab\303\244", "", 0 },
    { "an error of an endpoint", "{\"error\":\"invalid_grant\",\"expires_in\":9}", "", 0 },
    { "half an answer", "{\"access_token\":\"ab", "", 0 },
    { "no object", "[\"abc\"] {", "", 0 },
    { "a token that is an object", "{\"access_token\":{\"a\":1}}", "", 0 },
    { "a token with what ends a message", "{\"access_token\":\"a\\u0001b\"}", "", 0 },
    { "a page for people", "<html><body>502</body></html> \n<p>", "", 0 },
};

static void reads(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char room[TOKEN_MAX];
        struct buf token = BUF_ON_ARRAY(room);
        uint64_t lifetime_s = 1;
        bool good = token_read(view_of(cases[i].output), &token, &lifetime_s);

        check(cases[i].name, good == (cases[i].token[0] != '\0'));
        check_view(cases[i].name, buf_view(&token), view_of(cases[i].token));
        check(cases[i].name, lifetime_s == cases[i].lifetime_s);
    }
}

static void refuses_long_ones(void **state)
{
    static char text[TOKEN_MAX + 1];
    char room[TOKEN_MAX];
    struct buf token = BUF_ON_ARRAY(room);
    uint64_t lifetime_s;

    (void)state;
    memset(text, 'a', sizeof(text));
    assert_false(token_read(view_make(text, sizeof(text)), &token, &lifetime_s));
    assert_true(token_read(view_make(text, TOKEN_MAX), &token, &lifetime_s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),
        cmocka_unit_test(refuses_long_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
