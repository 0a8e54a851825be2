#include "delivery/route.h"

#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <string.h>

#define LIMITS .concurrency = 20, .hosts = 5, .addresses = 8, .port = 25

/* `world` has an answer a line: "NAME mx 10 HOST 20 HOST", "NAME a ADDRESS ADDRESS", and for what
 * is not there "NAME nxdomain|nohosts|null|servfail|malformed". Every address that is tried fails.
 * The transcript tells what was asked and tried. */
static const struct {
    const char *name, *world, *transcript;
    bool fixed;         /* a configured host, no domain */
    const char *target; /* default b.test */
    bool loopback;
    uint64_t hosts, addresses; /* defaults 5, 8 */
    uint8_t family, second;
} cases[] = {
    { .name = "two hosts, in order, one after the other",
      .world = "b.test mx 10 mx1.test 20 mx2.test\nmx1.test a 2001:db8::1 192.0.2.1\n"
               "mx2.test a 192.0.2.2",
      .transcript = "mx b.test\na mx1.test\nmx1.test [2001:db8::1]:25\nmx1.test 192.0.2.1:25\n"
                    "a mx2.test\nmx2.test 192.0.2.2:25\nend" },
    { .name = "a family that failed before comes second",
      .world = "b.test mx 10 mx1.test\nmx1.test a 2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2",
      .second = AF_INET6,
      .transcript = "mx b.test\na mx1.test\nmx1.test 192.0.2.1:25\nmx1.test 192.0.2.2:25\n"
                    "mx1.test [2001:db8::1]:25\nmx1.test [2001:db8::2]:25\nend" },
    { .name = "one family alone",
      .world = "b.test mx 10 mx1.test 20 mx2.test\nmx1.test a 2001:db8::1 192.0.2.1\n"
               "mx2.test a 2001:db8::2",
      .family = AF_INET,
      .transcript = "mx b.test\na mx1.test\nmx1.test 192.0.2.1:25\na mx2.test\nend" },
    { .name = "implicit MX",
      .world = "b.test implicit\nb.test a 192.0.2.1",
      .transcript = "mx b.test\na b.test\nb.test 192.0.2.1:25\nend" },
    { .name = "no such domain",
      .world = "b.test nxdomain",
      .transcript = "mx b.test\nend failed 5.1.2 the domain does not exist (b.test) while looking "
                    "up the mail hosts" },
    { .name = "no mail host",
      .world = "b.test nohosts",
      .transcript = "mx b.test\nend failed 5.4.4 the domain has no mail host and no address "
                    "(b.test) while looking up the mail hosts" },
    { .name = "null MX",
      .world = "b.test null",
      .transcript = "mx b.test\nend failed 5.1.10 the domain takes no mail (null MX) (b.test) "
                    "while looking up the mail hosts" },
    { .name = "server failure",
      .world = "b.test servfail",
      .transcript = "mx b.test\nend deferred 4.4.3 the mail hosts cannot be looked up (words) "
                    "while looking up the mail hosts" },
    { .name = "malformed answer",
      .world = "b.test malformed",
      .transcript = "mx b.test\nend deferred 4.4.3 the mail hosts cannot be looked up (words) "
                    "while looking up the mail hosts" },
    { .name = "a dangling host is passed over",
      .world = "b.test mx 10 mx1.test 20 mx2.test\nmx1.test nxdomain\nmx2.test a 192.0.2.2",
      .transcript = "mx b.test\na mx1.test\na mx2.test\nmx2.test 192.0.2.2:25\nend" },
    { .name = "only dangling hosts",
      .world = "b.test mx 10 mx1.test 20 mx2.test\nmx1.test nxdomain\nmx2.test nohosts",
      .transcript = "mx b.test\na mx1.test\na mx2.test\nend failed 5.4.4 no mail host has an "
                    "address that can be used (b.test) while looking up the address" },
    { .name = "dangling, or not to be looked up: later",
      .world = "b.test mx 10 mx1.test 20 mx2.test\nmx1.test servfail\nmx2.test nxdomain",
      .transcript = "mx b.test\na mx1.test\na mx2.test\nend deferred 4.4.3 a mail host cannot be "
                    "looked up (words) while looking up the address" },
    { .name = "addresses that nobody may use",
      .world = "b.test mx 10 mx1.test\nmx1.test a 0.0.0.0 255.255.255.255 224.0.0.1 169.254.1.1 "
               "fe80::1 :: ff02::1 127.0.0.1 ::1",
      .transcript = "mx b.test\na mx1.test\nend failed 5.4.4 no mail host has an address that can "
                    "be used (b.test) while looking up the address" },
    { .name = "no address of the source's family, which may change",
      .world = "b.test mx 10 mx1.test 20 me.test\nmx1.test a 2001:db8::1",
      .family = AF_INET,
      .transcript = "mx b.test\na mx1.test\nend deferred 4.4.4 none of the mail hosts that were "
                    "looked up can be used (b.test) while looking up the address" },
    { .name = "loopback is passed over",
      .world = "b.test mx 10 mx1.test 20 mx2.test\nmx1.test a 127.0.0.1\nmx2.test a 192.0.2.2",
      .transcript = "mx b.test\na mx1.test\na mx2.test\nmx2.test 192.0.2.2:25\nend" },
    { .name = "loopback and others in IPv6 clothes are what they are",
      .world = "b.test mx 10 mx1.test\nmx1.test a ::ffff:127.0.0.1 ::ffff:169.254.1.1 "
               "::ffff:192.0.2.1",
      .transcript = "mx b.test\na mx1.test\nmx1.test 192.0.2.1:25\nend" },
    { .name = "loopback, allowed",
      .world = "b.test mx 10 mx1.test\nmx1.test a 127.0.0.9",
      .loopback = true,
      .transcript = "mx b.test\na mx1.test\nmx1.test 127.0.0.9:25\nend" },
    { .name = "we are the best host",
      .world = "b.test mx 10 me.test 20 mx2.test",
      .transcript = "mx b.test\nend failed 5.4.6 mail for this domain comes back to this host "
                    "(b.test) while looking up the address" },
    { .name = "we are the second: only the better one",
      .world = "b.test mx 10 mx1.test 20 ME.test 20 mx2.test 30 mx3.test\nmx1.test a 192.0.2.1",
      .transcript = "mx b.test\na mx1.test\nmx1.test 192.0.2.1:25\nend" },
    { .name = "we are the second by the name of a listener",
      .world = "b.test mx 10 mx1.test 20 mx.me.test 30 mx3.test\nmx1.test a 192.0.2.1",
      .transcript = "mx b.test\na mx1.test\nmx1.test 192.0.2.1:25\nend" },
    { .name = "we are the second by an address that a router translates",
      .world = "b.test mx 10 mx1.test 20 nat.test 30 mx3.test\nmx1.test a 192.0.2.1\n"
               "nat.test a 192.0.2.98 192.0.2.99",
      .transcript = "mx b.test\na mx1.test\nmx1.test 192.0.2.1:25\na nat.test\nend" },
    { .name = "a configured host may be ours by such an address",
      .fixed = true,
      .target = "nat.test",
      .world = "nat.test a 192.0.2.99",
      .transcript = "a nat.test\nnat.test 192.0.2.99:25\nend" },
    { .name = "equal to us by name: dropped",
      .world = "b.test mx 10 mx1.test 10 me.test",
      .transcript = "mx b.test\nend failed 5.4.6 mail for this domain comes back to this host "
                    "(b.test) while looking up the address" },
    { .name = "our own domain without MX",
      .target = "me.test",
      .world = "me.test implicit",
      .transcript = "mx me.test\nend failed 5.4.6 mail for this domain comes back to this host "
                    "(me.test) while looking up the address" },
    { .name = "we listen there: only what is better",
      .world = "b.test mx 10 mx1.test 20 mx2.test 30 mx3.test\nmx1.test a 127.0.0.9\n"
               "mx2.test a 127.0.0.1",
      .loopback = true,
      .transcript = "mx b.test\na mx1.test\nmx1.test 127.0.0.9:25\na mx2.test\nend" },
    { .name = "the better one is not known, the other is us: later",
      .world = "b.test mx 10 mx1.test 20 mx2.test\nmx1.test servfail\nmx2.test a 127.0.0.1",
      .loopback = true,
      .transcript = "mx b.test\na mx1.test\na mx2.test\nend deferred 4.4.3 a mail host cannot be "
                    "looked up (words) while looking up the address" },
    { .name = "equal ones are looked at before the first is tried, as many as may be tried",
      .world = "b.test mx 10 a.test 10 b.test 10 c.test 20 d.test\na.test a 192.0.2.1\n"
               "b.test nxdomain\nc.test a 127.0.0.1",
      .loopback = true,
      .hosts = 2,
      .transcript = "mx b.test\na a.test\na b.test\na.test 192.0.2.1:25\na b.test\na c.test\nend" },
    { .name = "no more hosts than allowed",
      .world = "b.test mx 1 a.test 2 b.test 3 c.test\na.test nxdomain\nb.test a 192.0.2.2\n"
               "c.test a 192.0.2.3",
      .hosts = 1,
      .transcript = "mx b.test\na a.test\na b.test\nb.test 192.0.2.2:25\nend" },
    { .name = "no more addresses than allowed",
      .world = "b.test mx 1 a.test 2 c.test\na.test a 192.0.2.1 192.0.2.2\n"
               "c.test a 192.0.2.3 192.0.2.4",
      .addresses = 3,
      .transcript = "mx b.test\na a.test\na.test 192.0.2.1:25\na.test 192.0.2.2:25\na c.test\n"
                    "c.test 192.0.2.3:25\nend" },
    { .name = "configured host",
      .fixed = true,
      .target = "hub.test",
      .world = "hub.test a 127.0.0.1 192.0.2.1",
      .transcript = "a hub.test\nhub.test 127.0.0.1:25\nhub.test 192.0.2.1:25\nend" },
    { .name = "configured address",
      .fixed = true,
      .target = "2001:db8::9",
      .world = "",
      .transcript = "2001:db8::9 [2001:db8::9]:25\nend" },
    { .name = "configured host is missing: a mistake, not a reason to fail",
      .fixed = true,
      .target = "hub.test",
      .world = "hub.test nxdomain",
      .transcript = "a hub.test\nend deferred 4.4.4 the configured host is not found (hub.test) "
                    "while looking up the address" },
    { .name = "configured host has no usable address",
      .fixed = true,
      .target = "hub.test",
      .world = "hub.test a 0.0.0.0",
      .transcript = "a hub.test\nend deferred 4.4.4 the configured host has no address that can be "
                    "used (hub.test) while looking up the address" },
};

