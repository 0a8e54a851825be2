#include "io/tls.h"

#include "tests/unit/unit.h"

#include "io/stream.h"
#include "io/tls_context.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Certificates, made anew in each run: an authority, and what it signed. */

struct identity {
    EVP_PKEY *key;
    X509 *certificate;
    char key_room[4096], certificate_room[4096];
    struct view key_pem, certificate_pem;
};

static struct identity authority, server, other, expired;

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

/* `names`: "DNS:a.test"; NULL: an authority. Valid from a day ago until `days` from now. */
static void make_identity(struct identity *id, const struct identity *issuer, const char *subject,
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

static int make_identities(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    make_identity(&authority, &authority, "Test Authority", NULL, 10);
    make_identity(&server, &authority, "cn.test", "DNS:mx.test,DNS:*.wild.test,IP:192.0.2.1", 10);
    make_identity(&other, &other, "self.test", "DNS:mx.test", 10);
    make_identity(&expired, &authority, "old.test", "DNS:mx.test", -1);
    return 0;
}

static int free_identities(void **state)
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

struct pair {
    struct tls_context *server, *client;
    struct stream here, there; /* client's, server's */
    struct error err;          /* the client's */
    int client_result, server_result;
};

static void open_pair(struct pair *p, const struct identity *id, struct view anchors)
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

static void close_pair(struct pair *p)
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

static void resume(struct pair *p, const char *name, bool verify, struct ssl_session_st *session)
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

static void shake_hands(struct pair *p, const char *name, bool verify)
{
    resume(p, name, verify, NULL);
}

static const struct {
    const char *name;
    const struct identity *server, *anchor; /* NULL: no anchors */
    const char *host;
    bool verify;
    bool works, verified;
    const char *words;
} cases[] = {
    { "verified", &server, &authority, "mx.test", true, true, true, NULL },
    { "a dot at the end", &server, &authority, "mx.test.", true, true, true, NULL },
    { "case of names", &server, &authority, "MX.Test", true, true, true, NULL },
    { "a wildcard", &server, &authority, "a.wild.test", true, true, true, NULL },
    { "a wildcard for two labels", &server, &authority, "a.b.wild.test", true, false, false,
      "TLS certificate: hostname mismatch" },
    { "an address", &server, &authority, "192.0.2.1", true, true, true, NULL },
    { "another address", &server, &authority, "192.0.2.2", true, false, false,
      "TLS certificate: IP address mismatch" },
    { "another name", &server, &authority, "other.test", true, false, false,
      "TLS certificate: hostname mismatch" },
    { "the subject is no name", &server, &authority, "cn.test", true, false, false,
      "TLS certificate: hostname mismatch" },
    { "self-signed", &other, &authority, "mx.test", true, false, false,
      "TLS certificate: self-signed certificate" },
    { "without anchors", &server, NULL, "mx.test", true, false, false,
      "TLS certificate: unable to get local issuer certificate" },
    { "expired", &expired, &authority, "mx.test", true, false, false,
      "TLS certificate: certificate has expired" },
    { "an end certificate as anchor", &other, &other, "mx.test", true, true, true, NULL },
    { "opportunistic", &server, NULL, "mx.test", false, true, false, NULL },
    { "opportunistic, and good", &server, &authority, "mx.test", false, true, true, NULL },
    { "opportunistic, another name", &server, &authority, "x.test", false, true, false, NULL },
    { "opportunistic, expired", &expired, &authority, "mx.test", false, true, false, NULL },
};

static void verifies(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct identity *anchor = cases[i].anchor;
        struct tls_facts facts;
        struct pair p;

        open_pair(&p, cases[i].server, anchor == NULL ? VIEW_EMPTY : anchor->certificate_pem);
        shake_hands(&p, cases[i].host, cases[i].verify);
        check(cases[i].name, (p.client_result == 0) == cases[i].works);
        if (cases[i].words != NULL)
            assert_string_equal(p.err.text, cases[i].words);
        if (cases[i].works) {
            check(cases[i].name, p.server_result == 0);
            tls_describe(p.here.tls, &facts);
            check(cases[i].name, facts.verified == cases[i].verified);
            assert_string_equal(facts.text, "TLSv1.3 TLS_AES_128_GCM_SHA256 128");
            tls_describe(p.there.tls, &facts);
            check(cases[i].name, !facts.verified);
        } else {
            check(cases[i].name, p.client_result == -EPROTO);
            check(cases[i].name, p.server_result == -EPROTO);
        }
        close_pair(&p);
    }
}

