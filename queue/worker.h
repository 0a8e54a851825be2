/* A process that does jobs, as dispatch, jobs and questions about mail hosts see it. */
#ifndef QUEUE_WORKER_H
#define QUEUE_WORKER_H

#include "ipc/peer.h"

struct worker {
    struct peer peer;
    struct list link; /* of the slot */
    struct dispatch *owner;
    uint32_t serial; /* no other has it */
    struct list jobs;
    uint32_t running, credits;
    struct list asked; /* destinations whose mail hosts it finds out */
    uint32_t asked_count;
    bool draining; /* a newer one has taken over */
    struct deferred free_later;
};

#endif
