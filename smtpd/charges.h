/* What the limits of rules take: a token for each message, or for each recipient, that is kept.
 * First all of them are looked at, and when none refuses the mail, taken: what is refused takes
 * nothing. Those of a recipient are settled at RCPT; those of rules that ask for the header or the
 * size, at the end of the message. */
#ifndef SMTPD_CHARGES_H
#define SMTPD_CHARGES_H

#include "ipc/rules.h"

struct session;

struct charge {
    const struct rule *rule;
    const struct rule_action *limit;
    struct view recipient;
    const bool *dropped; /* the recipient has been discarded; NULL: not asked */
};

/* Not settled yet; in the transaction's arena, of which it is a part. */
struct charges {
    struct charge *all;
    size_t count, room;
};

/* The limits of a rule that matched. `again`: for another recipient of the same message. False: no
 * room. */
bool charges_add(struct session *s, const struct rule *rule, bool again, struct view recipient,
                 const bool *dropped) MUST_USE;
/* The first charge that there is no token for, and which is not to be held then; NULL: none. */
const struct charge *charges_refusal(struct session *s);
/* Takes the tokens; notes that the message is to be held when some of them are missing. */
void charges_take(struct session *s);

#endif
