#include "ipc/rules.h"

#include "ipc/settings.h"
#include "tests/unit/ipc/settings_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one rule each ---- */

/* clang-format off */
static const struct {
    const char *conditions;
    const char *fact; /* "field=value ..." */
    bool matches;
} single[] = {
    { "client: 192.0.2.0/24",              "client=192.0.2.255", true },
    { "client: 192.0.2.0/24",              "client=192.0.3.0", false },
    { "client: 192.0.2.0/24",              "client=2001:db8::1", false },
    { "client: 192.0.2.1",                 "client=192.0.2.1", true },
    { "client: [10.0.0.0/8, 192.0.2.64/26]", "client=192.0.2.127", true },
    { "client: [10.0.0.0/8, 192.0.2.64/26]", "client=192.0.2.128", false },
    { "client: \"2001:db8::/33\"",         "client=2001:db8:7fff::1", true },
    { "client: \"2001:db8::/33\"",         "client=2001:db8:8000::1", false },
    { "client: 0.0.0.0/0",                 "client=192.0.2.1", true },
    { "client: 0.0.0.0/0",                 "", false },
    { "client: 97.98.99.100",              "client=65.66.67.68", false }, /* "abcd" and "ABCD" */
    { "listener: \"*:25\"",                "listener=*:25", true },
    { "client-name: host.test",            "client-name=HOST.test", true },
    { "client-name: host.test",            "client-name=a.host.test", false },
    { "client-name: .host.test",           "client-name=a.b.host.test", true },
    { "client-name: .host.test",           "client-name=host.test", false },
    { "client-name: .host.test",           "client-name=ahost.test", false },
    { "client-name: \"*\"",                "client-name=a", true },
    { "client-name: \"*\"",                "", false },
    { "login: ann",                        "login=ann", true },
    { "login: ann",                        "login=anna", false },
    { "login: \"*\"",                      "login=ann", true },
    { "login: \"*\"",                      "", false },
    { "helo: \"[192.0.2.1]\"",             "helo=[192.0.2.1]", true },
    { "helo: '/a+\\.test/'",               "helo=AAA.test", true },
    { "helo: '/a+\\.test/'",               "helo=aaa.test.", false },
    { "sender: ann@a.test",                "sender=ANN@A.test", true },
    { "sender: ann@a.test",                "sender=joann@a.test", false },
    { "sender: \"@a.test\"",               "sender=x@a.test", true },
    { "sender: \"@a.test\"",               "sender=x@b.a.test", false },
    { "sender: \"@.a.test\"",              "sender=x@c.b.a.test", true },
    { "sender: \"@.a.test\"",              "sender=x@a.test", false },
    { "sender: <>",                        "", true },
    { "sender: <>",                        "sender=x@a.test", false },
    { "sender: \"*\"",                     "", false },
    { "recipient: [a@x.test, b@x.test]",   "recipient=b@x.test", true },
    { "recipient: postmaster",             "recipient=postmaster", true },
    { "recipient: all@x.test",             "recipient=\"all\"@X.test", true },
    { "recipient: all@x.test",             "recipient=\"a\\ll\"@x.test", true },
    { "recipient: all@x.test",             "recipient=all+x@x.test", true },
    { "recipient: all@x.test",             "recipient=\"all+x\"@x.test", true },
    { "recipient: all+x@x.test",           "recipient=all+x@x.test", true },
    { "recipient: all+x@x.test",           "recipient=all@x.test", false },
    { "recipient: '/all@x\\.test/'",       "recipient=all+x@x.test", true },
    { "recipient: '/all@x\\.test/'",       "recipient=\"all\"@x.test", true },
    { "recipient: '/all@x\\.test/'",       "recipient=ball@x.test", false },
    { "recipient: \"@x.test\"",            "recipient=all+x@x.test", true },
    { "sender: a@x.test",                  "sender=\"A\"@x.test", true },
    { "sender: a@x.test",                  "sender=a+b@x.test", false }, /* it is not ours */
    { "tls: none",                         "", true },
    { "tls: none",                         "tls=TLSv1.3", false },
    { "tls: TLSv1.3",                      "tls=TLSv1.3", true },
    { "tls: TLSv1.2",                      "tls=TLSv1.3", false },
    { "tls: \"*\"",                        "tls=TLSv1.2", true },
    { "larger: 1K",                        "size=1025", true },
    { "larger: 1K",                        "size=1024", false },
    { "smaller: 1K",                       "size=1023", true },
    { "smaller: 1K",                       "size=1024", false },
    { "{ larger: 1K, smaller: 2K }",       "size=1500", true },
    { "header: { X: y }",                  "header=x:Y", true },
    { "header: { X: y }",                  "header=x:yy", false },
    { "header: { X: y, Z: \"*\" }",        "header=x:y", false },
    { "header: { X: /.*y.*/ }",            "header=x:ayb", true },
    { "time: 08:00-18:00",                 "time=480", true },
    { "time: 08:00-18:00",                 "time=479", false },
    { "time: 08:00-18:00",                 "time=1080", false },
    { "time: tue",                         "time=1440", true },
    { "time: tue",                         "time=1439", false },
    { "time: \"sat,sun\"",                 "time=10079", true },
    { "time: mon-fri 22:00-06:00",         "time=359", false },   /* Sunday's night */
    { "time: mon-fri 22:00-06:00",         "time=1799", true },   /* Tuesday, 5:59 */
    { "time: mon-fri 22:00-06:00",         "time=7500", true },   /* Saturday, 5:00 */
    { "time: fri-mon 00:00-24:00",         "time=0", true },
    { "time: fri-mon 00:00-24:00",         "time=4320", false },  /* Thursday */
    { "{ sender: \"@a.test\", except: { login: \"*\" } }", "sender=x@a.test", true },
    { "{ sender: \"@a.test\", except: { login: \"*\" } }", "sender=x@a.test login=x", false },
    { "{ except: { login: ann, tls: none } }", "login=ann", false },
    { "{ except: { login: ann, tls: none } }", "login=ann tls=TLSv1.3", true },
};

