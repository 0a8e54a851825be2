#include "queue/queue.h"

#include "common/memory.h"
#include "io/clock.h"
#include "io/log.h"
#include "queue/appointment.h"
#include "queue/backoff.h"
#include "queue/control.h"
#include "queue/dispatch.h"
#include "queue/history.h"
#include "queue/intake.h"
#include "queue/losses.h"
#include "queue/mx.h"
#include "queue/notify.h"
#include "queue/remember.h"
#include "queue/schedule.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEADLINES_PER_TURN = 100,   /* notices and expiries: each reads and writes */
    READ_RETRY_MS = 60 * 1000,  /* after the spool could not be read */
    DEADLINE_REST_MS = 100,     /* after a turn with so many */
    DEADLINE_MOST_MS = 1 << 30, /* one timer's reach; then it looks again */
    CLOCK_NOTE_MS = 60 * 1000,  /* the clock is written down so often while there is mail, */
    CLOCK_FIRST_MS = 1000,      /* and so soon when there was none */
    CLOCK_AGREES_MS = 60 * 1000,
};

#define PRIORITY_MASK 31u /* the room of a message's priority */

/* ---- the clock ---- */

uint64_t queue_now_ms(const struct queue *q)
{
    return q->base_ms + (q->loop->now_ms - q->monotonic_base_ms);
}

/* `at` of one clock by the other one. */
static uint64_t convert(uint64_t at_ms, uint64_t now_ms, uint64_t other_ms)
{
    if (at_ms >= now_ms)
        return at_ms - now_ms > UINT64_MAX - other_ms ? UINT64_MAX : other_ms + (at_ms - now_ms);
    return other_ms - MIN(other_ms, now_ms - at_ms);
}

uint64_t queue_wall_ms(const struct queue *q, uint64_t at_ms)
{
    return convert(at_ms, queue_now_ms(q), clock_wall_ms());
}

uint64_t queue_time_ms(const struct queue *q, uint64_t wall_ms)
{
    return convert(wall_ms, clock_wall_ms(), queue_now_ms(q));
}

uint64_t queue_accepted_ms(const struct queue *q)
{
    uint64_t now_ms = queue_now_ms(q), wall_ms = clock_wall_ms();
    uint64_t apart_ms = now_ms > wall_ms ? now_ms - wall_ms : wall_ms - now_ms;

    return apart_ms > CLOCK_AGREES_MS ? now_ms : 0;
}

struct view queue_stamp(const struct queue *q, struct view encoded, struct buf *room)
{
    uint64_t accepted_ms = queue_accepted_ms(q);

    if (accepted_ms == 0 || !buf_put(room, encoded) ||
        !buf_printf(room, "accepted=%" PRIu64 "\n", accepted_ms))
        return encoded;
    return buf_view(room);
}

uint32_t queue_tick(const struct queue *q, uint64_t at_ms)
{
    uint64_t after_ms = at_ms > q->base_ms ? at_ms - q->base_ms : 0;

    return (uint32_t)MIN((after_ms + QUEUE_TICK_MS - 1) / QUEUE_TICK_MS, (uint64_t)UINT32_MAX);
}

uint64_t queue_tick_ms(const struct queue *q, uint32_t tick)
{
    return q->base_ms + (uint64_t)tick * QUEUE_TICK_MS;
}

/* It died at most so long after it wrote the clock down: a disk may be slow. */
static void start_clock(struct queue *q)
{
    struct store_clock last;
    bool known = store_last_clock(q->store, &last);

    q->base_ms = schedule_clock_ms(known ? &last : NULL, clock_wall_ms());
    q->monotonic_base_ms = q->loop->now_ms = clock_monotonic_ms();
    if (!known)
        q->doubt_ms = q->base_ms;
    else if (!last.ended)
        q->doubt_ms = MIN(q->base_ms, last.queue_ms + 2 * (uint64_t)CLOCK_NOTE_MS);
}

