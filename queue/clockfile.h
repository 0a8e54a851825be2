/* The file `clock` of the spool: the queue's clock beside the wall clock, written down now and then
 * so that a start knows where it stood. One line of fixed length, written over in place:
 *
 *     queue=00000001795695180123 wall=00000001795695180123 ended=0 crc=ff62ca68 */
#ifndef QUEUE_CLOCKFILE_H
#define QUEUE_CLOCKFILE_H

#include "common/buf.h"
#include "queue/store.h"
#include "queue/workers.h"

struct clockfile {
    int folder;
    int fd; /* -1: not written in this run */
    struct workers *helper;
    struct job job;
    struct store_clock writing, next;
    bool busy;
    int error; /* of the last writing */
};

bool clockfile_encode(const struct store_clock *c, struct buf *out) MUST_USE;
bool clockfile_decode(struct view text, struct store_clock *out) MUST_USE;

/* False: there is none, or it is damaged. */
bool clockfile_read(int folder, struct store_clock *out) MUST_USE;

/* `helper` (one thread) writes; `folder` stays open until clockfile_close. */
void clockfile_init(struct clockfile *f, int folder, struct workers *helper);
/* Durable on return the first time. */
void clockfile_note(struct clockfile *f, const struct store_clock *c);
/* Writes the last one if it says that the end was a good one. The helper has finished. */
void clockfile_close(struct clockfile *f);

#endif
