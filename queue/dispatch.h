/* Due mail becomes jobs of workers. A site's mail goes to one worker, chosen by its name. Sites
 * with due mail take turns. What runs is bounded by the worker's credits (READY_FOR), of which a
 * site may hold as many as are left (the last quarter only if it works), and by the site's window
 * and rates. */
#ifndef QUEUE_DISPATCH_H
#define QUEUE_DISPATCH_H

#include "queue/queue.h"

struct worker;

struct dispatch *dispatch_new(struct queue *q) MUST_USE;
void dispatch_free(struct dispatch **d);

/* A channel to worker number `index`, DELIVERY or LOCAL. While an older one is there, it waits for
 * dispatch_reload or for the other's end. */
void dispatch_add_worker(struct dispatch *d, enum process kind, uint32_t index, int fd);
/* New settings: the newest workers take over, and every unit is routed again before its next
 * attempt. */
void dispatch_reload(struct dispatch *d);

/* A parked or timed unit is due now. */
void dispatch_unit(struct dispatch *d, uint32_t unit);
/* The site may be able to start a job. */
void dispatch_wake(struct dispatch *d, struct site *s);
/* The time of a back-off is over: as above, and whether its destinations still belong to it is
 * looked up. */
void dispatch_probe(struct dispatch *d, struct site *s);
/* The destination has a fault of its own: it gets a site of its own. */
void dispatch_set_apart(struct dispatch *d, struct destination *to);
/* Who has the mail of the site or domain of that name; NULL: nobody now. */
struct worker *dispatch_worker_for(struct dispatch *d, struct view name);
/* Starts what can be started; once a turn. */
void dispatch_run(struct dispatch *d);
/* The job of a unit that is running, if its worker has not begun, is not wanted any more. */
void dispatch_cancel(struct dispatch *d, uint32_t unit);

uint64_t dispatch_running(const struct dispatch *d); /* jobs */
/* For the status: calls `tell` for each worker. */
struct worker_numbers {
    enum process kind;
    uint32_t index, running, credits;
    bool draining;
};
void dispatch_each_worker(const struct dispatch *d,
                          void (*tell)(void *context, const struct worker_numbers *w),
                          void *context);

#endif
