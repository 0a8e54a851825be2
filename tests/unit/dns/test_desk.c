#include "dns/desk.h"

#include "dns/answer.h"
#include "io/clock.h"
#include "tests/unit/dns/packet.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CACHE_ENTRIES = 100, TIMEOUT_MS = 100, NO_ANSWER = -1 };

static const struct view v4 = VIEW_INIT("\xc0\x00\x02\x01");
static const struct view v6 = VIEW_INIT("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1");

/* A name server in the same loop. */
static struct server {
    struct watch watch;
    unsigned asked;     /* questions that came */
    unsigned urgent_at; /* the number of the first about urgent.test */
} server;

static struct loop loop;
static struct resolver *resolver;
static struct net_address address;
static struct dns_settings settings;
static struct desk desk;

static struct client {
    struct customer customer;
    unsigned answered;
    uint64_t id;
    enum dns_result result;
    bool implicit;
    size_t count;
    char words[400], host[256];
} client;

/* What the server has: the return value is the rcode. */
static int answer_query(const char *name, unsigned type, struct packet *p)
{
    if (strcmp(name, "urgent.test") == 0 && server.urgent_at == 0)
        server.urgent_at = server.asked;
    if (strncmp(name, "silent", 6) == 0)
        return NO_ANSWER;
    if (strncmp(name, "bare", 4) == 0 && type != ANSWER_MX)
        return NO_ANSWER;
    if (strncmp(name, "broken", 6) == 0)
        return 2;
    if (strncmp(name, "missing", 7) == 0) {
        add_soa(p, 60, 60);
        return 3;
    }
    if (strcmp(name, "hosts.test") == 0 && type == ANSWER_MX) {
        add_mx(p, "@", 60, 20, "mx2.test");
        add_mx(p, "@", 60, 10, "mx1.test");
    } else if (strcmp(name, "null.test") == 0 && type == ANSWER_MX) {
        add_mx(p, "@", 60, 0, "");
    } else if (strncmp(name, "host", 4) == 0 && type == ANSWER_A) {
        add_address(p, "@", 60, v4);
    } else if (strncmp(name, "host", 4) == 0 && type == ANSWER_AAAA) {
        add_address(p, "@", 60, v6);
    } else if (strcmp(name, "1.2.0.192.in-addr.arpa") == 0) {
        add_ptr(p, "@", 60, "a b.test"); /* no name of a host */
        add_ptr(p, "@", 60, "empty.test");
        add_ptr(p, "@", 60, "Host.test");
    } else if (strcmp(name, "2.2.0.192.in-addr.arpa") == 0) {
        add_ptr(p, "@", 60, "host.test"); /* which has another address */
    } else if (strcmp(name, "3.2.0.192.in-addr.arpa") == 0) {
        add_ptr(p, "@", 60, "broken.test");
    } else if (strcmp(name, "4.2.0.192.in-addr.arpa") == 0) {
        return 2;
    } else if (strcmp(name, "5.2.0.192.in-addr.arpa") == 0) {
        return NO_ANSWER;
    } else if (strcmp(name, "6.2.0.192.in-addr.arpa") == 0) {
        add_soa(p, 60, 60);
        return 3;
    } else if (strstr(name, ".8.b.d.0.1.0.0.2.ip6.arpa") != NULL) {
        add_ptr(p, "@", 60, "host6.test");
    } else if (strcmp(name, "loop.test") == 0) {
        add_cname(p, "@", 60, "loop.test");
    } else {
        add_soa(p, 60, 60);
    }
    return 0;
}

static const char *read_name(const unsigned char *query, size_t len, size_t *at)
{
    static char name[256];
    size_t used = 0;

    while (*at < len && query[*at] != 0) {
        size_t label = query[*at];

        memcpy(name + used, query + *at + 1, label);
        used += label;
        name[used++] = '.';
        *at += label + 1;
    }
    (*at)++;
    name[used > 0 ? used - 1 : 0] = '\0';
    return name;
}

