/* Messages and the queue: what a connection passes on, and what it answers when that fails. */
#include "smtpd/conn.h"

#include "common/crc32c.h"
#include "tests/unit/smtpd/reception.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void takes_a_message(void **state)
{
    struct view body;

    (void)state;
    connect_client();
    begin_message();
    say("Subject: x\r\n\r\n..hello\r\n.\r\n");
    hear("250 2.0.0 Ok: queued as 0000000000000abc\r\n");
    body = buf_view(&queue.body);
    assert_true(view_starts(body, VIEW("Received: from client.test ([192.0.2.77])")));
    assert_true(view_ends_nocase(body, VIEW("\r\nSubject: x\r\n\r\n.hello\r\n")));
    assert_int_equal(queue.commit.body_bytes, body.len);
    assert_int_equal(queue.commit.body_crc, crc32c(0, body));
    assert_false(queue.commit.big);
    say("QUIT\r\n");
    hear("221 2.0.0 Bye\r\n");
    assert_true(client.closed);
    assert_true(list_empty(&server.conns));
}

static void takes_a_pipelined_pair(void **state)
{
    (void)state;
    connect_client();
    begin_message();
    say("one\r\n.\r\nMAIL FROM:<b@there.test>\r\nRCPT TO:<bob@here.test>\r\nDATA\r\n");
    hear("250 2.0.0 Ok: queued as 0000000000000abc\r\n250 2.1.0 Sender ok\r\n"
         "250 2.1.5 Recipient ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n");
    say("two\r\n.\r\nQUIT\r\n");
    hear("250 2.0.0 Ok: queued as 0000000000000abc\r\n221 2.0.0 Bye\r\n");
    assert_int_equal(queue.commits, 2);
    assert_true(client.closed);
}

/* Larger than a packet, but no file. */
static void sends_parts(void **state)
{
    char *text = make_message(200000);
    struct view body;

    (void)state;
    connect_client();
    begin_message();
    say(text);
    hear("250 2.0.0 Ok: queued as 0000000000000abc\r\n");
    body = buf_view(&queue.body);
    assert_int_equal(queue.commit.body_bytes, body.len);
    assert_int_equal(queue.commit.body_crc, crc32c(0, body));
    assert_int_equal(queue.opens, 0);
    assert_true(view_ends_nocase(body, view_make(text, strlen(text) - 5)) ||
                view_find_view(body, view_make(text, 1000)) < body.len);
    free(text);
}

static void writes_a_file(void **state)
{
    char *text = make_message(BIG), *file = calloc(1, ROOM);
    ssize_t len;

    (void)state;
    connect_client();
    begin_message();
    say(text);
    hear("250 2.0.0 Ok: queued as 0000000000000abc\r\n");
    assert_int_equal(queue.opens, 1);
    assert_true(queue.commit.big);
    assert_int_equal(buf_len(&queue.body), 0);
    len = pread(queue.file, file, ROOM, 0);
    assert_int_equal(queue.commit.body_bytes, len);
    assert_int_equal(queue.commit.body_crc, crc32c(0, view_make(file, (size_t)len)));
    assert_true(view_find_view(view_make(file, (size_t)len), view_make(text, BIG / 2)) <
                (size_t)len);
    assert_int_equal(server.budget.used, 0);
    free(text);
    free(file);
}

/* What was begun for a refused message is over with it: the next ones are not taken for its rest.
 */
static void gives_back_the_file_of_a_refused_message(void **state)
{
    static const char next[] = "MAIL FROM:<a@there.test>\r\nRCPT TO:<bob@here.test>\r\nDATA\r\n";
    char *text = make_message(BIG);

    (void)state;
    connect_client();
    for (unsigned i = 0; i < 2; i++) {
        begin_message();
        text[0] = '\n';
        say(text);
        hear("550 5.5.2 Bare CR or LF in the message\r\n");
        assert_int_equal(queue.opens, 2 * i + 1);
        assert_int_equal(queue.aborts, i + 1);
        say(next);
        pass_over();
        say("x\r\n.\r\n");
        hear("250 2.0.0 Ok: queued as 0000000000000abc\r\n");
        assert_false(queue.commit.big);
        say(next);
        pass_over();
        text[0] = 'x';
        say(text);
        hear("250 2.0.0 Ok: queued as 0000000000000abc\r\n");
        assert_true(queue.commit.big);
        say("RSET\r\n");
        pass_over();
    }
    assert_int_equal(queue.opens, 4);
    assert_int_equal(queue.aborts, 2);
    assert_int_equal(server.budget.used, 0);
    free(text);
}

