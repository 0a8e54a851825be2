#include "queue/admin.h"

#include "io/log.h"
#include "queue/backoff.h"
#include "queue/deadline.h"
#include "queue/dispatch.h"
#include "queue/remember.h"

static void record_change(struct queue *q, uint64_t id, enum store_change_kind kind,
                          struct view who)
{
    const struct store_change c = { id, kind, queue_now_ms(q), who };

    store_change(q->store, &c);
}

/* With the begin of its lifetime, so that it is the same after a restart. */
static void record_release(struct queue *q, const struct mail *m, struct view who)
{
    const struct store_change c = { m->id, STORE_RELEASE, deadline_arrival_ms(m), who };

    store_change(q->store, &c);
}

static void park_units(struct queue *q, uint32_t mail)
{
    index_each_unit (u, &q->index, mail) {
        unsigned state = index_unit(&q->index, u)->state;

        if (state == UNIT_TIMED || state == UNIT_DUE)
            index_park(&q->index, u);
        else if (state == UNIT_RUNNING)
            dispatch_cancel(q->dispatch, u);
    }
}

void admin_hold(struct queue *q, uint32_t mail, struct view who)
{
    struct mail *m = index_mail(&q->index, mail);

    if (m->flags & (MAIL_HELD | MAIL_DELETED))
        return;
    index_set_held(&q->index, mail, true);
    record_change(q, m->id, STORE_HOLD, who);
    log_info("held", LOG_ID("message", m->id), LOG_VIEW("by", who));
    park_units(q, mail);
}

static void try_now(struct queue *q, uint32_t unit)
{
    dispatch_unit(q->dispatch, unit);
    backoff_override(q,
                     index_destination(&q->index, index_unit(&q->index, unit)->destination)->site);
}

/* The time that a message was held is not counted: if its lifetime is over, it begins again. */
void admin_release(struct queue *q, uint32_t mail, struct view who)
{
    struct mail *m = index_mail(&q->index, mail);

    if ((m->flags & MAIL_HELD) == 0 || (m->flags & MAIL_DELETED) != 0)
        return;
    index_set_held(&q->index, mail, false);
    log_info("released", LOG_ID("message", m->id), LOG_VIEW("by", who));
    m->flags &= (uint8_t)~MAIL_DAMAGED;
    if (m->deadline == DEADLINE_NONE) {
        index_set_overdue(&q->index, mail, false);
        m->flags &= (uint8_t)~MAIL_RESTORED;
        m->arrival_s = (uint32_t)((queue_now_ms(q) + 999) / 1000);
        deadline_list(q, mail);
    }
    record_release(q, m, who);
    index_each_unit (u, &q->index, mail) {
        if (index_unit(&q->index, u)->state == UNIT_PARKED)
            try_now(q, u);
    }
}

void admin_retry(struct queue *q, uint32_t mail)
{
    if (index_mail(&q->index, mail)->flags & (MAIL_HELD | MAIL_DELETED))
        return;
    index_each_unit (u, &q->index, mail) {
        unsigned state = index_unit(&q->index, u)->state;

        if (state == UNIT_TIMED || state == UNIT_DUE)
            try_now(q, u);
    }
}

void admin_delete(struct queue *q, uint32_t mail, struct view who)
{
    struct mail *m = index_mail(&q->index, mail);

    if (m->flags & MAIL_DELETED)
        return;
    m->flags |= MAIL_DELETED;
    m->arrival_s = (uint32_t)(queue_now_ms(q) / 1000);
    index_set_held(&q->index, mail, true);
    index_set_surplus(&q->index, mail, false);
    record_change(q, m->id, STORE_DELETED, who);
    log_info("deleted", LOG_ID("message", m->id), LOG_VIEW("by", who));
    q->totals.deleted++;
    deadline_enter_trash(q, mail);
    park_units(q, mail);
    deadline_arm(q);
}

void admin_undelete(struct queue *q, uint32_t mail, struct view who)
{
    struct mail *m = index_mail(&q->index, mail);

    if (!deadline_in_trash(m))
        return;
    deadline_leave_trash(q, mail);
    m->flags &= (uint8_t)~MAIL_DELETED;
    record_change(q, m->id, STORE_HOLD, who);
    log_info("undeleted", LOG_ID("message", m->id), LOG_VIEW("by", who));
}

void admin_purge(struct queue *q, uint32_t mail)
{
    remember_deleted(q, mail);
    deadline_leave_trash(q, mail);
    index_each_unit (u, &q->index, mail) {
        if (index_unit(&q->index, u)->state < UNIT_RUNNING)
            queue_remove_unit(q, u);
    }
    queue_finish_if_done(q, mail);
}
