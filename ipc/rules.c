#include "ipc/rules.h"

#include "common/memory.h"
#include "ipc/settings_rows.h"
#include "mail/body.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_VALUE_MAX = 8192 }; /* bytes of a field that are looked at, unfolded */

/* ---- whether a condition holds ---- */

static struct view fact_text(const struct rule_facts *f, enum rule_field field)
{
    switch (field) {
    case RULE_LISTENER:
        return f->listener;
    case RULE_CLIENT_NAME:
        return f->client_name;
    case RULE_LOGIN:
        return f->login;
    case RULE_HELO:
        return f->helo;
    case RULE_SENDER:
        return f->sender;
    case RULE_RECIPIENT:
        return f->recipient;
    case RULE_TLS: /* the protocol; "none" in plain text */
        return f->tls.len > 0 ? view_sub(f->tls, 0, view_find(f->tls, ' ')) : VIEW("none");
    case RULE_CLIENT:
    case RULE_FIELDS:
        break;
    }
    return VIEW_EMPTY;
}

static bool is_there(const struct rule_facts *f, enum rule_field field, struct view text)
{
    if (field == RULE_CLIENT)
        return f->client != NULL && f->client->family != 0;
    return field == RULE_TLS ? f->tls.len > 0 : text.len > 0;
}

static bool list_has(const struct rule_list *l, const struct rule_fact *fact, struct view base)
{
    const struct rule_set *set = fact->kind == RULE_NETWORK ? &l->networks : &l->words;

    return l->loaded &&
           (rule_set_has(set, fact) || (base.len > 0 && rule_set_find(&l->words, base) != NULL));
}

static enum rule_match pattern_holds(const struct pattern *p, struct view text)
{
    static const enum rule_match matches[] = {
        [PATTERN_NO] = RULE_NO, [PATTERN_YES] = RULE_YES, [PATTERN_FAILED] = RULE_FAILED
    };

    return matches[pattern_match(p, text)];
}

/* Of two of which one suffices. */
static enum rule_match either(enum rule_match a, enum rule_match b)
{
    if (a == RULE_YES || b == RULE_YES)
        return RULE_YES;
    return a == RULE_FAILED || b == RULE_FAILED ? RULE_FAILED : RULE_NO;
}

static enum rule_match patterns_hold(const struct rule_values *v, struct view text)
{
    enum rule_match match = RULE_NO;
    const uint32_t *numbers;
    struct gram_lookup l;
    size_t count;

    for (size_t i = 0; i < v->loose_count && match != RULE_YES; i++)
        match = either(match, pattern_holds(v->patterns[i], text));
    if (v->grams == NULL)
        return match;
    rule_grams_ask(v->grams);
    gram_lookup_begin(&l, v->grams, text);
    while (match != RULE_YES && gram_lookup_next(&l, &numbers, &count)) {
        for (size_t i = 0; i < count && match != RULE_YES; i++)
            match = either(match, pattern_holds(v->patterns[numbers[i]], text));
    }
    return match;
}

/* `base`: another text of the same fact; empty: there is none. */
static enum rule_match values_have(const struct rules *r, const struct rule_values *v,
                                   const struct rule_fact *fact, struct view base)
{
    enum rule_match match;

    if (v->set.words.count > 0 &&
        (rule_set_has(&v->set, fact) || (base.len > 0 && rule_set_find(&v->set, base) != NULL)))
        return RULE_YES;
    for (size_t i = 0; i < v->list_count; i++) {
        if (list_has(&r->lists[v->lists[i]], fact, base))
            return RULE_YES;
    }
    if (v->pattern_count == 0)
        return RULE_NO;
    match = patterns_hold(v, fact->text);
    return base.len > 0 && match != RULE_YES ? either(match, patterns_hold(v, base)) : match;
}

static struct rule_fact fact_of(const struct rule_facts *f, enum rule_field field)
{
    return (struct rule_fact){ rule_field_kind(field), fact_text(f, field), f->client };
}