#define LIMIT_FAULT                                                                               \
    "t.yaml:2:16: error: expected limit and a rate such as 100/1h, over at most a day; then \"by "  \
    "client\", network, login, sender or recipient; then \"or hold\""

static const struct {
    const char *rules, *wanted; /* the first report's first line */
} mistakes[] = {
    { "[{}]", "t.yaml:2:9: error: then is missing: what is done: one action, or a list of them" },
    { "[{then: reject}]", "t.yaml:2:16: error: expected accept, refuse, defer, discard or hold; tag, route, limit, add-header, replace-header or remove-header" },
    { "[{then: limit}]", LIMIT_FAULT },
    { "[{then: limit off}]", LIMIT_FAULT },
    { "[{then: limit 10}]", LIMIT_FAULT },
    { "[{then: limit 10/2d}]", LIMIT_FAULT },
    { "[{then: limit 10/1h by}]", LIMIT_FAULT },
    { "[{then: limit 10/1h by helo}]", LIMIT_FAULT },
    { "[{then: limit 10/1h sender}]", LIMIT_FAULT },
    { "[{then: limit 10/1h or refuse}]", LIMIT_FAULT },
    { "[{then: limit 10/1h or hold by sender}]", LIMIT_FAULT },
    { "[{then: [limit 10/1h, discard]}]", "t.yaml:2:9: error: a limit counts mail that is kept: it does nothing in a rule that discards" },
    { "[{then: [accept, tag x]}]", "t.yaml:2:25: error: nothing is done behind accept, which ends the rules" },
    { "[{then: []}]", "t.yaml:2:16: error: then needs at least one action" },
    { "[{then: accept this}]", "t.yaml:2:16: error: accept and discard take nothing" },
    { "[{then: refuse 450 x}]", "t.yaml:2:16: error: refuse takes a code of 500 to 559" },
    { "[{then: refuse 550 4.7.1 x}]", "t.yaml:2:16: error: the enhanced code begins with the other digit than the code" },
    { "[{then: defer 550}]", "t.yaml:2:16: error: defer takes a code of 400 to 459" },
    { "[{then: tag a b}]", "t.yaml:2:16: error: tag and route take a name of a-z A-Z 0-9 . _ -" },
    { "[{then: add-header X}]", "t.yaml:2:16: error: expected a header field in printable ASCII, \"X-Name: value\"" },
    { "[{then: route nowhere}]", "t.yaml:2:16: error: there is no route with the name nowhere" },
    { "[{client: example.org, then: accept}]", "t.yaml:2:18: error: expected a network such as 192.0.2.0/24, an address, or file:/PATH" },
    { "[{sender: example.org, then: accept}]", "t.yaml:2:18: error: expected an address, \"@example.org\", \"@.example.org\", <>, a /pattern/ or file:/PATH" },
    { "[{helo: a b, then: accept}]", "t.yaml:2:16: error: expected a name, .example.org, a /pattern/ or file:/PATH" },
    { "[{tls: yes, then: accept}]", "t.yaml:2:15: error: expected none, TLSv1.2, TLSv1.3 or \"*\" for any" },
    { "[{time: noon, then: accept}]", "t.yaml:2:16: error: expected a time: \"mon-fri 08:00-18:00\", \"sat,sun\" or \"22:00-06:00\"" },
    { "[{time: 08:00-25:00, then: accept}]", "t.yaml:2:16: error: expected a time: \"mon-fri 08:00-18:00\", \"sat,sun\" or \"22:00-06:00\"" },
    { "[{login: [], then: accept}]", "t.yaml:2:17: error: an empty list never holds" },
    { "[{login: /(/, then: accept}]", "t.yaml:2:17: error: missing closing parenthesis, at byte 2 of the pattern" },
    { "[{header: {X: \"/[/\"}, then: accept}]", "t.yaml:2:23: error: missing terminating ] for character class, at byte 2 of the pattern" },
    { "[{header: {\"X Y\": a}, then: accept}]", "t.yaml:2:20: error: expected the name of a header field" },
    { "[{listener: mx, then: accept}]", "t.yaml:2:20: error: there is no listener mx" },
    { "[{client: file:list, then: accept}]", "t.yaml:2:18: error: expected file: and an absolute path" },
    { "[{client: file:/nowhere/at/all, then: accept}]", "t.yaml:2:18: error: /nowhere/at/all cannot be read: No such file or directory" },
    { "[{name: a b, then: accept}]", "t.yaml:2:16: error: expected a name of a-z A-Z 0-9 . _ -, at most 64 of them" },
    { "[{name: a, login: x, then: accept}, {name: A, login: y, then: accept}]", "t.yaml:2:44: error: the rule at t.yaml:2 has this name already" },
    { "[{larger: 2K, smaller: 1K, then: accept}]", "t.yaml:2:9: error: this rule is never used: nothing is larger and smaller than that" },
    { "[{larger: 2K, then: [\"add-header X: 1\"]}]", "t.yaml:2:9: error: the header has been passed on before the size is known: put this rule before those that ask for the size, and do not ask for it here" },
    { "[{larger: 2K, then: hold}, {then: [\"add-header X: 1\"]}]", "t.yaml:2:35: error: the header has been passed on before the size is known: put this rule before those that ask for the size, and do not ask for it here" },
    { "[{senders: x, then: hold}]", "t.yaml:2:10: error: there is no setting \"senders\" here; did you mean \"sender\"?" },
};

