#include "queue/index.h"

#include "common/memory.h"
#include "ipc/messages.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEADLINE_MASK = 7, /* its room in a message */
    RUN_BITS = 10,     /* of messages, with bounds of their own for the deadlines */
};

/* Ids are addresses in the log, made by us: nobody can choose them, but they are regular. */
static uint64_t hash_id(uint64_t id)
{
    uint64_t z = id * 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 32)) * 0x94d049bb133111eb;
    return z ^ (z >> 29);
}

static uint64_t hash_mail(const void *element)
{
    return hash_id(((const struct mail *)element)->id);
}

static struct wheel_link *link_of(const void *x, uint32_t unit)
{
    return &index_unit(x, unit)->link;
}

void index_init(struct index *x)
{
    memset(x, 0, sizeof(*x));
    pool_init(&x->mails, sizeof(struct mail));
    pool_init(&x->parts, sizeof(struct part));
    pool_init(&x->destinations, sizeof(struct destination));
    pool_init(&x->sites, sizeof(struct site));
    pool_init(&x->flows, sizeof(struct flow));
    chains_init(&x->by_id, &x->mails, offsetof(struct mail, hash_next), hash_mail);
    index_init_destinations(x);
    list_init(&x->resting);
    wheel_init(&x->wheel, link_of, x);
    list_init(&x->troubled);
}

void index_release(struct index *x)
{
    index_release_parts(x);
    index_release_destinations(x);
    pool_release(&x->mails);
    pool_release(&x->parts);
    pool_release(&x->destinations);
    pool_release(&x->sites);
    pool_release(&x->flows);
    chains_release(&x->by_id);
    free(x->flow_buckets);
    x->flow_buckets = NULL;
    free(x->runs);
    x->runs = NULL;
    x->run_count = 0;
}

struct mail *index_mail(const struct index *x, uint32_t mail)
{
    return pool_at(&x->mails, mail);
}

struct destination *index_destination(const struct index *x, uint32_t destination)
{
    return pool_at(&x->destinations, destination);
}

/* ---- messages ---- */

uint32_t index_add_mail(struct index *x, uint64_t id, unsigned rcpt_count)
{
    uint32_t mail = pool_take(&x->mails);
    struct mail *m = index_mail(x, mail);

    m->id = id;
    m->rcpt_count = rcpt_count & 0x7fff;
    chains_add(&x->by_id, mail);
    return mail;
}

uint32_t index_find(const struct index *x, uint64_t id)
{
    uint32_t mail = chains_first(&x->by_id, hash_id(id));

    while (mail != POOL_NONE && index_mail(x, mail)->id != id)
        mail = chains_next(&x->by_id, mail);
    return mail;
}

void index_remove_mail(struct index *x, uint32_t mail)
{
    assert(index_first_unit(x, mail) == POOL_NONE);
    index_set_held(x, mail, false);
    index_set_overdue(x, mail, false);
    index_set_deadline(x, mail, DEADLINE_NONE);
    chains_remove(&x->by_id, mail);
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

void index_set_surplus(struct index *x, uint32_t mail, bool surplus)
{
    struct mail *m = index_mail(x, mail);

    x->surplus_count += (uint64_t)surplus - m->surplus;
    m->surplus = surplus;
}

void index_set_held(struct index *x, uint32_t mail, bool held)
{
    struct mail *m = index_mail(x, mail);

    if (!held)
        index_set_surplus(x, mail, false);
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

/* Links would cost each message eight bytes. A run has bounds instead, which may be too early,
 * since nobody looks for another when a message leaves; they are set right when they are the first.
 */
static struct deadline_run *run_of(struct index *x, uint32_t mail)
{
    uint32_t run = mail >> RUN_BITS;

    while (x->run_count <= run) {
        x->runs = memory_grow(x->runs, (size_t)x->run_count + 1, sizeof(*x->runs));
        memset(&x->runs[x->run_count++], 0xff, sizeof(*x->runs));
    }
    return &x->runs[run];
}

void index_set_deadline(struct index *x, uint32_t mail, enum deadline list)
{
    struct mail *m = index_mail(x, mail);
    uint32_t *since_s = &run_of(x, mail)->since_s[list];

    m->deadline = list & DEADLINE_MASK;
    *since_s = MIN(*since_s, m->arrival_s);
}

static uint32_t first_run(const struct index *x, enum deadline list)
{
    uint32_t first = 0;

    for (uint32_t i = 1; i < x->run_count; i++) {
        if (x->runs[i].since_s[list] < x->runs[first].since_s[list])
            first = i;
    }
    return first;
}

/* The first of the run, whose bound is exact then. */
static uint32_t look_through(struct index *x, uint32_t run, enum deadline list)
{
    uint32_t end = MIN((run + 1) << RUN_BITS, x->mails.end);
    uint32_t first = POOL_NONE, since_s = UINT32_MAX;

    for (uint32_t i = MAX(run << RUN_BITS, 1U); i < end; i++) {
        const struct mail *m = index_mail(x, i);

        if (m->deadline == list && (first == POOL_NONE || m->arrival_s < since_s)) {
            first = i;
            since_s = m->arrival_s;
        }
    }
    x->runs[run].since_s[list] = since_s;
    return first;
}

uint32_t index_first_deadline(struct index *x, enum deadline list, unsigned *steps)
{
    while (*steps > 0 && x->run_count > 0) {
        uint32_t run = first_run(x, list);
        uint32_t first = POOL_NONE;

        if (x->runs[run].since_s[list] == UINT32_MAX)
            return POOL_NONE;
        first = look_through(x, run, list);
        --*steps;
        if (first != POOL_NONE && first_run(x, list) == run)
            return first;
    }
    return POOL_NONE;
}

static bool waits_for_trouble(const struct index *x, uint32_t mail, unsigned *steps)
{
    bool waits = false;

    index_each_unit (u, x, mail) {
        const struct unit *unit = index_unit(x, u);

        waits = waits || (unit->state == UNIT_DUE &&
                          index_destination(x, unit->destination)->site->backed_off);
        *steps -= *steps > 0;
    }
    return waits;
}

uint32_t index_next_overdue(struct index *x, uint32_t *at, unsigned *steps)
{
    while (*steps > 0 && *at < x->mails.end) {
        uint32_t mail = (*at)++;
        const struct mail *m = index_mail(x, mail);

        --*steps;
        if ((m->flags & MAIL_OVERDUE) && m->deadline == DEADLINE_NONE &&
            waits_for_trouble(x, mail, steps))
            return mail;
    }
    return POOL_NONE;
}