/* ---- the world ---- */

static enum dns_result result_of(struct view word)
{
    static const struct {
        struct view word;
        enum dns_result result;
    } words[] = {
        { VIEW_INIT("nxdomain"), DNS_NO_DOMAIN },  { VIEW_INIT("nohosts"), DNS_NO_HOSTS },
        { VIEW_INIT("null"), DNS_NULL_MX },        { VIEW_INIT("servfail"), DNS_TEMPORARY },
        { VIEW_INIT("malformed"), DNS_MALFORMED },
    };

    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (view_equal(words[i].word, word))
            return words[i].result;
    }
    return DNS_OK;
}

/* As it stands in a record: what is mapped stays so. */
static void take_address(struct view text, struct dns_item *item)
{
    char room[INET6_ADDRSTRLEN];

    item->family = view_has(text, ':') ? AF_INET6 : AF_INET;
    (void)snprintf(room, sizeof(room), "%.*s", VIEW_ARG(text));
    assert_int_equal(inet_pton(item->family, room, item->address), 1);
}

static void put_items(enum dns_question kind, struct view words, struct buf *items)
{
    while (words.len > 0) {
        struct dns_item item = { .family = 0 };
        uint64_t preference;

        if (kind == DNS_ROUTE) {
            assert_true(view_to_u64(view_take_word(&words), UINT16_MAX, &preference));
            item.preference = (uint16_t)preference;
            item.host = view_take_word(&words);
        } else {
            take_address(view_take_word(&words), &item);
        }
        assert_true(dns_items_put(items, kind, &item));
    }
}

