/* Which segments are still needed, and why. Pure.
 *
 * A segment must stay while
 *   - a message that lies in it is live, or
 *   - it holds the newest state of a recipient of a live message (or the newest change, or that
 *     its delay notice is out): older ones are superseded; or
 *   - it holds the end of a message that lies in another segment that still exists: without the
 *     end, that message would come alive again; or
 *   - it holds a message that was moved, and the segment where it lay before still exists: the
 *     message's end only knows of its newest place. */
#ifndef QUEUE_LEDGER_H
#define QUEUE_LEDGER_H

#include "queue/chains.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The log has two streams of segments, which can be told apart by their numbers: even ones take
 * what happens, odd ones the messages that compaction moves. So mail that waits for days lies among
 * its like, and is not moved again for the sake of mail that came and went beside it. */
enum stream { STREAM_FRESH, STREAM_OLD, STREAMS };

enum stream segment_stream(uint64_t number);
/* The least greater number of that stream. */
uint64_t segment_after(uint64_t number, enum stream s);

/* A segment that must stay while segment `number` exists. */
struct tie {
    uint64_t number;
    bool firm;          /* else only for ends, which may be written again elsewhere */
    uint32_t end_bytes; /* of their records */
};

struct segment {
    uint64_t number;
    uint64_t bytes; /* of its file */
    uint64_t end;   /* what lies behind does not count: a write there failed */
    uint32_t seed;  /* of its CRCs */
    uint64_t live;  /* messages */
    uint64_t live_bytes;
    uint64_t needed;       /* newest states of recipients of live messages */
    uint64_t needed_bytes; /* of their records, about; a part of one for each recipient */
    uint64_t end_bytes;    /* of ends of messages that lie elsewhere */
    struct tie *ties;
    size_t tie_count, tie_room;
    uint64_t settled_by; /* batch: when it is durable, so is whatever made this one needless */
    uint64_t closed_ms;  /* monotonic: when the next one began; 0: in a former run */
    unsigned writing;    /* batches that are not durable yet */
    bool open;           /* records are appended to it */
    bool begun;          /* its head is durable */
    bool leaving;        /* being recycled */
    bool kept;           /* in this run, whatever becomes of it */
    bool stubborn;       /* not all of it can be read: it is not emptied in this run */
    unsigned failures;   /* to empty it or to have it gone */
    uint64_t again_ms;   /* monotonic: not tried before */
    bool indexed;        /* its index file is there, or cannot be made */
    int fd;              /* for reading; -1 */
};

/* What a state record is about, besides a recipient by its index. */
enum ledger_topic {
    LEDGER_CHANGE = 0xffd, /* held, released, deleted */
    LEDGER_NOTICE = 0xffe,
};

enum { LEDGER_PLAIN_BYTES = 128 }; /* of a record that says little besides its line, about */

/* A segment's number, and the one in a message's id, without what is above 32 bits: what is there
 * at one time is never four billion segments apart. */
struct ledger_state { /* of the pool `states` */
    uint32_t next;
    uint32_t segment;
    uint64_t what; /* message << 12 | topic */
};

struct ledger {
    struct segment **segments; /* by number */
    size_t count, room;
    struct pool states;
    struct chains by_topic; /* of them, by message and topic */
    bool changed;           /* a segment may have become needless */
};

void ledger_init(struct ledger *l); /* it stays where it is */
void ledger_release(struct ledger *l);

struct segment *ledger_add(struct ledger *l, uint64_t number);
struct segment *ledger_find(const struct ledger *l, uint64_t number); /* NULL: not there */
/* It is gone from the disk for good, or never was there. */
void ledger_remove(struct ledger *l, struct segment *s);

void ledger_come(struct segment *s, uint64_t bytes);
/* A live message that lies in segment `number` lies elsewhere since `batch`. */
void ledger_leave(struct ledger *l, uint64_t number, uint64_t bytes, uint64_t batch);
/* The newest state of `topic` of a live message is now in segment `number`, by `batch`; it takes
 * `bytes` there. */
void ledger_note(struct ledger *l, uint64_t message, unsigned topic, uint64_t number,
                 uint64_t batch, uint32_t bytes);
/* A recipient's part of a record about so many, one at least. */
uint32_t ledger_part(uint32_t bytes, size_t rcpts) MUST_USE;
/* There is no such state any more, by `batch`. */
void ledger_forget(struct ledger *l, uint64_t message, unsigned topic, uint64_t batch);
/* That segment; 0: there is no such state. */
uint64_t ledger_holder(const struct ledger *l, uint64_t message, unsigned topic);
/* A live message that lies in segment `home` is finished by a record in segment `number`. */
void ledger_finish(struct ledger *l, uint64_t message, uint64_t home, uint64_t bytes,
                   uint64_t number, uint64_t batch);
/* The same, of a message that was finished before: the record and those before it had to be written
 * anew. */
void ledger_finish_again(struct ledger *l, uint64_t message, uint64_t home, uint64_t number,
                         uint64_t batch);
/* Segment `number` must stay while `other` exists. */
void ledger_tie(struct ledger *l, uint64_t number, uint64_t other);
/* The same, since a record there ends a message that lies in `other`. */
void ledger_tie_end(struct ledger *l, uint64_t number, uint64_t other);
/* Every end in the segment has been written again elsewhere, by `batch`. */
void ledger_untie(struct ledger *l, struct segment *s, uint64_t batch);
bool ledger_is_tied_firmly(const struct segment *s);

/* Emptying it, or removing it, failed: that is tried again, later each time. */
void ledger_put_off(struct segment *s, uint64_t now_ms);

/* All that are there stay. */
void ledger_keep_all(struct ledger *l);

/* A segment that nothing needs, once `batch` and all before it are durable. Never one that is open,
 * nor the newest that has begun: its name tells which numbers were used. */
struct segment *ledger_needless(const struct ledger *l, uint64_t batch);

#endif
