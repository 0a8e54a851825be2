/* Rules: what they ask for. settings_then.c reads what they do. */
#include "ipc/settings_rules.h"

#include "common/attrs.h"
#include "ipc/settings_rows.h"

#include <stdio.h>
#include <string.h>

static void read_name(struct config *c, struct config_node *n, void *section);
static void read_except(struct config *c, struct config_node *n, void *section);
static void read_listener(struct config *c, struct config_node *n, void *section);
static void read_client(struct config *c, struct config_node *n, void *section);
static void read_client_name(struct config *c, struct config_node *n, void *section);
static void read_login(struct config *c, struct config_node *n, void *section);
static void read_helo(struct config *c, struct config_node *n, void *section);
static void read_sender(struct config *c, struct config_node *n, void *section);
static void read_recipient(struct config *c, struct config_node *n, void *section);
static void read_tls(struct config *c, struct config_node *n, void *section);
static void read_header(struct config *c, struct config_node *n, void *section);
static void read_time(struct config *c, struct config_node *n, void *section);

#define SIZE(key, field, text)                                                                     \
    NUMBER(key, BYTES, struct rule_conditions, field, 1, 1024 * GIB, NULL, text)
/* clang-format off */
#define CONDITIONS                                                                                 \
    READ("listener",    read_listener,    false, NULL, "its name"),                               \
    READ("client",      read_client,      false, NULL, "the client's address, or a network"),     \
    READ("client-name", read_client_name, false, NULL,                                            \
         "the name that belongs to its address, or .example.org: all names below it"),            \
    READ("login",       read_login,       false, NULL, "who has logged in"),                      \
    READ("helo",        read_helo,        false, NULL, "what it calls itself, or .example.org"),  \
    READ("sender",      read_sender,      false, NULL,                                            \
         "the envelope's: an address, @example.org, @.example.org or <>"),                        \
    READ("recipient",   read_recipient,   false, NULL, "one of the envelope's, likewise"),        \
    SIZE("larger",  larger,  "the message has more bytes than that"),                             \
    SIZE("smaller", smaller, "it has fewer"),                                                     \
    READ("header",      read_header,      false, NULL,                                            \
         "fields of the message's header by name, and what stands in them"),                      \
    READ("tls",         read_tls,         false, NULL, "none, or the protocol: TLSv1.2, TLSv1.3"), \
    READ("time",        read_time,        false, NULL,                                            \
         "local time: \"mon-fri 08:00-18:00\", \"sat,sun\" or \"22:00-06:00\"")

static const struct config_item items[] = {
    READ("name", read_name, false, NULL,
         "what the log, the reply and tern explain call it"),
    CONDITIONS,
    READ("except", read_except, false, NULL,
         "conditions as above: where they all hold, the rule does not match"),
    READ("then", settings_read_then, true, NULL, "what is done: one action, or a list of them"),
};
static const struct config_item condition_items[] = { CONDITIONS };
/* clang-format on */

const struct settings_table settings_rules_table = { "rules", items, COUNT_OF(items) };

/* ---- values ---- */

/* The number of the list in the file; many rules may ask the same. */
static bool find_list(struct config *c, struct config_node *n, struct rules *r, struct view path,
                      uint32_t *number)
{
    for (uint32_t i = 0; i < r->list_count; i++) {
        if (view_equal(r->lists[i].path, path)) {
            *number = i;
            return true;
        }
    }
    if (path.len == 0 || path.ptr[0] != '/') {
        config_report(c, n, "expected file: and an absolute path");
        return false;
    }
    if (r->list_count == RULE_LISTS_MAX) {
        config_report(c, n, "there may be at most %d files of lists", RULE_LISTS_MAX);
        return false;
    }
    *number = (uint32_t)r->list_count++;
    r->lists[*number] = (struct rule_list){ .path = path, .node = n };
    return true;
}

static bool is_tls(struct view text)
{
    return view_equal_nocase(text, VIEW("none")) || view_equal(text, VIEW("*")) ||
           view_starts_nocase(text, VIEW("TLSv1"));
}

