/* The fronts (header and meta) of all records of a segment, without their bodies: what a start and
 * compaction need to know of it, in a tenth of its size.
 *
 * Of a segment that is full it is kept beside it as log/NUMBER.idx, so that a start need not read
 * all bodies. That file is a cache: it is not synced, one that is not whole or of another life of
 * the segment is not used, and all of them may be deleted. */
#ifndef QUEUE_DIGEST_H
#define QUEUE_DIGEST_H

#include "queue/record.h"

struct digest { /* a zeroed one is empty */
    uint64_t segment;
    uint32_t seed;
    uint64_t end;    /* of the stretch of the segment that it tells of */
    uint64_t filled; /* so far */
    bool gaps;       /* something could not be read, and stands here as padding */
    char *memory;    /* the fronts are its bytes from `first` to `len` */
    size_t first, len, room;
    size_t at; /* of digest_next: in memory, and in the segment */
    uint64_t offset;
    int file;          /* of digest_load_some, plus 1; 0: none is open */
    size_t file_len;   /* of it */
    struct walk *walk; /* of digest_make_some, while there is more to read */
};

void digest_release(struct digest *d);

/* For the segment's bytes from the first record to `end`. What `d` held is forgotten. */
void digest_begin(struct digest *d, uint64_t segment, uint32_t seed, uint64_t end);
/* The record that lies at `offset`; its header stands before its meta. In order. */
void digest_add(struct digest *d, const struct record *r, uint64_t offset);
/* It tells of every byte. */
bool digest_is_whole(const struct digest *d);
bool digest_equal(const struct digest *a, const struct digest *b); /* of the same segment */

/* From the segment itself, through a small window; in any thread. What makes no sense is
 * passed over. 0 or a negative errno: -EIO when not all of it could be read. */
int digest_make(struct digest *d, int log_folder) MUST_USE;
/* The same bit by bit: reads about so many bytes. 1: there are more. */
int digest_make_some(struct digest *d, int log_folder, size_t bytes) MUST_USE;
/* From and to its file; `d` as after digest_begin, or when whole. 0, or a negative errno: -EBADMSG
 * when the file is not sound or not about this life of the segment. */
int digest_load(struct digest *d, int log_folder) MUST_USE;
/* The same bit by bit, however slow the disk is: reads at most so many bytes. 1: there are more. */
int digest_load_some(struct digest *d, int log_folder, size_t bytes) MUST_USE;
int digest_save(const struct digest *d, int log_folder) MUST_USE;

/* Record by record; r->body only tells how long the body is. */
void digest_rewind(struct digest *d);
bool digest_next(struct digest *d, struct record *r, uint64_t *offset) MUST_USE;

#endif
