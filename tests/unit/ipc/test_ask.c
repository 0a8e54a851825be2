/* Questions to a dns process that does not listen. */
#include "ipc/ask.h"

#include "tests/unit/unit.h"

enum { MANY = 100000, TURNS = 2000 };

static struct loop loop;
static struct asker asker;
static struct peer dns;
static unsigned heard, heard_last, forgotten;
static struct question last;

static bool on_heard(struct peer *p, enum message type, struct view fields, int fd)
{
    struct message_dns_forget forget;
    struct message_dns_ask m;

    (void)p;
    assert_int_equal(fd, -1);
    if (type == MESSAGE_DNS_FORGET) {
        assert_true(message_dns_forget_decode(fields, &forget));
        forgotten++;
        return true;
    }
    assert_int_equal(type, MESSAGE_DNS_ASK);
    assert_true(message_dns_ask_decode(fields, &m));
    heard++;
    heard_last += view_equal(m.name, VIEW("last.test"));
    return true;
}

static void on_gone(struct peer *p)
{
    (void)p;
}

static void on_answered(struct question *q, const struct message_dns_answer *a)
{
    (void)q;
    (void)a;
}

/* Those who ask are gone at once, but for the last: she is heard, and what waited was bounded. */
static void keeps_little_for_who_does_not_listen(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(loop_init(&loop), 0);
    asker_init(&asker, &loop, SMTPD);
    assert_int_equal(channel_pair(fds), 0);
    asker_connect(&asker, 0, fds[0]);
    for (unsigned i = 0; i < MANY; i++) {
        struct question q = { .answered = on_answered };

        asker_ask(&asker, &q, DNS_NAME, VIEW("192.0.2.1"));
        asker_forget(&asker, &q);
    }
    last.answered = on_answered;
    asker_ask(&asker, &last, DNS_NAME, VIEW("last.test"));
    assert_true(asker.dns.channel.unsent_bytes < 2 * ASKER_UNSENT_MOST);
    dns = (struct peer){ .heard = on_heard, .gone = on_gone };
    assert_int_equal(peer_open(&dns, &loop, DNS, SMTPD, 0, fds[1]), 0);
    for (int i = 0; i < TURNS && heard_last == 0; i++)
        assert_int_equal(loop_turn(&loop, 0), 0);
    assert_int_equal(heard_last, 1);
    assert_true(heard < MANY);
    assert_true(forgotten > 0 && forgotten <= heard);
    asker_forget(&asker, &last);
    peer_close(&asker.dns);
    peer_close(&dns);
    table_release(&asker.questions);
    assert_int_equal(loop_turn(&loop, 0), 0);
    loop_release(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_little_for_who_does_not_listen),
    };

    return cmocka_run_group_tests_name("ipc/ask", tests, NULL, NULL);
}
