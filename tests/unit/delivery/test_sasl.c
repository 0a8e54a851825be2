#include "delivery/sasl.h"

#include "tests/unit/unit.h"

#include <string.h>

/* The exchange of RFC 7677, 3. */
#define NONCE "rOprNGfwEbeRWgbNEkqO"
static const char server_first[] =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
static const char client_final[] = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                                   "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
static const char server_final[] = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

static struct credential credential;

static void begin(struct sasl *s, struct buf *out)
{
    credential = (struct credential){ .login = VIEW_INIT("user"), .secret = "pencil" };
    credential.secret_len = strlen("pencil");
    assert_true(sasl_begin(s, &credential, sasl_read_mechanisms(VIEW("PLAIN SCRAM-SHA-256"))));
    assert_int_equal(s->mechanism, SASL_SCRAM_SHA_256);
    memcpy(s->nonce, NONCE, sizeof(NONCE));
    assert_true(sasl_first(s, VIEW("h.test"), 25, out));
    check_view("first", buf_view(out), VIEW("n,,n=user,r=" NONCE));
    buf_clear(out);
}

static void speaks_scram(void **state)
{
    char room[512];
    struct buf out = BUF_ON_ARRAY(room);
    struct sasl s;

    (void)state;
    for (int round = 0; round < 2; round++) { /* the second time with what was derived */
        begin(&s, &out);
        assert_true(sasl_answer(&s, view_of(server_first), &out));
        check_view("final", buf_view(&out), view_of(client_final));
        buf_clear(&out);
        assert_false(sasl_end(&s));
        assert_true(sasl_answer(&s, view_of(server_final), &out));
        assert_int_equal(buf_len(&out), 0);
        assert_true(sasl_end(&s));
        assert_false(sasl_answer(&s, VIEW(""), &out));
    }
}

static const struct {
    const char *name, *first, *final;
} liars[] = {
    { "another nonce", "r=xOprNGfwEbeRWgbNEkqOmore,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", NULL },
    { "nothing added to the nonce", "r=" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", NULL },
    { "too few iterations", "r=" NONCE "x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4095", NULL },
    { "too many iterations", "r=" NONCE "x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=200001", NULL },
    { "a salt that is none", "r=" NONCE "x,s=!,i=4096", NULL },
    { "an extension that must be understood", "m=x,r=" NONCE "x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
      NULL },
    { "nothing", "", NULL },
    { "another signature", server_first, "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" },
    { "an error", server_first, "e=invalid-proof" },
    { "a short signature", server_first, "v=6rri" },
};

static void believes_no_liars(void **state)
{
    char room[512];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(liars); i++) {
        struct buf out = BUF_ON_ARRAY(room);
        struct sasl s;

        begin(&s, &out);
        check(liars[i].name,
              sasl_answer(&s, view_of(liars[i].first), &out) == (liars[i].final != NULL));
        if (liars[i].final != NULL)
            check(liars[i].name, !sasl_answer(&s, view_of(liars[i].final), &out));
        check(liars[i].name, !sasl_end(&s));
    }
}

static void chooses_a_mechanism(void **state)
{
    struct credential token = { .token = true };
    struct sasl s;

    (void)state;
    credential = (struct credential){ .token = false };
    assert_true(sasl_begin(&s, &credential, sasl_read_mechanisms(VIEW("login plain x"))));
    assert_int_equal(s.mechanism, SASL_PLAIN);
    assert_true(sasl_begin(&s, &token, sasl_read_mechanisms(VIEW("PLAIN XOAUTH2 OAUTHBEARER"))));
    assert_int_equal(s.mechanism, SASL_OAUTHBEARER);
    assert_false(sasl_begin(&s, &token, sasl_read_mechanisms(VIEW("PLAIN SCRAM-SHA-256"))));
    assert_false(sasl_begin(&s, &credential, sasl_read_mechanisms(VIEW("XOAUTH2 GSSAPI"))));
}

/* Why a token was not taken says the reply that follows, which may be 454. */
static void a_challenge_refuses_no_token_yet(void **state)
{
    char room[64];
    struct buf out = BUF_ON_ARRAY(room);
    struct sasl s;

    (void)state;
    credential = (struct credential){ .login = VIEW_INIT("u"), .secret = "t", .token = true };
    credential.secret_len = 1;
    assert_true(sasl_begin(&s, &credential, sasl_read_mechanisms(VIEW("OAUTHBEARER"))));
    assert_true(sasl_first(&s, VIEW("h.test"), 25, &out));
    buf_clear(&out);
    assert_true(sasl_answer(&s, VIEW("{}"), &out));
    assert_false(credential.refused);
}

static void makes_nonces(void **state)
{
    char room[2][128];
    struct buf a = BUF_ON_ARRAY(room[0]), b = BUF_ON_ARRAY(room[1]);
    struct sasl s, t;

    (void)state;
    credential = (struct credential){ .login = VIEW_INIT("a,b=c") };
    assert_true(sasl_begin(&s, &credential, 1u << SASL_SCRAM_SHA_256));
    assert_true(sasl_begin(&t, &credential, 1u << SASL_SCRAM_SHA_256));
    assert_true(sasl_first(&s, VIEW(""), 0, &a) && sasl_first(&t, VIEW(""), 0, &b));
    assert_true(view_starts(buf_view(&a), VIEW("n,,n=a=2Cb=3Dc,r=")));
    assert_false(view_equal(buf_view(&a), buf_view(&b)));
}

static int load(void **state)
{
    (void)state;
    scram_load();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(speaks_scram),        cmocka_unit_test(believes_no_liars),
        cmocka_unit_test(chooses_a_mechanism), cmocka_unit_test(a_challenge_refuses_no_token_yet),
        cmocka_unit_test(makes_nonces),
    };

    return cmocka_run_group_tests_name("sasl", tests, load, NULL);
}