/* More than the socket takes at once, so that both sides must wait. */
static void carries_bytes(void **state)
{
    enum { TOTAL = 3 << 20 };
    static char bytes[TOTAL], got[TOTAL + 1];
    size_t sent = 0, received = 0, part = 100000;
    uint64_t seed = 1;
    struct pair p;

    (void)state;
    for (size_t i = 0; i < TOTAL; i++)
        bytes[i] = (char)random_below(&seed, 256);
    open_pair(&p, &server, VIEW_EMPTY);
    shake_hands(&p, "mx.test", false);
    assert_int_equal(stream_read(&p.there, got, sizeof(got)), STREAM_WANT_READ);
    while (received < TOTAL) {
        long n = sent == TOTAL ? STREAM_WANT_WRITE : stream_write(&p.here, bytes + sent, part);

        if (n >= 0) {
            sent += (size_t)n;
            part = MIN(1 + random_below(&seed, 200000), TOTAL - sent);
        } else {
            assert_int_equal(n, STREAM_WANT_WRITE);
        }
        n = stream_read(&p.there, got + received, 1 + random_below(&seed, 100000));
        if (n > 0)
            received += (size_t)n;
        else
            assert_int_equal(n, STREAM_WANT_READ);
    }
    assert_memory_equal(bytes, got, TOTAL);
    close_pair(&p);
}

static void tells_ends_apart(void **state)
{
    char room[8];
    struct pair p;

    (void)state;
    open_pair(&p, &server, VIEW_EMPTY);
    shake_hands(&p, "mx.test", false);
    assert_int_equal(stream_write(&p.there, "goodbye", 7), 7);
    stream_close(&p.there);
    assert_int_equal(p.there.fd, -1);
    assert_int_equal(stream_read(&p.here, room, 4), 4);
    assert_true(stream_has_pending(&p.here));
    assert_int_equal(stream_read(&p.here, room, 8), 3);
    assert_false(stream_has_pending(&p.here));
    assert_int_equal(stream_read(&p.here, room, 8), 0);
    assert_true(stream_write(&p.here, "x", 1) == 1 || stream_write(&p.here, "x", 1) == -EPIPE);
    close_pair(&p);

    open_pair(&p, &server, VIEW_EMPTY);
    shake_hands(&p, "mx.test", false);
    assert_int_equal(shutdown(p.there.fd, SHUT_RDWR), 0);
    assert_int_equal(stream_read(&p.here, room, 8), -ECONNRESET);
    close_pair(&p);
}

/* The bytes on the wire of one record with `text`, from the client. */
static size_t make_record(struct pair *p, const char *text, char *room, size_t size)
{
    int kept = dup(p->here.fd), fds[2];
    ssize_t len;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(dup2(fds[0], p->here.fd), p->here.fd);
    assert_int_equal(stream_write(&p->here, text, strlen(text)), strlen(text));
    len = read(fds[1], room, size);
    assert_in_range(len, strlen(text) + 1, size - 1);
    assert_int_equal(dup2(kept, p->here.fd), p->here.fd);
    close(kept);
    close(fds[0]);
    close(fds[1]);
    return (size_t)len;
}

/* A server takes all that came off the socket at once. Part of a record is nothing that could be
 * read: whoever tries it again and again would be busy until the rest comes. */
