#include "queue/restore.h"

#include "io/clock.h"
#include "io/log.h"
#include "queue/deadline.h"
#include "queue/notify.h"
#include "queue/schedule.h"

enum {
    RECORDS_PER_TURN = 1000,
    SCHEDULED_PER_TURN = 1000,
};

/* What was never tried was due at once, unless it was to wait. What is held was not tried. */
static void doubt(struct queue *q, uint32_t mail, bool tried)
{
    index_each_unit (u, &q->index, mail)
        index_unit(&q->index, u)->in_doubt = tried && q->doubt_ms > 0;
}

/* Its checksum is right, but the words make no sense to us. It has as many recipients as it seems
 * to have, all of them nowhere, and waits for the administrator like what is damaged. */
static void add_unreadable(struct queue *q, uint64_t id, struct store_ref where,
                           struct view encoded, uint64_t body_bytes)
{
    static const struct envelope_rcpt unknown[ENVELOPE_RCPTS_MAX];
    struct envelope e = { .rcpts = unknown };
    struct view line;
    uint32_t mail;

    while (view_take_line(&encoded, &line) && e.rcpt_count < ENVELOPE_RCPTS_MAX)
        e.rcpt_count += view_starts(line, VIEW("rcpt="));
    e.rcpt_count = MAX(e.rcpt_count, 1);
    log_error("envelope_unreadable", LOG_ID("message", id));
    q->unreadable++;
    mail = queue_add_mail(q, id, where, &e, body_bytes, q->base_ms);
    index_mail(&q->index, mail)->flags |= MAIL_RESTORED | MAIL_DAMAGED;
    index_set_held(&q->index, mail, true);
}

static void on_message(struct store_replay *r, uint64_t id, struct store_ref where,
                       struct view encoded, uint64_t body_bytes)
{
    struct queue *q = container_of(r, struct queue, replay);
    struct arena arena;
    struct envelope e;
    uint64_t accepted_ms;
    uint32_t mail;

    arena_init(&arena, LETTER_ARENA_MAX);
    if (envelope_decode(encoded, &arena, &e)) {
        accepted_ms = e.accepted_ms > 0 ? e.accepted_ms : e.arrival_ms;
        mail = queue_add_mail(q, id, where, &e, body_bytes, MIN(accepted_ms, q->base_ms));
        index_mail(&q->index, mail)->flags |= MAIL_RESTORED;
        if (notify_owes_expansion(&e))
            idset_add(&q->expansions, id);
        doubt(q, mail, e.hold.len == 0 && e.not_before_ms < clock_wall_ms());
    } else {
        add_unreadable(q, id, where, encoded, body_bytes);
    }
    arena_reset(&arena);
}

/* Parked until the replay is over; the tick waits in the link. */
static void restore_tried(struct queue *q, uint32_t unit, const struct store_outcome *o,
                          struct store_ref where)
{
    struct unit *u = index_unit(&q->index, unit);
    uint64_t wait_ms = o->next_ms > q->base_ms ? o->next_ms - q->base_ms : 0;

    if (q->settings != NULL)
        wait_ms = schedule_restored_ms(&q->settings->retry, o->next_ms, q->base_ms, o->message);
    u->attempts = MIN(o->attempts, (uint32_t)UNIT_ATTEMPTS_MAX) & UNIT_ATTEMPTS_MAX;
    u->link.due = queue_tick(q, q->base_ms + wait_ms);
    u->in_doubt = o->next_ms < q->doubt_ms;
    index_set_last(u, where);
}

/* Its notice settles it anew. */
static bool owes_notice(const struct store_outcome *o)
{
    return o->state == STORE_DELIVERED && o->text.len > 0;
}

static void on_outcome(struct store_replay *r, const struct store_outcome *o,
                       struct store_ref where)
{
    struct queue *q = container_of(r, struct queue, replay);
    uint32_t mail = index_find(&q->index, o->message);
    struct rcpts set;
    unsigned total;

    if (mail == POOL_NONE)
        return;
    total = index_mail(&q->index, mail)->rcpt_count;
    rcpts_init(&set, total);
    for (size_t i = 0; i < o->rcpt_count; i++) {
        if (o->rcpts[i] < total)
            rcpts_add(&set, total, o->rcpts[i]);
        else
            idset_add(&q->expansions_told, o->message);
    }
    index_each_unit (u, &q->index, mail) {
        uint32_t part = index_split(&q->index, u, &set);

        if (part == POOL_NONE)
            continue;
        if (o->state == STORE_DEFERRED || owes_notice(o))
            restore_tried(q, part, o, where);
        else
            queue_remove_unit(q, part);
        if (owes_notice(o))
            index_arrive(&q->index, part);
    }
    rcpts_release(&set, total);
}

