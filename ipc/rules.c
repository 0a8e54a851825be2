#include "ipc/rules.h"

#include "common/memory.h"
#include "mail/body.h"

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

static bool list_has(const struct rule_list *l, const struct rule_fact *fact)
{
    return l->loaded && rule_set_has(fact->kind == RULE_NETWORK ? &l->networks : &l->words, fact);
}

static bool values_have(const struct rules *r, const struct rule_values *v,
                        const struct rule_fact *fact, struct view text)
{
    if (rule_set_has(&v->set, fact))
        return true;
    for (size_t i = 0; i < v->list_count; i++) {
        if (list_has(&r->lists[v->lists[i]], fact))
            return true;
    }
    for (size_t i = 0; i < v->pattern_count; i++) {
        if (pattern_matches(v->patterns[i], text))
            return true;
    }
    return false;
}

static struct rule_fact fact_of(const struct rule_facts *f, enum rule_field field)
{
    return (struct rule_fact){ rule_field_kind(field), fact_text(f, field), f->client };
}

static bool field_holds(const struct rules *r, const struct rule_facts *f, enum rule_field field,
                        const struct rule_values *v)
{
    struct rule_fact fact = fact_of(f, field);

    return (v->any && is_there(f, field, fact.text)) || values_have(r, v, &fact, fact.text);
}

/* RFC 5322, 2.2.3 */
static struct view unfold(struct view value, struct buf *room)
{
    buf_clear(room);
    for (size_t i = 0; i < value.len && buf_space(room) > 0; i++) {
        if (value.ptr[i] != '\r' && value.ptr[i] != '\n')
            buf_put_byte(room, value.ptr[i]);
    }
    return view_trim(buf_view(room));
}

static bool header_holds(const struct rules *r, const struct rule_facts *f,
                         const struct rule_header *h)
{
    char bytes[HEADER_VALUE_MAX];
    struct buf room = BUF_ON_ARRAY(bytes);
    struct view rest = f->header;
    struct header_field field;

    while (header_next(&rest, &field)) {
        struct rule_fact fact = { .kind = RULE_WORD };

        if (!view_equal_nocase(field.name, h->name))
            continue;
        fact.text = unfold(field.value, &room);
        if (h->values.any || values_have(r, &h->values, &fact, fact.text))
            return true;
    }
    return false;
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

/* All of the conditions whose facts are known; RULE_PERHAPS when others are left. */
static enum rule_match conditions_hold(const struct rules *r, const struct rule_conditions *c,
                                       const struct rule_facts *f, unsigned known)
{
    bool all = true;

    for (unsigned i = 0; i < RULE_FIELDS; i++) {
        if (c->fields[i] == NULL)
            continue;
        if ((known >> i & 1) == 0)
            all = false;
        else if (!field_holds(r, f, (enum rule_field)i, c->fields[i]))
            return RULE_NO;
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
        if (!header_holds(r, f, &c->headers[i]))
            return RULE_NO;
    }
    return all ? RULE_YES : RULE_PERHAPS;
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
    return except == RULE_PERHAPS ? RULE_PERHAPS : match;
}

/* ---- walking ---- */

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Those that a fact of this stage leads to, in order. Each rule is in one index, for one of its
 * values or for several: then it may be found twice. */
static size_t find_indexed(const struct rules *r, const struct rule_facts *f, enum rule_stage stage)
{
    size_t count = 0;

    for (unsigned i = 0; i < RULE_FIELDS; i++) {
        struct rule_fact fact = fact_of(f, (enum rule_field)i);
        struct rule_lookup l;
        const struct rule_word *w;

        if (rule_field_stage((enum rule_field)i) > stage || r->index[i].words.count == 0)
            continue;
        rule_lookup_begin(&l, &r->index[i], &fact);
        while ((w = rule_lookup_next(&l)) != NULL) {
            for (size_t j = 0; j < w->rule_count; j++) {
                if (r->all[w->rules[j]].stage <= stage)
                    r->found[count++] = w->rules[j];
            }
        }
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

const struct rule *rules_walk(const struct rules *r, const struct rule_facts *f,
                              enum rule_stage stage,
                              void (*matched)(void *context, const struct rule *rule),
                              void *context)
{
    unsigned known = rule_known_at(stage);
    size_t found = find_indexed(r, f, stage), i = 0, j = 0;
    uint32_t number;

    while (next_number(r, found, &i, &j, &number)) {
        const struct rule *rule = &r->all[number];

        if (rule->stage > stage || rules_match(r, rule, f, known) != RULE_YES)
            continue;
        if (matched != NULL)
            matched(context, rule);
        if (rule->decision != NULL)
            return rule;
    }
    return NULL;
}
