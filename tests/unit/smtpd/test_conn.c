/* Connections with everything but master: a client on a socket, a queue on a channel, and time that
 * moves when the test says so. */
#include "smtpd/conn.h"

#include "common/crc32c.h"
#include "io/clock.h"
#include "io/stream.h"
#include "smtpd/listener.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ROOM = 2 << 20, /* bytes, for what one side hears */
    TURNS = 40,     /* of the loop, after which nothing happens any more */
    BIG = 600000,   /* bytes of a message that needs a file */
};

/* The queue's end: it answers at once, or as the test says. */
static struct queue {
    struct peer peer;
    bool open, silent;
    enum spool_trouble trouble; /* what it answers to a commit */
    unsigned commits, opens, aborts;
    uint64_t last; /* transaction that it heard of */
    struct buf body;
    char envelope[8192];
    struct message_spool_commit commit;
    int file;
} queue;

static struct client {
    struct stream stream;
    char heard[ROOM];
    size_t heard_len, listened;
    bool closed;
} client;

/* The end of dns: what it was asked. */
static struct names {
    struct peer peer;
    unsigned asked;
    uint64_t question;
    char address[NET_ADDRESS_TEXT_MAX];
} names;

static const char *settings_path;
static struct config *config;
static struct settings settings;
static struct loop loop;
static struct server server;
static struct session_rules rules;
static struct list listeners;
static unsigned emptied;
static int counters;

/* ---- the queue ---- */

static bool hear_commit(struct view fields)
{
    struct message_spool_commit *m = &queue.commit;
    struct message_spool_committed yes;
    struct message_spool_failed no;

    if (!message_spool_commit_decode(fields, m))
        return false;
    assert_true(m->envelope.len < sizeof(queue.envelope));
    memcpy(queue.envelope, m->envelope.ptr, m->envelope.len);
    m->envelope.ptr = queue.envelope;
    assert_true(buf_put(&queue.body, m->body));
    queue.commits++;
    queue.last = m->transaction;
    if (queue.silent)
        return true;
    yes = (struct message_spool_committed){ m->transaction, 0xabc };
    no = (struct message_spool_failed){ m->transaction, queue.trouble };
    if (queue.trouble == SPOOL_FINE)
        peer_send_spool_committed(&queue.peer, &yes, -1);
    else
        peer_send_spool_failed(&queue.peer, &no, -1);
    return true;
}

static bool hear_open(struct view fields)
{
    struct message_spool_open m;
    struct message_spool_opened yes;

    if (!message_spool_open_decode(fields, &m))
        return false;
    queue.opens++;
    queue.last = m.transaction;
    if (queue.silent)
        return true;
    if (queue.file >= 0)
        close(queue.file);
    queue.file = memfd_create("big", MFD_CLOEXEC);
    yes = (struct message_spool_opened){ m.transaction };
    peer_send_spool_opened(&queue.peer, &yes, queue.file);
    return true;
}

static bool on_smtpd_said(struct peer *p, enum message type, struct view fields, int fd)
{
    struct message_spool_part part;

    (void)p;
    assert_int_equal(fd, -1);
    if (type == MESSAGE_SPOOL_COMMIT)
        return hear_commit(fields);
    if (type == MESSAGE_SPOOL_OPEN)
        return hear_open(fields);
    if (type == MESSAGE_SPOOL_PART)
        return message_spool_part_decode(fields, &part) && buf_put(&queue.body, part.bytes);
    queue.aborts++;
    return type == MESSAGE_SPOOL_ABORT;
}

static void on_smtpd_gone(struct peer *p)
{
    (void)p;
    queue.open = false;
}

static void start_queue(void)
{
    int fds[2];

    queue.peer.heard = on_smtpd_said;
    queue.peer.gone = on_smtpd_gone;
    assert_int_equal(channel_pair(fds), 0);
    assert_int_equal(peer_open(&queue.peer, &loop, QUEUE, SMTPD, 0, fds[0]), 0);
    assert_int_equal(spool_connect(&server.spool, 0, fds[1]), 0);
    queue.open = true;
}

static void stop_queue(void)
{
    peer_close(&queue.peer);
    queue.open = false;
}

/* ---- dns ---- */

static bool on_smtpd_asked(struct peer *p, enum message type, struct view fields, int fd)
{
    struct message_dns_ask m;

    (void)p;
    assert_int_equal(fd, -1);
    if (type == MESSAGE_DNS_FORGET)
        return true;
    if (type != MESSAGE_DNS_ASK || !message_dns_ask_decode(fields, &m))
        return false;
    assert_int_equal(m.kind, DNS_NAME);
    assert_true(m.name.len < sizeof(names.address));
    memcpy(names.address, m.name.ptr, m.name.len);
    names.address[m.name.len] = '\0';
    names.question = m.question;
    names.asked++;
    return true;
}

