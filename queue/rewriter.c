#include "queue/rewriter.h"

#include "common/memory.h"
#include "queue/recover.h"

#include <assert.h>
#include <stdlib.h>

/* ---- append ---- */

static bool append(struct rewriter *w, struct journal *j, struct journal_entry *e)
{
    uint64_t before = j->bytes;
    bool placed = journal_append(j, e);

    w->bytes += j->bytes - before;
    return placed;
}

static uint64_t here(const struct rewriter *w)
{
    return w->journal->current->number;
}

static uint64_t batch(const struct rewriter *w)
{
    return w->journal->filling->number;
}

/* ---- states ---- */

static void write_outcome(struct rewriter *w, struct store_outcome *o, uint64_t place)
{
    struct buf line = BUF_ON_ARRAY(w->line);
    struct journal_entry e = { .type = RECORD_OUTCOME, .id = o->message, .text = o->text };
    size_t count = 0;

    for (size_t i = 0; i < o->rcpt_count; i++) {
        if (ledger_holder(w->ledger, o->message, o->rcpts[i]) == record_segment(place))
            w->needed[count++] = o->rcpts[i];
    }
    o->rcpts = w->needed;
    o->rcpt_count = count;
    if (count == 0 || !record_put_outcome(&line, o))
        return;
    e.line = buf_view(&line);
    if (!append(w, w->journal, &e))
        return;
    for (size_t i = 0; i < count; i++)
        ledger_note(w->ledger, o->message, o->rcpts[i], here(w), batch(w),
                    ledger_part(e.where.bytes, count));
    w->watcher->outcome_moved(w->watcher, o->message, place, e.where);
}

static void write_change(struct rewriter *w, const struct store_change *change, uint64_t place)
{
    struct buf line = BUF_ON_ARRAY(w->line);
    struct journal_entry e = { .type = RECORD_CHANGE, .id = change->message, .text = change->who };
    unsigned topic = change->kind == STORE_NOTICED ? LEDGER_NOTICE : LEDGER_CHANGE;

    if (ledger_holder(w->ledger, change->message, topic) != record_segment(place) ||
        !record_put_change(&line, change))
        return;
    e.line = buf_view(&line);
    if (append(w, w->journal, &e))
        ledger_note(w->ledger, change->message, topic, here(w), batch(w), LEDGER_PLAIN_BYTES);
}

/* What a notice told about another message. */
static void write_settled(struct rewriter *w, const struct record_message *m, uint64_t place)
{
    struct store_outcome o = { .message = m->about,
                               .rcpts = m->settles,
                               .rcpt_count = m->settle_count,
                               .state = STORE_FAILED };
    const struct store_change noticed = { .message = m->about, .kind = STORE_NOTICED };

    if (m->settle_count > 0)
        write_outcome(w, &o, place);
    else
        write_change(w, &noticed, place);
}

/* ---- ends ---- */

void rewriter_finish(struct rewriter *w, uint64_t message, uint64_t place)
{
    struct buf line = BUF_ON_ARRAY(w->line);
    struct journal_entry e = { .type = RECORD_FINISH, .id = message };
    bool placed = record_put_finish(&line, message, place);

    e.line = buf_view(&line);
    placed = placed && append(w, w->journal, &e);
    assert(placed); /* a header and a short line */
    ledger_tie_end(w->ledger, here(w), record_segment(place));
}

/* ---- messages ---- */

void rewriter_seal(struct rewriter *w)
{
    struct journal_entry e = { .type = RECORD_PADDING };

    if (!w->unsealed || !append(w, w->old, &e))
        return;
    w->unsealed = false;
    journal_flush(w->old);
}

struct store_ref rewriter_find(const struct rewriter *w, uint64_t message)
{
    struct store_ref where = w->watcher->find(w->watcher, message);

    where.place &= ~PLACE_BIG;
    return where;
}