static void note_clock(struct queue *q, bool ended)
{
    const struct store_clock now = { queue_now_ms(q), clock_wall_ms(), ended };

    store_note_clock(q->store, &now);
}

static void on_clock(struct timer *t)
{
    struct queue *q = container_of(t, struct queue, clock_timer);

    note_clock(q, false);
    if (q->index.mails.count > 0)
        loop_start_timer(q->loop, t, CLOCK_NOTE_MS);
}

/* ---- due units ---- */

static uint64_t until(const struct queue *q, uint64_t at_ms)
{
    uint64_t now_ms = queue_now_ms(q);

    return at_ms > now_ms ? at_ms - now_ms : 0;
}

void queue_arm_wheel(struct queue *q)
{
    uint32_t tick;

    if (q->dispatch != NULL && wheel_next(&q->index.wheel, &tick))
        loop_start_timer(q->loop, &q->wheel_timer, until(q, queue_tick_ms(q, tick)));
}

static void on_wheel(struct timer *t)
{
    struct queue *q = container_of(t, struct queue, wheel_timer);
    uint32_t now = (uint32_t)((queue_now_ms(q) - q->base_ms) / QUEUE_TICK_MS);
    unsigned steps = QUEUE_STEPS_PER_TURN;
    uint32_t unit;

    while ((unit = index_take_timed(&q->index, now, &steps)) != POOL_NONE)
        dispatch_unit(q->dispatch, unit);
    queue_arm_wheel(q);
}

/* ---- deadlines ---- */

static uint64_t arrival_ms(const struct mail *m)
{
    return (uint64_t)m->arrival_s * 1000;
}

uint64_t queue_expiry_ms(const struct queue *q, const struct mail *m)
{
    return schedule_expiry_ms(&q->settings->retry, arrival_ms(m), (m->flags & MAIL_RESTORED) != 0,
                              q->base_ms);
}

bool queue_in_trash(const struct mail *m)
{
    return m->deadline == DEADLINE_TRASH;
}

static uint64_t notice_ms(const struct queue *q, const struct mail *m)
{
    uint64_t at_ms = schedule_notice_ms(&q->settings->retry, arrival_ms(m),
                                        (m->flags & MAIL_RESTORED) != 0, q->base_ms);

    return MAX(at_ms, q->notice_pause_ms);
}

/* New mail needs the room more than what was thrown away. */
static bool trash_must_shrink(const struct queue *q)
{
    return q->trash_bytes > q->settings->spool.trash_bytes || q->trouble == SPOOL_FULL;
}

/* What is to be done with the first of a list, at this time of the queue's clock. */
static uint64_t deadline_ms(const struct queue *q, enum deadline list)
{
    uint32_t mail = index_first_deadline(&q->index, list);
    const struct mail *m;

    if (mail == POOL_NONE)
        return UINT64_MAX;
    m = index_mail(&q->index, mail);
    if (list == DEADLINE_TRASH)
        return trash_must_shrink(q) ? 0 : arrival_ms(m) + q->settings->spool.trash_ms;
    return list == DEADLINE_NOTICE ? MIN(notice_ms(q, m), queue_expiry_ms(q, m))
                                   : queue_expiry_ms(q, m);
}

void queue_arm_deadlines(struct queue *q)
{
    uint64_t first_ms = UINT64_MAX;

    for (unsigned list = DEADLINE_NOTICE; list < DEADLINES; list++)
        first_ms = MIN(first_ms, deadline_ms(q, (enum deadline)list));
    if (first_ms != UINT64_MAX)
        loop_start_timer(q->loop, &q->deadline_timer,
                         MIN(until(q, first_ms), (uint64_t)DEADLINE_MOST_MS));
}

/* Held mail neither expires nor is its sender told that it waits: an administrator knows. */
static void meet_deadline(struct queue *q, uint32_t mail)
{
    struct mail *m = index_mail(&q->index, mail);
    bool over = queue_expiry_ms(q, m) <= queue_now_ms(q);

    if (queue_in_trash(m)) {
        queue_purge(q, mail);
    } else if (m->flags & MAIL_HELD) {
        index_set_overdue(&q->index, mail, over);
        index_set_deadline(&q->index, mail, over ? DEADLINE_NONE : DEADLINE_NOTICED);
    } else if (over) {
        notify_expiry(q, mail);
    } else {
        notify_delay(q, mail);
    }
}

