#include "io/channel.h"

#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BIG = 60000, MANY = 1000 };

struct side {
    struct channel channel;
    unsigned received, closed, drained;
    unsigned wrong; /* packets that were not the next of the count */
    size_t last_len;
    int last_fd;
    bool closes; /* the channel, in the callback */
};

static struct loop loop;
static struct side left, right;

static void on_received(struct channel *c, struct view bytes, int fd)
{
    struct side *s = container_of(c, struct side, channel);
    unsigned number = 0;

    memcpy(&number, bytes.ptr, MIN(sizeof(number), bytes.len));
    if (number != s->received)
        s->wrong++;
    s->received++;
    s->last_len = bytes.len;
    if (s->last_fd >= 0)
        close(s->last_fd);
    s->last_fd = fd;
    if (s->closes)
        channel_close(c);
}

static void on_closed(struct channel *c)
{
    struct side *s = container_of(c, struct side, channel);

    assert_false(channel_is_open(c));
    s->closed++;
}

static void on_drained(struct channel *c)
{
    struct side *s = container_of(c, struct side, channel);

    assert_int_equal(c->unsent_bytes, 0);
    s->drained++;
}

static void open_side(struct side *s, int fd)
{
    *s = (struct side){ .last_fd = -1 };
    s->channel.received = on_received;
    s->channel.closed = on_closed;
    s->channel.drained = on_drained;
    assert_false(channel_is_open(&s->channel));
    assert_int_equal(channel_open(&s->channel, &loop, fd), 0);
    assert_true(channel_is_open(&s->channel));
}

static int open_both(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(loop_init(&loop), 0);
    assert_int_equal(channel_pair(fds), 0);
    open_side(&left, fds[0]);
    open_side(&right, fds[1]);
    return 0;
}

static void close_side(struct side *s)
{
    channel_close(&s->channel);
    channel_close(&s->channel);
    if (s->last_fd >= 0)
        close(s->last_fd);
}

static int close_both(void **state)
{
    (void)state;
    close_side(&left);
    close_side(&right);
    loop_release(&loop);
    return 0;
}

static void turns(unsigned count)
{
    while (count-- > 0)
        assert_int_equal(loop_turn(&loop, 0), 0);
}

/* A packet that carries its number in the count of this side. */
static void send_number(struct side *from, unsigned number, size_t len, int fd)
{
    static char room[CHANNEL_PACKET_MAX];

    memcpy(room, &number, sizeof(number));
    channel_send(&from->channel, view_make(room, len), fd);
}

static unsigned number_in(int fd)
{
    unsigned number;

    assert_int_equal(pread(fd, &number, sizeof(number), 0), sizeof(number));
    return number;
}

static int file_with(unsigned number)
{
    FILE *f = tmpfile();
    int fd;

    assert_non_null(f);
    fd = dup(fileno(f));
    assert_int_equal(write(fd, &number, sizeof(number)), sizeof(number));
    fclose(f);
    return fd;
}

static void packets_keep_their_borders(void **state)
{
    (void)state;
    send_number(&left, 0, sizeof(unsigned), -1);
    send_number(&left, 1, CHANNEL_PACKET_MAX, -1);
    send_number(&right, 0, 5, -1);
    turns(1);
    assert_int_equal(right.received, 2);
    assert_int_equal(right.last_len, CHANNEL_PACKET_MAX);
    assert_int_equal(right.wrong, 0);
    assert_int_equal(right.last_fd, -1);
    assert_int_equal(left.received, 1);
    assert_int_equal(left.last_len, 5);
}

static void descriptors_travel(void **state)
{
    int fd = file_with(7);

    (void)state;
    send_number(&left, 0, 4, fd);
    close(fd);
    turns(1);
    assert_true(right.last_fd >= 0);
    assert_true(fcntl(right.last_fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(number_in(right.last_fd), 7);
}

static void a_turn_takes_a_fair_share(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++)
        send_number(&left, i, 4, -1);
    turns(1);
    assert_in_range(right.received, 1, 99);
    turns(1);
    assert_int_equal(right.received, 100);
    assert_int_equal(right.wrong, 0);
}

static void a_backlog_goes_out_in_order(void **state)
{
    int fd = file_with(9);

    (void)state;
    for (unsigned i = 0; i < MANY; i++)
        send_number(&left, i, BIG, i == MANY - 1 ? fd : -1);
    close(fd);
    assert_in_range(left.channel.unsent_bytes, BIG, MANY * BIG);
    while (right.received < MANY)
        turns(1);
    turns(1);
    assert_int_equal(right.wrong, 0);
    assert_int_equal(left.channel.unsent_bytes, 0);
    assert_int_equal(left.drained, 1);
    assert_int_equal(number_in(right.last_fd), 9);
    send_number(&left, MANY, 4, -1);
    turns(1);
    assert_int_equal(right.received, MANY + 1);
    assert_int_equal(left.drained, 1);
}

static void a_peer_that_reads_nothing_is_hung_up_on(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2 * CHANNEL_UNSENT_MAX / BIG; i++) {
        send_number(&left, i, BIG, -1);
        assert_true(left.channel.unsent_bytes <= CHANNEL_UNSENT_MAX);
    }
    turns(1);
    assert_int_equal(left.closed, 1);
}

