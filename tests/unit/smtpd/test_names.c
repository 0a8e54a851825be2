/* The name of the client's host: asked for, waited for where it decides, and written down. */
#include "smtpd/origin.h"

#include "tests/unit/smtpd/reception.h"

static void expect_received(const char *from)
{
    buf_clear(&queue.body);
    begin_message();
    say("Subject: x\r\n\r\nhello\r\n.\r\n");
    pass_over();
    if (!view_starts(buf_view(&queue.body), view_of(from)))
        fail_msg("wanted [%s], have [%.*s]", from, VIEW_ARG(buf_view(&queue.body)));
}

/* The greeting and a whole message go through before dns answers; the next message has the name. */
static void does_not_wait_for_the_name(void **state)
{
    struct envelope e;
    struct arena arena;

    (void)state;
    start_dns();
    connect_client();
    hear("220 mx.test ESMTP Tern\r\n");
    assert_int_equal(names.asked, 1);
    assert_string_equal(names.address, "192.0.2.77");
    expect_received("Received: from client.test ([192.0.2.77])");
    answer_name(DNS_OK, "host.there.test");
    turn();
    expect_received("Received: from client.test (host.there.test [192.0.2.77])");
    arena_init(&arena, 65536);
    assert_true(envelope_decode(queue.commit.envelope, &arena, &e));
    check_view("envelope", e.client_name, VIEW("host.there.test"));
    arena_reset(&arena);
    assert_int_equal(names.asked, 1);
}

static void trouble_leaves_the_name_unknown(void **state)
{
    static const enum dns_result results[] = { DNS_NO_HOSTS, DNS_TEMPORARY, DNS_MALFORMED };

    (void)state;
    start_dns();
    for (size_t i = 0; i < COUNT_OF(results); i++) {
        connect_client();
        answer_name(results[i], NULL);
        turn();
        expect_received("Received: from client.test ([192.0.2.77])");
        say("QUIT\r\n");
        stream_close(&client.stream);
    }
}

/* Rules that ask for it have it, however fast the client is, and however slow dns. */
static void rules_wait_for_the_name(void **state)
{
    static const char mail[] = "MAIL FROM:<a@there.test>\r\nRCPT TO:<bob@here.test>\r\n";

    (void)state;
    settings.rules->by_name[RULE_AT_MAIL] = true;
    start_dns();
    connect_client();
    hear("220 mx.test ESMTP Tern\r\n");
    say("HELO client.test\r\n");
    hear("250 mx.test\r\n");
    say(mail);
    hear("");
    answer_name(DNS_OK, "host.there.test");
    turn();
    hear("250 2.1.0 Sender ok\r\n250 2.1.5 Recipient ok\r\n");
    say("RSET\r\n");
    pass_over();
    say(mail);
    hear("250 2.1.0 Sender ok\r\n250 2.1.5 Recipient ok\r\n");
    stream_close(&client.stream);
    connect_client();
    say("HELO client.test\r\n");
    pass_over();
    say(mail);
    wait_ms(SESSION_NAME_MS - 1);
    hear("");
    wait_ms(1);
    hear("250 2.1.0 Sender ok\r\n250 2.1.5 Recipient ok\r\n");
    answer_name(DNS_OK, "late.there.test");
    turn();
    say("NOOP\r\n");
    hear("250 2.0.0 Ok\r\n");
    stream_close(&client.stream);
    connect_client();
    say("HELO client.test\r\n");
    say(mail); /* and one who waits when it ends */
}

/* What a proxy tells of its client counts, also when dns says later what it knows. */
static void a_told_name_stays(void **state)
{
    static struct net_block proxies = { { .family = AF_INET, .bytes = { 192, 0, 2, 77 } }, 32 };

    (void)state;
    settings.listeners[0].xclient = (struct network_list){ &proxies, 1 };
    start_dns();
    connect_client();
    say("XCLIENT ADDR=192.0.2.78\r\n");
    say("XCLIENT NAME=told.there.test\r\n");
    answer_name(DNS_OK, "host.there.test");
    turn();
    expect_received("Received: from client.test (told.there.test [192.0.2.78])");
    stream_close(&client.stream);
    connect_client(); /* and when it is the client itself, its name is asked for */
    say("XCLIENT ADDR=192.0.2.77\r\n");
    answer_name(DNS_OK, "host.there.test");
    turn();
    expect_received("Received: from client.test (host.there.test [192.0.2.77])");
}

/* The answer comes to a connection that has gone, and dns itself goes. */
static void the_name_may_come_too_late(void **state)
{
    (void)state;
    start_dns();
    connect_client();
    say("QUIT\r\n");
    answer_name(DNS_OK, "host.there.test");
    turn();
    stream_close(&client.stream);
    connect_client();
    peer_close(&names.peer);
    turn();
    expect_received("Received: from client.test ([192.0.2.77])");
    start_dns();
    turn();
    assert_int_equal(names.asked, 1); /* again, by the new one */
    answer_name(DNS_OK, "host.there.test");
    turn();
    expect_received("Received: from client.test (host.there.test [192.0.2.77])");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(does_not_wait_for_the_name), TEST(trouble_leaves_the_name_unknown),
        TEST(rules_wait_for_the_name),    TEST(a_told_name_stays),
        TEST(the_name_may_come_too_late),
    };

    return RUN(tests, argc, argv);
}