static void on_change(struct store_replay *r, const struct store_change *c)
{
    struct queue *q = container_of(r, struct queue, replay);
    uint32_t mail = index_find(&q->index, c->message);
    struct mail *m;

    if (mail == POOL_NONE)
        return;
    m = index_mail(&q->index, mail);
    switch (c->kind) {
    case STORE_HOLD:
        m->flags &= (uint8_t)~MAIL_DELETED;
        if (view_equal(c->who, STORE_DAMAGED))
            m->flags |= MAIL_DAMAGED;
        index_set_held(&q->index, mail, true);
        break;
    case STORE_RELEASE: /* the log keeps the newest change, and maybe not the one before */
        m->flags &= (uint8_t) ~(MAIL_DELETED | MAIL_DAMAGED);
        index_set_held(&q->index, mail, false);
        m->arrival_s = (uint32_t)((MIN(c->at_ms, q->base_ms) + 999) / 1000);
        break;
    case STORE_NOTICED:
        m->flags |= MAIL_NOTICED;
        break;
    case STORE_DELETED:
        m->flags |= MAIL_DELETED;
        m->arrival_s = (uint32_t)(MIN(c->at_ms, q->base_ms) / 1000);
        index_set_held(&q->index, mail, true);
        index_set_surplus(&q->index, mail, false);
        break;
    case STORE_CHANGES:
        break;
    }
}

static void time_units(struct queue *q, uint32_t mail)
{
    const struct mail *m = index_mail(&q->index, mail);
    uint64_t chance_ms = UINT64_MAX;
    uint32_t latest = UINT32_MAX;

    if (m->flags & MAIL_HELD)
        return;
    if (q->settings != NULL && !deadline_begins_later(q, m))
        chance_ms =
            schedule_last_chance_ms(&q->settings->retry, deadline_arrival_ms(m), q->base_ms, m->id);
    if (chance_ms != UINT64_MAX)
        latest = queue_tick(q, q->base_ms + chance_ms);
    index_each_unit (u, &q->index, mail) {
        if (index_unit(&q->index, u)->state != UNIT_ARRIVED)
            index_time(&q->index, u, MIN(index_unit(&q->index, u)->link.due, latest));
    }
}

void restore_show(struct queue *q)
{
    while (store_replay(q->store, RECORDS_PER_TURN))
        continue;
    q->restored = true;
    for (uint32_t i = 1; i < q->index.mails.end; i++) {
        if (index_mail(&q->index, i)->id != 0)
            time_units(q, i);
    }
}

/* The stop came between the message and its notice. */
static void tell_what_is_owed(struct queue *q, uint32_t mail)
{
    uint64_t id = index_mail(&q->index, mail)->id;

    if (idset_has(&q->expansions, id) && !idset_has(&q->expansions_told, id))
        notify_expanded(q, mail);
    notify_arrivals(q, mail);
}

static void schedule(struct queue *q, uint32_t mail)
{
    if (index_mail(&q->index, mail)->flags & MAIL_DELETED)
        deadline_enter_trash(q, mail);
    else
        deadline_list(q, mail);
    time_units(q, mail);
    tell_what_is_owed(q, mail);
}

void restore_add(struct queue *q, uint32_t mail)
{
    if (mail < q->restore_at)
        schedule(q, mail);
}

static void schedule_if_open(struct queue *q, uint32_t mail)
{
    if (index_mail(&q->index, mail)->id != 0 && !queue_finish_if_done(q, mail))
        schedule(q, mail);
}

/* False: that was all. */
static bool schedule_some(struct queue *q)
{
    for (unsigned left = SCHEDULED_PER_TURN; left > 0 && q->restore_at < q->index.mails.end; left--)
        schedule_if_open(q, q->restore_at++);
    return q->restore_at < q->index.mails.end;
}

void restore_release(struct queue *q)
{
    idset_release(&q->expansions);
    idset_release(&q->expansions_told);
}

/* A slice at a time, while new mail comes in. */
static void on_restore(struct timer *t)
{
    struct queue *q = container_of(t, struct queue, restore_timer);
    bool replayed = q->restore_at > 0 || !store_replay(q->store, RECORDS_PER_TURN);

    if (replayed && q->restore_at == 0)
        q->restore_at = 1;
    if (!replayed || schedule_some(q)) {
        loop_start_timer(q->loop, t, replayed ? 0 : store_replay_rest_ms(q->store));
        return;
    }
    restore_release(q);
    q->restored = true;
    queue_arm_wheel(q);
    deadline_arm(q);
    time_keep(q);
    log_info("queue_restored", LOG_U64("messages", q->index.mails.count),
             LOG_U64("held", q->index.held_count));
}

void restore_start(struct queue *q)
{
    q->restore_timer.fire = on_restore;
    on_restore(&q->restore_timer);
}

void restore_init(struct queue *q)
{
    q->replay = (struct store_replay){ on_message, on_outcome, on_change };
}
