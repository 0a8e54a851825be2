/* How long a connection waits, how late it answers, and who has to go. */
#include "smtpd/patience.h"

#include "tests/unit/smtpd/reception.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void has_patience(void **state)
{
    (void)state;
    connect_client();
    pass_over();
    wait_ms(settings.listeners[0].timeouts.command - 1);
    say("NOOP\r\n");
    hear("250 2.0.0 Ok\r\n");
    /* A command that drips in wins no time. */
    wait_ms(settings.listeners[0].timeouts.command - 1);
    say("NO");
    wait_ms(1);
    hear("421 4.4.2 It took too long, closing\r\n");
    assert_true(client.closed);
}

/* Each step is in time, and in the end it is over. */
static void go_on_until(uint64_t deadline_ms, uint64_t step_ms, const char *said, const char *heard)
{
    for (uint64_t at_ms = step_ms; at_ms < deadline_ms; at_ms += step_ms) {
        wait_ms(step_ms);
        say(said);
        hear(heard);
    }
    wait_ms(step_ms);
    hear("421 4.4.2 It took too long, closing\r\n");
}

static void a_message_has_a_deadline(void **state)
{
    const struct timeouts_settings *t = &settings.listeners[0].timeouts;

    (void)state;
    settings.listeners[0].manners.content_rate = 0;
    connect_client();
    begin_message();
    go_on_until(t->message, t->content - 1, "x", "");
}

/* It may stop and go, but a hundred bytes a second must come, in the end. */
static void a_message_has_a_least_rate(void **state)
{
    (void)state;
    settings.listeners[0].timeouts.content = 1000000;
    connect_client();
    begin_message();
    be_too_slow();
}

/* Who may relay is not hurried so. */
static void a_trusted_message_has_none(void **state)
{
    (void)state;
    rules.listener = &settings.listeners[0];
    connect_client_from("198.51.100.7");
    begin_message();
    say("x");
    wait_ms(100000);
    hear("");
}

static void mistakes_are_answered_late(void **state)
{
    (void)state;
    connect_client();
    pass_over();
    for (int i = 0; i < 3; i++) {
        say("X\r\n");
        hear("500 5.5.1 Command unrecognized\r\n");
    }
    say("X\r\nX\r\nNOOP\r\n"); /* two at once: twice as late */
    hear("");
    say("NOOP\r\n");
    wait_ms(1999);
    hear("");
    wait_ms(1);
    hear("500 5.5.1 Command unrecognized\r\n500 5.5.1 Command unrecognized\r\n"
         "250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n");
    say("X\r\n");
    hear("");
    server_drain(&server, true); /* and ends in the middle of it */
}

/* Who has to wait for us does not read slowly. */
static void who_is_answered_late_is_not_hung_up_on(void **state)
{
    (void)state;
    settings.listeners[0].timeouts.command = 500;
    settings.listeners[0].manners.slow_after = 0;
    connect_client();
    pass_over();
    say("X\r\n");
    wait_ms(501);
    hear("");
    wait_ms(499);
    hear("500 5.5.1 Command unrecognized\r\n");
    wait_ms(500);
    hear("421 4.4.2 It took too long, closing\r\n");
}

/* The end of the auth process: it refuses everybody, or is busy. */
static enum login_result login_result;

static bool on_login_said(struct peer *p, enum message type, struct view fields, int fd)
{
    struct message_login_begin m;
    struct message_login_end no = { .result = login_result };

    assert_int_equal(fd, -1);
    if (type != MESSAGE_LOGIN_BEGIN || !message_login_begin_decode(fields, &m))
        return type == MESSAGE_LOGIN_CANCEL;
    no.exchange = m.exchange;
    peer_send_login_end(p, &no, -1);
    return true;
}

static struct peer auth;

static void start_auth(enum login_result result)
{
    const struct message_login_state offer = { VIEW("PLAIN") };
    int fds[2];

    login_result = result;
    auth = (struct peer){ .heard = on_login_said, .gone = on_smtpd_gone };
    assert_int_equal(channel_pair(fds), 0);
    assert_int_equal(peer_open(&auth, &loop, AUTH, SMTPD, 0, fds[0]), 0);
    assert_int_equal(logins_connect(&server.logins, 0, fds[1]), 0);
    peer_send_login_state(&auth, &offer, -1);
    settings.auth.users = VIEW("/etc/tern/users");
    settings.listeners[0].auth = LISTENER_AUTH_PLAIN;
    rules.mechanisms = server.logins.mechanisms;
    connect_client();
    say("EHLO client.test\r\n");
    pass_over();
}