/* False: none is there. */
static bool serve_query(int fd)
{
    static struct packet p;
    unsigned char query[512];
    struct sockaddr_storage from;
    socklen_t from_len = sizeof(from);
    ssize_t len =
        recvfrom(fd, query, sizeof(query), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
    size_t at = PACKET_NAME_AT;
    const char *name;
    unsigned type;
    int rcode;

    if (len < 0)
        return false;
    assert_true(len > PACKET_NAME_AT);
    server.asked++;
    name = read_name(query, (size_t)len, &at);
    type = (unsigned)query[at] << 8 | query[at + 1];
    begin_packet(&p, PACKET_ANSWER, name, type);
    memcpy(p.room, query, 2); /* the id */
    rcode = answer_query(name, type, &p);
    if (rcode == NO_ANSWER)
        return true;
    p.room[3] = (char)(p.room[3] | rcode);
    sendto(fd, p.room, buf_len(&p.buf), 0, (struct sockaddr *)&from, from_len);
    return true;
}

static void on_query(struct watch *w, unsigned what)
{
    (void)what;
    while (serve_query(w->fd)) {
    }
}

static void on_answer(struct customer *a, uint64_t id, const struct finding *f)
{
    struct client *c = container_of(a, struct client, customer);

    c->answered++;
    c->id = id;
    c->result = f->result;
    c->implicit = f->implicit;
    c->count = f->count;
    assert_true(f->words.len < sizeof(c->words));
    memcpy(c->words, f->words.ptr != NULL ? f->words.ptr : "", f->words.len);
    c->words[f->words.len] = '\0';
    c->host[0] = '\0';
    if (f->count > 0 && f->items[0].host.len > 0) {
        memcpy(c->host, f->items[0].host.ptr, f->items[0].host.len);
        c->host[f->items[0].host.len] = '\0';
    }
}

static int open_all(void **state)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    socklen_t len = sizeof(in);
    struct error err;

    (void)state;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(loop_init(&loop), 0);
    server.watch.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    server.watch.ready = on_query;
    assert_int_equal(bind(server.watch.fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(getsockname(server.watch.fd, (struct sockaddr *)&in, &len), 0);
    assert_int_equal(loop_watch(&loop, &server.watch, WANT_READ), 0);
    assert_true(net_parse_address(VIEW("127.0.0.1"), &address));
    address.port = ntohs(in.sin_port);
    settings = (struct dns_settings){ .servers = &address,
                                      .server_count = 1,
                                      .timeout_ms = TIMEOUT_MS,
                                      .tries = 1,
                                      .cache_entries = CACHE_ENTRIES,
                                      .ttl_most_ms = 86400000,
                                      .negative_ttl_ms = 86400000 };
    resolver = resolver_new(&loop, &settings, &err);
    assert_non_null(resolver);
    customer_init(&client.customer, true);
    client.customer.answer = on_answer;
    return 0;
}

static int open_desk(void **state)
{
    (void)state;
    desk_init(&desk, &loop, resolver, &settings);
    client.answered = server.asked = server.urgent_at = 0;
    return 0;
}

static int close_desk(void **state)
{
    (void)state;
    assert_int_equal(desk.questions.count, 0);
    cache_release(&desk.cache);
    table_release(&desk.questions);
    return 0;
}

static void turn_until(unsigned answered)
{
    for (int i = 0; i < 1000 && client.answered < answered; i++)
        assert_int_equal(loop_turn(&loop, 1000), 0);
    assert_int_equal(client.answered, answered);
}

/* clang-format off */
static const struct {
    const char *name;
    enum dns_question kind;
    enum dns_result result;
    size_t count;
    const char *host;
    bool implicit;
    const char *words; /* within what is said */
} cases[] = {
    { "hosts.test",     DNS_ROUTE,     DNS_OK, 2, "mx1.test", false, "" },
    { "HOSTS.test",     DNS_ROUTE,     DNS_OK, 2, "mx1.test", false, "" },
    { "host3.test",     DNS_ROUTE,     DNS_OK, 1, "host3.test", true, "" },
    { "null.test",      DNS_ROUTE,     DNS_NULL_MX, 0, "", false, "null MX" },
    { "empty.test",     DNS_ROUTE,     DNS_NO_HOSTS, 0, "", false, "empty.test has neither" },
    { "missing.test",   DNS_ROUTE,     DNS_NO_DOMAIN, 0, "", false, "missing.test does not exist" },
    { "broken.test",    DNS_ROUTE,     DNS_TEMPORARY, 0, "", false, "SERVFAIL" },
    { "silent.test",    DNS_ROUTE,     DNS_TEMPORARY, 0, "", false, "in time" },
    { "loop.test",      DNS_ROUTE,     DNS_MALFORMED, 0, "", false, "malformed" },
    { "a b",            DNS_ROUTE,     DNS_NO_DOMAIN, 0, "", false, "not a domain name" },
    { "[192.0.2.1]",    DNS_ROUTE,     DNS_OK, 1, "[192.0.2.1]", true, "" },
    { "host.test",      DNS_ADDRESSES, DNS_OK, 2, "", false, "" },
    { "empty.test",     DNS_ADDRESSES, DNS_NO_HOSTS, 0, "", false, "empty.test has no address" },
    { "missing2.test",  DNS_ADDRESSES, DNS_NO_DOMAIN, 0, "", false, "does not exist" },
    { "broken2.test",   DNS_ADDRESSES, DNS_TEMPORARY, 0, "", false, "SERVFAIL, looking up" },
    { "loop.test",      DNS_ADDRESSES, DNS_MALFORMED, 0, "", false, "malformed" },
    { "192.0.2.1",      DNS_ADDRESSES, DNS_OK, 1, "", false, "" },
    { "2001:db8::1",    DNS_ADDRESSES, DNS_OK, 1, "", false, "" },
    { "host.test",      DNS_LISTED,    DNS_OK, 1, "", false, "" }, /* A alone */
    { "missing.test",   DNS_LISTED,    DNS_NO_HOSTS, 0, "", false, "no entry" },
    { "broken.test",    DNS_LISTED,    DNS_TEMPORARY, 0, "", false, "SERVFAIL, looking up the entry" },
    { "192.0.2.1",      DNS_NAME,      DNS_OK, 1, "host.test", false, "" },
    { "2001:db8::1",    DNS_NAME,      DNS_OK, 1, "host6.test", false, "" },
    { "192.0.2.2",      DNS_NAME,      DNS_NO_HOSTS, 0, "", false, "no name that leads back" },
    { "192.0.2.3",      DNS_NAME,      DNS_TEMPORARY, 0, "", false, "could not be had" },
    { "192.0.2.4",      DNS_NAME,      DNS_TEMPORARY, 0, "", false, "SERVFAIL" },
    { "192.0.2.5",      DNS_NAME,      DNS_TEMPORARY, 0, "", false, "in time" },
    { "192.0.2.6",      DNS_NAME,      DNS_NO_HOSTS, 0, "", false, "no name that leads back" },
    { "192.0.2.7",      DNS_NAME,      DNS_NO_HOSTS, 0, "", false, "no name that leads back" },
    { "host.test",      DNS_NAME,      DNS_NO_DOMAIN, 0, "", false, "not an address" },
};
/* clang-format on */

/* The second time, everything comes from the cache. */
static void test_questions(void **state)
{
    (void)state;
    for (int time = 0; time < 2; time++) {
        unsigned asked = server.asked;

        for (size_t i = 0; i < COUNT_OF(cases); i++) {
            client.answered = 0;
            desk_ask(&desk, &client.customer, i, cases[i].kind, view_of(cases[i].name));
            turn_until(1);
            check(cases[i].name, client.id == i);
            check(cases[i].name, client.result == cases[i].result);
            check(cases[i].name, client.count == cases[i].count);
            check(cases[i].name, client.implicit == cases[i].implicit);
            check(cases[i].name, strcmp(client.host, cases[i].host) == 0);
            if (strstr(client.words, cases[i].words) == NULL)
                fail_msg("%s: said [%s]", cases[i].name, client.words);
        }
        if (time == 1)
            assert_int_equal(server.asked, asked);
    }
}

static void test_equal_questions_are_asked_once(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 5; i++)
        desk_ask(&desk, &client.customer, i, DNS_ROUTE,
                 i % 2 ? VIEW("hosts.test") : VIEW("Hosts.Test"));
    turn_until(5);
    assert_int_equal(server.asked, 1);
}

/* Who asks for a domain's hosts and who asks for its addresses hear the same, each in their words.
 */
static void test_a_route_waits_for_addresses(void **state)
{
    (void)state;
    desk_ask(&desk, &client.customer, 1, DNS_ROUTE, VIEW("empty.test"));
    desk_ask(&desk, &client.customer, 2, DNS_ADDRESSES, VIEW("empty.test"));
    desk_ask(&desk, &client.customer, 3, DNS_ADDRESSES, VIEW("empty.test"));
    turn_until(3);
    assert_int_equal(server.asked, 3);
    if (client.id == 1)
        assert_non_null(strstr(client.words, "neither"));
    else
        assert_non_null(strstr(client.words, "no address"));
}

static void test_who_is_gone_hears_nothing(void **state)
{
    struct customer other;

    (void)state;
    customer_init(&other, true);
    other.answer = NULL;
    desk_ask(&desk, &other, 1, DNS_ROUTE, VIEW("hosts.test"));
    desk_ask(&desk, &other, 2, DNS_ADDRESSES, VIEW("host.test"));
    desk_ask(&desk, &client.customer, 3, DNS_ROUTE, VIEW("hosts.test"));
    desk_ask(&desk, &client.customer, 4, DNS_ADDRESSES, VIEW("host.test"));
    desk_forget(&other);
    turn_until(2);
}

/* Somebody has many questions that no name server answers. */
static void flood(struct customer *c, unsigned count, enum dns_question kind)
{
    char room[32];

    for (unsigned i = 0; i < count; i++) {
        snprintf(room, sizeof(room), "silent%u.test", i);
        desk_ask(&desk, c, i, kind, view_of(room));
    }
}

static void ignore(struct customer *c, uint64_t id, const struct finding *f)
{
    (void)c;
    (void)id;
    (void)f;
}

static struct customer stranger;

static void let_in_a_stranger(void)
{
    customer_init(&stranger, false);
    stranger.answer = ignore;
}

static void finish_all(void)
{
    for (int i = 0; i < 1000 && desk.questions.count > 0; i++)
        assert_int_equal(loop_turn(&loop, 1000), 0);
}

static void test_others_leave_room_for_what_is_urgent(void **state)
{
    (void)state;
    let_in_a_stranger();
    flood(&stranger, 300, DNS_LISTED);
    desk_ask(&desk, &client.customer, 1, DNS_LISTED, VIEW("urgent.test"));
    turn_until(1);
    assert_int_equal(server.urgent_at, 101);
    desk_forget(&stranger);
    finish_all();
}

/* Two want to know it, one of whom is in a hurry. */
static void test_what_becomes_urgent_goes_ahead(void **state)
{
    (void)state;
    let_in_a_stranger();
    flood(&stranger, 300, DNS_LISTED);
    desk_ask(&desk, &stranger, 1000, DNS_LISTED, VIEW("urgent.test"));
    desk_ask(&desk, &client.customer, 1, DNS_LISTED, VIEW("urgent.test"));
    turn_until(1);
    assert_int_equal(server.urgent_at, 101);
    desk_forget(&stranger);
    finish_all();
}

static void test_others_have_half_of_the_desk(void **state)
{
    (void)state;
    let_in_a_stranger();
    flood(&stranger, DESK_OTHERS_MAX + 10, DNS_LISTED);
    assert_int_equal(desk.questions.count, DESK_OTHERS_MAX);
    desk_ask(&desk, &client.customer, 1, DNS_LISTED, VIEW("host.test"));
    turn_until(1);
    assert_int_equal(client.result, DNS_OK);
    desk_forget(&stranger);
    finish_all();
}

/* 100 are under way; what waits is gone with those who wait for it. */
static void test_what_nobody_awaits_is_not_asked(void **state)
{
    (void)state;
    let_in_a_stranger();
    flood(&stranger, 300, DNS_LISTED);
    desk_ask(&desk, &client.customer, 1, DNS_LISTED, VIEW("silent200.test"));
    desk_forget_one(&stranger, 299);
    desk_forget_one(&stranger, 299);
    assert_int_equal(desk.questions.count, 299);
    desk_forget(&stranger);
    assert_int_equal(desk.questions.count, 101);
    turn_until(1);
    finish_all();
    assert_int_equal(server.asked, 101);
    assert_int_equal(desk.others_count, 0);
}

/* ---- silence ---- */

enum { PATIENCE_MS = 3600 * 1000 };

static struct resolver *patient_resolver(void)
{
    struct dns_settings patient = settings;
    struct resolver *r;
    struct error err;

    patient.timeout_ms = PATIENCE_MS;
    r = resolver_new(&loop, &patient, &err);
    assert_non_null(r);
    return r;
}

static void on_packet(struct resolver_query *q, struct view packet, const char *failure)
{
    (void)q;
    (void)packet;
    assert_null(failure);
    client.answered++;
}

/* As many as there are places, and one that has to wait for one. */
static void test_what_is_slow_takes_no_room(void **state)
{
    static struct resolver_query queries[LINES_PLACES + 1];
    static char names[LINES_PLACES][32];
    struct resolver *r = patient_resolver();

    (void)state;
    for (unsigned i = 0; i <= LINES_PLACES; i++) {
        queries[i] = (struct resolver_query){ .answered = on_packet, .line = LINE_ROUTES };
        if (i < LINES_PLACES)
            snprintf(names[i], sizeof(names[i]), "silent%u.test", i);
        resolver_ask(r, &queries[i], i < LINES_PLACES ? view_of(names[i]) : VIEW("urgent.test"),
                     ANSWER_A);
    }
    assert_int_equal(queries[LINES_PLACES].place.state, LINE_WAITING);
    turn_until(1);
    assert_int_equal(server.urgent_at, LINES_PLACES + 1);
}

/* Time passes for us, but not for c-ares, which would wait for an hour. Comes last: the clock
 * stands still from here on. */
static int open_patient_desk(void **state)
{
    clock_freeze(0);
    open_desk(state);
    desk.resolver = patient_resolver();
    return 0;
}

static int close_patient_desk(void **state)
{
    (void)state;
    cache_release(&desk.cache);
    table_release(&desk.questions);
    return 0;
}

static void pass_turns(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        clock_advance(LINES_FRESH_MS);
        assert_int_equal(loop_turn(&loop, 0), 0);
    }
}

