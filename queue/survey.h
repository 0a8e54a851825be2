/* What is in the log, at start: from end to end, to learn which messages are finished or were
 * moved, what is damaged or torn, and where the log ends. */
#ifndef QUEUE_SURVEY_H
#define QUEUE_SURVEY_H

#include "mail/envelope.h"
#include "queue/copies.h"
#include "queue/digest.h"
#include "queue/idset.h"
#include "queue/ledger.h"
#include "queue/relook.h"
#include "queue/spool.h"

/* The newest segment has no more, so that the next ones have higher numbers even when it cannot be
 * read. Nothing else makes their numbers jump so far. */
enum { UNREAD_BATCHES = 1 << 20 };

/* A segment that is there, and what its head says. */
struct source {
    uint64_t number;
    uint64_t bytes; /* of the file, as it was made */
    uint64_t end;   /* what lies behind does not count */
    uint64_t first_batch;
    struct record_cut cuts[RECORD_CUTS];
    size_t cut_count;
    uint64_t left; /* as in struct record_start */
    bool tells_left;
    char spool[SPOOL_UUID_LEN];
    uint32_t seed;
    bool broken;    /* not all of it could be read */
    bool cut_short; /* the file has lost its end */
    /* Of what was found in it. */
    uint64_t last_batch;
    size_t batch_start; /* where the last batch begins */
    size_t sound_end;   /* of the last whole record */
    bool sealed;        /* that is padding in a batch of its own */
};

/* Where a stream of the log goes on; current NULL: in a new segment. */
struct log_end {
    struct segment *current;
    int fd; /* of it; the caller's */
    uint64_t tail;
    bool sealed;   /* the last batch is a single record of padding */
    uint64_t left; /* current NULL: the segment that has no end, or 0 */
};

/* A stretch without a whole record. */
struct gap {
    size_t source;
    size_t from, to;
    bool broken; /* the record `id` of `batch`, whose body is not whole */
    bool copy;   /* it is a copy, of what lay at `was` */
    uint64_t id, was;
    uint64_t batch; /* when not broken, the newest before it in the segment */
};

/* A message whose body is a file. */
struct large {
    uint64_t id, place, file, bytes;
    uint32_t size; /* of the record */
    uint32_t crc;  /* of the file */
};

/* Something that is not as it should be. */
struct finding {
    const char *file; /* "log/0000019f3a42.seg" */
    uint64_t offset, bytes;
    uint64_t id; /* of a message; 0: not known */
    const char *what;
    int error; /* errno, or 0 */
};

/* Who wants to know everything, and nothing to be done about it: index files are not believed but
 * compared, every body is read, and what is found is told here and not logged. */
struct inspector {
    void (*found)(struct inspector *i, const struct finding *f);
    void (*record)(struct inspector *i, const struct record *r, const struct finding *place);
    void (*body)(struct inspector *i, const struct large *l); /* of a message that counts */
};

struct survey {
    struct spool *spool;
    struct inspector *inspector; /* NULL: none */
    struct ledger *ledger;       /* empty before; the segments after */
    struct source *sources;      /* by number */
    size_t source_count, source_room;
    struct gap *gaps;
    size_t gap_count, gap_room;
    struct large *larges;
    size_t large_count, large_room;
    struct idset finished;        /* messages */
    struct idset adrift;          /* those whose end speaks of a segment that is not there */
    struct copies copies;         /* of messages that were moved */
    struct idset lost;            /* places of records that do not count: torn, or a broken copy */
    struct idset broken;          /* of those that count although their body is damaged */
    struct idset bodies;          /* files that live messages name */
    uint64_t damaged, torn_bytes; /* so far */
    struct withheld *withheld;    /* segments that could not be read, or not wholly */
    size_t unread, withheld_room;
    size_t bodiless;               /* live messages whose large body is gone or cut */
    uint64_t highest[STREAMS];     /* numbers of segments of which something is there */
    uint64_t mentioned;            /* the highest one that records speak of */
    uint64_t last_batch;           /* the number of none that was ever used is greater */
    struct digest digest;          /* of one segment: */
    size_t digesting;              /* the source of which it is being made, plus 1; 0: none */
    bool without_index;            /* from the segment itself */
    struct digest newest[STREAMS]; /* of the newest, which have no index file; empty: not whole */
    char *room;                    /* for the bytes of one segment; NULL: not now */
    uint64_t room_bytes;
    size_t loaded; /* the source whose bytes are in room, plus 1 */
    uint32_t rcpts[ENVELOPE_RCPTS_MAX];
};

/* 0, or a negative errno when the log cannot be read at all; then, too, release it. With an
 * inspector the spool is open for reading only. */
int survey_take(struct survey *v, struct spool *spool, struct ledger *ledger,
                struct inspector *inspector) MUST_USE;
void survey_release(struct survey *v);

/* Of both streams: no segment that ever had a record has a higher number. */
uint64_t survey_highest(const struct survey *v) MUST_USE;
/* Makes good the torn end of a stream, so that writing can go on. */
int survey_resume(struct survey *v, enum stream stream, struct log_end *end) MUST_USE;

/* The message lies at `place`, and is not finished. Whatever is in the log, each message counts in
 * one place alone: that of its newest copy, or else where it was born. */
bool survey_counts(const struct survey *v, uint64_t id, uint64_t place);
/* What it tells, at the beginning: from memory, the index file, or the segment, of which what makes
 * no sense is left out. 1 while there is more to read than about so many bytes: call again. A
 * negative errno: the process lacks something. */
int survey_load_digest(struct survey *v, size_t i, size_t bytes, struct digest **d) MUST_USE;
/* A large body that is gone or cut is damage, and delivery sets the message aside: the file may
 * come back. Files that cannot be looked at just now are not. */
void survey_look_at_large(struct survey *v, size_t i);
/* Says that the record is damaged, and sets it aside. */
void survey_report(struct survey *v, uint64_t id, struct store_ref where);

#endif