static void failed_logins_are_answered_late(void **state)
{
    (void)state;
    start_auth(LOGIN_REFUSED);
    for (int i = 0; i < 3; i++) {
        say("AUTH PLAIN AGEAYg==\r\n");
        hear("535 5.7.8 Authentication credentials invalid\r\n");
    }
    say("AUTH PLAIN AGEAYg==\r\n");
    hear("");
    wait_ms(999);
    hear("");
    wait_ms(1);
    hear("535 5.7.8 Authentication credentials invalid\r\n");
    for (int i = 4; i < 20; i++) {
        say("AUTH PLAIN AGEAYg==\r\n");
        wait_ms(1000);
        hear("535 5.7.8 Authentication credentials invalid\r\n");
    }
    say("AUTH PLAIN AGEAYg==\r\n");
    wait_ms(1000);
    hear("421 4.7.0 Too many errors\r\n");
    assert_true(client.closed);
    peer_close(&auth);
    turn();
}

/* However often a login is tried, a session that sends no message comes to its end. */
static void logins_move_no_deadline(void **state)
{
    uint64_t step_ms = settings.listeners[0].timeouts.command - 1;

    (void)state;
    start_auth(LOGIN_TOO_MANY);
    for (uint64_t at_ms = step_ms; at_ms < settings.listeners[0].timeouts.session;
         at_ms += step_ms) {
        wait_ms(step_ms);
        say("AUTH PLAIN AGEAYg==\r\n");
        hear("454 4.7.0 Too many logins have failed, try again later\r\n");
    }
    wait_ms(step_ms);
    hear("421 4.4.2 It took too long, closing\r\n");
    peer_close(&auth);
    turn();
}

static void greets_after_a_while(void **state)
{
    (void)state;
    settings.listeners[0].manners.greet_delay_ms = 5000;
    connect_client();
    wait_ms(4999);
    hear("");
    wait_ms(1);
    hear("220 mx.test ESMTP Tern\r\n");
    say("QUIT\r\n");
    hear("221 2.0.0 Bye\r\n");
    stream_close(&client.stream);
    connect_client_from("198.51.100.7"); /* trusted */
    hear("220 mx.test ESMTP Tern\r\n");
}

static void sends_early_talkers_away(void **state)
{
    (void)state;
    settings.listeners[0].manners.greet_delay_ms = 5000;
    connect_client();
    say("EHLO client.test\r\n");
    hear("421 4.7.0 You spoke before the greeting\r\n");
    assert_true(client.closed);
    stream_close(&client.stream);
    connect_client();
    stream_close(&client.stream); /* one who goes, and one who stays for the end */
    turn_only();
    connect_client();
}

static void strangers_make_room(void **state)
{
    (void)state;
    connect_client();
    say("EHLO client.test\r\n");
    pass_over();
    assert_false(server_make_room(&server, NULL, true));
    clock_advance(10000);
    say("MAIL FROM:<a@there.test>\r\n"); /* who has begun something may go on for a while */
    pass_over();
    wait_ms(9999);
    assert_false(server_make_room(&server, NULL, false));
    say("RSET\r\n");
    pass_over();
    assert_false(server_make_room(&server, NULL, true));
    wait_ms(10000);
    assert_true(server_make_room(&server, NULL, true));
    assert_false(server_make_room(&server, NULL, true));
    turn();
    hear("421 4.7.0 Others need this place, try again later\r\n");
    assert_true(client.closed);
    stream_close(&client.stream);
    connect_client();
    assert_true(server_make_room(&server, NULL, false)); /* at once for who may relay */
    stream_close(&client.stream);
    connect_client_from("198.51.100.7");
    wait_ms(10000);
    assert_false(server_make_room(&server, NULL, false));
}

static void a_session_without_mail_has_a_deadline(void **state)
{
    const struct timeouts_settings *t = &settings.listeners[0].timeouts;

    (void)state;
    connect_client();
    pass_over();
    go_on_until(t->session, t->command - 1, "NOOP\r\n", "250 2.0.0 Ok\r\n");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(has_patience),
        TEST(a_message_has_a_deadline),
        TEST(a_session_without_mail_has_a_deadline),
        TEST(a_message_has_a_least_rate),
        TEST(a_trusted_message_has_none),
        TEST(mistakes_are_answered_late),
        TEST(who_is_answered_late_is_not_hung_up_on),
        TEST(failed_logins_are_answered_late),
        TEST(logins_move_no_deadline),
        TEST(greets_after_a_while),
        TEST(sends_early_talkers_away),
        TEST(strangers_make_room),
    };

    return RUN(tests, argc, argv);
}
