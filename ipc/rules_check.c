/* Mistakes in rules that show only when all of them are known: patterns that do not compile, names
 * of nothing, files that cannot be read, and rules that no mail can reach. For master and the admin
 * tool, once for all. */
#include "common/attrs.h"
#include "ipc/rules.h"
#include "ipc/settings.h"
#include "ipc/settings_rows.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- values ---- */

static void check_patterns(struct config *c, const struct rule_values *v)
{
    for (size_t i = 0; i < v->count; i++) {
        struct view text = v->texts[i];
        struct error err;
        struct pattern *p;

        if (!settings_take_pattern(&text))
            continue;
        p = pattern_new(text, &err);
        if (p == NULL)
            config_report(c, v->nodes[i], "%s", err.text);
        pattern_free(&p);
    }
}

static bool is_listener(const struct settings *s, struct view text)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        if (view_equal_nocase(s->listeners[i].name, text))
            return true;
    }
    return view_equal(text, VIEW("*")) || view_starts(text, VIEW("file:")) ||
           settings_take_pattern(&text);
}

static void check_listeners(struct config *c, const struct settings *s, const struct rule_values *v)
{
    for (size_t i = 0; i < v->count; i++) {
        if (!is_listener(s, v->texts[i]))
            config_report(c, v->nodes[i], "there is no listener %.*s", VIEW_ARG(v->texts[i]));
    }
}

static void check_conditions(struct config *c, const struct settings *s,
                             const struct rule_conditions *conditions)
{
    for (unsigned i = 0; i < RULE_FIELDS; i++) {
        if (conditions->fields[i] == NULL)
            continue;
        if (i == RULE_LISTENER)
            check_listeners(c, s, conditions->fields[i]);
        if (i != RULE_CLIENT)
            check_patterns(c, conditions->fields[i]);
    }
    for (size_t i = 0; i < conditions->header_count; i++)
        check_patterns(c, &conditions->headers[i].values);
}

static bool is_route(const struct settings *s, struct view name)
{
    for (size_t i = 0; i < s->route_count; i++) {
        if (view_equal(s->routes[i].name, name))
            return true;
    }
    return false;
}

static void check_actions(struct config *c, const struct settings *s, const struct rule *rule)
{
    for (size_t i = 0; i < rule->action_count; i++) {
        const struct rule_action *a = &rule->actions[i];

        if (a->act == RULE_ROUTE && !is_route(s, a->word))
            config_report(c, a->node, "there is no route with the name %.*s", VIEW_ARG(a->word));
    }
}

static void check_list(struct config *c, const struct rule_list *l)
{
    struct error err;
    int fd = rule_list_open(l, &err);

    if (fd < 0)
        config_report(c, l->node, "%s", err.text);
    else
        close(fd);
}

/* ---- rules that are never reached ---- */

/* What a value gives to look up, so that the values that include it are found. */
static bool include_fact(enum rule_kind kind, struct view text, struct buf *room,
                         struct net_block *block, struct rule_fact *fact)
{
    *fact = (struct rule_fact){ .kind = kind };
    if (kind == RULE_NETWORK) {
        fact->client = &block->base;
        return net_parse_block(text, block);
    }
    buf_clear(room);
    if (kind == RULE_ADDRESS && view_starts(text, VIEW("@")))
        buf_put_byte(room, '?');
    if (kind == RULE_ADDRESS && view_starts(text, VIEW("@."))) {
        buf_put(room, VIEW("@?"));
        text = view_from(text, 1);
    }
    if (kind == RULE_HOST && view_starts(text, VIEW(".")))
        buf_put_byte(room, '?');
    if (!buf_put(room, text))
        return false;
    fact->text = view_equal(text, VIEW("<>")) ? VIEW_EMPTY : buf_view(room);
    return true;
}

static bool set_includes(const struct rule_set *set, enum rule_kind kind, struct view text)
{
    char bytes[ADDRESS_MAX + 8];
    struct buf room = BUF_ON_ARRAY(bytes);
    struct net_block block;
    struct rule_fact fact;
    struct rule_lookup l;
    const struct rule_word *w;

    if (!include_fact(kind, text, &room, &block, &fact))
        return false;
    rule_lookup_begin(&l, set, &fact);
    while ((w = rule_lookup_next(&l)) != NULL) {
        if (kind != RULE_NETWORK || rule_word_prefix(w) <= block.prefix)
            return true;
    }
    return false;
}

static bool has_same(const struct rule_values *v, struct view text)
{
    for (size_t i = 0; i < v->count; i++) {
        if (view_equal(v->texts[i], text))
            return true;
    }
    return false;
}

static bool is_exact(struct view text)
{
    return !view_starts(text, VIEW("file:")) && !view_equal(text, VIEW("*")) &&
           !settings_take_pattern(&text);
}

