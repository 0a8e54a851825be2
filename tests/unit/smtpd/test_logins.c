/* Exchanges with the auth process, which answers, or goes. */
#include "smtpd/logins.h"

#include "tests/unit/unit.h"

#include <stdio.h>

enum { TURNS = 10 };

static struct loop loop;
static struct logins logins;
static struct auth { /* the other end */
    struct peer peer;
    unsigned begun, responses, cancelled;
    uint64_t last;
    char said[256];
    bool gone;
} auth;

static struct client {
    struct login_request request;
    unsigned challenges, ends;
    enum login_result result;
    char heard[256];
    bool again; /* begins anew as soon as it has ended */
} ann, bob;

static bool on_smtpd_said(struct peer *p, enum message type, struct view fields, int fd)
{
    struct message_login_begin begin;
    struct message_login_response response;
    struct message_login_cancel cancel;

    (void)p;
    assert_int_equal(fd, -1);
    if (type == MESSAGE_LOGIN_BEGIN && message_login_begin_decode(fields, &begin)) {
        auth.begun++;
        auth.last = begin.exchange;
    } else if (type == MESSAGE_LOGIN_RESPONSE && message_login_response_decode(fields, &response)) {
        auth.responses++;
        (void)snprintf(auth.said, sizeof(auth.said), "%.*s", VIEW_ARG(response.bytes));
    } else {
        assert_int_equal(type, MESSAGE_LOGIN_CANCEL);
        assert_true(message_login_cancel_decode(fields, &cancel));
        auth.cancelled++;
    }
    return true;
}

static void on_smtpd_gone(struct peer *p)
{
    (void)p;
    auth.gone = true;
}

static void turn(void)
{
    for (int i = 0; i < TURNS; i++)
        assert_int_equal(loop_turn(&loop, 0), 0);
}

static bool begin(struct client *c)
{
    struct message_login_begin m = { .session = 1,
                                     .mechanism = VIEW("PLAIN"),
                                     .client = VIEW("192.0.2.1") };

    return logins_begin(&logins, &c->request, &m);
}

static void on_challenged(struct login_request *r, struct view bytes)
{
    struct client *c = container_of(r, struct client, request);

    c->challenges++;
    (void)snprintf(c->heard, sizeof(c->heard), "%.*s", VIEW_ARG(bytes));
}

static void on_ended(struct login_request *r, enum login_result result, struct view login)
{
    struct client *c = container_of(r, struct client, request);

    c->ends++;
    c->result = result;
    (void)snprintf(c->heard, sizeof(c->heard), "%.*s", VIEW_ARG(login));
    if (c->again)
        assert_false(begin(c)); /* there is nobody to ask */
}

static void connect_auth(void)
{
    const struct message_login_state m = { VIEW("PLAIN LOGIN") };
    int fds[2];

    auth = (struct auth){ .peer.heard = on_smtpd_said, .peer.gone = on_smtpd_gone };
    assert_int_equal(channel_pair(fds), 0);
    assert_int_equal(peer_open(&auth.peer, &loop, AUTH, SMTPD, 0, fds[0]), 0);
    assert_int_equal(logins_connect(&logins, 0, fds[1]), 0);
    peer_send_login_state(&auth.peer, &m, -1);
    turn();
}

static int open_all(void **state)
{
    (void)state;
    assert_int_equal(loop_init(&loop), 0);
    logins_init(&logins, &loop);
    ann = bob = (struct client){ .request = { .challenged = on_challenged, .ended = on_ended } };
    connect_auth();
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    logins_cancel(&logins, &ann.request);
    logins_cancel(&logins, &bob.request);
    assert_int_equal(logins.requests.count, 0);
    peer_close(&auth.peer);
    turn();
    table_release(&logins.requests);
    loop_release(&loop);
    return 0;
}

static void passes_an_exchange_on(void **state)
{
    struct message_login_challenge who = { .bytes = VIEW("Who?") };
    struct message_login_end yes = { .result = LOGIN_OK, .login = VIEW("ann@here.test") };

    (void)state;
    assert_string_equal(logins.mechanisms, "PLAIN LOGIN");
    assert_true(begin(&ann));
    turn();
    assert_int_equal(auth.begun, 1);
    who.exchange = yes.exchange = auth.last;
    peer_send_login_challenge(&auth.peer, &who, -1);
    turn();
    assert_string_equal(ann.heard, "Who?");
    logins_respond(&logins, &ann.request, VIEW("ann"));
    turn();
    assert_string_equal(auth.said, "ann");
    peer_send_login_end(&auth.peer, &yes, -1);
    turn();
    assert_int_equal(ann.ends, 1);
    assert_int_equal(ann.result, LOGIN_OK);
    assert_string_equal(ann.heard, "ann@here.test");
    logins_cancel(&logins, &ann.request); /* it has ended: nobody hears of it */
    turn();
    assert_int_equal(auth.cancelled, 0);
}

