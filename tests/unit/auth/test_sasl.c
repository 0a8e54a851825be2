/* Mechanisms: what is accepted, what is refused and why. */
#include "auth/sasl.h"
#include "common/text.h"
#include "tests/unit/unit.h"

#include <string.h>

#define NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"

static struct sasl sasl;
static char room[SASL_CHALLENGE_MAX];
static struct buf out;

static enum sasl_step hear(struct view response)
{
    buf_clear(&out);
    return sasl_hear(&sasl, response, &out);
}

static void begin(const char *mechanism, const char *exporter, const char *unique)
{
    const struct scram_bindings bindings = { view_of(exporter), view_of(unique) };

    out = BUF_ON_ARRAY(room);
    assert_true(sasl_init(&sasl, view_of(mechanism), &bindings));
}

static void test_plain(void **state)
{
    static const struct {
        const char *name;
        struct view message;
        enum sasl_step step;
    } cases[] = {
        { "as it should be", VIEW_INIT("\0bob\0secret"), SASL_PASSWORD },
        { "for itself", VIEW_INIT("bob\0bob\0secret"), SASL_PASSWORD },
        { "for another", VIEW_INIT("root\0bob\0secret"), SASL_REFUSED },
        { "no password", VIEW_INIT("\0bob\0"), SASL_REFUSED },
        { "no login", VIEW_INIT("\0\0secret"), SASL_REFUSED },
        { "nothing", VIEW_INIT(""), SASL_REFUSED },
        { "one NUL", VIEW_INIT("bob\0secret"), SASL_REFUSED },
        { "NUL in the password", VIEW_INIT("\0bob\0sec\0ret"), SASL_REFUSED },
        { "not UTF-8", VIEW_INIT("\0bob\xff\0secret"), SASL_REFUSED },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        begin("plain", "", "");
        assert_int_equal(sasl_begin(&sasl, &out), SASL_CHALLENGE);
        check_view(cases[i].name, buf_view(&out), VIEW(""));
        check(cases[i].name, hear(cases[i].message) == cases[i].step);
        if (cases[i].step != SASL_PASSWORD)
            continue;
        check_view("login", sasl_login(&sasl), VIEW("bob"));
        check_view("password", view_make(sasl.password, sasl.password_len), VIEW("secret"));
    }
}

static void test_login(void **state)
{
    (void)state;
    begin("LOGIN", "", "");
    assert_int_equal(sasl_begin(&sasl, &out), SASL_CHALLENGE);
    check_view("first", buf_view(&out), VIEW("Username:"));
    assert_int_equal(hear(VIEW("bob")), SASL_CHALLENGE);
    check_view("second", buf_view(&out), VIEW("Password:"));
    assert_int_equal(hear(VIEW("secret")), SASL_PASSWORD);
    check_view("login", sasl_login(&sasl), VIEW("bob"));
    sasl_release(&sasl);
    check("forgotten", sasl.password[0] == 0 && sasl.password_len == 0);
    begin("LOGIN", "", "");
    assert_int_equal(hear(VIEW("")), SASL_REFUSED);
}

/* RFC 7677, 3: the user "user" with the password "pencil". */
static void make_keys(struct scram_keys *keys)
{
    char salt_room[32];
    struct buf salt = BUF_ON_ARRAY(salt_room);
    struct scram_secret secret;

    assert_true(base64_decode(VIEW("W22ZaJ0SNY7soEsUEjb6gQ=="), &salt));
    scram_derive(VIEW("pencil"), buf_view(&salt), 4096, &secret);
    *keys = secret.keys;
}

