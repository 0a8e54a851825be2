/* What the log says, at start. From end to end: first to learn what is finished, moved or damaged;
 * then to tell which messages are left; then to tell what happened to them, in that order. */
#ifndef QUEUE_RECOVER_H
#define QUEUE_RECOVER_H

#include "queue/idset.h"
#include "queue/ledger.h"
#include "queue/spool.h"
#include "queue/store.h"

#define PLACE_BIG (1ull << 63) /* in a struct store_ref: the message's body is a file */

struct recovery {
    struct spool *spool;
    struct ledger *ledger; /* empty before, filled after */
    struct store_replay *replay;
    /* out */
    struct idset bodies;     /* files that live messages name; the caller releases it */
    struct segment *current; /* where to go on; NULL: in a new segment */
    int fd;                  /* of current; the caller's */
    uint64_t tail;           /* of current */
    uint64_t highest;        /* segment number that was ever used */
    uint64_t next_batch;
    uint64_t live_messages, live_bytes, damaged, torn_bytes;
};

/* 0, or a negative errno and words when the log cannot be read or written at all. */
int recover(struct recovery *r, struct error *err) MUST_USE;

#endif
