/* The index over many rules finds what a look at each of them in turn finds. */
#include "ipc/rules.h"

#include "tests/unit/ipc/settings_text.h"

#include <stdio.h>

static uint64_t seed = 42;

static unsigned pick(unsigned count)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % count;
}

enum { CONDITIONS = 10 };

static void put_condition(unsigned i, struct buf *out)
{
    unsigned a = pick(4), b = pick(4);

    if (i == 0 && a > 2)
        buf_printf(out, "sender: u%u@d%u.test", a, b);
    else if (i == 0 && a > 1)
        buf_printf(out, "sender: '/u[0-%u]@.*/'", b);
    else if (i == 0 && a > 0)
        buf_printf(out, "sender: ['/.*@d%u[.]te\xc5\xbft/', u1@d%u.test, '/u%u@x.*/']", b, a, b);
    else if (i == 0)
        buf_printf(out, "sender: [\"@d%u.test\", \"@.d%u.test\"]", a, b);
    else if (i == 1 && b > 1)
        buf_printf(out, "recipient: '/u%u(|[+]x)@d[%u2]\\.test/'", a, b);
    else if (i == 1)
        buf_printf(out, "recipient: [u%u@d1.test, \"@d%u.test\"]", a, b);
    else if (i == 2)
        buf_printf(out, "client: [10.%u.0.0/16, 10.0.%u.0/24]", a, b);
    else if (i == 3)
        buf_printf(out, "login: u%u", a);
    else if (i == 4)
        buf_printf(out, "helo: [h%u.test, .h%u.test]", a, b);
    else if (i == 5)
        buf_printf(out, b > 1 ? "client-name: '/.*[.]h%u[.]test/'" : "client-name: .h%u.test", a);
    else if (i == 6)
        buf_printf(out, "tls: none");
    else if (i == 7)
        buf_printf(out, "header: { X: [h%u, '/.*very %u.*/'] }", a, b);
    else if (i == 8)
        buf_printf(out, "listener: \"*:25\"");
    else
        buf_printf(out, "larger: %uK", 1 + a);
}

static void put_conditions(struct buf *out)
{
    bool first = true;

    for (unsigned i = pick(4); i < CONDITIONS; i += 1 + pick(CONDITIONS)) {
        buf_printf(out, "%s", first ? "" : ", ");
        put_condition(i, out);
        first = false;
    }
    if (first)
        buf_printf(out, "helo: h%u.test", pick(4));
}

struct trail {
    uint32_t numbers[256];
    size_t count;
};

static void on_matched(void *context, const struct rule *rule)
{
    struct trail *t = context;

    if (t->count < COUNT_OF(t->numbers))
        t->numbers[t->count++] = rule->number;
}

static const struct rule *walk_slowly(const struct rules *r, const struct rule_facts *f,
                                      enum rule_stage stage, struct trail *t)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct rule *rule = &r->all[i];

        if (rule->stage > stage || rules_match(r, rule, f, rule_known_at(stage)) != RULE_YES)
            continue;
        on_matched(t, rule);
        if (rule->decision != NULL)
            return rule;
    }
    return NULL;
}

static void put_header(unsigned kind, char *out, size_t size)
{
    if (kind == 0)
        (void)snprintf(out, size, "X: h%u\r\n", pick(4));
    else if (kind == 1)
        (void)snprintf(out, size, "X: is very\r\n %u times\r\n", pick(4));
    else
        (void)snprintf(out, size, "Y: very %u\r\nX: h\r\n", pick(4));
}

static uint64_t header_id;

