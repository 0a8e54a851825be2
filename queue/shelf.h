/* The files of segments: log/NUMBER.seg in use, and spares under free/ that have been written
 * before, whose blocks cost a sync next to nothing when they are written again.
 *
 * New mail never takes the last SHELF_HELD_BACK of them: when the disk is full, they are there for
 * what happens to the mail that came before, and for compaction, which gives one back for each that
 * it takes. */
#ifndef QUEUE_SHELF_H
#define QUEUE_SHELF_H

#include "queue/spool.h"
#include "queue/workers.h"

#include <stdatomic.h>

enum {
    SHELF_HELD_BACK = 2,
    SHELF_KEPT = SHELF_HELD_BACK + 2, /* spares made in advance */
    SHELF_MOST = SHELF_HELD_BACK + 4, /* spares kept when segments come back */
    SHELF_NAME = 24,
};

struct shelf {
    const struct spool *spool;
    uint64_t segment_bytes;
    bool fresh;            /* no file is written before its use, or used again */
    struct workers keeper; /* one thread: recycles and makes spares */
    pthread_mutex_t lock;  /* of what follows */
    char spares[SHELF_MOST][SHELF_NAME];
    unsigned count;
    bool no_room;        /* was found for a file, when one was to be made last */
    atomic_bool low;     /* what shelf_is_low says; read without the lock */
    unsigned next_name;  /* the keeper's */
    bool making;         /* the loop's */
    uint64_t *abandoned; /* the loop's: segments whose files could not be removed yet */
    size_t abandoned_count, abandoned_room;
    bool complained;  /* of those */
    int making_error; /* the loop's: of the last spare that was made */
};

/* "0000000001a2.seg", and back; false: not such a name. */
void segment_name(uint64_t number, char name[SHELF_NAME]);
bool segment_number(struct view name, uint64_t *number) MUST_USE;
/* The same with ".idx": its index file (queue/digest.h). */
void segment_index_name(uint64_t number, char name[SHELF_NAME]);
bool segment_index_number(struct view name, uint64_t *number) MUST_USE;

/* Takes stock of free/; what is no whole segment is removed. */
int shelf_open(struct shelf *s, const struct spool *spool, uint64_t segment_bytes, bool fresh,
               struct loop *l) MUST_USE;
int shelf_start(struct shelf *s) MUST_USE;
void shelf_close(struct shelf *s);
unsigned shelf_count(struct shelf *s);
/* There is no room for another file, and what is left is held back: no new mail may come. Ends when
 * shelf_tend has found room. */
bool shelf_is_low(const struct shelf *s);

/* In any thread. A descriptor of log/NUMBER.seg for reading and writing, its name durable: a spare,
 * else a file made now, else, unless it is for mail, a spare that was held back; or a negative
 * errno. */
int shelf_take(struct shelf *s, uint64_t number, bool for_mail) MUST_USE;
/* In the loop: as if it had never been. */
void shelf_abandon(struct shelf *s, uint64_t number);

/* In the loop. Once the file is durably out of log/, `gone` is called there; with a negative errno
 * it is still there, or may come back, and is to be tried again. `keep`: it may be a spare. */
void shelf_recycle(struct shelf *s, uint64_t number, bool keep,
                   void (*gone)(void *arg, uint64_t number, int error), void *arg);
/* Makes another spare if there are too few and none is being made. */
void shelf_tend(struct shelf *s);

#endif
