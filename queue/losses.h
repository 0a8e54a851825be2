/* Recipients whose sender is not told yet. Those that are given up: until no others of the message
 * are under way, so that there is one notice for all, but not for long; and while the spool takes
 * no notice. They rest as UNIT_FAILING and nobody is asked for them again; after a crash they are
 * tried once more, since nothing of this is on disk. And those that have it: while no notice of
 * success can be made, as UNIT_ARRIVED. */
#ifndef QUEUE_LOSSES_H
#define QUEUE_LOSSES_H

#include "mail/bounce.h"
#include "queue/notify.h"

enum {
    LOSSES_WAIT_MS = 30 * 1000,  /* for the others of the message */
    LOSSES_AGAIN_MS = 60 * 1000, /* until a notice that failed is made again */
};

/* Of one message; copies of what notify_failure or notify_success wants. */
struct loss {
    enum bounce_action action;
    struct table_entry entry; /* of the queue's, by id */
    struct timer timer;
    struct queue *queue;
    uint64_t message;
    struct arena arena; /* of addresses and outcomes */
    struct notify_rcpt *rcpts;
    size_t rcpt_count;
    uint32_t *units;
    size_t unit_count;
};

/* Tells the sender of these and of what rests already, now or when the others have come back.
 * `units` are theirs, wholly. The message may be gone afterwards. */
void losses_take(struct queue *q, uint32_t mail, const uint32_t *units, size_t unit_count,
                 const struct notify_rcpt *rcpts, size_t rcpt_count);
/* Something of the message has come back. It may be gone afterwards. */
void losses_look(struct queue *q, uint64_t message);

/* `action`: BOUNCE_FAILED, BOUNCE_RELAYED or BOUNCE_DELIVERED. */
struct loss *loss_copy(struct queue *q, enum bounce_action action, uint64_t message,
                       const uint32_t *units, size_t unit_count, const struct notify_rcpt *rcpts,
                       size_t rcpt_count) MUST_USE;
void loss_free(struct loss **l);
/* No notice could be made, which is tried again. Takes it. */
void losses_hold(struct queue *q, struct loss *l);

void losses_forget_all(struct queue *q);

#endif