static void check_walk(const struct rules *r)
{
    char sender[32], rcpt[40], base[32], login[8], helo[32], name[32], header[32];
    struct net_address client = {
        .family = AF_INET, .bytes = { 10, (uint8_t)pick(4), (uint8_t)pick(4), (uint8_t)pick(4) }
    };
    struct rule_facts f = { .client = &client, .listener = VIEW("*:25"), .size = pick(5000) };

    (void)snprintf(sender, sizeof(sender), "u%u@%sd%u.test", pick(4), pick(2) ? "x." : "", pick(4));
    (void)snprintf(base, sizeof(base), "U%u@d%u.test", pick(4), pick(4));
    (void)snprintf(rcpt, sizeof(rcpt), "U%c+x@%s", base[1], base + 3);
    (void)snprintf(login, sizeof(login), "u%u", pick(6));
    (void)snprintf(helo, sizeof(helo), "%sh%u.test", pick(2) ? "a.b." : "", pick(4));
    (void)snprintf(name, sizeof(name), "a.h%u.test", pick(4));
    put_header(pick(3), header, sizeof(header));
    f.sender = view_of(sender);
    f.recipient = view_of(pick(2) ? rcpt : base);
    f.recipient_base = f.recipient.ptr == rcpt ? view_of(base) : VIEW_EMPTY;
    f.login = pick(2) ? view_of(login) : VIEW_EMPTY;
    f.helo = view_of(helo);
    f.client_name = pick(2) ? view_of(name) : VIEW_EMPTY;
    f.header = view_of(header);
    f.header_id = pick(2) ? ++header_id : 0;
    for (unsigned stage = 0; stage < RULE_STAGES; stage++) {
        struct trail fast = { .count = 0 }, slow = { .count = 0 };

        assert_ptr_equal(rules_walk(r, &f, (enum rule_stage)stage, on_matched, &fast),
                         walk_slowly(r, &f, (enum rule_stage)stage, &slow));
        assert_int_equal(fast.count, slow.count);
        assert_memory_equal(fast.numbers, slow.numbers, fast.count * sizeof(*fast.numbers));
    }
}

static void finds_by_its_index_what_a_walk_finds(void **state)
{
    static char text[1 << 18];

    (void)state;
    for (unsigned run = 0; run < 20; run++) {
        struct buf out = BUF_ON_ARRAY(text);
        struct error err = { "" };
        struct settings s;
        struct config *c;

        buf_printf(&out, "hostname: mx.test\nrules:\n");
        for (unsigned i = 0; i < 100 + run; i++) {
            buf_printf(&out, "  - { ");
            put_conditions(&out);
            buf_printf(&out, ", then: %s }\n", pick(4) > 0 ? "tag t" : "refuse");
        }
        buf_put_byte(&out, '\0');
        c = read_text(text, &s);
        check_view("errors", config_errors(c), VIEW(""));
        assert_int_equal(rules_prepare(s.rules, &err), 0);
        for (unsigned i = 0; i < 200; i++)
            check_walk(s.rules);
        release(&s, c);
    }
}

/* It may be long, and there may be a thousand recipients. */
static void a_header_is_looked_at_once(void **state)
{
    struct settings s;
    struct config *c = read_text("hostname: mx.test\n"
                                 "rules:\n"
                                 "  - { recipient: a@b.test, then: tag x }\n"
                                 "  - { header: { X: /.*word/ }, then: refuse }\n"
                                 "  - { helo: '*', header: { X: 'no' }, then: refuse 551 x }\n",
                                 &s);
    struct rule_facts f = { .header = VIEW("X: a word\r\n"), .header_id = 7, .helo = VIEW("h") };
    struct error err = { "" };

    (void)state;
    assert_int_equal(rules_prepare(s.rules, &err), 0);
    assert_ptr_equal(rules_walk(s.rules, &f, RULE_AT_HEADER, NULL, NULL), &s.rules->all[1]);
    f.header = VIEW("X: no\r\n"); /* which is not looked at */
    assert_ptr_equal(rules_walk(s.rules, &f, RULE_AT_HEADER, NULL, NULL), &s.rules->all[1]);
    f.header_id++;
    assert_ptr_equal(rules_walk(s.rules, &f, RULE_AT_HEADER, NULL, NULL), &s.rules->all[2]);
    f.header = VIEW("X: a word\r\n");
    assert_ptr_equal(rules_walk(s.rules, &f, RULE_AT_HEADER, NULL, NULL), &s.rules->all[2]);
    f.header_id = 0;
    assert_ptr_equal(rules_walk(s.rules, &f, RULE_AT_HEADER, NULL, NULL), &s.rules->all[1]);
    release(&s, c);
}

/* ---- many patterns of one rule ---- */

static void put_pieces(struct buf *out, const char *const *pieces, unsigned count)
{
    buf_clear(out);
    for (unsigned i = 1 + pick(4); i > 0; i--)
        buf_printf(out, "%s", pieces[pick(count)]);
    buf_put_byte(out, '\0');
}

