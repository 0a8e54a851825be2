/* What becomes of recipients, for the history (queue/history.h). */
#ifndef QUEUE_REMEMBER_H
#define QUEUE_REMEMBER_H

#include "queue/notify.h"
#include "queue/past.h"

/* These recipients are done; `outcome`: mail/outcome.h fields. */
void remember(struct queue *q, const struct mail *m, enum past_state state, const uint32_t *rcpts,
              size_t count, unsigned attempts, struct view outcome);
/* These are given up: the records, for history_add_encoded, in `records`, which the caller frees if
 * it has a capacity. */
void remember_lost(struct queue *q, uint32_t mail, enum past_state state,
                   const struct notify_rcpt *rcpts, size_t count, struct buf *records);
/* Those that were open when an administrator deleted the message. */
void remember_deleted(struct queue *q, uint32_t mail);

#endif
