#include "ipc/settings.h"

#include "tests/unit/ipc/settings_text.h"

#include <stdio.h>
#include <string.h>

/* clang-format off */
#define VIA_WORDS \
    "expected smtp://HOST[:PORT], smtps://HOST[:PORT], lmtp://HOST[:PORT], lmtp:///PATH, mx, " \
    "discard, or a reply such as \"550 5.7.1 not here\""
static const struct {
    const char *name, *text, *wanted;
} mistakes[] = {
    { "a bad host", "{domain: a.test, via: \"smtp://a b\"}", "t.yaml:2:33: error: " VIA_WORDS },
    { "a bad scheme", "{domain: a.test, via: \"http://a\"}", "t.yaml:2:33: error: " VIA_WORDS },
    { "a bad port", "{domain: a.test, via: \"smtp://a:0\"}", "t.yaml:2:33: error: " VIA_WORDS },
    { "a port without a number", "{domain: a.test, via: \"smtp://a:\"}", "t.yaml:2:33: error: " VIA_WORDS },
    { "a path for SMTP", "{domain: a.test, via: \"smtp:///a\"}", "t.yaml:2:33: error: " VIA_WORDS },
    { "a reply of success", "{domain: a.test, via: 250 2.0.0 fine}", "t.yaml:2:32: error: " VIA_WORDS },
    { "a reply whose classes differ", "{domain: a.test, via: 550 4.7.1 no}", "t.yaml:2:32: error: " VIA_WORDS },
    { "a reply without words", "{domain: a.test, via: 550 5.7.1}", "t.yaml:2:32: error: " VIA_WORDS },
    { "no target", "{domain: a.test}", "t.yaml:2:10: error: via is missing: where to, or a list of which each is tried when those before cannot be reached" },
    { "a bad domain", "{domain: \"*.a\", via: \"smtp://a\"}", "t.yaml:2:20: error: expected a domain: example.net, .example.net or \"*\"" },
    { "a bad sender", "{sender: \"a@\", via: \"smtp://a\"}", "t.yaml:2:20: error: expected an address, a domain, .example.net or \"<>\"" },
    { "a bad name", "{name: a b, via: \"smtp://a\"}", "t.yaml:2:17: error: expected a name: letters, digits and . _ -" },
    { "smtps without TLS", "{domain: a.test, via: \"smtps://a\", tls: none}", "t.yaml:2:50: error: \"none\" contradicts smtps, which is TLS from the first byte" },
    { "discard and more", "{domain: a.test, via: [discard, \"smtp://a\"]}", "t.yaml:2:32: error: discard and replies stand alone: nothing is ever tried after them" },
    { "mx behind another", "{domain: a.test, via: [\"smtp://a\", mx]}", "t.yaml:2:32: error: mx comes first: what is behind it is tried when no mail host of the domain can be reached" },
    { "mx by sender, without a name", "{sender: a.test, via: mx}", "t.yaml:2:32: error: give this route a name: its mail waits apart from other mail for the same domain" },
    { "no condition", "{via: \"smtp://h\"}", "t.yaml:2:17: error: this route is never used: it has neither a domain, sender, login or tag, nor a name; for all mail write domain: \"*\"" },
    { "a bad source", "{domain: a.test, via: mx, source: 0.0.0.0}", "t.yaml:2:44: error: expected an address of this machine" },
    { "two sources of a family", "{domain: a.test, via: mx, source: [192.0.2.1, 192.0.2.2]}", "t.yaml:2:56: error: there is one of this family already" },
    { "a password for an unproved host", "{domain: a.test, via: \"smtp://h\", auth-login: me, auth-password: /p, tls: encrypt}", "t.yaml:2:56: error: a login needs \"tls: verify\": its secret is for a host that has proved its name" },
    { "a login without a secret", "{domain: a.test, via: \"smtp://h\", auth-login: me, tls: verify}", "t.yaml:2:56: error: a login needs one of auth-password, auth-token and auth-token-command" },
    { "two secrets", "{domain: a.test, via: \"smtp://h\", auth-login: me, auth-password: /p, auth-token: /t, tls: verify}", "t.yaml:2:56: error: a login needs one of auth-password, auth-token and auth-token-command" },
    { "a secret without a login", "{domain: a.test, via: \"smtp://h\", auth-token: /t, tls: verify}", "t.yaml:2:56: error: auth-login is missing: who to log in as" },
    { "a command that is a line for a shell", "{domain: a.test, via: \"smtp://h\", auth-login: me, auth-token-command: /bin/token -q, auth-token: /t, tls: verify}", "t.yaml:2:80: error: expected a list of a program's path and its arguments, such as [/usr/local/bin/token, --quiet]; no shell reads it" },
    { "a command without a path", "{domain: a.test, via: \"smtp://h\", auth-login: me, auth-token-command: [token], auth-token: /t, tls: verify}", "t.yaml:2:80: error: expected a list of a program's path and its arguments, such as [/usr/local/bin/token, --quiet]; no shell reads it" },
    { "a command without a login", "{domain: a.test, via: \"smtp://h\", auth-token-command: [/t], tls: verify}", "t.yaml:2:64: error: auth-login is missing: who to log in as" },
    { "a login at mail hosts", "{domain: a.test, via: mx, auth-login: me, auth-token: /t, tls: verify}", "t.yaml:2:32: error: a login is for smtp:// and lmtp:// hosts" },
    { "a route behind all", "{domain: \"*\", via: \"smtp://h\"}, {domain: a.test, via: \"smtp://h\"}", "t.yaml:2:51: error: this route is never used: the one at t.yaml:2 takes its mail" },
    { "a name twice", "{name: a, via: \"smtp://h\"}, {name: a, via: \"smtp://i\"}", "t.yaml:2:45: error: the route at t.yaml:2 has this name already" },
    { "authorities for nothing", "{domain: a.test, via: \"smtp://h\", ca: /ca.pem, tls: encrypt}", "t.yaml:2:48: error: \"ca\" needs \"tls: verify\": nothing else proves a certificate" },
    { "one host, two authorities", "{domain: a.test, via: \"smtp://h\", tls: verify}, {domain: b.test, via: \"smtp://h\", tls: verify, ca: /c}", "t.yaml:2:81: error: the route at t.yaml:2 begins with the same host, but goes on otherwise: give one of them a name" },
    { "one host, two policies", "{domain: a.test, via: \"smtp://h\"}, {domain: b.test, via: \"smtp://h\", tls: verify}", "t.yaml:2:68: error: the route at t.yaml:2 begins with the same host, but goes on otherwise: give one of them a name" },
};
/* clang-format on */

