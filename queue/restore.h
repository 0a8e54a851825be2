/* What was in the spool at the start comes into the index. */
#ifndef QUEUE_RESTORE_H
#define QUEUE_RESTORE_H

#include "queue/queue.h"

void restore_init(struct queue *q);
/* A slice at a time, while new mail comes in. */
void restore_start(struct queue *q);
/* A message that came before all is restored gets its time then. */
void restore_add(struct queue *q, uint32_t mail);
/* Offline: everything at once. */
void restore_show(struct queue *q);
/* What is kept until all has been told. */
void restore_release(struct queue *q);

#endif
