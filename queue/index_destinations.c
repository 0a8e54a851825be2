#include "queue/index.h"

#include "common/memory.h"
#include "ipc/messages.h"
#include "queue/tlsnote.h"

#include <assert.h>
#include <stdlib.h>

static void release_destination(struct destination *d)
{
    free((void *)(uintptr_t)d->hosts.ptr);
    free(d->memory);
}

static void release_site(struct site *s)
{
    tlsnote_drop_all(s);
    free((void *)(uintptr_t)s->cause.ptr);
    free(s->flows.flows);
    free(s->key);
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
}

/* ---- sites ---- */

static struct site *site_for(struct index *x, enum site_kind kind, struct view name)
{
    char room[MAIL_HOSTS_MAX + ADDRESS_DOMAIN_MAX];
    struct buf key = BUF_ON_ARRAY(room);
    struct table_entry *e;
    struct site *s;
    uint32_t self;

    buf_put_byte(&key, (char)('0' + (int)kind));
    buf_put(&key, name);
    e = table_find(&x->by_site, buf_view(&key));
    if (e != NULL)
        return container_of(e, struct site, entry);
    self = pool_take(&x->sites);
    s = pool_at(&x->sites, self);
    s->self = self;
    s->kind = kind;
    s->key = memory_copy(buf_view(&key));
    s->name = view_make(s->key + 1, buf_len(&key) - 1);
    list_init(&s->members);
    list_init(&s->turn);
    list_init(&s->trouble);
    list_init(&s->tls_notes);
    pace_init(&s->pace);
    table_add(&x->by_site, &s->entry, view_make(s->key, buf_len(&key)));
    return s;
}

void index_drop_site(struct index *x, struct site *s)
{
    if (s->member_count > 0 || s->running > 0 || s->backed_off || timer_running(&s->free))
        return;
    list_remove(&s->turn);
    table_remove(&x->by_site, &s->entry);
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

/* The name tells one way to deliver from another, and two kinds may still have one name. */
static struct view hop_key(const struct hop *hop, struct buf *room)
{
    buf_put(room, hop->name);
    buf_put_byte(room, '\0');
    buf_put(room, hop->host);
    buf_printf(room, "%c%u", '\0', (unsigned)hop->kind);
    return buf_view(room);
}

const enum site_kind index_own_site[HOP_KINDS] = {
    [HOP_LOCAL] = SITE_LOCAL,
    [HOP_MX] = SITE_DOMAIN,
    [HOP_HOST] = SITE_HOSTS,
    [HOP_ROUTE] = SITE_HOSTS,
};

static struct destination *make_destination(struct index *x, const struct hop *hop, struct view key)
{
    uint32_t self = pool_take(&x->destinations);
    struct destination *d = index_destination(x, self);

    d->self = self;
    d->memory = memory_copy(key);
    d->hop = *hop;
    d->hop.name = view_make(d->memory, hop->name.len);
    d->hop.host = view_make(d->memory + hop->name.len + 1, hop->host.len);
    list_init(&d->member);
    list_init(&d->rest);
    list_init(&d->asking);
    table_add(&x->by_hop, &d->entry, view_make(d->memory, key.len));
    join_site(site_for(x, index_own_site[hop->kind], d->hop.name), d);
    return d;
}

struct destination *index_destination_for(struct index *x, const struct hop *hop)
{
    char room[2 * ADDRESS_DOMAIN_MAX + 128];
    struct buf text = BUF_ON_ARRAY(room);
    struct view key = hop_key(hop, &text);
    struct table_entry *e = table_find(&x->by_hop, key);
    struct destination *d;

    if (e == NULL)
        return make_destination(x, hop, key);
    d = container_of(e, struct destination, entry);
    d->hop.route = hop->route; /* routes move when the settings change */
    return d;
}

static void drop_destination(struct index *x, struct destination *d)
{
    list_remove(&d->rest);
    list_remove(&d->asking);
    x->resting_count--;
    table_remove(&x->by_hop, &d->entry);
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