static struct customer queue;
enum { QUEUE_WINDOW_MS = 100, QUEUE_YOUNG_MAX = 80, QUEUE_ASKED_MAX = 12000 }; /* queue/mx.h */

/* Whose hosts are known needs their addresses; who comes last waits for its turn, and not for the
 * others to be given up. */
static void test_silent_domains_hold_nobody_up(void **state)
{
    enum { SILENT = 9500, TURNS = SILENT / LINES_PLACES };

    (void)state;
    customer_init(&queue, true);
    queue.answer = ignore;
    flood(&queue, SILENT, DNS_ROUTE);
    desk_ask(&desk, &client.customer, 1, DNS_ADDRESSES, VIEW("host.test"));
    turn_until(1);
    assert_int_equal(client.result, DNS_OK);
    assert_true(server.asked <= 2 * LINES_PLACES);
    desk_ask(&desk, &client.customer, 2, DNS_ROUTE, VIEW("hosts.test"));
    pass_turns(TURNS + 10);
    assert_int_equal(client.answered, 2);
    assert_int_equal(client.result, DNS_OK);
    assert_int_equal(desk.questions.count, SILENT); /* they are waited for */
}

/* It looks ahead, at domains without MX records and with silent addresses. */
static void ask_for_bare(unsigned first, unsigned count)
{
    char room[32];

    for (unsigned i = first; i < first + count; i++) {
        snprintf(room, sizeof(room), "bare%u.test", i);
        desk_ask(&desk, &queue, i, DNS_ROUTE, view_of(room));
    }
}