/* Two rules: is the second one never used? */
static const struct {
    const char *first, *second;
    bool shadowed;
} pairs[] = {
    { "then: accept", "then: refuse", true },
    { "then: accept", "login: ann, then: refuse", true },
    { "login: ann, then: accept", "then: refuse", false },
    { "then: tag x", "then: refuse", false },
    { "login: [ann, bob], then: accept", "login: bob, then: refuse", true },
    { "login: ann, then: accept", "login: [ann, bob], then: refuse", false },
    { "login: ann, then: accept", "login: ann, helo: a.test, then: refuse", true },
    { "login: ann, helo: a.test, then: accept", "login: ann, then: refuse", false },
    { "login: ann, except: { tls: none }, then: accept", "login: ann, then: refuse", false },
    { "client: 10.0.0.0/8, then: accept", "client: [10.1.0.0/16, 10.2.3.4], then: refuse", true },
    { "client: 10.1.0.0/16, then: accept", "client: 10.0.0.0/8, then: refuse", false },
    { "sender: \"@a.test\", then: accept", "sender: x@a.test, then: refuse", true },
    { "sender: \"@.a.test\", then: accept", "sender: \"@b.a.test\", then: refuse", true },
    { "sender: \"@.a.test\", then: accept", "sender: \"@.b.a.test\", then: refuse", true },
    { "sender: \"@.a.test\", then: accept", "sender: \"@a.test\", then: refuse", false },
    { "sender: \"@a.test\", then: accept", "sender: <>, then: refuse", false },
    { "helo: .a.test, then: accept", "helo: b.a.test, then: refuse", true },
    { "helo: .a.test, then: accept", "helo: .b.a.test, then: refuse", true },
    { "helo: /a.*/, then: accept", "helo: /a.*/, tls: none, then: refuse", true },
    { "helo: /a.*/, then: accept", "helo: /ab.*/, then: refuse", false },
    { "helo: /a-host.*/, then: accept", "helo: /a-host.*/, tls: none, then: refuse", true },
    { "helo: [b, /a-host.*/], then: accept", "helo: /a-host.*/, then: refuse", true },
    { "helo: /a-host.*/, then: accept", "helo: /a-host-b.*/, then: refuse", false },
    { "header: { X: [/a-host.*/, word] }, then: accept", "header: { X: Word }, then: refuse", true },
    { "header: { X: /a-host.*/ }, then: accept", "header: { X: /a-host.*/, Y: a }, then: refuse", true },
    { "larger: 1M, then: accept", "larger: 2M, then: refuse", true },
    { "larger: 2M, then: accept", "larger: 1M, then: refuse", false },
    { "smaller: 2M, then: accept", "smaller: 1M, then: refuse", true },
    { "smaller: 1M, then: accept", "then: refuse", false },
    { "header: { X: \"*\" }, then: accept", "header: { X: \"*\", Y: a }, then: refuse", true },
    { "header: { X: a }, then: accept", "header: { Y: a }, then: refuse", false },
    { "time: sun, then: accept", "time: sun, then: refuse", false },
};
/* clang-format on */