static void on_deadline(struct timer *t)
{
    struct queue *q = container_of(t, struct queue, deadline_timer);

    bool rest = false;

    for (unsigned list = DEADLINE_NOTICE; list < DEADLINES; list++) {
        unsigned left = DEADLINES_PER_TURN;

        while (left > 0 && deadline_ms(q, (enum deadline)list) <= queue_now_ms(q)) {
            meet_deadline(q, index_first_deadline(&q->index, (enum deadline)list));
            left--;
        }
        rest = rest || left == 0;
    }
    if (rest)
        loop_start_timer(q->loop, t, DEADLINE_REST_MS);
    else
        queue_arm_deadlines(q);
}

/* The lists are in order of arrival: what is to wait first (FUTURERELEASE) comes later. */
static bool begins_later(const struct queue *q, const struct mail *m)
{
    return arrival_ms(m) > queue_now_ms(q) + 1000; /* it is rounded up */
}

static void list_deadline(struct queue *q, uint32_t mail)
{
    const struct mail *m = index_mail(&q->index, mail);
    bool never = (m->flags & (MAIL_NULL_SENDER | MAIL_NOTICED)) != 0;

    if (begins_later(q, m))
        return;
    index_set_deadline(&q->index, mail, never ? DEADLINE_EXPIRY : DEADLINE_NOTICE);
    if (!timer_running(&q->deadline_timer))
        queue_arm_deadlines(q);
}

void queue_begin_lifetime(struct queue *q, uint32_t mail)
{
    struct mail *m = index_mail(&q->index, mail);

    if (m->deadline != DEADLINE_NONE)
        return;
    m->flags &= (uint8_t)~MAIL_RESTORED;
    m->arrival_s = (uint32_t)((queue_now_ms(q) + 999) / 1000);
    list_deadline(q, mail);
}

/* ---- the life of a message ---- */

/* Without settings: the domain. */
static void hop_by_domain(const struct address *a, struct buf *room, struct hop *out)
{
    for (size_t i = 0; i < a->domain.len; i++)
        buf_put_byte(room, byte_lower(a->domain.ptr[i]));
    *out = (struct hop){ .kind = HOP_MX, .name = buf_view(room), .host = buf_view(room) };
}

/* An address that no rule fits goes to a domain that never exists (RFC 2606, 2), and comes back. */
static const struct hop nowhere = {
    .kind = HOP_MX,
    .name = VIEW_INIT("invalid"),
    .host = VIEW_INIT("invalid"),
};

struct destination *queue_destination(struct queue *q, const struct envelope *e, size_t rcpt)
{
    char text[2 * ADDRESS_DOMAIN_MAX];
    struct buf room = BUF_ON_ARRAY(text);
    struct hop hop = nowhere;
    struct destination *d;
    struct address a;

    if (address_parse(e->rcpts[rcpt].address, true, &a)) {
        if (q->settings == NULL)
            hop_by_domain(&a, &room, &hop);
        else if (!settings_hop(q->settings, e, &a, &room, &hop))
            hop = nowhere;
    }
    d = index_destination_for(&q->index, &hop);
    if (q->settings != NULL && d->placed != q->routing + 1u)
        mx_place(q, d);
    return d;
}