/* All is said that is to be said now. */
static void settle(void)
{
    unsigned before;

    do {
        before = server.asked;
        for (int i = 0; i < 10; i++)
            assert_int_equal(loop_turn(&loop, 0), 0);
    } while (server.asked > before);
}

static int open_ahead(void **state)
{
    customer_init(&queue, true);
    queue.answer = ignore;
    return open_patient_desk(state);
}

/* What waits must not be asked in the tests that follow. */
static int close_ahead(void **state)
{
    desk_forget(&queue);
    return close_patient_desk(state);
}

/* As many as the queue asks about at once; no time passes. */
static void test_mail_on_its_way_goes_before_what_is_ahead(void **state)
{
    (void)state;
    for (unsigned i = 0; i < QUEUE_ASKED_MAX; i += QUEUE_YOUNG_MAX) {
        ask_for_bare(i, QUEUE_YOUNG_MAX);
        settle();
    }
    desk_ask(&desk, &queue, QUEUE_ASKED_MAX, DNS_ROUTE, VIEW("host1.test"));
    settle();
    assert_int_equal(desk.questions.count, 2 * (QUEUE_ASKED_MAX + 1)); /* in line */
    desk_ask(&desk, &client.customer, 1, DNS_ADDRESSES, VIEW("host.test"));
    turn_until(1);
    assert_int_equal(client.result, DNS_OK);
    desk_ask(&desk, &client.customer, 2, DNS_ADDRESSES, VIEW("host1.test")); /* joins */
    turn_until(2);
    assert_int_equal(client.result, DNS_OK);
}

