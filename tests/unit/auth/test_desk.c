/* The desk of the auth process, with a smtpd process that asks, and a source that decides as the
 * test says. */
#include "auth/desk.h"

#include "io/clock.h"
#include "tests/unit/unit.h"

#include <stdio.h>

enum { TURNS = 10 };

static struct settings settings = {
    .auth = { .tries = { 3, 2, 60000 } },
    .listeners = (struct listener_settings[]){ { .tries = { 3, 2, 60000 } },
                                               { .tries = { 1, 2, 90000 } },
                                               { .tries = { 3, 2, 60000 } } },
    .listener_count = 3,
    .limits = { .client_prefix4 = 32, .client_prefix6 = 64 },
};
static struct loop loop;
static struct desk desk;
static unsigned emptied;

/* smtpd's end. */
static struct smtpd {
    struct peer peer;
    char offer[128], login[128], challenge[128];
    unsigned challenges, ends;
    enum login_result result;
    uint64_t ended;
    bool gone;
} smtpd;

static struct source source;
static struct exchange *under_way; /* the one that the source was asked about last */
static unsigned begun, heard, forgotten;
static uint32_t listener; /* where clients come */
static char response[128];

/* ---- the source ---- */

static void on_begin(struct source *s, struct exchange *e, const struct message_login_begin *m)
{
    (void)s;
    (void)m;
    begun++;
    under_way = e;
}

static void on_hear(struct source *s, struct exchange *e, struct view bytes)
{
    (void)s;
    assert_ptr_equal(e, under_way);
    heard++;
    (void)snprintf(response, sizeof(response), "%.*s", VIEW_ARG(bytes));
}

static void on_forget(struct source *s, struct exchange *e)
{
    (void)s;
    forgotten++;
    if (under_way == e)
        under_way = NULL;
}

/* ---- smtpd ---- */

static bool on_auth_said(struct peer *p, enum message type, struct view fields, int fd)
{
    struct message_login_state state;
    struct message_login_challenge challenge;
    struct message_login_end end;

    (void)p;
    assert_int_equal(fd, -1);
    if (type == MESSAGE_LOGIN_STATE && message_login_state_decode(fields, &state)) {
        (void)snprintf(smtpd.offer, sizeof(smtpd.offer), "%.*s", VIEW_ARG(state.mechanisms));
    } else if (type == MESSAGE_LOGIN_CHALLENGE &&
               message_login_challenge_decode(fields, &challenge)) {
        smtpd.challenges++;
        (void)snprintf(smtpd.challenge, sizeof(smtpd.challenge), "%.*s", VIEW_ARG(challenge.bytes));
    } else {
        assert_int_equal(type, MESSAGE_LOGIN_END);
        assert_true(message_login_end_decode(fields, &end));
        smtpd.ends++;
        smtpd.ended = end.exchange;
        smtpd.result = end.result;
        (void)snprintf(smtpd.login, sizeof(smtpd.login), "%.*s", VIEW_ARG(end.login));
    }
    return true;
}

static void on_auth_gone(struct peer *p)
{
    (void)p;
    smtpd.gone = true;
}

static void turn(void)
{
    for (int i = 0; i < TURNS; i++)
        assert_int_equal(loop_turn(&loop, 0), 0);
}

static void begin_from(const char *client, uint64_t exchange)
{
    const struct message_login_begin m = {
        .exchange = exchange,
        .session = 9,
        .mechanism = VIEW("PLAIN"),
        .listener = listener,
        .client = view_of(client),
    };

    peer_send_login_begin(&smtpd.peer, &m, -1);
    turn();
}

static void respond(uint64_t exchange, const char *words)
{
    const struct message_login_response m = { .exchange = exchange, .bytes = view_of(words) };

    peer_send_login_response(&smtpd.peer, &m, -1);
    turn();
}

/* A whole exchange from there for that login. */
static enum login_result try_login(const char *client, const char *login, enum login_result result)
{
    static uint64_t number = 1000;

    smtpd.ends = 0;
    under_way = NULL;
    begin_from(client, ++number);
    if (smtpd.ends == 0 && !exchange_blocked(under_way, view_of(login)))
        exchange_end(under_way, result, view_of(login), "as the test says");
    turn();
    assert_int_equal(smtpd.ends, 1);
    assert_int_equal(smtpd.ended, number);
    return smtpd.result;
}

static void on_emptied(struct desk *d)
{
    (void)d;
    emptied++;
}