/* Whatever has one of b's values has one of a's. */
static bool includes(const struct rule_values *a, const struct rule_values *b, enum rule_kind kind)
{
    for (size_t i = 0; i < b->count; i++) {
        struct view text = b->texts[i];

        if (!has_same(a, text) && !(is_exact(text) && set_includes(&a->set, kind, text)))
            return false;
    }
    return true;
}

static bool headers_include(const struct rule_conditions *a, const struct rule_conditions *b)
{
    for (size_t i = 0; i < a->header_count; i++) {
        bool found = false;

        for (size_t j = 0; j < b->header_count && !found; j++)
            found = view_equal_nocase(a->headers[i].name, b->headers[j].name) &&
                    includes(&a->headers[i].values, &b->headers[j].values, RULE_WORD);
        if (!found)
            return false;
    }
    return true;
}

/* Whatever matches b has been matched by a. Not all such pairs are seen, but none is made up. */
static bool covers(const struct rule *a, const struct rule *b)
{
    const struct rule_conditions *x = &a->match, *y = &b->match;

    if (a->decision == NULL || a->has_except || x->window_count > 0)
        return false;
    if (x->larger > 0 && y->larger < x->larger)
        return false;
    if (x->smaller > 0 && (y->smaller == 0 || y->smaller > x->smaller))
        return false;
    for (unsigned i = 0; i < RULE_FIELDS; i++) {
        if (x->fields[i] == NULL)
            continue;
        if (y->fields[i] == NULL ||
            !includes(x->fields[i], y->fields[i], rule_field_kind((enum rule_field)i)))
            return false;
    }
    return headers_include(x, y);
}

static const struct rule *first_cover(const struct rules *r, const uint32_t *numbers, size_t count,
                                      const struct rule *b)
{
    for (size_t i = 0; i < count && numbers[i] < b->number; i++) {
        if (covers(&r->all[numbers[i]], b))
            return &r->all[numbers[i]];
    }
    return NULL;
}

static const struct rule *find_literal_cover(const struct rules *r, struct rule_grams *g,
                                             struct view value, const struct rule *b)
{
    const struct rule *cover = NULL;
    const uint32_t *numbers;
    struct gram_lookup l;
    struct literal room;
    size_t count;

    rule_grams_ask(g);
    gram_lookup_begin(&l, g, rule_literal(value, &room));
    while (cover == NULL && gram_lookup_next(&l, &numbers, &count))
        cover = first_cover(r, numbers, count, b);
    return cover;
}

static const struct rule *find_value_cover(const struct rules *r, enum rule_field field,
                                           struct view value, const struct rule *b)
{
    char bytes[ADDRESS_MAX + 8];
    struct buf room = BUF_ON_ARRAY(bytes);
    const struct rule *cover = NULL;
    const struct rule_word *w;
    struct net_block block;
    struct rule_fact fact;
    struct rule_lookup l;

    if (!include_fact(rule_field_kind(field), value, &room, &block, &fact))
        return NULL;
    rule_lookup_begin(&l, &r->index[field], &fact);
    while (cover == NULL && (w = rule_lookup_next(&l)) != NULL)
        cover = first_cover(r, w->rules, w->rule_count, b);
    return cover;
}

/* One that covers the rule must have its first values, so an index leads to it. */
static const struct rule *find_indexed_cover(const struct rules *r, const struct rule *b)
{
    const struct rule *cover = NULL;

    for (unsigned i = 0; i < RULE_FIELDS && cover == NULL; i++) {
        const struct rule_values *v = b->match.fields[i];

        if (v == NULL || v->count == 0)
            continue;
        if (is_exact(v->texts[0]))
            cover = find_value_cover(r, (enum rule_field)i, v->texts[0], b);
        else
            cover = find_literal_cover(r, &r->grams[i], v->texts[0], b);
    }
    for (size_t i = 0; i < b->match.header_count && cover == NULL; i++) {
        if (b->match.headers[i].values.count > 0)
            cover = find_literal_cover(r, &r->grams[RULE_FIELDS],
                                       b->match.headers[i].values.texts[0], b);
    }
    return cover;
}

static const struct rule *find_cover(const struct rules *r, const struct rule *b)
{
    const struct rule *cover = first_cover(r, r->rest, r->rest_count, b);

    return cover != NULL ? cover : find_indexed_cover(r, b);
}

void settings_check_rules(struct config *c, const struct settings *s)
{
    struct rules *r = s->rules;
    struct error err;

    for (size_t i = 0; i < r->list_count; i++)
        check_list(c, &r->lists[i]);
    for (size_t i = 0; i < r->count; i++) {
        check_conditions(c, s, &r->all[i].match);
        check_conditions(c, s, &r->all[i].except);
        check_actions(c, s, &r->all[i]);
    }
    if (config_error_count(c) > 0 || rules_prepare(r, &err) < 0)
        return;
    for (size_t i = 0; i < r->count; i++) {
        const struct rule *cover = find_cover(r, &r->all[i]);

        if (cover != NULL)
            config_report(c, r->all[i].node,
                          "this rule is never used: the one at %s takes its mail", cover->origin);
    }
}