static void start_dns(void)
{
    int fds[2];

    names = (struct names){ .peer.heard = on_smtpd_asked, .peer.gone = on_smtpd_gone };
    assert_int_equal(channel_pair(fds), 0);
    assert_int_equal(peer_open(&names.peer, &loop, DNS, SMTPD, 0, fds[0]), 0);
    asker_connect(&server.asker, 0, fds[1]);
}

static void answer_name(enum dns_result result, const char *name)
{
    char room[300];
    struct buf items = BUF_ON_ARRAY(room);
    struct dns_item item = { .host = view_of(name) };
    struct message_dns_answer m = { .question = names.question, .result = result };

    if (name != NULL) {
        assert_true(dns_items_put(&items, DNS_NAME, &item));
        m.items = buf_view(&items);
        m.item_count = 1;
    }
    peer_send_dns_answer(&names.peer, &m, -1);
}

/* ---- the client ---- */

static void listen_to_server(void)
{
    long n;

    do {
        n = stream_read(&client.stream, client.heard + client.heard_len,
                        sizeof(client.heard) - 1 - client.heard_len);
        if (n > 0)
            client.heard_len += (size_t)n;
    } while (n > 0);
    client.heard[client.heard_len] = '\0';
    if (n == 0 || n == -ECONNRESET)
        client.closed = true;
}

static void turn_only(void)
{
    for (int i = 0; i < TURNS; i++)
        assert_int_equal(loop_turn(&loop, 0), 0);
}

static void turn(void)
{
    for (int i = 0; i < TURNS; i++) {
        assert_int_equal(loop_turn(&loop, 0), 0);
        listen_to_server();
    }
}

static void say(const char *words)
{
    size_t len = strlen(words);

    while (len > 0) {
        long n = stream_write(&client.stream, words, len);

        if (n == STREAM_WANT_WRITE) {
            turn();
            continue;
        }
        assert_true(n > 0);
        words += n;
        len -= (size_t)n;
    }
    turn();
}

/* Whether the server said this next, and it alone up to here. */
static void hear(const char *words)
{
    struct view got = view_make(client.heard + client.listened, client.heard_len - client.listened);

    check_view("the server's words", got, view_of(words));
    client.listened = client.heard_len;
}

static void pass_over(void)
{
    client.listened = client.heard_len;
}

static void connect_client_from(const char *text)
{
    struct net_address address;
    int fds[2];

    assert_true(net_parse_address(view_of(text), &address));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    client.heard_len = client.listened = 0;
    client.closed = false;
    stream_init(&client.stream, fds[0]);
    assert_int_equal(limits_take(&server.limits, rules.listener, &address), LIMITS_FINE);
    conn_start(&server, &rules, fds[1], &address);
    turn();
}

static void connect_client(void)
{
    connect_client_from("192.0.2.77");
}

static void begin_message(void)
{
    say("EHLO client.test\r\n");
    say("MAIL FROM:<a@there.test>\r\nRCPT TO:<bob@here.test>\r\nDATA\r\n");
    check("DATA is answered", strstr(client.heard + client.listened, "\r\n354 ") != NULL);
    pass_over();
}

/* `len` bytes of lines, with the end of the message behind them. */
static char *make_message(size_t len)
{
    char *text = calloc(1, len + 8);

    for (size_t i = 0; i < len; i++)
        text[i] = i % 80 == 78 ? '\r' : i % 80 == 79 ? '\n' : (char)('a' + i % 26);
    memcpy(text + len - len % 80, "\r\n.\r\n", sizeof("\r\n.\r\n"));
    return text;
}

/* ---- setting up ---- */

static void on_emptied(struct server *s)
{
    (void)s;
    emptied++;
}

static int begin(void **state)
{
    struct error err;

    (void)state;
    clock_freeze(1785758400000);
    config = config_read(settings_path);
    settings_read(&settings, config);
    assert_int_equal(config_error_count(config), 0);
    assert_int_equal(loop_init(&loop), 0);
    server_init(&server, &loop, &settings);
    server.emptied = on_emptied;
    emptied = 0;
    list_init(&listeners);
    counters = memfd_create("counters", MFD_CLOEXEC);
    assert_int_equal(ftruncate(counters, COUNTERS_BYTES_PER_WORKER), 0);
    assert_int_equal(limits_open(&server.limits, counters, 0, &settings, &err), 0);
    rules = (struct session_rules){ .settings = &settings,
                                    .listener = &settings.listeners[0],
                                    .spool = &server.spool.state,
                                    .budget = &server.budget };
    session_rules_init(&rules);
    queue = (struct queue){ .file = -1 };
    buf_new(&queue.body, ROOM);
    start_queue();
    return 0;
}

