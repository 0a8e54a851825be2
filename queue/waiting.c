#include "queue/waiting.h"

#include "common/memory.h"
#include "io/log.h"
#include "queue/content.h"
#include "queue/deadline.h"
#include "queue/losses.h"

#include <stdlib.h>

static const struct outcome never_tried = {
    .class = OUTCOME_DEFERRED,
    .scope = SCOPE_DESTINATION,
    .enhanced = { 4, 4, 7 },
    .text = VIEW_INIT("no attempt could be made in time"),
};

/* What the host said is lost, but not that it took the message. */
static const struct outcome taken = {
    .class = OUTCOME_DELIVERED,
    .scope = SCOPE_RCPT,
    .enhanced = { 2, 0, 0 },
    .text = VIEW_INIT("the message was accepted"),
};

/* Why the unit still waits: what it heard itself, or what others of its destination heard. */
static const struct outcome *read_reason(struct queue *q, const struct unit *u, struct arena *arena,
                                         uint64_t *attempted_ms)
{
    const struct site *s = index_destination(&q->index, u->destination)->site;
    bool arrived = u->state == UNIT_ARRIVED;
    struct outcome *o = arena_alloc(arena, sizeof(*o));
    struct store_outcome record;
    struct view cause;

    *attempted_ms = 0;
    if (o == NULL)
        return arrived ? &taken : &never_tried;
    if (u->last_place != 0 && store_read_outcome(q->store, index_last(u), arena, &record) == 0 &&
        outcome_decode(record.text, arena, o) && (!arrived || o->class == OUTCOME_DELIVERED)) {
        *attempted_ms = record.at_ms;
        return o;
    }
    if (arrived)
        return &taken;
    if (s->backed_off && s->cause.len > 0 && arena_copy(arena, s->cause, &cause) &&
        outcome_decode(cause, arena, o))
        return o;
    return &never_tried;
}

size_t waiting_list(struct queue *q, uint32_t unit, const struct envelope *e, bool expired,
                    struct arena *arena, struct notify_rcpt *list)
{
    const struct unit *u = index_unit(&q->index, unit);
    uint64_t attempted_ms;
    unsigned total = index_mail(&q->index, index_mail_of(&q->index, unit))->rcpt_count;
    const struct outcome *o = read_reason(q, u, arena, &attempted_ms);
    size_t count = 0;

    rcpts_each (i, index_rcpts(&q->index, unit), total) {
        struct view address = e == NULL ? VIEW_EMPTY : e->rcpts[i].address;

        list[count++] = (struct notify_rcpt){ i, unit, address, o, attempted_ms, expired, false };
    }
    return count;
}

static bool waits(const struct unit *u)
{
    return u->state == UNIT_TIMED || u->state == UNIT_DUE;
}

static void expire_units(struct queue *q, uint32_t mail, const struct envelope *e)
{
    const struct mail *m = index_mail(&q->index, mail);
    struct notify_rcpt *rcpts = memory_new_array(m->rcpt_count, sizeof(*rcpts));
    uint32_t *units = memory_new_array(m->rcpt_count, sizeof(*units));
    size_t unit_count = 0, rcpt_count = 0;
    struct arena arena;

    arena_init(&arena, WAITING_ARENA_MAX);
    index_each_unit (u, &q->index, mail) {
        if (!waits(index_unit(&q->index, u)))
            continue;
        index_park(&q->index, u);
        units[unit_count++] = u;
        rcpt_count += waiting_list(q, u, e, true, &arena, rcpts + rcpt_count);
    }
    q->totals.expired += rcpt_count;
    if (unit_count > 0) {
        log_info("expired", LOG_ID("message", m->id), LOG_U64("recipients", rcpt_count));
        losses_take(q, mail, units, unit_count, rcpts, rcpt_count);
    }
    arena_reset(&arena);
    free(units);
    free(rcpts);
}

void waiting_give_up(struct queue *q, uint32_t mail)
{
    const struct mail *m = index_mail(&q->index, mail);
    struct content c;
    int err;

    index_set_overdue(&q->index, mail, true);
    index_set_deadline(&q->index, mail, DEADLINE_NONE);
    err = content_open(q, m, false, &c);
    if (err < 0) {
        queue_set_aside(q, mail, err);
        return;
    }
    expire_units(q, mail, &c.envelope);
    content_close(&c);
}
