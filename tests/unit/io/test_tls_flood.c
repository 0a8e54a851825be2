/* A peer that never stops to talk to TLS itself: new keys, tickets. What it says is no mail, and is
 * read in pieces, so that the loop gets its turns and deadlines come. */
#include "tests/unit/io/tlspair.h"

#include "io/tls_context.h"

#include <sys/ioctl.h>
#include <unistd.h>

enum {
    FLOOD_BYTES = 100000,
    PIECE_BYTES = 40000, /* of one call at most: a budget, and a record that was begun */
};

static size_t waiting_bytes(const struct stream *s)
{
    int count = 0;

    assert_int_equal(ioctl(s->fd, FIONREAD, &count), 0);
    return (size_t)count;
}

/* What `say` makes it send, up to that many bytes: all of it, in the order in which it must come.
 */
static size_t collect(SSL *ssl, void (*say)(SSL *ssl), char *room, size_t size)
{
    BIO *socket = SSL_get_wbio(ssl), *wire = BIO_new(BIO_s_mem());
    int len;

    assert_int_equal(BIO_up_ref(socket), 1);
    SSL_set0_wbio(ssl, wire);
    while (BIO_ctrl_pending(wire) < size - 1000)
        say(ssl);
    len = BIO_read(wire, room, (int)size);
    SSL_set0_wbio(ssl, socket);
    assert_in_range(len, size - 1000, size - 1);
    return (size_t)len;
}

static void say_new_keys(SSL *ssl)
{
    assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    assert_int_equal(SSL_do_handshake(ssl), 1);
}

static void say_keys_for_keys(SSL *ssl)
{
    assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(SSL_do_handshake(ssl), 1);
}

static void say_a_ticket(SSL *ssl)
{
    assert_int_equal(SSL_new_session_ticket(ssl), 1);
    assert_int_equal(SSL_do_handshake(ssl), 1);
}

/* Calls until all of a flood is read: each takes a piece of it alone. Who wants answers is waited
 * for, as long as he takes none. */
static void read_through(struct stream *reader, struct stream *peer, bool answers)
{
    unsigned pieces = 0, blocked = 0;
    char room[64];

    for (size_t left = waiting_bytes(reader); left > 0;) {
        size_t before = left;
        long n = stream_read(reader, room, sizeof(room));

        left = waiting_bytes(reader);
        assert_true(before - left <= PIECE_BYTES);
        if (n == STREAM_WANT_WRITE) {
            assert_int_equal(stream_read(reader, room, sizeof(room)), STREAM_WANT_WRITE);
            assert_int_equal(waiting_bytes(reader), left);
            assert_int_equal(stream_read(peer, room, sizeof(room)), STREAM_WANT_READ);
            blocked++;
        } else {
            assert_int_equal(n, STREAM_WANT_READ);
            assert_true(left < before);
            pieces++;
        }
    }
    assert_true(pieces + blocked >= FLOOD_BYTES / PIECE_BYTES);
    assert_int_equal(blocked > 0, answers);
}

static void flood(struct stream *reader, struct stream *peer, void (*say)(SSL *ssl))
{
    static char wire[FLOOD_BYTES];
    size_t len = collect(peer->tls->ssl, say, wire, sizeof(wire));
    char room[64];
    long n;

    assert_int_equal(write(peer->fd, wire, len), len);
    read_through(reader, peer, say == say_keys_for_keys);
    assert_int_equal(stream_write(peer, "mail", 4), 4); /* and what comes behind it is heard */
    while ((n = stream_read(reader, room, sizeof(room))) == STREAM_WANT_WRITE) /* it read ahead */
        assert_int_equal(stream_read(peer, room, sizeof(room)), STREAM_WANT_READ);
    assert_int_equal(n, 4);
}

static void a_flood_of_a_server_is_read_in_pieces(void **state)
{
    static void (*const floods[])(SSL *) = { say_new_keys, say_a_ticket, say_keys_for_keys };
    struct ssl_session_st *session;
    struct pair p;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(floods); i++) {
        open_pair(&p, &server, VIEW_EMPTY);
        shake_hands(&p, "mx.test", false);
        flood(&p.here, &p.there, floods[i]);
        session = tls_take_session(p.here.tls); /* one, however many came */
        assert_non_null(session);
        tls_free_session(&session);
        assert_null(tls_take_session(p.here.tls));
        close_pair(&p);
    }
}

static void a_flood_of_a_client_is_read_in_pieces(void **state)
{
    static void (*const floods[])(SSL *) = { say_new_keys, say_keys_for_keys };
    struct pair p;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(floods); i++) {
        open_pair(&p, &server, VIEW_EMPTY);
        shake_hands(&p, "mx.test", false);
        flood(&p.there, &p.here, floods[i]);
        close_pair(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flood_of_a_server_is_read_in_pieces),
        cmocka_unit_test(a_flood_of_a_client_is_read_in_pieces),
    };

    return cmocka_run_group_tests_name("TLS floods", tests, make_identities, free_identities);
}
