/* What the worker of a site remembers of hosts that have no TLS that works, for people: with
 * opportunistic TLS they get plain text. */
#ifndef QUEUE_TLSNOTE_H
#define QUEUE_TLSNOTE_H

#include "queue/queue.h"

enum { TLSNOTES_MAX = 16 }; /* of a site; the oldest goes */

struct worker;

/* The worker has met a host of the site. */
void tlsnote_add(struct queue *q, struct site *s, const struct worker *w,
                 const struct message_tls_missed *m);
/* "tls_missed":[{"host":...,"until":...}] when there are any. A worker that has taken
 * the site over remembers nothing. */
void tlsnote_write(struct queue *q, const struct site *s, struct buf *out);
void tlsnote_drop_all(struct site *s);

#endif