static void reports_mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(mistakes); i++) {
        char text[512];

        (void)snprintf(text, sizeof(text), "hostname: mx.test\nroutes: [%s]\n", mistakes[i].text);
        check_mistake(mistakes[i].name, text, mistakes[i].wanted);
    }
}

static void reports_routes_of_local_domains(void **state)
{
    struct settings s;
    struct config *c = read_text("hostname: mx.test\nmaildir: {root: /m}\n"
                                 "domains: {a.test: {deliver: maildir}}\n"
                                 "routes: [{domain: a.test, via: \"smtp://h\"}]\n",
                                 &s);
    struct view errors = config_errors(c), line = VIEW_EMPTY;

    (void)state;
    (void)view_take_line(&errors, &line);
    check_view("error", line,
               VIEW("t.yaml:4:19: error: this route is never used: the domain is delivered "
                    "here, by t.yaml:3"));
    release(&s, c);
}

static const char text[] =
    "hostname: mx.test\n"
    "domains:\n"
    "  here.test: { deliver: maildir }\n"
    "  far.test: { deliver: relay }\n"
    "maildir: { root: /m }\n"
    "routes:\n"
    "  - { name: chosen, via: \"smtp://chosen.test\" }\n"
    "  - { sender: news@a.test, domain: big.test, name: news, via: mx, tls: encrypt }\n"
    "  - { sender: .b.test, via: \"smtp://b.test:26\" }\n"
    "  - { sender: \"<>\", domain: bounces.test, via: discard }\n"
    "  - { login: ann, via: [\"smtp://one.test\", \"smtps://two.test:4650\"], balance: yes }\n"
    "  - { tag: bulk, via: \"smtp://bulk.test\", source: [192.0.2.1, \"2001:db8::1\"] }\n"
    "  - { domain: a.test, via: \"smtp://Host.test\" }\n"
    "  - { domain: .a.test, via: \"smtp://192.0.2.1:2525\", tls: none }\n"
    "  - { domain: far.test, via: \"smtps://[2001:db8::1]\" }\n"
    "  - { domain: box.test, via: \"lmtp:///run/lmtp\" }\n"
    "  - { domain: tcp.test, via: \"lmtp://h.test\" }\n"
    "  - { domain: gone.test, via: 550 5.1.2 it has moved }\n"
    "  - { domain: plain.test, via: [mx, \"smtp://fall.test\"] }\n";