/* A line answers a question if it has the name, and the records that were asked for or a refusal.
 */
static bool answers(struct view line, const struct route *r, struct view *word, struct view *rest)
{
    bool a;

    if (!view_equal(view_take_word(&line), r->name))
        return false;
    *word = view_take_word(&line);
    *rest = line;
    a = view_equal(*word, VIEW("a"));
    return r->question == DNS_ADDRESSES
               ? !view_equal(*word, VIEW("mx")) && !view_equal(*word, VIEW("implicit"))
               : !a;
}

static void answer(struct route *r, const char *name, struct view world)
{
    static char room[8192];
    struct buf items = BUF_ON_ARRAY(room);
    struct message_dns_answer m = { .words = VIEW_INIT("words") };
    struct view line, word = VIEW_EMPTY, rest = VIEW_EMPTY;
    bool found = false;

    while (!found && view_take_line(&world, &line))
        found = answers(line, r, &word, &rest);
    check(name, found);
    m.result = result_of(word);
    m.implicit = view_equal(word, VIEW("implicit"));
    if (m.implicit) {
        struct dns_item item = { .host = r->name };

        assert_true(dns_items_put(&items, DNS_ROUTE, &item));
    } else if (m.result == DNS_OK) {
        put_items(r->question, rest, &items);
    }
    m.items = buf_view(&items);
    route_answer(r, &m);
}

