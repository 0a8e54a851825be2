/* Segments that could not be read, or not wholly, when the store was opened. A thread reads them
 * again, at first soon and then more and more rarely, until the disk gives all that is in them:
 * then it is time to open the store again, since only a start knows what counts in which order. */
#ifndef QUEUE_RELOOK_H
#define QUEUE_RELOOK_H

#include "queue/spool.h"
#include "queue/workers.h"

struct withheld {
    uint64_t number; /* of the segment */
    uint64_t offset; /* from here on; where it is opened: 0 */
    int error;       /* errno; 0: it can be read now */
    bool unwritable; /* it has been read: its end cannot be written, and nobody looks again */
};

struct relook {
    struct loop *loop;
    const struct spool *spool;
    void (*readable)(struct relook *r); /* all of them, wholly */
    struct timer timer;
    struct workers thread;
    struct job job;
    struct withheld *all;    /* as they were found last */
    struct withheld *looked; /* the thread's while a job runs */
    size_t count;
    unsigned looks;
};

/* Takes `all`, which is the caller's until then; without a thread nothing happens by itself. */
void relook_begin(struct relook *r, struct loop *l, const struct spool *spool, struct withheld *all,
                  size_t count, void (*readable)(struct relook *r));
void relook_end(struct relook *r); /* a zeroed one, too */

#endif