static void tells_what_was_read_ahead(void **state)
{
    static char wire[4096];
    size_t len = 0, whole;
    char room[64];
    struct pair p;

    (void)state;
    open_pair(&p, &server, VIEW_EMPTY);
    shake_hands(&p, "mx.test", false);
    len += make_record(&p, "one", wire + len, sizeof(wire) - len);
    len += make_record(&p, "two", wire + len, sizeof(wire) - len);
    whole = len;
    len += make_record(&p, "three", wire + len, sizeof(wire) - len);
    assert_int_equal(write(p.here.fd, wire, whole + 7), whole + 7);
    assert_int_equal(stream_read(&p.there, room, sizeof(room)), 3);
    assert_int_equal(recv(p.there.fd, room, 1, MSG_PEEK), -1);
    assert_true(stream_has_pending(&p.there));
    assert_int_equal(stream_read(&p.there, room, sizeof(room)), 3);
    assert_int_equal(stream_read(&p.there, room, sizeof(room)), STREAM_WANT_READ);
    assert_false(stream_has_pending(&p.there));
    assert_int_equal(write(p.here.fd, wire + whole + 7, len - whole - 7), len - whole - 7);
    assert_int_equal(stream_read(&p.there, room, 2), 2);
    assert_true(stream_has_pending(&p.there));
    assert_int_equal(stream_read(&p.there, room, sizeof(room)), 3);
    assert_false(stream_has_pending(&p.there));
    close_pair(&p);
}

static void handshake_meets(struct pair *p, const char *bytes, int wanted)
{
    struct error err = { "" };
    int result;

    assert_int_equal(stream_connect_tls(&p->here, p->client, VIEW("mx.test"), false), 0);
    assert_int_equal(stream_handshake(&p->here, &err), STREAM_WANT_READ);
    if (bytes != NULL)
        assert_int_equal(stream_write(&p->there, bytes, strlen(bytes)), strlen(bytes));
    assert_int_equal(shutdown(p->there.fd, SHUT_WR), 0);
    result = stream_handshake(&p->here, &err);
    assert_int_equal(result, wanted);
    assert_true(view_starts(view_of(err.text), VIEW("TLS handshake: ")));
    close_pair(p);
}

static void explains_failed_handshakes(void **state)
{
    struct pair p;

    (void)state;
    open_pair(&p, &server, VIEW_EMPTY);
    handshake_meets(&p, "500 5.5.1 What was that?\r\n", -EPROTO);
    open_pair(&p, &server, VIEW_EMPTY);
    handshake_meets(&p, NULL, -ECONNRESET);
}

/* A second connection between the same two. */
static void open_again(struct pair *p)
{
    int fds[2];

    stream_close(&p->here);
    stream_close(&p->there);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    stream_init(&p->here, fds[0]);
    stream_init(&p->there, fds[1]);
}

/* TLS 1.3 gives it with the first bytes. */
static struct ssl_session_st *take_session(struct pair *p)
{
    struct ssl_session_st *session;
    char byte;

    assert_int_equal(stream_write(&p->there, "x", 1), 1);
    assert_int_equal(stream_read(&p->here, &byte, 1), 1);
    session = tls_take_session(p->here.tls);
    assert_non_null(session);
    return session;
}

static bool is_resumed(const struct pair *p)
{
    struct tls_facts facts;

    tls_describe(p->there.tls, &facts);
    return facts.resumed;
}

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

static void refuses_bad_names(void **state)
{
    char name[300];
    struct pair p;

    (void)state;
    memset(name, 'a', sizeof(name));
    open_pair(&p, &server, VIEW_EMPTY);
    assert_int_equal(stream_connect_tls(&p.here, p.client, VIEW(""), false), -EINVAL);
    assert_int_equal(stream_connect_tls(&p.here, p.client, view_make(name, 300), false), -EINVAL);
    assert_int_equal(stream_connect_tls(&p.here, p.client, VIEW("mx\0.test"), true), -EINVAL);
    close_pair(&p);
}

