/* The process: jobs from the queue go to destinations, results go back. */
#ifndef DELIVERY_WORKER_H
#define DELIVERY_WORKER_H

#include "delivery/job.h"
#include "delivery/sasl.h"
#include "delivery/sessions.h"
#include "io/tls.h"
#include "ipc/ask.h"
#include "ipc/peer.h"
#include "ipc/settings.h"

enum {
    WORKER_INQUIRY_MS = 60 * 1000, /* for the dns process to name the hosts of a domain */
    WORKER_REMEMBERED_MAX = 10000, /* destinations that are kept for what is known of them alone */
};

struct worker {
    const struct settings *settings;
    struct loop *loop;
    struct tls_context *tls;
    struct tls_context **route_tls; /* by number of the route; NULL: `tls` */
    struct sessions sessions;       /* of TLS */
    struct asker asker;
    struct peer queue;
    struct table jobs;         /* struct job, by id */
    struct table bodies;       /* struct job_body, by job id */
    struct table destinations; /* struct destination, by key */
    struct table sites;        /* struct site, by name */
    struct list remembered;    /* destinations that nothing but memory keeps, the oldest first */
    size_t remembered_count, remembered_most;
    struct list inquiries; /* of the queue, about mail hosts */
    struct list ways;      /* questions about them, delivery/ways.c */
    struct list idle;      /* connections without a job, the longest unused first */
    size_t conn_count;     /* connections of all destinations */
    size_t *turns; /* by number of the route: which target comes first, where they take turns */
    struct credential **credentials; /* by number of the route; NULL: there is none */
    void (*refused)(struct worker *w, uint32_t route); /* a token: another is wanted */
    uint64_t former_ms;     /* until when a process before may have connected to hosts; 0: never */
    uint64_t complained_ms; /* when it was said that nothing can be connected to; 0: never */
    bool draining;
    struct timer patience; /* of a drain */
};

/* Everything is borrowed. */
void worker_init(struct worker *w, const struct settings *s, struct loop *l,
                 struct tls_context *tls);

/* What the route, which has a login, logs in with from now on; empty: there is nothing. */
void worker_set_secret(struct worker *w, uint32_t route, struct view secret);

/* What the route's TLS is done with instead of the general context; borrowed. */
void worker_set_tls(struct worker *w, uint32_t route, struct tls_context *tls);

/* Takes the descriptor of a channel to (another) queue. Jobs of an earlier one are dropped, unless
 * the message may be accepted already. */
void worker_connect_queue(struct worker *w, uint32_t index, int fd);

/* Ends what runs, then stops the loop; with `stop`, which may follow later, after timeouts.drain in
 * any case. */
void worker_drain(struct worker *w, bool stop);

/* Everything about the job is decided, or nobody cares: tells the queue and frees it. */
void worker_end_job(struct worker *w, struct job *j);

#endif
