#include "queue/index.h"

#include "common/memory.h"
#include "ipc/messages.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { DEADLINE_MASK = 7 }; /* its room in a message */

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

void index_init(struct index *x)
{
    memset(x, 0, sizeof(*x));
    pool_init(&x->mails, sizeof(struct mail));
    pool_init(&x->units, sizeof(struct unit));
    pool_init(&x->destinations, sizeof(struct destination));
    pool_init(&x->sites, sizeof(struct site));
    pool_init(&x->flows, sizeof(struct flow));
    chains_init(&x->by_id, &x->mails, offsetof(struct mail, hash_next), hash_mail);
    table_init(&x->by_hop, false);
    table_init(&x->by_site, false);
    list_init(&x->resting);
    wheel_init(&x->wheel, &x->units, offsetof(struct unit, link));
    list_init(&x->troubled);
}

void index_release(struct index *x)
{
    for (uint32_t i = 1; i < x->units.end; i++) {
        struct unit *u = index_unit(x, i);

        if (u->mail != POOL_NONE)
            rcpts_release(&u->rcpts, index_mail(x, u->mail)->rcpt_count);
    }
    index_release_destinations(x);
    pool_release(&x->mails);
    pool_release(&x->units);
    pool_release(&x->destinations);
    pool_release(&x->sites);
    pool_release(&x->flows);
    table_release(&x->by_hop);
    table_release(&x->by_site);
    chains_release(&x->by_id);
    free(x->flow_buckets);
    x->flow_buckets = NULL;
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
    assert(index_mail(x, mail)->units == POOL_NONE);
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
