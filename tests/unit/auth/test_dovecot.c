/* The protocol of Dovecot's auth socket: what 2.3 and 2.4 say, and what nobody should. */
#include "auth/dovecot.h"
#include "tests/unit/unit.h"

#include <string.h>

#define GREETING                                                                                   \
    "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nMECH\tANONYMOUS\tanonymous\n"  \
    "MECH\tSCRAM-SHA-256\tmutual-auth\nMECH\tSCRAM-SHA-256-PLUS\tmutual-auth\n"                    \
    "MECH\tEXTERNAL\tprivate\nSPID\t123\nCUID\t1\nCOOKIE\t0123\nDONE\n"

static struct dovecot dovecot;

/* The last event of all that is said, in pieces of `most` bytes. */
static enum dovecot_event hear(const char *said, size_t most)
{
    enum dovecot_event last = DOVECOT_NOTHING;
    struct view rest = view_of(said);

    while (rest.len > 0) {
        struct view piece = view_sub(rest, 0, most);
        size_t before = piece.len;

        while (piece.len > 0 && last != DOVECOT_BROKEN) {
            enum dovecot_event event = dovecot_hear(&dovecot, &piece);

            if (event != DOVECOT_NOTHING)
                last = event;
        }
        rest = view_from(rest, before);
    }
    return last;
}

static void test_greeting(void **state)
{
    static const size_t sizes[] = { 1, 7, 10000 };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        dovecot = (struct dovecot){ 0 };
        assert_int_equal(hear(GREETING, sizes[i]), DOVECOT_READY);
        check_view("mechanisms", view_make(dovecot.mechanisms, dovecot.mechanisms_len),
                   VIEW("PLAIN LOGIN SCRAM-SHA-256"));
    }
}

static void test_bad_greetings(void **state)
{
    static const struct {
        const char *name, *said, *why;
    } cases[] = {
        { "another version", "VERSION\t2\t0\n", "it speaks another version of the protocol" },
        { "auth-userdb", "VERSION\t1\t1\nSPID\t77\n",
          "it has no mechanisms: this is not the socket for clients (auth-client)" },
        { "no mechanisms", "VERSION\t1\t2\nDONE\n",
          "it has no mechanisms: this is not the socket for clients (auth-client)" },
        { "no version", "MECH\tPLAIN\nDONE\n", "it does not say its version" },
        { "a mechanism of two words", "VERSION\t1\t2\nMECH\tPLAIN LOGIN\n",
          "a mechanism has a strange name" },
    };
    char endless[DOVECOT_LINE_MAX + 2];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        dovecot = (struct dovecot){ 0 };
        check(cases[i].name, hear(cases[i].said, 10000) == DOVECOT_BROKEN);
        assert_string_equal(dovecot.why, cases[i].why);
    }
    memset(endless, 'x', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    dovecot = (struct dovecot){ 0 };
    assert_int_equal(hear(endless, 1000), DOVECOT_BROKEN);
}

