/* Flows: what is due at a site from one sender with one priority, in the order in which it became
 * due. Each sender has one of its own, however many there are, so that nobody waits behind the
 * mail of another; those of a site are in a heap by whose turn is next. Pure bookkeeping, part of
 * the index. */
#ifndef QUEUE_FLOW_H
#define QUEUE_FLOW_H

#include "common/attrs.h"

#include <stdbool.h>
#include <stdint.h>

struct index;
struct site;

enum { FLOW_PRIORITIES = 19, FLOW_PRIORITY_NORMAL = 9 }; /* -9 to 9, RFC 6710 */

struct flow {             /* of the pool `flows` */
    uint32_t first, last; /* units */
    uint32_t count;
    uint32_t hash_next;
    struct site *site;
    uint64_t pass;
    uint32_t sender;
    uint32_t slot; /* in the site's heap */
    uint32_t age;  /* of two with the same pass and priority the one that had it first is next */
    uint8_t priority;
};

/* The flows of a site. */
struct flow_heap {
    uint32_t *flows; /* from 1 on, by turn */
    uint32_t count, room;
};

struct flow *flow_at(const struct index *x, uint32_t flow);
/* Of that sender and priority; a new one begins one turn behind the last that was served. */
uint32_t flow_for(struct index *x, struct site *s, uint32_t sender, unsigned priority) MUST_USE;
/* It is empty. */
void flow_drop(struct index *x, uint32_t flow);
/* The one whose turn it is; POOL_NONE: there is none. */
uint32_t flow_first(const struct site *s) MUST_USE;
/* It has had a turn, of so many recipients. */
void flow_charge(struct index *x, uint32_t flow, unsigned recipients);

#define flow_each(f, site)                                                                         \
    for (uint32_t f##_slot = 1, f;                                                                 \
         f##_slot <= (site)->flows.count && (f = (site)->flows.flows[f##_slot], true); f##_slot++)

#endif
