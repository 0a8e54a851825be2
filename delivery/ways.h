/* Questions about the way of mail: which hosts and addresses would be tried, in which order. The
 * same engine looks it up as for a connection. */
#ifndef DELIVERY_WAYS_H
#define DELIVERY_WAYS_H

#include "delivery/worker.h"

/* A WAY_ASK; WAY_ANSWER follows within WORKER_INQUIRY_MS. False: nonsense. */
bool ways_hear(struct worker *w, struct view fields) MUST_USE;
/* Nobody waits for answers any more. */
void ways_drop(struct worker *w);

#endif
