#include "queue/store.h"

#include "common/crc32c.h"
#include "common/memory.h"
#include "common/table.h"
#include "io/clock.h"
#include "io/log.h"
#include "queue/bodies.h"
#include "queue/clockfile.h"
#include "queue/compactor.h"
#include "queue/journal.h"
#include "queue/reader.h"
#include "queue/recover.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SEGMENT_LEAST = 1 << 20,
    SEGMENT_MOST = 64 << 20,
    RECORD_SLACK = 512 << 10, /* of a segment, for what a message has beside its body */
    OUTCOME_TEXT_ROOM = 8192, /* the text of an outcome; mail/outcome.h keeps to far less */
    SPACE_POLL_MS = 5000,
    TROUBLE_POLL_MS = 1000,
    FAILURE_WINDOW_MS = 60000, /* a second failure in that time suspends */
    CALM_MS = 10000,           /* a success so long after the last failure ends that */
};

/* How far opening came, and so what is to be closed. */
enum stage { STAGE_NOTHING, STAGE_SPOOL, STAGE_SHELF, STAGE_BODIES, STAGE_JOURNAL, STAGE_ALL };

struct store {
    enum stage stage;
    struct loop *loop;
    struct store_options options;
    struct spool spool;
    struct shelf shelf;
    struct bodies bodies;
    struct clockfile clock;
    struct ledger ledger;
    struct journal journal;
    struct journal_owner owner;
    struct compactor compactor;
    struct store_watcher *watcher;
    struct timer poll; /* of the space */
    struct timer refusing;
    struct list refused[SPOOL_TROUBLES];
    bool low;   /* less than the reserve is free */
    bool stuck; /* no room for a segment */
    bool suspended;
    bool failed_before;
    uint64_t failed_ms; /* monotonic, when a write failed last */
    int write_error;    /* errno of that, or 0 */
    uint64_t free_bytes;
    enum spool_trouble told;
    uint64_t told_room;
    bool told_once;
    uint64_t live_messages, live_bytes, failures;
    struct table moved;    /* records that were written again elsewhere, by their first place */
    struct table moved_to; /* the same by their last */
    struct reader reader;
    struct recovery recovery;
    bool recovering; /* not everything has been told yet */
    uint64_t damaged_at_start;
    char line[RECORD_LINE_MAX];
};

/* By its first place, which is what others know, and by the one where it is now: what fails again
 * and again moves again and again. */
struct moved {
    struct table_entry entry, now;
    struct store_ref where;
};

/* ---- trouble, and who is told of it ---- */

/* What is left is for outcomes, when that is false. */
static bool has_room_for_mail(const struct store *s)
{
    return !s->stuck && !shelf_is_low(&s->shelf);
}

static enum spool_trouble trouble_of(const struct store *s)
{
    if (s->suspended)
        return SPOOL_SUSPENDED;
    return s->low || !has_room_for_mail(s) ? SPOOL_FULL : SPOOL_FINE;
}

static uint64_t room_of(const struct store *s)
{
    return s->free_bytes > s->options.reserve_bytes ? s->free_bytes - s->options.reserve_bytes : 0;
}

/* Small changes of much room are no news. */
static bool differs(uint64_t room, uint64_t told)
{
    return room / 2 > told || told / 2 > room || (room == 0) != (told == 0);
}

static void tell_state(struct store *s)
{
    enum spool_trouble trouble = trouble_of(s);
    uint64_t room = room_of(s);

    if (s->told_once && trouble == s->told && !differs(room, s->told_room))
        return;
    s->told = trouble;
    s->told_room = room;
    s->told_once = true;
    s->watcher->state(s->watcher, trouble, room);
}

/* It takes a segment more to be well again than to fall ill, so that it does not flicker. */
static void look_at_space(struct store *s)
{
    uint64_t wanted = s->options.reserve_bytes + (s->low ? s->options.segment_bytes : 0);
    int err = spool_space(&s->spool, &s->free_bytes);

    if (err < 0)
        log_error("spool_space_unknown", LOG_ERRNO("error", -err));
    else
        s->low = s->free_bytes < wanted;
}