static bool is_host(struct view text)
{
    (void)view_take_byte(&text, '.');
    return domain_valid(text, true) || (text.len > 0 && text.ptr[0] == '[');
}

/* "bob@example.org", "@example.org", "@.example.org", "<>", "postmaster" */
static bool is_address(struct view text)
{
    struct address a;

    if (view_equal(text, VIEW("<>")))
        return true;
    if (view_take_byte(&text, '@'))
        return is_host(text);
    return address_parse(text, true, &a);
}

/* NULL: it is a value of this kind. */
static const char *find_fault(enum rule_field field, struct view text)
{
    struct net_block block;

    if (field == RULE_CLIENT)
        return net_parse_block(text, &block)
                   ? NULL
                   : "expected a network such as 192.0.2.0/24, an address, or file:/PATH";
    if (settings_take_pattern(&text) || view_equal(text, VIEW("*")))
        return NULL;
    if (field == RULE_TLS)
        return is_tls(text) ? NULL : "expected none, TLSv1.2, TLSv1.3 or \"*\" for any";
    if (field == RULE_SENDER || field == RULE_RECIPIENT)
        return is_address(text) ? NULL
                                : "expected an address, \"@example.org\", \"@.example.org\", <>, a "
                                  "/pattern/ or file:/PATH";
    if (field == RULE_HELO || field == RULE_CLIENT_NAME)
        return is_host(text) ? NULL : "expected a name, .example.org, a /pattern/ or file:/PATH";
    return NULL;
}

static void add_value(struct config *c, struct config_node *n, struct rules *r,
                      enum rule_field field, struct rule_values *v)
{
    struct view text, path;
    const char *fault;
    uint32_t list;

    if (!config_scalar(n, &text) || text.len == 0) {
        config_report(c, n, "expected a value, or a list of values");
        return;
    }
    path = text;
    if (view_take(&path, VIEW("file:"))) {
        if (find_list(c, n, r, path, &list))
            v->lists[v->list_count++] = list;
    } else if ((fault = find_fault(field, text)) != NULL) {
        config_report(c, n, "%s", fault);
        return;
    }
    v->nodes[v->count] = n;
    v->texts[v->count++] = text;
}

static void read_values(struct config *c, struct config_node *n, struct rules *r,
                        enum rule_field field, struct rule_values *v)
{
    size_t count = config_is_list(n) ? config_count(n) : 1;

    v->texts = config_alloc(c, MAX(count, 1), sizeof(*v->texts));
    v->lists = config_alloc(c, MAX(count, 1), sizeof(*v->lists));
    v->nodes = config_alloc(c, MAX(count, 1), sizeof(struct config_node *));
    if (count == 0)
        config_report(c, n, "an empty list never holds");
    for (size_t i = 0; i < count; i++)
        add_value(c, config_is_list(n) ? config_at(n, i) : n, r, field, v);
}

static void read_field(struct config *c, struct config_node *n, enum rule_field field,
                       void *section)
{
    struct rule_conditions *conditions = section;

    conditions->fields[field] = config_alloc(c, 1, sizeof(struct rule_values));
    read_values(c, n, conditions->rules, field, conditions->fields[field]);
}

#define READER(name, field)                                                                        \
    static void name(struct config *c, struct config_node *n, void *section)                       \
    {                                                                                              \
        read_field(c, n, field, section);                                                          \
    }
READER(read_listener, RULE_LISTENER)
READER(read_client, RULE_CLIENT)
READER(read_client_name, RULE_CLIENT_NAME)
READER(read_login, RULE_LOGIN)
READER(read_helo, RULE_HELO)
READER(read_sender, RULE_SENDER)
READER(read_recipient, RULE_RECIPIENT)
READER(read_tls, RULE_TLS)

static void read_header(struct config *c, struct config_node *n, void *section)
{
    struct rule_conditions *conditions = section;

    if (!config_is_map(n) || config_count(n) == 0) {
        config_report(c, n, "expected fields, \"{ Subject: /.*sale.*/ }\"");
        return;
    }
    conditions->headers = config_alloc(c, config_count(n), sizeof(*conditions->headers));
    for (size_t i = 0; i < config_count(n); i++) {
        struct rule_header *h = &conditions->headers[conditions->header_count++];

        if (!config_scalar(config_key_at(n, i), &h->name) || !settings_is_field_name(h->name))
            config_report(c, config_key_at(n, i), "expected the name of a header field");
        read_values(c, config_at(n, i), conditions->rules, RULE_FIELDS, &h->values);
    }
}

