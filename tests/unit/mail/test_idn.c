#include "mail/idn.h"

#include "tests/unit/unit.h"

static const struct {
    const char *name, *address, *ascii;
} cases[] = {
    { "ASCII stays as it is", "Bob@B.Test", "Bob@B.Test" },
    { "nobody", "", "" },
    { "postmaster", "postmaster", "postmaster" },
    { "a literal", "bob@[192.0.2.1]", "bob@[192.0.2.1]" },
    { "one label",
      "bob@b\xc3\xbc"
      "cher.test",
      "bob@xn--bcher-kva.test" },
    { "upper case",
      "bob@B\xc3\x9c"
      "CHER.test",
      "bob@xn--bcher-kva.test" },
    { "decomposed",
      "bob@bu\xcc\x88"
      "cher.test",
      "bob@xn--bcher-kva.test" },
    { "sharp s is kept",
      "bob@stra\xc3\x9f"
      "e.test",
      "bob@xn--strae-oqa.test" },
    { "right to left", "bob@\xd7\x90\xd7\x91.test", "bob@xn--4dbc.test" },
    { "an at sign in quotes",
      "\"a@b\"@b\xc3\xbc"
      "cher.test",
      "\"a@b\"@xn--bcher-kva.test" },
    { "local part",
      "b\xc3\xb6"
      "b@b.test",
      NULL },
    { "no name of a host", "bob@\xe2\x98\x83\xcc\x88.\xe2\x82\xac-", NULL },
    { "no UTF-8", "bob@\xff.test", NULL },
};

static void converts(void **state)
{
    char room[128];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf out = BUF_ON_ARRAY(room);

        check(cases[i].name,
              idn_address(view_of(cases[i].address), &out) == (cases[i].ascii != NULL));
        if (cases[i].ascii != NULL)
            check_view(cases[i].name, buf_view(&out), view_of(cases[i].ascii));
    }
}

static void needs_room(void **state)
{
    char room[8];
    struct buf out = BUF_ON_ARRAY(room);

    (void)state;
    assert_false(idn_domain(VIEW("b\xc3\xbc"
                                 "cher.test"),
                            &out));
    assert_false(idn_address(VIEW("bob@b.test"), &out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(converts),
        cmocka_unit_test(needs_room),
    };

    return cmocka_run_group_tests_name("idn", tests, NULL, NULL);
}
