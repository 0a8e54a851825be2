#include "queue/store_parts.h"

#include "common/crc32c.h"
#include "common/memory.h"
#include "io/log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* ---- messages ---- */

void store_forget_superseded(struct store_commit *c)
{
    free(c->superseded);
    c->superseded = NULL;
}

/* What a notice settles, by number. */
static unsigned topic_of(const struct store_commit *c, size_t i)
{
    return c->settle_count == 0 ? (unsigned)LEDGER_NOTICE : c->settles[i];
}

static size_t topics_of(const struct store_commit *c)
{
    return c->about == 0 ? 0 : MAX(c->settle_count, 1);
}

/* At once, so that nobody copies an older state behind it; it is taken back if the batch fails. */
static void note_settled(struct store *s, struct store_commit *c)
{
    size_t count = topics_of(c);

    c->superseded = count == 0 ? NULL : memory_new_array(count, sizeof(*c->superseded));
    for (size_t i = 0; i < count; i++) {
        c->superseded[i] = ledger_holder(&s->ledger, c->about, topic_of(c, i));
        ledger_note(&s->ledger, c->about, topic_of(c, i), s->journal.current->number,
                    s->journal.filling->number, ledger_part(LEDGER_PLAIN_BYTES, count));
    }
}

/* Nothing was settled: the states before are the newest again, and their segments must stay. */
void store_on_refused(struct journal_owner *o, struct store_commit *c)
{
    struct store *s = container_of(o, struct store, owner);
    uint64_t batch = s->journal.newest;

    for (size_t i = 0; i < topics_of(c); i++) {
        uint64_t before = c->superseded[i];

        if (ledger_holder(&s->ledger, c->about, topic_of(c, i)) !=
            record_segment(c->where.place & ~PLACE_BIG))
            continue; /* of a message that has ended */
        if (before != 0 && ledger_find(&s->ledger, before) != NULL)
            ledger_note(&s->ledger, c->about, topic_of(c, i), before, batch, LEDGER_PLAIN_BYTES);
        else
            ledger_forget(&s->ledger, c->about, topic_of(c, i), batch);
    }
    store_forget_superseded(c);
}

static void place_now(struct store *s, struct store_commit *c)
{
    const struct record_message m = { .body_bytes = c->body_bytes,
                                      .body_crc = c->body_crc,
                                      .big = c->big_fd >= 0,
                                      .file = c->big_file,
                                      .about = c->about,
                                      .settles = c->settles,
                                      .settle_count = c->settle_count };
    struct buf line = BUF_ON_ARRAY(s->line);
    struct journal_entry e = { .type = RECORD_MESSAGE, .text = c->envelope, .body = c->body };

    if (!record_put_message(&line, &m)) {
        store_refuse(s, c, SPOOL_INVALID);
        return;
    }
    e.line = buf_view(&line);
    if (!journal_append(&s->journal, &e)) {
        store_refuse(s, c, SPOOL_INVALID);
        return;
    }
    c->id = e.id;
    c->where = e.where;
    if (m.big)
        c->where.place |= PLACE_BIG;
    list_append(&s->journal.filling->commits, &c->link);
    note_settled(s, c);
}

static void add_late(struct store *s, struct store_commit *c)
{
    list_append(&s->late, &c->link);
    s->late_count++;
}

static struct store_commit *take_late(struct store *s)
{
    struct list *l = list_take_first(&s->late);

    assert(l != NULL);
    s->late_count--;
    return container_of(l, struct store_commit, link);
}

/* What it tells of may have ended meanwhile, and then has no states. */
static void forget_ended(struct store *s, struct store_commit *c)
{
    if (c->about == 0 || s->watcher->find(s->watcher, c->about).place != 0)
        return;
    c->about = 0;
    c->settle_count = 0;
}

/* While the log is too large, mail waits for compaction, in its order. */
static void place_message(struct store *s, struct store_commit *c)
{
    if (!list_empty(&s->late) || compactor_holds_mail(&s->compactor))
        add_late(s, c);
    else
        place_now(s, c);
}

void store_place_late(struct store *s)
{
    if (list_empty(&s->late))
        return;
    while (!list_empty(&s->late) && !compactor_holds_mail(&s->compactor)) {
        struct store_commit *c = take_late(s);

        forget_ended(s, c);
        if (!store_refuses(s, c))
            place_now(s, c);
    }
    journal_flush(&s->journal);
}

struct big_commit {
    struct store *store;
    struct store_commit *commit;
};

static void on_body_synced(void *arg, int error)
{
    struct big_commit *big = arg;
    struct store *s = big->store;
    struct store_commit *c = big->commit;

    free(big);
    if (error == 0) {
        if (!store_refuses(s, c))
            place_message(s, c);
        return;
    }
    log_error("body_not_synced", LOG_ID("body", c->big_file), LOG_ERRNO("error", -error));
    store_refuse(s, c, error == -EBADMSG ? SPOOL_INVALID : store_note_failure(s, error));
}

static bool body_fits(const struct store_commit *c)
{
    if (c->big_fd >= 0)
        return c->body.len == 0;
    return c->body.len == c->body_bytes && crc32c(0, c->body) == c->body_crc;
}

void store_accept(struct store *s, struct store_commit *c)
{
    struct big_commit *big;

    assert(!s->options.read_only);
    c->id = 0;
    c->where = (struct store_ref){ 0 };
    if (store_refuses(s, c))
        return;
    if (!body_fits(c)) {
        store_refuse(s, c, SPOOL_INVALID);
        return;
    }
    if (c->big_fd < 0) {
        place_message(s, c);
        return;
    }
    big = memory_new(sizeof(*big));
    *big = (struct big_commit){ s, c };
    bodies_sync(&s->bodies, c->big_fd, c->big_file, c->body_bytes, on_body_synced, big);
}