static uint32_t add_mail(struct queue *q, uint64_t id, struct store_ref where,
                         const struct envelope *e, uint64_t body_bytes, uint64_t arrived_ms)
{
    uint64_t begins_ms = e->not_before_ms > 0 ? queue_time_ms(q, e->not_before_ms) : 0;
    uint32_t mail = index_add_mail(&q->index, id, (unsigned)e->rcpt_count);
    struct mail *m = index_mail(&q->index, mail);
    uint16_t sender = site_sender(e->login, e->sender, e->client);

    index_set_place(m, where);
    m->body_bytes = (uint32_t)MIN(body_bytes, (uint64_t)UINT32_MAX);
    m->arrival_s = (uint32_t)((MAX(arrived_ms, begins_ms) + 999) / 1000);
    m->flags = e->sender.len == 0 ? MAIL_NULL_SENDER : 0;
    m->priority = (unsigned)(e->priority - PRIORITY_LEAST) & PRIORITY_MASK;
    for (size_t i = 0; i < e->rcpt_count; i++)
        index_add_rcpt(&q->index, mail, queue_destination(q, e, i), (unsigned)i, q->routing,
                       sender);
    /* For when they get their time. */
    index_each_unit (u, &q->index, mail)
        index_unit(&q->index, u)->link.due = queue_tick(q, begins_ms);
    if (q->settings != NULL)
        appointment_make(q, id, e);
    /* Until a release, which has a record; the hold itself needs none. */
    if (e->hold.len > 0)
        index_set_held(&q->index, mail, true);
    return mail;
}

static bool is_expanded(const struct envelope *e)
{
    for (size_t i = 0; i < e->rcpt_count; i++) {
        if (e->rcpts[i].notify & NOTIFY_EXPANDED)
            return true;
    }
    return false;
}

void queue_take_in(struct queue *q, const struct store_commit *c, const struct envelope *e,
                   struct letter *letter)
{
    uint32_t mail = add_mail(q, c->id, c->where, e, c->body_bytes, queue_now_ms(q));
    bool expanded = is_expanded(e), held = e->hold.len > 0;
    bool later = e->not_before_ms > clock_wall_ms();

    if (held)
        log_warn("held", LOG_ID("message", c->id), LOG_VIEW("by", e->hold),
                 LOG_VIEW(e->login.len > 0 ? "login" : NULL, e->login));
    if (later)
        letter_free(&letter); /* it would lie in memory for hours */
    if (letter != NULL)
        cache_keep(&q->cache, c->id, letter);
    if (expanded)
        notify_expanded(q, mail);
    if (!timer_running(&q->clock_timer))
        loop_start_timer(q->loop, &q->clock_timer, CLOCK_FIRST_MS);
    if (!q->restored)
        return; /* it gets its time with the others */
    list_deadline(q, mail);
    index_each_unit (u, &q->index, mail) {
        if (held)
            index_park(&q->index, u);
        else if (later)
            index_time(&q->index, u, index_unit(&q->index, u)->link.due);
        else
            dispatch_unit(q->dispatch, u);
    }
    if (later)
        queue_arm_wheel(q);
}

void queue_remove_unit(struct queue *q, uint32_t unit)
{
    struct destination *d = index_destination(&q->index, index_unit(&q->index, unit)->destination);

    index_remove_unit(&q->index, unit);
    queue_rest(q, d);
}

void queue_rest(struct queue *q, struct destination *d)
{
    struct site *s = d->site;

    index_rest_destination(&q->index, d);
    if (s->probing)
        backoff_drop(q, s);
}

static void enter_trash(struct queue *q, uint32_t mail)
{
    q->trash_count++;
    q->trash_bytes += index_mail(&q->index, mail)->body_bytes;
    index_set_deadline(&q->index, mail, DEADLINE_TRASH);
}

static void leave_trash(struct queue *q, uint32_t mail)
{
    const struct mail *m = index_mail(&q->index, mail);

    if (!queue_in_trash(m))
        return;
    q->trash_count--;
    q->trash_bytes -= m->body_bytes;
    index_set_deadline(&q->index, mail, DEADLINE_NONE);
}

bool queue_finish_if_done(struct queue *q, uint32_t mail)
{
    const struct mail *m = index_mail(&q->index, mail);

    if (m->units != POOL_NONE)
        return false;
    leave_trash(q, mail);
    store_finish(q->store, m->id, index_place(m));
    cache_drop(&q->cache, m->id);
    index_remove_mail(&q->index, mail);
    return true;
}

