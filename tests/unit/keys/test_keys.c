/* The process with the private keys, as master starts it and as a smtpd process asks it. Usage:
 * test_keys TERN-KEYS */
#include "common/wire.h"
#include "io/channel.h"
#include "io/tls_key.h"
#include "ipc/messages.h"
#include "ipc/peer.h"
#include "ipc/role.h"
#include "tests/unit/unit.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAIT_MS = 10000, DIGEST = 32 };

static const char yaml[] = "hostname: mx.test\n"
                           "tls: { certificate: /c, key: /k }\n";

static const char *executable;
static struct loop loop;
static EVP_PKEY *key;
static pid_t process;
static struct master {
    struct peer peer;
    bool ready, gone;
} master;
static struct smtpd {
    struct peer peer;
    unsigned answers;
    uint64_t request;
    size_t len;
    unsigned char signature[TLS_SIGNATURE_MAX];
    bool gone;
} smtpd, other;

static bool on_said_to_master(struct peer *p, enum message type, struct view fields, int fd)
{
    (void)p;
    (void)fields;
    assert_int_equal(fd, -1);
    master.ready = master.ready || type == MESSAGE_READY;
    return type == MESSAGE_READY;
}

static void on_master_lost(struct peer *p)
{
    (void)p;
    master.gone = true;
}

static bool on_said_to_smtpd(struct peer *p, enum message type, struct view fields, int fd)
{
    struct smtpd *s = container_of(p, struct smtpd, peer);
    struct message_key_signed m;

    assert_int_equal(fd, -1);
    assert_int_equal(type, MESSAGE_KEY_SIGNED);
    assert_true(message_key_signed_decode(fields, &m));
    assert_true(m.bytes.len <= sizeof(s->signature));
    s->answers++;
    s->request = m.request;
    s->len = m.bytes.len;
    if (m.bytes.len > 0)
        memcpy(s->signature, m.bytes.ptr, m.bytes.len);
    return true;
}

static void on_smtpd_lost(struct peer *p)
{
    container_of(p, struct smtpd, peer)->gone = true;
}

/* Until it is so. */
static void wait_for(const bool *what)
{
    for (int i = 0; i < WAIT_MS / 10 && !*what; i++)
        assert_int_equal(loop_turn(&loop, 10), 0);
    assert_true(*what);
}

static void wait_for_answers(const struct smtpd *s, unsigned count)
{
    for (int i = 0; i < WAIT_MS / 10 && s->answers < count; i++)
        assert_int_equal(loop_turn(&loop, 10), 0);
    assert_int_equal(s->answers, count);
}

/* ---- starting it ---- */

static int memory_file(const void *bytes, size_t len)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    assert_int_equal(write(fd, bytes, len), len);
    return fd;
}

static int bundle(void)
{
    static char room[1024];
    struct wire_writer w = wire_write(room, sizeof(room));
    struct view bytes;

    wire_put_u32(&w, 1);
    wire_put_view(&w, VIEW("t.yaml"));
    wire_put_view(&w, VIEW(yaml));
    wire_put_u32(&w, 0);
    assert_true(wire_finish(&w, &bytes));
    return memory_file(bytes.ptr, bytes.len);
}

static int pem(bool private)
{
    BIO *bio = BIO_new(BIO_s_mem());
    X509 *x = X509_new();
    char room[4096];
    int len;

    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), 0));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 86400));
    assert_int_equal(X509_set_pubkey(x, key), 1);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    assert_int_equal(private ? PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)
                             : PEM_write_bio_X509(bio, x),
                     1);
    len = BIO_read(bio, room, sizeof(room));
    assert_in_range(len, 1, sizeof(room));
    BIO_free(bio);
    X509_free(x);
    return memory_file(room, (size_t)len);
}

static void grant(enum grant_kind kind, enum process peer, int fd)
{
    const struct message_grant m = { .kind = kind, .peer = peer };

    peer_send_grant(&master.peer, &m, fd);
    for (int i = 0; i < 3; i++)
        assert_int_equal(loop_turn(&loop, 0), 0);
    close(fd);
}

static void connect_smtpd(struct smtpd *s)
{
    int fds[2];

    *s = (struct smtpd){ .peer.heard = on_said_to_smtpd, .peer.gone = on_smtpd_lost };
    assert_int_equal(channel_pair(fds), 0);
    assert_int_equal(peer_open(&s->peer, &loop, SMTPD, KEYS, 0, fds[0]), 0);
    grant(GRANT_PEER, SMTPD, fds[1]);
}

