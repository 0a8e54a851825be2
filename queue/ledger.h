/* Which segments are still needed, and why. Pure.
 *
 * A segment must stay while
 *   - a message that lies in it is live, or
 *   - it holds the newest state of a recipient of a live message (or the newest change, or that
 *     its delay notice is out): older ones are superseded; or
 *   - it holds the end of a message that lies in another segment that still exists: without the
 * end, that message would come alive again. */
#ifndef QUEUE_LEDGER_H
#define QUEUE_LEDGER_H

#include "common/attrs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct segment {
    uint64_t number;
    uint64_t bytes;  /* of its file */
    uint32_t seed;   /* of its CRCs */
    uint64_t live;   /* messages */
    uint64_t needed; /* newest states of recipients of live messages */
    uint64_t *ends;  /* numbers of the segments whose messages end here */
    size_t end_count, end_room;
    uint64_t settled_by; /* batch: when it is durable, so is whatever made this one needless */
    unsigned writing;    /* batches that are not durable yet */
    bool begun;          /* its head is durable */
    bool leaving;        /* being recycled */
    int fd;              /* for reading; -1 */
};

/* What a state record is about, besides a recipient by its index. */
enum ledger_topic {
    LEDGER_CHANGE = 0x8000, /* held, released, deleted */
    LEDGER_NOTICE = 0x8001,
};

struct ledger_state { /* message 0: free */
    uint64_t message;
    uint64_t where; /* segment << 16 | topic */
};

struct ledger {
    struct segment **segments; /* by number */
    size_t count, room;
    struct ledger_state *states; /* open addressing; room is a power of two */
    size_t state_count, state_room;
    bool changed; /* a segment may have become needless */
};

void ledger_release(struct ledger *l); /* a zeroed ledger is empty */

struct segment *ledger_add(struct ledger *l, uint64_t number);
struct segment *ledger_find(const struct ledger *l, uint64_t number); /* NULL: not there */
/* It is gone from the disk for good, or never was there. */
void ledger_remove(struct ledger *l, struct segment *s);

void ledger_come(struct segment *s);
/* The newest state of `topic` of a live message is now in segment `number`, by `batch`. */
void ledger_note(struct ledger *l, uint64_t message, unsigned topic, uint64_t number,
                 uint64_t batch);
/* A live message that lies in segment `home` is finished by a record in segment `number`. */
void ledger_finish(struct ledger *l, uint64_t message, uint64_t home, uint64_t number,
                   uint64_t batch);
/* The same, of a message that was finished before: the record and those before it had to be written
 * anew. */
void ledger_finish_again(struct ledger *l, uint64_t message, uint64_t home, uint64_t number,
                         uint64_t batch);
/* Segment `number` must stay while `other` exists. */
void ledger_tie(struct ledger *l, uint64_t number, uint64_t other);

/* A segment that nothing needs, once `batch` and all before it are durable. Never the newest that has
 * begun: its name tells which numbers were used. */
struct segment *ledger_needless(const struct ledger *l, uint64_t batch);

#endif
