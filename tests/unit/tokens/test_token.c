/* Output of commands: tokens, and what is none. */
#include "tokens/token.h"

#include "ipc/messages.h"

#include "tests/unit/unit.h"

#include <string.h>

static const struct {
    const char *name, *output, *token;
    uint64_t lifetime_s;
} tokens[] = {
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
};

static const struct {
    const char *name, *output;
} none[] = {
    { "an escape that no token needs", "{\"access_token\":\"a\\\"b\"}" },
    { "two of them", "{\"access_token\":\"a\",\"access_token\":\"b\"}" },
    { "something behind it", "{\"access_token\":\"a\"} x" },
    { "brackets that do not match", "{\"b\":[{],\"access_token\":\"a\"}" },
    { "an object that is left open", "{\"access_token\":\"abc\"" },
    { "an escape at the very end", "{\"access_token\":\"abc\\" },
    { "too deep",
      "{\"b\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]],\"access_"
      "token\":\"a\"}" },
    { "nothing", "" },
    { "blanks", " \n" },
    { "two lines", "abc\ndef\n" },
    { "words", "no such account" },
    { "control characters", "ab\001c" },
    { "not ASCII", "ab\303\244" },
    { "an error of an endpoint", "{\"error\":\"invalid_grant\",\"expires_in\":9}" },
    { "half an answer", "{\"access_token\":\"ab" },
    { "no object", "[\"abc\"] {" },
    { "a token that is an object", "{\"access_token\":{\"a\":1}}" },
    { "a token with what ends a message", "{\"access_token\":\"a\\u0001b\"}" },
    { "a page for people", "<html><body>502</body></html> \n<p>" },
};

static void reads(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(tokens); i++) {
        char room[TOKEN_MAX];
        struct buf token = BUF_ON_ARRAY(room);
        uint64_t lifetime_s = 1;

        check(tokens[i].name, token_read(view_of(tokens[i].output), &token, &lifetime_s));
        check_view(tokens[i].name, buf_view(&token), view_of(tokens[i].token));
        check(tokens[i].name, lifetime_s == tokens[i].lifetime_s);
    }
}

static void refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(none); i++) {
        char room[TOKEN_MAX];
        struct buf token = BUF_ON_ARRAY(room);
        uint64_t lifetime_s = 1;

        check(none[i].name, !token_read(view_of(none[i].output), &token, &lifetime_s));
        check(none[i].name, buf_len(&token) == 0 && lifetime_s == 0);
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
        cmocka_unit_test(refuses),
        cmocka_unit_test(refuses_long_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