/* The queue asks about as many in a time as it may. */
static void test_what_is_ahead_keeps_up(void **state)
{
    enum { WINDOWS = 60 };

    (void)state;
    for (unsigned i = 0; i < WINDOWS; i++) {
        clock_advance(QUEUE_WINDOW_MS);
        settle();
        ask_for_bare(i * QUEUE_YOUNG_MAX, QUEUE_YOUNG_MAX);
        settle();
    }
    assert_int_equal(server.asked, 3 * WINDOWS * QUEUE_YOUNG_MAX);
    desk_ask(&desk, &client.customer, 1, DNS_ROUTE, VIEW("host.test"));
    turn_until(1);
    assert_true(client.implicit);
}

/* So many cannot be waited for: those that were asked first are given up, and no others. */
static void test_patience_ends_with_room(void **state)
{
    enum { FLIGHT_MAX = RESOLVER_ROUNDS * RESOLVER_ROUND_MAX, SILENT = FLIGHT_MAX + 1000 };

    (void)state;
    flood(&client.customer, SILENT, DNS_ROUTE);
    pass_turns(FLIGHT_MAX / LINES_PLACES - 10);
    assert_int_equal(client.answered, 0);
    pass_turns(SILENT / LINES_PLACES);
    assert_int_equal(client.answered, RESOLVER_ROUND_MAX);
    assert_int_equal(client.id, RESOLVER_ROUND_MAX - 1);
    assert_int_equal(client.result, DNS_TEMPORARY);
    assert_non_null(strstr(client.words, "in time"));
    desk_ask(&desk, &client.customer, SILENT, DNS_ROUTE, VIEW("hosts.test"));
    turn_until(RESOLVER_ROUND_MAX + 1);
    assert_int_equal(client.id, SILENT);
    assert_int_equal(client.result, DNS_OK);
}

