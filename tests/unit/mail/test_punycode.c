#include "mail/punycode.h"

#include "mail/address.h"
#include "mail/idn.h"
#include "tests/unit/unit.h"

/* clang-format off */
static const struct {
    const char *domain, *wanted; /* NULL: none */
} cases[] = {
    { "",                                   "" },
    { "a.test",                             "a.test" },
    { "A.Test.",                            "A.Test." },
    { "b\xc3\xbc" "cher.test",              "xn--bcher-kva.test" },
    { "B\xc3\xbc" "cher.test",              "xn--bcher-kva.test" },
    { "stra\xc3\x9f" "e.\xc3\xbc.test",     "xn--strae-oqa.xn--tda.test" },
    { "\xd7\x90\xd7\x91.test",              "xn--4dbc.test" },
    /* RFC 3492, 7.1: (A), (B), (E), (I) in lower case, (L), (R) */
    { "\xd9\x84\xd9\x8a\xd9\x87\xd9\x85\xd8\xa7\xd8\xa8\xd8\xaa\xd9\x83\xd9\x84\xd9\x85\xd9\x88\xd8\xb4\xd8\xb9\xd8\xb1\xd8\xa8\xd9\x8a\xd8\x9f",
      "xn--egbpdaj6bu4bxfgehfvwxn" },
    { "\xe4\xbb\x96\xe4\xbb\xac\xe4\xb8\xba\xe4\xbb\x80\xe4\xb9\x88\xe4\xb8\x8d\xe8\xaf\xb4\xe4\xb8\xad\xe6\x96\x87",
      "xn--ihqwcrb4cv8a8dqg056pqjye" },
    { "\xd7\x9c\xd7\x9e\xd7\x94\xd7\x94\xd7\x9d\xd7\xa4\xd7\xa9\xd7\x95\xd7\x98\xd7\x9c\xd7\x90\xd7\x9e\xd7\x93\xd7\x91\xd7\xa8\xd7\x99\xd7\x9d\xd7\xa2\xd7\x91\xd7\xa8\xd7\x99\xd7\xaa",
      "xn--4dbcagdahymbxekheh6e0a7fei0b" },
    { "3\xe5\xb9\xb4" "b\xe7\xb5\x84\xe9\x87\x91\xe5\x85\xab\xe5\x85\x88\xe7\x94\x9f", "xn--3b-ww4c5e180e575a65lsy2b" },
    { "\xe3\x81\x9d\xe3\x81\xae\xe3\x82\xb9\xe3\x83\x94\xe3\x83\xbc\xe3\x83\x89\xe3\x81\xa7", "xn--d9juau41awczczp" },
    { "\xf0\x9f\x98\x80.test",              "xn--e28h.test" },
    { "\xff.test",                          NULL },
};
/* clang-format on */

static void makes_labels(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char room[ADDRESS_DOMAIN_MAX];
        struct buf out = BUF_ON_ARRAY(room);
        bool done = punycode_domain(view_of(cases[i].domain), &out);

        check(cases[i].domain, done == (cases[i].wanted != NULL));
        if (done)
            check_view(cases[i].domain, buf_view(&out), view_of(cases[i].wanted));
    }
}

/* What is a name already is the same as the library's. */
static void agrees_with_the_library(void **state)
{
    uint64_t chance = 7;

    (void)state;
    for (unsigned i = 0; i < 2000; i++) {
        char name[64], room[ADDRESS_DOMAIN_MAX], other_room[ADDRESS_DOMAIN_MAX];
        struct buf text = BUF_ON_ARRAY(name), out = BUF_ON_ARRAY(room);
        struct buf other = BUF_ON_ARRAY(other_room);

        for (uint64_t left = 1 + random_below(&chance, 12); left > 0; left--) {
            uint64_t c = 0x3b1 + random_below(&chance, 17); /* Greek letters, all of one script */

            if (random_below(&chance, 3) == 0) {
                buf_put_byte(&text, (char)('a' + random_below(&chance, 26)));
                continue;
            }
            buf_put_byte(&text, (char)(0xc0 | c >> 6));
            buf_put_byte(&text, (char)(0x80 | (c & 0x3f)));
        }
        assert_true(idn_domain(buf_view(&text), &other));
        assert_true(punycode_domain(buf_view(&text), &out));
        check_view(name, buf_view(&out), buf_view(&other));
    }
}

static void knows_its_room(void **state)
{
    char room[10];
    struct buf out = BUF_ON_ARRAY(room);

    (void)state;
    assert_false(punycode_domain(VIEW("b\xc3\xbc"
                                      "cher.test"),
                                 &out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_labels),
        cmocka_unit_test(agrees_with_the_library),
        cmocka_unit_test(knows_its_room),
    };

    return cmocka_run_group_tests_name("mail/punycode", tests, NULL, NULL);
}
