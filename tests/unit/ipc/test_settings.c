#include "ipc/settings.h"

#include "tests/unit/ipc/settings_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct net_address address_of(const char *text)
{
    struct net_address a;

    assert_true(net_parse_address(view_of(text), &a));
    return a;
}

static void needs_only_a_host_name(void **state)
{
    struct settings s;
    struct config *c = read_text("hostname: mx.test\n", &s);
    struct net_address inside = address_of("127.0.0.2"), outside = address_of("192.0.2.1");

    (void)state;
    check_view("errors", config_errors(c), VIEW(""));
    assert_int_equal(s.listener_count, 1);
    assert_int_equal(s.listeners[0].address.port, 25);
    assert_int_equal(s.listeners[0].tls, LISTENER_TLS_OFFERED);
    assert_string_equal(s.listeners[0].origin, "default");
    assert_true(network_list_has(&s.trust, &inside));
    assert_false(network_list_has(&s.trust, &outside));
    assert_int_equal(s.domain_count, 0);
    assert_int_equal(s.route_count, 0);
    assert_true(s.dns.server_count > 0);
    check_view("spool", s.spool.path, VIEW(SPOOL_DEFAULT));
    check_view("control", s.control, VIEW(CONTROL_DEFAULT));
    check_view("user", s.users.local, VIEW("tern-local"));
    assert_int_equal(s.log_level, LOG_LEVEL_INFO);
    assert_int_equal(s.limits.message_bytes, 50 << 20);
    assert_int_equal(s.limits.client_prefix6, 64);
    assert_int_equal(s.timeouts.final, 600000);
    assert_int_equal(s.retry.factor_milli, 2000);
    assert_int_equal(s.retry.lifetime_ms, 432000000);
    assert_int_equal(s.delivery.port, 25);
    assert_false(s.delivery.loopback);
    assert_int_equal(s.workers.delivery, 1);
    release(&s, c);
}