static void test_example_of_the_rfc(void **state)
{
    struct scram_keys keys;

    (void)state;
    make_keys(&keys);
    begin("SCRAM-SHA-256", "", "");
    assert_int_equal(hear(VIEW("n,,n=user,r=rOprNGfwEbeRWgbNEkqO")), SASL_LOOK_UP);
    check_view("login", sasl_login(&sasl), VIEW("user"));
    assert_int_equal(sasl_say_keys(&sasl, &keys, VIEW(NONCE), &out), SASL_CHALLENGE);
    check_view("server-first-message", buf_view(&out),
               VIEW("r=rOprNGfwEbeRWgbNEkqO" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"));
    assert_int_equal(hear(VIEW("c=biws,r=rOprNGfwEbeRWgbNEkqO" NONCE
                               ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")),
                     SASL_CHALLENGE);
    check_view("server-final-message", buf_view(&out),
               VIEW("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
    assert_int_equal(hear(VIEW("")), SASL_PROVEN);
}

/* What a client says whose channel binding is `gs2` and `data`, with a right proof. */
static enum sasl_step speak(const char *gs2, struct view data, const char *nonce)
{
    char first[512], final[1024], bind_room[256], proof[SCRAM_KEY_BYTES], auth_room[2048];
    struct buf binding = BUF_ON_ARRAY(bind_room), auth = BUF_ON_ARRAY(auth_room), text;
    struct scram_secret secret;
    struct scram_keys keys;
    enum sasl_step step;

    make_keys(&keys);
    scram_derive(VIEW("pencil"), view_make(keys.salt, keys.salt_len), 4096, &secret);
    text = BUF_ON_ARRAY(first);
    assert_true(buf_printf(&text, "%sn=user,r=abc", gs2));
    step = hear(buf_view(&text));
    if (step != SASL_LOOK_UP)
        return step;
    assert_int_equal(sasl_say_keys(&sasl, &keys, VIEW("xyz"), &out), SASL_CHALLENGE);
    assert_true(buf_put(&binding, view_of(gs2)) && buf_put(&binding, data));
    text = BUF_ON_ARRAY(final);
    assert_true(buf_put(&text, VIEW("c=")) && base64_encode(buf_view(&binding), &text) &&
                buf_printf(&text, ",r=%s", nonce));
    assert_true(buf_printf(&auth, "n=user,r=abc,%.*s,%.*s", VIEW_ARG(buf_view(&out)),
                           VIEW_ARG(buf_view(&text))));
    scram_client_proof(&secret, buf_view(&auth), proof);
    assert_true(buf_put(&text, VIEW(",p=")) &&
                base64_encode(view_make(proof, sizeof(proof)), &text));
    return hear(buf_view(&text));
}

static void test_channel_binding(void **state)
{
    static const struct {
        const char *name, *mechanism, *exporter, *unique, *gs2, *data, *nonce;
        enum sasl_step step;
    } cases[] = {
        { "none", "SCRAM-SHA-256", "", "", "n,,", "", "abcxyz", SASL_CHALLENGE },
        { "none wanted", "SCRAM-SHA-256", "EEE", "", "n,,", "", "abcxyz", SASL_CHALLENGE },
        { "none could be had", "SCRAM-SHA-256", "", "", "y,,", "", "abcxyz", SASL_CHALLENGE },
        { "downgraded", "SCRAM-SHA-256", "EEE", "", "y,,", "", "abcxyz", SASL_REFUSED },
        { "exporter", "SCRAM-SHA-256-PLUS", "EEE", "UUU", "p=tls-exporter,,", "EEE", "abcxyz",
          SASL_CHALLENGE },
        { "unique", "SCRAM-SHA-256-PLUS", "EEE", "UUU", "p=tls-unique,,", "UUU", "abcxyz",
          SASL_CHALLENGE },
        { "unique under TLS 1.3", "SCRAM-SHA-256-PLUS", "EEE", "", "p=tls-unique,,", "", "abcxyz",
          SASL_REFUSED },
        { "another channel", "SCRAM-SHA-256-PLUS", "EEE", "", "p=tls-exporter,,", "FFF", "abcxyz",
          SASL_REFUSED },
        { "unknown kind", "SCRAM-SHA-256-PLUS", "EEE", "", "p=tls-server-end-point,,", "EEE",
          "abcxyz", SASL_REFUSED },
        { "PLUS without", "SCRAM-SHA-256-PLUS", "EEE", "", "n,,", "", "abcxyz", SASL_REFUSED },
        { "binding without PLUS", "SCRAM-SHA-256", "EEE", "", "p=tls-exporter,,", "EEE", "abcxyz",
          SASL_REFUSED },
        { "other nonce", "SCRAM-SHA-256", "", "", "n,,", "", "abcxyz0", SASL_REFUSED },
        { "client's nonce alone", "SCRAM-SHA-256", "", "", "n,,", "", "abc", SASL_REFUSED },
        { "for itself", "SCRAM-SHA-256", "", "", "n,a=user,", "", "abcxyz", SASL_CHALLENGE },
        { "for another", "SCRAM-SHA-256", "", "", "n,a=root,", "", "abcxyz", SASL_REFUSED },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        begin(cases[i].mechanism, cases[i].exporter, cases[i].unique);
        check(cases[i].name,
              speak(cases[i].gs2, view_of(cases[i].data), cases[i].nonce) == cases[i].step);
    }
}

static void test_malformed_scram(void **state)
{
    static const char *const firsts[] = {
        "",
        "n",
        "n,,",
        "n,,n=user",
        "n,,n=,r=abc",
        "n,,n=us=2der,r=abc",
        "n,,r=abc,n=user",
        "n,,m=must,n=user,r=abc",
        "x,,n=user,r=abc",
        "n,b=user,n=user,r=abc",
        "n,,n=user,r=",
        "n,,n=user,r=a\x01",
        "n,,n=us\xff,r=abc",
    };
    static const char *const finals[] = {
        "",
        "p=",
        "c=biws",
        "c=biws,r=abcxyz",
        "c=biws,r=abcxyz,p=????",
        "r=abcxyz,c=biws,p=AAAA",
        "c=biws,r=abcxyz,p=AAAA",
    };
    const struct scram_bindings none = { VIEW_EMPTY, VIEW_EMPTY };
    struct scram_keys keys;

    (void)state;
    make_keys(&keys);
    for (size_t i = 0; i < COUNT_OF(firsts); i++) {
        begin("SCRAM-SHA-256", "", "");
        check(firsts[i], hear(view_of(firsts[i])) == SASL_REFUSED);
    }
    for (size_t i = 0; i < COUNT_OF(finals); i++) {
        begin("SCRAM-SHA-256", "", "");
        assert_int_equal(hear(VIEW("n,,n=a=2Cb=3D,r=abc")), SASL_LOOK_UP);
        check_view("login", sasl_login(&sasl), VIEW("a,b="));
        assert_int_equal(sasl_say_keys(&sasl, &keys, VIEW("xyz"), &out), SASL_CHALLENGE);
        check(finals[i], hear(view_of(finals[i])) == SASL_REFUSED);
    }
    check("no binding to be had", !sasl_init(&sasl, VIEW("SCRAM-SHA-256-PLUS"), &none));
    check("unknown", !sasl_init(&sasl, VIEW("CRAM-MD5"), &none));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_login),
        cmocka_unit_test(test_example_of_the_rfc),
        cmocka_unit_test(test_channel_binding),
        cmocka_unit_test(test_malformed_scram),
    };

    return cmocka_run_group_tests_name("sasl", tests, NULL, NULL);
}
