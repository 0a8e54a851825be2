/* A set of values that a rule's condition has, or a list in a file, or all rules together: words,
 * domains and networks, found by what a fact gives for them to look up. */
#ifndef IPC_RULE_SET_H
#define IPC_RULE_SET_H

#include "common/table.h"
#include "common/view.h"
#include "io/net.h"
#include "mail/address.h"

/* What a fact looks like, and so which values are meant by it. */
enum rule_kind {
    RULE_WORD,    /* that word, without case */
    RULE_HOST,    /* "a.example.org"; ".example.org" is every name below it */
    RULE_ADDRESS, /* "bob@example.org"; "@example.org" is everybody there, "@.example.org" everybody
                   * below it, "<>" nobody */
    RULE_NETWORK, /* "192.0.2.1", "192.0.2.0/24" */
};

struct rule_word { /* heap */
    struct table_entry entry;
    uint32_t *rules; /* of an index: those that have this value, in order */
    size_t rule_count, rule_room;
    size_t key_len;
    char key[]; /* of a network: its family, prefix and address */
};

struct rule_set { /* zeroed is not yet made */
    struct table words;
    uint64_t prefixes4, prefixes6[3]; /* a bit for each length of a network's prefix */
};

struct rule_fact {
    enum rule_kind kind;
    struct view text;                 /* not of RULE_NETWORK; empty: there is none */
    const struct net_address *client; /* of RULE_NETWORK; without a family it is not known */
};

void rule_set_init(struct rule_set *s);
void rule_set_release(struct rule_set *s);
/* Also when it is there already. NULL: no network. */
struct rule_word *rule_set_add(struct rule_set *s, enum rule_kind kind, struct view value);

/* The words that a fact gives, the closest first. */
struct rule_lookup {
    const struct rule_set *set;
    struct rule_fact fact;
    unsigned step; /* private, and the rest */
    struct view rest;
    char room[ADDRESS_MAX + 4];
};
void rule_lookup_begin(struct rule_lookup *l, const struct rule_set *s, const struct rule_fact *f);
/* NULL: no more. */
const struct rule_word *rule_lookup_next(struct rule_lookup *l);
bool rule_set_has(const struct rule_set *s, const struct rule_fact *f);
/* That word alone; NULL: it is not there. */
const struct rule_word *rule_set_find(const struct rule_set *s, struct view word);

/* Of a network's word: the length of its prefix. */
unsigned rule_word_prefix(const struct rule_word *w);

#endif
