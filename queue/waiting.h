/* Why recipients wait, and the end of that when the lifetime of their message is over. */
#ifndef QUEUE_WAITING_H
#define QUEUE_WAITING_H

#include "queue/notify.h"

enum { WAITING_ARENA_MAX = 8 << 20 }; /* the last outcomes of 1,000 recipients */

/* Puts the recipients of the unit at `list`, with what was heard of them last, on the arena;
 * without the envelope (NULL) they have no addresses. How many there are. */
size_t waiting_list(struct queue *q, uint32_t unit, const struct envelope *e, bool expired,
                    struct arena *arena, struct notify_rcpt *list);
/* The message's lifetime is over: gives up all of its recipients that wait (a running job comes
 * first). The message may be gone afterwards. */
void waiting_give_up(struct queue *q, uint32_t mail);

#endif
