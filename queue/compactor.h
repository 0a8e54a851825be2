/* Keeps the log small, and quick to read: when it is much larger than what lives in it, the
 * emptiest segment is read in a thread, and what is still needed of it is written again
 * (queue/rewriter.h). Once that is durable nothing needs the segment any more and it is used again
 * like any other.
 *
 * Of segments that stay it makes index files (queue/digest.h).
 *
 * Slow while others write, and faster the more the log exceeds what it should have
 * (queue/haste.h): in the end new mail waits for it, so that the log is bounded whatever others
 * write. Large bodies stay where they are. */
#ifndef QUEUE_COMPACTOR_H
#define QUEUE_COMPACTOR_H

#include "queue/digest.h"
#include "queue/haste.h"
#include "queue/rewriter.h"

enum { COMPACTOR_PORTION = 256 }; /* records read at once */

/* A record of the segment that is being emptied. */
struct fragment {
    uint64_t id;
    uint64_t other; /* X: place; M: about */
    uint32_t offset, bytes;
    char type;
    int error; /* of reading it; -EBADMSG: it is damaged */
};

struct compactor {
    struct loop *loop;
    struct spool *spool;
    struct ledger *ledger;
    struct journal *journal, *old; /* of either stream */
    struct rewriter rewriter;
    /* A segment may have become needless, or mail need not wait any more. */
    void (*progress)(struct compactor *c);
    /* Those bytes lie where that record should be. */
    void (*damaged)(struct compactor *c, const struct fragment *f, struct view bytes);
    uint64_t rest_ms; /* how long a segment is left alone after it was full */
    bool paused;      /* writing fails */
    bool closing;
    struct timer timer;
    struct workers thread;
    struct job job;
    uint64_t awaits;       /* go on when this batch of the journal is durable, and all copies */
    bool waiting;          /* for that; no timer runs */
    uint64_t others_bytes; /* that the journals had from others, when we looked last */
    uint64_t emptied_count;
    uint64_t looked_at; /* the newest segment when it looked for one to empty */
    bool helpless;      /* and there was none */
    /* Segments that there are too many; those on the disk are also those that are leaving. */
    uint64_t excess, excess_on_disk;
    bool leaving;         /* some are, and nothing hinders them */
    uint64_t measured_at; /* the newest segment then; 0: it has changed since */
    /* The segment; 0: none. The thread's while a job runs, but for source. */
    uint64_t source;
    uint32_t seed;
    struct digest digest;
    int save_error; /* of the index file */
    struct fragment *fragments;
    size_t count, room, left; /* those before `left` are still to be looked at, from the end */
    struct fragment portion[COMPACTOR_PORTION];
    size_t portion_count;
    uint64_t portion_bytes;
    bool limited; /* the portion could have been larger */
    char *bytes;  /* of the portion */
    int error;
    int lacking;                        /* the error of a fragment; -EBADMSG before others */
    uint32_t rcpts[ENVELOPE_RCPTS_MAX]; /* the thread's */
};

int compactor_open(struct compactor *c, struct loop *l, struct spool *spool, struct ledger *ledger,
                   struct journal *journal, struct journal *old,
                   struct store_watcher *watcher) MUST_USE;
int compactor_start(struct compactor *c) MUST_USE;
/* Waits for the thread; nothing is appended any more. */
void compactor_stop(struct compactor *c);
void compactor_close(struct compactor *c);

/* What it waits for may have come. */
void compactor_look(struct compactor *c);
/* There are fewer segments, or less lives in them. */
void compactor_measure(struct compactor *c);
/* The log is too large for more mail: look again with each `progress`, and after each batch. */
bool compactor_holds_mail(struct compactor *c) MUST_USE;

#endif
