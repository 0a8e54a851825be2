/* What it costs to ask rules: a message's walk at RCPT, by the number of rules. Usage: bench_rules
 */
#include "common/memory.h"
#include "common/wire.h"
#include "ipc/rules.h"
#include "ipc/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TEXT_MAX = 4 << 20, WALKS = 100000 };

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void put_rules(struct buf *out, unsigned count)
{
    buf_printf(out, "hostname: mx.test\ndns: {servers: [192.0.2.53]}\nrules:%s\n",
               count == 0 ? " []" : "");
    for (unsigned i = 0; i < count; i++) {
        if (i % 4 == 0)
            buf_printf(out, "  - { sender: u%u@d%u.test, then: refuse }\n", i, i % 97);
        else if (i % 4 == 1)
            buf_printf(out, "  - { client: 10.%u.%u.0/24, then: refuse }\n", i / 256 % 256,
                       i % 256);
        else if (i % 4 == 2)
            buf_printf(out, "  - { recipient: \"@d%u.test\", login: u%u, then: tag t }\n", i, i);
        else
            buf_printf(out, "  - { helo: .h%u.test, then: refuse }\n", i);
    }
}

static void measure(unsigned count)
{
    const struct net_address client = { .family = AF_INET, .bytes = { 192, 0, 2, 1 } };
    const struct rule_facts f = { .listener = VIEW_INIT("*:25"),
                                  .client = &client,
                                  .helo = VIEW_INIT("client.example.test"),
                                  .sender = VIEW_INIT("alice@example.test"),
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

    buf_new(&text, TEXT_MAX);
    buf_new(&room, TEXT_MAX + 1024);
    put_rules(&text, count);
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
    for (unsigned i = 0; i < WALKS; i++) {
        if (rules_walk(s.rules, &f, RULE_AT_RCPT, NULL, NULL) != NULL)
            abort();
    }
    end = seconds();
    printf("%6u rules: %7.0f ns a walk, %6.1f ms to load\n", count, (end - middle) * 1e9 / WALKS,
           (middle - begin) * 1e3);
    settings_release(&s);
    config_free(&c);
    buf_free(&text);
    buf_free(&room);
}

int main(void)
{
    measure(0);
    measure(10);
    measure(1000);
    measure(10000);
    return 0;
}
