#include "queue/site.h"

#include "queue/index.h"

static struct flow *flow_at(const struct index *x, uint32_t flow)
{
    return pool_at(&x->flows, flow);
}

uint16_t site_sender(struct view login, struct view sender, struct view client)
{
    struct view who = login.len > 0 ? login : sender.len > 0 ? sender : client;

    return (uint16_t)(hash_bytes_nocase(who) % SITE_SENDERS);
}

/* What one recipient costs a flow. */
static uint64_t cost_at(unsigned priority)
{
    return 1ULL << (SITE_PRIORITIES - 1 - priority);
}

/* Passes go round: what counts is which of two is ahead. */
static bool is_before(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) < 0;
}

/* ---- flows ---- */

static uint32_t find_flow(const struct index *x, const struct site *s, unsigned sender,
                          unsigned priority)
{
    site_each_flow(f, x, s)
    {
        const struct flow *flow = flow_at(x, f);

        if (flow->sender == sender && flow->priority == priority)
            return f;
    }
    return POOL_NONE;
}

/* The one in which a message more of another sender waits the least. */
static uint32_t shortest_flow(const struct index *x, const struct site *s, unsigned priority)
{
    uint32_t best = s->flows;

    site_each_flow(f, x, s)
    {
        const struct flow *flow = flow_at(x, f), *other = flow_at(x, best);
        bool fits = flow->priority == priority;
        bool other_fits = other->priority == priority;

        if (fits != other_fits ? fits : flow->count < other->count)
            best = f;
    }
    return best;
}

static uint32_t make_flow(struct index *x, struct site *s, unsigned sender, unsigned priority)
{
    uint32_t f = pool_take(&x->flows);
    struct flow *flow = flow_at(x, f);

    flow->site = s;
    flow->sender = (uint16_t)sender;
    flow->priority = (uint16_t)priority;
    flow->pass = s->pass + cost_at(priority);
    flow->next = s->flows;
    s->flows = f;
    s->flow_count++;
    return f;
}

static uint32_t flow_for(struct index *x, struct site *s, unsigned sender, unsigned priority)
{
    uint32_t f = find_flow(x, s, sender, priority);

    if (f != POOL_NONE)
        return f;
    return s->flow_count < SITE_FLOWS_MAX ? make_flow(x, s, sender, priority)
                                          : shortest_flow(x, s, priority);
}

static void drop_flow(struct index *x, uint32_t f)
{
    struct site *s = flow_at(x, f)->site;
    uint32_t *link = &s->flows;

    while (*link != f)
        link = &flow_at(x, *link)->next;
    *link = flow_at(x, f)->next;
    s->flow_count--;
    pool_give(&x->flows, f);
}

/* ---- due units ---- */

void site_add_due(struct index *x, struct site *s, uint32_t unit, bool in_front)
{
    struct unit *u = index_unit(x, unit);
    uint32_t f = flow_for(x, s, u->sender, index_mail(x, u->mail)->priority);
    struct flow *flow = flow_at(x, f);

    u->link.due = f;
    u->link.prev = in_front ? POOL_NONE : flow->last;
    u->link.next = in_front ? flow->first : POOL_NONE;
    if (u->link.prev != POOL_NONE)
        index_unit(x, u->link.prev)->link.next = unit;
    else
        flow->first = unit;
    if (u->link.next != POOL_NONE)
        index_unit(x, u->link.next)->link.prev = unit;
    else
        flow->last = unit;
    flow->count++;
    s->due_count++;
}

void site_remove_due(struct index *x, uint32_t unit)
{
    struct unit *u = index_unit(x, unit);
    struct flow *flow = flow_at(x, u->link.due);

    if (u->link.prev != POOL_NONE)
        index_unit(x, u->link.prev)->link.next = u->link.next;
    else
        flow->first = u->link.next;
    if (u->link.next != POOL_NONE)
        index_unit(x, u->link.next)->link.prev = u->link.prev;
    else
        flow->last = u->link.prev;
    flow->site->due_count--;
    if (--flow->count == 0)
        drop_flow(x, u->link.due);
    u->link.due = 0;
    u->link.prev = u->link.next = POOL_NONE;
}

/* ---- turns ---- */

uint32_t site_first(const struct index *x, const struct site *s)
{
    const struct flow *best = NULL;

    site_each_flow(f, x, s)
    {
        const struct flow *flow = flow_at(x, f);

        if (best == NULL || is_before(flow->pass, best->pass) ||
            (flow->pass == best->pass && flow->priority >= best->priority))
            best = flow; /* of two the older, which stands further behind */
    }
    return best == NULL ? POOL_NONE : best->first;
}

void site_charge(struct index *x, uint32_t unit, unsigned recipients)
{
    struct flow *flow = flow_at(x, index_unit(x, unit)->link.due);

    flow->site->pass = flow->pass;
    flow->pass += recipients * cost_at(flow->priority);
}
