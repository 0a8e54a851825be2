#include "queue/recover.h"

#include "io/clock.h"
#include "io/log.h"
#include "queue/sources.h"

#include <errno.h>
#include <string.h>

enum {
    FOLDER_COST = 100, /* of sweeping one of them, in records */
    PIECE = 256 << 10, /* bytes of a segment or its index file that are read at a time */
    REST_MS = 1000, /* until a segment that could not be entered for lack of means is tried again */
};

/* ---- messages ---- */

/* What a notice says about another message counts even when the notice itself is finished. */
static void tell_settled(struct recovery *r, const struct record_message *m, struct store_ref where)
{
    uint64_t segment = record_segment(where.place);
    struct store_outcome o = { .message = m->about,
                               .rcpts = m->settles,
                               .rcpt_count = m->settle_count,
                               .state = STORE_FAILED };
    struct store_change c = { .message = m->about, .kind = STORE_NOTICED };

    for (size_t i = 0; i < m->settle_count; i++)
        ledger_note(r->survey.ledger, m->about, m->settles[i], segment, 0,
                    ledger_part(LEDGER_PLAIN_BYTES, m->settle_count));
    if (m->settle_count > 0) {
        r->replay->outcome(r->replay, &o, where);
    } else {
        ledger_note(r->survey.ledger, m->about, LEDGER_NOTICE, segment, 0, LEDGER_PLAIN_BYTES);
        r->replay->change(r->replay, &c);
    }
}

static void tell_message(struct recovery *r, uint64_t id, const struct record_message *m,
                         struct store_ref where)
{
    const struct store_change hold = { .message = id, .kind = STORE_HOLD, .who = STORE_DAMAGED };
    bool broken = idset_has(&r->survey.broken, where.place);

    idset_add(&r->live, id);
    ledger_come(ledger_find(r->survey.ledger, record_segment(where.place)), where.bytes);
    r->live_messages++;
    r->live_bytes += where.bytes;
    if (m->big)
        where.place |= PLACE_BIG;
    r->replay->message(r->replay, id, where, m->envelope, m->body_bytes);
    if (broken)
        r->replay->change(r->replay, &hold);
}

/* The end of the message only knows of its newest copy: that one stays while there are others. What
 * a damaged copy was made from counts, and stays while that copy is there. */
static void tie_copies(struct survey *v, const struct record *record,
                       const struct record_message *m, uint64_t place)
{
    uint64_t newest = copies_find(&v->copies, record->id);
    bool copy = record->type == RECORD_COPY;

    if (copy)
        ledger_tie(v->ledger, record_segment(place), record_segment(m->was));
    if (newest != 0 && newest != place)
        ledger_tie(v->ledger, record_segment(newest), record_segment(place));
    else if (copy && newest == 0 && !idset_has(&v->finished, record->id))
        ledger_tie(v->ledger, record_segment(record->id), record_segment(place));
}

/* What an end speaks of may be lost. What else there is of that message needs an end of its own, or
 * it would come alive when the other one goes. */
static void note_unended(struct recovery *r, const struct record *record, uint64_t place)
{
    const struct survey *v = &r->survey;
    uint64_t newest = copies_find(&v->copies, record->id);

    if (!idset_has(&v->finished, record->id))
        return;
    if (newest == place ||
        (newest == 0 && (record->type == RECORD_COPY || idset_has(&v->adrift, record->id))))
        copies_put(&r->unended, record->id, place);
}

static void take_finish(struct recovery *r, const struct record *record, uint64_t here)
{
    uint64_t place = record_get_finish(record);

    ledger_tie_end(r->survey.ledger, record_segment(here), record_segment(place));
    if (copies_find(&r->unended, record->id) == place)
        copies_put(&r->unended, record->id, 0);
}

bool recover_next_unended(const struct recovery *r, uint32_t *at, uint64_t *id, uint64_t *place)
{
    while (copies_next(&r->unended, at, id, place)) {
        if (*place != 0)
            return true;
    }
    return false;
}

static void take_message(struct recovery *r, const struct record *record, struct store_ref where)
{
    struct survey *v = &r->survey;
    bool counts = survey_counts(v, record->id, where.place);
    struct store_ref front = { where.place, (uint32_t)(RECORD_HEADER + record->meta.len) };
    struct record_message m;

    if (!record_get_message(record->meta, v->rcpts, &m)) {
        if (counts)
            survey_report(v, record->id, where);
        return;
    }
    if (m.about != 0 && idset_has(&r->live, m.about) && !idset_has(&v->lost, where.place))
        tell_settled(r, &m, front);
    tie_copies(v, record, &m, where.place);
    note_unended(r, record, where.place);
    if (counts)
        tell_message(r, record->id, &m, where);
}

/* ---- what happened to them ---- */

static void take_outcome(struct recovery *r, const struct record *record, struct store_ref where)
{
    struct store_outcome o;

    if (!idset_has(&r->live, record->id) || !record_get_outcome(record, r->survey.rcpts, &o))
        return;
    for (size_t i = 0; i < o.rcpt_count; i++)
        ledger_note(r->survey.ledger, record->id, o.rcpts[i], record_segment(where.place), 0,
                    ledger_part(where.bytes, o.rcpt_count));
    r->replay->outcome(r->replay, &o, where);
}

