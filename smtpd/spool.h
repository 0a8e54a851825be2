/* The queue as the sessions see it: who waits for which answer, and what happens when the channel
 * is lost. A commit waits while no queue is there or its channel is full. */
#ifndef SMTPD_SPOOL_H
#define SMTPD_SPOOL_H

#include "common/list.h"
#include "common/table.h"
#include "ipc/messages.h"
#include "ipc/peer.h"
#include "mail/envelope.h"

struct spool_peer;

struct spool {
    struct loop *loop;
    struct message_spool_state state; /* what the queue said last */
    struct spool_peer *peer;          /* the newest; NULL: none is there */
    struct table requests;            /* by id, those that a queue knows of */
    struct list waiting;              /* those that cannot be sent yet, in order */
    uint64_t last_id;
};

/* A transaction at the queue; embed. Zeroed but for the callbacks is idle. After `failed`,
 * `committed` and spool_cancel it is idle again. */
struct spool_request {
    struct table_entry entry;
    struct list link;
    struct spool_peer *peer; /* that knows of it */
    uint64_t id;             /* 0: idle */
    enum { REQUEST_OPEN, REQUEST_OPENED, REQUEST_COMMIT } doing;
    /* A file for the body; the receiver's to close. */
    void (*opened)(struct spool_request *r, int fd);
    /* Asked just before a commit is sent: the envelope, and the body's size, CRC and `big`. The
     * body itself is `m->body`, as large as it may be. Borrowed until the call of spool returns. */
    void (*describe)(struct spool_request *r, struct envelope *e, struct message_spool_commit *m);
    void (*committed)(struct spool_request *r, uint64_t message);
    /* Also when the file that was opened is lost with its queue. */
    void (*failed)(struct spool_request *r, enum spool_trouble trouble);
};

void spool_init(struct spool *s, struct loop *l);
/* Takes the channel to a new queue process. 0 or a negative errno. */
int spool_connect(struct spool *s, uint32_t index, int fd) MUST_USE;

/* Callbacks come later, from the loop. */
void spool_open(struct spool *s, struct spool_request *r);
void spool_commit(struct spool *s, struct spool_request *r);
/* Nobody waits any more: the queue forgets it, unless it is durable already. */
void spool_cancel(struct spool *s, struct spool_request *r);

#endif