/* ---- time ---- */

static bool take_day(struct view *text, unsigned *day)
{
    static const char days[] = "montuewedthufrisatsun";

    for (*day = 0; *day < 7; (*day)++) {
        if (view_take_nocase(text, view_make(days + (size_t)*day * 3, 3)))
            return true;
    }
    return false;
}

/* "mon-fri", "sat,sun", "fri-mon" */
static bool parse_days(struct view text, unsigned *days)
{
    do {
        unsigned first, last;

        if (!take_day(&text, &first))
            return false;
        last = first;
        if (view_take_byte(&text, '-') && !take_day(&text, &last))
            return false;
        for (; first != last; first = (first + 1) % 7)
            *days |= 1u << first;
        *days |= 1u << last;
    } while (view_take_byte(&text, ','));
    return text.len == 0;
}

static bool parse_clock(struct view text, unsigned *minute)
{
    struct view hours = view_take_until(&text, ':');
    uint64_t h, m;

    if (hours.len == 0 || hours.len > 2 || text.len != 2 || !view_to_u64(hours, 24, &h) ||
        !view_to_u64(text, 59, &m) || h * 60 + m > 1440)
        return false;
    *minute = (unsigned)(h * 60 + m);
    return true;
}

static bool parse_window(struct view text, struct rule_window *w)
{
    struct view days = view_take_word(&text), first;

    *w = (struct rule_window){ .days = 0x7f, .to = 1440 };
    if (days.len > 0 && byte_is_alpha(days.ptr[0])) {
        w->days = 0;
        if (!parse_days(days, &w->days))
            return false;
        if (text.len == 0)
            return true;
    } else {
        text = days;
    }
    first = view_take_until(&text, '-');
    return parse_clock(first, &w->from) && parse_clock(text, &w->to) && w->from < 1440;
}

static void read_time(struct config *c, struct config_node *n, void *section)
{
    struct rule_conditions *conditions = section;
    size_t count = config_is_list(n) ? config_count(n) : 1;

    conditions->windows = config_alloc(c, MAX(count, 1), sizeof(*conditions->windows));
    for (size_t i = 0; i < count; i++) {
        struct config_node *at = config_is_list(n) ? config_at(n, i) : n;
        struct view text;

        if (!config_scalar(at, &text) ||
            !parse_window(text, &conditions->windows[conditions->window_count]))
            config_report(c, at,
                          "expected a time: \"mon-fri 08:00-18:00\", \"sat,sun\" or "
                          "\"22:00-06:00\"");
        else
            conditions->window_count++;
    }
}

/* ---- rules ---- */

static void read_name(struct config *c, struct config_node *n, void *section)
{
    struct rule *rule = section;

    if (!config_scalar(n, &rule->name) || !settings_is_name(rule->name))
        config_report(c, n, "expected a name of a-z A-Z 0-9 . _ -, at most %d of them",
                      SETTINGS_NAME_MAX);
}

static void read_except(struct config *c, struct config_node *n, void *section)
{
    struct rule *rule = section;

    rule->has_except = true;
    rule->except.rules = rule->match.rules;
    config_section(c, n, condition_items, COUNT_OF(condition_items), &rule->except);
}

static void label_rule(struct config *c, struct rule *rule)
{
    char *label;

    rule->label = rule->origin;
    if (rule->name.len == 0)
        return;
    label = config_alloc(c, rule->name.len + 1, 1);
    memcpy(label, rule->name.ptr, rule->name.len);
    rule->label = label;
}

static bool changes_header(const struct rule *rule)
{
    for (size_t i = 0; i < rule->action_count; i++) {
        enum rule_act act = rule->actions[i].act;

        if (act == RULE_ADD_HEADER || act == RULE_REMOVE_HEADER || act == RULE_REPLACE_HEADER)
            return true;
    }
    return false;
}