static void start(void)
{
    int fds[2];

    assert_int_equal(channel_pair(fds), 0);
    process = fork();
    assert_true(process >= 0);
    if (process == 0) {
        /* In its sandbox it cannot look for leaks. */
        if (dup2(fds[1], ROLE_CHANNEL_FD) < 0 || setenv("ASAN_OPTIONS", "detect_leaks=0", 1) < 0)
            _exit(1);
        execl(executable, executable, (char *)NULL);
        _exit(1);
    }
    close(fds[1]);
    master = (struct master){ .peer.heard = on_said_to_master, .peer.gone = on_master_lost };
    assert_int_equal(peer_open(&master.peer, &loop, MASTER, KEYS, 0, fds[0]), 0);
}

static int open_all(void **state)
{
    const struct message_start go = {
        .count = 1, .generation = 1, .uid = UINT32_MAX, .gid = UINT32_MAX
    };

    (void)state;
    assert_int_equal(loop_init(&loop), 0);
    key = EVP_EC_gen("P-256");
    start();
    grant(GRANT_SETTINGS, MASTER, bundle());
    grant(GRANT_CERTIFICATE, MASTER, pem(false));
    grant(GRANT_KEY, MASTER, pem(true));
    peer_send_start(&master.peer, &go, -1);
    wait_for(&master.ready);
    connect_smtpd(&smtpd);
    return 0;
}

/* It ends when it is told to and nobody can ask any more. */
static int close_all(void **state)
{
    const struct message_drain drain = { 0 };
    int status = -1;

    (void)state;
    peer_send_drain(&master.peer, &drain, -1);
    if (!smtpd.gone)
        peer_close(&smtpd.peer);
    wait_for(&master.gone);
    assert_int_equal(waitpid(process, &status, 0), process);
    assert_int_equal(status, 0);
    EVP_PKEY_free(key);
    loop_release(&loop);
    return 0;
}

/* ---- asking it ---- */

static void ask(struct smtpd *s, uint64_t request, uint32_t number, unsigned how, size_t len)
{
    static const char digest[TLS_SIGNED_MAX + 1] = "a digest of what both sides have said";
    const struct message_key_sign m = {
        .request = request, .key = number, .how = (uint8_t)how, .bytes = view_make(digest, len)
    };

    peer_send_key_sign(&s->peer, &m, -1);
}

static bool is_signed(const struct smtpd *s)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
    bool good;

    assert_int_equal(EVP_PKEY_verify_init(context), 1);
    good = EVP_PKEY_verify(context, s->signature, s->len,
                           (const unsigned char *)"a digest of what both sides have said",
                           DIGEST) == 1;
    EVP_PKEY_CTX_free(context);
    return good;
}

static void signs_for_who_may_ask(void **state)
{
    (void)state;
    ask(&smtpd, 77, 0, TLS_SIGN_ECDSA, DIGEST);
    wait_for_answers(&smtpd, 1);
    assert_int_equal(smtpd.request, 77);
    assert_true(is_signed(&smtpd));
}

/* A key of another kind cannot do it: the handshake fails, and the process lives. */
static void says_when_it_cannot(void **state)
{
    (void)state;
    ask(&smtpd, 1, 0, TLS_SIGN_RSA_PKCS1, DIGEST);
    wait_for_answers(&smtpd, 1);
    assert_int_equal(smtpd.len, 0);
    ask(&smtpd, 2, 0, TLS_SIGN_ECDSA, DIGEST);
    wait_for_answers(&smtpd, 2);
    assert_true(is_signed(&smtpd));
}

/* Who asks for what there is not loses its channel; the others go on. */
static void nonsense_ends_the_channel(void **state)
{
    static const struct {
        uint32_t key;
        unsigned how;
        size_t len;
    } cases[] = {
        { 1, TLS_SIGN_ECDSA, DIGEST },
        { UINT32_MAX, TLS_SIGN_ECDSA, DIGEST },
        { 0, TLS_SIGNINGS, DIGEST },
        { 0, TLS_SIGN_ECDSA, TLS_SIGNED_MAX + 1 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        connect_smtpd(&other);
        ask(&other, 1, cases[i].key, cases[i].how, cases[i].len);
        wait_for(&other.gone);
        assert_int_equal(other.answers, 0);
    }
    ask(&smtpd, 5, 0, TLS_SIGN_ECDSA, DIGEST);
    wait_for_answers(&smtpd, 1);
    assert_true(is_signed(&smtpd));
}

/* Handshakes that are under way are still signed when it is to end. */
static void signs_while_it_drains(void **state)
{
    const struct message_drain drain = { 0 };

    (void)state;
    peer_send_drain(&master.peer, &drain, -1);
    for (uint64_t i = 1; i <= 3; i++) {
        ask(&smtpd, i, 0, TLS_SIGN_ECDSA, DIGEST);
        wait_for_answers(&smtpd, (unsigned)i);
        assert_true(is_signed(&smtpd));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(signs_for_who_may_ask),
        TEST(says_when_it_cannot),
        TEST(nonsense_ends_the_channel),
        TEST(signs_while_it_drains),
    };

    executable = argc > 1 ? argv[1] : "tern-keys";
    return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
