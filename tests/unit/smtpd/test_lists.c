/* Lists, with a dns that says what a case wants, in the order of the lists. */
#include "smtpd/lists.h"

#include "io/clock.h"
#include "tests/unit/unit.h"

#include <string.h>

enum { LISTS = 3, TURNS = 20 };

static const struct net_block some[] = { { { .family = AF_INET, .bytes = { 127, 0, 0, 4 } }, 30 } };
static struct list_settings all[LISTS] = {
    { .zone = VIEW_INIT("one.test") },
    { .zone = VIEW_INIT("some.test"), .answers = { some, 1 } },
    { .zone = VIEW_INIT("allow.test"), .allow = true },
};
static struct strangers_settings settings = { .lists = all,
                                              .list_count = LISTS,
                                              .list_timeout_ms = 5000 };
static struct loop loop;
static struct asker asker;
static struct lists lists;
static struct peer dns;

static struct {
    char name[128];
    uint64_t question;
} asked[16];
static unsigned asked_count, decided;
static const struct list_settings *decided_by;
static bool decided_surely;

/* clang-format off */
static const struct {
    const char *name;
    const char *answers[LISTS]; /* NULL: none in time; "": not there; "-": SERVFAIL */
    const char *by;             /* "": goes on */
    bool sure;                  /* of the list that blocks it */
} cases[] = {
    { "on none",              { "", "", "" },                        "", true },
    { "on one",               { "127.0.0.9", "", "" },               "one.test", true },
    { "allowed",              { "127.0.0.2", "127.0.0.4", "127.0.0.1" }, "", true },
    { "an answer that counts", { "", "127.0.0.5", "" },              "some.test", true },
    { "one that does not",    { "", "127.0.0.8", "" },               "", true },
    { "an address elsewhere", { "192.0.2.1", "", "" },               "", true },
    { "a complaint",          { "127.255.255.254", "", "" },         "", true },
    { "trouble",              { "-", "-", "-" },                     "", true },
    { "silence",              { NULL, NULL, NULL },                  "", true },
    { "silence of another",   { "127.0.0.2", NULL, "" },             "one.test", true },
    { "silence of who allows", { "127.0.0.2", "", NULL },            "one.test", false },
    { "trouble of who allows", { "127.0.0.2", "", "-" },             "one.test", false },
};
/* clang-format on */

static void turn(void)
{
    for (int i = 0; i < TURNS; i++)
        assert_int_equal(loop_turn(&loop, 0), 0);
}

static bool on_asked(struct peer *p, enum message type, struct view fields, int fd)
{
    struct message_dns_ask m;

    (void)p;
    (void)fd;
    if (type == MESSAGE_DNS_FORGET)
        return true;
    if (type != MESSAGE_DNS_ASK || !message_dns_ask_decode(fields, &m))
        return false;
    assert_int_equal(m.kind, DNS_LISTED);
    assert_true(asked_count < COUNT_OF(asked) && m.name.len < sizeof(asked[0].name));
    memcpy(asked[asked_count].name, m.name.ptr, m.name.len);
    asked[asked_count].name[m.name.len] = '\0';
    asked[asked_count++].question = m.question;
    return true;
}

static void on_gone(struct peer *p)
{
    (void)p;
}

/* To the question about this name. */
static void answer(const char *name, const char *text)
{
    char room[64];
    struct buf items = BUF_ON_ARRAY(room);
    struct message_dns_answer m = { .result = DNS_NO_HOSTS };
    struct net_address a;
    struct dns_item item = { .family = AF_INET };

    if (text == NULL)
        return;
    for (unsigned i = 0; i < asked_count; i++) {
        if (strcmp(asked[i].name, name) == 0)
            m.question = asked[i].question;
    }
    check(name, m.question != 0);
    if (strcmp(text, "-") == 0) {
        m.result = DNS_TEMPORARY;
    } else if (text[0] != '\0') {
        assert_true(net_parse_address(view_of(text), &a));
        memcpy(item.address, a.bytes, sizeof(item.address));
        assert_true(dns_items_put(&items, DNS_LISTED, &item));
        m.result = DNS_OK;
        m.items = buf_view(&items);
        m.item_count = 1;
    }
    peer_send_dns_answer(&dns, &m, -1);
    turn();
}