static int end(void **state)
{
    (void)state;
    settings.timeouts.drain = 0;
    for (int i = 0; i < 2; i++) {
        server_drain(&server, true);
        turn_only();
        clock_advance(1000000);
    }
    assert_true(list_empty(&server.conns));
    assert_int_equal(server.budget.used, 0);
    assert_int_equal(server.spool.requests.count, 0);
    assert_int_equal(server.asker.questions.count, 0);
    list_each_safe (link, &listeners) {
        struct listener *l = container_of(link, struct listener, link);

        listener_close(l);
        free(l);
    }
    stream_close(&client.stream);
    if (queue.open)
        stop_queue();
    turn_only();
    if (queue.file >= 0)
        close(queue.file);
    buf_free(&queue.body);
    limits_close(&server.limits);
    tls_context_free(&server.tls);
    table_release(&server.spool.requests);
    table_release(&server.asker.questions);
    table_release(&server.logins.requests);
    peer_close(&server.asker.dns);
    peer_close(&names.peer);
    memset(&server, 0, sizeof(server));
    loop_release(&loop);
    settings_release(&settings);
    config_free(&config);
    return 0;
}

/* ---- tests ---- */

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
    clock_advance(settings.listeners[0].timeouts.commit);
    turn();
    hear("451 4.3.0 The message could not be stored, try again later\r\n");
    start_queue();
    turn();
    assert_int_equal(queue.commits, 0);
    clock_advance(settings.listeners[0].timeouts.command - 1);
    turn();
    hear("");
    clock_advance(1);
    turn();
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
    clock_advance(settings.listeners[0].timeouts.commit);
    turn();
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

static void has_patience(void **state)
{
    (void)state;
    connect_client();
    pass_over();
    clock_advance(settings.listeners[0].timeouts.command - 1);
    turn();
    say("NOOP\r\n");
    hear("250 2.0.0 Ok\r\n");
    /* A command that drips in wins no time. */
    clock_advance(settings.listeners[0].timeouts.command - 1);
    turn();
    say("NO");
    clock_advance(1);
    turn();
    hear("421 4.4.2 It took too long, closing\r\n");
    assert_true(client.closed);
}

static void a_message_has_a_deadline(void **state)
{
    uint64_t step_ms = settings.listeners[0].timeouts.content - 1;

    (void)state;
    settings.listeners[0].manners.content_rate = 0;
    connect_client();
    begin_message();
    for (uint64_t at_ms = step_ms; at_ms < settings.listeners[0].timeouts.message;
         at_ms += step_ms) {
        clock_advance(step_ms);
        turn();
        say("x");
        hear("");
    }
    clock_advance(step_ms);
    turn();
    hear("421 4.4.2 It took too long, closing\r\n");
}

/* It may stop and go, but a hundred bytes a second must come, in the end. */
static void a_message_has_a_least_rate(void **state)
{
    (void)state;
    settings.listeners[0].timeouts.content = 1000000;
    connect_client();
    begin_message();
    for (int i = 0; i < 120; i++)
        say("0123456789012345678901234567890123456789012345678\r\n"); /* 6,120 bytes */
    clock_advance(60000 + 61199);
    turn();
    hear("");
    clock_advance(1);
    turn();
    hear("421 4.4.2 It took too long, closing\r\n");
}

/* Who may relay is not hurried so. */
static void a_trusted_message_has_none(void **state)
{
    (void)state;
    rules.listener = &settings.listeners[0];
    connect_client_from("198.51.100.7");
    begin_message();
    say("x");
    clock_advance(100000);
    turn();
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
    clock_advance(1999);
    turn();
    hear("");
    clock_advance(1);
    turn();
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
    clock_advance(501);
    turn();
    hear("");
    clock_advance(499);
    turn();
    hear("500 5.5.1 Command unrecognized\r\n");
    clock_advance(500);
    turn();
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
    clock_advance(999);
    turn();
    hear("");
    clock_advance(1);
    turn();
    hear("535 5.7.8 Authentication credentials invalid\r\n");
    for (int i = 4; i < 20; i++) {
        say("AUTH PLAIN AGEAYg==\r\n");
        clock_advance(1000);
        turn();
        hear("535 5.7.8 Authentication credentials invalid\r\n");
    }
    say("AUTH PLAIN AGEAYg==\r\n");
    clock_advance(1000);
    turn();
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
        clock_advance(step_ms);
        turn();
        say("AUTH PLAIN AGEAYg==\r\n");
        hear("454 4.7.0 Too many logins have failed, try again later\r\n");
    }
    clock_advance(step_ms);
    turn();
    hear("421 4.4.2 It took too long, closing\r\n");
    peer_close(&auth);
    turn();
}

