/* Destinations as JSON, for the admin tool (queue/control.h): what people call a destination is a
 * site here. */
#ifndef QUEUE_SITEROW_H
#define QUEUE_SITEROW_H

#include "queue/queue.h"

/* By its name, one of its hosts, or one of its domains. */
bool siterow_is(const struct site *s, struct view name) MUST_USE;
/* {"v":1,"destination":...}, a line. */
void siterow_write(struct queue *q, const struct site *s, struct buf *out);
/* Why the site is, or was last, in trouble. False: it never was. */
bool siterow_print_cause(const struct site *s, struct buf *words);

#endif