static void set_fact(struct rule_facts *f, const struct settings *s, struct net_address *client,
                     struct view key, struct view value, struct buf *header)
{
    static char sender_room[ADDRESS_MAX];
    static struct rules_recipient_room recipient;
    struct buf sender = BUF_ON_ARRAY(sender_room);
    uint64_t number;

    if (view_equal(key, VIEW("client")))
        assert_true(net_parse_address(value, client));
    else if (view_equal(key, VIEW("listener")))
        f->listener = value;
    else if (view_equal(key, VIEW("client-name")))
        f->client_name = value;
    else if (view_equal(key, VIEW("login")))
        f->login = value;
    else if (view_equal(key, VIEW("helo")))
        f->helo = value;
    else if (view_equal(key, VIEW("sender")))
        f->sender = rules_address(value, &sender);
    else if (view_equal(key, VIEW("recipient")))
        rules_set_recipient(f, s, value, &recipient);
    else if (view_equal(key, VIEW("tls")))
        f->tls = value;
    else if (view_equal(key, VIEW("header")))
        buf_printf(header, "%.*s\r\n", VIEW_ARG(value));
    else if (view_to_u64(value, UINT64_MAX, &number) && view_equal(key, VIEW("size")))
        f->size = number;
    else
        f->week_minute = (unsigned)number;
}

static void matches_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(single); i++) {
        const char *conditions = single[i].conditions;
        char text[512], header_room[256];
        struct buf header = BUF_ON_ARRAY(header_room);
        struct net_address client = { 0 };
        struct rule_facts f = { .client = &client };
        struct view rest = view_of(single[i].fact), word;
        struct settings s;
        struct config *c;
        bool braces = conditions[0] == '{';

        (void)snprintf(text, sizeof(text), "hostname: mx.test\nrules: [{then: accept, %.*s}]\n",
                       (int)(strlen(conditions) - (braces ? 2 : 0)), conditions + braces);
        c = load_text(text, &s);
        check_view(conditions, config_errors(c), VIEW(""));
        while ((word = view_take_word(&rest)).len > 0) {
            struct view key = view_take_until(&word, '=');

            set_fact(&f, &s, &client, key, word, &header);
        }
        f.header = buf_view(&header);
        check(conditions,
              (rules_walk(s.rules, &f, RULE_AT_END, NULL, NULL) != NULL) == single[i].matches);
        release(&s, c);
    }
}