/* Without mail, nothing else would show that writing works again. */
static void probe(struct store *s)
{
    struct journal_entry e = { .type = RECORD_PADDING };

    if (journal_idle(&s->journal) && journal_append(&s->journal, &e))
        journal_flush(&s->journal);
}

static void on_poll(struct timer *t)
{
    struct store *s = container_of(t, struct store, poll);

    look_at_space(s);
    if (s->stuck || (s->suspended && s->loop->now_ms >= s->failed_ms + CALM_MS))
        probe(s);
    s->compactor.paused = s->stuck || s->suspended || s->recovering;
    shelf_tend(&s->shelf);
    tell_state(s);
    loop_start_timer(s->loop, &s->poll,
                     trouble_of(s) == SPOOL_FINE ? SPACE_POLL_MS : TROUBLE_POLL_MS);
}

static void poll_now(struct store *s)
{
    loop_start_timer(s->loop, &s->poll, 0);
}

/* ---- what the journal tells ---- */

static void on_gone(void *arg, uint64_t number, int error);

static void recycle(struct store *s)
{
    struct segment *segment;

    if (!s->ledger.changed || s->recovering) /* what is needed is not known yet */
        return;
    while ((segment = ledger_needless(&s->ledger, s->journal.durable)) != NULL) {
        segment->leaving = true;
        reader_close(&s->reader, segment);
        shelf_recycle(&s->shelf, segment->number, on_gone, s);
    }
    /* What waits for a batch is looked at again with the next one. */
    s->ledger.changed = s->journal.durable + 1 < s->journal.next_batch;
}

static void on_gone(void *arg, uint64_t number, int error)
{
    struct store *s = arg;
    struct segment *segment = ledger_find(&s->ledger, number);

    if (error < 0)
        return;
    ledger_remove(&s->ledger, segment);
    recycle(s); /* others may have waited for it */
}

static void note_success(struct store *s)
{
    if (s->suspended && s->loop->now_ms >= s->failed_ms + CALM_MS)
        s->suspended = false;
    s->stuck = false;
}

static void forget_superseded(struct store_commit *c)
{
    free(c->superseded);
    c->superseded = NULL;
}

static void on_batch_written(struct journal_owner *o, struct batch *b)
{
    struct store *s = container_of(o, struct store, owner);
    struct list *l;

    if (s->suspended || s->stuck) {
        note_success(s);
        poll_now(s);
    }
    if (b->opens)
        poll_now(s);
    for (size_t i = 0; i < b->removal_count; i++)
        bodies_remove(&s->bodies, b->removals[i]);
    while ((l = list_take_first(&b->commits)) != NULL) {
        struct store_commit *c = container_of(l, struct store_commit, link);

        ledger_come(b->segment, c->where.bytes);
        s->live_messages++;
        s->live_bytes += c->where.bytes;
        forget_superseded(c);
        c->done(c, SPOOL_FINE);
    }
    rewriter_written(&s->compactor.rewriter, b);
    compactor_written(&s->compactor);
    recycle(s);
}

static enum spool_trouble on_batch_failed(struct journal_owner *o, const struct batch *b,
                                          bool *wait)
{
    struct store *s = container_of(o, struct store, owner);
    int error = b->error;
    bool full = error == -ENOSPC || error == -EDQUOT;
    /* The process lacks something; that is no fault of the disk. */
    bool poor = error == -EMFILE || error == -ENFILE || error == -ENOMEM;
    char name[SHELF_NAME];

    segment_name(container_of(s->journal.failed.next, struct batch, link)->segment_number, name);
    log_error("spool_write_failed", LOG_STRING("file", name), LOG_ERRNO("error", -error));
    poll_now(s);
    if (full || poor) {
        /* What is no mail goes at once to a segment that was held back for it. */
        s->stuck = *wait = !(full && batch_has_mail(b) && shelf_is_low(&s->shelf));
        return SPOOL_FULL;
    }
    s->failures++;
    s->write_error = -error;
    if (s->failed_before && s->loop->now_ms < s->failed_ms + FAILURE_WINDOW_MS)
        s->suspended = true;
    s->failed_before = true;
    s->failed_ms = s->loop->now_ms;
    *wait = s->suspended;
    return SPOOL_BROKEN;
}

/* ---- messages ---- */