static void greets_after_a_while(void **state)
{
    (void)state;
    settings.listeners[0].manners.greet_delay_ms = 5000;
    connect_client();
    clock_advance(4999);
    turn();
    hear("");
    clock_advance(1);
    turn();
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
    clock_advance(9999);
    turn();
    assert_false(server_make_room(&server, NULL, false));
    say("RSET\r\n");
    pass_over();
    assert_false(server_make_room(&server, NULL, true));
    clock_advance(10000);
    turn();
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
    clock_advance(10000);
    turn();
    assert_false(server_make_room(&server, NULL, false));
}

static void a_session_without_mail_has_a_deadline(void **state)
{
    uint64_t step_ms = settings.listeners[0].timeouts.command - 1;

    (void)state;
    connect_client();
    pass_over();
    for (uint64_t at_ms = step_ms; at_ms < settings.listeners[0].timeouts.session;
         at_ms += step_ms) {
        clock_advance(step_ms);
        turn();
        say("NOOP\r\n");
        hear("250 2.0.0 Ok\r\n");
    }
    clock_advance(step_ms);
    turn();
    hear("421 4.4.2 It took too long, closing\r\n");
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
    clock_advance(settings.timeouts.drain);
    turn();
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

/* ---- TLS ---- */

static struct view print(BIO *bio, char *room, size_t size)
{
    int len = BIO_read(bio, room, (int)size);

    assert_in_range(len, 1, size);
    BIO_free(bio);
    return view_make(room, (size_t)len);
}

static void make_server_tls(void)
{
    static char key_room[4096], certificate_room[4096];
    BIO *key_bio = BIO_new(BIO_s_mem()), *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    struct view certificate_pem, key_pem;
    struct error err;

    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), 0));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 86400));
    assert_int_equal(X509_set_pubkey(x, key), 1);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(PEM_write_bio_X509(bio, x), 1);
    key_pem = print(key_bio, key_room, sizeof(key_room));
    certificate_pem = print(bio, certificate_room, sizeof(certificate_room));
    server.tls = tls_server_new(certificate_pem, key_pem, &err);
    assert_non_null(server.tls);
    EVP_PKEY_free(key);
    X509_free(x);
}

static void shake_hands(void)
{
    struct error err;
    struct tls_context *context = tls_client_new(VIEW_EMPTY, &err);
    int result;

    assert_non_null(context);
    assert_int_equal(stream_connect_tls(&client.stream, context, VIEW("mx.test"), false), 0);
    do {
        result = stream_handshake(&client.stream, &err);
        turn_only();
    } while (result == STREAM_WANT_READ || result == STREAM_WANT_WRITE);
    assert_int_equal(result, 0);
    tls_context_free(&context);
    turn();
}

static void starts_tls(void **state)
{
    char *text = make_message(BIG);

    (void)state;
    make_server_tls();
    rules.starttls = true;
    session_rules_init(&rules);
    connect_client();
    say("EHLO client.test\r\n");
    pass_over();
    say("STARTTLS\r\n");
    hear("220 2.0.0 Ready to start TLS\r\n");
    shake_hands();
    hear("");
    say("NOOP\r\n");
    hear("250 2.0.0 Ok\r\n");
    begin_message();
    say(text);
    hear("250 2.0.0 Ok: queued as 0000000000000abc\r\n");
    assert_true(view_find_view(queue.commit.envelope, VIEW("protocol=ESMTPS\n")) <
                queue.commit.envelope.len);
    assert_true(queue.commit.big);
    say("QUIT\r\n");
    hear("221 2.0.0 Bye\r\n");
    assert_true(client.closed);
    free(text);
}

static void greets_under_tls(void **state)
{
    (void)state;
    make_server_tls();
    settings.listeners[0].tls = LISTENER_TLS_IMPLICIT;
    connect_client();
    hear("");
    shake_hands();
    hear("220 mx.test ESMTP Tern\r\n");
}

