#include "io/net.h"

#include "io/stream.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct net_address address(const char *text)
{
    struct net_address a;

    if (!net_parse_address(view_of(text), &a))
        fail_msg("not an address: %s", text);
    return a;
}

static void check_printed(const char *name, const struct net_address *a, const char *wanted,
                          bool (*print)(const struct net_address *, struct buf *))
{
    char room[NET_ADDRESS_TEXT_MAX];
    struct buf text = BUF_ON_ARRAY(room);

    check(name, print(a, &text));
    check_view(name, buf_view(&text), view_of(wanted));
}

static const struct {
    const char *text, *printed; /* NULL: refused */
} addresses[] = {
    { "192.0.2.1", "192.0.2.1" },
    { "0.0.0.0", "0.0.0.0" },
    { "2001:DB8::1", "2001:db8::1" },
    { "::", "::" },
    { "::ffff:192.0.2.1", "192.0.2.1" },
    { "::ffff:c000:201", "192.0.2.1" },
    { "::192.0.2.1", "::192.0.2.1" },
    { "fe80::1%2", "fe80::1%2" },
    { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295",
      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295" },
    { "fe80::1%", NULL },
    { "fe80::1%lo", NULL },
    { "fe80::1%4294967296", NULL },
    { "192.0.2.1%1", NULL },
    { "", NULL },
    { "192.0.2", NULL },
    { "192.0.2.256", NULL },
    { "192.0.2.01", NULL },
    { "192.0.2.1 ", NULL },
    { " 192.0.2.1", NULL },
    { "[2001:db8::1]", NULL },
    { "2001:db8::1::2", NULL },
    { "mx.example.org", NULL },
    { "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", NULL },
};

static void parses_addresses(void **state)
{
    struct net_address a;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(addresses); i++) {
        bool taken = net_parse_address(view_of(addresses[i].text), &a);

        check(addresses[i].text, taken == (addresses[i].printed != NULL));
        if (taken)
            check_printed(addresses[i].text, &a, addresses[i].printed, net_print_address);
    }
    assert_false(net_parse_address(VIEW("192.0.2.1\0.3"), &a));
    assert_false(net_parse_address(VIEW_EMPTY, &a));
}

static const struct {
    const char *text, *printed; /* NULL: refused */
} places[] = {
    { "192.0.2.1:25", "192.0.2.1:25" },
    { "[2001:db8::1]:465", "[2001:db8::1]:465" },
    { "[::ffff:192.0.2.1]:25", "192.0.2.1:25" },
    { "*:25", "[::]:25" },
    { "0.0.0.0:0", "0.0.0.0:0" },
    { "[fe80::1%3]:65535", "[fe80::1%3]:65535" },
    { "192.0.2.1", NULL },
    { "192.0.2.1:", NULL },
    { "192.0.2.1:65536", NULL },
    { "192.0.2.1:-1", NULL },
    { "[192.0.2.1]:25", NULL },
    { "2001:db8::1:25", NULL },
    { "[2001:db8::1]", NULL },
    { "[]:25", NULL },
    { ":25", NULL },
    { "", NULL },
};

static void parses_ports(void **state)
{
    struct net_address a;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        bool taken = net_parse_address_port(view_of(places[i].text), &a);

        check(places[i].text, taken == (places[i].printed != NULL));
        if (taken)
            check_printed(places[i].text, &a, places[i].printed, net_print_address_port);
    }
}

static const struct {
    const char *block;
    bool valid;
    const char *inside, *outside; /* NULL: nothing is */
} blocks[] = {
    { "192.0.2.0/24", true, "192.0.2.255", "192.0.3.0" },
    { "192.0.2.128/25", true, "192.0.2.128", "192.0.2.127" },
    { "10.0.0.0/8", true, "10.255.0.1", "11.0.0.0" },
    { "192.0.2.1", true, "192.0.2.1", "192.0.2.2" },
    { "192.0.2.1/32", true, "::ffff:192.0.2.1", "::192.0.2.1" },
    { "0.0.0.0/0", true, "255.255.255.255", "::" },
    { "::/0", true, "2001:db8::1", "192.0.2.1" },
    { "2001:db8::/33", true, "2001:db8:7fff::", "2001:db8:8000::" },
    { "2001:db8::1", true, "2001:db8::1", "2001:db8::2" },
    { "::ffff:192.0.2.0/120", true, "192.0.2.7", "192.0.3.7" },
    { "::ffff:192.0.2.0/24", false, NULL, NULL },
    { "192.0.2.1/24", false, NULL, NULL },
    { "192.0.2.0/33", false, NULL, NULL },
    { "2001:db8::/129", false, NULL, NULL },
    { "192.0.2.0/", false, NULL, NULL },
    { "/24", false, NULL, NULL },
    { "192.0.2.0/24/1", false, NULL, NULL },
};

