#include "queue/deadline.h"

#include "queue/admin.h"
#include "queue/notify.h"
#include "queue/schedule.h"
#include "queue/waiting.h"

enum {
    DEADLINES_PER_TURN = 100,   /* notices and expiries: each reads and writes */
    STEPS_PER_TURN = 500,       /* in search of them: a millisecond or two */
    DEADLINE_REST_MS = 100,     /* after a turn with so many */
    DEADLINE_MOST_MS = 1 << 30, /* one timer's reach; then it looks again */
};

uint64_t deadline_arrival_ms(const struct mail *m)
{
    return (uint64_t)m->arrival_s * 1000;
}

uint64_t deadline_expiry_ms(const struct queue *q, const struct mail *m)
{
    return schedule_expiry_ms(&q->settings->retry, deadline_arrival_ms(m),
                              (m->flags & MAIL_RESTORED) != 0, q->base_ms);
}

bool deadline_in_trash(const struct mail *m)
{
    return m->deadline == DEADLINE_TRASH;
}

static uint64_t notice_ms(const struct queue *q, const struct mail *m)
{
    uint64_t at_ms = schedule_notice_ms(&q->settings->retry, deadline_arrival_ms(m),
                                        (m->flags & MAIL_RESTORED) != 0, q->base_ms);

    return MAX(at_ms, q->notice_pause_ms);
}

/* New mail needs the room more than what was thrown away. */
static bool trash_must_shrink(const struct queue *q)
{
    return q->trash_bytes > q->settings->spool.trash_bytes || q->trouble == SPOOL_FULL;
}

/* When something is to be done with it. */
static uint64_t next_ms(const struct queue *q, const struct mail *m)
{
    if (deadline_in_trash(m))
        return trash_must_shrink(q) ? 0 : deadline_arrival_ms(m) + q->settings->spool.trash_ms;
    return m->deadline == DEADLINE_NOTICE ? MIN(notice_ms(q, m), deadline_expiry_ms(q, m))
                                          : deadline_expiry_ms(q, m);
}

static void wake_at(struct queue *q, uint64_t at_ms)
{
    q->deadline_ms = at_ms;
    if (at_ms != UINT64_MAX)
        loop_start_timer(q->loop, &q->deadline_timer,
                         MIN(queue_until_ms(q, at_ms), (uint64_t)DEADLINE_MOST_MS));
}

static void wake_by(struct queue *q, const struct mail *m)
{
    uint64_t at_ms = next_ms(q, m);

    if (at_ms < q->deadline_ms)
        wake_at(q, at_ms);
}

void deadline_arm(struct queue *q)
{
    wake_at(q, queue_now_ms(q));
}

/* Held mail neither expires nor is its sender told that it waits: an administrator knows. */
static void meet_deadline(struct queue *q, uint32_t mail)
{
    struct mail *m = index_mail(&q->index, mail);
    bool over = deadline_expiry_ms(q, m) <= queue_now_ms(q);

    if (deadline_in_trash(m)) {
        admin_purge(q, mail);
    } else if (m->flags & MAIL_HELD) {
        index_set_overdue(&q->index, mail, over);
        index_set_deadline(&q->index, mail, over ? DEADLINE_NONE : DEADLINE_NOTICED);
    } else if (over) {
        waiting_give_up(q, mail);
    } else {
        index_set_deadline(&q->index, mail, DEADLINE_NOTICED);
        if ((m->flags & MAIL_NOTICED) == 0)
            notify_delay(q, mail);
    }
}

/* Meets what is due of one list. Returns when to look at it again. */
static uint64_t meet_due(struct queue *q, enum deadline list)
{
    unsigned steps = STEPS_PER_TURN;

    for (unsigned left = DEADLINES_PER_TURN; left > 0; left--) {
        uint32_t mail = index_first_deadline(&q->index, list, &steps);
        uint64_t at_ms;

        if (mail == POOL_NONE && steps > 0)
            return UINT64_MAX;
        if (mail == POOL_NONE)
            break;
        at_ms = next_ms(q, index_mail(&q->index, mail));
        if (at_ms > queue_now_ms(q))
            return at_ms;
        meet_deadline(q, mail);
    }
    return queue_now_ms(q) + DEADLINE_REST_MS;
}

static void on_deadline(struct timer *t)
{
    struct queue *q = container_of(t, struct queue, deadline_timer);
    uint64_t first_ms = UINT64_MAX;

    for (unsigned list = DEADLINE_NOTICE; list < DEADLINES; list++)
        first_ms = MIN(first_ms, meet_due(q, (enum deadline)list));
    wake_at(q, first_ms);
}

/* What is to wait first (FUTURERELEASE) has no deadline until then. */
bool deadline_begins_later(const struct queue *q, const struct mail *m)
{
    return deadline_arrival_ms(m) > queue_now_ms(q) + 1000; /* it is rounded up */
}

void deadline_list(struct queue *q, uint32_t mail)
{
    const struct mail *m = index_mail(&q->index, mail);
    bool never = (m->flags & (MAIL_NULL_SENDER | MAIL_NOTICED)) != 0;
    enum deadline list = never ? DEADLINE_EXPIRY : DEADLINE_NOTICE;

    if (deadline_begins_later(q, m))
        return;
    index_set_deadline(&q->index, mail, list);
    wake_by(q, m);
}

void deadline_begin(struct queue *q, uint32_t mail)
{
    struct mail *m = index_mail(&q->index, mail);

    if (m->deadline != DEADLINE_NONE)
        return;
    m->flags &= (uint8_t)~MAIL_RESTORED;
    m->arrival_s = (uint32_t)((queue_now_ms(q) + 999) / 1000);
    deadline_list(q, mail);
}

/* ---- the trash ---- */

enum {
    STATE_BYTES = 256
}; /* of a record about a recipient, or about the deletion; most have less */

/* Whoever deletes a million empty messages has a full trash, too. A body that is not in the record
 * is larger than that. */
uint64_t deadline_trash_bytes(const struct mail *m)
{
    uint64_t parts = m->rcpt_count > 1 ? m->rcpt_count * sizeof(struct part) : 0;
    uint64_t apart = m->body_bytes > m->record_bytes ? m->body_bytes : 0;

    return m->record_bytes + apart + (m->rcpt_count + 1ULL) * STATE_BYTES + sizeof(*m) + parts;
}

void deadline_enter_trash(struct queue *q, uint32_t mail)
{
    q->trash_count++;
    q->trash_bytes += deadline_trash_bytes(index_mail(&q->index, mail));
    index_set_deadline(&q->index, mail, DEADLINE_TRASH);
}

void deadline_leave_trash(struct queue *q, uint32_t mail)
{
    const struct mail *m = index_mail(&q->index, mail);

    if (!deadline_in_trash(m))
        return;
    q->trash_count--;
    q->trash_bytes -= deadline_trash_bytes(m);
    index_set_deadline(&q->index, mail, DEADLINE_NONE);
}

void deadline_init(struct queue *q)
{
    q->deadline_timer.fire = on_deadline;
    q->deadline_ms = UINT64_MAX;
}