static enum rule_match field_holds(const struct rules *r, const struct rule_facts *f,
                                   enum rule_field field, const struct rule_values *v)
{
    struct rule_fact fact = fact_of(f, field);
    struct view base = field == RULE_RECIPIENT ? f->recipient_base : VIEW_EMPTY;

    if (field == RULE_CLIENT_NAME && f->name_failed)
        return RULE_FAILED;
    if (v->any && is_there(f, field, fact.text))
        return RULE_YES;
    return values_have(r, v, &fact, base);
}

/* RFC 5322, 2.2.3. False: there is more than fits. */
static bool unfold(struct view value, struct buf *room, struct view *out)
{
    bool fits = true;

    buf_clear(room);
    for (size_t i = 0; i < value.len && fits; i++) {
        if (value.ptr[i] != '\r' && value.ptr[i] != '\n')
            fits = buf_put_byte(room, value.ptr[i]);
    }
    *out = view_trim(buf_view(room));
    return fits;
}

static bool may_have(const struct rule_values *v, struct view value)
{
    for (size_t i = 0; i < v->pattern_count; i++) {
        if (pattern_may_match(v->patterns[i], value))
            return true;
    }
    return false;
}

/* One that is longer than what is looked at can have anything in it that patterns ask for. */
static enum rule_match one_header_holds(const struct rules *r, const struct rule_header *h,
                                        struct view value)
{
    char bytes[HEADER_VALUE_MAX];
    struct buf room = BUF_ON_ARRAY(bytes);
    struct rule_fact fact = { .kind = RULE_WORD };

    if (h->values.any)
        return RULE_YES;
    if (!unfold(value, &room, &fact.text))
        return may_have(&h->values, value) ? RULE_FAILED : RULE_NO;
    return values_have(r, &h->values, &fact, VIEW_EMPTY);
}

static enum rule_match header_holds(const struct rules *r, const struct rule_facts *f,
                                    struct rule_header *h)
{
    struct view rest = f->header;
    enum rule_match match = RULE_NO;
    struct header_field field;

    if (f->header_id != 0 && h->asked == f->header_id)
        return (enum rule_match)h->match;
    while (match != RULE_YES && header_next(&rest, &field)) {
        if (view_equal_nocase(field.name, h->name))
            match = either(match, one_header_holds(r, h, field.value));
    }
    h->asked = f->header_id;
    h->match = (int)match;
    return match;
}

/* What begins on Friday evening may last until Saturday morning. */
static bool window_holds(const struct rule_window *w, unsigned week_minute)
{
    unsigned day = week_minute / 1440, minute = week_minute % 1440;
    bool today = (w->days >> day & 1) != 0;
    bool yesterday = (w->days >> (day + 6) % 7 & 1) != 0;

    if (w->from < w->to)
        return today && minute >= w->from && minute < w->to;
    return (today && minute >= w->from) || (yesterday && minute < w->to);
}

static bool time_holds(const struct rule_conditions *c, const struct rule_facts *f)
{
    for (size_t i = 0; i < c->window_count; i++) {
        if (window_holds(&c->windows[i], f->week_minute))
            return true;
    }
    return c->window_count == 0;
}

/* All of the conditions whose facts are known; RULE_PERHAPS when others are left. One that fails
 * matters only when no other says no. */
static enum rule_match conditions_hold(const struct rules *r, const struct rule_conditions *c,
                                       const struct rule_facts *f, unsigned known)
{
    bool all = true, failed = false;

    for (unsigned i = 0; i < RULE_FIELDS; i++) {
        enum rule_match match;

        if (c->fields[i] == NULL)
            continue;
        if ((known >> i & 1) == 0) {
            all = false;
            continue;
        }
        match = field_holds(r, f, (enum rule_field)i, c->fields[i]);
        if (match == RULE_NO)
            return RULE_NO;
        failed = failed || match == RULE_FAILED;
    }
    if (!time_holds(c, f))
        return RULE_NO;
    if (c->larger > 0 || c->smaller > 0) {
        if ((known & RULE_KNOWS_SIZE) == 0)
            all = false;
        else if ((c->larger > 0 && f->size <= c->larger) ||
                 (c->smaller > 0 && f->size >= c->smaller))
            return RULE_NO;
    }
    if (c->header_count > 0 && (known & RULE_KNOWS_HEADER) == 0)
        return RULE_PERHAPS;
    for (size_t i = 0; i < c->header_count; i++) {
        enum rule_match match = header_holds(r, f, &c->headers[i]);

        if (match == RULE_NO)
            return RULE_NO;
        failed = failed || match == RULE_FAILED;
    }
    if (!all)
        return RULE_PERHAPS;
    return failed ? RULE_FAILED : RULE_YES;
}

