/* What is read, or said again, without adding anything; and clients that have time at the end. */
#include "tests/unit/smtpd/reception.h"

#include <stdio.h>
#include <string.h>

static void greet(void)
{
    connect_client();
    say("EHLO client.test\r\n");
    pass_over();
}

/* The bytes of a chunk that was refused come as slowly as those of others. */
static void a_refused_chunk_has_the_patience_of_content(void **state)
{
    const struct timeouts_settings *t = &settings.listeners[0].timeouts;

    (void)state;
    settings.listeners[0].manners.content_rate = 0;
    greet();
    say("BDAT 10 LAST\r\n");
    hear("503 5.5.1 Bad sequence of commands\r\n");
    assert_true(9 * (t->content - 1) > t->command);
    for (int i = 0; i < 9; i++) {
        wait_ms(t->content - 1);
        say("x");
        hear("");
    }
    say("xNOOP\r\n");
    hear("250 2.0.0 Ok\r\n");
    say("BDAT 10 LAST\r\nx");
    hear("503 5.5.1 Bad sequence of commands\r\n");
    wait_ms(t->content);
    hear("421 4.4.2 It took too long, closing\r\n");
}

static void a_refused_chunk_has_a_least_rate(void **state)
{
    (void)state;
    settings.listeners[0].timeouts.content = 1000000;
    greet();
    say("BDAT 9000\r\n");
    hear("503 5.5.1 Bad sequence of commands\r\n");
    be_too_slow();
}

/* Time starts anew, also where one chunk ends and the next begins within one read. */
static void each_refused_chunk_has_its_own_time(void **state)
{
    (void)state;
    settings.listeners[0].timeouts.content = 1000000;
    greet();
    say("BDAT 5100\r\n");
    hear("503 5.5.1 Bad sequence of commands\r\n");
    for (int i = 0; i < 99; i++)
        say("0123456789012345678901234567890123456789012345678\r\n"); /* all but 51 bytes... */
    clock_advance(100000); /* ...and the first chunk's time is nearly over */
    turn();
    say("0123456789012345678901234567890123456789012345678\r\nBDAT 10\r\nx");
    hear("503 5.5.1 Bad sequence of commands\r\n");
    turn();
    wait_ms(60000);
    hear("");
    say("yyyyyyyyyNOOP\r\n");
    hear("250 2.0.0 Ok\r\n");
}

/* Old settings go when the sessions of the listener with the longest ones may be over. */
static void whoever_may_stay_the_longest_is_waited_for(void **state)
{
    uint64_t longest_ms = settings.timeouts.session + 7000;

    (void)state;
    settings.listeners[1].timeouts.session = longest_ms;
    connect_client();
    pass_over();
    server_drain(&server, false);
    clock_advance(longest_ms - 1);
    turn_only();
    assert_false(server.stopping);
    clock_advance(1);
    turn_only();
    assert_true(server.stopping);
}

static void a_recipient_that_was_there_takes_no_room(void **state)
{
    char line[600], name[440];
    const struct conn *c;
    size_t used;

    (void)state;
    memset(name, 'x', sizeof(name));
    (void)snprintf(line, sizeof(line), "RCPT TO:<bob@here.test> ORCPT=rfc822;%.*s@b.test\r\n",
                   (int)sizeof(name), name);
    greet();
    say("MAIL FROM:<a@there.test>\r\n");
    hear("250 2.1.0 Sender ok\r\n");
    say(line);
    hear("250 2.1.5 Recipient ok\r\n");
    c = container_of(server.conns.next, struct conn, link);
    used = c->session.transaction.arena.used;
    for (int i = 0; i < 2000; i++) {
        say(line);
        hear("250 2.1.5 Recipient ok\r\n");
    }
    assert_int_equal(c->session.transaction.arena.used, used);
    assert_int_equal(c->session.transaction.to.count, 1);
}

/* What was held back of a message's chunks meets the end of the memory at every place; a file takes
 * it then. */
static void the_last_chunk_finds_room(void **state)
{
    static const char fills[] = "X-Filler: 0123456789012345678901234567\r\n";
    static const char blanks[] = "                              "; /* held, behind a word */
    char many[8 + 2 * 200], line[64]; /* more addresses than get a domain */
    unsigned commits = 0;

    (void)state;
    settings.listeners[0].role = LISTENER_SUBMISSION;
    server.budget.most = 8192;
    (void)snprintf(many, sizeof(many), "Cc:");
    for (int i = 0; i < 200; i++)
        memcpy(many + 3 + 2 * i, "a,", 3);
    memcpy(many + 3 + 2 * 200, "a\r\n", 4);
    greet();
    for (size_t lines = 0; lines < 160; lines++) {
        size_t size = strlen(many) + lines * strlen(fills) + 7 + 5 * strlen(blanks);

        say("MAIL FROM:<a@there.test>\r\nRCPT TO:<bob@here.test>\r\n");
        hear("250 2.1.0 Sender ok\r\n250 2.1.5 Recipient ok\r\n");
        (void)snprintf(line, sizeof(line), "BDAT %zu\r\n", size);
        say(line);
        say(many);
        for (size_t i = 0; i < lines; i++)
            say(fills);
        say("To: bob");
        for (int i = 0; i < 5; i++)
            say(blanks);
        pass_over();
        say("BDAT 6 LAST\r\n\r\nX: y");
        hear("250 2.0.0 Ok: queued as 0000000000000abc\r\n");
        assert_int_equal(queue.commits, ++commits);
        buf_clear(&queue.body);
    }
    assert_true(queue.opens > 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(a_refused_chunk_has_the_patience_of_content),
        TEST(a_refused_chunk_has_a_least_rate),
        TEST(each_refused_chunk_has_its_own_time),
        TEST(whoever_may_stay_the_longest_is_waited_for),
        TEST(a_recipient_that_was_there_takes_no_room),
        TEST(the_last_chunk_finds_room),
    };

    return RUN(tests, argc, argv);
}
