/* What rules need before they can be asked: patterns compiled, values sorted into sets, and an
 * index over all rules, so that ten thousand of them cost little more than ten. */
#include "common/memory.h"
#include "ipc/rules.h"
#include "ipc/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* By what a rule is found, when it has several: what tells most rules apart comes first. Listeners
 * and TLS tell few apart. */
static const enum rule_field indexed[] = {
    RULE_RECIPIENT, RULE_SENDER, RULE_LOGIN, RULE_CLIENT, RULE_HELO, RULE_CLIENT_NAME,
};

/* Where a rule has many patterns, a value is not held against each of them either. */
static void index_patterns(struct rule_values *v)
{
    size_t loose = 0;

    v->grams = memory_new(sizeof(*v->grams));
    for (size_t i = 0; i < v->pattern_count; i++) {
        struct pattern *p = v->patterns[i];

        if (rule_grams_takes(pattern_literal(p)))
            continue;
        v->patterns[i] = v->patterns[loose];
        v->patterns[loose++] = p;
    }
    v->loose_count = loose;
    for (size_t i = loose; i < v->pattern_count; i++)
        rule_grams_add(v->grams, pattern_literal(v->patterns[i]), (uint32_t)i);
    rule_grams_seal(v->grams);
}

static int add_pattern(struct rule_values *v, struct view text, struct error *err)
{
    struct pattern *p = pattern_new(text, err);

    if (p == NULL)
        return -EINVAL;
    v->patterns = memory_grow(v->patterns, v->pattern_count + 1, sizeof(struct pattern *));
    v->patterns[v->pattern_count++] = p;
    return 0;
}

static int prepare_values(struct rule_values *v, enum rule_kind kind, struct error *err)
{
    rule_set_init(&v->set);
    for (size_t i = 0; i < v->count; i++) {
        struct view text = v->texts[i];

        if (view_starts(text, VIEW("file:")))
            continue; /* in v->lists already */
        if (view_equal(text, VIEW("*")))
            v->any = true;
        else if (kind == RULE_NETWORK)
            (void)rule_set_add(&v->set, kind, text);
        else if (!settings_take_pattern(&text))
            (void)rule_set_add(&v->set, kind, text);
        else if (add_pattern(v, text, err) < 0)
            return -EINVAL;
    }
    if (v->pattern_count > 1)
        index_patterns(v);
    else
        v->loose_count = v->pattern_count;
    return 0;
}

static int prepare_conditions(struct rule_conditions *c, struct error *err)
{
    for (unsigned i = 0; i < RULE_FIELDS; i++) {
        if (c->fields[i] != NULL &&
            prepare_values(c->fields[i], rule_field_kind((enum rule_field)i), err) < 0)
            return -EINVAL;
    }
    for (size_t i = 0; i < c->header_count; i++) {
        if (prepare_values(&c->headers[i].values, RULE_WORD, err) < 0)
            return -EINVAL;
    }
    return 0;
}

struct view rule_literal(struct view value, struct literal *room)
{
    if (!settings_take_pattern(&value))
        return value;
    *room = literal_of(value);
    return view_make(room->bytes, room->len);
}

static bool is_exact(const struct rule_values *v)
{
    return v != NULL && !v->any && v->pattern_count == 0 && v->list_count == 0;
}

static void add_posting(struct rule_word *w, uint32_t number)
{
    if (w->rule_count == w->rule_room) {
        w->rule_room = w->rule_room == 0 ? 1 : w->rule_room * 2;
        w->rules = memory_grow(w->rules, w->rule_room, sizeof(*w->rules));
    }
    w->rules[w->rule_count++] = number;
}

static bool is_pattern(struct view text)
{
    return settings_take_pattern(&text);
}

/* The rule can be found by any of the values; by its literal, a pattern or each of them. */
static bool have_literals(const struct rule_values *v, bool patterns_only)
{
    if (v == NULL || v->any || v->list_count > 0)
        return false;
    for (size_t i = 0; i < v->count; i++) {
        struct literal room;

        if (patterns_only && !is_pattern(v->texts[i]))
            continue;
        if (!rule_grams_takes(rule_literal(v->texts[i], &room)))
            return false;
    }
    return true;
}

static size_t index_field(struct rules *r, enum rule_field field, const struct rule *rule)
{
    const struct rule_values *v = rule->match.fields[field];

    for (size_t i = 0; i < v->count; i++) {
        struct literal room;

        if (is_pattern(v->texts[i]))
            rule_grams_add(&r->grams[field], rule_literal(v->texts[i], &room), rule->number);
        else
            add_posting(rule_set_add(&r->index[field], rule_field_kind(field), v->texts[i]),
                        rule->number);
    }
    return v->count;
}