static const struct {
    const char *address, *envelope;
    enum hop_kind kind; /* HOP_KINDS: none */
    const char *name, *host;
    unsigned route;
} hops[] = {
    { "bob@here.test", "", HOP_LOCAL, "local", "", 0 },
    { "bob@HERE.test", "route=chosen\n", HOP_LOCAL, "local", "", 0 },
    { "postmaster", "", HOP_LOCAL, "local", "", 0 },
    { "bob", "", HOP_KINDS, NULL, NULL, 0 },
    { "x@other.test", "route=chosen\n", HOP_ROUTE, "chosen", "", 1 },
    { "x@Other.Test", "route=gone\n", HOP_MX, "other.test", "other.test", 0 },
    { "x@Big.test", "from=news@A.test\n", HOP_MX, "big.test via news", "big.test", 2 },
    { "x@big.test", "from=news@b.test\n", HOP_MX, "big.test", "big.test", 0 },
    { "x@other.test", "from=news@a.test\n", HOP_MX, "other.test", "other.test", 0 },
    { "x@other.test", "from=x@y.b.test\n", HOP_ROUTE, "b.test:26", "", 3 },
    { "x@bounces.test", "from=\n", HOP_ROUTE, "discard", "", 4 },
    { "x@bounces.test", "", HOP_MX, "bounces.test", "bounces.test", 0 },
    { "x@other.test", "from=\n", HOP_MX, "other.test", "other.test", 0 },
    { "x@other.test", "login=ann\n", HOP_ROUTE, "one.test:25", "", 5 },
    { "x@other.test", "login=Ann\n", HOP_MX, "other.test", "other.test", 0 },
    { "x@other.test", "tags=slow,bulk\n", HOP_ROUTE, "bulk.test:25", "", 6 },
    { "x@other.test", "tags=bulky\n", HOP_MX, "other.test", "other.test", 0 },
    { "x@A.Test", "", HOP_ROUTE, "host.test:25", "", 7 },
    { "x@c.b.a.test", "", HOP_ROUTE, "192.0.2.1:2525", "", 8 },
    { "x@ba.test", "", HOP_MX, "ba.test", "ba.test", 0 },
    { "x@far.test", "", HOP_ROUTE, "[2001:db8::1]:465", "", 9 },
    { "x@box.test", "", HOP_ROUTE, "/run/lmtp", "", 10 },
    { "x@tcp.test", "", HOP_ROUTE, "h.test:24", "", 11 },
    { "x@gone.test", "", HOP_ROUTE, "550 it has moved", "", 12 },
    { "x@plain.test", "", HOP_MX, "plain.test", "plain.test", 13 },
    { "x@[192.0.2.7]", "", HOP_HOST, "192.0.2.7:25", "192.0.2.7", 0 },
    { "x@[IPv6:2001:db8::7]", "", HOP_HOST, "[2001:db8::7]:25", "2001:db8::7", 0 },
    { "x@[127.0.0.1]", "", HOP_KINDS, NULL, NULL, 0 },
    { "x@[IPv6:::1]", "", HOP_KINDS, NULL, NULL, 0 },
    { "x@[0.0.0.0]", "", HOP_KINDS, NULL, NULL, 0 },
    { "x@[192.0.2.7]", "route=chosen\n", HOP_ROUTE, "chosen", "", 1 },
    { "x@[127.0.0.1]", "route=chosen\n", HOP_ROUTE, "chosen", "", 1 },
    { "x@[192.0.2.7]", "from=x@y.b.test\n", HOP_ROUTE, "b.test:26", "", 3 },
    { "x@[IPv6:2001:db8::7]", "login=ann\n", HOP_ROUTE, "one.test:25", "", 5 },
    { "x@[192.0.2.7]", "tags=bulk\n", HOP_ROUTE, "bulk.test:25", "", 6 },
    { "x@[192.0.2.7]", "from=news@a.test\n", HOP_HOST, "192.0.2.7:25", "192.0.2.7", 0 },
    { "x@[192.0.2.7]", "route=news\n", HOP_MX, "192.0.2.7 via news", "192.0.2.7", 2 },
    { "x@[IPv6:2001:DB8:0::7]", "route=news\n", HOP_MX, "2001:db8::7 via news", "2001:db8::7", 2 },
    { "x@[127.0.0.1]", "route=news\n", HOP_KINDS, NULL, NULL, 0 },
};