struct move *rewriter_move(const struct rewriter *w, uint64_t message)
{
    struct table_entry *e = w->moves.count == 0 ? NULL : table_find_number(&w->moves, message);

    return e == NULL ? NULL : container_of(e, struct move, entry);
}

static void drop_move(struct rewriter *w, struct move *m)
{
    table_remove(&w->moves, &m->entry);
    free(m);
}

static bool write_copy(struct rewriter *w, struct move *move, struct record_message *m,
                       struct view body)
{
    struct buf line = BUF_ON_ARRAY(w->line);
    struct journal_entry e = {
        .type = RECORD_COPY, .id = move->entry.number, .text = m->envelope, .body = body
    };

    m->was = move->from.place;
    m->about = 0;
    m->settle_count = 0;
    if (!record_put_message(&line, m))
        return false;
    e.line = buf_view(&line);
    if (!append(w, w->old, &e))
        return false;
    w->unsealed = true;
    move->to = e.where;
    move->flags = m->big ? PLACE_BIG : 0;
    list_append(&w->old->filling->moves, &move->link);
    /* The message's end will be tied to the copy alone. */
    ledger_tie(w->ledger, w->old->current->number, record_segment(move->from.place));
    return true;
}

static void begin_move(struct rewriter *w, uint64_t message, struct store_ref from,
                       struct record_message *m, struct view body)
{
    struct move *move = memory_new(sizeof(*move));

    list_init(&move->link);
    move->from = from;
    table_add_number(&w->moves, &move->entry, message);
    if (!write_copy(w, move, m, body))
        drop_move(w, move);
}

static void write_message(struct rewriter *w, struct store_ref where, const struct record *r)
{
    struct record_message m;

    if (!record_get_message(r->meta, w->rcpts, &m))
        return;
    if (m.about != 0)
        write_settled(w, &m, where.place);
    if (rewriter_find(w, r->id).place == where.place && rewriter_move(w, r->id) == NULL)
        begin_move(w, r->id, where, &m, r->body);
}

/* ---- records ---- */

void rewriter_write(struct rewriter *w, uint64_t place, uint32_t bytes, const struct record *r)
{
    struct store_outcome o;
    struct store_change change;

    if (r->type == RECORD_OUTCOME && record_get_outcome(r, w->rcpts, &o))
        write_outcome(w, &o, place);
    else if (r->type == RECORD_CHANGE && record_get_change(r, &change))
        write_change(w, &change, place);
    else if (r->type == RECORD_MESSAGE || r->type == RECORD_COPY)
        write_message(w, (struct store_ref){ place, bytes }, r);
}

/* ---- what the journal tells ---- */

void rewriter_written(struct rewriter *w, struct batch *b)
{
    struct list *l;

    while ((l = list_take_first(&b->moves)) != NULL) {
        struct move *m = container_of(l, struct move, link);

        w->moved(w, m);
        drop_move(w, m);
    }
}

void rewriter_again(struct rewriter *w, const struct record *r)
{
    struct move *move = rewriter_move(w, r->id);
    struct record_message m;
    bool placed;

    assert(move != NULL);
    list_remove(&move->link);
    if (move->finished) {
        drop_move(w, move);
        return;
    }
    placed = record_get_message(r->meta, w->rcpts, &m) && write_copy(w, move, &m, r->body);
    assert(placed); /* as it was before */
}

/* ---- life ---- */

void rewriter_init(struct rewriter *w, struct ledger *ledger, struct journal *journal,
                   struct journal *old, struct store_watcher *watcher)
{
    *w = (struct rewriter){ .ledger = ledger, .journal = journal, .old = old, .watcher = watcher };
    table_init(&w->moves, false);
}

void rewriter_release(struct rewriter *w)
{
    struct table_entry *e = table_next(&w->moves, NULL);

    while (e != NULL) {
        struct table_entry *next = table_next(&w->moves, e);

        drop_move(w, container_of(e, struct move, entry));
        e = next;
    }
    table_release(&w->moves);
}