/* The same when all of it comes at once. */
static void gives_back_a_file_before_what_is_pipelined(void **state)
{
    char *text = make_message(BIG);

    (void)state;
    connect_client();
    begin_message();
    text[0] = '\n';
    text[strlen(text) - 5] = '\0';
    say(text);
    say("\r\n.\r\nMAIL FROM:<a@there.test>\r\nRCPT TO:<bob@here.test>\r\nBDAT 3 LAST\r\nx\r\n");
    hear("550 5.5.2 Bare CR or LF in the message\r\n250 2.1.0 Sender ok\r\n"
         "250 2.1.5 Recipient ok\r\n250 2.0.0 Ok: queued as 0000000000000abc\r\n");
    assert_int_equal(queue.aborts, 1);
    assert_false(queue.commit.big);
    free(text);
}

/* A file that takes no more: the message is read to its end, then refused. */
static void survives_a_full_disk(void **state)
{
    struct rlimit old, small;
    char *text = make_message(BIG);

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){ 300000, old.rlim_max };
    connect_client();
    begin_message();
    setrlimit(RLIMIT_FSIZE, &small);
    say(text);
    setrlimit(RLIMIT_FSIZE, &old);
    hear("451 4.3.0 The message could not be stored, try again later\r\n");
    assert_int_equal(queue.aborts, 1);
    say("NOOP\r\n");
    hear("250 2.0.0 Ok\r\n");
    free(text);
}

static void passes_trouble_on(void **state)
{
    (void)state;
    connect_client();
    begin_message();
    queue.trouble = SPOOL_FULL;
    say("x\r\n.\r\n");
    hear("452 4.3.1 Not enough room in the queue, try again later\r\n");
    say("RSET\r\n");
    hear("250 2.0.0 Ok\r\n");
}

static void hears_of_the_queues_state(void **state)
{
    struct message_spool_state full = { SPOOL_FULL, 0 };

    (void)state;
    connect_client();
    peer_send_spool_state(&queue.peer, &full, -1);
    turn();
    say("HELO x\r\n");
    pass_over();
    say("MAIL FROM:<a@there.test>\r\n");
    hear("452 4.3.1 Not enough room in the queue, try again later\r\n");
}

static void loses_its_queue(void **state)
{
    (void)state;
    connect_client();
    begin_message();
    queue.silent = true;
    say("x\r\n.\r\n");
    hear("");
    stop_queue();
    turn();
    hear("451 4.3.0 The message could not be stored, try again later\r\n");
    queue.silent = false;
    start_queue();
    say("MAIL FROM:<a@there.test>\r\nRCPT TO:<bob@here.test>\r\nDATA\r\n");
    pass_over();
    say("x\r\n.\r\n");
    hear("250 2.0.0 Ok: queued as 0000000000000abc\r\n");
}

static void loses_its_queue_within_a_big_message(void **state)
{
    char *text = make_message(BIG);
    size_t end_at = strlen(text) - 5;

    (void)state;
    connect_client();
    begin_message();
    text[end_at] = '\0';
    say(text);
    assert_int_equal(queue.opens, 1);
    stop_queue();
    turn();
    hear("");
    start_queue();
    say("\r\n.\r\n");
    hear("451 4.3.0 The message could not be stored, try again later\r\n");
    free(text);
}

static void waits_for_a_queue(void **state)
{
    (void)state;
    connect_client();
    begin_message();
    stop_queue();
    turn();
    say("x\r\n.\r\nNOOP\r\n");
    hear("");
    clock_advance(settings.listeners[0].timeouts.commit - 1);
    start_queue();
    turn();
    hear("250 2.0.0 Ok: queued as 0000000000000abc\r\n250 2.0.0 Ok\r\n");
}

