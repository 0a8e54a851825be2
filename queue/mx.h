/* Which destinations have their mail hosts in common: before the first mail of a domain goes, a
 * delivery worker is asked for the name of the set of its hosts, and the domain joins their site.
 * What is known gets old, and is asked for again while mail goes on; a domain whose hosts cannot be
 * found out stands for itself. */
#ifndef QUEUE_MX_H
#define QUEUE_MX_H

#include "queue/queue.h"

enum {
    MX_FRESH_MS = 60 * 1000, /* the name servers' TTLs are kept by the dns process */
    MX_ASKED_MAX = 1000,     /* of one worker at once */
    MX_REFRESHED_MAX = 16,   /* of a site that is probed */
};

struct worker;

struct mx {
    struct queue *queue;
    struct list wanted; /* destinations that nobody was asked about yet */
    uint64_t last_question;
};

/* The limits of sites, from settings that are new: before destinations get their places. */
void mx_read_limits(struct queue *q);
/* The destination goes to the site where the settings and what is known of its hosts put it, with
 * the limits of that. */
void mx_place(struct queue *q, struct destination *d);

void mx_init(struct mx *m, struct queue *q);
/* The site stands for a domain whose mail hosts are to be asked for first; asks. */
bool mx_must_wait(struct mx *m, struct site *s);
/* Asks again for what is old; nothing waits for the answer. */
void mx_refresh(struct mx *m, struct destination *d);
void mx_refresh_site(struct mx *m, struct site *s);
/* The domain has a fault of its own: it is not to harm those that share its hosts. */
void mx_set_apart(struct mx *m, struct destination *d);

/* Sends what is wanted to workers; once a turn. */
void mx_run(struct mx *m, struct dispatch *d);
/* False: nonsense. */
bool mx_hear(struct mx *m, struct worker *w, struct view fields) MUST_USE;
/* The worker is gone: others are asked. */
void mx_lose_worker(struct mx *m, struct worker *w);

#endif