void queue_set_aside(struct queue *q, uint32_t mail, int err)
{
    struct mail *m = index_mail(&q->index, mail);
    uint32_t due = queue_tick(q, queue_now_ms(q) + READ_RETRY_MS);

    if (err == -EBADMSG) {
        log_error("message_damaged", LOG_ID("message", m->id));
        m->flags |= MAIL_DAMAGED;
        queue_hold(q, mail, VIEW("damaged"));
        return;
    }
    log_error("message_unreadable", LOG_ID("message", m->id), LOG_ERRNO("error", -err));
    index_each_unit (u, &q->index, mail) {
        if (index_unit(&q->index, u)->state == UNIT_DUE)
            index_time(&q->index, u, due);
    }
    queue_arm_wheel(q);
}

/* ---- administrators ---- */

static void record_change(struct queue *q, uint64_t id, enum store_change_kind kind,
                          struct view who)
{
    const struct store_change c = { id, kind, queue_now_ms(q), who };

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

void queue_hold(struct queue *q, uint32_t mail, struct view who)
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
void queue_release(struct queue *q, uint32_t mail, struct view who)
{
    struct mail *m = index_mail(&q->index, mail);

    if ((m->flags & MAIL_HELD) == 0 || (m->flags & MAIL_DELETED) != 0)
        return;
    index_set_held(&q->index, mail, false);
    record_change(q, m->id, STORE_RELEASE, who);
    log_info("released", LOG_ID("message", m->id), LOG_VIEW("by", who));
    m->flags &= (uint8_t)~MAIL_DAMAGED;
    if (m->deadline == DEADLINE_NONE) {
        index_set_overdue(&q->index, mail, false);
        m->flags &= (uint8_t)~MAIL_RESTORED;
        m->arrival_s = (uint32_t)((queue_now_ms(q) + 999) / 1000);
        list_deadline(q, mail);
    }
    index_each_unit (u, &q->index, mail) {
        if (index_unit(&q->index, u)->state == UNIT_PARKED)
            try_now(q, u);
    }
}

void queue_retry(struct queue *q, uint32_t mail)
{
    if (index_mail(&q->index, mail)->flags & (MAIL_HELD | MAIL_DELETED))
        return;
    index_each_unit (u, &q->index, mail) {
        unsigned state = index_unit(&q->index, u)->state;

        if (state == UNIT_TIMED || state == UNIT_DUE)
            try_now(q, u);
    }
}

void queue_delete(struct queue *q, uint32_t mail, struct view who)
{
    struct mail *m = index_mail(&q->index, mail);

    if (m->flags & MAIL_DELETED)
        return;
    m->flags |= MAIL_DELETED;
    m->arrival_s = (uint32_t)(queue_now_ms(q) / 1000);
    index_set_held(&q->index, mail, true);
    record_change(q, m->id, STORE_DELETED, who);
    log_info("deleted", LOG_ID("message", m->id), LOG_VIEW("by", who));
    q->totals.deleted++;
    enter_trash(q, mail);
    park_units(q, mail);
    queue_arm_deadlines(q);
}

void queue_undelete(struct queue *q, uint32_t mail, struct view who)
{
    struct mail *m = index_mail(&q->index, mail);

    if (!queue_in_trash(m))
        return;
    leave_trash(q, mail);
    m->flags &= (uint8_t)~MAIL_DELETED;
    record_change(q, m->id, STORE_HOLD, who);
    log_info("undeleted", LOG_ID("message", m->id), LOG_VIEW("by", who));
}

void queue_purge(struct queue *q, uint32_t mail)
{
    remember_deleted(q, mail);
    leave_trash(q, mail);
    index_each_unit (u, &q->index, mail) {
        unsigned state = index_unit(&q->index, u)->state;

        if (state != UNIT_RUNNING && state != UNIT_FAILING)
            queue_remove_unit(q, u);
    }
    queue_finish_if_done(q, mail);
}

/* ---- replay ---- */

/* What was never tried was due at once, unless it was to wait. What is held was not tried. */
static void doubt(struct queue *q, uint32_t mail, bool tried)
{
    index_each_unit (u, &q->index, mail)
        index_unit(&q->index, u)->in_doubt = tried && q->doubt_ms > 0;
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
        mail = add_mail(q, id, where, &e, body_bytes, MIN(accepted_ms, q->base_ms));
        index_mail(&q->index, mail)->flags |= MAIL_RESTORED;
        doubt(q, mail, e.hold.len == 0 && e.not_before_ms < clock_wall_ms());
    } else {
        log_error("envelope_unreadable", LOG_ID("message", id));
    }
    arena_reset(&arena);
}

