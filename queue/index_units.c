#include "queue/index.h"

#include <assert.h>

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
    index_count_unit(x, index_destination(x, destination), 1);
    return unit;
}

uint32_t index_first_unit(const struct index *x, uint32_t mail)
{
    return index_mail(x, mail)->units;
}

uint32_t index_next_unit(const struct index *x, uint32_t unit)
{
    return unit == POOL_NONE ? POOL_NONE : index_unit(x, unit)->sibling;
}

uint32_t index_mail_of(const struct index *x, uint32_t unit)
{
    return index_unit(x, unit)->mail;
}

const struct rcpts *index_rcpts(const struct index *x, uint32_t unit)
{
    return &index_unit(x, unit)->rcpts;
}

bool index_is_open(const struct index *x, uint32_t mail, unsigned rcpt)
{
    index_each_unit (u, x, mail) {
        if (rcpts_has(index_rcpts(x, u), index_mail(x, mail)->rcpt_count, rcpt))
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
    index_unit(x, part)->in_doubt = u->in_doubt;
    index_unit(x, part)->routing = u->routing;
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
    index_count_unit(x, index_destination(x, u->destination), -1);
    u->destination = destination;
    index_count_unit(x, index_destination(x, destination), 1);
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
    index_count_unit(x, index_destination(x, u->destination), -1);
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