int main(void)
{
#define DESK_TEST(test) cmocka_unit_test_setup_teardown(test, open_desk, close_desk)
#define PATIENT_TEST(test)                                                                         \
    cmocka_unit_test_setup_teardown(test, open_patient_desk, close_patient_desk)
    const struct CMUnitTest tests[] = {
        DESK_TEST(test_questions),
        DESK_TEST(test_equal_questions_are_asked_once),
        DESK_TEST(test_a_route_waits_for_addresses),
        DESK_TEST(test_who_is_gone_hears_nothing),
        DESK_TEST(test_others_leave_room_for_what_is_urgent),
        DESK_TEST(test_what_becomes_urgent_goes_ahead),
        DESK_TEST(test_what_is_slow_takes_no_room),
        DESK_TEST(test_others_have_half_of_the_desk),
        DESK_TEST(test_what_nobody_awaits_is_not_asked),
        PATIENT_TEST(test_silent_domains_hold_nobody_up),
        cmocka_unit_test_setup_teardown(test_mail_on_its_way_goes_before_what_is_ahead, open_ahead,
                                        close_ahead),
        cmocka_unit_test_setup_teardown(test_what_is_ahead_keeps_up, open_ahead, close_ahead),
        PATIENT_TEST(test_patience_ends_with_room),
    };

    return cmocka_run_group_tests_name("desk", tests, open_all, NULL);
}
