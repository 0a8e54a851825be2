/* What it costs to ask rules: a message's walk at RCPT, or with 4 KiB of header, by number and kind
 * of the rules. Usage: bench_rules */
#include "common/memory.h"
#include "common/wire.h"
#include "ipc/rules.h"
#include "ipc/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TEXT_MAX = 4 << 20, WALKS = 100000 };

/* Of the processor: others may have it meanwhile. */
static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- what a rule asks for ---- */

static void put_mixed(struct buf *out, unsigned i)
{
    if (i % 4 == 0)
        buf_printf(out, "sender: u%u@d%u.test, then: refuse", i, i % 97);
    else if (i % 4 == 1)
        buf_printf(out, "client: 10.%u.%u.0/24, then: refuse", i / 256 % 256, i % 256);
    else if (i % 4 == 2)
        buf_printf(out, "recipient: \"@d%u.test\", login: u%u, then: tag t", i, i);
    else
        buf_printf(out, "helo: .h%u.test, then: refuse", i);
}

static void put_sender(struct buf *out, unsigned i)
{
    buf_printf(out, "sender: u%u@d%u.test, then: refuse", i, i % 97);
}

static void put_client(struct buf *out, unsigned i)
{
    buf_printf(out, "client: 10.%u.%u.0/24, then: refuse", i / 256 % 256, i % 256);
}

static void put_name(struct buf *out, unsigned i)
{
    buf_printf(out, "client-name: .h%u.test, then: refuse", i);
}

static void put_pattern(struct buf *out, unsigned i)
{
    buf_printf(out, "sender: '/news-?%u(-[a-z0-9]+)*@([a-z]+\\.)*d%u\\.test/', then: refuse", i,
               i % 97);
}

static void put_dated_pattern(struct buf *out, unsigned i)
{
    buf_printf(out, "sender: '/^[a-z]+-%u@.*[.]test$/', then: refuse", i);
}

static void put_header(struct buf *out, unsigned i)
{
    buf_printf(out, "header: { Subject: '/.*offer %u.*/' }, then: refuse", i);
}

static void put_open_pattern(struct buf *out, unsigned i)
{
    buf_printf(out, "helo: '/.*dyn%u.*/', then: refuse", i);
}

/* Values of the one rule that there is, each behind a comma. */
static void put_one_of_many(struct buf *out, unsigned i)
{
    buf_printf(out, "%s'/^[a-z]+-%u@.*[.]test$/'", i == 0 ? "" : ", ", i);
}

static const struct kind {
    const char *name;
    void (*put)(struct buf *out, unsigned i);
    enum rule_stage stage;
} kinds[] = {
    { "mixed", put_mixed, RULE_AT_RCPT },
    { "senders", put_sender, RULE_AT_RCPT },
    { "networks", put_client, RULE_AT_RCPT },
    { "client names", put_name, RULE_AT_RCPT },
    { "patterns", put_pattern, RULE_AT_RCPT },
    { "patterns that begin with .*", put_open_pattern, RULE_AT_RCPT },
    { "patterns of numbers", put_dated_pattern, RULE_AT_RCPT },
    { "patterns of headers", put_header, RULE_AT_END },
    { "patterns of one rule", put_one_of_many, RULE_AT_RCPT },
};

static void put_rules(struct buf *out, unsigned count, void (*put)(struct buf *, unsigned))
{
    bool one = put == put_one_of_many;

    buf_printf(out, "hostname: mx.test\ndns: {servers: [192.0.2.53]}\nrules:%s\n",
               count == 0 ? " []" : "");
    if (one)
        buf_printf(out, "  - then: refuse\n    sender: [");
    for (unsigned i = 0; i < count; i++) {
        buf_put(out, one ? VIEW_EMPTY : VIEW("  - { "));
        put(out, i);
        buf_put(out, one ? VIEW_EMPTY : VIEW(" }\n"));
    }
    if (one)
        buf_printf(out, "]\n");
}

static void measure(const struct kind *kind, unsigned count, unsigned walks)
{
    static char header[4096];
    struct buf lines = BUF_ON_ARRAY(header);
    const struct net_address client = { .family = AF_INET, .bytes = { 192, 0, 2, 1 } };
    struct rule_facts f = { .listener = VIEW_INIT("*:25"),
                            .client = &client,
                            .client_name = VIEW_INIT("client.example.test"),
                            .helo = VIEW_INIT("client.example.test"),
                            .sender = VIEW_INIT("alice-471@example.org"),
                            .recipient = VIEW_INIT("bob@here.test") };
    struct error err = { "" };
    struct wire_writer w;
    struct buf text, room;
    struct settings s;
    struct config *c;
    struct view bundle;
    double begin, middle, end;
    size_t size;
    char *tail;

    for (unsigned i = 0; buf_space(&lines) > 100; i++)
        buf_printf(&lines, "X-Field-%u: the quick brown fox jumps over the lazy dog\r\n", i);
    f.header = buf_view(&lines);
    buf_new(&text, TEXT_MAX);
    buf_new(&room, TEXT_MAX + 1024);
    put_rules(&text, count, kind->put);
    tail = buf_tail(&room, &size);
    w = wire_write(tail, size);
    wire_put_u32(&w, 1);
    wire_put_view(&w, VIEW("t.yaml"));
    wire_put_view(&w, buf_view(&text));
    wire_put_u32(&w, 0);
    if (!wire_finish(&w, &bundle))
        abort();
    begin = seconds();
    c = config_parse(bundle);
    settings_read(&s, c);
    if (config_error_count(c) > 0 || rules_prepare(s.rules, &err) < 0)
        abort();
    middle = seconds();
    for (unsigned i = 0; i < walks; i++) {
        if (rules_walk(s.rules, &f, kind->stage, NULL, NULL) != NULL)
            abort();
    }
    end = seconds();
    printf("%6u rules, %-27s %9.2f us a walk, %6.1f ms to load\n", count, kind->name,
           (end - middle) * 1e6 / walks, (middle - begin) * 1e3);
    settings_release(&s);
    config_free(&c);
    buf_free(&text);
    buf_free(&room);
}

int main(void)
{
    measure(&kinds[0], 0, WALKS);
    measure(&kinds[0], 10, WALKS);
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        measure(&kinds[i], 1000, WALKS / 10);
        measure(&kinds[i], 10000, WALKS / 10);
    }
    return 0;
}