static void test_answers(void **state)
{
    static const struct {
        const char *said;
        enum dovecot_event event;
        const char *user; /* NULL: not looked at */
        bool temporary;
        const char *why;
    } cases[] = {
        { "OK\t7\tuser=bob\n", DOVECOT_OK, "bob", false, NULL },
        { "OK\t7\tuser=b\001tob\tnologin\n", DOVECOT_OK, "b\tob", false, NULL },
        { "FAIL\t7\tuser=bob\n", DOVECOT_FAIL, "bob", false, "Dovecot says no" },
        { "FAIL\t7\n", DOVECOT_FAIL, "", false, "Dovecot says no" },
        { "FAIL\t7\tuser=bob\ttemp\n", DOVECOT_FAIL, "bob", true, "Dovecot cannot check it now" },
        { "FAIL\t7\tuser=bob\tcode=temp_fail\n", DOVECOT_FAIL, "bob", true,
          "Dovecot cannot check it now" },
        { "FAIL\t7\tuser=bob\tcode=user_disabled\n", DOVECOT_FAIL, "bob", false,
          "the user is disabled" },
        { "FAIL\t7\tuser=bob\tcode=pass_expired\n", DOVECOT_FAIL, "bob", false,
          "the password has expired" },
        { "OK\t7\n", DOVECOT_BROKEN, NULL, false, "OK without a user" },
        { "OK\n", DOVECOT_BROKEN, NULL, false, "malformed OK or FAIL" },
        { "OK\tx\tuser=bob\n", DOVECOT_BROKEN, NULL, false, "malformed OK or FAIL" },
        { "OK\t7\tuser=b\001xob\n", DOVECOT_BROKEN, NULL, false, "malformed OK or FAIL" },
        { "OK\t7\tuser=b\001", DOVECOT_NOTHING, NULL, false, NULL },
        { "FAIL\t7\tuser=b\0010b\n", DOVECOT_BROKEN, NULL, false, "malformed OK or FAIL" },
        { "FAIL\t7\tuser=\xff\n", DOVECOT_BROKEN, NULL, false, "malformed OK or FAIL" },
        { "CONT\t7\t????\n", DOVECOT_BROKEN, NULL, false, "malformed CONT" },
        { "CONT\t7\n", DOVECOT_CHALLENGE, NULL, false, NULL },
        { "WHATEVER\t7\n", DOVECOT_NOTHING, NULL, false, NULL },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        dovecot = (struct dovecot){ 0 };
        assert_int_equal(hear(GREETING, 10000), DOVECOT_READY);
        check(cases[i].said, hear(cases[i].said, 3) == cases[i].event);
        if (cases[i].user != NULL) {
            check_view(cases[i].said, dovecot.user, view_of(cases[i].user));
            check(cases[i].said, dovecot.id == 7 && dovecot.temporary == cases[i].temporary);
        }
        if (cases[i].why != NULL)
            assert_string_equal(dovecot.why, cases[i].why);
    }
    assert_int_equal(hear("CONT\t8\tVXNlcm5hbWU6\n", 10000), DOVECOT_CHALLENGE);
    check_view("challenge", dovecot.bytes, VIEW("Username:"));
}

static void test_nothing_counts_before_the_greeting(void **state)
{
    (void)state;
    dovecot = (struct dovecot){ 0 };
    assert_int_equal(hear("VERSION\t1\t2\nOK\t1\tuser=root\n", 10000), DOVECOT_NOTHING);
}

static void test_requests(void **state)
{
    char room[256];
    struct buf out = BUF_ON_ARRAY(room);
    struct dovecot_request r = { .id = 5,
                                 .mechanism = VIEW("PLAIN"),
                                 .session = VIEW("00ab"),
                                 .client = VIEW("192.0.2.1\tresp=AA=="),
                                 .tls = true };

    (void)state;
    assert_true(dovecot_put_hello(42, &out));
    check_view("hello", buf_view(&out), VIEW("VERSION\t1\t2\nCPID\t42\n"));
    buf_clear(&out);
    assert_true(dovecot_put_request(&r, &out));
    check_view("no response, nothing that could be mistaken for one", buf_view(&out),
               VIEW("AUTH\t5\tPLAIN\tservice=smtp\tsession=00ab\trip=192.0.2.1\001tresp=AA==\t"
                    "secured=tls\tno-penalty\n"));
    r.initial = true;
    r.tls = false;
    r.client = VIEW("::1");
    r.response = VIEW("\0bob\0x");
    buf_clear(&out);
    assert_true(dovecot_put_request(&r, &out));
    check_view("the response last", buf_view(&out),
               VIEW("AUTH\t5\tPLAIN\tservice=smtp\tsession=00ab\trip=::1\tsecured\t"
                    "no-penalty\tresp=AGJvYgB4\n"));
    buf_clear(&out);
    assert_true(dovecot_put_response(5, VIEW("secret"), &out));
    check_view("response", buf_view(&out), VIEW("CONT\t5\tc2VjcmV0\n"));
    buf_clear(&out);
    assert_true(dovecot_put_cancel(5, &out));
    check_view("cancel", buf_view(&out), VIEW("CANCEL\t5\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greeting), cmocka_unit_test(test_bad_greetings),
        cmocka_unit_test(test_answers),  cmocka_unit_test(test_nothing_counts_before_the_greeting),
        cmocka_unit_test(test_requests),
    };

    return cmocka_run_group_tests_name("dovecot", tests, NULL, NULL);
}
