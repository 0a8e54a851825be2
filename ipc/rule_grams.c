#include "ipc/rule_grams.h"

#include "common/memory.h"
#include "mail/literal.h"

#include <stdlib.h>

enum {
    GRAM_MASK = 0xffffff,
    COUNTERS_BITS = 16, /* grams that share a counter only look more frequent than they are */
};

struct gram_use {
    uint32_t gram, literal, rule;
};

static uint32_t scatter(uint32_t gram)
{
    uint32_t h = gram * 0x9e3779b1;

    return h ^ h >> 15;
}

/* Past the next one of a text; `len` of its bytes have been seen, at most GRAM. */
static bool next_gram(struct view *text, uint32_t *gram, uint32_t *len)
{
    char letter;

    while (literal_next(text, &letter)) {
        *gram = (*gram << 8 | (uint8_t)letter) & GRAM_MASK;
        *len += *len < GRAM;
        if (*len == GRAM)
            return true;
    }
    return false;
}

bool rule_grams_takes(struct view literal)
{
    uint32_t gram = 0, len = 0;

    return next_gram(&literal, &gram, &len);
}

void rule_grams_add(struct rule_grams *g, struct view literal, uint32_t rule)
{
    uint32_t gram = 0, len = 0;

    while (next_gram(&literal, &gram, &len)) {
        if (g->use_count == g->use_room) {
            g->use_room = MAX(2 * g->use_room, 64);
            g->uses = memory_grow(g->uses, g->use_room, sizeof(*g->uses));
        }
        g->uses[g->use_count++] = (struct gram_use){ gram, g->literals, rule };
    }
    g->literals++;
}

/* Leaves the rarest one of each literal. */
static void choose(struct rule_grams *g)
{
    uint32_t *often = memory_new_array((size_t)1 << COUNTERS_BITS, sizeof(*often));
    const uint32_t mask = (1 << COUNTERS_BITS) - 1;
    size_t kept = 0;

    for (size_t i = 0; i < g->use_count; i++)
        often[scatter(g->uses[i].gram) & mask]++;
    for (size_t i = 0; i < g->use_count; i++) {
        const struct gram_use *u = &g->uses[i];

        if (kept == 0 || g->uses[kept - 1].literal != u->literal)
            g->uses[kept++] = *u;
        else if (often[scatter(u->gram) & mask] < often[scatter(g->uses[kept - 1].gram) & mask])
            g->uses[kept - 1] = *u;
    }
    g->use_count = kept;
    free(often);
}

/* The one of the gram, or the one that is free for it. */
static struct gram_slot *find_slot(const struct rule_grams *g, uint32_t gram)
{
    uint32_t i = scatter(gram) & (g->slot_count - 1);

    while (g->slots[i].count > 0 && g->slots[i].gram != gram)
        i = (i + 1) & (g->slot_count - 1);
    return &g->slots[i];
}

void rule_grams_seal(struct rule_grams *g)
{
    uint32_t first = 0;

    if (g->use_count == 0)
        return;
    choose(g);
    g->rule_count = g->use_count;
    for (g->slot_count = 2; g->slot_count < 2 * g->rule_count;)
        g->slot_count *= 2;
    g->slots = memory_new_array(g->slot_count, sizeof(*g->slots));
    g->rules = memory_new_array(g->rule_count, sizeof(*g->rules));
    for (size_t i = 0; i < g->use_count; i++) {
        struct gram_slot *s = find_slot(g, g->uses[i].gram);

        s->gram = g->uses[i].gram;
        s->count++;
    }
    for (uint32_t i = 0; i < g->slot_count; i++) {
        first += g->slots[i].count;
        g->slots[i].first = first; /* its end, for now */
    }
    for (size_t i = g->use_count; i-- > 0;)
        g->rules[--find_slot(g, g->uses[i].gram)->first] = g->uses[i].rule;
    free(g->uses);
    g->uses = NULL;
    g->use_count = g->use_room = 0;
}

void rule_grams_release(struct rule_grams *g)
{
    free(g->uses);
    free(g->slots);
    free(g->rules);
    *g = (struct rule_grams){ .slots = NULL };
}

void rule_grams_ask(struct rule_grams *g)
{
    g->question++;
}

void gram_lookup_begin(struct gram_lookup *l, struct rule_grams *g, struct view text)
{
    *l = (struct gram_lookup){ .grams = g, .rest = text };
}

bool gram_lookup_next(struct gram_lookup *l, const uint32_t **rules, size_t *count)
{
    struct rule_grams *g = l->grams;

    while (g->slot_count > 0 && next_gram(&l->rest, &l->gram, &l->len)) {
        struct gram_slot *s = find_slot(g, l->gram);

        if (s->count == 0 || s->asked == g->question)
            continue;
        s->asked = g->question;
        *rules = g->rules + s->first;
        *count = s->count;
        return true;
    }
    return false;
}