static void waits_not_for_ever(void **state)
{
    (void)state;
    connect_client();
    begin_message();
    stop_queue();
    turn();
    say("x\r\n.\r\n");
    wait_ms(settings.listeners[0].timeouts.commit);
    hear("451 4.3.0 The message could not be stored, try again later\r\n");
    start_queue();
    turn();
    assert_int_equal(queue.commits, 0);
    wait_ms(settings.listeners[0].timeouts.command - 1);
    hear("");
    wait_ms(1);
    hear("421 4.4.2 It took too long, closing\r\n");
    assert_true(client.closed);
}

static void gives_up_a_slow_queue(void **state)
{
    struct message_spool_committed late;

    (void)state;
    connect_client();
    begin_message();
    queue.silent = true;
    say("x\r\n.\r\n");
    wait_ms(settings.listeners[0].timeouts.commit);
    hear("451 4.3.0 The message could not be stored, try again later\r\n");
    assert_int_equal(queue.aborts, 1);
    late = (struct message_spool_committed){ queue.last, 1 };
    peer_send_spool_committed(&queue.peer, &late, -1);
    turn();
    hear("");
    assert_true(queue.open);
}

static void closes_a_queue_that_talks_nonsense(void **state)
{
    struct message_spool_opened early;

    (void)state;
    connect_client();
    begin_message();
    queue.silent = true;
    say("x\r\n.\r\n");
    early = (struct message_spool_opened){ queue.last };
    peer_send_spool_opened(&queue.peer, &early, counters);
    turn();
    assert_false(queue.open);
    hear("451 4.3.0 The message could not be stored, try again later\r\n");
}

static void commits_nothing_for_who_has_gone(void **state)
{
    static const char last[] = "x\r\n.\r\n";

    (void)state;
    connect_client();
    begin_message();
    assert_int_equal(write(client.stream.fd, last, sizeof(last) - 1), sizeof(last) - 1);
    stream_close(&client.stream);
    turn_only();
    assert_int_equal(queue.commits, 0);
    assert_true(list_empty(&server.conns));
}

/* It has finished talking, but it listens: "printf ... | nc". */
static void answers_who_only_listens(void **state)
{
    static const char last[] = "x\r\n.\r\nQUIT\r\n";

    (void)state;
    connect_client();
    begin_message();
    assert_int_equal(write(client.stream.fd, last, sizeof(last) - 1), sizeof(last) - 1);
    shutdown(client.stream.fd, SHUT_WR);
    turn();
    hear("250 2.0.0 Ok: queued as 0000000000000abc\r\n221 2.0.0 Bye\r\n");
    assert_true(client.closed);
}

static void forgets_who_hangs_up_within(void **state)
{
    char *text = make_message(BIG);

    (void)state;
    connect_client();
    begin_message();
    text[BIG - 1000] = '\0';
    say(text);
    assert_int_equal(queue.opens, 1);
    stream_close(&client.stream);
    turn_only();
    assert_int_equal(queue.aborts, 1);
    assert_int_equal(server.budget.used, 0);
    assert_true(list_empty(&server.conns));
    free(text);
}

/* Its replies fill the socket; then nothing more is read, and in the end it is closed. */
static void stops_reading_from_who_does_not_listen(void **state)
{
    static char noops[60000];
    size_t said = 0;
    long n;

    (void)state;
    for (size_t i = 0; i + 6 <= sizeof(noops); i += 6)
        memcpy(noops + i, "NOOP\r\n", 6);
    connect_client();
    do {
        n = stream_write(&client.stream, noops, sizeof(noops));
        turn_only();
        said += n > 0 ? (size_t)n : 0;
    } while (n > 0 && said < 100 * sizeof(noops));
    assert_int_equal(n, STREAM_WANT_WRITE);
    clock_advance(settings.listeners[0].timeouts.command);
    turn_only();
    assert_true(list_empty(&server.conns));
}

