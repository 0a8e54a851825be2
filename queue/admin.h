/* What an administrator does with a message. `who` is for the record. */
#ifndef QUEUE_ADMIN_H
#define QUEUE_ADMIN_H

#include "queue/queue.h"

void admin_hold(struct queue *q, uint32_t mail, struct view who);
void admin_release(struct queue *q, uint32_t mail, struct view who);
/* Into the trash, from where it can come back for a while: held. */
void admin_delete(struct queue *q, uint32_t mail, struct view who);
void admin_undelete(struct queue *q, uint32_t mail, struct view who);
/* For good. */
void admin_purge(struct queue *q, uint32_t mail);
void admin_retry(struct queue *q, uint32_t mail);

#endif