static void note_end(const struct route *r, struct buf *said)
{
    buf_put(said, VIEW("end"));
    if (r->tried > 0)
        return;
    buf_printf(said, " %s ", outcome_class_name(r->end.class));
    enhanced_print(r->end.enhanced, said);
    buf_printf(said, " %.*s while %.*s", VIEW_ARG(r->end.text), VIEW_ARG(r->end.doing));
    assert_int_equal(r->end.scope, r->mx && r->host_count == 0 && !r->ends_here
                                       ? SCOPE_DOMAIN
                                       : SCOPE_DESTINATION);
}

static void walk(struct route *r, const char *name, struct view world, struct buf *said)
{
    for (;;) {
        switch (route_next(r)) {
        case ROUTE_ASK:
            buf_printf(said, "%s %.*s\n", r->question == DNS_ROUTE ? "mx" : "a", VIEW_ARG(r->name));
            answer(r, name, world);
            break;
        case ROUTE_TRY:
            buf_printf(said, "%.*s ", VIEW_ARG(r->host));
            net_print_address_port(&r->address, said);
            buf_put_byte(said, '\n');
            break;
        case ROUTE_END:
            note_end(r, said);
            return;
        }
    }
}

static void goes_its_way(void **state)
{
    struct listener_settings listener = { .hostname = VIEW_INIT("mx.me.test") };
    struct net_address outside;
    char room[4096];

    (void)state;
    assert_true(net_parse_address(VIEW("127.0.0.1"), &listener.address));
    assert_true(net_parse_address(VIEW("192.0.2.99"), &outside));
    listener.address.port = 25;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct settings s = { .hostname = VIEW_INIT("me.test"),
                              .listeners = &listener,
                              .listener_count = 1,
                              .delivery = { LIMITS, .loopback = cases[i].loopback, .own = &outside,
                                            .own_count = 1 } };
        struct view target = view_of(cases[i].target != NULL ? cases[i].target : "b.test");
        struct buf said = BUF_ON_ARRAY(room);
        struct route r;

        if (cases[i].hosts > 0)
            s.delivery.hosts = cases[i].hosts;
        if (cases[i].addresses > 0)
            s.delivery.addresses = cases[i].addresses;
        route_init(&r, &s, !cases[i].fixed, target, 25);
        r.family = cases[i].family;
        r.second = cases[i].second;
        walk(&r, cases[i].name, view_of(cases[i].world), &said);
        check_view(cases[i].name, buf_view(&said), view_of(cases[i].transcript));
        route_release(&r);
    }
}

/* An address of this machine that is not loopback; false: there is none. */
static bool find_own(struct net_address *a)
{
    struct ifaddrs *all;
    bool found = false;

    if (getifaddrs(&all) < 0)
        return false;
    for (struct ifaddrs *i = all; i != NULL && !found; i = i->ifa_next) {
        struct sockaddr_storage address = { 0 };

        if (i->ifa_addr == NULL || i->ifa_addr->sa_family != AF_INET)
            continue;
        memcpy(&address, i->ifa_addr, sizeof(struct sockaddr_in));
        found = net_from_sockaddr(&address, a) && !net_is_loopback(a) && !net_is_unusable(a);
    }
    freeifaddrs(all);
    return found;
}

