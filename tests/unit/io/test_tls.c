#include "io/tls.h"

#include "tests/unit/io/tlspair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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
        cmocka_unit_test(refuses_bad_names),
        cmocka_unit_test(refuses_bad_files),
        cmocka_unit_test(refuses_bad_anchors),
        cmocka_unit_test(sends_its_chain),
        cmocka_unit_test(plain_streams),
    };

    return cmocka_run_group_tests_name("TLS", tests, make_identities, free_identities);
}
