/* A job: a due unit with a worker. */
#ifndef QUEUE_JOB_H
#define QUEUE_JOB_H

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
    uint32_t rcpt;   /* index in the envelope */
    unsigned notify; /* NOTIFY_... */
    struct view address;
    const struct verdict *verdict; /* NULL: none yet */
};

struct job {
    struct table_entry entry;
    struct list link; /* of the worker's jobs */
    struct worker *worker;
    uint32_t mail, unit;
    struct destination *destination;
    struct site *site;   /* the destination's when it started */
    uint64_t message;    /* id */
    uint64_t arrival_ms; /* wall clock */
    uint32_t attempt;
    uint32_t open; /* lines without a verdict */
    bool probe, cancelled;
    bool by_trace;      /* of the envelope */
    struct arena arena; /* addresses and verdicts */
    uint32_t line_count;
    struct job_line lines[];
};

/* Room for the job that is being made. */
struct job_maker {
    struct queue *queue;
    struct envelope_rcpt *rcpts;
    struct buf envelope, indexes; /* encoded */
};

void job_maker_init(struct job_maker *k, struct queue *q);
void job_maker_release(struct job_maker *k);

/* The due unit, or as much of it as a packet holds and the site's rate allows at once, goes to the
 * worker as job `number`. NULL: it does not, and is not due any more (its message cannot be read),
 * or at another destination (the settings have changed). */
struct job *job_start(struct job_maker *k, struct worker *w, uint64_t number,
                      uint32_t unit) MUST_USE;
void job_free(struct job *job);

#endif
