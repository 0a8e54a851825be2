/* What is to happen to a message at a time of its own, which few messages have. It is kept in the
 * envelope, and made again at each start. */
#ifndef QUEUE_APPOINTMENT_H
#define QUEUE_APPOINTMENT_H

#include "mail/envelope.h"
#include "queue/queue.h"

/* All that the envelope of a message that has come, or was read from the spool, asks for. */
void appointment_make(struct queue *q, uint64_t message, const struct envelope *e);
void appointment_forget_all(struct queue *q);

#endif
