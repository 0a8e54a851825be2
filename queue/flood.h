/* How many notices strangers can cause. Who may relay here is known and hears of everything; a
 * stranger's reverse-path may be forged, and then each notice goes to somebody who never wrote
 * (backscatter). So many an hour for one domain, and no more. */
#ifndef QUEUE_FLOOD_H
#define QUEUE_FLOOD_H

#include "ipc/settings.h"
#include "mail/envelope.h"

enum { FLOOD_COUNTERS = 1024 }; /* domains may share one: then there are fewer notices */

struct flood { /* zeroed: nothing was sent */
    uint64_t hour;
    uint32_t counts[FLOOD_COUNTERS];
};

/* Counts a notice to the sender of this message, if it may be sent. */
bool flood_allows(struct flood *f, const struct settings *s, const struct envelope *about,
                  uint64_t now_ms) MUST_USE;

#endif
