/* Rules over mail that comes in: an ordered list, of which the first that matches and decides wins.
 * Facts in, a verdict out; no sockets, no clock. smtpd asks at each stage of a session, "tern
 * explain" asks all at once. */
#ifndef IPC_RULES_H
#define IPC_RULES_H

#include "common/error.h"
#include "io/config.h"
#include "ipc/rule_grams.h"
#include "ipc/rule_set.h"
#include "mail/literal.h"
#include "mail/pattern.h"

struct settings;

enum {
    RULES_MAX = 100000,
    RULE_LISTS_MAX = 64, /* files; each is a descriptor of every smtpd process */
    RULE_LIST_BYTES_MAX = 64 << 20,
    RULE_WEEK_MINUTES = 7 * 24 * 60,
};

/* When a fact is known: at the greeting, HELO, MAIL, RCPT, the empty line behind the header, and
 * the final dot. */
enum rule_stage {
    RULE_AT_CONNECT,
    RULE_AT_HELO,
    RULE_AT_MAIL,
    RULE_AT_RCPT,
    RULE_AT_HEADER,
    RULE_AT_END,
    RULE_STAGES
};

enum rule_field {
    RULE_LISTENER,
    RULE_CLIENT,
    RULE_CLIENT_NAME,
    RULE_LOGIN,
    RULE_HELO,
    RULE_SENDER,
    RULE_RECIPIENT,
    RULE_TLS,
    RULE_FIELDS
};

struct rule_facts {
    struct view listener;
    const struct net_address *client;
    struct view client_name, login, helo, sender, recipient; /* empty: none, or not known */
    bool name_failed;           /* whether the client has a name could not be found out */
    struct view recipient_base; /* without its "+detail"; empty: it has none */
    struct view tls;            /* "TLSv1.3 CIPHER ..."; empty: plain text */
    struct view header;         /* the header section, lines ended by CRLF */
    uint64_t header_id;   /* not 0: it is the one that was asked about with this number before */
    uint64_t size;        /* bytes of the message, without what is added here */
    unsigned week_minute; /* local time, from Monday 0:00 */
};

/* Any of them. As written: "*", "/pattern/", "file:/path", else what rule_set.h says. */
struct rule_values {
    struct view *texts;
    size_t count;
    uint32_t *lists; /* of rules.lists */
    size_t list_count;
    struct config_node **nodes; /* of the texts, for mistakes */
    /* By rules_prepare: */
    bool any;
    struct rule_set set;
    struct pattern **patterns;
    size_t pattern_count, loose_count; /* those without a literal come first... */
    struct rule_grams *grams;          /* ...and lead to the others */
};

struct rule_header {
    struct view name;
    struct rule_values values;
    uint64_t asked; /* the last header_id, and what came of it */
    int match;      /* enum rule_match */
};

struct rule_window {
    unsigned days;     /* a bit for each, Monday first */
    unsigned from, to; /* minutes of the day; when `to` is not after `from`, it is the next day's */
};

/* All of them. */
struct rule_conditions {
    struct rules *rules;                     /* that they are of */
    struct rule_values *fields[RULE_FIELDS]; /* NULL: no condition */
    struct rule_header *headers;
    size_t header_count;
    uint64_t larger, smaller;    /* bytes; 0: no condition */
    struct rule_window *windows; /* any of them */
    size_t window_count;
};

enum rule_act {
    /* These decide. */
    RULE_ACCEPT,
    RULE_REFUSE,
    RULE_DEFER,
    RULE_DISCARD,
    RULE_HOLD,
    /* These do something, and the next rule is asked. */
    RULE_TAG,
    RULE_ADD_HEADER,
    RULE_REMOVE_HEADER,
    RULE_REPLACE_HEADER,
    RULE_ROUTE,
    RULE_LIMIT,
    RULE_ACTS
};

/* Whose tokens a limit takes. */
enum rule_key {
    RULE_BY_RULE, /* the same for all mail */
    RULE_BY_CLIENT,
    RULE_BY_NETWORK,
    RULE_BY_LOGIN,
    RULE_BY_SENDER,
    RULE_BY_RECIPIENT,
    RULE_KEYS
};

struct rule_action {
    enum rule_act act;
    struct config_node *node;
    struct view word; /* the tag, the field's name, the route's name; the limit as it is written */
    struct view text; /* the field's value */
    unsigned code;    /* RULE_REFUSE, RULE_DEFER: the reply */
    const char *enhanced;
    const char *reply; /* its text; why it is held */
    /* RULE_LIMIT: */
    struct config_rate rate;
    enum rule_key key;
    bool holds; /* what is beyond it; else that is answered with `reply` */
};