static void a_dead_peer_is_told_once(void **state)
{
    (void)state;
    channel_close(&right.channel);
    send_number(&left, 0, 4, -1);
    assert_int_equal(left.closed, 0); /* not from inside channel_send */
    turns(2);
    assert_int_equal(left.closed, 1);
    assert_false(channel_is_open(&left.channel));
    send_number(&left, 0, 4, -1); /* into nothing */
    assert_int_equal(right.closed, 0);
}

static void the_last_words_are_heard(void **state)
{
    (void)state;
    send_number(&left, 0, 4, -1); /* never read: the kernel says ECONNRESET to the left */
    for (unsigned i = 0; i < 100; i++)
        send_number(&right, i, 4, -1);
    channel_close(&right.channel);
    turns(3);
    assert_int_equal(left.received, 100);
    assert_int_equal(left.closed, 1);
}

static void the_last_words_are_heard_after_a_failed_send(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MANY; i++)
        send_number(&left, i, BIG, -1);
    send_number(&right, 0, 4, -1);
    channel_close(&right.channel);
    send_number(&left, MANY, 4, -1);
    turns(2);
    assert_int_equal(left.received, 1);
    assert_int_equal(left.closed, 1);
    assert_int_equal(left.drained, 0);
    assert_int_equal(left.channel.unsent_bytes, 0);
}

static void a_receiver_may_close(void **state)
{
    (void)state;
    right.closes = true;
    send_number(&left, 0, 4, -1);
    send_number(&left, 1, 4, -1);
    turns(2);
    assert_int_equal(right.received, 1);
    assert_int_equal(right.closed, 0);
    assert_int_equal(left.closed, 1);
}

/* From the left's raw socket, past channel_send. */
static void send_raw(const void *bytes, size_t len, const int *fds, size_t count)
{
    struct iovec part = { (void *)(uintptr_t)bytes, len };
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(4 * sizeof(int))];
    } control = { .head = { CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
    struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };

    if (count > 0) {
        memcpy(CMSG_DATA(&control.head), fds, count * sizeof(int));
        m.msg_control = &control;
        m.msg_controllen = CMSG_SPACE(count * sizeof(int));
    }
    assert_int_equal(sendmsg(left.channel.watch.fd, &m, 0), len);
}

static int lowest_free_fd(void)
{
    int fd = dup(0);

    close(fd);
    return fd;
}

static void bad_packets_close(void **state)
{
    static const char too_long[CHANNEL_PACKET_MAX + 1];
    static const struct {
        const char *name;
        size_t len, fds;
    } cases[] = {
        { "empty", 0, 0 },
        { "empty with a descriptor", 0, 1 },
        { "too long", sizeof(too_long), 0 },
        { "too long with a descriptor", sizeof(too_long), 1 },
        { "two descriptors", 4, 2 },
    };
    int fds[] = { 0, 0 };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int before = lowest_free_fd();

        send_raw(too_long, cases[i].len, fds, cases[i].fds);
        turns(2);
        check(cases[i].name, right.received == 0);
        check(cases[i].name, right.closed == 1);
        check(cases[i].name, lowest_free_fd() <= before);
        close_both(state);
        open_both(state);
    }
}

static void receives_without_a_loop(void **state)
{
    char room[16];
    int fds[2], fd = file_with(3), got;

    (void)state;
    assert_int_equal(channel_pair(fds), 0);
    channel_close(&left.channel);
    open_side(&left, fds[0]);
    send_number(&left, 0, 5, fd);
    send_number(&left, 0, 17, fd);
    close(fd);
    assert_int_equal(channel_receive_blocking(fds[1], room, sizeof(room), &got), 5);
    assert_int_equal(number_in(got), 3);
    close(got);
    assert_int_equal(channel_receive_blocking(fds[1], room, sizeof(room), &got), -EMSGSIZE);
    assert_int_equal(got, -1);
    channel_close(&left.channel);
    assert_int_equal(channel_receive_blocking(fds[1], room, sizeof(room), &got), 0);
    close(fds[1]);
}

#define CHANNEL_TEST(name) cmocka_unit_test_setup_teardown(name, open_both, close_both)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CHANNEL_TEST(packets_keep_their_borders),
        CHANNEL_TEST(descriptors_travel),
        CHANNEL_TEST(a_turn_takes_a_fair_share),
        CHANNEL_TEST(a_backlog_goes_out_in_order),
        CHANNEL_TEST(a_peer_that_reads_nothing_is_hung_up_on),
        CHANNEL_TEST(a_dead_peer_is_told_once),
        CHANNEL_TEST(the_last_words_are_heard),
        CHANNEL_TEST(the_last_words_are_heard_after_a_failed_send),
        CHANNEL_TEST(a_receiver_may_close),
        CHANNEL_TEST(bad_packets_close),
        CHANNEL_TEST(receives_without_a_loop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
