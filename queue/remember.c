#include "queue/remember.h"

#include "common/memory.h"
#include "io/clock.h"
#include "queue/content.h"
#include "queue/history.h"

#include <stdlib.h>

enum {
    RECORD_ROOM = 4096,         /* bytes of a record beside its recipients, nearly always */
    RCPT_ROOM = 256,            /* bytes of a recipient, likewise */
    RECORDS_ROOM_MAX = 1 << 20, /* of one message; what does not fit is not kept */
    OUTCOME_ROOM = 4096,
};

static struct past describe(const struct mail *m, enum past_state state, unsigned attempts,
                            struct view outcome)
{
    return (struct past){ .id = m->id,
                          .state = state,
                          .at_ms = clock_wall_ms(),
                          .attempts = attempts,
                          .body_bytes = m->body_bytes,
                          .outcome = outcome };
}

void remember(struct queue *q, const struct mail *m, enum past_state state, const uint32_t *rcpts,
              size_t count, unsigned attempts, struct view outcome)
{
    struct past p = describe(m, state, attempts, outcome);
    struct envelope_rcpt *some;
    struct content c;

    if (!history_wanted(q->history) || count == 0 || content_open(q, m, false, &c) < 0)
        return;
    some = memory_new_array(count, sizeof(*some));
    for (size_t i = 0; i < count; i++)
        some[i] = c.envelope.rcpts[rcpts[i]];
    p.envelope = c.envelope;
    p.envelope.rcpts = some;
    p.envelope.rcpt_count = count;
    history_add(q->history, &p);
    free(some);
    content_close(&c);
}

/* Those at the front that heard the same. */
static size_t count_alike(const struct notify_rcpt *rcpts, size_t count)
{
    size_t alike = 1;

    while (alike < count && rcpts[alike].outcome == rcpts[0].outcome)
        alike++;
    return alike;
}

static void put_lost(struct queue *q, struct past *p, const struct envelope *e,
                     const struct notify_rcpt *rcpts, size_t count, struct buf *records)
{
    struct envelope_rcpt *some = memory_new_array(count, sizeof(*some));
    char room[OUTCOME_ROOM];
    struct buf text = BUF_ON_ARRAY(room);

    for (size_t i = 0; i < count; i++)
        some[i] = e->rcpts[rcpts[i].rcpt];
    p->attempts = index_unit(&q->index, rcpts[0].unit)->attempts;
    p->outcome = outcome_encode(rcpts[0].outcome, &text) ? buf_view(&text) : VIEW_EMPTY;
    p->envelope = *e;
    p->envelope.rcpts = some;
    p->envelope.rcpt_count = count;
    if (!past_encode(p, records))
        history_drop(q->history);
    free(some);
}

void remember_lost(struct queue *q, uint32_t mail, enum past_state state,
                   const struct notify_rcpt *rcpts, size_t count, struct buf *records)
{
    const struct mail *m = index_mail(&q->index, mail);
    struct past p = describe(m, state, 0, VIEW_EMPTY);
    struct content c;

    if (!history_wanted(q->history) || content_open(q, m, false, &c) < 0)
        return;
    buf_new(records, MIN(count * (RECORD_ROOM + RCPT_ROOM), (size_t)RECORDS_ROOM_MAX));
    while (count > 0) {
        size_t alike = count_alike(rcpts, count);

        put_lost(q, &p, &c.envelope, rcpts, alike, records);
        rcpts += alike;
        count -= alike;
    }
    content_close(&c);
}

void remember_deleted(struct queue *q, uint32_t mail)
{
    const struct mail *m = index_mail(&q->index, mail);
    uint32_t *rcpts = memory_new_array(m->rcpt_count, sizeof(*rcpts));
    size_t count = 0;

    index_each_unit (u, &q->index, mail) {
        if (index_unit(&q->index, u)->state >= UNIT_RUNNING)
            continue;
        rcpts_each (i, index_rcpts(&q->index, u), m->rcpt_count)
            rcpts[count++] = i;
    }
    remember(q, m, PAST_DELETED, rcpts, count, 0, VIEW_EMPTY);
    free(rcpts);
}
