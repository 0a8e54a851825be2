/* The text of a notice, in an envelope for whoever sent the message that it is about. */
#ifndef QUEUE_REPORT_H
#define QUEUE_REPORT_H

#include "mail/bounce.h"
#include "queue/cache.h"
#include "queue/content.h"
#include "queue/notify.h"
#include "queue/queue.h"

/* Whether the sender is to hear of that recipient: as NOTIFY says (RFC 3461, 4.1), or the by-trace.
 */
bool report_wanted(const struct envelope *e, enum bounce_action a, size_t rcpt);
/* Tells of those of the recipients that the sender is to hear of; at least one. NULL: it cannot be
 * written. */
struct letter *report_write(struct queue *q, const struct mail *m, const struct content *c,
                            enum bounce_action a, const struct notify_rcpt *rcpts,
                            size_t count) MUST_USE;

#endif
