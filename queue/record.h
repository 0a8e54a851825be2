/* How the log is written down. Pure: bytes in, bytes out. doc/spool-format.md tells the same to
 * people.
 *
 * A record begins at a multiple of 64 bytes: a header of one ASCII line of 64 bytes, its meta
 * (text), its body (bytes), and zeros up to the next multiple. The header's CRC covers header and
 * meta and is seeded by the nonce of the segment: bytes that happen to look like a record, in a
 * message or left over from the file's former life, fail it. */
#ifndef QUEUE_RECORD_H
#define QUEUE_RECORD_H

#include "common/buf.h"
#include "queue/store.h"

enum {
    RECORD_UNIT = 64,          /* bytes; the grain of places */
    RECORD_HEADER = 64,        /* bytes */
    RECORD_META_MAX = 0xfffff, /* five digits in the header */
    RECORD_BODY_MAX = 0xfffffff,
    RECORD_BACK_MAX = 0xffff, /* units; so a batch has at most 4 MiB */
    RECORD_OFFSET_BITS = 20,  /* of a place: segments of at most 64 MiB */
    RECORD_LINE_MAX = 8192,   /* the first line of a meta, with 1,000 recipients */
};

enum record_type {
    RECORD_START = 'S', /* a segment begins */
    RECORD_MESSAGE = 'M',
    RECORD_OUTCOME = 'D', /* of an attempt */
    RECORD_CHANGE = 'A',  /* by an administrator, or a notice that went out */
    RECORD_FINISH = 'X',  /* every recipient is done */
    RECORD_COPY = 'C',    /* a message moved by compaction; its id stays */
    RECORD_PADDING = 'P', /* nothing, up to its length */
    RECORD_INDEX = 'I',   /* all of an index file (queue/digest.h) */
};

struct record {
    char type;
    uint64_t id;    /* M: its own place, for life; D, A, X, C: the message; P, S: 0 */
    uint64_t batch; /* grows by one with each write; 40 bits */
    uint32_t back;  /* units from the beginning of its batch */
    struct view meta, body;
};

/* Where a record lies: its segment and offset. Also the id of the message that was born there. */
uint64_t record_place(uint64_t segment, uint64_t offset);
uint64_t record_segment(uint64_t place);
uint64_t record_offset(uint64_t place);

uint32_t record_seed(uint64_t nonce);
/* From the header to the next record. */
size_t record_span(size_t meta_bytes, size_t body_bytes);
/* Writes the header at `at`; the meta stands behind it already. Of r->body only the length counts.
 */
void record_seal(char *at, const struct record *r, uint32_t seed);
/* The record at the front of `bytes`: header and meta are whole and it ends within `bytes`. The
 * body is not looked at. Views borrow from `bytes`. */
bool record_read(struct view bytes, uint32_t seed, struct record *r) MUST_USE;
/* It begins as records do. */
bool record_is_likely(struct view bytes);
/* The same, and which batch it says it is of: not verified, where no seed is known. */
bool record_claims_batch(struct view bytes, uint64_t *batch) MUST_USE;
/* The same when `bytes` may end behind the meta: r->body is where the body would be. */
bool record_read_front(struct view bytes, uint32_t seed, struct record *r) MUST_USE;

/* ---- what the meta says: one line by us, then the caller's text ---- */

struct record_message { /* M, C */
    uint64_t body_bytes;
    uint32_t body_crc; /* CRC32C of the body alone, unseeded */
    bool big;          /* the body is the file `file` */
    uint64_t file;
    uint64_t about; /* as in struct store_commit; 0: none */
    const uint32_t *settles;
    size_t settle_count;
    uint64_t was; /* C: the place from where it was moved; 0: none */
    struct view envelope;
};

/* Puts writes the line alone and answers false when `out` is too small. Gets read a whole meta;
 * `rcpts` is room for ENVELOPE_RCPTS_MAX indexes, which the result borrows. */
bool record_put_message(struct buf *out, const struct record_message *m) MUST_USE;
bool record_get_message(struct view meta, uint32_t *rcpts, struct record_message *m) MUST_USE;
bool record_put_outcome(struct buf *out, const struct store_outcome *o) MUST_USE;
bool record_get_outcome(const struct record *r, uint32_t *rcpts, struct store_outcome *o) MUST_USE;
bool record_put_change(struct buf *out, const struct store_change *c) MUST_USE;
bool record_get_change(const struct record *r, struct store_change *c) MUST_USE;
/* X: where the message lay when it was finished, if it had been moved. */
bool record_put_finish(struct buf *out, uint64_t id, uint64_t place) MUST_USE;
uint64_t record_get_finish(const struct record *r);
/* I: how far in the segment it reaches, and the CRC32C of its body, unseeded. */
bool record_put_index(struct buf *out, uint64_t end, uint32_t crc) MUST_USE;
bool record_get_index(struct view meta, uint64_t *end, uint32_t *crc) MUST_USE;
/* The body is the one that the line speaks of; true for big ones. */
bool record_body_whole(const struct record *r) MUST_USE;

/* ---- the head of a segment ---- */

enum {
    RECORD_HEAD = 8192,      /* bytes before the first other record */
    RECORD_HEAD_COPY = 4096, /* where the second S record stands */
    RECORD_CUTS = 4,
};

/* What lies in the segment from the offset on was never acknowledged and does not count: a write
 * there had failed. */
struct record_cut {
    uint64_t segment, offset;
};

struct record_start {
    struct view spool; /* the spool's uuid, 32 hexadecimal digits */
    uint64_t segment, nonce;
    uint64_t bytes; /* of the whole file */
    uint64_t first_batch;
    struct record_cut cuts[RECORD_CUTS];
    size_t cut_count;
    uint64_t left;   /* the segment of the stream that was left without its end; 0: none */
    bool tells_left; /* out: an older one does not */
};

/* The S record twice, and what the file is, in words. */
void record_put_head(char head[static RECORD_HEAD], const struct record_start *s);
enum record_head {
    RECORD_HEAD_WHOLE,
    RECORD_HEAD_HALF,  /* one of the copies is damaged, or was not written */
    RECORD_HEAD_STALE, /* of a former life, or never written: segment `number` never began here */
    RECORD_HEAD_LOST,
};
/* The head of segment `number`; *s is set when it is whole or half. */
enum record_head record_get_head(struct view head, uint64_t number, struct record_start *s);

/* ---- reading a segment from end to end ---- */

struct record_scan {
    struct view bytes; /* from the first byte of the segment to where reading ends */
    uint64_t segment;
    uint32_t seed;
    size_t at;      /* RECORD_HEAD to begin with */
    uint64_t batch; /* the newest so far, first the segment's first: none goes back */
};

enum record_step {
    RECORD_FOUND,
    RECORD_BROKEN, /* header and meta are whole, the body is not */
    RECORD_GAP,    /* no record of this life of the segment */
    RECORD_END,
};

/* The next record or gap is at [*from, *to). */
enum record_step record_scan_next(struct record_scan *s, struct record *r, size_t *from,
                                  size_t *to);

#endif