static void parses_blocks(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        struct net_block b;
        struct net_address inside, outside;

        check(blocks[i].block, net_parse_block(view_of(blocks[i].block), &b) == blocks[i].valid);
        if (!blocks[i].valid)
            continue;
        inside = address(blocks[i].inside);
        outside = address(blocks[i].outside);
        check(blocks[i].block, net_block_has(&b, &inside));
        check(blocks[i].block, !net_block_has(&b, &outside));
    }
}

static void prefixes_name_networks(void **state)
{
    struct net_address v4 = address("192.0.2.200");
    struct net_address v6 = address("2001:db8:1:2:3:4:5:6");
    struct net_address n;

    (void)state;
    v4.port = 25;
    n = net_prefix(&v4, 26, 64);
    check_printed("v4", &n, "192.0.2.192", net_print_address);
    check_printed("v4", &n, "192.2.0.192", net_print_reversed);
    assert_int_equal(n.port, 0);
    n = net_prefix(&v6, 26, 63);
    check_printed("v6", &n, "2001:db8:1:2::", net_print_address);
    check_printed("v6", &n, "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2",
                  net_print_reversed);
    n = net_prefix(&v6, 26, 128);
    assert_true(net_equal(&n, &v6));
    n = net_prefix(&v4, 0, 0);
    check_printed("nothing", &n, "0.0.0.0", net_print_address);
}

static const struct {
    const char *text;
    bool loopback, unusable;
} kinds[] = {
    { "127.0.0.1", true, false },
    { "127.255.0.1", true, false },
    { "::1", true, false },
    { "::ffff:127.0.0.1", true, false },
    { "192.0.2.1", false, false },
    { "2001:db8::1", false, false },
    { "0.0.0.0", false, true },
    { "::", false, true },
    { "169.254.1.1", false, true },
    { "fe80::1", false, true },
    { "febf::1", false, true },
    { "fec0::1", false, false },
    { "224.0.0.1", false, true },
    { "239.1.2.3", false, true },
    { "255.255.255.255", false, true },
    { "ff02::1", false, true },
};

static void knows_kinds(void **state)
{
    static const struct net_address unset;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct net_address a = address(kinds[i].text);

        check(kinds[i].text, net_is_loopback(&a) == kinds[i].loopback);
        check(kinds[i].text, net_is_unusable(&a) == kinds[i].unusable);
    }
    assert_true(net_is_unusable(&unset));
    assert_false(net_is_loopback(&unset));
}

static void knows_its_own(void **state)
{
    struct net_address loopback = address("127.0.0.9");
    struct net_address other = address("192.0.2.1");

    (void)state;
    assert_int_equal(net_load_own(), 0);
    assert_int_equal(net_load_own(), 0);
    assert_true(net_is_own(&loopback));
    assert_false(net_is_own(&other));
}

static void converts_socket_addresses(void **state)
{
    static const char *const texts[] = { "192.0.2.1", "2001:db8::1", "fe80::1%7" };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct net_address a = address(texts[i]), b;
        struct sockaddr_storage s;
        socklen_t len;

        a.port = 2525;
        net_to_sockaddr(&a, &s, &len);
        check(texts[i], net_from_sockaddr(&s, &b));
        check(texts[i], net_equal(&a, &b) && b.port == 2525);
    }
}

static uint16_t port_of(int listener)
{
    struct sockaddr_storage s;
    struct net_address a;
    socklen_t len = sizeof(s);

    assert_int_equal(getsockname(listener, (struct sockaddr *)&s, &len), 0);
    assert_true(net_from_sockaddr(&s, &a));
    return a.port;
}

static void wait_for(int fd, short events)
{
    struct pollfd p = { .fd = fd, .events = events };

    assert_int_equal(poll(&p, 1, 5000), 1);
}

static bool has_no_delay(int fd)
{
    int value = 0;
    socklen_t len = sizeof(value);

    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len), 0);
    return value != 0;
}

