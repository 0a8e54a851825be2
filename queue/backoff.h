/* Sites in trouble: when none of a site's hosts can be spoken to, all of its mail waits for one
 * timer, and then one job goes first. */
#ifndef QUEUE_BACKOFF_H
#define QUEUE_BACKOFF_H

#include "queue/queue.h"

struct verdict; /* queue/job.h */

/* A job ended with a fault of the site, for which it is slowed down, or backed off when there is no
 * hope. `probe`: it was the one that went first. The fault of a job that began before the back-off
 * makes it no longer. After a fault that may be the doing of its message another one goes first, at
 * once: two in a row are the site's. */
void backoff_failed(struct queue *q, struct site *s, bool probe, const struct verdict *fault);
/* A job got through to it, whatever it said to the recipients; or the probe was answered. */
void backoff_recovered(struct queue *q, struct site *s);
/* The probe came back without having tried. */
void backoff_untried(struct queue *q, struct site *s);
/* It is tried now, as if it had never failed. */
void backoff_override(struct queue *q, struct site *s);
/* The same, unless an administrator does not want it tried at all. */
void backoff_retry(struct queue *q, struct site *s);
/* An administrator wants it left alone until backoff_override. `who` is for the record. */
void backoff_force(struct queue *q, struct site *s, struct view who);
/* An administrator wants it tried now. */
void backoff_release(struct queue *q, struct site *s, struct view who);
/* Forgets the site if nothing needs it. A back-off is kept for its time, although nobody
 * waits: mail may come; but not longer. */
void backoff_drop(struct queue *q, struct site *s);
/* A job may be started, as far as back-off is concerned. */
bool backoff_allows(const struct site *s);

#endif
