/* What the rules (ipc/rules.h) make of a session and its messages. */
#ifndef SMTPD_SCREEN_H
#define SMTPD_SCREEN_H

#include "ipc/rules.h"
#include "mail/address.h"
#include "smtpd/charges.h"

struct session;
struct envelope;
struct buf;

enum { SCREEN_APPLIED_MAX = 64 }; /* rules that do something to one message */

/* A recipient as it was asked for, and which of the transaction's became of it. */
struct screened_rcpt {
    struct view address;
    size_t first, count;
    bool discarded;
    const struct rule *discards; /* which has it so */
};

/* Of a transaction; zeroed is a fresh one. */
struct screen {
    const struct rule *applied[SCREEN_APPLIED_MAX]; /* that do something, each once */
    size_t applied_count;
    bool too_many; /* such rules */
    /* The decision, of that kind; NULL: none. */
    const struct rule *refused, *held, *discarded, *accepted;
    struct charges charges;
    const struct rule_action *surplus; /* the limit beyond which it is, so that it is held */
    struct screened_rcpt *rcpts;       /* only when rules of a later stage ask for recipients */
    size_t rcpt_count, rcpt_room;
};

/* Whether rules have to see the header before it is passed on. */
bool screen_needs_header(const struct rules *r);

/* Whether rules of that stage, or of one before it, ask for the client's name. */
bool screen_asks_name(const struct session *s, enum rule_stage stage);

/* The rule that refuses, or defers, at the greeting, HELO or MAIL; NULL: none. */
const struct rule *screen_session(const struct session *s, enum rule_stage stage,
                                  struct view sender);
/* What the rules say of one recipient, as far as it is known at RCPT. */
struct screen_found {
    const struct rule *decides; /* NULL: none */
    const struct rule *rules[SCREEN_APPLIED_MAX];
    size_t count;
    bool too_many;
};
void screen_rcpt(const struct session *s, struct view recipient, struct screen_found *found);
/* The limits of what was found: the charge that refuses it; NULL: none. `room` is false when there
 * is no room to find out. */
const struct charge *screen_charge_rcpt(struct session *s, struct view recipient,
                                        const struct screen_found *found, bool *room);
/* Whether later rules decide for each recipient: then one that was asked for twice, or is reached
 * by two ways, counts once only after the last of them. */
bool screen_sets_apart(const struct session *s);
/* It was added, as the transaction's recipients from `first` on: now what was found is done to the
 * message. False: no room. */
bool screen_keep_rcpt(struct session *s, struct view recipient, size_t first,
                      const struct screen_found *found) MUST_USE;
/* For RULE_AT_HEADER, with the header section, and RULE_AT_END. */
void screen_message(struct session *s, enum rule_stage stage, struct view header);

/* A recipient has been discarded, or, where it is empty, the message. */
void screen_tell_discarded(const struct session *s, const struct rule *rule, struct view recipient);
/* Those that screen_message has discarded, when the others' message is to be kept. */
void screen_tell_dropped(const struct session *s);

/* The message was accepted: which rules had a say in it. */
void screen_tell_applied(struct session *s, uint64_t message);

/* The message's tags, route and reason to be held; false: no room. */
bool screen_describe(struct session *s) MUST_USE;

/* The header section as the rules want it. */
bool screen_write_header(const struct session *s, struct view header, struct buf *out) MUST_USE;
/* What that adds to it, at most, in bytes. */
size_t screen_header_growth(const struct session *s);

#endif