/* Parked until the replay is over; the tick waits in the link. */
static void restore_deferred(struct queue *q, uint32_t unit, const struct store_outcome *o,
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
    }
    index_each_unit (u, &q->index, mail) {
        uint32_t part = index_split(&q->index, u, &set);

        if (part != POOL_NONE && o->state == STORE_DEFERRED)
            restore_deferred(q, part, o, where);
        else if (part != POOL_NONE)
            queue_remove_unit(q, part);
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
        index_set_held(&q->index, mail, true);
        break;
    case STORE_RELEASE: /* the log keeps the newest change, and maybe not the one before */
        m->flags &= (uint8_t)~MAIL_DELETED;
        index_set_held(&q->index, mail, false);
        m->arrival_s = (uint32_t)(MIN(c->at_ms, q->base_ms) / 1000);
        break;
    case STORE_NOTICED:
        m->flags |= MAIL_NOTICED;
        break;
    case STORE_DELETED:
        m->flags |= MAIL_DELETED;
        m->arrival_s = (uint32_t)(MIN(c->at_ms, q->base_ms) / 1000);
        index_set_held(&q->index, mail, true);
        break;
    case STORE_CHANGES:
        break;
    }
}

struct restored {
    uint32_t mail, arrival_s;
};

static int compare_arrival(const void *a, const void *b)
{
    const struct restored *x = a, *y = b;

    return (x->arrival_s > y->arrival_s) - (x->arrival_s < y->arrival_s);
}

static void time_units(struct queue *q, uint32_t mail)
{
    const struct mail *m = index_mail(&q->index, mail);
    uint64_t chance_ms = UINT64_MAX;
    uint32_t latest = UINT32_MAX;

    if (m->flags & MAIL_HELD)
        return;
    if (q->settings != NULL && !begins_later(q, m))
        chance_ms = schedule_last_chance_ms(&q->settings->retry, arrival_ms(m), q->base_ms, m->id);
    if (chance_ms != UINT64_MAX)
        latest = queue_tick(q, q->base_ms + chance_ms);
    index_each_unit (u, &q->index, mail)
        index_time(&q->index, u, MIN(index_unit(&q->index, u)->link.due, latest));
}

void queue_show(struct queue *q)
{
    while (store_replay(q->store, QUEUE_RECORDS_PER_TURN))
        continue;
    q->restored = true;
    for (uint32_t i = 1; i < q->index.mails.end; i++) {
        if (index_mail(&q->index, i)->id != 0)
            time_units(q, i);
    }
}

/* Everything that was replayed gets its time, the deadlines in order of arrival. */
static void schedule_all(struct queue *q)
{
    struct index *x = &q->index;
    struct restored *all = memory_new_array(x->mails.count, sizeof(*all));
    uint32_t count = 0;

    for (uint32_t i = 1; i < x->mails.end; i++) {
        const struct mail *m = index_mail(x, i);

        if (m->id == 0)
            continue;
        if (m->units == POOL_NONE)
            queue_finish_if_done(q, i);
        else
            all[count++] = (struct restored){ i, m->arrival_s };
    }
    qsort(all, count, sizeof(*all), compare_arrival);
    for (uint32_t i = 0; i < count; i++) {
        if (index_mail(x, all[i].mail)->flags & MAIL_DELETED)
            enter_trash(q, all[i].mail);
        else
            list_deadline(q, all[i].mail);
        time_units(q, all[i].mail);
    }
    free(all);
}