static void reads_everything(void **state)
{
    struct settings s;
    struct config *c = read_text("hostname: mx.test\n"
                                 "listen:\n"
                                 "  - address: \"[2001:db8::1]:2525\"\n"
                                 "    tls: none\n"
                                 "    trust: [192.0.2.0/24, \"2001:db8::5\"]\n"
                                 "  - address: 127.0.0.1:465\n"
                                 "    tls: implicit\n"
                                 "trust: []\n"
                                 "log: { format: json, level: debug }\n"
                                 "tls: { certificate: /c.pem, key: /k.pem }\n"
                                 "dns: { servers: [192.0.2.53, \"[::1]:5353\"], timeout: 1ms }\n"
                                 "retry: { first: 1ms, longest: 2ms, factor: 1.5 }\n"
                                 "spool: { segment: 1M, big-body: 4K, path: /s }\n"
                                 "delivery: { loopback: yes,\n"
                                 "            own-addresses: [192.0.2.9, \"2001:db8::9\"] }\n",
                                 &s);
    struct net_address host = address_of("2001:db8::5"), near = address_of("2001:db8::6");

    (void)state;
    check_view("errors", config_errors(c), VIEW(""));
    assert_int_equal(s.listener_count, 2);
    assert_int_equal(s.listeners[0].address.family, AF_INET6);
    assert_int_equal(s.listeners[0].tls, LISTENER_TLS_NONE);
    assert_string_equal(s.listeners[0].origin, "t.yaml:3");
    assert_true(network_list_has(&s.listeners[0].trust, &host));
    assert_false(network_list_has(&s.listeners[0].trust, &near));
    assert_int_equal(s.listeners[1].tls, LISTENER_TLS_IMPLICIT);
    assert_int_equal(s.trust.count, 0);
    assert_int_equal(s.log_format, LOG_FORMAT_JSON);
    assert_int_equal(s.log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(s.dns.server_count, 2);
    assert_int_equal(s.dns.servers[0].port, 53);
    assert_int_equal(s.dns.servers[1].port, 5353);
    assert_int_equal(s.retry.first_ms, 1);
    assert_int_equal(s.retry.factor_milli, 1500);
    assert_int_equal(s.spool.segment_bytes, 1 << 20);
    assert_true(s.delivery.loopback);
    assert_int_equal(s.delivery.own_count, 2);
    assert_int_equal(s.delivery.own[1].family, AF_INET6);
    release(&s, c);
}

static void gives_listeners_what_their_roles_are(void **state)
{
    static const struct {
        const char *text;
        const char *name;
        unsigned role, tls, relay;
        bool strangers, hide_client, futurerelease;
    } listeners[] = {
        { "{ address: \"*:25\" }", "*:25", LISTENER_MX, LISTENER_TLS_OFFERED,
          LISTENER_RELAY_NETWORKS, true, false, false },
        { "{ address: \"*:587\", role: submission, name: apps }", "apps", LISTENER_SUBMISSION,
          LISTENER_TLS_REQUIRED, LISTENER_RELAY_LOGINS, false, true, true },
        { "{ address: \"*:465\", role: submission }", "*:465", LISTENER_SUBMISSION,
          LISTENER_TLS_IMPLICIT, LISTENER_RELAY_LOGINS, false, true, true },
        { "{ address: \"*:2525\", role: trusted }", "*:2525", LISTENER_TRUSTED,
          LISTENER_TLS_OFFERED, LISTENER_RELAY_NETWORKS, false, false, false },
        { "{ address: \"*:24\", extensions: { futurerelease: yes } }", "*:24", LISTENER_MX,
          LISTENER_TLS_OFFERED, LISTENER_RELAY_NETWORKS, true, false, true },
        { "{ extensions: { dsn: no }, address: \"*:588\", role: submission }", "*:588",
          LISTENER_SUBMISSION, LISTENER_TLS_REQUIRED, LISTENER_RELAY_LOGINS, false, true, true },
        { "{ address: \"*:1\", role: submission, tls: none, relay: networks, strangers: yes, "
          "hide-client: no, extensions: { futurerelease: no } }",
          "*:1", LISTENER_SUBMISSION, LISTENER_TLS_NONE, LISTENER_RELAY_NETWORKS, true, false,
          false },
    };
    char text[1024];
    struct buf out = BUF_ON_ARRAY(text);
    struct settings s;
    struct config *c;

    (void)state;
    buf_put(&out, VIEW("hostname: mx.test\ntls: { certificate: /c, key: /k }\n"
                       "auth: { users: /u }\nlisten:\n"));
    for (size_t i = 0; i < COUNT_OF(listeners); i++)
        buf_printf(&out, "  - %s\n", listeners[i].text);
    buf_put_byte(&out, '\0');
    c = read_text(text, &s);
    check_view("errors", config_errors(c), VIEW(""));
    assert_int_equal(s.listener_count, COUNT_OF(listeners));
    for (size_t i = 0; i < COUNT_OF(listeners); i++) {
        const struct listener_settings *l = &s.listeners[i];

        check_view("name", l->name, view_of(listeners[i].name));
        check(listeners[i].text, l->role == listeners[i].role);
        check(listeners[i].text, l->tls == listeners[i].tls);
        check(listeners[i].text, l->relay == listeners[i].relay);
        check(listeners[i].text, l->strangers == listeners[i].strangers);
        check(listeners[i].text, l->hide_client == listeners[i].hide_client);
        check(listeners[i].text, s.extensions.on[EXTENSION_FUTURERELEASE]);
        check(listeners[i].text,
              l->extensions.on[EXTENSION_FUTURERELEASE] == listeners[i].futurerelease);
        check_view("banner", l->banner, VIEW("ESMTP Tern"));
    }
    release(&s, c);
}

static void a_listener_may_have_limits_of_its_own(void **state)
{
    const struct listener_settings *l;
    struct settings s;
    struct config *c;

    (void)state;
    c = read_text(
        "hostname: mx.test\n"
        "limits: { recipients: 500, hops: 9, connections: 700 }\n"
        "rates: { client-messages: 7/1m, login-surplus: hold }\n"
        "listen:\n"
        "  - address: \"*:1\"\n"
        "  - address: \"*:2\"\n"
        "    limits: { recipients: 100, connections: 20, connections-per-client: 3 }\n"
        "    rates: { login-messages: none, client-failures: 5/1h, login-surplus: refuse }\n"
        "    manners: { greet-delay: 2s, content-rate: 1K }\n"
        "    timeouts: { command: 10s, handshake: 5s }\n"
        "    tries: { tries-per-login: 4, tries-time: 3m }\n"
        "auth: { tries-per-client: 6, tries-per-login: 5 }\n"
        "strangers: { slow-by: 4s, content-rate: 200, block-lists: [bl.test] }\n"
        "timeouts: { command: 20s, session: 40s }\n",
        &s);
    check_view("errors", config_errors(c), VIEW(""));
    l = &s.listeners[0];
    assert_memory_equal(&l->limits, &s.limits, sizeof(s.limits));
    assert_memory_equal(&l->rates, &s.rates, sizeof(s.rates));
    assert_memory_equal(&l->manners, &s.strangers, sizeof(s.strangers));
    assert_memory_equal(&l->timeouts, &s.timeouts, sizeof(s.timeouts));
    assert_memory_equal(&l->tries, &s.auth.tries, sizeof(s.auth.tries));
    assert_int_equal(l->limits.recipients, 500);
    l = &s.listeners[1];
    assert_int_equal(l->limits.recipients, 100);
    assert_int_equal(l->limits.connections, 20);
    assert_int_equal(l->limits.connections_per_client, 3);
    assert_int_equal(l->limits.hops, 9);
    assert_int_equal(l->rates.login[RATE_MESSAGES].count, 0);
    assert_int_equal(l->rates.client[RATE_FAILURES].count, 5);
    assert_int_equal(l->rates.client[RATE_MESSAGES].count, 7);
    assert_int_equal(l->rates.login_surplus, SURPLUS_REFUSE);
    assert_int_equal(l->manners.greet_delay_ms, 2000);
    assert_int_equal(l->manners.content_rate, 1024);
    assert_int_equal(l->manners.slow_ms, 4000);
    assert_int_equal(l->timeouts.command, 10000);
    assert_int_equal(l->timeouts.handshake, 5000);
    assert_int_equal(l->timeouts.session, 40000);
    assert_int_equal(l->tries.per_client, 6);
    assert_int_equal(l->tries.per_login, 4);
    assert_int_equal(l->tries.time_ms, 180000);
    assert_int_equal(s.timeouts.command, 20000);
    release(&s, c);
}

#define TEN       "123456789/"
#define LONG_NAME TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "s"

/* clang-format off */
static const struct {
    const char *name, *text; /* after the host name */
    const char *wanted;      /* the first report's first line */
} mistakes[] = {
    { "everybody is trusted", "trust: [0.0.0.0/0]", "t.yaml:2:9: error: to trust 0.0.0.0/0 would make this server an open relay: name your own networks only" },
    { "everybody, IPv6", "trust: [\"::/0\"]", "t.yaml:2:10: error: to trust ::/0 would make this server an open relay: name your own networks only" },
    { "half of everybody", "trust: [0.0.0.0/1]", "t.yaml:2:9: error: to trust 0.0.0.0/1 would make this server an open relay: name your own networks only" },
    { "everybody at a listener", "listen: [{address: \"*:25\", trust: [0.0.0.0/0]}]", "t.yaml:2:36: error: to trust 0.0.0.0/0 would make this server an open relay: name your own networks only" },
    { "two sources of logins", "auth: {users: /u, dovecot: /d}", "t.yaml:2:7: error: give users or dovecot: logins are checked in one place" },
    { "a socket with a long path", "auth: {dovecot: /" LONG_NAME "}", "t.yaml:2:17: error: the path of a socket has at most 107 bytes" },
    { "a long control", "control: /" LONG_NAME, "t.yaml:2:10: error: the path of a socket has at most 107 bytes" },
    { "a sender that is none", "auth: {senders: {bob: [bob]}}", "t.yaml:2:24: error: expected an address, \"@example.org\" for all of a domain, or \"*\"" },
    { "a certificate of no authority", "auth: {certificates: {a.test: a}}", "t.yaml:2:7: error: certificates are believed if their authority is: give client-ca" },
    { "a certificate without a name", "auth: {client-ca: /c, certificates: {\"sha256:ab\": a}}", "t.yaml:2:39: error: expected a host name, an e-mail address, or \"sha256:\" and the 64 hexadecimal digits of a fingerprint" },
    { "more certificates, but no first", "tls: {certificates: {/b: /c}}", "t.yaml:2:21: error: there are more certificates, but not the first: tls.certificate" },
    { "bits behind the prefix", "trust: [192.0.2.1/24]", "t.yaml:2:9: error: expected a network such as 192.0.2.0/24 or \"2001:db8::/32\", without bits behind its prefix" },
    { "no list of networks", "trust: 192.0.2.1", "t.yaml:2:8: error: expected a list of networks, \"[192.0.2.0/24, 198.51.100.7]\"" },
    { "no port", "listen: [{address: 192.0.2.1}]", "t.yaml:2:20: error: expected an address and a port: \"*:25\", 192.0.2.1:25 or \"[2001:db8::1]:25\"" },
    { "no address", "listen: [{tls: none}]", "t.yaml:2:10: error: address is missing: address and port to listen on; \"*\" is every address" },
    { "own addresses are no list", "delivery: {own-addresses: 192.0.2.1}", "t.yaml:2:27: error: expected a list of addresses, \"[192.0.2.1, 192.0.2.2]\"" },
    { "no own address", "delivery: {own-addresses: [192.0.2.1, mx.a.test]}", "t.yaml:2:39: error: expected an address that others can connect to" },
    { "everybody's address", "delivery: {own-addresses: [127.0.0.1]}", "t.yaml:2:28: error: expected an address that others can connect to" },
    { "no listener", "listen: [5]", "t.yaml:2:10: error: expected settings, \"name: value\"" },
    { "no listeners", "listen: []", "t.yaml:2:9: error: at least one listener is needed" },
    { "listeners are no list", "listen: {address: \"*:25\"}", "t.yaml:2:9: error: expected a list: each element begins with \"- \"" },
    { "two of a kind", "listen: [{address: 192.0.2.1:25}, {address: 192.0.2.1:25}]", "t.yaml:2:45: error: the listener at t.yaml:2 has this address and port already" },
    { "one covers the other", "listen: [{address: 192.0.2.1:25}, {address: \"*:25\"}]", "t.yaml:2:46: error: the listener at t.yaml:2 has this address and port already" },
    { "a limit that is no listener's", "listen: [{address: \"*:25\", limits: {body-memory: 1M}}]", "t.yaml:2:37: error: there is no setting \"body-memory\" here" },
    { "a limit out of range", "listen: [{address: \"*:25\", limits: {recipients: 5}}]", "t.yaml:2:49: error: recipients must be from 100 to 1000" },
    { "lists of one listener", "listen: [{address: \"*:25\", manners: {block-lists: []}}]", "t.yaml:2:38: error: there is no setting \"block-lists\" here" },
    { "more than all of them", "listen: [{address: \"*:25\", limits: {connections: 2000}}]", "t.yaml:2:36: error: a listener cannot have more connections than all of them: limits.connections" },
    { "implicit without certificate", "listen: [{address: \"*:465\", tls: implicit}]", "t.yaml:2:34: error: implicit TLS needs tls.certificate and tls.key" },
    { "required without certificate", "listen: [{address: \"*:587\", tls: required}]", "t.yaml:2:34: error: TLS is required here, which needs tls.certificate and tls.key" },
    { "submission without certificate", "listen: [{address: \"*:587\", role: submission}]", "t.yaml:2:10: error: TLS is required here, which needs tls.certificate and tls.key" },
    { "a name with a blank", "listen: [{address: \"*:25\", name: a b}]", "t.yaml:2:34: error: expected a name of a-z A-Z 0-9 . _ -, at most 64 of them" },
    { "a name twice", "listen: [{address: \"*:25\", name: a}, {address: \"*:26\", name: A}]", "t.yaml:2:62: error: the listener at t.yaml:2 has this name already" },
    { "an unknown role", "listen: [{address: \"*:25\", role: server}]", "t.yaml:2:34: error: role is mx, submission or trusted" },
    { "a key alone", "tls: {key: /k}", "t.yaml:2:12: error: key is given without certificate" },
    { "a certificate alone", "tls: {certificate: /c}", "t.yaml:2:20: error: certificate is given without key" },
    { "mailboxes nowhere", "domains: {a.test: {deliver: maildir}}", "t.yaml:2:10: error: a.test is delivered to mailboxes, but maildir.root is not set" },
    { "a domain without delivery", "domains: {a.test: }\nmaildir: {root: /m}", "t.yaml:2:11: error: deliver is missing: maildir: to mailboxes here; relay: accept it and send it on; aliases: to where aliases lead" },
    { "no domain", "domains: {\"a b\": {deliver: relay}}", "t.yaml:2:12: error: expected the name of a domain" },
    { "a domain twice", "domains: {a.test: {deliver: relay}, A.test: {deliver: relay}}", "t.yaml:2:37: error: A.test is given twice, first at t.yaml:2" },
    { "a relay domain's mailboxes", "domains: {a.test: {deliver: relay, mailboxes: directory}}", "t.yaml:2:11: error: mailboxes are for domains with \"deliver: maildir\" only" },
    { "domains are no mapping", "domains: [a.test]", "t.yaml:2:10: error: expected domains, \"example.org: { deliver: maildir }\"" },
    { "a mailbox elsewhere", "mailboxes: {a@b.test: a}", "t.yaml:2:13: error: b.test is not a domain with \"deliver: maildir\"" },
    { "a mailbox in a relay domain", "domains: {b.test: {deliver: relay}}\nmailboxes: {a@b.test: a}", "t.yaml:3:13: error: b.test is not a domain with \"deliver: maildir\"" },
    { "no address of a mailbox", "mailboxes: {bob: a}", "t.yaml:2:13: error: expected an address, or a pattern such as /sales-.*@example\\.org/" },
    { "a mailbox twice", "maildir: {root: /m}\ndomains: {b.test: {deliver: maildir}}\nmailboxes: {a@b.test: a, A@B.test: b}", "t.yaml:4:26: error: A@B.test is given twice, first at t.yaml:4" },
    { "a bad pattern", "mailboxes: {/(/: a}", "t.yaml:2:13: error: missing closing parenthesis, at byte 2 of the pattern" },
    { "a folder outside", "mailboxes: {postmaster: ../x}", "t.yaml:2:25: error: expected a folder such as bob or example.org/bob: one or two names of a-z 0-9 . _ - + @ that do not begin with a dot" },
    { "an absolute folder", "mailboxes: {postmaster: /x}", "t.yaml:2:25: error: expected a folder such as bob or example.org/bob: one or two names of a-z 0-9 . _ - + @ that do not begin with a dot" },
    { "three names", "mailboxes: {postmaster: a/b/c}", "t.yaml:2:25: error: expected a folder such as bob or example.org/bob: one or two names of a-z 0-9 . _ - + @ that do not begin with a dot" },
    { "a program", "aliases: {root: \"|/bin/sh\"}", "t.yaml:2:18: error: Tern runs no programs: give the address a mailbox and let the program read that" },
    { "a file", "aliases: {root: /dev/null}", "t.yaml:2:17: error: Tern writes to mailboxes only: give the address one, under mailboxes" },
    { "an alias elsewhere", "aliases: {a@b.test: c@d.test}", "t.yaml:2:11: error: b.test is not a domain with \"deliver: maildir\" or \"deliver: aliases\"" },
    { "an alias in a relay domain", "domains: {b.test: {deliver: relay}}\naliases: {a@b.test: c@d.test}", "t.yaml:3:11: error: b.test is not a domain with \"deliver: maildir\" or \"deliver: aliases\"" },
    { "an alias twice", "aliases: {a: c@d.test, A: e@d.test}", "t.yaml:2:24: error: A is given twice, first at t.yaml:2" },
    { "an alias to nobody", "aliases: {a: []}", "t.yaml:2:11: error: a leads nowhere: name an address" },
    { "no alias", "aliases: {a b: c@d.test}", "t.yaml:2:11: error: expected the alias' name: bob, bob@example.org, or @example.org for all that nobody else has" },
    { "no target", "aliases: {a: [b c]}", "t.yaml:2:15: error: expected an address, or the part before its @" },
    { "a relative include", "aliases: {a: \":include:list\"}", "t.yaml:2:15: error: expected :include:/the/path of a file" },
    { "an alias file that is not there", "alias-files: [/nowhere/aliases]", "t.yaml:2:15: error: cannot read /nowhere/aliases: No such file or directory" },
    { "a relative alias file", "alias-files: [aliases]", "t.yaml:2:15: error: expected the absolute path of a file" },
    { "a letter as delimiter", "detail-delimiter: x", "t.yaml:2:19: error: expected some of + - _ = #, or \"\" for none" },
    { "a list of no zone", "strangers: {block-lists: [a b]}", "t.yaml:2:27: error: expected a zone, and perhaps answers within 127.0.0.0/8: \"bl.example.org 127.0.0.2 127.0.0.4/30\"" },
    { "answers elsewhere", "strangers: {block-lists: [a.test 192.0.2.1]}", "t.yaml:2:27: error: expected a zone, and perhaps answers within 127.0.0.0/8: \"bl.example.org 127.0.0.2 127.0.0.4/30\"" },
    { "a rate without a time", "rates: {client-messages: 5}", "t.yaml:2:26: error: client-messages is a rate such as 100/1m or 5000/1h, over at most a day, or none" },
    { "a rate of none", "rates: {client-messages: 0/1m}", "t.yaml:2:26: error: client-messages is a rate such as 100/1m or 5000/1h, over at most a day, or none" },
    { "a rate that is off", "rates: {client-messages: off}", "t.yaml:2:26: error: client-messages is a rate such as 100/1m or 5000/1h, over at most a day, or none" },
    { "a rate of weeks", "rates: {login-messages: 5/7d}", "t.yaml:2:25: error: login-messages is a rate such as 100/1m or 5000/1h, over at most a day, or none" },
    { "intervals shrink", "retry: {first: 2h, longest: 1h}", "t.yaml:2:29: error: longest is shorter than first" },
    { "a segment of odd size", "spool: {segment: 3M}", "t.yaml:2:18: error: segment must be a power of two" },
    { "bodies larger than segments", "spool: {segment: 1M, big-body: 600K}", "t.yaml:2:32: error: big-body must be at most half of segment" },
    { "bodies larger than what is written at once", "spool: {big-body: 8M}", "t.yaml:2:19: error: big-body must be from 4K to 3M" },
    { "no name servers", "dns: {servers: []}", "t.yaml:2:16: error: expected a list of addresses, \"[192.0.2.53, 127.0.0.1:5353]\"" },
    { "a name as name server", "dns: {servers: [ns.test]}", "t.yaml:2:17: error: expected an address, or an address and a port" },
};
/* clang-format on */

static void reports_mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(mistakes); i++) {
        char text[512];

        (void)snprintf(text, sizeof(text), "hostname: mx.test\n%s\n", mistakes[i].text);
        check_mistake(mistakes[i].name, text, mistakes[i].wanted);
    }
}

