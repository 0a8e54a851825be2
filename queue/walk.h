/* The records of a segment one after another, without their bodies, through a small window: for
 * threads that look through segments while the queue runs. */
#ifndef QUEUE_WALK_H
#define QUEUE_WALK_H

#include "queue/record.h"

struct walk {
    int fd; /* the caller's */
    uint64_t segment;
    uint32_t seed;
    uint64_t at, end; /* in the file */
    uint64_t batch;   /* of the newest record so far */
    bool gaps;        /* something was passed over */
    int error;        /* a negative errno ended it */
    char *room;       /* the window */
    size_t room_bytes, have;
    uint64_t from; /* of the window, in the file */
};

/* From the first record to `end`. */
void walk_open(struct walk *w, int fd, uint64_t segment, uint32_t seed, uint64_t end);
void walk_close(struct walk *w);
/* The next record whose front is whole; r->body only tells how long the body is. The meta is there
 * until the next call. False: no more, or w->error. */
bool walk_next(struct walk *w, struct record *r, uint64_t *offset) MUST_USE;

#endif
