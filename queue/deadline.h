/* What is to happen with a message by a certain time: its sender is told of the delay, it is given
 * up, what was deleted goes for good. */
#ifndef QUEUE_DEADLINE_H
#define QUEUE_DEADLINE_H

#include "queue/queue.h"

void deadline_init(struct queue *q);
/* Something has changed: looks soon for what is next. */
void deadline_arm(struct queue *q);
/* A message that is new, or whose lifetime begins again. */
void deadline_list(struct queue *q, uint32_t mail);
/* Its lifetime begins now. */
void deadline_begin(struct queue *q, uint32_t mail);

/* The begin of its lifetime, and when the message is given up; the queue's clock. */
uint64_t deadline_arrival_ms(const struct mail *m);
uint64_t deadline_expiry_ms(const struct queue *q, const struct mail *m);
/* It waits for the time that its sender has set. */
bool deadline_begins_later(const struct queue *q, const struct mail *m);

/* Deleted messages that can come back. */
bool deadline_in_trash(const struct mail *m);
void deadline_enter_trash(struct queue *q, uint32_t mail);
void deadline_leave_trash(struct queue *q, uint32_t mail);
/* What such a message takes, on the disk and in memory, about. */
uint64_t deadline_trash_bytes(const struct mail *m);

#endif
