#include "queue/index.h"

#include "common/memory.h"
#include "common/table.h"
#include "ipc/messages.h"
#include "queue/tlsnote.h"

#include <assert.h>
#include <stdlib.h>

static struct view copy(struct view bytes)
{
    return view_make(memory_copy(bytes), bytes.len);
}

static void free_copy(struct view bytes)
{
    free((void *)(uintptr_t)bytes.ptr);
}

static void release_destination(struct destination *d)
{
    free_copy(d->hosts);
    if (d->hop.host.ptr != d->hop.name.ptr)
        free_copy(d->hop.host);
    free_copy(d->hop.name);
}

static void release_site(struct site *s)
{
    tlsnote_drop_all(s);
    free_copy(s->cause);
    free_copy(s->name);
    free(s->flows.flows);
}

void index_release_destinations(struct index *x)
{
    for (uint32_t i = 1; i < x->destinations.end; i++) {
        struct destination *d = index_destination(x, i);

        if (d->self != POOL_NONE)
            release_destination(d);
    }
    for (uint32_t i = 1; i < x->sites.end; i++) {
        struct site *s = pool_at(&x->sites, i);

        if (s->self != POOL_NONE)
            release_site(s);
    }
    chains_release(&x->by_hop);
    chains_release(&x->by_name);
}

/* ---- sites ---- */

static uint64_t hash_name(enum site_kind kind, struct view name)
{
    return hash_bytes(name) + kind;
}

static uint64_t hash_site(const void *site)
{
    const struct site *s = site;

    return hash_name(s->kind, s->name);
}

static struct site *find_site(struct index *x, enum site_kind kind, struct view name)
{
    uint32_t i = chains_first(&x->by_name, hash_name(kind, name));

    for (; i != POOL_NONE; i = chains_next(&x->by_name, i)) {
        struct site *s = pool_at(&x->sites, i);

        if (s->kind == kind && view_equal(s->name, name))
            return s;
    }
    return NULL;
}

static struct site *site_for(struct index *x, enum site_kind kind, struct view name)
{
    static const struct destination_limits none;
    struct site *s = find_site(x, kind, name);
    uint32_t self;

    if (s != NULL)
        return s;
    self = pool_take(&x->sites);
    s = pool_at(&x->sites, self);
    s->self = self;
    s->kind = kind;
    s->name = copy(name);
    s->limits = &none;
    list_init(&s->members);
    list_init(&s->turn);
    list_init(&s->trouble);
    list_init(&s->tls_notes);
    pace_init(&s->pace);
    chains_add(&x->by_name, self);
    return s;
}

void index_drop_site(struct index *x, struct site *s)
{
    if (s->member_count > 0 || s->running > 0 || s->backed_off || timer_running(&s->timer))
        return;
    list_remove(&s->turn);
    chains_remove(&x->by_name, s->self);
    release_site(s);
    pool_give(&x->sites, s->self);
}

static void join_site(struct site *s, struct destination *d)
{
    d->site = s;
    list_append(&s->members, &d->member);
    s->member_count++;
    s->units += d->units;
}

static void leave_site(struct index *x, struct destination *d)
{
    struct site *s = d->site;

    list_remove(&d->member);
    s->member_count--;
    s->units -= d->units;
    d->site = NULL;
    index_drop_site(x, s);
}

/* What is due of the destination, a unit of each flow after the other. */
static uint32_t *list_due(const struct index *x, const struct destination *d)
{
    uint32_t *units = memory_new_array(MAX(d->due_count, 1), sizeof(*units));
    uint32_t count = 0;

    flow_each (f, d->site) {
        for (uint32_t u = flow_at(x, f)->first; u != POOL_NONE; u = index_unit(x, u)->link.next) {
            if (index_unit(x, u)->destination == d->self)
                units[count++] = u;
        }
    }
    assert(count == d->due_count);
    return units;
}