struct rule {
    struct rule_conditions match;  /* first: the readers of settings write there */
    struct rule_conditions except; /* all of these hold: it does not match */
    bool has_except;
    struct view name;  /* may be empty */
    const char *label; /* the name, else "file:line" */
    const char *origin;
    struct rule_action *actions;
    size_t action_count;
    const struct rule_action *decision; /* the last of them; NULL: the next rule is asked */
    /* All that this rule, and those before it that decide, have to know is known: only then is it
     * sure to be the first. */
    enum rule_stage stage;
    uint32_t number;
    /* Defer in its stead, once a pattern could not be matched or the name not be found; else NULL
     */
    struct rule *unsure, *unnamed;
    struct config_node *node;
    struct table_entry entry; /* by name, while the settings are read */
};

struct rule_list {
    struct view path;
    struct config_node *node;
    bool loaded;
    struct rule_set words, networks; /* its lines, and those of them that are networks */
};

/* A message of a thousand recipients may have a long header, which is looked at once. */
struct rule_heads { /* heap */
    uint64_t asked; /* header_id */
    size_t count;
    uint32_t numbers[];
};

struct rules {
    struct rule *all;
    size_t count;
    struct rule_list *lists;
    size_t list_count;
    enum rule_stage decided;   /* of the last one that decides */
    bool at[RULE_STAGES];      /* there are rules of this stage */
    bool by_recipient;         /* some ask for the recipient */
    bool by_time;              /* or for the time */
    bool by_name[RULE_STAGES]; /* or, at this stage, for the client's name */
    /* By rules_prepare: */
    bool prepared;
    struct rule_set index[RULE_FIELDS];
    struct rule_grams *grams; /* for the patterns of each field; RULE_FIELDS: for all headers */
    struct rule_heads *heads; /* what the last of these led to */
    uint32_t *rest;           /* those that are in no index, in order */
    size_t rest_count;
    uint32_t *found; /* room for a walk: each rule as often as it is in an index */
    void (*release)(struct rules *r);
};

const char *rule_stage_name(enum rule_stage s); /* "connect" */
const char *rule_field_name(enum rule_field f); /* "client-name" */
const char *rule_act_name(enum rule_act a);     /* "add-header" */
enum rule_kind rule_field_kind(enum rule_field f);
enum rule_stage rule_field_stage(enum rule_field f);

/* What a text that has the value, or is matched by it, has in it; in the value or in the room. */
struct view rule_literal(struct view value, struct literal *room);
/* Compiles and indexes; before the sandbox. A pattern that does not compile is a negative errno. */
int rules_prepare(struct rules *r, struct error *err) MUST_USE;
void rules_release(struct rules *r);
/* Its file, open for reading; a negative errno with words. */
int rule_list_open(const struct rule_list *l, struct error *err) MUST_USE;
/* All that is in it, memory_new'd; the descriptor stays open. An empty view without a pointer and
 * words when that fails. */
struct view rule_list_read(int fd, struct error *err) MUST_USE;
/* What is in the file: a value on a line, "#" begins a comment. Replaces what was there. */
void rule_list_load(struct rule_list *l, struct view bytes);

/* The first rule that decides, of those up to `stage`; NULL: none. `matched` is called for each one
 * before it that does something, in order. When a pattern cannot be matched, or the client's name
 * is not known for now (RULE_FAILED), the answer is a rule that defers, with the label of that one.
 */
const struct rule *rules_walk(const struct rules *r, const struct rule_facts *f,
                              enum rule_stage stage,
                              void (*matched)(void *context, const struct rule *rule),
                              void *context);

/* An address as rules look at it: quoted only if it has to be (address_key). Borrows from the text
 * or from `room`. */
struct view rules_address(struct view text, struct buf *room);
/* Sets the recipient of the facts, and what it is without the detail. */
struct rules_recipient_room {
    char key[ADDRESS_MAX + 2], base[ADDRESS_MAX + 2];
};
void rules_set_recipient(struct rule_facts *f, const struct settings *s, struct view text,
                         struct rules_recipient_room *room);

/* One rule alone, for who explains. `known` has a bit for each field whose fact is there, and the
 * two below. */
enum { RULE_KNOWS_HEADER = 1 << RULE_FIELDS, RULE_KNOWS_SIZE = 2 << RULE_FIELDS };
enum rule_match { RULE_NO, RULE_PERHAPS, RULE_YES, RULE_FAILED };
enum rule_match rules_match(const struct rules *r, const struct rule *rule,
                            const struct rule_facts *f, unsigned known);
/* What is known at a stage. */
unsigned rule_known_at(enum rule_stage stage);

/* The stage at which all facts that the rule asks for are known; with a limit, RULE_AT_RCPT is the
 * first. */
enum rule_stage rule_own_stage(const struct rule *rule);
bool rule_limits(const struct rule *rule);    /* it has such an action */
bool rule_asks_name(const struct rule *rule); /* of the client's host */

#endif
