/* The recipients of a transaction: each address once, however it is written, in memory that goes
 * back when one of them is refused. */
#ifndef SMTPD_RECIPIENTS_H
#define SMTPD_RECIPIENTS_H

#include "common/arena.h"
#include "common/table.h"
#include "mail/envelope.h"
#include "smtpd/screen.h"

struct transaction;

struct recipients { /* zeroed: none */
    struct envelope_rcpt *all;
    size_t count, room;
    size_t bytes; /* that they take in the encoded envelope, at most */
    struct table known; /* struct known_rcpt, by address_key */
    struct known_rcpt *newest;
};

enum recipients_answer { RECIPIENTS_TAKEN, RECIPIENTS_TOO_MANY, RECIPIENTS_NO_ROOM };

/* One more, copied; who is there already stays there once. `most`: how many there may be. */
enum recipients_answer recipients_add(struct transaction *t, const struct envelope_rcpt *r,
                                      size_t most) MUST_USE;
/* From here on one that was added before is added again: when it is decided for each command apart
 * who gets the message. Then those who are left are made one at the end. */
void recipients_set_apart(struct transaction *t);
void recipients_unite(struct transaction *t);

/* What a transaction had before a command that may be refused. */
struct recipients_mark {
    struct arena_mark arena;
    struct recipients recipients;
    struct screen screen;
};
void recipients_mark(const struct transaction *t, struct recipients_mark *m);
void recipients_return(struct transaction *t, const struct recipients_mark *m);
/* It was accepted: the room goes back if it added nobody. What it meant for the message stays. */
void recipients_settle(struct transaction *t, const struct recipients_mark *m);
/* Before the arena is emptied. */
void recipients_forget(struct transaction *t);

#endif