static void warns_where_nobody_can_log_in(void **state)
{
    struct settings s;
    struct config *c = read_text("hostname: mx.test\ntls: { certificate: /c, key: /k }\n"
                                 "listen: [{ address: \"*:587\", role: submission }]\n",
                                 &s);
    struct view errors = config_errors(c), line = VIEW_EMPTY;

    (void)state;
    assert_int_equal(config_error_count(c), 0);
    (void)view_take_line(&errors, &line);
    check_view(
        "warning", line,
        VIEW("t.yaml:3:22: warning: nobody can log in here: give auth.users, auth.dovecot or "
             "auth.certificates"));
    release(&s, c);
}

static void warns_of_trust_that_does_nothing(void **state)
{
    struct settings s;
    struct config *c =
        read_text("hostname: mx.test\n"
                  "tls: { certificate: /c, key: /k }\nauth: { users: /u }\n"
                  "listen: [{ address: \"*:25\", relay: logins, trust: [10.0.0.0/8] }]\n",
                  &s);
    struct view errors = config_errors(c), line = VIEW_EMPTY;

    (void)state;
    assert_int_equal(config_error_count(c), 0);
    (void)view_take_line(&errors, &line);
    check_view("warning", line,
               VIEW("t.yaml:4:51: warning: trust does nothing where logins alone may relay: leave "
                    "it out, or give relay: networks"));
    release(&s, c);
}

