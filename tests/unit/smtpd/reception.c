#include "tests/unit/smtpd/reception.h"

#include "smtpd/listener.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TURNS = 40 }; /* of the loop, after which nothing happens any more */

struct queue queue;
struct client client;
struct names names;
static const char *settings_path;
static struct config *config;
struct settings settings;
struct loop loop;
struct server server;
struct session_rules rules;
struct list listeners;
unsigned emptied;
int counters;

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

void on_smtpd_gone(struct peer *p)
{
    (void)p;
    queue.open = false;
}

void start_queue(void)
{
    int fds[2];

    queue.peer.heard = on_smtpd_said;
    queue.peer.gone = on_smtpd_gone;
    assert_int_equal(channel_pair(fds), 0);
    assert_int_equal(peer_open(&queue.peer, &loop, QUEUE, SMTPD, 0, fds[0]), 0);
    assert_int_equal(spool_connect(&server.spool, 0, fds[1]), 0);
    queue.open = true;
}

void stop_queue(void)
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

void start_dns(void)
{
    int fds[2];

    names = (struct names){ .peer.heard = on_smtpd_asked, .peer.gone = on_smtpd_gone };
    assert_int_equal(channel_pair(fds), 0);
    assert_int_equal(peer_open(&names.peer, &loop, DNS, SMTPD, 0, fds[0]), 0);
    asker_connect(&server.asker, 0, fds[1]);
}

void answer_name(enum dns_result result, const char *name)
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

void turn_only(void)
{
    for (int i = 0; i < TURNS; i++)
        assert_int_equal(loop_turn(&loop, 0), 0);
}

void turn(void)
{
    for (int i = 0; i < TURNS; i++) {
        assert_int_equal(loop_turn(&loop, 0), 0);
        listen_to_server();
    }
}

void wait_ms(uint64_t ms)
{
    clock_advance(ms);
    turn();
}

void say(const char *words)
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

void hear(const char *words)
{
    struct view got = view_make(client.heard + client.listened, client.heard_len - client.listened);

    check_view("the server's words", got, view_of(words));
    client.listened = client.heard_len;
}

void pass_over(void)
{
    client.listened = client.heard_len;
}

void connect_client_from(const char *text)
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

void connect_client(void)
{
    connect_client_from("192.0.2.77");
}

void begin_message(void)
{
    say("EHLO client.test\r\n");
    say("MAIL FROM:<a@there.test>\r\nRCPT TO:<bob@here.test>\r\nDATA\r\n");
    check("DATA is answered", strstr(client.heard + client.listened, "\r\n354 ") != NULL);
    pass_over();
}

void be_too_slow(void)
{
    for (int i = 0; i < 120; i++)
        say("0123456789012345678901234567890123456789012345678\r\n");
    wait_ms(60000 + 61199);
    hear("");
    wait_ms(1);
    hear("421 4.4.2 It took too long, closing\r\n");
}

char *make_message(size_t len)
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

int begin(void **state)
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

int end(void **state)
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

void set_up(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    settings_path = argc > 1 ? argv[1] : "settings.yaml";
}
