#include "queue/index.h"

#include "common/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BUCKETS = 1024 }; /* always a power of two */

void index_init(struct index *x)
{
    memset(x, 0, sizeof(*x));
    pool_init(&x->mails, sizeof(struct mail));
    pool_init(&x->units, sizeof(struct unit));
    pool_init(&x->destinations, sizeof(struct destination));
    x->bucket_count = FIRST_BUCKETS;
    x->buckets = memory_new_array(x->bucket_count, sizeof(*x->buckets));
    table_init(&x->by_hop, false);
    wheel_init(&x->wheel, &x->units, offsetof(struct unit, link));
    list_init(&x->troubled);
}

static void release_destination(struct destination *d)
{
    free((void *)(uintptr_t)d->cause.ptr);
    free(d->memory);
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
    pool_release(&x->mails);
    pool_release(&x->units);
    pool_release(&x->destinations);
    table_release(&x->by_hop);
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
    m->deadline = (uint8_t)list;
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
    m->deadline = (uint8_t)list;
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

static struct destination *make_destination(struct index *x, const struct hop *hop, struct view key)
{
    uint32_t self = pool_take(&x->destinations);
    struct destination *d = index_destination(x, self);

    d->self = self;
    d->memory = memory_copy(key);
    d->hop = *hop;
    d->hop.name = view_make(d->memory, hop->name.len);
    d->hop.host = view_make(d->memory + hop->name.len + 1, hop->host.len);
    list_init(&d->turn);
    list_init(&d->trouble);
    table_add(&x->by_hop, &d->entry, view_make(d->memory, key.len));
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

void index_drop_destination(struct index *x, struct destination *d)
{
    if (d->units > 0 || d->running > 0 || d->backed_off)
        return;
    list_remove(&d->turn);
    table_remove(&x->by_hop, &d->entry);
    release_destination(d);
    pool_give(&x->destinations, d->self);
}

/* ---- units ---- */

static void leave_due(struct index *x, struct unit *u)
{
    struct destination *d = index_destination(x, u->destination);

    if (u->link.prev != POOL_NONE)
        index_unit(x, u->link.prev)->link.next = u->link.next;
    else
        d->first = u->link.next;
    if (u->link.next != POOL_NONE)
        index_unit(x, u->link.next)->link.prev = u->link.prev;
    else
        d->last = u->link.prev;
    u->link.prev = u->link.next = POOL_NONE;
    d->due_count--;
}

static void leave_state(struct index *x, uint32_t unit)
{
    struct unit *u = index_unit(x, unit);

    x->unit_counts[u->state]--;
    if (u->state == UNIT_TIMED)
        wheel_remove(&x->wheel, unit);
    else if (u->state == UNIT_DUE)
        leave_due(x, u);
}

static struct unit *enter(struct index *x, uint32_t unit, enum unit_state state)
{
    struct unit *u = index_unit(x, unit);

    leave_state(x, unit);
    u->state = (uint8_t)state;
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

    u->link.prev = in_front ? POOL_NONE : d->last;
    u->link.next = in_front ? d->first : POOL_NONE;
    if (u->link.prev != POOL_NONE)
        index_unit(x, u->link.prev)->link.next = unit;
    else
        d->first = unit;
    if (u->link.next != POOL_NONE)
        index_unit(x, u->link.next)->link.prev = unit;
    else
        d->last = unit;
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
    index_destination(x, destination)->units++;
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
                    uint16_t routing)
{
    uint32_t unit = d->recent;

    if (unit == POOL_NONE || unit >= x->units.end || index_unit(x, unit)->mail != mail ||
        index_unit(x, unit)->destination != d->self || index_unit(x, unit)->state != UNIT_PARKED)
        unit = make_unit(x, mail, d->self);
    d->recent = unit;
    index_unit(x, unit)->routing = routing;
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
    index_unit(x, part)->routing = u->routing;
    return part;
}

void index_merge(struct index *x, uint32_t unit, uint32_t other)
{
    struct unit *u = index_unit(x, unit), *o = index_unit(x, other);

    assert(u->mail == o->mail && unit != other);
    rcpts_add_all(&u->rcpts, index_mail(x, u->mail)->rcpt_count, &o->rcpts);
    u->attempts = MAX(u->attempts, o->attempts);
    index_remove_unit(x, other);
}

void index_move(struct index *x, uint32_t unit, uint32_t destination)
{
    struct unit *u = index_unit(x, unit);

    assert(u->state == UNIT_PARKED);
    index_destination(x, u->destination)->units--;
    u->destination = destination;
    index_destination(x, destination)->units++;
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
    index_destination(x, u->destination)->units--;
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