static void connect_smtpd(void)
{
    int fds[2];

    smtpd = (struct smtpd){ .peer.heard = on_auth_said, .peer.gone = on_auth_gone };
    assert_int_equal(channel_pair(fds), 0);
    assert_int_equal(peer_open(&smtpd.peer, &loop, SMTPD, AUTH, 0, fds[0]), 0);
    assert_int_equal(desk_connect(&desk, 0, fds[1]), 0);
    turn();
}

static int open_all(void **state)
{
    (void)state;
    clock_freeze(1785758400000);
    assert_int_equal(loop_init(&loop), 0);
    source = (struct source){ .begin = on_begin, .hear = on_hear, .forget = on_forget };
    desk_init(&desk, &loop, &settings, &source);
    desk.emptied = on_emptied;
    desk_offer(&desk, VIEW("PLAIN"));
    under_way = NULL;
    begun = heard = forgotten = emptied = 0;
    connect_smtpd();
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    if (!smtpd.gone)
        peer_close(&smtpd.peer);
    turn();
    assert_true(list_empty(&desk.tellers));
    assert_int_equal(emptied, 1);
    desk_release(&desk);
    loop_release(&loop);
    return 0;
}

/* ---- tests ---- */

static void leads_an_exchange(void **state)
{
    (void)state;
    assert_string_equal(smtpd.offer, "PLAIN");
    begin_from("192.0.2.1", 7);
    assert_int_equal(begun, 1);
    exchange_challenge(under_way, VIEW("Who?"));
    turn();
    assert_string_equal(smtpd.challenge, "Who?");
    respond(7, "ann");
    assert_string_equal(response, "ann");
    exchange_end(under_way, LOGIN_OK, VIEW("ann"), NULL);
    turn();
    assert_int_equal(smtpd.result, LOGIN_OK);
    assert_string_equal(smtpd.login, "ann");
    assert_int_equal(forgotten, 1);
    respond(7, "more"); /* it has ended meanwhile */
    assert_int_equal(heard, 1);
    assert_false(smtpd.gone);
}

/* The name of who failed is for the log alone. */
static void tells_no_name_of_who_failed(void **state)
{
    (void)state;
    assert_int_equal(try_login("192.0.2.1", "ann", LOGIN_REFUSED), LOGIN_REFUSED);
    assert_string_equal(smtpd.login, "");
}

static void tells_what_can_be_had(void **state)
{
    (void)state;
    desk_offer(&desk, VIEW(""));
    turn();
    assert_string_equal(smtpd.offer, "");
    desk_offer(&desk, VIEW("PLAIN LOGIN"));
    turn();
    assert_string_equal(smtpd.offer, "PLAIN LOGIN");
}

static void limits_a_client(void **state)
{
    static const char *const logins[] = { "a", "b", "c" };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(logins); i++)
        assert_int_equal(try_login("192.0.2.1", logins[i], LOGIN_REFUSED), LOGIN_REFUSED);
    begun = 0;
    assert_int_equal(try_login("192.0.2.1", "d", LOGIN_OK), LOGIN_TOO_MANY);
    assert_int_equal(begun, 0); /* the source was not even asked */
    assert_int_equal(try_login("192.0.2.2", "d", LOGIN_OK), LOGIN_OK);
    clock_advance(60000);
    turn();
    assert_int_equal(try_login("192.0.2.1", "d", LOGIN_OK), LOGIN_OK);
}

/* From everywhere else, but not from where its owner has been. */
static void limits_a_login(void **state)
{
    (void)state;
    assert_int_equal(try_login("192.0.2.1", "ann", LOGIN_OK), LOGIN_OK);
    assert_int_equal(try_login("203.0.113.1", "ann", LOGIN_REFUSED), LOGIN_REFUSED);
    assert_int_equal(try_login("203.0.113.2", "ann", LOGIN_REFUSED), LOGIN_REFUSED);
    assert_int_equal(try_login("203.0.113.3", "ann", LOGIN_OK), LOGIN_TOO_MANY);
    assert_int_equal(try_login("192.0.2.1", "ann", LOGIN_OK), LOGIN_OK);
    assert_int_equal(try_login("203.0.113.3", "bob", LOGIN_OK), LOGIN_OK);
}

