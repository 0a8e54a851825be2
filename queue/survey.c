#include "queue/survey.h"

#include "common/memory.h"
#include "io/log.h"
#include "queue/bodies.h"
#include "queue/shelf.h"
#include "queue/sources.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- reading ---- */

/* Puts the bytes of the source in v->room, and a scan at its beginning. */
static int load(struct survey *v, size_t i, struct record_scan *scan)
{
    struct source *s = &v->sources[i];
    bool broken;
    ssize_t got;
    int fd;

    if (v->room == NULL)
        v->room = memory_new(v->room_bytes);
    *scan = (struct record_scan){ .bytes = view_make(v->room, s->end),
                                  .segment = s->number,
                                  .seed = s->seed,
                                  .at = RECORD_HEAD,
                                  .batch = s->first_batch };
    if (v->loaded == i + 1)
        return 0;
    fd = openat(v->spool->log, source_name(s->number), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    got = file_read_all(fd, v->room, s->end, 0, &broken);
    close(fd);
    if (got < 0)
        return (int)got;
    memset(v->room + got, 0, s->end - (size_t)got);
    if (broken)
        source_break(v, s, -EIO);
    v->loaded = i + 1;
    return 0;
}

static void unload(struct survey *v)
{
    free(v->room);
    v->room = NULL;
    v->loaded = 0;
}

/* ---- for an inspector ---- */

static struct finding place_in(const struct survey *v, size_t i, uint64_t from, uint64_t to)
{
    return (struct finding){ .file = source_path(v->sources[i].number),
                             .offset = from,
                             .bytes = to - from };
}

static void show_record(struct survey *v, size_t i, const struct record *r, uint64_t from,
                        uint64_t to)
{
    struct finding place = place_in(v, i, from, to);

    place.id = r->id;
    if (v->inspector != NULL)
        v->inspector->record(v->inspector, r, &place);
}

/* Whether the index file tells what `d` does, which was made from the segment just now. */
static void compare_index(struct survey *v, size_t i, const struct digest *d)
{
    const struct source *s = &v->sources[i];
    struct digest index = { 0 };
    char name[SHELF_NAME], path[SHELF_NAME + 4];
    struct finding f = { .file = path };
    int err;

    digest_begin(&index, s->number, s->seed, s->end);
    err = digest_load(&index, v->spool->log);
    segment_index_name(s->number, name);
    snprintf(path, sizeof(path), "log/%s", name);
    if (err == 0 && digest_is_whole(d) && !digest_equal(&index, d))
        f.what = "the index file does not tell what is in the segment";
    else if (err < 0 && err != -ENOENT)
        f.what = "the index file is not sound";
    f.error = err < 0 && err != -EBADMSG ? -err : 0;
    if (f.what != NULL)
        source_tell(v, f);
    digest_release(&index);
}

/* ---- what is noted ---- */

static void add_gap(struct survey *v, struct gap gap)
{
    if (v->gap_count == v->gap_room) {
        v->gap_room = v->gap_room == 0 ? 16 : v->gap_room * 2;
        v->gaps = memory_grow(v->gaps, v->gap_room, sizeof(*v->gaps));
    }
    v->gaps[v->gap_count++] = gap;
}

/* Whether the segment of that place is still there. */
static bool has_segment(const struct survey *v, uint64_t place)
{
    return place != 0 && ledger_find(v->ledger, record_segment(place)) != NULL;
}

static void add_large(struct survey *v, const struct record *r, const struct record_message *m,
                      uint64_t place)
{
    if (v->large_count == v->large_room) {
        v->large_room = v->large_room == 0 ? 16 : v->large_room * 2;
        v->larges = memory_grow(v->larges, v->large_room, sizeof(*v->larges));
    }
    v->larges[v->large_count++] = (struct large){
        .id = r->id,
        .place = place,
        .file = m->file,
        .bytes = m->body_bytes,
        .size = (uint32_t)(RECORD_HEADER + r->meta.len),
        .crc = m->body_crc,
    };
}

static void note_message(struct survey *v, const struct record *r, uint64_t place)
{
    struct record_message m;

    if (!record_get_message(r->meta, v->rcpts, &m))
        return;
    if (m.big)
        add_large(v, r, &m, place);
    if (r->type == RECORD_COPY)
        copies_put(&v->copies, r->id, place);
}

/* It counts whatever has become of the segment where the message lay: no id comes twice. */
static void note_finish(struct survey *v, const struct record *r)
{
    uint64_t place = record_get_finish(r);

    idset_add(&v->finished, r->id);
    if (!has_segment(v, place))
        idset_add(&v->adrift, r->id);
    v->mentioned = MAX(v->mentioned, record_segment(place));
}

static void note_record(struct survey *v, const struct record *r, uint64_t place)
{
    if (r->id == 0)
        return;
    v->mentioned = MAX(v->mentioned, record_segment(r->id));
    if (r->type == RECORD_MESSAGE || r->type == RECORD_COPY)
        note_message(v, r, place);
    else if (r->type == RECORD_FINISH)
        note_finish(v, r);
}

/* The next one of its stream; NULL: it is the newest. */
static const struct source *next_in_stream(const struct survey *v, size_t i)
{
    enum stream stream = segment_stream(v->sources[i].number);

    for (size_t k = i + 1; k < v->source_count; k++) {
        if (segment_stream(v->sources[k].number) == stream)
            return &v->sources[k];
    }
    return NULL;
}

static bool is_newest(const struct survey *v, size_t i)
{
    return next_in_stream(v, i) == NULL;
}

static struct digest *newest_of(struct survey *v, const struct source *s)
{
    return &v->newest[segment_stream(s->number)];
}

/* The newest segment of a stream has no index file: it is not full. */
static bool has_index(struct survey *v, size_t i)
{
    const struct source *s = &v->sources[i];

    if (v->inspector != NULL || is_newest(v, i))
        return false;
    digest_begin(&v->digest, s->number, s->seed, s->end);
    return digest_load(&v->digest, v->spool->log) == 0;
}

/* From the index file; where there is none, from the segment. */
static int load_some(struct survey *v, size_t i, size_t bytes)
{
    const struct source *s = &v->sources[i];
    int err;

    if (v->digesting != i + 1) {
        digest_begin(&v->digest, s->number, s->seed, s->end);
        v->digesting = i + 1;
        v->without_index = is_newest(v, i);
    }
    if (!v->without_index) {
        err = digest_load_some(&v->digest, v->spool->log, bytes);
        if (err >= 0)
            return err;
        digest_begin(&v->digest, s->number, s->seed, s->end);
        v->without_index = true;
    }
    return digest_make_some(&v->digest, v->spool->log, bytes);
}

int survey_load_digest(struct survey *v, size_t i, size_t bytes, struct digest **d)
{
    struct source *s = &v->sources[i];
    struct digest *newest = newest_of(v, s);
    int err;

    *d = newest;
    digest_rewind(newest);
    if (newest->segment == s->number && newest->len > 0)
        return 0;
    *d = &v->digest;
    err = load_some(v, i, bytes);
    if (err > 0)
        return err;
    v->digesting = 0;
    if (err < 0 && source_lacks_means(err) && !v->spool->read_only)
        return err;
    if (err < 0)
        source_break(v, s, err);
    digest_rewind(&v->digest);
    return 0;
}

/* So that the bodies are not read again. */
static void keep_digest(struct survey *v, size_t i, struct digest *d)
{
    if (is_newest(v, i) && (d->gaps || v->sources[i].broken))
        digest_release(d);
    else if (!is_newest(v, i) && !v->sources[i].broken && !v->spool->read_only &&
             digest_is_whole(d))
        ledger_find(v->ledger, v->sources[i].number)->indexed = digest_save(d, v->spool->log) == 0;
}

static void look_through_index(struct survey *v, size_t i)
{
    struct source *s = &v->sources[i];
    struct record r;
    uint64_t offset;

    ledger_find(v->ledger, s->number)->indexed = true;
    while (digest_next(&v->digest, &r, &offset)) {
        note_record(v, &r, record_place(s->number, offset));
        s->last_batch = r.batch;
    }
    s->sound_end = s->end;
}

static void add_broken(struct survey *v, size_t i, const struct record *r, size_t from, size_t to)
{
    struct gap gap = { .source = i, .from = from, .to = to, .broken = true };
    struct record_message m;

    gap.id = r->id;
    gap.batch = r->batch;
    gap.copy = r->type == RECORD_COPY;
    gap.was = record_get_message(r->meta, v->rcpts, &m) ? m.was : 0;
    add_gap(v, gap);
}

static int look_through(struct survey *v, size_t i)
{
    struct source *s = &v->sources[i];
    struct record_scan scan;
    struct record r;
    enum record_step step;
    struct digest *d;
    size_t from, to;
    int err;

    if (has_index(v, i)) {
        look_through_index(v, i);
        return 0;
    }
    err = load(v, i, &scan);
    if (err < 0)
        return err;
    d = is_newest(v, i) ? newest_of(v, s) : &v->digest;
    digest_begin(d, scan.segment, scan.seed, scan.bytes.len);
    s->batch_start = s->sound_end = RECORD_HEAD;
    while ((step = record_scan_next(&scan, &r, &from, &to)) != RECORD_END) {
        if (step != RECORD_GAP)
            s->batch_start = from - (size_t)r.back * RECORD_UNIT;
        if (step == RECORD_FOUND) {
            s->sound_end = to;
            s->sealed = r.type == RECORD_PADDING && r.back == 0;
            note_record(v, &r, record_place(scan.segment, from));
            show_record(v, i, &r, from, to);
            digest_add(d, &r, from);
        } else if (step == RECORD_BROKEN) {
            s->sealed = false;
            add_broken(v, i, &r, from, to);
            d->gaps = true; /* what is not in it may have to be told */
        } else {
            add_gap(v, (struct gap){ .source = i, .from = from, .to = to, .batch = scan.batch });
        }
    }
    s->last_batch = scan.batch;
    if (v->inspector != NULL && !is_newest(v, i))
        compare_index(v, i, d);
    keep_digest(v, i, d);
    return 0;
}

/* ---- damage ---- */

static void set_aside(const struct survey *v, const struct source *s, const struct gap *gap)
{
    int fd = openat(v->spool->log, source_name(s->number), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    char *bytes = memory_new(gap->to - gap->from);
    char copy[64];
    bool broken;
    ssize_t got = fd < 0 ? fd : file_read_all(fd, bytes, gap->to - gap->from, gap->from, &broken);

    snprintf(copy, sizeof(copy), "%012llx-%07zx.damaged", (unsigned long long)s->number, gap->from);
    if (got >= 0)
        spool_set_aside(v->spool, copy, view_make(bytes, (size_t)got));
    if (fd >= 0)
        close(fd);
    free(bytes);
}

static void report_damage(struct survey *v, const struct gap *gap)
{
    const struct source *s = &v->sources[gap->source];
    struct finding found = place_in(v, gap->source, gap->from, gap->to);

    v->damaged++;
    found.id = gap->id;
    found.what = gap->broken ? "the body of the message is damaged" : "no record can be read here";
    if (source_tell(v, found))
        return;
    log_error("record_damaged", LOG_STRING("file", source_name(s->number)),
              LOG_U64("offset", gap->from), LOG_U64("size_bytes", gap->to - gap->from),
              gap->broken ? LOG_ID("message", gap->id) : (struct log_field){ .key = NULL });
    set_aside(v, s, gap);
}

void survey_report(struct survey *v, uint64_t id, struct store_ref where)
{
    const struct source *s = source_of(v, record_segment(where.place));
    size_t from = (size_t)record_offset(where.place);

    report_damage(v, &(struct gap){ .source = (size_t)(s - v->sources),
                                    .from = from,
                                    .to = from + where.bytes,
                                    .broken = true,
                                    .id = id });
}

/* Its envelope is whole: the administrator is to decide. Of a copy, what it was made from may still
 * be there, and whole. */
static void keep_broken(struct survey *v, const struct gap *gap)
{
    uint64_t place = record_place(v->sources[gap->source].number, gap->from);

    if (gap->copy && (has_segment(v, gap->was) || copies_find(&v->copies, gap->id) != 0)) {
        idset_add(&v->lost, place);
        return;
    }
    idset_add(&v->broken, place);
    if (gap->copy)
        copies_put(&v->copies, gap->id, place);
}

static void take_damage(struct survey *v, const struct gap *gap)
{
    report_damage(v, gap);
    if (gap->broken)
        keep_broken(v, gap);
}

/* Its stream went on in a segment of which nothing can be read now, or in a part of this one that
 * is lost: so all of it was durable. */
static bool has_gone_on(const struct survey *v, const struct source *s)
{
    return s->cut_short || s->number != v->highest[segment_stream(s->number)];
}

/* In the newest segment of a stream, what belongs to the last batch was never acknowledged: that it
 * is torn is the way of power cuts. Everything before was durable once, so there a gap is damage.
 */
static void judge_newest(struct survey *v, struct gap *gap)
{
    struct source *s = &v->sources[gap->source];
    struct gap damage = *gap;

    if (gap->broken && gap->batch == s->last_batch)
        idset_add(&v->lost, record_place(s->number, gap->from));
    if (gap->broken ? gap->batch == s->last_batch : gap->from >= s->batch_start)
        return;
    if (gap->broken)
        s->sound_end = MAX(s->sound_end, gap->to);
    else
        damage.to = MIN(gap->to, s->batch_start);
    take_damage(v, &damage);
    gap->from = damage.to; /* the rest is torn */
}

/* Whether it was the newest segment of its stream when it could not be read or written, and the log
 * went on elsewhere: then it has no end. The heads of older segments do not tell; there, it shows
 * in the numbers of batches. */
static bool was_left(const struct survey *v, const struct gap *gap)
{
    const struct source *next = next_in_stream(v, gap->source);

    if (v->sources[gap->source].cut_short)
        return true;
    if (next == NULL)
        return v->unread > 0; /* the one that tells cannot be read */
    if (!next->tells_left)
        return next->first_batch >= gap->batch + UNREAD_BATCHES / 2;
    return next->left == v->sources[gap->source].number;
}

/* Behind the last record of such a segment. */
static bool is_unused_rest(struct survey *v, const struct gap *gap)
{
    struct record_scan scan;
    uint64_t batch;

    if (gap->broken || gap->to != v->sources[gap->source].end || !was_left(v, gap) ||
        load(v, gap->source, &scan) < 0)
        return false;
    for (size_t at = gap->from; at < gap->to; at += RECORD_UNIT) {
        if (record_claims_batch(view_from(scan.bytes, at), &batch) && batch >= gap->batch)
            return false;
    }
    return true;
}

static void judge_closed(struct survey *v, struct gap *gap)
{
    struct source *s = &v->sources[gap->source];

    if (is_unused_rest(v, gap))
        return;
    take_damage(v, gap);
    if (!is_newest(v, gap->source))
        return;
    if (gap->broken)
        s->sound_end = MAX(s->sound_end, gap->to);
    gap->from = gap->to; /* nothing of it is torn */
}

static void judge_gaps(struct survey *v)
{
    for (size_t i = 0; i < v->gap_count; i++) {
        struct gap *gap = &v->gaps[i];

        if (is_newest(v, gap->source) && !has_gone_on(v, &v->sources[gap->source]))
            judge_newest(v, gap);
        else
            judge_closed(v, gap);
    }
}

/* ---- large bodies, and what counts ---- */

void survey_look_at_large(struct survey *v, size_t i)
{
    const struct large *l = &v->larges[i];

    if (!survey_counts(v, l->id, l->place))
        return;
    idset_add(&v->bodies, l->file);
    if (v->inspector != NULL) {
        v->inspector->body(v->inspector, l);
    } else if (bodies_look(v->spool, l->file, l->bytes) == -EBADMSG) {
        v->bodiless++;
        survey_report(v, l->id, (struct store_ref){ l->place, l->size });
    }
}

bool survey_counts(const struct survey *v, uint64_t id, uint64_t place)
{
    uint64_t newest = copies_find(&v->copies, id);

    return (newest == 0 || newest == place) && !idset_has(&v->lost, place) &&
           !idset_has(&v->finished, id);
}

static int look_through_all(struct survey *v)
{
    for (size_t i = 0; i < v->source_count;) {
        int err = look_through(v, i);

        if (err < 0 && source_lacks_means(err))
            return err;
        if (err == 0) {
            i++;
            continue;
        }
        source_leave(v, v->sources[i].number, err);
        v->source_count--;
        memmove(v->sources + i, v->sources + i + 1, (v->source_count - i) * sizeof(*v->sources));
    }
    return 0;
}

int survey_take(struct survey *v, struct spool *spool, struct ledger *ledger,
                struct inspector *inspector)
{
    int err;

    *v = (struct survey){ .spool = spool, .ledger = ledger, .inspector = inspector };
    copies_init(&v->copies);
    err = sources_find(v);
    if (err < 0)
        return err;
    err = look_through_all(v);
    if (err < 0)
        return err;
    judge_gaps(v);
    for (size_t i = 0; i < v->source_count; i++)
        v->last_batch = MAX(v->last_batch, v->sources[i].last_batch);
    if (v->unread > 0)
        v->last_batch += UNREAD_BATCHES;
    for (size_t i = 0; inspector != NULL && i < v->large_count; i++)
        survey_look_at_large(v, i);
    unload(v);
    return 0;
}

void survey_release(struct survey *v)
{
    free(v->sources);
    free(v->gaps);
    free(v->larges);
    free(v->room);
    free(v->withheld);
    digest_release(&v->digest);
    for (unsigned i = 0; i < STREAMS; i++)
        digest_release(&v->newest[i]);
    idset_release(&v->finished);
    idset_release(&v->adrift);
    idset_release(&v->lost);
    idset_release(&v->broken);
    copies_release(&v->copies);
    idset_release(&v->bodies);
}
