#include "queue/index.h"

#include "common/memory.h"
#include "ipc/messages.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SENDER_MASK (SITE_SENDERS - 1u)

enum {
    FIRST_BUCKETS = 1024, /* always a power of two */
    STATE_MASK = 7,       /* the room of a unit's state, and of a message's deadline */
    DEADLINE_MASK = 7,
};

void index_init(struct index *x)
{
    memset(x, 0, sizeof(*x));
    pool_init(&x->mails, sizeof(struct mail));
    pool_init(&x->units, sizeof(struct unit));
    pool_init(&x->destinations, sizeof(struct destination));
    pool_init(&x->sites, sizeof(struct site));
    pool_init(&x->flows, sizeof(struct flow));
    x->bucket_count = FIRST_BUCKETS;
    x->buckets = memory_new_array(x->bucket_count, sizeof(*x->buckets));
    table_init(&x->by_hop, false);
    table_init(&x->by_site, false);
    list_init(&x->resting);
    wheel_init(&x->wheel, &x->units, offsetof(struct unit, link));
    list_init(&x->troubled);
}

static void release_destination(struct destination *d)
{
    free((void *)(uintptr_t)d->hosts.ptr);
    free(d->memory);
}

static void release_site(struct site *s)
{
    free((void *)(uintptr_t)s->cause.ptr);
    free(s->key);
}

void index_release(struct index *x)
{
    for (uint32_t i = 1; i < x->units.end; i++) {
        struct unit *u = index_unit(x, i);

        if (u->mail != POOL_NONE)
            rcpts_release(&u->rcpts, index_mail(x, u->mail)->rcpt_count);
    }
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
    pool_release(&x->mails);
    pool_release(&x->units);
    pool_release(&x->destinations);
    pool_release(&x->sites);
    pool_release(&x->flows);
    table_release(&x->by_hop);
    table_release(&x->by_site);
    free(x->buckets);
    x->buckets = NULL;
}

struct mail *index_mail(const struct index *x, uint32_t mail)
{
    return pool_at(&x->mails, mail);
}

struct unit *index_unit(const struct index *x, uint32_t unit)
{
    return pool_at(&x->units, unit);
}

struct destination *index_destination(const struct index *x, uint32_t destination)
{
    return pool_at(&x->destinations, destination);
}

/* ---- messages ---- */

/* Ids are addresses in the log, made by us: nobody can choose them, but they are regular. */
static uint32_t *bucket_of(const struct index *x, uint64_t id)
{
    return &x->buckets[(id * 0x9e3779b97f4a7c15 >> 32) & (x->bucket_count - 1)];
}

static void grow_buckets(struct index *x)
{
    uint32_t *old = x->buckets;
    uint32_t old_count = x->bucket_count;

    x->bucket_count *= 2;
    x->buckets = memory_new_array(x->bucket_count, sizeof(*x->buckets));
    for (uint32_t i = 0; i < old_count; i++) {
        for (uint32_t mail = old[i], next; mail != POOL_NONE; mail = next) {
            struct mail *m = index_mail(x, mail);
            uint32_t *bucket = bucket_of(x, m->id);

            next = m->hash_next;
            m->hash_next = *bucket;
            *bucket = mail;
        }
    }
    free(old);
}

uint32_t index_add_mail(struct index *x, uint64_t id, unsigned rcpt_count)
{
    uint32_t mail = pool_take(&x->mails);
    struct mail *m = index_mail(x, mail);
    uint32_t *bucket;

    if (x->mails.count > x->bucket_count && x->bucket_count < UINT32_MAX / 2)
        grow_buckets(x);
    bucket = bucket_of(x, id);
    m->id = id;
    m->rcpt_count = (uint16_t)rcpt_count;
    m->hash_next = *bucket;
    *bucket = mail;
    return mail;
}

uint32_t index_find(const struct index *x, uint64_t id)
{
    uint32_t mail = *bucket_of(x, id);

    while (mail != POOL_NONE && index_mail(x, mail)->id != id)
        mail = index_mail(x, mail)->hash_next;
    return mail;
}

void index_remove_mail(struct index *x, uint32_t mail)
{
    struct mail *m = index_mail(x, mail);
    uint32_t *link = bucket_of(x, m->id);

    assert(m->units == POOL_NONE);
    index_set_held(x, mail, false);
    index_set_overdue(x, mail, false);
    index_set_deadline(x, mail, DEADLINE_NONE);
    while (*link != mail)
        link = &index_mail(x, *link)->hash_next;
    *link = m->hash_next;
    pool_give(&x->mails, mail);
}

struct store_ref index_place(const struct mail *m)
{
    return (struct store_ref){ m->place, m->record_bytes };
}

void index_set_place(struct mail *m, struct store_ref where)
{
    m->place = where.place;
    m->record_bytes = where.bytes;
}

void index_set_held(struct index *x, uint32_t mail, bool held)
{
    struct mail *m = index_mail(x, mail);

    if (((m->flags & MAIL_HELD) != 0) == held)
        return;
    m->flags ^= MAIL_HELD;
    x->held_count += held ? 1 : UINT64_MAX;
}

