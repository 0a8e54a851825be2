/* How clients that may not relay for their address are met. */
#include "common/attrs.h"
#include "ipc/settings_rows.h"

enum {
    GREET_DELAY_MAX_MS = 60000,
    SLOW_MAX_MS = 30000,
    LIST_TIMEOUT_MAX_MS = 30000,
    LISTS_MAX = 16
};

static void read_block_lists(struct config *c, struct config_node *n, void *section);
static void read_allow_lists(struct config *c, struct config_node *n, void *section);

#define STRANGERS(key, kind, field, low, high, value, text)                                        \
    NUMBER(key, kind, struct strangers_settings, field, low, high, value, text)
/* clang-format off */
static const struct config_item items[] = {
    STRANGERS("greet-delay",  SECONDS, greet_delay_ms, 0, GREET_DELAY_MAX_MS, "0s",
              "time before the greeting; who talks in it is sent away (not under implicit TLS)"),
    STRANGERS("slow-after",   COUNT,   slow_after,     0, 100000,             "3",
              "refused commands of a session, after which each further one is answered late"),
    STRANGERS("slow-by",      SECONDS, slow_ms,        0, SLOW_MAX_MS,        "1s",
              "by how much; 0: never"),
    STRANGERS("content-rate", BYTES,   content_rate,   0, MIB,                "100",
              "bytes of a message a second, measured after its first minute, that are the least; 0: any"),
    READ("block-lists", read_block_lists, false, "[]",
         "zones of the DNS that list addresses to refuse mail from, each perhaps with the answers that count"),
    READ("allow-lists", read_allow_lists, false, "[]",
         "zones that list addresses for which the block-lists do not count"),
    STRANGERS("list-timeout", SECONDS, list_timeout_ms, 1, LIST_TIMEOUT_MAX_MS, "5s",
              "patience with them; who does not answer does not list"),
};
/* clang-format on */

const struct settings_table settings_strangers = { "strangers", items, COUNT_OF(items) };

static bool parse_answer(struct view text, struct net_block *out)
{
    static const struct net_block all = { { .family = AF_INET, .bytes = { 127 } }, 8 };

    return net_parse_block(text, out) && out->base.family == AF_INET && out->prefix >= 8 &&
           net_block_has(&all, &out->base);
}

/* "bl.example.org 127.0.0.2 127.0.0.4/30" */
static bool parse_list(struct config *c, struct view text, struct list_settings *l)
{
    size_t most = 1;
    struct net_block *blocks;

    for (size_t i = 0; i < text.len; i++)
        most += text.ptr[i] == ' ';
    blocks = config_alloc(c, most, sizeof(*blocks));
    l->zone = view_take_word(&text);
    if (!domain_valid(l->zone, false))
        return false;
    for (text = view_trim(text); text.len > 0; text = view_trim(text)) {
        if (!parse_answer(view_take_word(&text), &blocks[l->answers.count]))
            return false;
        l->answers.count++;
    }
    l->answers.blocks = blocks;
    return true;
}

static void read_lists(struct config *c, struct config_node *n, struct strangers_settings *s,
                       bool allow)
{
    struct view text;

    if (s->lists == NULL)
        s->lists = config_alloc(c, LISTS_MAX, sizeof(*s->lists));
    if (!config_is_list(n)) {
        config_report(c, n, "expected a list of zones, \"[bl.example.org]\"");
        return;
    }
    for (size_t i = 0; i < config_count(n); i++) {
        struct list_settings *l = &s->lists[s->list_count];

        if (s->list_count == LISTS_MAX) {
            config_report(c, config_at(n, i), "more than %d lists", LISTS_MAX);
            return;
        }
        *l = (struct list_settings){ .allow = allow };
        if (config_scalar(config_at(n, i), &text) && parse_list(c, text, l))
            s->list_count++;
        else
            config_report(c, config_at(n, i),
                          "expected a zone, and perhaps answers within 127.0.0.0/8: "
                          "\"bl.example.org 127.0.0.2 127.0.0.4/30\"");
    }
}

static void read_block_lists(struct config *c, struct config_node *n, void *section)
{
    read_lists(c, n, section, false);
}

static void read_allow_lists(struct config *c, struct config_node *n, void *section)
{
    read_lists(c, n, section, true);
}

void settings_read_strangers(struct config *c, struct config_node *n, void *section)
{
    config_section(c, n, items, COUNT_OF(items), &((struct settings *)section)->strangers);
}