static void serves_who_listens_late(void **state)
{
    static char noops[60000];
    size_t said = 0, replies = 0;
    long n;

    (void)state;
    for (size_t i = 0; i + 6 <= sizeof(noops); i += 6)
        memcpy(noops + i, "NOOP\r\n", 6);
    connect_client();
    pass_over();
    do {
        n = stream_write(&client.stream, noops, sizeof(noops));
        turn_only();
        said += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    turn();
    turn();
    for (const char *at = client.heard + client.listened; (at = strstr(at, "250 ")) != NULL; at++)
        replies++;
    assert_int_equal(replies, said / 6);
    pass_over();
}

static void drains(void **state)
{
    (void)state;
    connect_client();
    begin_message();
    server_drain(&server, true);
    turn();
    hear("");
    assert_int_equal(emptied, 0);
    say("x\r\n.\r\n");
    hear("250 2.0.0 Ok: queued as 0000000000000abc\r\n"
         "421 4.3.2 The server is shutting down, try again soon\r\n");
    assert_true(client.closed);
    assert_int_equal(emptied, 1);
}

static void drains_in_time(void **state)
{
    (void)state;
    connect_client();
    begin_message();
    server_drain(&server, true);
    wait_ms(settings.timeouts.drain);
    hear("421 4.3.2 The server is shutting down, try again soon\r\n");
    assert_int_equal(emptied, 1);
}

static void drains_the_idle_at_once(void **state)
{
    (void)state;
    connect_client();
    pass_over();
    server_drain(&server, true);
    turn();
    hear("421 4.3.2 The server is shutting down, try again soon\r\n");
    assert_int_equal(emptied, 1);
}

static void lets_sessions_go_on_without_it(void **state)
{
    (void)state;
    connect_client();
    pass_over();
    server_drain(&server, false);
    turn();
    hear("");
    begin_message();
    say("x\r\n.\r\n");
    hear("250 2.0.0 Ok: queued as 0000000000000abc\r\n");
    assert_int_equal(emptied, 0);
    server_drain(&server, true);
    turn();
    hear("421 4.3.2 The server is shutting down, try again soon\r\n");
    assert_int_equal(emptied, 1);
}

static struct {
    unsigned code;
    char sender[64], recipient[64];
} refusal;

static void note_refusal(const struct session *s, const struct session_refusal *r)
{
    (void)s;
    refusal.code = r->code;
    snprintf(refusal.sender, sizeof(refusal.sender), "%.*s", VIEW_ARG(r->sender));
    snprintf(refusal.recipient, sizeof(refusal.recipient), "%.*s", VIEW_ARG(r->recipient));
}

static void tells_who_was_refused(void **state)
{
    (void)state;
    rules.refused = note_refusal;
    connect_client();
    say("HELO x\r\n");
    say("MAIL FROM:<@a.test:a@there.test> SIZE=99999999999\r\n");
    assert_int_equal(refusal.code, 552);
    assert_string_equal(refusal.sender, "a@there.test");
    assert_string_equal(refusal.recipient, "");
    say("MAIL FROM:<b@there.test>\r\n");
    say("RCPT TO:<\"c d\"@there.test>\r\n");
    assert_int_equal(refusal.code, 554);
    assert_string_equal(refusal.sender, "b@there.test");
    assert_string_equal(refusal.recipient, "\"c d\"@there.test");
    say("RCPT TO:<postmaster> X=1\r\n");
    assert_int_equal(refusal.code, 555);
    assert_string_equal(refusal.recipient, "postmaster");
    say("RSET\r\nMAIL FROM:<> X\r\n");
    assert_int_equal(refusal.code, 555);
    assert_string_equal(refusal.sender, "");
    pass_over();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(takes_a_message),
        TEST(takes_a_pipelined_pair),
        TEST(sends_parts),
        TEST(writes_a_file),
        TEST(gives_back_the_file_of_a_refused_message),
        TEST(gives_back_a_file_before_what_is_pipelined),
        TEST(survives_a_full_disk),
        TEST(passes_trouble_on),
        TEST(hears_of_the_queues_state),
        TEST(loses_its_queue),
        TEST(loses_its_queue_within_a_big_message),
        TEST(waits_for_a_queue),
        TEST(waits_not_for_ever),
        TEST(gives_up_a_slow_queue),
        TEST(closes_a_queue_that_talks_nonsense),
        TEST(commits_nothing_for_who_has_gone),
        TEST(answers_who_only_listens),
        TEST(forgets_who_hangs_up_within),
        TEST(stops_reading_from_who_does_not_listen),
        TEST(serves_who_listens_late),
        TEST(drains),
        TEST(drains_in_time),
        TEST(drains_the_idle_at_once),
        TEST(lets_sessions_go_on_without_it),
        TEST(tells_who_was_refused),
    };

    return RUN(tests, argc, argv);
}