void index_set_overdue(struct index *x, uint32_t mail, bool overdue)
{
    struct mail *m = index_mail(x, mail);

    if (((m->flags & MAIL_OVERDUE) != 0) == overdue)
        return;
    m->flags ^= MAIL_OVERDUE;
    x->overdue_count += overdue ? 1 : UINT64_MAX;
}

/* ---- deadlines ---- */

static void leave_deadline(struct index *x, uint32_t mail)
{
    struct mail *m = index_mail(x, mail);

    if (m->deadline == DEADLINE_NONE)
        return;
    if (m->older != POOL_NONE)
        index_mail(x, m->older)->newer = m->newer;
    else
        x->deadlines[m->deadline].oldest = m->newer;
    if (m->newer != POOL_NONE)
        index_mail(x, m->newer)->older = m->older;
    else
        x->deadlines[m->deadline].newest = m->older;
    m->older = m->newer = POOL_NONE;
    m->deadline = DEADLINE_NONE;
}

void index_set_deadline(struct index *x, uint32_t mail, enum deadline list)
{
    struct mail *m = index_mail(x, mail);

    leave_deadline(x, mail);
    if (list == DEADLINE_NONE)
        return;
    m->deadline = list & DEADLINE_MASK;
    m->older = x->deadlines[list].newest;
    if (m->older != POOL_NONE)
        index_mail(x, m->older)->newer = mail;
    else
        x->deadlines[list].oldest = mail;
    x->deadlines[list].newest = mail;
}

void index_set_deadline_first(struct index *x, uint32_t mail, enum deadline list)
{
    struct mail *m = index_mail(x, mail);

    leave_deadline(x, mail);
    m->deadline = list & DEADLINE_MASK;
    m->newer = x->deadlines[list].oldest;
    if (m->newer != POOL_NONE)
        index_mail(x, m->newer)->older = mail;
    else
        x->deadlines[list].newest = mail;
    x->deadlines[list].oldest = mail;
}

