#include "queue/losses.h"

#include "common/memory.h"
#include "queue/deadline.h"

#include <stdlib.h>
#include <string.h>

enum {
    ARENA_MAX = 8 << 20, /* the outcomes of 1,000 recipients */
    OUTCOME_ROOM = 4096,
};

/* ---- one ---- */

static const struct outcome forgotten = {
    .class = OUTCOME_FAILED,
    .scope = SCOPE_RCPT,
    .enhanced = { 5, 0, 0 },
    .text = VIEW_INIT("there is no room to remember why"),
};

static const struct outcome *copy_outcome(struct loss *l, const struct outcome *o)
{
    char room[OUTCOME_ROOM];
    struct buf encoded = BUF_ON_ARRAY(room);
    struct outcome *copy = arena_alloc(&l->arena, sizeof(*copy));
    struct view text;

    if (copy == NULL || !outcome_encode(o, &encoded) ||
        !arena_copy(&l->arena, buf_view(&encoded), &text) || !outcome_decode(text, &l->arena, copy))
        return &forgotten;
    return copy;
}

static void include(struct loss *l, const uint32_t *units, size_t unit_count,
                    const struct notify_rcpt *rcpts, size_t rcpt_count)
{
    l->units = memory_grow(l->units, l->unit_count + unit_count, sizeof(*units));
    memcpy(l->units + l->unit_count, units, unit_count * sizeof(*units));
    l->unit_count += unit_count;
    l->rcpts = memory_grow(l->rcpts, l->rcpt_count + rcpt_count, sizeof(*rcpts));
    for (size_t i = 0; i < rcpt_count; i++) {
        struct notify_rcpt *r = &l->rcpts[l->rcpt_count++];
        bool same = i > 0 && rcpts[i].outcome == rcpts[i - 1].outcome;

        *r = rcpts[i];
        r->outcome = same ? r[-1].outcome : copy_outcome(l, rcpts[i].outcome);
        if (!arena_copy(&l->arena, rcpts[i].address, &r->address))
            r->address = VIEW_EMPTY;
    }
}

struct loss *loss_copy(struct queue *q, enum bounce_action action, uint64_t message,
                       const uint32_t *units, size_t unit_count, const struct notify_rcpt *rcpts,
                       size_t rcpt_count)
{
    struct loss *l = memory_new(sizeof(*l));

    l->action = action;
    l->queue = q;
    l->message = message;
    arena_init(&l->arena, ARENA_MAX);
    include(l, units, unit_count, rcpts, rcpt_count);
    return l;
}

void loss_free(struct loss **l)
{
    if (*l == NULL)
        return;
    arena_reset(&(*l)->arena);
    free((*l)->units);
    free((*l)->rcpts);
    free(*l);
    *l = NULL;
}

/* ---- all that rest ---- */

static struct table *table_of(struct queue *q, enum bounce_action action)
{
    return action == BOUNCE_FAILED ? &q->losses : &q->arrivals[action == BOUNCE_DELIVERED];
}

static struct loss *find(struct queue *q, enum bounce_action action, uint64_t message)
{
    struct table_entry *e = table_find_number(table_of(q, action), message);

    return e == NULL ? NULL : container_of(e, struct loss, entry);
}

static void take_out(struct loss *l)
{
    loop_stop_timer(l->queue->loop, &l->timer);
    table_remove(table_of(l->queue, l->action), &l->entry);
}

/* Of what an administrator has deleted nobody is told, unless it comes back. */
static void drop_deleted(struct queue *q, uint32_t mail, const struct loss *l)
{
    for (size_t i = 0; i < l->unit_count; i++) {
        if (deadline_in_trash(index_mail(&q->index, mail)))
            index_park(&q->index, l->units[i]);
        else
            queue_remove_unit(q, l->units[i]);
    }
    queue_finish_if_done(q, mail);
}

static void tell(struct loss *l)
{
    struct queue *q = l->queue;
    uint32_t mail = index_find(&q->index, l->message);

    take_out(l);
    if (mail != POOL_NONE && l->action != BOUNCE_FAILED)
        notify_success(q, mail, l->action == BOUNCE_DELIVERED, l->units, l->unit_count, l->rcpts,
                       l->rcpt_count);
    else if (mail != POOL_NONE && (index_mail(&q->index, mail)->flags & MAIL_DELETED))
        drop_deleted(q, mail, l);
    else if (mail != POOL_NONE)
        notify_failure(q, mail, l->units, l->unit_count, l->rcpts, l->rcpt_count);
    loss_free(&l);
}

static void on_time(struct timer *t)
{
    tell(container_of(t, struct loss, timer));
}

static void put_in(struct loss *l, uint64_t wait_ms)
{
    table_add_number(table_of(l->queue, l->action), &l->entry, l->message);
    l->timer.fire = on_time;
    loop_start_timer(l->queue->loop, &l->timer, wait_ms);
}

/* Nothing of the message is with a worker, or goes to one at once. */
static bool is_quiet(const struct queue *q, uint32_t mail)
{
    index_each_unit (u, &q->index, mail) {
        const struct unit *unit = index_unit(&q->index, u);

        if (unit->state == UNIT_RUNNING ||
            (unit->state == UNIT_DUE &&
             !index_destination(&q->index, unit->destination)->site->backed_off))
            return false;
    }
    return true;
}

void losses_take(struct queue *q, uint32_t mail, const uint32_t *units, size_t unit_count,
                 const struct notify_rcpt *rcpts, size_t rcpt_count)
{
    uint64_t message = index_mail(&q->index, mail)->id;
    struct loss *l = find(q, BOUNCE_FAILED, message);

    for (size_t i = 0; i < unit_count; i++)
        index_fail(&q->index, units[i]);
    if (l == NULL && is_quiet(q, mail)) {
        notify_failure(q, mail, units, unit_count, rcpts, rcpt_count);
        return;
    }
    if (l != NULL)
        include(l, units, unit_count, rcpts, rcpt_count);
    else
        put_in(loss_copy(q, BOUNCE_FAILED, message, units, unit_count, rcpts, rcpt_count),
               LOSSES_WAIT_MS);
    losses_look(q, message);
}

void losses_look(struct queue *q, uint64_t message)
{
    struct loss *l = q->losses.count == 0 ? NULL : find(q, BOUNCE_FAILED, message);
    uint32_t mail;

    if (l == NULL)
        return;
    mail = index_find(&q->index, message);
    if (mail != POOL_NONE && is_quiet(q, mail))
        tell(l);
}

void losses_hold(struct queue *q, struct loss *l)
{
    struct loss *other = find(q, l->action, l->message);

    if (other == NULL) {
        put_in(l, LOSSES_AGAIN_MS);
        return;
    }
    include(other, l->units, l->unit_count, l->rcpts, l->rcpt_count);
    loss_free(&l);
}

static void forget_all(struct table *t)
{
    struct table_entry *e;

    while ((e = table_next(t, NULL)) != NULL) {
        struct loss *l = container_of(e, struct loss, entry);

        take_out(l);
        loss_free(&l);
    }
    table_release(t);
}

void losses_forget_all(struct queue *q)
{
    forget_all(&q->losses);
    forget_all(&q->arrivals[0]);
    forget_all(&q->arrivals[1]);
}
