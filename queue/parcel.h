/* A message on its way to the admin tool: a line that tells how long what follows is, the envelope
 * with the recipients that are still open, and the body as it is sent.
 *
 *   {"v":1,"id":"...","state":"...","size":N,"crc":"...","envelope":E}   then E bytes, then N
 *
 * A message that cannot be read has "reason" in place of the lengths, and nothing follows. */
#ifndef QUEUE_PARCEL_H
#define QUEUE_PARCEL_H

#include "queue/content.h"

struct parcel {       /* zeroed is empty */
    struct buf bytes; /* not passed on yet; heap */
    int fd;           /* when `left` > 0: the rest of a large body */
    uint64_t at, left;
};

void parcel_pack(struct parcel *p, struct queue *q, uint32_t mail);
bool parcel_empty(const struct parcel *p);
/* Passes some on, if there is room. False: a large body cannot be read to its end. */
bool parcel_pass(struct parcel *p, struct buf *out) MUST_USE;
void parcel_drop(struct parcel *p);

#endif