/* ---- start, reload, end ---- */

static void on_state(struct store_watcher *w, enum spool_trouble trouble, uint64_t room_bytes)
{
    static const char *const names[] = { "fine", "full", "broken", "suspended", "invalid" };
    struct queue *q = container_of(w, struct queue, watcher);

    if (trouble != q->trouble)
        log_warn("spool_state_changed", LOG_STRING("state", names[trouble]),
                 LOG_U64("room_bytes", room_bytes));
    q->trouble = trouble;
    q->room_bytes = room_bytes;
    if (q->intake == NULL)
        return;
    intake_tell_state(q->intake);
    queue_arm_deadlines(q);
}

static struct store_ref on_find(struct store_watcher *w, uint64_t id)
{
    struct queue *q = container_of(w, struct queue, watcher);
    uint32_t mail = index_find(&q->index, id);

    return mail == POOL_NONE ? (struct store_ref){ 0 } : index_place(index_mail(&q->index, mail));
}

static void on_moved(struct store_watcher *w, uint64_t id, struct store_ref where)
{
    struct queue *q = container_of(w, struct queue, watcher);
    uint32_t mail = index_find(&q->index, id);

    if (mail != POOL_NONE)
        index_set_place(index_mail(&q->index, mail), where);
}

static void on_outcome_moved(struct store_watcher *w, uint64_t id, uint64_t from,
                             struct store_ref where)
{
    struct queue *q = container_of(w, struct queue, watcher);
    uint32_t mail = index_find(&q->index, id);

    if (mail == POOL_NONE)
        return;
    index_each_unit (u, &q->index, mail) {
        if (index_unit(&q->index, u)->last_place == from)
            index_set_last(index_unit(&q->index, u), where);
    }
}

int queue_open(struct queue *q, struct loop *l, const struct settings *settings, const char *path,
               struct error *err)
{
    struct store_options o = { .path = path,
                               .read_only = settings == NULL,
                               .rest_ms = QUEUE_REST_MS };
    int result;

    *q = (struct queue){ .loop = l, .settings = settings };
    list_init(&q->hook.link);
    list_init(&q->appointments);
    table_init(&q->losses, false);
    index_init(&q->index);
    cache_init(&q->cache, settings != NULL ? settings->spool.cache_bytes : 0);
    q->replay = (struct store_replay){ on_message, on_outcome, on_change };
    q->watcher = (struct store_watcher){ on_state, on_find, on_moved, on_outcome_moved };
    q->wheel_timer.fire = on_wheel;
    q->deadline_timer.fire = on_deadline;
    q->clock_timer.fire = on_clock;
    if (settings != NULL) {
        o.segment_bytes = settings->spool.segment_bytes;
        o.big_body_bytes = settings->spool.big_body_bytes;
        o.reserve_bytes = settings->spool.reserve_bytes;
        o.fresh = !settings->spool.recycle;
        q->history = history_new(l);
        if (q->history == NULL)
            return error_set(err, -EMFILE, "no descriptors for the history of mail");
        history_limit(q->history, settings->spool.history_bytes, settings->spool.history_ms);
    }
    result = store_open(&q->store, &o, l, &q->replay, &q->watcher, err);
    if (result == 0)
        start_clock(q);
    return result;
}

static bool drained(const struct queue *q)
{
    bool over = queue_now_ms(q) >= q->drain_ends_ms;

    return store_idle(q->store) && (over || (intake_idle(q->intake) && q->notices_pending == 0 &&
                                             dispatch_running(q->dispatch) == 0));
}

/* Read everything, make it durable once, answer everyone. */
static void on_turn(struct hook *h)
{
    struct queue *q = container_of(h, struct queue, hook);

    if (q->restored)
        dispatch_run(q->dispatch);
    store_flush(q->store);
    if (q->draining && drained(q))
        loop_stop(q->loop);
}