static void on_refusing(struct timer *timer)
{
    struct store *s = container_of(timer, struct store, refusing);
    struct list *l;

    for (unsigned t = 0; t < SPOOL_TROUBLES; t++) {
        while ((l = list_take_first(&s->refused[t])) != NULL) {
            struct store_commit *c = container_of(l, struct store_commit, link);

            c->done(c, (enum spool_trouble)t);
        }
    }
}

/* Never at once: the caller is not ready for `done` inside store_accept. */
static void refuse(struct store *s, struct store_commit *c, enum spool_trouble trouble)
{
    list_append(&s->refused[trouble], &c->link);
    loop_start_timer(s->loop, &s->refusing, 0);
}

static bool refuses(struct store *s, struct store_commit *c)
{
    if (!s->suspended && has_room_for_mail(s))
        return false;
    if (trouble_of(s) != s->told)
        poll_now(s); /* whoever sends should know it before */
    refuse(s, c, trouble_of(s));
    return true;
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
                    s->journal.filling->number);
    }
}

/* Nothing was settled: the states before are the newest again, and their segments must stay. */
static void on_refused(struct journal_owner *o, struct store_commit *c)
{
    struct store *s = container_of(o, struct store, owner);
    uint64_t batch = s->journal.next_batch - 1;

    for (size_t i = 0; i < topics_of(c); i++) {
        uint64_t before = c->superseded[i];

        if (ledger_holder(&s->ledger, c->about, topic_of(c, i)) !=
            record_segment(c->where.place & ~PLACE_BIG))
            continue; /* of a message that has ended */
        if (before != 0 && ledger_find(&s->ledger, before) != NULL)
            ledger_note(&s->ledger, c->about, topic_of(c, i), before, batch);
        else
            ledger_forget(&s->ledger, c->about, topic_of(c, i), batch);
    }
    forget_superseded(c);
}

static void place_message(struct store *s, struct store_commit *c)
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
        refuse(s, c, SPOOL_INVALID);
        return;
    }
    e.line = buf_view(&line);
    if (!journal_append(&s->journal, &e)) {
        refuse(s, c, SPOOL_INVALID);
        return;
    }
    c->id = e.id;
    c->where = e.where;
    if (m.big)
        c->where.place |= PLACE_BIG;
    list_append(&s->journal.filling->commits, &c->link);
    note_settled(s, c);
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
        if (!refuses(s, c))
            place_message(s, c);
        return;
    }
    log_error("body_not_synced", LOG_ID("body", c->big_file), LOG_ERRNO("error", -error));
    if (error == -EBADMSG)
        refuse(s, c, SPOOL_INVALID);
    else
        refuse(s, c, error == -ENOSPC || error == -EDQUOT ? SPOOL_FULL : SPOOL_BROKEN);
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
    if (refuses(s, c))
        return;
    if (!body_fits(c)) {
        refuse(s, c, SPOOL_INVALID);
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
    if (o->text.len <= OUTCOME_TEXT_ROOM)
        e.text = o->text;
    placed = record_put_outcome(&line, o);
    e.line = buf_view(&line);
    placed = placed && journal_append(&s->journal, &e);
    assert(placed); /* the line has room for every recipient */
    for (size_t i = 0; i < o->rcpt_count; i++)
        ledger_note(&s->ledger, o->message, o->rcpts[i], s->journal.current->number,
                    s->journal.filling->number);
    if (where != NULL)
        *where = e.where;
}

void store_change(struct store *s, const struct store_change *c)
{
    struct buf line = BUF_ON_ARRAY(s->line);
    struct journal_entry e = { .type = RECORD_CHANGE, .id = c->message };
    bool placed;

    assert(!s->options.read_only);
    if (c->who.len <= OUTCOME_TEXT_ROOM)
        e.text = c->who;
    placed = record_put_change(&line, c);
    e.line = buf_view(&line);
    placed = placed && journal_append(&s->journal, &e);
    assert(placed);
    ledger_note(&s->ledger, c->message, c->kind == STORE_NOTICED ? LEDGER_NOTICE : LEDGER_CHANGE,
                s->journal.current->number, s->journal.filling->number);
}