static size_t index_header(struct rules *r, const struct rule_values *v, const struct rule *rule)
{
    for (size_t i = 0; i < v->count; i++) {
        struct literal room;

        rule_grams_add(&r->grams[RULE_FIELDS], rule_literal(v->texts[i], &room), rule->number);
    }
    return v->count;
}

/* How often the rule stands in an index; 0: it is among the rest. Values tell rules apart better
 * than literals, and an envelope is shorter than a header. */
static size_t index_rule(struct rules *r, const struct rule *rule)
{
    for (size_t i = 0; i < COUNT_OF(indexed); i++) {
        if (is_exact(rule->match.fields[indexed[i]]))
            return index_field(r, indexed[i], rule);
    }
    for (size_t i = 0; i < COUNT_OF(indexed); i++) {
        if (have_literals(rule->match.fields[indexed[i]], true))
            return index_field(r, indexed[i], rule);
    }
    for (size_t i = 0; i < rule->match.header_count; i++) {
        if (have_literals(&rule->match.headers[i].values, false))
            return index_header(r, &rule->match.headers[i].values, rule);
    }
    r->rest[r->rest_count++] = rule->number;
    return 0;
}

static void make_index(struct rules *r)
{
    size_t postings = 0;

    for (unsigned i = 0; i < RULE_FIELDS; i++)
        rule_set_init(&r->index[i]);
    r->grams = memory_new_array(RULE_FIELDS + 1, sizeof(*r->grams));
    r->rest = memory_new_array(MAX(r->count, 1), sizeof(*r->rest));
    for (size_t i = 0; i < r->count; i++)
        postings += index_rule(r, &r->all[i]);
    for (unsigned i = 0; i <= RULE_FIELDS; i++)
        rule_grams_seal(&r->grams[i]);
    r->heads = memory_new(sizeof(*r->heads) +
                          r->grams[RULE_FIELDS].rule_count * sizeof(*r->heads->numbers));
    r->found = memory_new_array(MAX(postings, 1), sizeof(*r->found));
}

int rules_prepare(struct rules *r, struct error *err)
{
    r->release = rules_release;
    r->prepared = true;
    for (size_t i = 0; i < r->count; i++) {
        struct error why = { "" };

        if (prepare_conditions(&r->all[i].match, &why) < 0 ||
            prepare_conditions(&r->all[i].except, &why) < 0)
            return error_set(err, -EINVAL, "%s: %s", r->all[i].origin, why.text);
    }
    make_index(r);
    return 0;
}

static void release_values(struct rule_values *v)
{
    for (size_t i = 0; i < v->pattern_count; i++)
        pattern_free(&v->patterns[i]);
    free(v->patterns);
    v->patterns = NULL;
    v->pattern_count = v->loose_count = 0;
    if (v->grams != NULL)
        rule_grams_release(v->grams);
    free(v->grams);
    v->grams = NULL;
    rule_set_release(&v->set);
}

static void release_conditions(struct rule_conditions *c)
{
    for (unsigned i = 0; i < RULE_FIELDS; i++) {
        if (c->fields[i] != NULL)
            release_values(c->fields[i]);
    }
    for (size_t i = 0; i < c->header_count; i++)
        release_values(&c->headers[i].values);
}

static void forget_list(struct rule_list *l)
{
    if (l->loaded) {
        rule_set_release(&l->words);
        rule_set_release(&l->networks);
    }
    l->loaded = false;
}

void rules_release(struct rules *r)
{
    for (size_t i = 0; i < r->list_count; i++)
        forget_list(&r->lists[i]);
    if (!r->prepared)
        return;
    for (size_t i = 0; i < r->count; i++) {
        release_conditions(&r->all[i].match);
        release_conditions(&r->all[i].except);
        free(r->all[i].unsure);
        free(r->all[i].unnamed);
        r->all[i].unsure = r->all[i].unnamed = NULL;
    }
    for (unsigned i = 0; i < RULE_FIELDS; i++)
        rule_set_release(&r->index[i]);
    for (unsigned i = 0; i <= RULE_FIELDS; i++)
        rule_grams_release(&r->grams[i]);
    free(r->grams);
    free(r->heads);
    free(r->rest);
    free(r->found);
    r->prepared = false;
}

void rule_list_load(struct rule_list *l, struct view bytes)
{
    struct view line;

    forget_list(l);
    rule_set_init(&l->words);
    rule_set_init(&l->networks);
    while (view_take_line(&bytes, &line)) {
        line = view_trim(view_sub(line, 0, view_find(line, '#')));
        if (line.len == 0)
            continue;
        (void)rule_set_add(&l->words, RULE_WORD, line);
        (void)rule_set_add(&l->networks, RULE_NETWORK, line);
    }
    l->loaded = true;
}