/* mx2.test is this machine. */
static void knows_its_own_address(void **state)
{
    static const struct {
        const char *name, *hosts, *transcript;
    } sets[] = {
        { "the second", "10 mx1.test 20 mx2.test 20 mx3.test",
          "mx b.test\na mx1.test\nmx1.test 192.0.2.1:25\na mx2.test\nend" },
        { "equal to one that comes first", "10 mx1.test 20 mx3.test 20 mx2.test 30 mx4.test",
          "mx b.test\na mx1.test\nmx1.test 192.0.2.1:25\na mx3.test\na mx2.test\nend" },
        { "equal to the best", "10 mx1.test 10 mx4.test 10 mx2.test",
          "mx b.test\na mx1.test\na mx4.test\na mx2.test\nend failed 5.4.6 mail for this domain "
          "comes back to this host (b.test) while looking up the address" },
    };
    struct settings s = { .hostname = VIEW_INIT("me.test"), .delivery = { LIMITS } };
    char world_room[256], said_room[512];
    struct net_address own;

    (void)state;
    if (net_load_own() < 0 || !find_own(&own))
        skip();
    for (size_t i = 0; i < COUNT_OF(sets); i++) {
        struct buf world = BUF_ON_ARRAY(world_room), said = BUF_ON_ARRAY(said_room);
        struct route r;

        buf_printf(&world,
                   "b.test mx %s\nmx1.test a 192.0.2.1\nmx3.test a 192.0.2.3\n"
                   "mx4.test nxdomain\nmx2.test a 192.0.2.2 ",
                   sets[i].hosts);
        net_print_address(&own, &world);
        route_init(&r, &s, true, VIEW("b.test"), 25);
        walk(&r, sets[i].name, buf_view(&world), &said);
        check_view(sets[i].name, buf_view(&said), view_of(sets[i].transcript));
        route_release(&r);
    }
}

/* A thousand hosts and addresses: what is kept has a limit. */
static void keeps_its_limits(void **state)
{
    struct settings s = { .hostname = VIEW_INIT("me.test"), .delivery = { LIMITS } };
    static char hosts_room[65536], addresses_room[65536];
    struct buf hosts = BUF_ON_ARRAY(hosts_room), addresses = BUF_ON_ARRAY(addresses_room);
    char name_room[256];
    struct message_dns_answer m = { .result = DNS_OK };
    struct route r;
    size_t asked = 0;

    (void)state;
    s.delivery.hosts = 20;
    s.delivery.addresses = 1000;
    for (unsigned i = 0; i < 200; i++) {
        struct dns_item item = { .preference = (uint16_t)i, .family = AF_INET, .address = { 192 } };
        struct buf name = BUF_ON_ARRAY(name_room);

        buf_printf(&name, "%0250u.test", i);
        item.host = buf_view(&name);
        item.address[3] = (uint8_t)i;
        assert_true(dns_items_put(&hosts, DNS_ROUTE, &item));
        assert_true(dns_items_put(&addresses, DNS_ADDRESSES, &item));
    }
    route_init(&r, &s, true, VIEW("b.test"), 25);
    for (enum route_need need = route_next(&r); need != ROUTE_END; need = route_next(&r)) {
        if (need != ROUTE_ASK)
            continue;
        m.items = buf_view(r.question == DNS_ROUTE ? &hosts : &addresses);
        route_answer(&r, &m);
        asked++;
    }
    assert_int_equal(r.host_count, ROUTE_HOSTS_MAX);
    assert_int_equal(asked, 21);
    assert_int_equal(r.tried, 20 * ROUTE_ADDRESSES_MAX);
    route_release(&r);
}

/* Behind those that are kept of an answer there may be some that exist. */
static void does_not_fail_for_hosts_that_it_has_not_seen(void **state)
{
    static char hosts_room[4096];
    const struct settings s = { .delivery = { LIMITS } };

    (void)state;
    for (unsigned count = ROUTE_HOSTS_MAX - 1; count <= ROUTE_HOSTS_MAX + 1; count++) {
        struct buf hosts = BUF_ON_ARRAY(hosts_room);
        struct message_dns_answer m = { .result = DNS_OK };
        struct route r;

        for (unsigned i = 0; i < count; i++) {
            struct dns_item item = { .preference = (uint16_t)i, .host = VIEW("gone.test") };

            assert_true(dns_items_put(&hosts, DNS_ROUTE, &item));
        }
        m.items = buf_view(&hosts);
        route_init(&r, &s, true, VIEW("b.test"), 25);
        while (route_next(&r) != ROUTE_END) {
            route_answer(&r, &m);
            m = (struct message_dns_answer){ .result = DNS_NO_DOMAIN };
        }
        assert_int_equal(r.end.class, count < ROUTE_HOSTS_MAX ? OUTCOME_FAILED : OUTCOME_DEFERRED);
        route_release(&r);
    }
}