static void append_finish(struct store *s, uint64_t id, uint64_t place)
{
    struct buf line = BUF_ON_ARRAY(s->line);
    struct journal_entry e = { .type = RECORD_FINISH, .id = id };
    bool placed = record_put_finish(&line, id, place);

    e.line = buf_view(&line);
    placed = placed && journal_append(&s->journal, &e);
    assert(placed);
    ledger_tie(&s->ledger, s->journal.current->number, record_segment(place), false);
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

static void remember_move(struct store *s, uint64_t from, struct store_ref to)
{
    struct table_entry *before = table_find_number(&s->moved_to, from);
    struct moved *m;

    if (before != NULL) {
        m = container_of(before, struct moved, now);
        table_remove(&s->moved_to, before);
    } else {
        m = memory_new(sizeof(*m));
        table_add_number(&s->moved, &m->entry, from);
    }
    m->where = to;
    table_add_number(&s->moved_to, &m->now, to.place);
}

static void settle_again(struct store *s, const struct record *r, uint64_t place)
{
    struct store_outcome o;
    struct store_ref where;

    if (!record_get_outcome(r, s->reader.rcpts, &o))
        return;
    store_settle(s, &o, &where);
    remember_move(s, place, where);
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

static void on_again(struct journal_owner *o, const struct record *r, uint64_t place)
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

static void on_moved(struct rewriter *w, struct move *m)
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

static void on_emptied(struct compactor *c)
{
    recycle(container_of(c, struct store, compactor));
}

/* ---- large bodies ---- */

int store_create_body(struct store *s, uint64_t *big_file)
{
    assert(!s->options.read_only);
    return s->low || !has_room_for_mail(s) ? -ENOSPC : bodies_create(&s->bodies, big_file);
}

void store_remove_body(struct store *s, uint64_t big_file)
{
    bodies_remove(&s->bodies, big_file);
}

/* ---- reading ---- */

int store_read(struct store *s, uint64_t id, struct store_ref where, bool with_body,
               struct store_message *out)
{
    uint64_t place = where.place & ~PLACE_BIG;
    struct reading r;
    int err = reader_message(&s->reader, id, place, where.bytes, with_body, &r);

    if (err < 0)
        return err;
    *out = (struct store_message){ .envelope = r.message.envelope,
                                   .big_fd = -1,
                                   .body_bytes = r.message.body_bytes,
                                   .body_crc = r.message.body_crc,
                                   .memory = r.memory };
    if (!with_body)
        return 0;
    if (!r.message.big) {
        out->body = r.record.body;
        return 0;
    }
    out->big_fd = bodies_read(&s->spool, r.message.file, r.message.body_bytes);
    if (out->big_fd >= 0)
        return 0;
    err = out->big_fd;
    if (err == -EBADMSG)
        err = reader_report(&s->reader, id, place, view_make(r.memory, where.bytes));
    free(r.memory);
    return err;
}

void store_message_release(struct store_message *m)
{
    if (m->big_fd >= 0)
        close(m->big_fd);
    free(m->memory);
    *m = (struct store_message){ .big_fd = -1 };
}

static struct store_ref follow_moves(const struct store *s, struct store_ref where)
{
    struct table_entry *e = table_find_number(&s->moved, where.place);

    return e == NULL ? where : container_of(e, struct moved, entry)->where;
}

int store_read_outcome(struct store *s, struct store_ref where, struct arena *arena,
                       struct store_outcome *out)
{
    struct view fresh = VIEW_EMPTY;
    uint32_t seed;

    where = follow_moves(s, where);
    /* What was recorded just now is not on the disk yet, or not for hours, when that is full. */
    if (!s->options.read_only)
        fresh = journal_peek(&s->journal, where.place, &seed);
    if (fresh.len > 0)
        return reader_take_outcome(&s->reader, fresh, seed, arena, out);
    return reader_outcome(&s->reader, where, arena, out);
}

/* ---- life ---- */

static int check_options(const struct store_options *o, struct error *err)
{
    if (o->read_only)
        return 0;
    if (o->segment_bytes < SEGMENT_LEAST || o->segment_bytes > SEGMENT_MOST ||
        o->segment_bytes % BATCH_BLOCK != 0)
        return error_set(err, -EINVAL, "a segment of the spool must have 1 MiB to 64 MiB");
    if (o->big_body_bytes + RECORD_SLACK > MIN(o->segment_bytes, (uint64_t)BATCH_BYTES))
        return error_set(
            err, -EINVAL,
            "large bodies of the spool must begin at %llu bytes or less, with "
            "segments of that size",
            (unsigned long long)(MIN(o->segment_bytes, (uint64_t)BATCH_BYTES) - RECORD_SLACK));
    return 0;
}

/* The first write shows whether the spool can be written at all. */
static int try_journal(struct store *s, struct error *err)
{
    probe(s);
    journal_finish(&s->journal);
    if (s->failures == 0 && !s->stuck)
        return 0;
    return error_set(err, -EIO, "cannot write to the log of the spool");
}

static int open_parts(struct store *s)
{
    int err = shelf_open(&s->shelf, &s->spool, s->options.segment_bytes, s->options.fresh, s->loop);

    if (err < 0)
        return err;
    s->stage = STAGE_SHELF;
    clockfile_init(&s->clock, s->spool.root, &s->shelf.keeper);
    err = bodies_open(&s->bodies, &s->spool, s->loop);
    if (err < 0)
        return err;
    s->stage = STAGE_BODIES;
    err = journal_open(&s->journal, &s->owner, s->loop, &s->shelf, &s->ledger,
                       view_make(s->spool.uuid, SPOOL_UUID_LEN));
    if (err < 0)
        return err;
    s->stage = STAGE_JOURNAL;
    err = compactor_open(&s->compactor, s->loop, &s->spool, &s->ledger, &s->journal, s->watcher);
    s->compactor.rewriter.moved = on_moved;
    s->compactor.emptied = on_emptied;
    s->compactor.rest_ms = s->options.rest_ms;
    s->compactor.paused = true; /* until everything has been told */
    if (err == 0)
        s->stage = STAGE_ALL;
    return err;
}

static int open_writing(struct store *s, struct error *err)
{
    struct recovery *r = &s->recovery;
    int result = spool_settle_format(&s->spool, err);

    if (result == 0) {
        /* What could not be read may name any of them, and a file may be there under a wrong name.
         */
        if (r->survey.unread == 0 && r->survey.bodiless == 0)
            bodies_sweep(&s->spool, &r->survey.bodies, r->survey.damaged > 0);
        result = open_parts(s);
        if (result < 0)
            error_set(err, result, "cannot open the spool: %s", strerror(-result));
    }
    if (result < 0) {
        if (r->fd >= 0)
            close(r->fd);
        return result;
    }
    s->journal.highest = r->survey.highest;
    s->journal.next_batch = r->next_batch;
    journal_resume(&s->journal, r->current, r->fd, r->tail);
    look_at_space(s);
    poll_now(s);
    return r->current == NULL ? try_journal(s, err) : 0;
}

static int open_spool(struct store *s, struct store_replay *replay, struct error *err)
{
    int result = spool_open(&s->spool, s->options.path, s->options.read_only, err);

    if (result < 0)
        return result;
    s->stage = STAGE_SPOOL;
    s->recovering = true;
    result = recover_begin(&s->recovery, &s->spool, &s->ledger, replay, err);
    s->reader.damaged = s->damaged_at_start = s->recovery.survey.damaged;
    if (result == 0 && !s->options.read_only)
        result = open_writing(s, err);
    return result;
}

static void end_recovery(struct store *s)
{
    s->live_messages += s->recovery.live_messages;
    s->live_bytes += s->recovery.live_bytes;
    s->reader.damaged += s->recovery.survey.damaged - s->damaged_at_start;
    recover_end(&s->recovery);
    s->recovering = false;
}

bool store_replay(struct store *s, unsigned records)
{
    if (!s->recovering)
        return false;
    if (recover_tell(&s->recovery, records))
        return true;
    end_recovery(s);
    if (!s->options.read_only) {
        s->compactor.paused = false;
        s->ledger.changed = true;
        recycle(s);
    }
    return false;
}

static void forget_moves(struct store *s)
{
    struct table_entry *e = table_next(&s->moved, NULL);

    while (e != NULL) {
        struct table_entry *next = table_next(&s->moved, e);

        table_remove(&s->moved, e);
        free(container_of(e, struct moved, entry));
        e = next;
    }
    table_release(&s->moved);
    table_release(&s->moved_to);
}

/* Ends with a record of a batch of its own, so that whatever is broken before it at the next start
 * is known to be damage and not a torn end. */
static void finish_writing(struct store *s)
{
    compactor_stop(&s->compactor);
    workers_finish(&s->bodies.pool);
    journal_finish(&s->journal);
    if (s->journal.records > 0)
        probe(s);
}

static void close_all(struct store *s)
{
    if (s->stage >= STAGE_JOURNAL)
        journal_close(&s->journal);
    if (s->stage >= STAGE_ALL)
        compactor_close(&s->compactor);
    if (s->stage >= STAGE_BODIES)
        bodies_close(&s->bodies);
    if (s->stage >= STAGE_SHELF) {
        shelf_close(&s->shelf);
        clockfile_close(&s->clock);
    }
    loop_stop_timer(s->loop, &s->poll);
    loop_stop_timer(s->loop, &s->refusing);
    for (size_t i = 0; i < s->ledger.count; i++)
        reader_close(&s->reader, s->ledger.segments[i]);
    ledger_release(&s->ledger);
    forget_moves(s);
    if (s->recovering)
        end_recovery(s);
    if (s->stage >= STAGE_SPOOL)
        spool_close(&s->spool);
    free(s);
}

int store_open(struct store **out, const struct store_options *o, struct loop *l,
               struct store_replay *replay, struct store_watcher *watcher, struct error *err)
{
    struct store *s;
    int result = check_options(o, err);

    if (result < 0)
        return result;
    s = memory_new(sizeof(*s));
    s->options = *o;
    s->loop = l;
    s->watcher = watcher;
    s->poll.fire = on_poll;
    s->refusing.fire = on_refusing;
    s->owner = (struct journal_owner){ on_batch_written, on_batch_failed, on_again, on_refused };
    for (size_t i = 0; i < SPOOL_TROUBLES; i++)
        list_init(&s->refused[i]);
    table_init(&s->moved, false);
    table_init(&s->moved_to, false);
    s->reader.spool = &s->spool;
    s->reader.ledger = &s->ledger;
    result = open_spool(s, replay, err);
    if (result < 0)
        close_all(s);
    else
        *out = s;
    return result;
}

int store_start(struct store *s, struct error *err)
{
    int result = journal_start(&s->journal);

    if (result == 0)
        result = shelf_start(&s->shelf);
    if (result == 0)
        result = bodies_start(&s->bodies);
    if (result == 0 && s->watcher->find != NULL)
        result = compactor_start(&s->compactor);
    if (result < 0)
        return error_set(err, result, "cannot start a thread: %s", strerror(-result));
    return 0;
}

bool store_idle(const struct store *s)
{
    for (size_t i = 0; i < SPOOL_TROUBLES; i++) {
        if (!list_empty(&s->refused[i]))
            return false;
    }
    return s->options.read_only || (journal_idle(&s->journal) && !workers_busy(&s->bodies.pool));
}

bool store_last_clock(const struct store *s, struct store_clock *out)
{
    return clockfile_read(s->spool.root, out);
}

void store_note_clock(struct store *s, const struct store_clock *c)
{
    assert(!s->options.read_only);
    clockfile_note(&s->clock, c);
}

void store_close(struct store **store)
{
    struct store *s = *store;

    if (s == NULL)
        return;
    if (!s->options.read_only)
        finish_writing(s);
    on_refusing(&s->refusing);
    close_all(s);
    *store = NULL;
}

/* ---- numbers ---- */

void store_count(const struct store *s, struct store_numbers *out)
{
    *out = (struct store_numbers){ .segments = s->ledger.count,
                                   .live_messages = s->live_messages,
                                   .live_bytes = s->live_bytes,
                                   .free_bytes = s->free_bytes,
                                   .batches = s->journal.batches,
                                   .records = s->journal.records,
                                   .syncs_failed = s->failures,
                                   .damaged = s->reader.damaged,
                                   .segments_emptied = s->compactor.emptied_count,
                                   .moved_bytes = s->compactor.rewriter.bytes,
                                   .write_error = s->write_error,
                                   .trouble = trouble_of(s) };
    for (size_t i = 0; i < s->ledger.count; i++)
        out->disk_bytes += s->ledger.segments[i]->bytes;
}
