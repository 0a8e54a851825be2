/* What workers report becomes the state of recipients: delivered, deferred to a later time, or
 * given up. */
#ifndef QUEUE_RESULT_H
#define QUEUE_RESULT_H

#include "queue/job.h"

/* False: nonsense. */
bool result_hear(struct queue *q, struct job *job, const struct message_rcpt_result *r) MUST_USE;
/* The worker has ended: defers what has no verdict yet. */
void result_lost(struct queue *q, struct job *job);
/* The job has ended, well or with its worker: settles every line, and gives the job's unit
 * a new state or removes it. Lines without a verdict become due again. */
void result_settle(struct queue *q, struct job *job);

#endif