static void tells_each_its_own(void **state)
{
    struct message_login_end no = { .result = LOGIN_REFUSED };
    uint64_t first;

    (void)state;
    assert_true(begin(&ann));
    turn();
    first = auth.last;
    assert_true(begin(&bob));
    turn();
    no.exchange = auth.last;
    peer_send_login_end(&auth.peer, &no, -1);
    turn();
    assert_int_equal(ann.ends, 0);
    assert_int_equal(bob.ends, 1);
    assert_int_equal(bob.result, LOGIN_REFUSED);
    no.exchange = first;
    peer_send_login_end(&auth.peer, &no, -1);
    peer_send_login_end(&auth.peer, &no, -1); /* once is enough */
    turn();
    assert_int_equal(ann.ends, 1);
    assert_false(auth.gone);
}

static void forgets_who_has_gone(void **state)
{
    struct message_login_challenge late = { .bytes = VIEW("Who?") };
    struct message_login_end end = { .result = LOGIN_OK, .login = VIEW("ann") };

    (void)state;
    assert_true(begin(&ann));
    turn();
    late.exchange = end.exchange = auth.last;
    logins_cancel(&logins, &ann.request);
    turn();
    assert_int_equal(auth.cancelled, 1);
    peer_send_login_challenge(&auth.peer, &late, -1);
    peer_send_login_end(&auth.peer, &end, -1);
    turn();
    assert_int_equal(ann.challenges + ann.ends, 0);
    assert_false(auth.gone);
}

/* Those that wait hear that it cannot be checked, each once, though they begin anew at once. */
static void a_lost_process_ends_them_all(void **state)
{
    (void)state;
    ann.again = bob.again = true;
    assert_true(begin(&ann) && begin(&bob));
    turn();
    peer_close(&auth.peer);
    turn();
    assert_int_equal(ann.ends, 1);
    assert_int_equal(bob.ends, 1);
    assert_int_equal(ann.result, LOGIN_TEMPORARY);
    assert_string_equal(logins.mechanisms, "");
    assert_false(begin(&ann));
    connect_auth();
    assert_string_equal(logins.mechanisms, "PLAIN LOGIN");
    assert_true(begin(&ann));
    turn();
    assert_int_equal(auth.begun, 1);
}

/* The old process of a reload goes when its successor is there: nobody is told. */
static void an_old_process_may_go(void **state)
{
    static struct auth next;
    const struct message_login_state m = { VIEW("LOGIN") };
    int fds[2];

    (void)state;
    next = (struct auth){ .peer.heard = on_smtpd_said, .peer.gone = on_smtpd_gone };
    assert_int_equal(channel_pair(fds), 0);
    assert_int_equal(peer_open(&next.peer, &loop, AUTH, SMTPD, 0, fds[0]), 0);
    assert_int_equal(logins_connect(&logins, 0, fds[1]), 0);
    peer_send_login_state(&next.peer, &m, -1);
    turn();
    assert_true(begin(&ann));
    peer_close(&auth.peer);
    turn();
    assert_int_equal(ann.ends, 0);
    assert_string_equal(logins.mechanisms, "LOGIN");
    peer_close(&next.peer);
    turn();
    assert_int_equal(ann.ends, 1);
}

/* What it says must be what it may say: else the channel is closed. */
static void nonsense_ends_the_channel(void **state)
{
    char room[512];
    struct buf names = BUF_ON_ARRAY(room);
    struct message_login_state m;

    (void)state;
    for (int i = 0; i < 60; i++)
        buf_put(&names, VIEW("PLAIN "));
    assert_true(begin(&ann));
    turn();
    m.mechanisms = buf_view(&names);
    peer_send_login_state(&auth.peer, &m, -1);
    turn();
    assert_true(auth.gone);
    assert_int_equal(ann.result, LOGIN_TEMPORARY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(passes_an_exchange_on), TEST(tells_each_its_own),
        TEST(forgets_who_has_gone),  TEST(a_lost_process_ends_them_all),
        TEST(an_old_process_may_go), TEST(nonsense_ends_the_channel),
    };

    return cmocka_run_group_tests_name("smtpd/logins", tests, NULL, NULL);
}