static void turns_from_a_family(void **state)
{
    struct net_address addresses[] = {
        { .family = AF_INET6, .bytes = { 1 } },
        { .family = AF_INET6, .bytes = { 2 } },
        { .family = AF_INET, .bytes = { 3 } },
    };
    struct route r = { .addresses = addresses, .address_count = 3, .address_at = 1 };

    (void)state;
    assert_true(route_turn_from(&r, AF_INET6));
    assert_int_equal(r.second, AF_INET6);
    assert_int_equal(addresses[0].bytes[0], 1); /* behind us */
    assert_int_equal(addresses[1].bytes[0], 3);
    assert_int_equal(addresses[2].bytes[0], 2);
    r.address_at = 2;
    assert_false(route_turn_from(&r, AF_INET6));
    r.address_at = 3;
    assert_false(route_turn_from(&r, AF_INET6));
}

static void gives_another_address_beside_one(void **state)
{
    static const struct settings settings = { .delivery = { .addresses = 3 } };
    struct net_address addresses[] = {
        { .family = AF_INET6, .bytes = { 1 } },
        { .family = AF_INET6, .bytes = { 2 } },
        { .family = AF_INET, .bytes = { 3 } },
        { .family = AF_INET, .bytes = { 4 } },
    };
    struct route_host host = { .preference = 10 };
    struct route r = { .settings = &settings,
                       .addresses = addresses,
                       .address_count = 4,
                       .address_at = 1,
                       .hosts = &host,
                       .host_count = 1,
                       .host_at = 1,
                       .routed = true,
                       .tried = 1 };

    (void)state;
    assert_true(route_next_beside(&r, AF_INET6));
    assert_int_equal(r.address.bytes[0], 3);
    assert_int_equal(r.second, 0); /* nothing is known of the family yet */
    route_put_back(&r);
    assert_int_equal(route_next(&r), ROUTE_TRY);
    assert_int_equal(r.address.bytes[0], 3);
    assert_true(route_next_beside(&r, AF_INET));
    assert_int_equal(r.address.bytes[0], 2);
    assert_false(route_has_more(&r)); /* three were tried */
    assert_false(route_next_beside(&r, AF_INET));
}

static void tells_who_is_blamed(void **state)
{
    static const struct {
        unsigned code;
        struct enhanced enhanced;
        const char *text;
        bool ipv6;
    } replies[] = {
        { 550, { 5, 7, 25 }, "no", true },
        { 450, { 4, 7, 25 }, "no", true },
        { 550, { 5, 7, 1 }, "does not meet IPv6 sending guidelines", true },
        { 550, { 5, 7, 1 }, "there is no ptr record", true },
        { 554, { 5, 0, 0 }, "Reverse DNS is missing", true },
        { 550, { 5, 7, 1 }, "relaying denied", false },
        { 550, { 5, 7, 26 }, "unauthenticated", false },
        { 550, { 5, 1, 1 }, "no such user: ptr", false },
        { 250, { 2, 7, 25 }, "PTR", false },
        { 0, { 5, 7, 25 }, "PTR", false },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(replies); i++) {
        struct outcome o = { .class = replies[i].code == 250 ? OUTCOME_DELIVERED : OUTCOME_FAILED,
                             .code = replies[i].code,
                             .enhanced = replies[i].enhanced,
                             .text = view_of(replies[i].text) };

        check(replies[i].text, route_blames_ipv6(&o) == replies[i].ipv6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_its_way),
        cmocka_unit_test(knows_its_own_address),
        cmocka_unit_test(keeps_its_limits),
        cmocka_unit_test(does_not_fail_for_hosts_that_it_has_not_seen),
        cmocka_unit_test(turns_from_a_family),
        cmocka_unit_test(gives_another_address_beside_one),
        cmocka_unit_test(tells_who_is_blamed),
    };

    return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
