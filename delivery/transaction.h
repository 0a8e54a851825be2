/* What MAIL and RCPT say of a message, as far as the host understands it, and what keeps a message
 * from being given to this host at all. Pure.
 *
 * Without SMTPUTF8 a domain goes as A-labels, and UTF-8 in the header goes as it is: only a local
 * part that is not ASCII has no other form (RFC 6531, 3.2; RFC 5321, 2.3.11). */
#ifndef DELIVERY_TRANSACTION_H
#define DELIVERY_TRANSACTION_H

#include "common/buf.h"
#include "delivery/ext.h"
#include "mail/envelope.h"
#include "mail/outcome.h"

enum { TRANSACTION_COMMAND_MAX = 4096 }; /* bytes of MAIL or RCPT with all parameters */

/* Recipients of one message, for one transaction. All is borrowed until each is decided. */
struct client_message {
    const struct envelope *envelope;
    const uint32_t *rcpts; /* their numbers in the envelope */
    size_t rcpt_count;     /* at least 1 */
    uint64_t bytes;        /* of the content, without dots stuffed */
    bool chunk;            /* may go as one chunk (BDAT) */
    int64_t by_seconds;    /* until envelope->deliver_by_ms; negative when it is past */
};

/* Whether the host cannot take the message, or the recipient, whatever it says. What it lacks,
 * another host may have: the outcome is permanent if none has it. Its text is constant
 * but for `room`. */
bool transaction_obstacle(const struct client_message *m, const struct ext *e, struct buf *room,
                          struct outcome *why) MUST_USE;
bool transaction_rcpt_obstacle(const struct envelope *e, size_t rcpt, const struct ext *ext,
                               struct outcome *why) MUST_USE;

/* Whole commands. `rcpt` is a number in the envelope. False: no room. */
bool transaction_put_mail(const struct client_message *m, const struct ext *e,
                          struct buf *out) MUST_USE;
bool transaction_put_rcpt(const struct client_message *m, size_t rcpt, const struct ext *e,
                          struct buf *out) MUST_USE;

#endif
