/* Rules from any text: what is understood can be asked, and its index finds what a look at each
 * rule in turn finds. */
#include "common/memory.h"
#include "common/wire.h"
#include "ipc/rules.h"
#include "ipc/settings.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

enum { INPUT_MAX = 8192 };

/* As master hands it to the others; the room must live as long as the config. */
static struct config *parse(const char *text, size_t len, char *room, size_t size)
{
    struct wire_writer w = wire_write(room, size);
    struct view bundle;

    wire_put_u32(&w, 1);
    wire_put_view(&w, VIEW("t.yaml"));
    wire_put_view(&w, view_make(text, len));
    wire_put_u32(&w, 0);
    assert(wire_finish(&w, &bundle));
    return config_parse(bundle);
}

static const struct rule *walk_slowly(const struct rules *r, const struct rule_facts *f,
                                      enum rule_stage stage)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct rule *rule = &r->all[i];

        if (rule->stage <= stage && rule->decision != NULL &&
            rules_match(r, rule, f, rule_known_at(stage)) >= RULE_YES)
            return rule;
    }
    return NULL;
}

/* One whose pattern fails is answered by its stand-in. */
static void check(const struct rule *found, const struct rule *wanted)
{
    assert(found == wanted || (found != NULL && wanted != NULL && found == wanted->unsure));
}

static void ask(const struct rules *r)
{
    static const struct net_address client = { .family = AF_INET, .bytes = { 192, 0, 2, 1 } };
    const struct rule_facts facts[] = {
        { .client = &client },
        { .listener = VIEW_INIT("mx"),
          .client = &client,
          .client_name = VIEW_INIT("a.host.test"),
          .login = VIEW_INIT("ann"),
          .helo = VIEW_INIT("a.host.test"),
          .sender = VIEW_INIT("ann@a.host.test"),
          .recipient = VIEW_INIT("bob@here.test"),
          .tls = VIEW_INIT("TLSv1.3 X"),
          .header = VIEW_INIT("Subject: a\r\n b\r\nX: y\r\nnot a field\r\n"),
          .size = 2000,
          .week_minute = 2000 },
    };

    for (size_t i = 0; i < COUNT_OF(facts); i++) {
        for (unsigned stage = 0; stage < RULE_STAGES; stage++)
            check(rules_walk(r, &facts[i], (enum rule_stage)stage, NULL, NULL),
                  walk_slowly(r, &facts[i], (enum rule_stage)stage));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const char before[] = "hostname: mx.test\ndns: {servers: [192.0.2.53]}\nrules:\n";
    static char text[INPUT_MAX + sizeof(before)], room[INPUT_MAX + 1024];
    struct error err = { "" };
    struct settings s;
    struct config *c;

    if (len > INPUT_MAX)
        return 0;
    memcpy(text, before, sizeof(before) - 1);
    if (len > 0)
        memcpy(text + sizeof(before) - 1, bytes, len);
    c = parse(text, sizeof(before) - 1 + len, room, sizeof(room));
    settings_read(&s, c);
    if (config_error_count(c) == 0 && rules_prepare(s.rules, &err) == 0) {
        for (size_t i = 0; i < s.rules->list_count; i++)
            rule_list_load(&s.rules->lists[i], VIEW("192.0.2.0/24\n@a.host.test\n"));
        ask(s.rules);
    }
    settings_release(&s);
    config_free(&c);
    return 0;
}
