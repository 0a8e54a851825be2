#include "queue/index.h"

#include <assert.h>
#include <string.h>

/* ---- numbers ---- */

/* The number of a part's unit is twice the part's; that of a message's only one is twice the
 * message's, plus 1. */
static bool is_only(uint32_t unit)
{
    return (unit & 1) != 0;
}

static struct part *part_of(const struct index *x, uint32_t unit)
{
    return pool_at(&x->parts, unit >> 1);
}

struct unit *index_unit(const struct index *x, uint32_t unit)
{
    return is_only(unit) ? &index_mail(x, unit >> 1)->only : &part_of(x, unit)->unit;
}

uint32_t index_mail_of(const struct index *x, uint32_t unit)
{
    return is_only(unit) ? unit >> 1 : part_of(x, unit)->mail;
}

const struct rcpts *index_rcpts(const struct index *x, uint32_t unit)
{
    static const struct rcpts only = { 1 };

    return is_only(unit) ? &only : &part_of(x, unit)->rcpts;
}

uint32_t index_first_unit(const struct index *x, uint32_t mail)
{
    const struct mail *m = index_mail(x, mail);

    if (m->rcpt_count > 1)
        return m->parts << 1;
    return m->only.destination == POOL_NONE ? POOL_NONE : mail << 1 | 1;
}

uint32_t index_next_unit(const struct index *x, uint32_t unit)
{
    return unit == POOL_NONE || is_only(unit) ? POOL_NONE : part_of(x, unit)->next << 1;
}

bool index_is_open(const struct index *x, uint32_t mail, unsigned rcpt)
{
    index_each_unit (u, x, mail) {
        if (index_unit(x, u)->state != UNIT_ARRIVED &&
            rcpts_has(index_rcpts(x, u), index_mail(x, mail)->rcpt_count, rcpt))
            return true;
    }
    return false;
}

/* ---- states ---- */

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

void index_arrive(struct index *x, uint32_t unit)
{
    enter(x, unit, UNIT_ARRIVED);
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

/* ---- life ---- */

static uint32_t make_part(struct index *x, uint32_t mail)
{
    uint32_t number = pool_take(&x->parts);
    struct part *p = pool_at(&x->parts, number);
    struct mail *m = index_mail(x, mail);

    p->mail = mail;
    p->next = m->parts;
    m->parts = number;
    rcpts_init(&p->rcpts, m->rcpt_count);
    return number << 1;
}

static uint32_t make_unit(struct index *x, uint32_t mail, uint32_t destination)
{
    uint32_t unit = index_mail(x, mail)->rcpt_count > 1 ? make_part(x, mail) : mail << 1 | 1;

    index_unit(x, unit)->destination = destination;
    index_unit(x, unit)->state = UNIT_PARKED;
    x->unit_counts[UNIT_PARKED]++;
    index_count_unit(x, index_destination(x, destination), 1);
    return unit;
}

static bool may_join(const struct index *x, uint32_t unit, uint32_t mail,
                     const struct destination *d)
{
    return unit != POOL_NONE && index_mail_of(x, unit) == mail &&
           index_unit(x, unit)->destination == d->self && index_unit(x, unit)->state == UNIT_PARKED;
}

void index_add_rcpt(struct index *x, uint32_t mail, struct destination *d, unsigned rcpt,
                    uint16_t routing)
{
    if (!may_join(x, d->recent, mail, d))
        d->recent = make_unit(x, mail, d->self);
    index_unit(x, d->recent)->routing = routing;
    if (!is_only(d->recent))
        rcpts_add(&part_of(x, d->recent)->rcpts, index_mail(x, mail)->rcpt_count, rcpt);
}

static uint32_t take_part(struct index *x, uint32_t unit, const struct rcpts *rcpts, unsigned total)
{
    struct rcpts *all = &part_of(x, unit)->rcpts;
    uint32_t part = POOL_NONE;

    rcpts_each (i, rcpts, total) {
        if (!rcpts_has(all, total, i))
            continue;
        if (part == POOL_NONE)
            part = make_unit(x, index_mail_of(x, unit), index_unit(x, unit)->destination);
        rcpts_add(&part_of(x, part)->rcpts, total, i);
        rcpts_remove(all, total, i);
    }
    return part;
}

uint32_t index_split(struct index *x, uint32_t unit, const struct rcpts *rcpts)
{
    const struct unit *u = index_unit(x, unit);
    unsigned total = index_mail(x, index_mail_of(x, unit))->rcpt_count;
    struct unit *p;
    uint32_t part;

    if (rcpts_include(rcpts, index_rcpts(x, unit), total)) {
        index_park(x, unit);
        return unit;
    }
    part = is_only(unit) ? POOL_NONE : take_part(x, unit, rcpts, total);
    if (part == POOL_NONE)
        return POOL_NONE;
    p = index_unit(x, part);
    index_set_last(p, index_last(u));
    p->attempts = u->attempts;
    p->in_doubt = u->in_doubt;
    p->routing = u->routing;
    return part;
}

void index_merge(struct index *x, uint32_t unit, uint32_t other)
{
    struct unit *u = index_unit(x, unit), *o = index_unit(x, other);
    uint32_t mail = index_mail_of(x, unit);

    assert(mail == index_mail_of(x, other) && unit != other);
    rcpts_add_all(&part_of(x, unit)->rcpts, index_mail(x, mail)->rcpt_count,
                  &part_of(x, other)->rcpts);
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

static void remove_part(struct index *x, uint32_t number)
{
    struct part *p = pool_at(&x->parts, number);
    struct mail *m = index_mail(x, p->mail);
    uint32_t *link = &m->parts;

    while (*link != number)
        link = &((struct part *)pool_at(&x->parts, *link))->next;
    *link = p->next;
    rcpts_release(&p->rcpts, m->rcpt_count);
    pool_give(&x->parts, number);
}

void index_remove_unit(struct index *x, uint32_t unit)
{
    struct unit *u = index_unit(x, unit);

    leave_state(x, unit);
    index_count_unit(x, index_destination(x, u->destination), -1);
    if (is_only(unit))
        memset(u, 0, sizeof(*u));
    else
        remove_part(x, unit >> 1);
}

void index_release_parts(struct index *x)
{
    for (uint32_t i = 1; i < x->parts.end; i++) {
        struct part *p = pool_at(&x->parts, i);

        if (p->mail != POOL_NONE)
            rcpts_release(&p->rcpts, index_mail(x, p->mail)->rcpt_count);
    }
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
