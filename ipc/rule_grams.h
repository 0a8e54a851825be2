/* Which of many rules, or of the patterns of one, a text may be for: each has a literal that the
 * text would have in it, and is found under those three bytes of it that are the rarest among all
 * literals. So a text costs a look at each of its bytes, however many rules there are. */
#ifndef IPC_RULE_GRAMS_H
#define IPC_RULE_GRAMS_H

#include "common/view.h"

enum { GRAM = 3 }; /* bytes; a shorter literal is none */

struct gram_slot {
    uint32_t gram, first, count; /* in `rules`; without a count it is free */
    uint64_t asked;              /* by that question already */
};

struct rule_grams {        /* zeroed is empty */
    struct gram_use *uses; /* until it is sealed: all grams of all literals */
    size_t use_count, use_room;
    uint32_t literals;
    struct gram_slot *slots; /* a power of two of them, at most half of them taken */
    uint32_t slot_count;
    uint32_t *rules; /* by slot, in order */
    size_t rule_count;
    uint64_t question;
};

bool rule_grams_takes(struct view literal); /* it is long enough */
void rule_grams_add(struct rule_grams *g, struct view literal, uint32_t rule);
/* Nothing is added any more. */
void rule_grams_seal(struct rule_grams *g);
void rule_grams_release(struct rule_grams *g);

/* Over one text, or several about which one question is asked: each slot is given once. */
struct gram_lookup {
    struct rule_grams *grams; /* private, and the rest */
    struct view rest;
    uint32_t gram, len;
};
void rule_grams_ask(struct rule_grams *g);
void gram_lookup_begin(struct gram_lookup *l, struct rule_grams *g, struct view text);
/* Rules that the text may be for, in their order. False: no more. */
bool gram_lookup_next(struct gram_lookup *l, const uint32_t **rules, size_t *count);

#endif