/* Whose is a sender? */
static void knows_whose_senders_are(void **state)
{
    static const struct {
        const char *login, *sender;
        bool owns;
    } cases[] = {
        { "bob", "bob@here.test", true },
        { "BOB", "bob@HERE.test", true },
        { "bob", "bob+news@here.test", true },
        { "bob", "bob@mx.test", true },
        { "bob", "bob@relay.test", false },
        { "bob", "bob@elsewhere.test", false },
        { "bob", "bobby@here.test", false },
        { "ann@here.test", "ann@here.test", true },
        { "ann@here.test", "ann+x@here.test", true },
        { "ann@here.test", "ann@mx.test", false },
        { "printer", "scan@a.test", true },
        { "Printer", "any@b.test", true },
        { "printer", "printer@here.test", false },
        { "printer", "any@sub.b.test", false },
        { "root", "who@ever.test", true },
        { "none", "none@here.test", false },
    };
    struct settings s;
    struct config *c = read_text(
        "hostname: mx.test\nmaildir: { root: /m }\n"
        "domains: { here.test: { deliver: maildir }, relay.test: { deliver: relay } }\n"
        "auth: { senders: { printer: [scan@a.test, \"@b.test\"], root: [\"*\"], none: [] } }\n",
        &s);

    (void)state;
    check_view("errors", config_errors(c), VIEW(""));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct address a;

        assert_true(address_parse(view_of(cases[i].sender), true, &a));
        check(cases[i].sender,
              settings_login_owns(&s, view_of(cases[i].login), &a) == cases[i].owns);
    }
    release(&s, c);
}

