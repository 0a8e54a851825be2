/* Which destinations have their mail hosts in common: before the first mail of a domain goes, a
 * delivery worker is asked for the name of the set of its hosts, and the domain joins their site.
 * What is known gets old, and is asked for again while mail goes on; a domain whose hosts cannot be
 * found out stands for itself.
 *
 * Name servers may be silent, and nobody knows before they are asked. So no question waits for the
 * answer to another, but a tenth of a second at most; those whose mail waits for the first answer
 * take turns by sender and priority, as in a site; and those that were asked in vain, or for whose
 * answer nothing waits, have a part of the time of their own. */
#ifndef QUEUE_MX_H
#define QUEUE_MX_H

#include "queue/queue.h"

enum {
    MX_FRESH_MS = 60 * 1000, /* the name servers' TTLs are kept by the dns process */
    MX_VAIN_MS = 10 * 1000,  /* no hosts were found: before the next attempt it is asked again */
    MX_YOUNG_MS = 100,       /* a question without an answer holds up others for no longer */
    MX_YOUNG_MAX = 80,       /* that do; the dns process has places for more (dns/lines.h) */
    MX_AGAIN_MAX = 20,       /* of them: for others than the first of a domain */
    MX_ASKED_MAX = 12000,    /* without an answer; the dns process gives up the oldest before, and
                                has room for two questions about each (dns/desk.h) */
    MX_LINES = 1024,         /* senders and priorities share one where chance wants it */
    MX_REFRESHED_MAX = 16,   /* of a site that is probed */
};

struct worker;

/* Destinations of mail by one sender with one priority. */
struct mx_line {
    struct list link;   /* among those that are not empty, by turn */
    struct list wanted; /* the oldest first */
    bool newest;        /* is next: after many that are silent the oldest alone would come late */
};

struct mx {
    struct queue *queue;
    struct mx_line lines[MX_LINES];
    struct list turns;   /* lines */
    struct list again;   /* destinations that need no turn before others */
    uint32_t asked;      /* that have no answer */
    uint32_t young;      /* of them: that were asked in this window */
    uint32_t again_left; /* that may be in this window */
    struct timer window;
    uint32_t last_asked, last_before; /* the numbers of questions: of all, before this window */
};

/* The limits of sites, from settings that are new: before destinations get their places. */
void mx_read_limits(struct queue *q);
/* The destination goes to the site where the settings and what is known of its hosts put it, with
 * the limits of that. */
void mx_place(struct queue *q, struct destination *d);

void mx_init(struct mx *m, struct queue *q);
void mx_release(struct mx *m);
/* The site stands for a domain whose mail hosts are to be asked for first; asks. */
bool mx_must_wait(struct mx *m, struct site *s);
/* The unit is due: if its destination waits in the line of another, it need not be as long. */
void mx_hasten(struct mx *m, uint32_t unit);
/* Asks again for what is old; nothing waits for the answer. */
void mx_refresh(struct mx *m, struct destination *d);
void mx_refresh_site(struct mx *m, struct site *s);
/* The domain has a fault of its own: it is not to harm those that share its hosts. */
void mx_set_apart(struct mx *m, struct destination *d);

/* Something waits to be asked. */
bool mx_is_wanted(const struct mx *m);
/* Sends what is wanted to workers; once a turn. */
void mx_run(struct mx *m, struct dispatch *d);
/* False: nonsense. */
bool mx_hear(struct mx *m, struct worker *w, struct view fields) MUST_USE;
/* The worker is gone: others are asked. */
void mx_lose_worker(struct mx *m, struct worker *w);

#endif