static bool routes(const struct rule *rule)
{
    for (size_t i = 0; i < rule->action_count; i++) {
        if (rule->actions[i].act == RULE_ROUTE)
            return true;
    }
    return false;
}

static bool limits_by_recipient(const struct rule *rule)
{
    for (size_t i = 0; i < rule->action_count; i++) {
        if (rule->actions[i].act == RULE_LIMIT && rule->actions[i].key == RULE_BY_RECIPIENT)
            return true;
    }
    return false;
}

/* A header is passed on before the size is known. */
static void check_rule(struct config *c, struct config_node *n, const struct rule *rule)
{
    const struct rule_conditions *m = &rule->match;

    if (m->larger > 0 && m->smaller > 0 && m->larger >= m->smaller - 1)
        config_report(c, n, "this rule is never used: nothing is larger and smaller than that");
    if (rule->stage == RULE_AT_END && changes_header(rule))
        config_report(
            c, n,
            "the header has been passed on before the size is known: put this rule before "
            "those that ask for the size, and do not ask for it here");
    if (m->fields[RULE_RECIPIENT] != NULL && routes(rule))
        config_report(c, n,
                      "a route is for a message: what depends on the recipient is said by the "
                      "domain of a route");
    if (rule_limits(rule) && rule->decision != NULL && rule->decision->act != RULE_ACCEPT &&
        rule->decision->act != RULE_HOLD)
        config_report(c, n, "a limit counts mail that is kept: it does nothing in a rule that %ss",
                      rule_act_name(rule->decision->act));
}

static void read_rule(struct config *c, struct config_node *n, struct rules *r, struct rule *rule)
{
    rule->number = (uint32_t)r->count++;
    rule->origin = config_origin(c, n);
    rule->node = n;
    rule->match.rules = r;
    if (config_is_map(n)) { /* for the replies, before the other settings */
        struct config_node *name = config_find(n, "name");

        if (name != NULL && config_scalar(name, &rule->name))
            label_rule(c, rule);
    }
    config_section(c, n, items, COUNT_OF(items), rule);
    label_rule(c, rule);
    if (rule->action_count > 0 && rule->actions[rule->action_count - 1].act <= RULE_HOLD)
        rule->decision = &rule->actions[rule->action_count - 1];
    rule->stage = MAX(rule_own_stage(rule), r->decided);
    if (rule->decision != NULL)
        r->decided = rule->stage;
    r->at[rule->stage] = true;
    r->by_recipient = r->by_recipient || rule->match.fields[RULE_RECIPIENT] != NULL ||
                      rule->except.fields[RULE_RECIPIENT] != NULL || limits_by_recipient(rule);
    r->by_name[rule->stage] = r->by_name[rule->stage] || rule_asks_name(rule);
    r->by_time = r->by_time || rule->match.window_count > 0 || rule->except.window_count > 0;
    check_rule(c, n, rule);
}

static void check_name(struct config *c, struct config_node *n, struct table *names,
                       struct rule *rule)
{
    struct table_entry *e;

    if (rule->name.len == 0)
        return;
    e = table_find(names, rule->name);
    if (e != NULL)
        config_report(c, n, "the rule at %s has this name already",
                      container_of(e, struct rule, entry)->origin);
    else
        table_add(names, &rule->entry, rule->name);
}

void settings_read_rules(struct config *c, struct config_node *n, void *section)
{
    struct rules *r = config_alloc(c, 1, sizeof(*r));
    struct table names;

    ((struct settings *)section)->rules = r;
    if (!config_is_list(n) || config_count(n) > RULES_MAX) {
        config_report(c, n, "expected a list of at most %d rules: each begins with \"- \"",
                      RULES_MAX);
        return;
    }
    r->all = config_alloc(c, MAX(config_count(n), 1), sizeof(*r->all));
    r->lists = config_alloc(c, RULE_LISTS_MAX, sizeof(*r->lists));
    table_init(&names, true);
    for (size_t i = 0; i < config_count(n); i++) {
        read_rule(c, config_at(n, i), r, &r->all[i]);
        check_name(c, config_at(n, i), &names, &r->all[i]);
    }
    table_release(&names);
}