static void decode(const char *fields, char *bytes, size_t size, struct arena *arena,
                   struct envelope *e)
{
    (void)snprintf(bytes, size, "%srcpt=x@x.test\narrival=1\n%s",
                   strstr(fields, "from=") != NULL ? "" : "from=s@s.test\n", fields);
    assert_true(envelope_decode(view_of(bytes), arena, e));
}

static void finds_next_hops(void **state)
{
    struct settings s;
    struct config *c = read_text(text, &s);

    (void)state;
    check_view("errors", config_errors(c), VIEW(""));
    for (size_t i = 0; i < COUNT_OF(hops); i++) {
        const char *name = hops[i].address;
        char bytes[300], fields[300];
        struct buf b = BUF_ON_ARRAY(bytes);
        struct address a = { .local = view_of(name) };
        struct arena arena;
        struct envelope e;
        struct hop hop;
        bool found;

        arena_init(&arena, 4096);
        decode(hops[i].envelope, fields, sizeof(fields), &arena, &e);
        if (strchr(name, '@') != NULL)
            check(name, address_parse(view_of(name), true, &a));
        found = settings_hop(&s, &e, &a, &b, &hop);
        check(name, found == (hops[i].kind != HOP_KINDS));
        if (found) {
            check(name, hop.kind == hops[i].kind && hop.route == hops[i].route);
            check_view(name, hop.name, view_of(hops[i].name));
            check_view(name, hop.host, view_of(hops[i].host));
        }
        arena_reset(&arena);
    }
    release(&s, c);
}

/* What leads mail to the address: nothing of it is kept. */
static bool find_hop(const struct settings *s, struct view to, struct buf *room, struct hop *hop)
{
    char fields[300];
    struct arena arena;
    struct envelope e;
    struct address a;
    bool found;

    arena_init(&arena, 4096);
    decode("", fields, sizeof(fields), &arena, &e);
    assert_true(address_parse(to, false, &a));
    found = settings_hop(s, &e, &a, room, hop);
    arena_reset(&arena);
    return found;
}

static void the_route_for_all_takes_literals(void **state)
{
    char bytes[300];
    struct buf b = BUF_ON_ARRAY(bytes);
    struct settings s;
    struct config *c = read_text("hostname: mx.test\nroutes:\n"
                                 "  - { domain: \"*\", via: \"smtp://smart.test\" }\n",
                                 &s);
    struct hop hop;

    (void)state;
    assert_true(find_hop(&s, VIEW("x@[192.0.2.7]"), &b, &hop));
    assert_true(hop.kind == HOP_ROUTE && hop.route == 1);
    release(&s, c);
}

static void reads_targets(void **state)
{
    struct settings s;
    struct config *c = read_text(text, &s);
    const struct route_settings *r = s.routes;

    (void)state;
    assert_int_equal(r[1].tls, ROUTE_TLS_ENCRYPT);
    assert_true(r[4].balance && r[4].target_count == 2);
    assert_true(r[4].targets[1].implicit_tls && r[4].targets[1].port == 4650);
    assert_int_equal(r[5].source_count, 2);
    assert_int_equal(r[5].sources[1].family, AF_INET6);
    assert_int_equal(r[8].targets[0].port, 465);
    assert_true(r[9].targets[0].kind == TARGET_PATH && r[9].targets[0].lmtp);
    check_view("path", r[9].targets[0].host, VIEW("/run/lmtp"));
    assert_true(r[10].targets[0].kind == TARGET_HOST && r[10].targets[0].lmtp);
    assert_true(r[11].targets[0].kind == TARGET_REPLY && r[11].targets[0].code == 550);
    assert_int_equal(r[11].targets[0].enhanced.detail, 2);
    check_view("words", r[11].targets[0].host, VIEW("it has moved"));
    release(&s, c);
}

static void needs_room(void **state)
{
    char bytes[4];
    struct buf b = BUF_ON_ARRAY(bytes);
    struct settings s;
    struct config *c = read_text(text, &s);
    struct hop hop;

    (void)state;
    assert_false(find_hop(&s, VIEW("x@a.test"), &b, &hop));
    release(&s, c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reports_mistakes), cmocka_unit_test(reports_routes_of_local_domains),
        cmocka_unit_test(finds_next_hops),  cmocka_unit_test(the_route_for_all_takes_literals),
        cmocka_unit_test(reads_targets),    cmocka_unit_test(needs_room),
    };

    return cmocka_run_group_tests_name("routes", tests, NULL, NULL);
}
