#include "queue/store.h"

#include "common/memory.h"
#include "io/log.h"
#include "ipc/settings.h"
#include "queue/store_parts.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SEGMENT_LEAST = 1 << 20,
    SEGMENT_MOST = 64 << 20,
    RECORD_SLACK = 512 << 10, /* of a segment, for what a message has beside its body */
    LATE_MOST = 4096,         /* messages: store_is_behind */
};

/* ---- what the journal tells ---- */

static void on_gone(void *arg, uint64_t number, int error);

/* Nothing is written again to a file to which a write failed. */
static void let_go(struct store *s, const struct segment *segment)
{
    shelf_recycle(&s->shelf, segment->number, segment->end == segment->bytes, on_gone, s);
}

bool store_keeps_all(const struct store *s)
{
    return s->recovering;
}

static void recycle(struct store *s)
{
    struct segment *segment;

    if (!s->ledger.changed || store_keeps_all(s))
        return;
    while ((segment = ledger_needless(&s->ledger, s->journal.durable)) != NULL) {
        segment->leaving = true;
        segment->failures = 0;
        segment->again_ms = 0;
        reader_close(&s->reader, segment);
        let_go(s, segment);
    }
    /* What waits for a batch is looked at again with the next one. */
    s->ledger.changed = s->journal.durable < s->journal.newest;
    compactor_measure(&s->compactor);
}

/* Those that could not be removed. */
static void on_removing(struct timer *t)
{
    struct store *s = container_of(t, struct store, removing);
    uint64_t next_ms = UINT64_MAX;

    for (size_t i = 0; i < s->ledger.count; i++) {
        struct segment *segment = s->ledger.segments[i];

        if (!segment->leaving || segment->again_ms == 0)
            continue;
        if (segment->again_ms > s->loop->now_ms) {
            next_ms = MIN(next_ms, segment->again_ms);
            continue;
        }
        segment->again_ms = 0;
        let_go(s, segment);
    }
    if (next_ms != UINT64_MAX)
        loop_start_timer(s->loop, t, next_ms - s->loop->now_ms);
}

static void on_gone(void *arg, uint64_t number, int error)
{
    struct store *s = arg;
    struct segment *segment = ledger_find(&s->ledger, number);

    if (error < 0) {
        ledger_put_off(segment, s->loop->now_ms);
        loop_start_timer(s->loop, &s->removing, 0);
        compactor_measure(&s->compactor);
        store_place_late(s);
        return;
    }
    ledger_remove(&s->ledger, segment);
    recycle(s); /* others may have waited for it */
    store_place_late(s);
}

static void on_batch_written(struct journal_owner *o, struct batch *b)
{
    struct store *s = container_of(o, struct store, owner);
    struct list *l;

    store_note_success(s, b->journal);
    if (b->opens)
        store_poll_now(s);
    for (size_t i = 0; i < b->removal_count; i++)
        bodies_remove(&s->bodies, b->removals[i]);
    while ((l = list_take_first(&b->commits)) != NULL) {
        struct store_commit *c = container_of(l, struct store_commit, link);

        ledger_come(b->segment, c->where.bytes);
        s->live_messages++;
        s->live_bytes += c->where.bytes;
        store_forget_superseded(c);
        c->done(c, SPOOL_FINE);
    }
    rewriter_written(&s->compactor.rewriter, b);
    compactor_look(&s->compactor);
    recycle(s);
    store_place_late(s);
}

static void on_progress(struct compactor *c)
{
    struct store *s = container_of(c, struct store, compactor);

    recycle(s);
    store_place_late(s);
}

static void on_damaged(struct compactor *c, const struct fragment *f, struct view bytes)
{
    struct store *s = container_of(c, struct store, compactor);
    uint64_t place = record_place(c->source, f->offset);

    reader_report(&s->reader, f->id, place, bytes);
    if (rewriter_find(&c->rewriter, f->id).place == place && s->watcher->damaged != NULL)
        s->watcher->damaged(s->watcher, f->id);
}

/* ---- large bodies ---- */