static void reports_several_mistakes(void **state)
{
    struct settings s;
    struct config *c =
        read_text("hostnme: mx.test\ntls: {key: /k}\nlimits: {hops: x, errors: 0}\n", &s);

    (void)state;
    assert_int_equal(config_error_count(c), 5);
    release(&s, c);
}

/* Mailboxes */

static const char mailbox_text[] = "hostname: mx.test\n"
                                   "domains:\n"
                                   "  one.test: { deliver: maildir }\n"
                                   "  two.test: { deliver: maildir, mailboxes: directory }\n"
                                   "  far.test: { deliver: relay }\n"
                                   "mailboxes:\n"
                                   "  /SALES-[0-9]+@one\\.test/: sales\n"
                                   "  /.*@two\\.test\\.evil/: evil\n"
                                   "  /any-.*/: any\n"
                                   "  sales-7@one.test: seven\n"
                                   "  Bob@One.Test: one.test/bob\n"
                                   "  '\"odd name\"@one.test': odd\n"
                                   "  postmaster@two.test: pm\n"
                                   "maildir: { root: %s }\n";

static const struct {
    const char *address;
    const char *folder; /* NULL: none */
} mailboxes[] = {
    { "bob@one.test", "one.test/bob" },
    { "BOB@ONE.TEST", "one.test/bob" },
    { "\"bob\"@one.test", "one.test/bob" },
    { "\"odd name\"@one.test", "odd" },
    { "sales-7@one.test", "seven" },
    { "sales-8@one.test", "sales" },
    { "sales-8@one.test.test", NULL },
    { "my-sales-8@one.test", NULL },
    { "any-thing@two.test", "any" },
    { "any-thing@far.test", NULL },
    { "ann@two.test", "two.test/ann" },
    { "Ann@Two.Test", "two.test/ann" },
    { "ann@one.test", NULL },
    { "file@two.test", NULL },
    { "upper@two.test", NULL },
    { "..@two.test", NULL },
    { "ann/../ann@two.test", NULL },
    { "\"../ann\"@two.test", NULL },
    { "nobody@one.test", NULL },
    { "bob@elsewhere.test", NULL },
    { "postmaster@two.test", "pm" },
    { "PostMaster@one.test", "pm" },
    { "postmaster@far.test", NULL },
    { "postmaster", "pm" },
};