/* Out of the flows of one site and into those of the other. */
static void move_due(struct index *x, const struct destination *d, struct site *to)
{
    uint32_t *units = list_due(x, d);

    for (uint32_t i = 0; i < d->due_count; i++) {
        site_remove_due(x, units[i]);
        site_add_due(x, to, units[i], false);
    }
    free(units);
}

void index_move_destination(struct index *x, struct destination *d, enum site_kind kind,
                            struct view name)
{
    struct site *to = site_for(x, kind, name);

    if (to == d->site)
        return;
    move_due(x, d, to);
    leave_site(x, d);
    join_site(to, d);
}

/* ---- destinations ---- */

const enum site_kind index_own_site[HOP_KINDS] = {
    [HOP_LOCAL] = SITE_LOCAL, [HOP_NOWHERE] = SITE_HOSTS, [HOP_MX] = SITE_DOMAIN,
    [HOP_HOST] = SITE_HOSTS,  [HOP_ROUTE] = SITE_HOSTS,
};

static uint64_t hash_hop(const struct hop *hop)
{
    return hash_bytes(hop->name) + 3 * hash_bytes(hop->host) + hop->kind;
}

static uint64_t hash_destination(const void *destination)
{
    return hash_hop(&((const struct destination *)destination)->hop);
}

/* The name tells one way to deliver from another, and two kinds may still have one name. */
static bool same_hop(const struct hop *a, const struct hop *b)
{
    return a->kind == b->kind && view_equal(a->name, b->name) && view_equal(a->host, b->host);
}

static struct destination *find_destination(struct index *x, const struct hop *hop)
{
    uint32_t i = chains_first(&x->by_hop, hash_hop(hop));

    for (; i != POOL_NONE; i = chains_next(&x->by_hop, i)) {
        struct destination *d = index_destination(x, i);

        if (same_hop(&d->hop, hop))
            return d;
    }
    return NULL;
}

static struct destination *make_destination(struct index *x, const struct hop *hop)
{
    uint32_t self = pool_take(&x->destinations);
    struct destination *d = index_destination(x, self);

    d->self = self;
    d->hop = *hop;
    d->hop.name = copy(hop->name);
    d->hop.host = view_equal(hop->name, hop->host) ? d->hop.name : copy(hop->host);
    list_init(&d->member);
    list_init(&d->rest);
    list_init(&d->asking);
    chains_add(&x->by_hop, self);
    join_site(site_for(x, index_own_site[hop->kind], d->hop.name), d);
    return d;
}

struct destination *index_destination_for(struct index *x, const struct hop *hop)
{
    struct destination *d = find_destination(x, hop);

    if (d == NULL)
        return make_destination(x, hop);
    d->hop.route = hop->route; /* routes move when the settings change */
    return d;
}

static void drop_destination(struct index *x, struct destination *d)
{
    list_remove(&d->rest);
    list_remove(&d->asking);
    x->resting_count--;
    chains_remove(&x->by_hop, d->self);
    leave_site(x, d);
    release_destination(d);
    pool_give(&x->destinations, d->self);
}

void index_rest_destination(struct index *x, struct destination *d)
{
    if (d->units > 0 || d->running > 0 || !list_empty(&d->rest))
        return;
    list_append(&x->resting, &d->rest);
    if (++x->resting_count > INDEX_RESTING_MAX)
        drop_destination(x, container_of(x->resting.next, struct destination, rest));
}

static void wake_destination(struct index *x, struct destination *d)
{
    if (list_empty(&d->rest))
        return;
    list_remove(&d->rest);
    x->resting_count--;
}

void index_count_unit(struct index *x, struct destination *d, int change)
{
    wake_destination(x, d);
    d->units += (uint32_t)change;
    d->site->units += (uint32_t)change;
}

void index_init_destinations(struct index *x)
{
    chains_init(&x->by_hop, &x->destinations, offsetof(struct destination, hash_next),
                hash_destination);
    chains_init(&x->by_name, &x->sites, offsetof(struct site, hash_next), hash_site);
}