/* One with limits of its own counts apart, but for where a login was used from. */
static void a_listener_has_limits_of_its_own(void **state)
{
    (void)state;
    listener = 1;
    assert_int_equal(try_login("192.0.2.1", "x", LOGIN_REFUSED), LOGIN_REFUSED);
    assert_int_equal(try_login("192.0.2.1", "x", LOGIN_REFUSED), LOGIN_TOO_MANY);
    listener = 0;
    assert_int_equal(try_login("192.0.2.1", "y", LOGIN_REFUSED), LOGIN_REFUSED);
    listener = 2;
    assert_int_equal(try_login("192.0.2.1", "y", LOGIN_REFUSED), LOGIN_REFUSED);
    assert_int_equal(try_login("192.0.2.1", "z", LOGIN_REFUSED), LOGIN_REFUSED);
    assert_int_equal(try_login("192.0.2.1", "z", LOGIN_OK), LOGIN_TOO_MANY);
    assert_int_equal(try_login("192.0.2.7", "bob", LOGIN_OK), LOGIN_OK);
    listener = 1;
    assert_int_equal(try_login("192.0.2.3", "bob", LOGIN_REFUSED), LOGIN_REFUSED);
    assert_int_equal(try_login("192.0.2.4", "bob", LOGIN_REFUSED), LOGIN_REFUSED);
    assert_int_equal(try_login("192.0.2.5", "bob", LOGIN_OK), LOGIN_TOO_MANY);
    assert_int_equal(try_login("192.0.2.7", "bob", LOGIN_OK), LOGIN_OK);
    clock_advance(60000);
    turn();
    assert_int_equal(try_login("192.0.2.1", "x", LOGIN_OK), LOGIN_TOO_MANY);
    clock_advance(30000);
    turn();
    assert_int_equal(try_login("192.0.2.1", "x", LOGIN_OK), LOGIN_OK);
    listener = 3; /* there is none */
    begin_from("192.0.2.1", 5);
    assert_true(smtpd.gone);
    listener = 0;
}

/* What cannot be checked is nobody's failure. */
static void trouble_does_not_count(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        assert_int_equal(try_login("192.0.2.1", "ann", LOGIN_TEMPORARY), LOGIN_TEMPORARY);
    assert_int_equal(try_login("192.0.2.1", "ann", LOGIN_OK), LOGIN_OK);
}

static void forgets_who_has_gone(void **state)
{
    const struct message_login_cancel m = { 7 };

    (void)state;
    begin_from("192.0.2.1", 7);
    peer_send_login_cancel(&smtpd.peer, &m, -1);
    turn();
    assert_int_equal(forgotten, 1);
    assert_null(under_way);
    begin_from("192.0.2.1", 7); /* the number is free again */
    begin_from("192.0.2.1", 8);
    assert_int_equal(begun, 3);
    peer_close(&smtpd.peer);
    smtpd.gone = true;
    turn();
    assert_int_equal(forgotten, 3);
}

static void takes_so_many_and_no_more(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= DESK_EXCHANGES_MAX; i++) {
        const struct message_login_begin m = { .exchange = i,
                                               .mechanism = VIEW("PLAIN"),
                                               .client = VIEW("192.0.2.1") };

        peer_send_login_begin(&smtpd.peer, &m, -1);
        if (i % 10 == 0)
            turn();
    }
    turn();
    assert_int_equal(begun, DESK_EXCHANGES_MAX);
    assert_int_equal(smtpd.ends, 0);
    begin_from("192.0.2.1", DESK_EXCHANGES_MAX + 1);
    assert_int_equal(smtpd.result, LOGIN_TEMPORARY);
    assert_int_equal(smtpd.ended, DESK_EXCHANGES_MAX + 1);
    assert_false(smtpd.gone);
}

/* A number that is in use; an answer to no question. */
static void nonsense_ends_the_channel(void **state)
{
    (void)state;
    begin_from("192.0.2.1", 7);
    begin_from("192.0.2.1", 7);
    assert_true(smtpd.gone);
    assert_int_equal(forgotten, 1);
    assert_int_equal(emptied, 1);
    emptied = 0;
    connect_smtpd();
    begin_from("192.0.2.1", 7);
    respond(7, "before it was asked");
    assert_true(smtpd.gone);
    assert_int_equal(heard, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(leads_an_exchange),
        TEST(tells_no_name_of_who_failed),
        TEST(tells_what_can_be_had),
        TEST(limits_a_client),
        TEST(limits_a_login),
        TEST(a_listener_has_limits_of_its_own),
        TEST(trouble_does_not_count),
        TEST(forgets_who_has_gone),
        TEST(takes_so_many_and_no_more),
        TEST(nonsense_ends_the_channel),
    };

    return cmocka_run_group_tests_name("auth/desk", tests, NULL, NULL);
}
