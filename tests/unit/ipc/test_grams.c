#include "ipc/rule_grams.h"

#include "tests/unit/unit.h"

#include <stdio.h>

enum { RULES = 3000 };

static unsigned found[RULES];

/* How many were found; each found[i] is how often. */
static unsigned ask(struct rule_grams *g, const char *text, const char *other)
{
    const char *const texts[] = { text, other };
    unsigned total = 0;

    for (size_t i = 0; i < RULES; i++)
        found[i] = 0;
    rule_grams_ask(g);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        const uint32_t *rules;
        struct gram_lookup l;
        size_t count;

        gram_lookup_begin(&l, g, view_of(texts[i]));
        while (gram_lookup_next(&l, &rules, &count)) {
            total += (unsigned)count;
            for (size_t j = 0; j < count; j++)
                found[rules[j]]++;
        }
    }
    return total;
}

static void nothing_is_found_in_nothing(void **state)
{
    struct rule_grams g = { .slots = NULL };

    (void)state;
    assert_int_equal(ask(&g, "some text", ""), 0);
    rule_grams_seal(&g);
    assert_int_equal(ask(&g, "some text", ""), 0);
    assert_false(rule_grams_takes(VIEW("ab")));
    assert_false(rule_grams_takes(VIEW("a\r\nb")));
    assert_true(rule_grams_takes(VIEW("abc")));
    rule_grams_release(&g);
}

/* However often a text has it, and its other spelling too. */
static void each_is_found_once(void **state)
{
    struct rule_grams g = { .slots = NULL };

    (void)state;
    rule_grams_add(&g, VIEW("aaa"), 0);
    rule_grams_add(&g, VIEW("AAA"), 1);
    rule_grams_add(&g, VIEW("bbb"), 2);
    rule_grams_seal(&g);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(ask(&g, "aaaaaAAAAA aaaaa", "aaaaa"), 2);
        assert_true(found[0] == 1 && found[1] == 1 && found[2] == 0);
    }
    assert_int_equal(ask(&g, "a aa b bb", "aa\r\nbbb"), 1);
    assert_int_equal(found[2], 1);
    rule_grams_release(&g);
}

/* What all have in common tells none apart. */
static void the_rarest_bytes_lead_to_a_rule(void **state)
{
    struct rule_grams g = { .slots = NULL };
    char text[32];

    (void)state;
    for (uint32_t i = 0; i < RULES; i++) {
        (void)snprintf(text, sizeof(text), "-%u@x.test", i);
        rule_grams_add(&g, view_of(text), i);
    }
    rule_grams_seal(&g);
    assert_int_equal(ask(&g, "somebody@x.test", ""), 0);
    for (uint32_t i = 0; i < RULES; i++) {
        (void)snprintf(text, sizeof(text), "list-%u@X.test", i);
        assert_in_range(ask(&g, text, ""), 1, 200);
        assert_int_equal(found[i], 1);
    }
    rule_grams_release(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_found_in_nothing),
        cmocka_unit_test(each_is_found_once),
        cmocka_unit_test(the_rarest_bytes_lead_to_a_rule),
    };

    return cmocka_run_group_tests_name("grams", tests, NULL, NULL);
}