/* ---- what happens to them ---- */

void store_settle(struct store *s, const struct store_outcome *o, struct store_ref *where)
{
    struct buf line = BUF_ON_ARRAY(s->line);
    struct journal_entry e = { .type = RECORD_OUTCOME, .id = o->message };
    bool placed;

    assert(!s->options.read_only);
    if (o->text.len <= STORE_TEXT_MAX)
        e.text = o->text;
    placed = record_put_outcome(&line, o);
    e.line = buf_view(&line);
    placed = placed && journal_append(&s->journal, &e);
    assert(placed); /* the line has room for every recipient */
    for (size_t i = 0; i < o->rcpt_count; i++)
        ledger_note(&s->ledger, o->message, o->rcpts[i], s->journal.current->number,
                    s->journal.filling->number, ledger_part(e.where.bytes, o->rcpt_count));
    if (where != NULL)
        *where = e.where;
}

void store_change(struct store *s, const struct store_change *c)
{
    struct buf line = BUF_ON_ARRAY(s->line);
    struct journal_entry e = { .type = RECORD_CHANGE, .id = c->message };
    bool placed;

    assert(!s->options.read_only);
    if (c->who.len <= STORE_TEXT_MAX)
        e.text = c->who;
    placed = record_put_change(&line, c);
    e.line = buf_view(&line);
    placed = placed && journal_append(&s->journal, &e);
    assert(placed);
    ledger_note(&s->ledger, c->message, c->kind == STORE_NOTICED ? LEDGER_NOTICE : LEDGER_CHANGE,
                s->journal.current->number, s->journal.filling->number, LEDGER_PLAIN_BYTES);
}

static void append_finish(struct store *s, uint64_t id, uint64_t place)
{
    struct buf line = BUF_ON_ARRAY(s->line);
    struct journal_entry e = { .type = RECORD_FINISH, .id = id };
    bool placed = record_put_finish(&line, id, place);

    e.line = buf_view(&line);
    placed = placed && journal_append(&s->journal, &e);
    assert(placed);
    ledger_tie_end(&s->ledger, s->journal.current->number, record_segment(place));
}

static void remove_body_later(struct store *s, uint64_t id, struct store_ref where)
{
    struct reading r;

    if (reader_message(&s->reader, id, where.place & ~PLACE_BIG, where.bytes, false, &r) < 0)
        return; /* a file without a message is swept away at the next start */
    journal_remove_later(&s->journal, r.message.file);
    free(r.memory);
}

void store_finish(struct store *s, uint64_t id, struct store_ref where)
{
    uint64_t home = record_segment(where.place & ~PLACE_BIG);
    struct move *move = rewriter_move(&s->compactor.rewriter, id);

    assert(!s->options.read_only);
    append_finish(s, id, where.place & ~PLACE_BIG);
    if (move != NULL) { /* the copy that is on its way ends, too, and may come without the other */
        move->finished = true;
        append_finish(s, id, move->to.place);
    }
    if (where.place & PLACE_BIG)
        remove_body_later(s, id, where);
    ledger_finish(&s->ledger, id, home, where.bytes, s->journal.current->number,
                  s->journal.filling->number);
    s->live_messages--;
    s->live_bytes -= where.bytes;
}

void store_flush(struct store *s)
{
    journal_flush(&s->journal);
}

/* ---- after a failure ---- */

static void settle_again(struct store *s, const struct record *r, uint64_t place)
{
    struct store_outcome o;
    struct store_ref where;

    if (!record_get_outcome(r, s->reader.rcpts, &o))
        return;
    store_settle(s, &o, &where);
    if (s->watcher->outcome_moved != NULL)
        s->watcher->outcome_moved(s->watcher, o.message, place, where);
}

/* The copy of a message that is on its way may lie elsewhere by now. */
static void finish_again(struct store *s, const struct record *r)
{
    const struct move *move = rewriter_move(&s->compactor.rewriter, r->id);
    uint64_t place = record_get_finish(r);

    if (move != NULL && place != move->from.place)
        place = move->to.place;
    append_finish(s, r->id, place);
    ledger_finish_again(&s->ledger, r->id, record_segment(place), s->journal.current->number,
                        s->journal.filling->number);
}

void store_on_again(struct journal_owner *o, const struct record *r, uint64_t place)
{
    struct store *s = container_of(o, struct store, owner);
    struct store_change c;

    if (r->type == RECORD_OUTCOME)
        settle_again(s, r, place);
    else if (r->type == RECORD_CHANGE && record_get_change(r, &c))
        store_change(s, &c);
    else if (r->type == RECORD_FINISH) {
        finish_again(s, r);
    } else if (r->type == RECORD_COPY) {
        rewriter_again(&s->compactor.rewriter, r);
    }
}

/* ---- what compaction moves ---- */

void store_on_moved(struct rewriter *w, struct move *m)
{
    struct store *s = container_of(w, struct store, compactor.rewriter);
    struct segment *to = ledger_find(&s->ledger, record_segment(m->to.place));

    if (m->finished)
        return;
    ledger_leave(&s->ledger, record_segment(m->from.place), m->from.bytes, s->journal.durable);
    ledger_come(to, m->to.bytes);
    s->live_bytes = s->live_bytes - m->from.bytes + m->to.bytes;
    s->watcher->moved(s->watcher, m->entry.number,
                      (struct store_ref){ m->to.place | m->flags, m->to.bytes });
}
