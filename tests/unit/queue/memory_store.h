/* A store in memory, as conformance.c wants it, so that everything above queue/store.h is tested
 * without files. It outlives store_close: the next store_open replays it, as a restart would. */
#ifndef TESTS_UNIT_QUEUE_MEMORY_STORE_H
#define TESTS_UNIT_QUEUE_MEMORY_STORE_H

#include "queue/store.h"

struct memory_store_facts {
    enum spool_trouble trouble;     /* what the next commits are answered with, */
    unsigned spared;                /* after so many to which nothing happens */
    bool damaged;                   /* store_read finds damage */
    int unreadable;                 /* store_read fails with that error */
    bool outcomes_lost;             /* store_read_outcome fails */
    bool in_files;                  /* store_read gives bodies so */
    bool behind;                    /* store_is_behind */
    bool slow;                      /* store_replay tells of one record at a time */
    unsigned reads;                 /* by store_read, of bodies */
    unsigned settled[STORE_STATES]; /* recipients, by store_settle */
    unsigned settled_by_notice;
    unsigned accepted, finished, changes[STORE_CHANGES];
    unsigned live;                /* messages that are not finished */
    uint64_t next_ms;             /* of the last deferral */
    struct store_clock clock;     /* written down last */
    bool dies;                    /* nothing more is written: the queue ends without good order */
    struct store_numbers numbers; /* for store_count, but live_messages */
};

extern struct memory_store_facts memory_store;

void memory_store_forget(void); /* everything, for the next test */
/* The last change of that kind, as the log loses one when a newer one stands elsewhere. */
void memory_store_lose(enum store_change_kind kind);
void memory_store_move(void); /* everything that is live to another place, as compaction does */

#endif
