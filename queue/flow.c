#include "queue/flow.h"

#include "common/memory.h"
#include "queue/index.h"

#include <stdlib.h>

enum {
    FIRST_BUCKETS = 256, /* always a power of two */
    FIRST_ROOM = 4,
};

struct flow *flow_at(const struct index *x, uint32_t flow)
{
    return pool_at(&x->flows, flow);
}

/* What one recipient costs. */
static uint64_t cost_at(unsigned priority)
{
    return 1ULL << (FLOW_PRIORITIES - 1 - priority);
}

/* ---- turns ---- */

/* Passes go round, and so do ages: what counts is which of two is ahead. */
static bool precedes(const struct flow *a, const struct flow *b)
{
    if (a->pass != b->pass)
        return (int64_t)(a->pass - b->pass) < 0;
    if (a->priority != b->priority)
        return a->priority > b->priority;
    return (int32_t)(a->age - b->age) < 0;
}

static void place(struct index *x, struct flow_heap *h, uint32_t f, uint32_t slot)
{
    h->flows[slot] = f;
    flow_at(x, f)->slot = slot;
}

/* `slot` is a hole; finds the place for `f` between it and the top, or the leaves. */
static void sift(struct index *x, struct flow_heap *h, uint32_t f, uint32_t slot)
{
    const struct flow *flow = flow_at(x, f);

    for (; slot > 1 && precedes(flow, flow_at(x, h->flows[slot / 2])); slot /= 2)
        place(x, h, h->flows[slot / 2], slot);
    while (slot * 2 <= h->count) {
        uint32_t child = slot * 2;

        if (child < h->count &&
            precedes(flow_at(x, h->flows[child + 1]), flow_at(x, h->flows[child])))
            child++;
        if (precedes(flow, flow_at(x, h->flows[child])))
            break;
        place(x, h, h->flows[child], slot);
        slot = child;
    }
    place(x, h, f, slot);
}

static void join(struct index *x, struct flow_heap *h, uint32_t f)
{
    if (h->count + 1 >= h->room) {
        h->room = h->room == 0 ? FIRST_ROOM : h->room * 2;
        h->flows = memory_grow(h->flows, h->room, sizeof(*h->flows));
    }
    sift(x, h, f, ++h->count);
}

static void leave(struct index *x, struct flow_heap *h, uint32_t f)
{
    uint32_t slot = flow_at(x, f)->slot;
    uint32_t last = h->flows[h->count--];

    if (last != f)
        sift(x, h, last, slot);
    if (h->count > 0)
        return;
    free(h->flows);
    *h = (struct flow_heap){ 0 };
}

uint32_t flow_first(const struct site *s)
{
    return s->flows.count == 0 ? POOL_NONE : s->flows.flows[1];
}

void flow_charge(struct index *x, uint32_t f, unsigned recipients)
{
    struct flow *flow = flow_at(x, f);

    flow->site->pass = flow->pass;
    flow->pass += recipients * cost_at(flow->priority);
    flow->age = x->turns++;
    sift(x, &flow->site->flows, f, flow->slot);
}

/* ---- by sender ---- */

/* A sender is a keyed hash (site_sender): nobody can choose it. */
static uint32_t *bucket_of(const struct index *x, const struct site *s, uint32_t sender)
{
    uint32_t hash = (s->self * 0x9e3779b1u) ^ sender;

    return &x->flow_buckets[hash & (x->flow_bucket_count - 1)];
}

static void grow_buckets(struct index *x)
{
    uint32_t *old = x->flow_buckets;
    uint32_t old_count = x->flow_bucket_count;

    x->flow_bucket_count = old_count == 0 ? FIRST_BUCKETS : old_count * 2;
    x->flow_buckets = memory_new_array(x->flow_bucket_count, sizeof(*old));
    for (uint32_t i = 0; i < old_count; i++) {
        for (uint32_t f = old[i], next; f != POOL_NONE; f = next) {
            struct flow *flow = flow_at(x, f);
            uint32_t *bucket = bucket_of(x, flow->site, flow->sender);

            next = flow->hash_next;
            flow->hash_next = *bucket;
            *bucket = f;
        }
    }
    free(old);
}

static uint32_t find(const struct index *x, const struct site *s, uint32_t sender,
                     unsigned priority)
{
    uint32_t f = x->flow_bucket_count == 0 ? POOL_NONE : *bucket_of(x, s, sender);

    for (; f != POOL_NONE; f = flow_at(x, f)->hash_next) {
        const struct flow *flow = flow_at(x, f);

        if (flow->site == s && flow->sender == sender && flow->priority == priority)
            break;
    }
    return f;
}

uint32_t flow_for(struct index *x, struct site *s, uint32_t sender, unsigned priority)
{
    uint32_t f = find(x, s, sender, priority);
    uint32_t *bucket;
    struct flow *flow;

    if (f != POOL_NONE)
        return f;
    if (x->flows.count >= x->flow_bucket_count)
        grow_buckets(x);
    f = pool_take(&x->flows);
    flow = flow_at(x, f);
    bucket = bucket_of(x, s, sender);
    flow->site = s;
    flow->sender = sender;
    flow->priority = (uint8_t)priority;
    flow->pass = s->pass + cost_at(priority);
    flow->age = x->turns++;
    flow->hash_next = *bucket;
    *bucket = f;
    join(x, &s->flows, f);
    return f;
}

void flow_drop(struct index *x, uint32_t f)
{
    const struct flow *flow = flow_at(x, f);
    uint32_t *link = bucket_of(x, flow->site, flow->sender);

    leave(x, &flow->site->flows, f);
    while (*link != f)
        link = &flow_at(x, *link)->hash_next;
    *link = flow->hash_next;
    pool_give(&x->flows, f);
}
