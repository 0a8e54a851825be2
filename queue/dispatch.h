/* Due mail becomes jobs of workers. A destination's mail goes to one worker, chosen by its name, so
 * that all about it (connections, concurrency, TLS memory) lives in one process. Destinations with
 * due mail take turns; credits of the worker (READY_FOR) and a limit of the destination bound what
 * runs. */
#ifndef QUEUE_DISPATCH_H
#define QUEUE_DISPATCH_H

#include "mail/outcome.h"
#include "queue/queue.h"

struct worker;

/* What a worker said of a recipient, or of several. */
struct verdict {
    struct outcome outcome;
    struct view encoded; /* as it came */
    uint32_t duration_ms;
};

struct job_line {
    uint32_t rcpt; /* index in the envelope */
    struct view address;
    const struct verdict *verdict; /* NULL: none yet */
};

struct job {
    struct table_entry entry;
    struct list link; /* of the worker's jobs */
    struct worker *worker;
    uint32_t mail, unit;
    struct destination *destination;
    uint64_t message;    /* id */
    uint64_t arrival_ms; /* wall clock */
    uint32_t attempt;
    uint32_t open; /* lines without a verdict */
    bool probe, cancelled;
    struct arena arena; /* addresses and verdicts */
    uint32_t line_count;
    struct job_line lines[];
};

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
/* The destination may be able to start a job. */
void dispatch_wake(struct dispatch *d, struct destination *destination);
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