uint32_t index_first_deadline(const struct index *x, enum deadline list)
{
    return x->deadlines[list].oldest;
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

/* The first of the flow from `unit` on that goes to the destination. */
static uint32_t find_due(const struct index *x, uint32_t unit, const struct destination *d)
{
    while (unit != POOL_NONE && index_unit(x, unit)->destination != d->self)
        unit = index_unit(x, unit)->link.next;
    return unit;
}

/* What is due of the destination, out of the flows of one site and into those of the other. */
static void move_due(struct index *x, const struct destination *d, struct site *from,
                     struct site *to)
{
    uint32_t left = d->due_count;
    uint32_t f = from->flows;

    while (left > 0 && f != POOL_NONE) {
        const struct flow *flow = pool_at(&x->flows, f);
        uint32_t next_flow = flow->next;
        uint32_t unit = find_due(x, flow->first, d);

        while (unit != POOL_NONE) {
            uint32_t next = find_due(x, index_unit(x, unit)->link.next, d);

            site_remove_due(x, unit);
            site_add_due(x, to, unit, false);
            left--;
            unit = next;
        }
        f = next_flow;
    }
}

void index_move_destination(struct index *x, struct destination *d, enum site_kind kind,
                            struct view name)
{
    struct site *to = site_for(x, kind, name);

    if (to == d->site)
        return;
    move_due(x, d, d->site, to);
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

/* `change`: 1 or -1 unit. */
static void count_unit(struct index *x, struct destination *d, int change)
{
    wake_destination(x, d);
    d->units += (uint32_t)change;
    d->site->units += (uint32_t)change;
}

/* ---- units ---- */

static void leave_state(struct index *x, uint32_t unit)
{
    struct unit *u = index_unit(x, unit);

    x->unit_counts[u->state]--;
    if (u->state == UNIT_TIMED) {
        wheel_remove(&x->wheel, unit);
    } else if (u->state == UNIT_DUE) {
        index_destination(x, u->destination)->due_count--;
        site_remove_due(x, unit);
    }
}

static struct unit *enter(struct index *x, uint32_t unit, enum unit_state state)
{
    struct unit *u = index_unit(x, unit);

    leave_state(x, unit);
    u->state = state & STATE_MASK;
    x->unit_counts[state]++;
    return u;
}

void index_park(struct index *x, uint32_t unit)
{
    enter(x, unit, UNIT_PARKED);
}

void index_run(struct index *x, uint32_t unit)
{
    enter(x, unit, UNIT_RUNNING);
}

void index_fail(struct index *x, uint32_t unit)
{
    enter(x, unit, UNIT_FAILING);
}

void index_time(struct index *x, uint32_t unit, uint32_t due_tick)
{
    enter(x, unit, UNIT_TIMED);
    wheel_add(&x->wheel, unit, due_tick);
}

uint32_t index_take_timed(struct index *x, uint32_t now_tick, unsigned *steps)
{
    uint32_t unit = wheel_take(&x->wheel, now_tick, steps);

    if (unit == POOL_NONE)
        return POOL_NONE;
    x->unit_counts[UNIT_TIMED]--;
    x->unit_counts[UNIT_PARKED]++;
    index_unit(x, unit)->state = UNIT_PARKED;
    return unit;
}

void index_make_due(struct index *x, uint32_t unit, bool in_front)
{
    struct unit *u = enter(x, unit, UNIT_DUE);
    struct destination *d = index_destination(x, u->destination);

    site_add_due(x, d->site, unit, in_front);
    d->due_count++;
}

static uint32_t make_unit(struct index *x, uint32_t mail, uint32_t destination)
{
    uint32_t unit = pool_take(&x->units);
    struct unit *u = index_unit(x, unit);
    struct mail *m = index_mail(x, mail);

    u->mail = mail;
    u->destination = destination;
    u->state = UNIT_PARKED;
    u->sibling = m->units;
    m->units = unit;
    rcpts_init(&u->rcpts, m->rcpt_count);
    x->unit_counts[UNIT_PARKED]++;
    count_unit(x, index_destination(x, destination), 1);
    return unit;
}

uint32_t index_next_unit(const struct index *x, uint32_t unit)
{
    return unit == POOL_NONE ? POOL_NONE : index_unit(x, unit)->sibling;
}

bool index_is_open(const struct index *x, const struct mail *m, unsigned rcpt)
{
    for (uint32_t u = m->units; u != POOL_NONE; u = index_next_unit(x, u)) {
        if (rcpts_has(&index_unit(x, u)->rcpts, m->rcpt_count, rcpt))
            return true;
    }
    return false;
}

void index_add_rcpt(struct index *x, uint32_t mail, struct destination *d, unsigned rcpt,
                    uint16_t routing, uint16_t sender)
{
    uint32_t unit = d->recent;

    if (unit == POOL_NONE || unit >= x->units.end || index_unit(x, unit)->mail != mail ||
        index_unit(x, unit)->destination != d->self || index_unit(x, unit)->state != UNIT_PARKED)
        unit = make_unit(x, mail, d->self);
    d->recent = unit;
    index_unit(x, unit)->routing = routing;
    index_unit(x, unit)->sender = sender & SENDER_MASK;
    rcpts_add(&index_unit(x, unit)->rcpts, index_mail(x, mail)->rcpt_count, rcpt);
}

uint32_t index_split(struct index *x, uint32_t unit, const struct rcpts *rcpts)
{
    struct unit *u = index_unit(x, unit);
    unsigned total = index_mail(x, u->mail)->rcpt_count;
    uint32_t part = POOL_NONE;

    rcpts_each (i, rcpts, total) {
        if (!rcpts_has(&u->rcpts, total, i))
            continue;
        if (part == POOL_NONE)
            part = make_unit(x, u->mail, u->destination);
        rcpts_add(&index_unit(x, part)->rcpts, total, i);
        rcpts_remove(&u->rcpts, total, i);
    }
    if (part == POOL_NONE)
        return POOL_NONE;
    if (rcpts_empty(&u->rcpts, total)) {
        index_merge(x, unit, part);
        index_park(x, unit);
        return unit;
    }
    index_set_last(index_unit(x, part), index_last(u));
    index_unit(x, part)->attempts = u->attempts;
    index_unit(x, part)->in_doubt = u->in_doubt;
    index_unit(x, part)->routing = u->routing;
    index_unit(x, part)->sender = u->sender;
    return part;
}

void index_merge(struct index *x, uint32_t unit, uint32_t other)
{
    struct unit *u = index_unit(x, unit), *o = index_unit(x, other);

    assert(u->mail == o->mail && unit != other);
    rcpts_add_all(&u->rcpts, index_mail(x, u->mail)->rcpt_count, &o->rcpts);
    if (u->attempts < o->attempts)
        u->attempts = o->attempts;
    u->in_doubt |= o->in_doubt;
    index_remove_unit(x, other);
}

void index_move(struct index *x, uint32_t unit, uint32_t destination)
{
    struct unit *u = index_unit(x, unit);

    assert(u->state == UNIT_PARKED);
    count_unit(x, index_destination(x, u->destination), -1);
    u->destination = destination;
    count_unit(x, index_destination(x, destination), 1);
}

void index_remove_unit(struct index *x, uint32_t unit)
{
    struct unit *u = index_unit(x, unit);
    struct mail *m = index_mail(x, u->mail);
    uint32_t *link = &m->units;

    leave_state(x, unit);
    while (*link != unit)
        link = &index_unit(x, *link)->sibling;
    *link = u->sibling;
    count_unit(x, index_destination(x, u->destination), -1);
    rcpts_release(&u->rcpts, m->rcpt_count);
    pool_give(&x->units, unit);
}

struct store_ref index_last(const struct unit *u)
{
    return (struct store_ref){ u->last_place, u->last_bytes };
}

void index_set_last(struct unit *u, struct store_ref where)
{
    bool fits = where.bytes <= UINT16_MAX;

    u->last_place = fits ? where.place : 0;
    u->last_bytes = fits ? (uint16_t)where.bytes : 0;
}