/* A slice at a time, while new mail comes in. */
static void on_restore(struct timer *t)
{
    struct queue *q = container_of(t, struct queue, restore_timer);

    if (store_replay(q->store, QUEUE_RECORDS_PER_TURN)) {
        loop_start_timer(q->loop, t, 0);
        return;
    }
    q->restored = true;
    schedule_all(q);
    queue_arm_wheel(q);
    queue_arm_deadlines(q);
    loop_start_timer(q->loop, &q->clock_timer, CLOCK_FIRST_MS);
    log_info("queue_restored", LOG_U64("messages", q->index.mails.count),
             LOG_U64("held", q->index.held_count));
}

int queue_start(struct queue *q, struct error *err)
{
    int result = store_start(q->store, err);

    if (result < 0)
        return result;
    result = history_start(q->history);
    if (result < 0)
        return error_set(err, result, "no thread for the history of mail: %s", strerror(-result));
    note_clock(q, false);
    q->intake = intake_new(q);
    q->dispatch = dispatch_new(q);
    q->hook.run = on_turn;
    loop_before_sleep(q->loop, &q->hook);
    q->restore_timer.fire = on_restore;
    on_restore(&q->restore_timer);
    return 0;
}

static void free_settings(struct queue_settings *s)
{
    if (s == NULL)
        return;
    settings_release(&s->settings);
    config_free(&s->config);
    free(s->bundle);
    free(s);
}

void queue_reload(struct queue *q, struct queue_settings *next)
{
    q->settings = &next->settings;
    free_settings(q->replaced);
    q->replaced = next;
    q->routing++;
    log_open("queue", (enum log_format)next->settings.log_format,
             (enum log_level)next->settings.log_level);
    cache_limit(&q->cache, next->settings.spool.cache_bytes);
    for (uint32_t i = 1; i < q->index.destinations.end; i++) {
        struct destination *d = index_destination(&q->index, i);

        if (d->self != POOL_NONE)
            mx_place(q, d);
    }
    history_limit(q->history, next->settings.spool.history_bytes, next->settings.spool.history_ms);
    dispatch_reload(q->dispatch);
    /* The trouble may have been the route that has just been changed. */
    list_each_safe (it, &q->index.troubled)
        backoff_retry(q, container_of(it, struct site, trouble));
    queue_arm_deadlines(q);
}

static void on_drain_over(struct timer *t)
{
    (void)t; /* the turn that it makes happen is what was wanted */
}

void queue_drain(struct queue *q)
{
    if (q->draining)
        return;
    q->draining = true;
    q->drain_ends_ms = queue_now_ms(q) + q->settings->timeouts.drain;
    q->drain_timer.fire = on_drain_over;
    loop_start_timer(q->loop, &q->drain_timer, q->settings->timeouts.drain);
    log_info("drain_started", LOG_U64("running", dispatch_running(q->dispatch)));
}

static void stop_timers(struct queue *q)
{
    loop_stop_timer(q->loop, &q->restore_timer);
    loop_stop_timer(q->loop, &q->wheel_timer);
    loop_stop_timer(q->loop, &q->deadline_timer);
    loop_stop_timer(q->loop, &q->clock_timer);
    loop_stop_timer(q->loop, &q->drain_timer);
    for (uint32_t i = 1; i < q->index.sites.end; i++) {
        struct site *s = pool_at(&q->index.sites, i);

        loop_stop_timer(q->loop, &s->timer);
        loop_stop_timer(q->loop, &s->free);
    }
}

void queue_close(struct queue *q)
{
    stop_timers(q);
    if (q->dispatch != NULL && q->restored && dispatch_running(q->dispatch) == 0)
        note_clock(q, true);
    list_remove(&q->hook.link);
    appointment_forget_all(q);
    losses_forget_all(q);
    control_free(&q->control);
    intake_free(&q->intake);
    dispatch_free(&q->dispatch);
    if (q->store != NULL)
        store_close(&q->store);
    history_free(&q->history);
    cache_release(&q->cache);
    index_release(&q->index);
    free_settings(q->replaced);
    q->replaced = NULL;
}
