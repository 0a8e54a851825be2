/* Notices to senders: of failure, of delay, and of success where that was asked for. A notice is a
 * message of its own, and becomes durable together with what it says of the recipients: exactly one
 * for each, whatever crashes. */
#ifndef QUEUE_NOTIFY_H
#define QUEUE_NOTIFY_H

#include "mail/outcome.h"
#include "queue/queue.h"

struct notify_rcpt {
    uint32_t rcpt; /* index in the envelope */
    uint32_t unit;
    struct view address;
    const struct outcome *outcome;
    uint64_t attempted_ms; /* wall clock; 0: never */
    bool expired;
    bool logged; /* its end, with a notice that failed; or that it arrived, in the spool */
};

/* Gives these recipients up: `units` are theirs, wholly, and go when the notice is durable. When
 * it cannot be made durable, another is made later (queue/losses.h). Where nobody is to be told
 * (the reverse-path is null, NOTIFY says so, or it would be backscatter) it is only recorded. The
 * message may be gone afterwards. */
void notify_failure(struct queue *q, uint32_t mail, const uint32_t *units, size_t unit_count,
                    const struct notify_rcpt *rcpts, size_t rcpt_count);
/* These recipients have it: `units` are theirs, wholly; addresses are filled in. `final`: in a mailbox, else at a host that
 * will not tell. When the notice cannot be made durable, it is recorded that they have it and that
 * the notice is owed, and another is made later (queue/losses.h). The message may be gone
 * afterwards. */
void notify_success(struct queue *q, uint32_t mail, bool final, const uint32_t *units,
                    size_t unit_count, struct notify_rcpt *rcpts, size_t rcpt_count);
/* After a start: tells of those that had arrived, where that was still owed. The message may be
 * gone afterwards. */
void notify_arrivals(struct queue *q, uint32_t mail);
/* The message is for addresses that stood for several recipients, of which its sender is to hear.
 */
bool notify_owes_expansion(const struct envelope *e) MUST_USE;
/* Tells it. On disk that settles one recipient more than the message has, so that after a crash it
 * is known whether it was told. While the spool takes no notice, or does not give the message, it
 * is tried again. */
void notify_expanded(struct queue *q, uint32_t mail);
/* Tells the sender that the message waits, later when nothing can be read or stored now. */
void notify_delay(struct queue *q, uint32_t mail);

void notify_init(struct queue *q);
/* Notices that wait to be sent again; the next start makes them anew for messages that are there.
 */
void notify_forget_all(struct queue *q);

#endif
