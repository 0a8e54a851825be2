/* SCRAM-SHA-256 against the example of RFC 7677, 3, and the user file. */
#include "common/text.h"
#include "io/scram.h"
#include "io/userfile.h"
#include "tests/unit/unit.h"

#include <string.h>

static const char auth_message[] =
    "n=user,r=rOprNGfwEbeRWgbNEkqO,"
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

static struct view encoded(const char *bytes)
{
    static char room[128];
    struct buf out = BUF_ON_ARRAY(room);

    assert_true(base64_encode(view_make(bytes, SCRAM_KEY_BYTES), &out));
    return buf_view(&out);
}

static void derive(struct scram_secret *out)
{
    char salt_room[32];
    struct buf salt = BUF_ON_ARRAY(salt_room);

    assert_true(base64_decode(VIEW("W22ZaJ0SNY7soEsUEjb6gQ=="), &salt));
    scram_derive(VIEW("pencil"), buf_view(&salt), 4096, out);
}

static void test_example_of_the_rfc(void **state)
{
    struct scram_secret secret;
    char proof[SCRAM_KEY_BYTES], signature[SCRAM_KEY_BYTES];
    struct view auth = view_of(auth_message);

    (void)state;
    derive(&secret);
    scram_client_proof(&secret, auth, proof);
    check_view("proof", encoded(proof), VIEW("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
    scram_server_signature(&secret.keys, auth, signature);
    check_view("signature", encoded(signature),
               VIEW("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
    check("proof fits", scram_proof_fits(&secret.keys, auth, view_make(proof, sizeof(proof))));
    check("short proof", !scram_proof_fits(&secret.keys, auth, view_make(proof, 31)));
    proof[7] ^= 1;
    check("other proof", !scram_proof_fits(&secret.keys, auth, view_make(proof, sizeof(proof))));
    check("password", scram_password_fits(&secret.keys, VIEW("pencil")));
    check("other password", !scram_password_fits(&secret.keys, VIEW("pencils")));
}

static void test_keys_as_text(void **state)
{
    static const char *const bad[] = {
        "",
        "SCRAM-SHA-1$4096:c2FsdA==$AAAA:AAAA",
        "SCRAM-SHA-256$4095:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
        "SCRAM-SHA-256$4096:$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4q==:"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=",
    };
    struct scram_secret secret;
    struct scram_keys back;
    char room[SCRAM_TEXT_MAX];
    struct buf text = BUF_ON_ARRAY(room);

    (void)state;
    derive(&secret);
    assert_true(scram_print_keys(&secret.keys, &text));
    /* as PostgreSQL prints them */
    check_view("text", buf_view(&text),
               VIEW("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
                    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
                    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="));
    assert_true(scram_parse_keys(buf_view(&text), &back));
    assert_memory_equal(&back, &secret.keys, sizeof(back));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        check(bad[i], !scram_parse_keys(view_of(bad[i]), &back));
}

static void test_user_file(void **state)
{
    static const char line[] = "al\xc3\xa9 SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
                               "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
                               "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n";
    char room[1024], secret[USERFILE_SECRET_BYTES] = "abc", back[USERFILE_SECRET_BYTES];
    struct buf text = BUF_ON_ARRAY(room);
    struct scram_keys keys;
    struct view rest = view_of(line), login;

    (void)state;
    assert_int_equal(userfile_take_user(&rest, &login, &keys), USERFILE_USER);
    check_view("login", login, VIEW("al\xc3\xa9"));
    assert_int_equal(userfile_take_user(&rest, &login, &keys), USERFILE_END);
    assert_true(userfile_put_head(view_make(secret, sizeof(secret)), &text));
    assert_true(userfile_put_user(VIEW("al\xc3\xa9"), &keys, &text));
    rest = buf_view(&text);
    assert_true(userfile_take_head(&rest, back));
    assert_memory_equal(secret, back, sizeof(back));
    check_view("line", rest, view_of(line));
    rest = VIEW("bob secret\n");
    assert_int_equal(userfile_take_user(&rest, &login, &keys), USERFILE_MALFORMED);
    rest = view_of(line);
    check("no head", !userfile_take_head(&rest, back));
    check("blank", !userfile_login_valid(VIEW("a b")));
    check("empty", !userfile_login_valid(VIEW("")));
    check("not UTF-8", !userfile_login_valid(VIEW("\xff")));
    check("control", !userfile_login_valid(VIEW("a\x01")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example_of_the_rfc),
        cmocka_unit_test(test_keys_as_text),
        cmocka_unit_test(test_user_file),
    };

    scram_load();
    return cmocka_run_group_tests_name("scram", tests, NULL, NULL);
}
