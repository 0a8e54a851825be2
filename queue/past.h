/* What is kept of recipients that are done, as text (doc/spool-format.md). Pure.
 *
 *   id=00000001a200f3c0      facts of the message
 *   ...
 *   from=..., rcpt=...       its envelope, with those recipients alone
 *   outcome=
 *   class=..., text=...      mail/outcome.h, if there was an attempt
 *   crc=9d1e0b77             CRC32C of all above
 *                            an empty line */
#ifndef QUEUE_PAST_H
#define QUEUE_PAST_H

#include "mail/envelope.h"

enum past_state { PAST_DELIVERED, PAST_BOUNCED, PAST_FAILED, PAST_DELETED, PAST_STATES };

struct past {
    uint64_t id;
    enum past_state state; /* PAST_FAILED: and nobody is told */
    uint64_t at_ms;        /* wall clock */
    uint64_t attempts, body_bytes;
    struct envelope envelope;
    struct view outcome; /* mail/outcome.h fields; may be empty */
};

const char *past_state_name(enum past_state s);
/* False when `out` is too small: nothing of it is there then. */
bool past_encode(const struct past *p, struct buf *out) MUST_USE;
/* A whole record, with or without its empty line; views borrow from it or from `arena`. */
bool past_decode(struct view bytes, struct arena *arena, struct past *p) MUST_USE;

/* Whether the message is meant by a word: its id, its Message-ID with or without brackets, its
 * sender, or one of the recipients. */
bool past_means(uint64_t id, const struct envelope *e, struct view word);
/* Sixteen hexadecimal digits. */
bool past_is_id(struct view word, uint64_t *id);

#endif
