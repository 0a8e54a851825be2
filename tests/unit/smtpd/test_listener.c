/* Handshakes, and connections that are turned away. */
#include "smtpd/listener.h"

#include "tests/unit/smtpd/reception.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- TLS ---- */

static struct view print(BIO *bio, char *room, size_t size)
{
    int len = BIO_read(bio, room, (int)size);

    assert_in_range(len, 1, size);
    BIO_free(bio);
    return view_make(room, (size_t)len);
}

static void make_server_tls(void)
{
    static char key_room[4096], certificate_room[4096];
    BIO *key_bio = BIO_new(BIO_s_mem()), *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    struct view certificate_pem, key_pem;
    struct error err;

    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), 0));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 86400));
    assert_int_equal(X509_set_pubkey(x, key), 1);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(PEM_write_bio_X509(bio, x), 1);
    key_pem = print(key_bio, key_room, sizeof(key_room));
    certificate_pem = print(bio, certificate_room, sizeof(certificate_room));
    server.tls = tls_server_new(certificate_pem, key_pem, &err);
    assert_non_null(server.tls);
    EVP_PKEY_free(key);
    X509_free(x);
}

static void shake_hands(void)
{
    struct error err;
    struct tls_context *context = tls_client_new(VIEW_EMPTY, &err);
    int result;

    assert_non_null(context);
    assert_int_equal(stream_connect_tls(&client.stream, context, VIEW("mx.test"), false), 0);
    do {
        result = stream_handshake(&client.stream, &err);
        turn_only();
    } while (result == STREAM_WANT_READ || result == STREAM_WANT_WRITE);
    assert_int_equal(result, 0);
    tls_context_free(&context);
    turn();
}

static void starts_tls(void **state)
{
    char *text = make_message(BIG);

    (void)state;
    make_server_tls();
    rules.starttls = true;
    session_rules_init(&rules);
    connect_client();
    say("EHLO client.test\r\n");
    pass_over();
    say("STARTTLS\r\n");
    hear("220 2.0.0 Ready to start TLS\r\n");
    shake_hands();
    hear("");
    say("NOOP\r\n");
    hear("250 2.0.0 Ok\r\n");
    begin_message();
    say(text);
    hear("250 2.0.0 Ok: queued as 0000000000000abc\r\n");
    assert_true(view_find_view(queue.commit.envelope, VIEW("protocol=ESMTPS\n")) <
                queue.commit.envelope.len);
    assert_true(queue.commit.big);
    say("QUIT\r\n");
    hear("221 2.0.0 Bye\r\n");
    assert_true(client.closed);
    free(text);
}

static void connect_for_tls(void)
{
    make_server_tls();
    settings.listeners[0].tls = LISTENER_TLS_IMPLICIT;
    connect_client();
}

static void greets_under_tls(void **state)
{
    (void)state;
    connect_for_tls();
    hear("");
    shake_hands();
    hear("220 mx.test ESMTP Tern\r\n");
}

static void waits_for_a_handshake_not_for_ever(void **state)
{
    (void)state;
    connect_for_tls();
    wait_ms(settings.listeners[0].timeouts.handshake);
    assert_true(client.closed);
    hear("");
}

static void a_silent_handshake_makes_room(void **state)
{
    (void)state;
    connect_for_tls();
    assert_false(server_make_room(&server, NULL, true));
    wait_ms(10000);
    assert_true(server_make_room(&server, NULL, true));
    turn();
    assert_true(client.closed);
    hear("");
}

static void plain_text_is_no_handshake(void **state)
{
    (void)state;
    make_server_tls();
    rules.starttls = true;
    session_rules_init(&rules);
    connect_client();
    say("EHLO client.test\r\n");
    say("STARTTLS\r\n");
    pass_over();
    say("MAIL FROM:<injected@there.test>\r\n");
    assert_true(client.closed);
    assert_true(list_empty(&server.conns));
}

/* ---- listeners ---- */

static int dial(int listener)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, len), 0);
    return fd;
}

static struct view read_all(int fd, char *room, size_t size)
{
    ssize_t n;

    turn_only();
    n = recv(fd, room, size, MSG_DONTWAIT);
    return view_make(room, n > 0 ? (size_t)n : 0);
}

static int open_listener(void)
{
    struct net_address any = { .family = AF_INET, .bytes = { 127, 0, 0, 1 } };
    struct error err;
    int fd = net_listen(&any, &err);

    assert_true(fd >= 0);
    listener_open(&server, &settings.listeners[0], fd, &listeners);
    return fd;
}

static void turns_away_what_is_too_much(void **state)
{
    char room[200];
    int listener = open_listener(), fds[3];

    (void)state;
    settings.listeners[0].limits.connections_per_client = 2;
    for (int i = 0; i < 3; i++) {
        struct view heard;

        fds[i] = dial(listener);
        heard = read_all(fds[i], room, sizeof(room));
        assert_true(view_starts(heard, i < 2 ? VIEW("220 mx.test ") : VIEW("421 4.7.0 Too many ")));
    }
    close(fds[0]);
    turn_only();
    close(fds[2]);
    fds[2] = dial(listener);
    assert_true(view_starts(read_all(fds[2], room, sizeof(room)), VIEW("220 ")));
    close(fds[1]);
    close(fds[2]);
    turn_only();
}

/* Without descriptors it tells one client, rests, and goes on when there are some. */
static void survives_without_descriptors(void **state)
{
    struct rlimit old, none;
    char room[200];
    int listener = open_listener(), first = dial(listener), second, spare = dup(0);

    (void)state;
    assert_true(view_starts(read_all(first, room, sizeof(room)), VIEW("220 ")));
    second = dial(listener);
    getrlimit(RLIMIT_NOFILE, &old);
    none = (struct rlimit){ (rlim_t)spare, old.rlim_max };
    setrlimit(RLIMIT_NOFILE, &none);
    assert_true(view_starts(read_all(second, room, sizeof(room)), VIEW("421 ")) ||
                read_all(second, room, sizeof(room)).len == 0);
    setrlimit(RLIMIT_NOFILE, &old);
    close(second);
    second = dial(listener);
    assert_int_equal(read_all(second, room, sizeof(room)).len, 0);
    clock_advance(1000);
    assert_true(view_starts(read_all(second, room, sizeof(room)), VIEW("220 ")));
    close(first);
    close(second);
    close(spare);
    turn_only();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(starts_tls),
        TEST(greets_under_tls),
        TEST(waits_for_a_handshake_not_for_ever),
        TEST(a_silent_handshake_makes_room),
        TEST(plain_text_is_no_handshake),
        TEST(turns_away_what_is_too_much),
        TEST(survives_without_descriptors),
    };

    return RUN(tests, argc, argv);
}
