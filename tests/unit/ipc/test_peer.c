#include "ipc/peer.h"

#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MANY = 10000, ROOM = CHANNEL_PACKET_MAX };

static struct loop loop;
static struct peer queue, smtpd; /* as the other one has it */
static unsigned heard, files, gone;
static uint64_t wrong; /* messages that were not the next of the count */
static bool closes;

static bool on_heard(struct peer *p, enum message type, struct view fields, int fd)
{
    struct message_spool_committed committed;
    struct message_spool_opened opened;
    uint64_t number = UINT64_MAX;

    if (type == MESSAGE_SPOOL_COMMITTED && message_spool_committed_decode(fields, &committed))
        number = committed.transaction;
    if (type == MESSAGE_SPOOL_OPENED && message_spool_opened_decode(fields, &opened))
        number = opened.transaction;
    wrong += number != heard++;
    if (fd >= 0) {
        files++;
        close(fd);
    }
    if (closes)
        peer_close(p);
    return true;
}

static void on_gone(struct peer *p)
{
    (void)p;
    gone++;
}

static int open_both(void **state)
{
    int fds[2];

    (void)state;
    heard = files = gone = 0;
    wrong = 0;
    closes = false;
    queue = (struct peer){ .heard = on_heard, .gone = on_gone };
    smtpd = (struct peer){ .heard = on_heard, .gone = on_gone };
    assert_int_equal(loop_init(&loop), 0);
    assert_int_equal(channel_pair(fds), 0);
    assert_int_equal(peer_open(&queue, &loop, SMTPD, QUEUE, 0, fds[0]), 0);
    assert_int_equal(peer_open(&smtpd, &loop, QUEUE, SMTPD, 0, fds[1]), 0);
    return 0;
}

static int close_both(void **state)
{
    (void)state;
    peer_close(&queue);
    peer_close(&smtpd);
    loop_release(&loop);
    return 0;
}

static void turn(void)
{
    assert_int_equal(loop_turn(&loop, 0), 0);
}

static void say_committed(uint64_t number)
{
    peer_send_spool_committed(&smtpd, &(struct message_spool_committed){ number, 1 }, -1);
}

static void say_opened(uint64_t number)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    peer_send_spool_opened(&smtpd, &(struct message_spool_opened){ number }, fd);
    close(fd);
}

/* Bytes of the packet that waits at smtpd's end; -1: none does. */
static long packet_bytes(char *room)
{
    return recv(queue.channel.watch.fd, room, ROOM, MSG_DONTWAIT);
}

static void one_turn_is_one_packet(void **state)
{
    static char room[ROOM];

    (void)state;
    loop_unwatch(&loop, &queue.channel.watch);
    for (unsigned i = 0; i < 100; i++)
        say_committed(i);
    assert_true(packet_bytes(room) < 0);
    turn();
    assert_int_equal(packet_bytes(room), 1 + 100 * (4 + 17));
    assert_true(packet_bytes(room) < 0);
    say_committed(0);
    peer_flush(&smtpd);
    assert_int_equal(packet_bytes(room), 1 + 4 + 17);
    turn();
    assert_true(packet_bytes(room) < 0);
}

static void all_are_heard_in_order(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MANY; i++)
        i % 1000 == 7 ? say_opened(i) : say_committed(i);
    while (heard < MANY)
        turn();
    assert_int_equal(wrong, 0);
    assert_int_equal(files, MANY / 1000);
    assert_int_equal(gone, 0);
}

static void nothing_is_heard_after_a_close(void **state)
{
    (void)state;
    closes = true;
    say_committed(0);
    say_committed(1);
    for (unsigned i = 0; i < 3; i++)
        turn();
    assert_int_equal(heard, 1);
    assert_false(peer_is_open(&queue));
    assert_int_equal(gone, 1); /* of the other side */
    say_committed(2);
    turn();
}

static void what_waits_goes_before_a_close(void **state)
{
    (void)state;
    say_committed(0);
    peer_close(&smtpd);
    turn();
    turn();
    assert_int_equal(heard, 1);
    assert_int_equal(gone, 1);
}

static void bad_packets_close(void **state)
{
    static const struct {
        const char *name;
        struct view bytes;
    } cases[] = {
        { "a length beyond the end", VIEW_INIT("\377\002\0\0\0\012") },
        { "half a length", VIEW_INIT("\377\002\0") },
        { "an empty message", VIEW_INIT("\377\0\0\0\0") },
        { "a packet in a packet", VIEW_INIT("\377\005\0\0\0\377\0\0\0\0") },
        { "an unknown message", VIEW_INIT("\377\001\0\0\0\376") },
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        check(cases[i].name, send(smtpd.channel.watch.fd, cases[i].bytes.ptr, cases[i].bytes.len,
                                  0) == (ssize_t)cases[i].bytes.len);
        turn();
        check(cases[i].name, heard == 0);
        check(cases[i].name, gone == 1 && !peer_is_open(&queue));
        close_both(state);
        open_both(state);
    }
}

#define PEER_TEST(name) cmocka_unit_test_setup_teardown(name, open_both, close_both)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PEER_TEST(one_turn_is_one_packet),
        PEER_TEST(all_are_heard_in_order),
        PEER_TEST(nothing_is_heard_after_a_close),
        PEER_TEST(what_waits_goes_before_a_close),
        PEER_TEST(bad_packets_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