enum rule_match rules_match(const struct rules *r, const struct rule *rule,
                            const struct rule_facts *f, unsigned known)
{
    enum rule_match match = conditions_hold(r, &rule->match, f, known);
    enum rule_match except = RULE_NO;

    if (match != RULE_NO && rule->has_except)
        except = conditions_hold(r, &rule->except, f, known);
    if (match == RULE_NO || except == RULE_YES)
        return RULE_NO;
    if (match == RULE_PERHAPS || except == RULE_PERHAPS)
        return RULE_PERHAPS;
    return except == RULE_FAILED ? RULE_FAILED : match;
}

/* ---- walking ---- */

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static size_t add_found(const struct rules *r, const uint32_t *numbers, size_t number_count,
                        enum rule_stage stage, size_t count)
{
    for (size_t i = 0; i < number_count; i++) {
        if (r->all[numbers[i]].stage <= stage)
            r->found[count++] = numbers[i];
    }
    return count;
}

static size_t add_word(const struct rules *r, const struct rule_word *w, enum rule_stage stage,
                       size_t count)
{
    return w == NULL ? count : add_found(r, w->rules, w->rule_count, stage, count);
}

/* Any of them may be for the name that is not known. */
static size_t find_named(const struct rules *r, enum rule_stage stage, size_t count)
{
    const struct table *words = &r->index[RULE_CLIENT_NAME].words;
    const struct rule_grams *g = &r->grams[RULE_CLIENT_NAME];

    for (struct table_entry *e = NULL; (e = table_next(words, e)) != NULL;)
        count = add_word(r, container_of(e, struct rule_word, entry), stage, count);
    return add_found(r, g->rules, g->rule_count, stage, count);
}

static size_t find_values(const struct rules *r, enum rule_field field,
                          const struct rule_fact *fact, enum rule_stage stage, size_t count)
{
    const struct rule_word *w;
    struct rule_lookup l;

    rule_lookup_begin(&l, &r->index[field], fact);
    while ((w = rule_lookup_next(&l)) != NULL)
        count = add_word(r, w, stage, count);
    return count;
}

/* `base`: the same fact, as in values_have. */
static size_t find_patterns(const struct rules *r, struct rule_grams *g, struct view text,
                            struct view base, enum rule_stage stage, size_t count)
{
    const struct view texts[] = { text, base };
    const uint32_t *numbers;
    struct gram_lookup l;
    size_t number_count;

    rule_grams_ask(g);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        gram_lookup_begin(&l, g, texts[i]);
        while (gram_lookup_next(&l, &numbers, &number_count))
            count = add_found(r, numbers, number_count, stage, count);
    }
    return count;
}

static void look_at_header(const struct rules *r, const struct rule_facts *f)
{
    struct rule_grams *g = &r->grams[RULE_FIELDS];
    const uint32_t *numbers;
    struct gram_lookup l;
    size_t count;

    if (f->header_id != 0 && r->heads->asked == f->header_id)
        return;
    r->heads->asked = f->header_id;
    r->heads->count = 0;
    rule_grams_ask(g);
    gram_lookup_begin(&l, g, f->header);
    while (gram_lookup_next(&l, &numbers, &count)) {
        memcpy(r->heads->numbers + r->heads->count, numbers, count * sizeof(*numbers));
        r->heads->count += count;
    }
}

/* Those that a fact of this stage leads to, in order. Each rule is in one index, for one of its
 * values or for several: then it may be found twice. */
