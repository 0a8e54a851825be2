/* A message that the admin tool brings: collected, large bodies in a file, made durable, queued. */
#ifndef QUEUE_IMPORT_H
#define QUEUE_IMPORT_H

#include "queue/queue.h"

enum import_result {
    IMPORT_DONE,      /* durable, and queued as `id` */
    IMPORT_MALFORMED, /* not an envelope, or the body is not the one that was announced */
    IMPORT_REFUSED,   /* the spool takes no mail now */
};

/* What is to come. */
struct import_plan {
    uint64_t envelope_bytes, body_bytes;
    uint32_t body_crc;
    bool hold;
    struct view who;
};

struct import;

/* `done` is called once, from the loop, never from in here; then the import is gone. NULL: the
 * spool has no room for it, or a size is out of reach. */
struct import *import_new(struct queue *q, const struct import_plan *plan,
                          void (*done)(void *arg, enum import_result result, uint64_t id),
                          void *arg) MUST_USE;
bool import_wants_more(const struct import *i);
/* How many of these bytes belong to it; they are taken. */
size_t import_feed(struct import *i, struct view bytes);
/* Nobody wants to know any more. What the store has already becomes a message. */
void import_leave(struct import **i);

#endif