/* Nobody knows whether it matches: neither the one nor the other may be taken for granted. */
static void a_pattern_that_fails_defers(void **state)
{
    static const struct {
        const char *name, *rule;
        bool long_header;
        unsigned code; /* 0: no rule decides */
    } cases[] = {
        { "runs away", "{ name: x, helo: '/(?:a*)*[bc]/', then: accept }", false, 451 },
        { "but another value matches", "{ helo: ['/(?:a*)*[bc]/', '/a+/'], then: refuse }", false,
          550 },
        { "but another condition does not", "{ helo: '/(?:a*)*[bc]/', login: ann, then: refuse }",
          false, 0 },
        { "an exception", "{ helo: '*', except: { helo: '/(?:a*)*[bc]/' }, then: refuse }", false,
          451 },
        { "a long field", "{ header: { X: '/.*end/' }, then: refuse }", true, 451 },
        { "a long field is no word", "{ header: { X: end }, then: refuse }", true, 0 },
        { "a long field is there", "{ header: { X: '*' }, then: refuse }", true, 550 },
    };
    static char header[9000];
    char helo[65] = "";

    (void)state;
    memset(helo, 'a', sizeof(helo) - 1);
    memset(header, 'y', sizeof(header) - 1);
    memcpy(header, "X: ", 3);
    memcpy(header + sizeof(header) - 6, "end\r\n", 6);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rule_facts f = { .helo = view_of(helo) };
        const struct rule *rule;
        struct settings s;
        struct config *c;
        char text[512];

        (void)snprintf(text, sizeof(text), "hostname: mx.test\nrules: [%s]\n", cases[i].rule);
        c = load_text(text, &s);
        check_view(cases[i].name, config_errors(c), VIEW(""));
        if (cases[i].long_header)
            f.header = view_of(header);
        rule = rules_walk(s.rules, &f, RULE_AT_END, NULL, NULL);
        check(cases[i].name, (rule == NULL ? 0 : rule->decision->code) == cases[i].code);
        check(cases[i].name, cases[i].code != 451 || rule->label == s.rules->all[0].label);
        if (cases[i].code == 451)
            assert_string_equal(rule->decision->reply,
                                i == 0 ? "A rule could not be checked, try again later (rule x)"
                                       : "A rule could not be checked, try again later");
        release(&s, c);
    }
}

/* The name servers do not answer: only where the name decides, nobody knows. */
static void a_name_that_is_not_known_defers(void **state)
{
    static const struct {
        const char *name, *rules;
        unsigned code; /* 0: no rule decides */
    } cases[] = {
        { "a name", "{ client-name: a.test, then: accept }", 450 },
        { "any name", "{ client-name: '*', then: accept }", 450 },
        { "a pattern", "{ client-name: '/a.*/', then: refuse }", 450 },
        { "an exception", "{ except: { client-name: a.test }, then: refuse }", 450 },
        { "but another condition does not", "{ client-name: a.test, login: ann, then: refuse }",
          0 },
        { "nor in the exception", "{ except: { client-name: a.test, login: ann }, then: refuse }",
          550 },
        { "one before it decides",
          "{ helo: a.test, then: refuse 551 x }, { client-name: a.test, then: refuse }", 551 },
        { "one behind it does not",
          "{ client-name: a.test, then: refuse }, { helo: a.test, then: refuse 551 x }", 450 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rule_facts f = { .helo = VIEW("a.test"), .name_failed = true };
        const struct rule *rule;
        struct settings s;
        struct config *c;
        char text[512];

        (void)snprintf(text, sizeof(text), "hostname: mx.test\nrules: [%s]\n", cases[i].rules);
        c = load_text(text, &s);
        check_view(cases[i].name, config_errors(c), VIEW(""));
        rule = rules_walk(s.rules, &f, RULE_AT_END, NULL, NULL);
        check(cases[i].name, (rule == NULL ? 0 : rule->decision->code) == cases[i].code);
        check(cases[i].name,
              rules_walk(s.rules, &f, RULE_AT_HELO, NULL, NULL) == NULL || cases[i].code == 551);
        release(&s, c);
    }
}

static void reports_mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(mistakes); i++) {
        char text[512];

        (void)snprintf(text, sizeof(text), "hostname: mx.test\nrules: %s\n", mistakes[i].rules);
        check_mistake(mistakes[i].rules, text, mistakes[i].wanted);
    }
}

static void sees_what_is_never_used(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        char text[512];
        struct settings s;
        struct config *c;
        struct view errors;

        (void)snprintf(text, sizeof(text), "hostname: mx.test\nrules:\n  - { %s }\n  - { %s }\n",
                       pairs[i].first, pairs[i].second);
        c = load_text(text, &s);
        errors = config_errors(c);
        check(text, (config_error_count(c) == 1) == pairs[i].shadowed);
        if (pairs[i].shadowed)
            check(text, view_starts(errors, VIEW("t.yaml:4:5: error: this rule is never used: the "
                                                 "one at t.yaml:3 takes its mail")));
        release(&s, c);
    }
}

/* ---- stages ---- */