static void refuses_bad_files(void **state)
{
    static const char locked[] = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
                                 "MIIBAA==\n"
                                 "-----END ENCRYPTED PRIVATE KEY-----\n";
    char damaged[4096];
    const struct {
        const char *name;
        struct view certificate, key;
        const char *words; /* the beginning */
    } bad[] = {
        { "no certificate", VIEW_INIT(""), server.key_pem,
          "there is no certificate in the file (PEM is expected)" },
        { "not PEM", VIEW_INIT("hello\n"), server.key_pem,
          "there is no certificate in the file (PEM is expected)" },
        { "no key", server.certificate_pem, VIEW_INIT(""), "there is no private key in the file" },
        { "the wrong way round", server.key_pem, server.certificate_pem,
          "there is no certificate in the file" },
        { "another key", server.certificate_pem, other.key_pem,
          "the key does not belong to the certificate: " },
        { "a locked key", server.certificate_pem, { locked, sizeof(locked) - 1 }, "the" },
        { "damaged",
          { damaged, server.certificate_pem.len },
          server.key_pem,
          "certificate number 1 cannot be used: " },
    };

    (void)state;
    memcpy(damaged, server.certificate_pem.ptr, server.certificate_pem.len);
    memset(damaged + 60, 'A', 40);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct error err = { "" };

        check(bad[i].name, tls_server_new(bad[i].certificate, bad[i].key, &err) == NULL);
        if (!view_starts(view_of(err.text), view_of(bad[i].words)))
            fail_msg("%s: %s", bad[i].name, err.text);
    }
}

static void refuses_bad_anchors(void **state)
{
    struct error err = { "" };

    (void)state;
    assert_null(tls_client_new(VIEW("no certificates here\n"), &err));
    assert_string_equal(err.text, "there is no trust anchor in the file (PEM is expected)");
}

/* The chain's later certificates are sent as well. */
static void sends_its_chain(void **state)
{
    static struct identity middle, leaf, chain;
    struct buf both = BUF_ON_ARRAY(chain.certificate_room);
    struct pair p;

    (void)state;
    make_identity(&middle, &authority, "Middle", NULL, 10);
    make_identity(&leaf, &middle, "leaf", "DNS:mx.test", 10);
    buf_put(&both, leaf.certificate_pem);
    buf_put(&both, middle.certificate_pem);
    chain.certificate_pem = buf_view(&both);
    chain.key_pem = leaf.key_pem;
    open_pair(&p, &chain, authority.certificate_pem);
    shake_hands(&p, "mx.test", true);
    assert_int_equal(p.client_result, 0);
    close_pair(&p);
    EVP_PKEY_free(middle.key);
    EVP_PKEY_free(leaf.key);
    X509_free(middle.certificate);
    X509_free(leaf.certificate);
}

static void plain_streams(void **state)
{
    struct stream a, b;
    char room[8];
    int fds[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    stream_init(&a, fds[0]);
    stream_init(&b, fds[1]);
    assert_int_equal(stream_read(&a, room, sizeof(room)), STREAM_WANT_READ);
    assert_int_equal(stream_write(&b, "hello", 5), 5);
    assert_int_equal(stream_read(&a, room, sizeof(room)), 5);
    assert_memory_equal(room, "hello", 5);
    assert_false(stream_has_pending(&a));
    while (stream_write(&b, room, sizeof(room)) > 0)
        continue;
    assert_int_equal(stream_write(&b, room, sizeof(room)), STREAM_WANT_WRITE);
    stream_close(&a);
    assert_int_equal(stream_write(&b, "x", 1), -EPIPE);
    stream_close(&b);
    stream_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verifies),
        cmocka_unit_test(carries_bytes),
        cmocka_unit_test(tells_ends_apart),
        cmocka_unit_test(tells_what_was_read_ahead),
        cmocka_unit_test(explains_failed_handshakes),
        cmocka_unit_test(resumes_sessions),
        cmocka_unit_test(resumes_what_shares_its_secret),
        cmocka_unit_test(believes_no_certificate_that_has_expired_since),
        cmocka_unit_test(refuses_bad_names),
        cmocka_unit_test(refuses_bad_files),
        cmocka_unit_test(refuses_bad_anchors),
        cmocka_unit_test(sends_its_chain),
        cmocka_unit_test(plain_streams),
    };

    return cmocka_run_group_tests(tests, make_identities, free_identities);
}