static void waits_for_a_handshake_not_for_ever(void **state)
{
    (void)state;
    make_server_tls();
    settings.listeners[0].tls = LISTENER_TLS_IMPLICIT;
    connect_client();
    clock_advance(settings.listeners[0].timeouts.handshake);
    turn();
    assert_true(client.closed);
    hear("");
}

static void a_silent_handshake_makes_room(void **state)
{
    (void)state;
    make_server_tls();
    settings.listeners[0].tls = LISTENER_TLS_IMPLICIT;
    connect_client();
    assert_false(server_make_room(&server, NULL, true));
    clock_advance(10000);
    turn();
    assert_true(server_make_room(&server, NULL, true));
    turn();
    assert_true(client.closed);
    hear("");
}

static void plain_text_is_no_handshake(void **state)
{
    (void)state;
    make_server_tls();
    rules.starttls = true;
    session_rules_init(&rules);
    connect_client();
    say("EHLO client.test\r\n");
    say("STARTTLS\r\n");
    pass_over();
    say("MAIL FROM:<injected@there.test>\r\n");
    assert_true(client.closed);
    assert_true(list_empty(&server.conns));
}

/* ---- listeners ---- */

static int dial(int listener)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, len), 0);
    return fd;
}

static struct view read_all(int fd, char *room, size_t size)
{
    ssize_t n;

    turn_only();
    n = recv(fd, room, size, MSG_DONTWAIT);
    return view_make(room, n > 0 ? (size_t)n : 0);
}

static int open_listener(void)
{
    struct net_address any = { .family = AF_INET, .bytes = { 127, 0, 0, 1 } };
    struct error err;
    int fd = net_listen(&any, &err);

    assert_true(fd >= 0);
    listener_open(&server, &settings.listeners[0], fd, &listeners);
    return fd;
}

static void turns_away_what_is_too_much(void **state)
{
    char room[200];
    int listener = open_listener(), fds[3];

    (void)state;
    settings.listeners[0].limits.connections_per_client = 2;
    for (int i = 0; i < 3; i++) {
        struct view heard;

        fds[i] = dial(listener);
        heard = read_all(fds[i], room, sizeof(room));
        assert_true(view_starts(heard, i < 2 ? VIEW("220 mx.test ") : VIEW("421 4.7.0 Too many ")));
    }
    close(fds[0]);
    turn_only();
    close(fds[2]);
    fds[2] = dial(listener);
    assert_true(view_starts(read_all(fds[2], room, sizeof(room)), VIEW("220 ")));
    close(fds[1]);
    close(fds[2]);
    turn_only();
}

/* Without descriptors it tells one client, rests, and goes on when there are some. */
static void survives_without_descriptors(void **state)
{
    struct rlimit old, none;
    char room[200];
    int listener = open_listener(), first = dial(listener), second, spare = dup(0);

    (void)state;
    assert_true(view_starts(read_all(first, room, sizeof(room)), VIEW("220 ")));
    second = dial(listener);
    getrlimit(RLIMIT_NOFILE, &old);
    none = (struct rlimit){ (rlim_t)spare, old.rlim_max };
    setrlimit(RLIMIT_NOFILE, &none);
    assert_true(view_starts(read_all(second, room, sizeof(room)), VIEW("421 ")) ||
                read_all(second, room, sizeof(room)).len == 0);
    setrlimit(RLIMIT_NOFILE, &old);
    close(second);
    second = dial(listener);
    assert_int_equal(read_all(second, room, sizeof(room)).len, 0);
    clock_advance(1000);
    assert_true(view_starts(read_all(second, room, sizeof(room)), VIEW("220 ")));
    close(first);
    close(second);
    close(spare);
    turn_only();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

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
    clock_advance(SESSION_NAME_MS - 1);
    turn();
    hear("");
    clock_advance(1);
    turn();
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
        TEST(does_not_wait_for_the_name),
        TEST(trouble_leaves_the_name_unknown),
        TEST(rules_wait_for_the_name),
        TEST(a_told_name_stays),
        TEST(the_name_may_come_too_late),
        TEST(drains),
        TEST(drains_in_time),
        TEST(drains_the_idle_at_once),
        TEST(lets_sessions_go_on_without_it),
        TEST(tells_who_was_refused),
        TEST(starts_tls),
        TEST(greets_under_tls),
        TEST(waits_for_a_handshake_not_for_ever),
        TEST(a_silent_handshake_makes_room),
        TEST(plain_text_is_no_handshake),
        TEST(turns_away_what_is_too_much),
        TEST(survives_without_descriptors),
    };

    signal(SIGPIPE, SIG_IGN);
    settings_path = argc > 1 ? argv[1] : "settings.yaml";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