static void knows_when_a_rule_is_sure(void **state)
{
    static const enum rule_stage wanted[] = {
        RULE_AT_CONNECT, /* does nothing final: it holds up nobody */
        RULE_AT_CONNECT, RULE_AT_HELO, RULE_AT_HELO, RULE_AT_MAIL, RULE_AT_MAIL,
        RULE_AT_RCPT,    RULE_AT_RCPT, RULE_AT_END,  RULE_AT_END,
    };
    struct settings s;
    struct config *c =
        load_text("hostname: mx.test\n"
                  "rules:\n"
                  "  - { time: mon, then: tag a }\n"
                  "  - { client: 192.0.2.1, then: refuse }\n"
                  "  - { helo: a.test, then: refuse }\n"
                  "  - { client: 192.0.2.2, then: refuse }\n"
                  "  - { login: ann, then: accept }\n"
                  "  - { helo: b.test, then: refuse }\n"
                  "  - { recipient: a@a.test, then: tag b }\n"
                  "  - { client: 192.0.2.3, except: { recipient: b@a.test }, then: hold }\n"
                  "  - { larger: 1M, then: hold }\n"
                  "  - { client: 192.0.2.4, then: hold }\n",
                  &s);

    (void)state;
    check_view("errors", config_errors(c), VIEW(""));
    for (size_t i = 0; i < COUNT_OF(wanted); i++)
        check(s.rules->all[i].origin, s.rules->all[i].stage == wanted[i]);
    release(&s, c);
}

/* ---- limits ---- */

/* clang-format off */
static const struct {
    const char *then;
    uint64_t count, span_ms;
    enum rule_key key;
    bool holds, by_recipient;
    const char *reply;
} limits[] = {
    { "limit 100/1h",                     100, 3600000,  RULE_BY_RULE,      false, false, "Too much mail, try again later (rule x)" },
    { "limit 1/90s by client",            1,   90000,    RULE_BY_CLIENT,    false, false, "Too much mail, try again later (rule x)" },
    { "limit 1/1d by network",            1,   86400000, RULE_BY_NETWORK,   false, false, "Too much mail, try again later (rule x)" },
    { "limit 5/10m by login or hold",     5,   600000,   RULE_BY_LOGIN,     true,  false, "beyond the limit of rule x" },
    { "LIMIT 5/10m  by  sender",          5,   600000,   RULE_BY_SENDER,    false, false, "Too much mail, try again later (rule x)" },
    { "limit 5/10m by recipient or hold", 5,   600000,   RULE_BY_RECIPIENT, true,  true,  "beyond the limit of rule x" },
    { "[limit 5/10m or hold, accept]",    5,   600000,   RULE_BY_RULE,      true,  false, "beyond the limit of rule x" },
};
/* clang-format on */

/* Nothing is counted before RCPT, so later rules wait for a limit that comes with a decision. */
static void reads_limits(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        const struct rule_action *a;
        struct config *c;
        struct settings s;
        char text[256];

        (void)snprintf(text, sizeof(text),
                       "hostname: mx.test\nrules: [{name: x, helo: a.test, then: %s}, {login: a, "
                       "then: refuse}]\n",
                       limits[i].then);
        c = load_text(text, &s);
        check_view(limits[i].then, config_errors(c), VIEW(""));
        a = &s.rules->all[0].actions[0];
        check(limits[i].then, a->act == RULE_LIMIT && a->key == limits[i].key);
        check(limits[i].then, a->rate.count == limits[i].count);
        check(limits[i].then, a->rate.span_ms == limits[i].span_ms);
        check(limits[i].then, a->holds == limits[i].holds);
        check(limits[i].then, s.rules->by_recipient == limits[i].by_recipient);
        assert_string_equal(a->reply, limits[i].reply);
        check(limits[i].then, s.rules->all[0].stage == RULE_AT_RCPT);
        check(limits[i].then, s.rules->all[1].stage ==
                                  (s.rules->all[0].decision != NULL ? RULE_AT_RCPT : RULE_AT_MAIL));
        release(&s, c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_one),
        cmocka_unit_test(reads_limits),
        cmocka_unit_test(a_pattern_that_fails_defers),
        cmocka_unit_test(a_name_that_is_not_known_defers),
        cmocka_unit_test(reports_mistakes),
        cmocka_unit_test(sees_what_is_never_used),
        cmocka_unit_test(knows_when_a_rule_is_sure),
    };

    return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
