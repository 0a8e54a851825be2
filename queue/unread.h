/* Messages that cannot be read from the spool just now: the disk gives an error, or the process
 * lacks something. They are tried again, at first soon and then as deferred mail is, and nothing
 * else happens to them. */
#ifndef QUEUE_UNREAD_H
#define QUEUE_UNREAD_H

#include "queue/queue.h"

struct unread {
    struct table_entry entry; /* by the message's id */
    uint64_t since_ms;        /* the queue's clock */
    uint32_t tries;
    int error; /* errno of the last one */
    bool lasting;
};

/* It failed with that negative errno; how long to wait until the next try. */
uint64_t unread_note(struct queue *q, uint64_t id, int err) MUST_USE;
/* It has been read, or nobody needs it any more. */
void unread_forget(struct queue *q, uint64_t id);
const struct unread *unread_find(const struct queue *q, uint64_t id) MUST_USE; /* NULL: none */
void unread_release(struct queue *q);

#endif
