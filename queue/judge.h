/* What a job that has ended says of the site it went to: a connection that fails costs the site, a
 * message that fails costs the message. */
#ifndef QUEUE_JUDGE_H
#define QUEUE_JUDGE_H

#include "queue/job.h"

/* Slows the site down, backs it off, or lets it recover. */
void judge_site(struct queue *q, const struct job *job);

#endif