static void make_folder(char *root, const char *name)
{
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/%s", root, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void remove_folder(char *root, const char *name)
{
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/%s", root, name);
    assert_int_equal(remove(path), 0);
}

static bool find(const struct settings *s, const char *text, struct buf *folder)
{
    struct address a = { .local = view_of(text) };

    if (strchr(text, '@') != NULL && !address_parse(view_of(text), true, &a))
        return false;
    return settings_mailbox(s, &a, folder) == MAILBOX_HERE;
}

static void finds_mailboxes(void **state)
{
    static const char *const folders[] = { "two.test",         "two.test/ann", "two.test/Upper",
                                           "two.test/.hidden", "one.test",     "one.test/ann" };
    char root[] = "/tmp/tern-settings-XXXXXX";
    char text[2048], path[256];
    struct settings s;
    struct config *c;
    int fd;

    (void)state;
    assert_non_null(mkdtemp(root));
    for (size_t i = 0; i < COUNT_OF(folders); i++)
        make_folder(root, folders[i]);
    (void)snprintf(path, sizeof(path), "%s/two.test/file", root);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    (void)snprintf(text, sizeof(text), mailbox_text, root);
    c = read_text(text, &s);
    remove_folder(root, "two.test/file");
    for (size_t i = COUNT_OF(folders); i > 0; i--)
        remove_folder(root, folders[i - 1]);
    rmdir(root);
    check_view("errors", config_errors(c), VIEW(""));
    for (size_t i = 0; i < COUNT_OF(mailboxes); i++) {
        char found[300];
        struct buf folder = BUF_ON_ARRAY(found);

        check(mailboxes[i].address,
              find(&s, mailboxes[i].address, &folder) == (mailboxes[i].folder != NULL));
        if (mailboxes[i].folder != NULL)
            check_view(mailboxes[i].address, buf_view(&folder), view_of(mailboxes[i].folder));
    }
    release(&s, c);
}

static void finds_the_common_postmaster(void **state)
{
    char found[300];
    struct buf folder = BUF_ON_ARRAY(found);
    struct settings s;
    struct config *c = read_text("hostname: mx.test\n"
                                 "domains: { a.test: { deliver: maildir } }\n"
                                 "mailboxes: { Postmaster: ann }\n"
                                 "maildir: { root: /m }\n",
                                 &s);

    (void)state;
    check_view("errors", config_errors(c), VIEW(""));
    assert_true(find(&s, "postmaster@a.test", &folder));
    check_view("folder", buf_view(&folder), VIEW("ann"));
    assert_false(find(&s, "ann", &folder));
    release(&s, c);
}

/* The sample that is installed is valid, and so is every setting in it that is commented out. */
static void sample_is_valid(void **state)
{
    static char text[1 << 16], bare[1 << 16];
    struct buf b = BUF_ON_ARRAY(bare);
    struct view rest, line;
    struct settings s;
    struct config *c;
    FILE *f = fopen(getenv("TERN_SAMPLE"), "r");

    (void)state;
    assert_non_null(f);
    rest = view_make(text, fread(text, 1, sizeof(text) - 1, f));
    (void)fclose(f);
    c = read_text(text, &s);
    check_view("as it is", config_errors(c), VIEW(""));
    release(&s, c);
    while (view_take_line(&rest, &line)) {
        bool prose = line.len > 2 && view_starts(line, VIEW("# ")) && line.ptr[2] != ' ';

        if (!prose)
            (void)view_take(&line, VIEW("#"));
        buf_printf(&b, "%.*s\n", VIEW_ARG(line));
    }
    buf_put_byte(&b, '\0');
    c = read_text(bare, &s);
    check_view("uncommented", config_errors(c), VIEW(""));
    assert_int_equal(s.listener_count, 4);
    assert_int_equal(s.route_count, 7);
    release(&s, c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(needs_only_a_host_name),
        cmocka_unit_test(reads_everything),
        cmocka_unit_test(gives_listeners_what_their_roles_are),
        cmocka_unit_test(a_listener_may_have_limits_of_its_own),
        cmocka_unit_test(reports_mistakes),
        cmocka_unit_test(reports_several_mistakes),
        cmocka_unit_test(warns_where_nobody_can_log_in),
        cmocka_unit_test(warns_of_trust_that_does_nothing),
        cmocka_unit_test(knows_whose_senders_are),
        cmocka_unit_test(finds_mailboxes),
        cmocka_unit_test(finds_the_common_postmaster),
        cmocka_unit_test(sample_is_valid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
