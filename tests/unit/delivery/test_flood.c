/* A host that never stops to ask for new keys of TLS, and reads no answer. */
#include "tests/unit/delivery/town.h"
#include "tests/unit/io/tlspair.h"

#include "io/tls_context.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PATIENCE_MS = 2000,
    FILES_MOST = 64,
    /* What all that sockets hold takes in pieces, and far less than a loop does in that time that
     * is woken again and again for nothing. */
    TURNS_MOST = 10000,
};

struct host {
    int listener;
    struct tls_context *tls;
    pthread_t thread;
};

static int listen_for(struct town *t)
{
    struct net_address a;
    struct error err;
    int small = 4096, fd;

    assert_true(net_parse_address(VIEW("127.0.0.4"), &a));
    a.port = (uint16_t)t->settings.delivery.port;
    fd = net_listen(&a, &err);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    return fd;
}

/* Our end of the connection holds little of what is not read. */
static void narrow(void)
{
    int small = 4096;

    for (int fd = 0; fd < FILES_MOST; fd++) {
        struct sockaddr_in a = { .sin_family = AF_UNSPEC };
        socklen_t len = sizeof(a);

        if (getpeername(fd, (struct sockaddr *)&a, &len) == 0 && a.sin_family == AF_INET &&
            a.sin_addr.s_addr == inet_addr("127.0.0.4"))
            (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    }
}

/* A command, and the reply to it. */
static bool answer(int fd, const char *reply)
{
    char room[512];

    return read(fd, room, sizeof(room)) > 0 &&
           write(fd, reply, strlen(reply)) == (ssize_t)strlen(reply);
}

static void *be_hostile(void *context)
{
    const struct host *h = context;
    struct pollfd ready = { .fd = h->listener, .events = POLLIN };
    SSL *ssl = SSL_new(h->tls->ssl);
    int fd = poll(&ready, 1, -1) == 1 ? accept(h->listener, NULL, NULL) : -1;

    if (write(fd, "220 x\r\n", 7) == 7 && answer(fd, "250-x\r\n250 STARTTLS\r\n") &&
        answer(fd, "220 go\r\n") && SSL_set_fd(ssl, fd) == 1 && SSL_accept(ssl) == 1) {
        while (SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(ssl) == 1)
            continue; /* until the other side gives up */
    }
    SSL_free(ssl);
    close(fd);
    return NULL;
}

static void neither_keeps_the_loop_busy_nor_moves_a_deadline(void **state)
{
    static struct town t;
    struct error err;
    struct host h;
    unsigned turns = 0;

    (void)state;
    town_open(&t, "b.test mx 10 mx.test\nmx.test a 127.0.0.4\n", NULL, NULL);
    town_set_timeouts(&t, PATIENCE_MS);
    h.tls = tls_server_new(server.certificate_pem, server.key_pem, &err);
    h.listener = listen_for(&t);
    assert_int_equal(pthread_create(&h.thread, NULL, be_hostile, &h), 0);
    town_send_job(&t, 1, VIEW("b.test"), TOWN_HELLO, false);
    for (; t.ended < 1 && turns <= TURNS_MOST; turns++) {
        if (turns < FILES_MOST)
            narrow();
        town_turn(&t, 1);
    }
    assert_true(turns <= TURNS_MOST);
    check_view("result", buf_view(&t.results), VIEW("1 all deferred 0 4.4.2\n1 end\n"));
    town_close(&t);
    assert_int_equal(pthread_join(h.thread, NULL), 0);
    close(h.listener);
    tls_context_free(&h.tls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neither_keeps_the_loop_busy_nor_moves_a_deadline),
    };

    return cmocka_run_group_tests_name("flood", tests, make_identities, free_identities);
}