static void on_decided(struct lists_check *c, const struct list_settings *by,
                       const struct net_address *said, bool sure)
{
    assert_false(lists_pending(c));
    assert_true(by == NULL || said->family == AF_INET);
    decided++;
    decided_by = by;
    decided_surely = sure;
}

static int open_all(void **state)
{
    int fds[2];

    (void)state;
    clock_freeze(1785758400000);
    assert_int_equal(loop_init(&loop), 0);
    asker_init(&asker, &loop, SMTPD);
    dns = (struct peer){ .heard = on_asked, .gone = on_gone };
    assert_int_equal(channel_pair(fds), 0);
    assert_int_equal(peer_open(&dns, &loop, DNS, SMTPD, 0, fds[0]), 0);
    asker_connect(&asker, 0, fds[1]);
    asked_count = decided = 0;
    lists_init(&lists, &loop, &asker, &settings);
    turn();
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    lists_release(&lists);
    assert_int_equal(asker.questions.count, 0);
    peer_close(&dns);
    peer_close(&asker.dns);
    table_release(&asker.questions);
    turn();
    loop_release(&loop);
    return 0;
}

static void look_up(struct lists_check *c)
{
    struct net_address client;

    assert_true(net_parse_address(VIEW("192.0.2.7"), &client));
    *c = (struct lists_check){ .decided = on_decided };
    asked_count = decided = 0;
    lists_ask(&lists, c, &client);
    turn();
}

static void decides(void **state)
{
    struct lists_check c;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *name = cases[i].name;

        look_up(&c);
        check(name, asked_count == LISTS && lists_pending(&c));
        answer("7.2.0.192.one.test", cases[i].answers[0]);
        answer("7.2.0.192.some.test", cases[i].answers[1]);
        if (lists_pending(&c))
            answer("7.2.0.192.allow.test", cases[i].answers[2]);
        if (lists_pending(&c)) {
            clock_advance(settings.list_timeout_ms);
            turn();
        }
        check(name, decided == 1 && !lists_pending(&c));
        check(name, decided_by == NULL || decided_surely == cases[i].sure);
        check_view(name, decided_by == NULL ? VIEW_EMPTY : decided_by->zone, view_of(cases[i].by));
    }
}

static void a_client_may_go(void **state)
{
    struct lists_check c;

    (void)state;
    look_up(&c);
    lists_forget(&c);
    lists_forget(&c);
    answer("7.2.0.192.one.test", "127.0.0.2");
    assert_int_equal(decided, 0);
}

static void passes_over_who_lists_everybody(void **state)
{
    struct lists_check c;

    (void)state;
    assert_int_equal(asked_count, 2 * LISTS); /* the tests */
    answer("1.0.0.127.one.test", "127.0.0.2");
    answer("2.0.0.127.some.test", ""); /* only a warning */
    look_up(&c);
    assert_int_equal(asked_count, 2);
    lists_forget(&c);
    asked_count = 0;
    clock_advance(3600000);
    turn();
    answer("1.0.0.127.one.test", "");
    look_up(&c);
    assert_int_equal(asked_count, 3); /* again */
    lists_forget(&c);
}

int main(void)
{
#define LISTS_TEST(test) cmocka_unit_test_setup_teardown(test, open_all, close_all)
    const struct CMUnitTest tests[] = {
        LISTS_TEST(decides),
        LISTS_TEST(a_client_may_go),
        LISTS_TEST(passes_over_who_lists_everybody),
    };

    return cmocka_run_group_tests_name("smtpd/lists", tests, NULL, NULL);
}