static size_t find_indexed(const struct rules *r, const struct rule_facts *f, enum rule_stage stage)
{
    size_t count = 0;

    for (unsigned i = 0; i < RULE_FIELDS; i++) {
        struct rule_fact fact = fact_of(f, (enum rule_field)i);
        struct view base = i == RULE_RECIPIENT ? f->recipient_base : VIEW_EMPTY;

        if (rule_field_stage((enum rule_field)i) > stage)
            continue;
        if (i == RULE_CLIENT_NAME && f->name_failed) {
            count = find_named(r, stage, count);
            continue;
        }
        count = find_values(r, (enum rule_field)i, &fact, stage, count);
        if (base.len > 0)
            count = add_word(r, rule_set_find(&r->index[i], base), stage, count);
        count = find_patterns(r, &r->grams[i], fact.text, base, stage, count);
    }
    if (stage >= RULE_AT_HEADER) {
        look_at_header(r, f);
        count = add_found(r, r->heads->numbers, r->heads->count, stage, count);
    }
    if (count > 1)
        qsort(r->found, count, sizeof(*r->found), compare_numbers);
    return count;
}

/* The next number of two lists in order; each is given once. */
static bool next_number(const struct rules *r, size_t found, size_t *i, size_t *j, uint32_t *number)
{
    bool has_found = *i < found, has_rest = *j < r->rest_count;

    if (!has_found && !has_rest)
        return false;
    if (has_found && (!has_rest || r->found[*i] < r->rest[*j])) {
        *number = r->found[*i];
        while (*i < found && r->found[*i] == *number)
            (*i)++;
    } else {
        *number = r->rest[(*j)++];
    }
    return true;
}

/* What answers in a rule's stead: the rule, with a decision of its own. */
struct stand_in {
    struct rule rule; /* first: it is freed by that */
    struct rule_action reply;
    char words[128 + SETTINGS_NAME_MAX];
};

static const struct rule *defer_by(struct rule *rule, struct rule **in_its_stead, unsigned code,
                                   const char *enhanced, const char *words)
{
    struct stand_in *s;

    if (*in_its_stead != NULL)
        return *in_its_stead;
    s = memory_new(sizeof(*s));
    s->rule = *rule;
    s->rule.decision = &s->reply;
    s->reply = (struct rule_action){
        .act = RULE_DEFER, .code = code, .enhanced = enhanced, .reply = s->words
    };
    if (rule->name.len > 0)
        (void)snprintf(s->words, sizeof(s->words), "%s (rule %.*s)", words, VIEW_ARG(rule->name));
    else
        (void)snprintf(s->words, sizeof(s->words), "%s", words);
    return *in_its_stead = &s->rule;
}

/* Nobody can tell whether it matches: the message has to wait until somebody has mended the rule,
 * or until the name servers answer. */
static const struct rule *defer_for(struct rule *rule, const struct rule_facts *f)
{
    if (f->name_failed && rule_asks_name(rule))
        return defer_by(rule, &rule->unnamed, 450, "4.4.3",
                        "The name of your host cannot be looked up now, try again later");
    return defer_by(rule, &rule->unsure, 451, "4.3.5",
                    "A rule could not be checked, try again later");
}

const struct rule *rules_walk(const struct rules *r, const struct rule_facts *f,
                              enum rule_stage stage,
                              void (*matched)(void *context, const struct rule *rule),
                              void *context)
{
    unsigned known = rule_known_at(stage);
    size_t found = find_indexed(r, f, stage), i = 0, j = 0;
    uint32_t number;

    while (next_number(r, found, &i, &j, &number)) {
        struct rule *rule = &r->all[number];

        enum rule_match match = rule->stage > stage ? RULE_NO : rules_match(r, rule, f, known);

        if (match == RULE_FAILED)
            return defer_for(rule, f);
        if (match != RULE_YES)
            continue;
        if (matched != NULL)
            matched(context, rule);
        if (rule->decision != NULL)
            return rule;
    }
    return NULL;
}