static void take_change(struct recovery *r, const struct record *record, uint64_t place)
{
    struct store_change c;

    if (!idset_has(&r->live, record->id) || !record_get_change(record, &c))
        return;
    ledger_note(r->survey.ledger, record->id,
                c.kind == STORE_NOTICED ? LEDGER_NOTICE : LEDGER_CHANGE, record_segment(place), 0,
                LEDGER_PLAIN_BYTES);
    r->replay->change(r->replay, &c);
}

static void take_record(struct recovery *r, const struct record *record, uint64_t offset)
{
    struct store_ref where = { record_place(r->survey.sources[r->source].number, offset),
                               (uint32_t)(RECORD_HEADER + record->meta.len + record->body.len) };

    if (record->type == RECORD_MESSAGE || record->type == RECORD_COPY)
        take_message(r, record, where);
    else if (record->type == RECORD_OUTCOME)
        take_outcome(r, record, where);
    else if (record->type == RECORD_CHANGE)
        take_change(r, record, where.place);
    else if (record->type == RECORD_FINISH)
        take_finish(r, record, where.place);
}

/* ---- record by record ---- */

static void enter_later(struct recovery *r, int err)
{
    if (r->again_ms == 0)
        log_warn("segment_not_read_yet",
                 LOG_STRING("file", source_name(r->survey.sources[r->source].number)),
                 LOG_ERRNO("error", -err));
    r->again_ms = clock_monotonic_ms() + REST_MS;
}

uint64_t recover_rest_ms(const struct recovery *r)
{
    uint64_t now_ms = clock_monotonic_ms();

    return r->again_ms > now_ms ? r->again_ms - now_ms : 0;
}

/* False: there is more to read first, or it is tried again later. */
static bool enter(struct recovery *r)
{
    int err = survey_load_digest(&r->survey, r->source, PIECE, &r->digest);

    if (err < 0)
        enter_later(r, err);
    else
        r->again_ms = 0;
    r->entered = err == 0;
    return r->entered;
}

static bool has_source(struct recovery *r)
{
    for (; r->streams > 0; r->streams--) {
        for (; r->source < r->survey.source_count; r->source++) {
            if (segment_stream(r->survey.sources[r->source].number) == r->streams - 1)
                return true;
        }
        r->source = 0;
    }
    return false;
}

/* ---- large bodies ---- */

void recover_spare_body(struct recovery *r, uint64_t big_file)
{
    idset_add(&r->survey.bodies, big_file);
}

/* What could not be read may name any of them, and a file may be there under a wrong name. */
static bool may_sweep(const struct recovery *r)
{
    return r->survey.unread == 0 && r->survey.bodiless == 0;
}

static bool has_folder(struct recovery *r)
{
    while (r->folder < BODIES_FOLDERS && !r->folders[r->folder])
        r->folder++;
    return r->folder < BODIES_FOLDERS && may_sweep(r);
}

/* False: all is done. */
static bool tidy_bodies(struct recovery *r, unsigned left)
{
    struct survey *v = &r->survey;

    for (; left > 0 && r->large < v->large_count; left--)
        survey_look_at_large(v, r->large++);
    for (; left > 0 && r->large == v->large_count && has_folder(r);
         left -= MIN(left, (unsigned)FOLDER_COST))
        bodies_sweep(v->spool, r->folder++, &v->bodies, v->damaged > 0);
    return r->large < v->large_count || has_folder(r);
}

/* ---- all of it ---- */

bool recover_tell(struct recovery *r, unsigned records)
{
    struct record record;
    uint64_t offset;

    if (recover_rest_ms(r) > 0)
        return true;
    while (records > 0 && has_source(r)) {
        if (!r->entered && !enter(r))
            return true;
        if (!digest_next(r->digest, &record, &offset)) {
            r->entered = false;
            r->source++;
            continue;
        }
        take_record(r, &record, offset);
        records--;
    }
    return has_source(r) || tidy_bodies(r, records);
}

/* ---- life ---- */

int recover_begin(struct recovery *r, struct spool *spool, struct ledger *ledger,
                  struct store_replay *replay, struct error *err)
{
    int result;

    *r =
        (struct recovery){ .replay = replay, .streams = STREAMS, .began_ms = clock_monotonic_ms() };
    copies_init(&r->unended);
    for (unsigned i = 0; i < STREAMS; i++)
        r->ends[i].fd = -1;
    result = survey_take(&r->survey, spool, ledger, NULL);
    for (unsigned i = 0; i < STREAMS && result == 0; i++)
        result = survey_resume(&r->survey, (enum stream)i, &r->ends[i]);
    if (result < 0)
        return error_set(err, result, "cannot read the log of the spool: %s", strerror(-result));
    if (!spool->read_only)
        bodies_folders(spool, r->folders);
    return 0;
}

void recover_end(struct recovery *r)
{
    if (r->streams == 0)
        log_info("spool_recovered", LOG_U64("segments", r->survey.source_count),
                 LOG_U64("messages", r->live_messages), LOG_U64("damaged", r->survey.damaged),
                 LOG_U64("torn_bytes", r->survey.torn_bytes),
                 LOG_U64("duration_ms", clock_monotonic_ms() - r->began_ms));
    idset_release(&r->live);
    copies_release(&r->unended);
    survey_release(&r->survey);
}
