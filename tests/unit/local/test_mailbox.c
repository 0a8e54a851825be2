#include "local/mailbox.h"

#include "tests/unit/local/settings.h"

static const struct {
    const char *recipient, *folder; /* NULL: nobody */
} cases[] = {
    { "bob@here.test", "bob" },
    { "BOB@Here.Test", "bob" },
    { "\"bob\"@here.test", "bob" },
    { "alice@here.test", "here.test/alice" },
    { "sales-eu@here.test", "sales" },
    { "postmaster@here.test", "postmaster" },
    { "Postmaster", "postmaster" },
    { "postmaster@other.test", "postmaster" },
    { "carol@here.test", NULL },
    { "bob@other.test", NULL },
    { "bob@elsewhere.test", NULL },
    { "bob", NULL },
    { "", NULL },
    { "../bob@here.test", NULL },
    { "@here.test", NULL },
};

static void test_recipients(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char room[MAILBOX_FOLDER_MAX];
        struct buf folder = BUF_ON_ARRAY(room);
        bool found =
            mailbox_find(&test_settings, view_of(cases[i].recipient), &folder) == MAILBOX_HERE;

        check(cases[i].recipient, found == (cases[i].folder != NULL));
        if (found)
            check_view(cases[i].recipient, buf_view(&folder), view_of(cases[i].folder));
    }
}

static void test_unsure(void **state)
{
    char room[MAILBOX_FOLDER_MAX];
    struct buf folder = BUF_ON_ARRAY(room);

    (void)state;
    assert_int_equal(mailbox_find(&test_settings, VIEW(UNSURE_MAILBOX), &folder), MAILBOX_UNSURE);
}

static void test_names(void **state)
{
    struct view folder = VIEW("here.test/alice"), name;

    (void)state;
    assert_true(mailbox_take_name(&folder, &name));
    check_view("first", name, VIEW("here.test"));
    assert_true(mailbox_take_name(&folder, &name));
    check_view("second", name, VIEW("alice"));
    assert_false(mailbox_take_name(&folder, &name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recipients),
        cmocka_unit_test(test_unsure),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests_name("mailbox", tests, settings_make, settings_free);
}
