#include "tests/unit/io/tlspair.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>

struct identity authority, server, other, expired;

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *e;

    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    assert_int_equal(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
}

static struct view print(BIO *bio, char *room, size_t size)
{
    int len = BIO_read(bio, room, (int)size);

    assert_in_range(len, 1, size - 1);
    BIO_free(bio);
    return view_make(room, (size_t)len);
}

void make_identity(struct identity *id, const struct identity *issuer, const char *subject,
                   const char *names, long days)
{
    BIO *key_bio = BIO_new(BIO_s_mem()), *bio = BIO_new(BIO_s_mem());
    X509 *x = X509_new();

    id->key = EVP_EC_gen("P-256");
    id->certificate = x;
    assert_int_equal(X509_set_version(x, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), rand()), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), -10L * 86400));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), days * 86400));
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                                                (const unsigned char *)subject, -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(x, X509_get_subject_name(issuer->certificate)), 1);
    assert_int_equal(X509_set_pubkey(x, id->key), 1);
    extend(x, issuer->certificate, NID_basic_constraints,
           names == NULL ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (names != NULL)
        extend(x, issuer->certificate, NID_subject_alt_name, names);
    assert_true(X509_sign(x, issuer->key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_bio_PrivateKey(key_bio, id->key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(PEM_write_bio_X509(bio, x), 1);
    id->key_pem = print(key_bio, id->key_room, sizeof(id->key_room));
    id->certificate_pem = print(bio, id->certificate_room, sizeof(id->certificate_room));
}

int make_identities(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    make_identity(&authority, &authority, "Test Authority", NULL, 10);
    make_identity(&server, &authority, "cn.test", "DNS:mx.test,DNS:*.wild.test,IP:192.0.2.1", 10);
    make_identity(&other, &other, "self.test", "DNS:mx.test", 10);
    make_identity(&expired, &authority, "old.test", "DNS:mx.test", -1);
    return 0;
}

int free_identities(void **state)
{
    struct identity *all[] = { &authority, &server, &other, &expired };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        EVP_PKEY_free(all[i]->key);
        X509_free(all[i]->certificate);
    }
    return 0;
}

/* Two ends of a connection */

void open_pair(struct pair *p, const struct identity *id, struct view anchors)
{
    struct error err = { "" };
    int fds[2];

    *p = (struct pair){ 0 };
    p->server = tls_server_new(id->certificate_pem, id->key_pem, &err);
    assert_string_equal(err.text, "");
    assert_non_null(p->server);
    p->client = tls_client_new(anchors, &err);
    assert_string_equal(err.text, "");
    assert_non_null(p->client);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    stream_init(&p->here, fds[0]);
    stream_init(&p->there, fds[1]);
}

void close_pair(struct pair *p)
{
    stream_close(&p->here);
    stream_close(&p->there);
    tls_context_free(&p->server);
    tls_context_free(&p->client);
    assert_null(p->client);
}

static bool waits(int result)
{
    return result == STREAM_WANT_READ || result == STREAM_WANT_WRITE;
}

void resume(struct pair *p, const char *name, bool verify, struct ssl_session_st *session)
{
    struct error err;

    assert_int_equal(stream_accept_tls(&p->there, p->server, VIEW("here")), 0);
    assert_int_equal(stream_connect_tls(&p->here, p->client, view_of(name), verify), 0);
    if (session != NULL)
        tls_offer_session(p->here.tls, session);
    p->client_result = p->server_result = STREAM_WANT_READ;
    for (int i = 0; i < 20; i++) {
        if (waits(p->client_result))
            p->client_result = stream_handshake(&p->here, &p->err);
        if (waits(p->server_result))
            p->server_result = stream_handshake(&p->there, &err);
    }
}

void shake_hands(struct pair *p, const char *name, bool verify)
{
    resume(p, name, verify, NULL);
}

void open_again(struct pair *p)
{
    int fds[2];

    stream_close(&p->here);
    stream_close(&p->there);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    stream_init(&p->here, fds[0]);
    stream_init(&p->there, fds[1]);
}

struct ssl_session_st *take_session(struct pair *p)
{
    struct ssl_session_st *session;
    char byte;

    assert_int_equal(stream_write(&p->there, "x", 1), 1);
    assert_int_equal(stream_read(&p->here, &byte, 1), 1);
    session = tls_take_session(p->here.tls);
    assert_non_null(session);
    return session;
}

bool is_resumed(const struct pair *p)
{
    struct tls_facts facts;

    tls_describe(p->there.tls, &facts);
    return facts.resumed;
}