static void check_dialogue(int listener, const char *to, const struct net_address *source)
{
    struct net_address there = address(to), peer;
    int client, server;

    there.port = port_of(listener);
    client = net_connect(&there, source);
    assert_true(client >= 0);
    wait_for(client, POLLOUT);
    assert_int_equal(net_connect_result(client), 0);
    wait_for(listener, POLLIN);
    server = net_accept(listener, &peer);
    assert_true(server >= 0);
    assert_true(fcntl(server, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(server, F_GETFD) & FD_CLOEXEC);
    assert_true(has_no_delay(server));
    if (source != NULL)
        assert_true(net_equal(&peer, source));
    else
        assert_true(net_equal(&peer, &there));
    assert_int_equal(net_accept(listener, &peer), -EAGAIN);
    close(client);
    close(server);
}

static unsigned segments_received(int fd)
{
    struct tcp_info info = { 0 };
    socklen_t len = sizeof(info);

    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
    return info.tcpi_segs_in;
}

/* What a client receives, from the last words until the end. */
static unsigned segments_of_farewell(int listener)
{
    struct net_address there = address("127.0.0.1"), peer;
    struct stream server;
    unsigned before, after;
    char heard[8];
    int client;

    there.port = port_of(listener);
    client = net_connect(&there, NULL);
    assert_true(client >= 0);
    wait_for(listener, POLLIN);
    stream_init(&server, net_accept(listener, &peer));
    assert_true(server.fd >= 0);
    before = segments_received(client);
    assert_int_equal(stream_write_last(&server, "221", 3), 3);
    stream_close(&server);
    wait_for(client, POLLRDHUP);
    assert_int_equal(read(client, heard, sizeof(heard)), 3);
    assert_memory_equal(heard, "221", 3);
    assert_int_equal(read(client, heard, sizeof(heard)), 0);
    after = segments_received(client);
    close(client);
    return after - before;
}

/* The kernel keeps them back for a fifth of a second, in which a busy machine may not get here. */
static void sends_the_last_words_with_the_end(void **state)
{
    struct net_address here = address("127.0.0.1");
    struct error err;
    int listener = net_listen(&here, &err);
    unsigned segments = 0;

    (void)state;
    assert_true(listener >= 0);
    for (int i = 0; i < 5 && segments != 1; i++)
        segments = segments_of_farewell(listener);
    assert_int_equal(segments, 1);
    close(listener);
}

static void listens_on_everything(void **state)
{
    struct net_address all, source = address("127.0.0.5");
    struct error err;
    int listener;

    (void)state;
    assert_true(net_parse_address_port(VIEW("*:0"), &all));
    listener = net_listen(&all, &err);
    assert_true(listener >= 0);
    check_dialogue(listener, "127.0.0.1", NULL);
    check_dialogue(listener, "127.0.0.1", &source);
    close(listener);
}

static void says_why_it_cannot_listen(void **state)
{
    struct net_address here = address("127.0.0.1"), there = address("192.0.2.1");
    struct error err;
    int listener = net_listen(&here, &err);

    (void)state;
    assert_true(listener >= 0);
    here.port = port_of(listener);
    assert_int_equal(net_listen(&here, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, "cannot listen on 127.0.0.1:"));
    assert_non_null(strstr(err.text, "another program"));
    assert_int_equal(net_listen(&there, &err), -EADDRNOTAVAIL);
    close(listener);
}

static void tells_a_refused_connection(void **state)
{
    struct net_address here = address("127.0.0.1");
    struct error err;
    int listener = net_listen(&here, &err);
    int client;

    (void)state;
    here.port = port_of(listener);
    close(listener);
    client = net_connect(&here, NULL);
    if (client >= 0) {
        wait_for(client, POLLOUT);
        assert_int_equal(net_connect_result(client), -ECONNREFUSED);
        close(client);
    } else {
        assert_int_equal(client, -ECONNREFUSED);
    }
}

static void replaces_only_stale_socket_files(void **state)
{
    char folder[] = "/tmp/test_net.XXXXXX", path[64];
    struct net_address peer;
    struct error err;
    struct stat st;
    int first, second;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/socket", folder);
    first = net_listen_unix(path, 0620, &err);
    assert_true(first >= 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0620);
    assert_int_equal(net_listen_unix(path, 0600, &err), -EADDRINUSE);
    assert_int_equal(net_accept(first, &peer) >= 0, 1); /* the attempt to find it alive */
    assert_int_equal(peer.family, 0);
    close(first);
    second = net_listen_unix(path, 0600, &err);
    assert_true(second >= 0);
    close(second);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    assert_int_equal(net_listen_unix(path, 0600, &err), -EEXIST);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_addresses),
        cmocka_unit_test(parses_ports),
        cmocka_unit_test(parses_blocks),
        cmocka_unit_test(prefixes_name_networks),
        cmocka_unit_test(knows_kinds),
        cmocka_unit_test(knows_its_own),
        cmocka_unit_test(converts_socket_addresses),
        cmocka_unit_test(sends_the_last_words_with_the_end),
        cmocka_unit_test(listens_on_everything),
        cmocka_unit_test(says_why_it_cannot_listen),
        cmocka_unit_test(tells_a_refused_connection),
        cmocka_unit_test(replaces_only_stale_socket_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