int store_create_body(struct store *s, uint64_t *big_file)
{
    int fd = -ENOSPC;

    assert(!s->options.read_only);
    if (!s->low && store_has_room_for_mail(s))
        fd = bodies_create(&s->bodies, big_file);
    if (fd >= 0 && s->recovering)
        recover_spare_body(&s->recovery, *big_file);
    return fd;
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

int store_read_outcome(struct store *s, struct store_ref where, struct arena *arena,
                       struct store_outcome *out)
{
    struct view fresh = VIEW_EMPTY;
    uint32_t seed;

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
    static_assert(SPOOL_BIG_BODY_MAX + RECORD_SLACK <= BATCH_BYTES &&
                      SEGMENT_LEAST / 2 + RECORD_SLACK <= SEGMENT_LEAST,
                  "what the settings allow must fit: half a segment, and no more than that");
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
    store_probe(s);
    journal_finish(&s->journal);
    if (s->failures == 0 && !s->stuck)
        return 0;
    return error_set(err, -EIO, "cannot write to the log of the spool");
}

static int open_journal(struct store *s, struct journal *j, enum stream stream)
{
    return journal_open(j, &s->owner, s->loop, &s->shelf, &s->ledger,
                        view_make(s->spool.uuid, SPOOL_UUID_LEN), stream, &s->numbers);
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
    err = open_journal(s, &s->journal, STREAM_FRESH);
    if (err < 0)
        return err;
    s->stage = STAGE_JOURNAL;
    err = open_journal(s, &s->old, STREAM_OLD);
    if (err < 0)
        return err;
    s->stage = STAGE_OLD;
    err = compactor_open(&s->compactor, s->loop, &s->spool, &s->ledger, &s->journal, &s->old,
                         s->watcher);
    s->compactor.rewriter.moved = store_on_moved;
    s->compactor.progress = on_progress;
    s->compactor.damaged = on_damaged;
    s->compactor.rest_ms = s->options.rest_ms;
    s->compactor.paused = true; /* until everything has been told */
    if (err == 0)
        s->stage = STAGE_ALL;
    return err;
}

/* After a crash the last batches lack the record behind them that tells damage from a torn end.
 * That of the old stream comes when compaction looks for work, or at the end. */
static void seal_last_run(struct store *s)
{
    const struct log_end *ends = s->recovery.ends;

    if (ends[STREAM_FRESH].current != NULL && !ends[STREAM_FRESH].sealed)
        store_probe(s);
    s->compactor.rewriter.unsealed = ends[STREAM_OLD].current != NULL && !ends[STREAM_OLD].sealed;
}

static int open_writing(struct store *s, struct error *err)
{
    struct recovery *r = &s->recovery;
    const struct log_end *fresh = &r->ends[STREAM_FRESH], *old = &r->ends[STREAM_OLD];
    int result = spool_settle_format(&s->spool, err);

    if (result == 0) {
        result = open_parts(s);
        if (result < 0)
            error_set(err, result, "cannot open the spool: %s", strerror(-result));
    }
    if (result < 0) {
        for (unsigned i = 0; i < STREAMS; i++) {
            if (r->ends[i].fd >= 0)
                close(r->ends[i].fd);
        }
        return result;
    }
    s->numbers.segment = survey_highest(&r->survey);
    s->numbers.batch = r->survey.last_batch;
    journal_resume(&s->journal, fresh->current, fresh->fd, fresh->tail, fresh->left);
    journal_resume(&s->old, old->current, old->fd, old->tail, old->left);
    seal_last_run(s);
    store_look_at_space(s);
    store_poll_now(s);
    return fresh->current == NULL ? try_journal(s, err) : 0;
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

/* Ends that speak of lost places are written again before anything goes. */
static void end_again(struct store *s)
{
    uint64_t id, place, batch = 0;
    uint32_t at = 0;

    while (recover_next_unended(&s->recovery, &at, &id, &place)) {
        rewriter_finish(&s->compactor.rewriter, id, place);
        batch = s->journal.newest;
    }
    for (size_t i = 0; i < s->ledger.count; i++)
        s->ledger.segments[i]->settled_by = MAX(s->ledger.segments[i]->settled_by, batch);
}

static void on_readable(struct relook *r)
{
    struct store *s = container_of(r, struct store, relook);

    if (s->watcher->readable != NULL)
        s->watcher->readable(s->watcher);
}

/* Nobody knows of which messages those segments tell, so what was there may be needed for their
 * sake. Of what comes from now on they know nothing. */
static void keep_for_unread(struct store *s)
{
    struct survey *v = &s->recovery.survey;
    struct withheld *all = v->withheld;

    log_warn("segments_kept", LOG_U64("unreadable", v->unread), LOG_U64("kept", s->ledger.count));
    ledger_keep_all(&s->ledger);
    v->withheld = NULL; /* given */
    relook_begin(&s->relook, s->loop, &s->spool, all, v->unread, on_readable);
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
    if (!s->options.read_only) {
        end_again(s);
        if (s->recovery.survey.unread > 0)
            keep_for_unread(s);
    }
    end_recovery(s);
    if (!s->options.read_only) {
        s->compactor.paused = store_keeps_all(s);
        s->ledger.changed = true;
        recycle(s);
    }
    return false;
}

uint64_t store_replay_rest_ms(const struct store *s)
{
    return s->recovering ? recover_rest_ms(&s->recovery) : 0;
}

/* Each stream ends with a record of a batch of its own, so that whatever is broken before it at the
 * next start is known to be damage and not a torn end. */
static void finish_writing(struct store *s)
{
    compactor_stop(&s->compactor); /* so nothing waits for it */
    workers_finish(&s->bodies.pool);
    store_place_late(s);
    journal_finish(&s->old);
    rewriter_seal(&s->compactor.rewriter);
    journal_finish(&s->old);
    journal_finish(&s->journal);
    if (!journal_idle(&s->journal)) /* what `old` lacks are copies, and nothing is lost */
        s->clock.next.ended = false;
    if (s->journal.records > 0)
        store_probe(s);
}

static void close_all(struct store *s)
{
    relook_end(&s->relook);
    if (s->stage >= STAGE_OLD)
        journal_close(&s->old);
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
    loop_stop_timer(s->loop, &s->removing);
    for (size_t i = 0; i < s->ledger.count; i++)
        reader_close(&s->reader, s->ledger.segments[i]);
    ledger_release(&s->ledger);
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
    s->poll.fire = store_on_poll;
    s->refusing.fire = store_on_refusing;
    s->removing.fire = on_removing;
    s->owner = (struct journal_owner){ on_batch_written, store_on_failed, store_on_again,
                                       store_on_refused };
    for (size_t i = 0; i < SPOOL_TROUBLES; i++)
        list_init(&s->refused[i]);
    list_init(&s->late);
    s->reader.spool = &s->spool;
    ledger_init(&s->ledger);
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
        result = journal_start(&s->old);
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
    return s->options.read_only ||
           (list_empty(&s->late) && journal_idle(&s->journal) &&
            (journal_idle(&s->old) || journal_rests(&s->old)) && !workers_busy(&s->bodies.pool));
}

bool store_is_behind(const struct store *s)
{
    return journal_is_behind(&s->journal) || s->late_count > LATE_MOST;
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
    store_on_refusing(&s->refusing);
    close_all(s);
    *store = NULL;
}

/* ---- numbers ---- */

static void count_unread(const struct store *s, struct store_numbers *out)
{
    const struct withheld *first = s->relook.all;

    for (size_t i = 0; i < s->relook.count && first->error == 0; i++)
        first = &s->relook.all[i]; /* others can be read by now */
    out->unread = s->relook.count;
    if (first == NULL)
        return;
    out->unread_offset = first->offset;
    out->unread_error = first->error;
    segment_name(first->number, out->unread_file);
    for (size_t i = 0; i < s->ledger.count; i++)
        out->kept_bytes += s->ledger.segments[i]->kept ? s->ledger.segments[i]->bytes : 0;
}

void store_count(const struct store *s, struct store_numbers *out)
{
    *out = (struct store_numbers){ .segments = s->ledger.count,
                                   .live_messages = s->live_messages,
                                   .live_bytes = s->live_bytes,
                                   .free_bytes = s->free_bytes,
                                   .batches = s->journal.batches + s->old.batches,
                                   .records = s->journal.records + s->old.records,
                                   .syncs_failed = s->failures,
                                   .damaged = s->reader.damaged,
                                   .segments_emptied = s->compactor.emptied_count,
                                   .moved_bytes = s->compactor.rewriter.bytes,
                                   .write_error = s->write_error,
                                   .copies_error = s->copies_error,
                                   .trouble = store_trouble(s) };
    for (size_t i = 0; i < s->ledger.count; i++)
        out->disk_bytes += s->ledger.segments[i]->bytes;
    count_unread(s, out);
}
