/* Where records of a stream of the log are placed, gathered in batches, and made durable: one write
 * and one sync for all that came while the last sync ran.
 *
 * A batch lies within one segment. When a write or sync fails, nothing is tried again on that
 * file: its segment is closed where the batch began, the batch's messages are refused, and its
 * other records, whose truth is in memory, go to a new segment. */
#ifndef QUEUE_JOURNAL_H
#define QUEUE_JOURNAL_H

#include "queue/ledger.h"
#include "queue/record.h"
#include "queue/shelf.h"
#include "queue/workers.h"

enum {
    BATCH_BYTES = (RECORD_BACK_MAX + 1) * RECORD_UNIT - RECORD_UNIT, /* 4 MiB, less a padding */
    BATCH_RECORDS = 1000,
    BATCH_BLOCK = 4096, /* writes end at a multiple, so that the kernel need not read one first */
    JOURNAL_WAITING_MOST = 8, /* batches: journal_is_behind */
};

struct journal;

struct batch {
    struct job job;
    struct list link; /* held, writing, failed or spare */
    struct journal *journal;
    struct segment *segment;
    uint64_t segment_number;
    uint32_t seed;
    uint64_t number;
    uint64_t offset; /* in the segment */
    char *room;      /* BATCH_BYTES, and two blocks */
    size_t len;
    unsigned records;
    bool opens; /* it begins with the segment's head */
    bool given; /* to the sync thread */
    unsigned generation;
    int error;
    struct list commits; /* struct store_commit, in order */
    struct list moves;   /* struct move: messages that are copied in it */
    uint64_t *removals;  /* large bodies to remove when it is durable */
    size_t removal_count, removal_room;
};

/* What its owner must do; called in the loop. */
struct journal_owner {
    void (*written)(struct journal_owner *o, struct batch *b); /* durable */
    /* A batch failed: what to answer the messages of all that is not durable, and how long to wait
     * before writing again. */
    enum spool_trouble (*failed)(struct journal_owner *o, const struct batch *b, uint64_t *wait_ms);
    /* Append a D, A, X or C anew that was to lie at `place`. */
    void (*again)(struct journal_owner *o, const struct record *r, uint64_t place);
    /* A message of the failed batch was not written; it is answered later. */
    void (*refused)(struct journal_owner *o, struct store_commit *c);
};

/* Given out so far, to all streams. */
struct journal_numbers {
    uint64_t segment, batch;
};

struct journal {
    struct journal_owner *owner;
    enum stream stream;
    struct journal_numbers *numbers;
    struct loop *loop;
    struct shelf *shelf;
    struct ledger *ledger;
    struct workers sync; /* one thread */
    struct view uuid;
    struct segment *current;             /* of STREAM_OLD: NULL until something is appended */
    uint64_t tail;                       /* of current */
    uint64_t newest, durable;            /* batches of this stream */
    struct record_cut cuts[RECORD_CUTS]; /* what the next head must tell */
    size_t cut_count;
    uint64_t left;         /* likewise: the segment that was left without its end, or 0 */
    struct batch *filling; /* NULL, or the newest, which may be given but not begun */
    struct list held, writing, failed, spare;
    unsigned waiting;    /* batches in `held` and `writing` */
    struct list refused; /* struct store_commit: answered when the cut is durable, or has failed */
    enum spool_trouble refused_trouble;
    struct timer mend, retry;
    unsigned generation; /* of batches: one failure fails all of its generation */
    uint64_t batches, records;
    uint64_t bytes;             /* appended so far */
    unsigned failed_generation; /* the sync thread's */
    int fd;                     /* the sync thread's: of the segment being written */
};

struct journal_entry {
    char type;
    uint64_t id;            /* out, for M; given for others */
    struct view line, text; /* its meta */
    struct view body;
    struct store_ref where; /* out */
};

/* It waits for no other thread, or is that thread's. */
bool batch_has_mail(const struct batch *b);

int journal_open(struct journal *j, struct journal_owner *owner, struct loop *l,
                 struct shelf *shelf, struct ledger *ledger, struct view uuid, enum stream stream,
                 struct journal_numbers *numbers) MUST_USE;
/* Goes on in `s`, whose file is `fd` (given to the journal), at `tail`; s NULL: in a new segment,
 * and segment `left`, if not 0, has no end. Call once, when the numbers are known. */
void journal_resume(struct journal *j, struct segment *s, int fd, uint64_t tail, uint64_t left);
int journal_start(struct journal *j) MUST_USE;
void journal_close(struct journal *j); /* finishes first */

/* Places a copy of the record in the filling batch (afterwards j->filling, in j->current). False:
 * larger than any segment takes. */
bool journal_append(struct journal *j, struct journal_entry *e) MUST_USE;
void journal_remove_later(struct journal *j, uint64_t big_file);
void journal_flush(struct journal *j);
/* What is to lie at `place` while it is not durable yet, and cannot be read from the disk: from
 * there to the end of its batch, until the next call. Empty: it is durable, or never was. */
struct view journal_peek(const struct journal *j, uint64_t place, uint32_t *seed);
bool journal_idle(const struct journal *j);
/* After a failure it waits before it writes again. */
bool journal_rests(const struct journal *j) MUST_USE;
/* So many batches wait for the disk that nothing should be begun that adds to them. */
bool journal_is_behind(const struct journal *j) MUST_USE;
/* Flushes and waits until all is answered, or writing fails again and again. */
void journal_finish(struct journal *j);

#endif
