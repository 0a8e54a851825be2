/* What the rows share: of messages (queue/row.c), of the past (queue/row_past.c), and the status
 * (queue/row_status.c). */
#ifndef QUEUE_ROW_PARTS_H
#define QUEUE_ROW_PARTS_H

#include "mail/envelope.h"
#include "mail/outcome.h"
#include "queue/pieces.h"

enum { RCPT_ROOM = 32768 }; /* bytes of one recipient's object at most, with every byte escaped */

/* Ends the object that is open. */
void row_put_attempt(struct buf *out, const struct outcome *o, uint64_t at_ms,
                     uint64_t duration_ms);
/* Of reception, into the object that is open. */
void row_put_facts(const struct envelope *e, struct buf *out);

#endif
