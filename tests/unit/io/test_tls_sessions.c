/* Resumption: which sessions, and what it says about the client. */
#include "tests/unit/io/tlspair.h"

#include "io/tls_context.h"

#include <openssl/x509.h>
#include <unistd.h>

/* Another process of the same kind. */
static void be_another(struct pair *p, const struct identity *id, struct view secret)
{
    struct error err;

    tls_context_free(&p->server);
    p->server = tls_server_new(id->certificate_pem, id->key_pem, &err);
    if (secret.len > 0)
        tls_server_share_tickets(p->server, secret);
}

static void resumes_what_shares_its_secret(void **state)
{
    static const char ours[TLS_TICKET_SECRET] = "ours", theirs[TLS_TICKET_SECRET] = "theirs";
    static const struct {
        struct view giver, taker;
        bool renewed; /* the same process, but another secret */
        bool resumed;
    } tries[] = {
        { { ours, sizeof(ours) }, { ours, sizeof(ours) }, false, true },
        { { ours, sizeof(ours) }, { theirs, sizeof(theirs) }, false, false },
        { { ours, sizeof(ours) }, { ours, sizeof(ours) }, true, true },
        { { ours, sizeof(ours) }, { theirs, sizeof(theirs) }, true, false },
        { { NULL, 0 }, { NULL, 0 }, false, false },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(tries); i++) {
        struct ssl_session_st *session;
        struct pair p;

        open_pair(&p, &server, authority.certificate_pem);
        be_another(&p, &server, tries[i].giver);
        shake_hands(&p, "mx.test", true);
        session = take_session(&p);
        open_again(&p);
        if (tries[i].renewed)
            tls_server_share_tickets(p.server, tries[i].taker);
        else
            be_another(&p, &server, tries[i].taker);
        resume(&p, "mx.test", true, session);
        assert_int_equal(p.server_result, 0);
        assert_int_equal(is_resumed(&p), tries[i].resumed);
        tls_free_session(&session);
        close_pair(&p);
    }
}

/* Who resumes a session shows no certificate again: that of back then may be over. */
static void believes_no_certificate_that_has_expired_since(void **state)
{
    struct identity client;
    struct ssl_session_st *session;
    struct error err;
    struct pair p;

    (void)state;
    make_identity(&client, &authority, "client", "DNS:client.test", 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(client.certificate), 5));
    assert_true(X509_sign(client.certificate, authority.key, EVP_sha256()) > 0);
    open_pair(&p, &server, authority.certificate_pem);
    assert_int_equal(tls_server_ask(p.server, authority.certificate_pem, &err), 0);
    assert_int_equal(SSL_CTX_use_certificate(p.client->ssl, client.certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(p.client->ssl, client.key), 1);
    shake_hands(&p, "mx.test", true);
    session = take_session(&p);
    assert_true(tls_client_is(p.there.tls, VIEW("client.test")));
    while (X509_cmp_current_time(X509_get0_notAfter(client.certificate)) > 0)
        (void)usleep(100000);
    open_again(&p);
    resume(&p, "mx.test", true, session);
    assert_true(is_resumed(&p));
    assert_false(tls_client_is(p.there.tls, VIEW("client.test")));
    tls_free_session(&session);
    close_pair(&p);
    EVP_PKEY_free(client.key);
    X509_free(client.certificate);
}

static void resumes_sessions(void **state)
{
    struct ssl_session_st *session;
    struct tls_facts facts;
    struct pair p;

    (void)state;
    open_pair(&p, &server, authority.certificate_pem);
    shake_hands(&p, "mx.test", true);
    tls_describe(p.here.tls, &facts);
    assert_false(facts.resumed);
    session = take_session(&p);
    assert_null(tls_take_session(p.here.tls));
    open_again(&p);
    resume(&p, "mx.test", true, session);
    assert_int_equal(p.client_result, 0);
    assert_int_equal(p.server_result, 0);
    tls_describe(p.here.tls, &facts);
    assert_true(facts.resumed && facts.verified);
    assert_true(is_resumed(&p));
    tls_free_session(&session);
    assert_null(session);
    close_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resumes_sessions),
        cmocka_unit_test(resumes_what_shares_its_secret),
        cmocka_unit_test(believes_no_certificate_that_has_expired_since),
    };

    return cmocka_run_group_tests_name("TLS sessions", tests, make_identities, free_identities);
}