static void patterns_of_a_rule_are_each_of_them(void **state)
{
    static const char *const of_patterns[] = { "a",     "ab", "abc",     "K",    "sky", "x?",
                                               "[0-9]", ".*", "(q|abc)", "long", "b+",  "\\." };
    static const char *const of_texts[] = { "a", "ab", "abc",  "k",  "SKY", "x",         "7",
                                            "",  "q",  "long", "bb", ".",   "\xc5\xbfky" };
    static char text[1 << 12];
    unsigned matched = 0;

    (void)state;
    for (unsigned run = 0; run < 200; run++) {
        struct buf out = BUF_ON_ARRAY(text);
        struct pattern *patterns[20];
        unsigned count = 1 + pick(COUNT_OF(patterns));
        char bytes[64];
        struct buf piece = BUF_ON_ARRAY(bytes);
        struct error err = { "" };
        struct settings s;
        struct config *c;

        buf_printf(&out, "hostname: mx.test\nrules:\n  - then: refuse\n    helo:\n");
        for (unsigned i = 0; i < count; i++) {
            put_pieces(&piece, of_patterns, COUNT_OF(of_patterns));
            buf_printf(&out, "      - '/%s/'\n", bytes);
            patterns[i] = pattern_new(view_of(bytes), &err);
            assert_non_null(patterns[i]);
        }
        buf_put_byte(&out, '\0');
        c = read_text(text, &s);
        check_view("errors", config_errors(c), VIEW(""));
        assert_int_equal(rules_prepare(s.rules, &err), 0);
        for (unsigned i = 0; i < 200; i++) {
            struct rule_facts f = { .listener = VIEW("*:25") };
            bool wanted = false;

            put_pieces(&piece, of_texts, COUNT_OF(of_texts));
            f.helo = view_of(bytes);
            for (unsigned j = 0; j < count; j++)
                wanted = wanted || pattern_match(patterns[j], f.helo) == PATTERN_YES;
            matched += wanted;
            check(bytes, (rules_walk(s.rules, &f, RULE_AT_END, NULL, NULL) != NULL) == wanted);
        }
        for (unsigned i = 0; i < count; i++)
            pattern_free(&patterns[i]);
        release(&s, c);
    }
    assert_in_range(matched, 1000, 39000);
}

/* ---- lists ---- */

static void asks_lists_that_change(void **state)
{
    struct net_address client = { .family = AF_INET, .bytes = { 192, 0, 2, 1 } };
    struct rule_facts f = { .client = &client, .sender = VIEW("a@b.test") };
    struct error err = { "" };
    struct settings s;
    struct config *c = read_text("hostname: mx.test\n"
                                 "rules:\n"
                                 "  - { client: file:/list, then: refuse }\n"
                                 "  - { sender: [x@y.test, file:/list], then: refuse }\n",
                                 &s);

    (void)state;
    check_view("errors", config_errors(c), VIEW(""));
    assert_int_equal(s.rules->list_count, 1);
    assert_int_equal(rules_prepare(s.rules, &err), 0);
    assert_null(rules_walk(s.rules, &f, RULE_AT_END, NULL, NULL));
    rule_list_load(&s.rules->lists[0], VIEW("# networks\n192.0.2.0/24 # ours\n\n"));
    assert_ptr_equal(rules_walk(s.rules, &f, RULE_AT_END, NULL, NULL), &s.rules->all[0]);
    rule_list_load(&s.rules->lists[0], VIEW("  @b.test\r\n"));
    assert_ptr_equal(rules_walk(s.rules, &f, RULE_AT_END, NULL, NULL), &s.rules->all[1]);
    rule_list_load(&s.rules->lists[0], VIEW(""));
    assert_null(rules_walk(s.rules, &f, RULE_AT_END, NULL, NULL));
    release(&s, c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_by_its_index_what_a_walk_finds),
        cmocka_unit_test(a_header_is_looked_at_once),
        cmocka_unit_test(patterns_of_a_rule_are_each_of_them),
        cmocka_unit_test(asks_lists_that_change),
    };

    return cmocka_run_group_tests_name("rules_index", tests, NULL, NULL);
}
