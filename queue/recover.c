#include "queue/recover.h"

#include "common/memory.h"
#include "io/clock.h"
#include "io/log.h"
#include "mail/envelope.h"
#include "queue/bodies.h"
#include "queue/digest.h"
#include "queue/record.h"
#include "queue/shelf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A segment that is there, and what its head says. */
struct source {
    uint64_t number;
    uint64_t bytes; /* of the file */
    uint64_t end;   /* what lies behind does not count */
    uint64_t first_batch;
    struct record_cut cuts[RECORD_CUTS];
    size_t cut_count;
    uint32_t seed;
};

/* A stretch without a whole record. */
struct gap {
    size_t source;
    size_t from, to;
    bool broken; /* the record `id` of `batch`, whose body is not whole */
    uint64_t id, batch;
};

struct reading {
    struct recovery *r;
    struct source *sources; /* by number */
    size_t source_count, source_room;
    struct gap *gaps;
    size_t gap_count, gap_room;
    struct idset finished; /* messages */
    struct idset lost;     /* places of records whose body is not whole */
    struct idset stale;    /* places from where a message was moved */
    struct idset live;     /* messages that were told */
    struct digest digest;  /* of one segment */
    char *room;            /* for the bytes of one segment */
    uint64_t room_bytes;
    size_t loaded; /* the source whose bytes are in room, plus 1 */
    /* of the newest segment */
    uint64_t last_batch;
    size_t batch_start; /* where the last batch begins */
    size_t sound_end;   /* of the last whole record */
    uint32_t rcpts[ENVELOPE_RCPTS_MAX];
};

static const char *name_of(uint64_t number)
{
    static char name[SHELF_NAME];

    segment_name(number, name);
    return name;
}

/* ---- which segments are there ---- */

static void list_segment(void *arg, const char *name)
{
    struct reading *g = arg;
    uint64_t number;

    if (segment_index_number(view_of(name), &number))
        return;
    if (!segment_number(view_of(name), &number)) {
        log_warn("foreign_file", LOG_STRING("file", name));
        return;
    }
    if (g->source_count == g->source_room) {
        g->source_room = g->source_room == 0 ? 16 : g->source_room * 2;
        g->sources = memory_grow(g->sources, g->source_room, sizeof(*g->sources));
    }
    g->sources[g->source_count++] = (struct source){ .number = number };
}

static int compare_sources(const void *a, const void *b)
{
    uint64_t x = ((const struct source *)a)->number, y = ((const struct source *)b)->number;

    return (x > y) - (x < y);
}

static bool is_ours(struct spool *s, struct view uuid)
{
    if (uuid.len != SPOOL_UUID_LEN)
        return false;
    if (!s->uuid_known)
        memcpy(s->uuid, uuid.ptr, SPOOL_UUID_LEN); /* the format file is lost */
    s->uuid_known = true;
    return memcmp(s->uuid, uuid.ptr, SPOOL_UUID_LEN) == 0;
}

static void set_source(struct source *s, const struct record_start *start, uint64_t bytes)
{
    s->bytes = s->end = bytes / RECORD_UNIT * RECORD_UNIT;
    s->seed = record_seed(start->nonce);
    s->first_batch = start->first_batch;
    memcpy(s->cuts, start->cuts, sizeof(s->cuts));
    s->cut_count = start->cut_count;
}

static void lose_segment(struct recovery *r, uint64_t number, const char *why)
{
    r->damaged++;
    log_error("segment_damaged", LOG_STRING("file", name_of(number)), LOG_STRING("why", why));
    spool_move_aside(r->spool, r->spool->log, name_of(number));
}

/* A write began nothing here: nobody was answered. */
static void return_segment(const struct spool *s, const char *name)
{
    if (!s->read_only && renameat(s->log, name, s->free, name) < 0)
        log_warn("segment_not_recycled", LOG_STRING("file", name), LOG_ERRNO("error", errno));
}

static int read_head(int fd, char head[static RECORD_HEAD], uint64_t *bytes)
{
    struct stat facts;
    bool broken;
    ssize_t got;

    if (fstat(fd, &facts) < 0)
        return -errno;
    *bytes = (uint64_t)facts.st_size;
    memset(head, 0, RECORD_HEAD);
    got = file_read_all(fd, head, RECORD_HEAD, 0, &broken);
    return got < 0 ? (int)got : 0;
}

/* Whether the segment can be read. */
static int open_source(struct reading *g, struct source *s, bool *there)
{
    struct recovery *r = g->r;
    char head[RECORD_HEAD];
    struct record_start start;
    enum record_head state;
    uint64_t bytes = 0;
    int fd = openat(r->spool->log, name_of(s->number), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int err = fd < 0 ? -errno : read_head(fd, head, &bytes);

    if (fd >= 0)
        close(fd);
    if (err < 0)
        return err;
    state = record_get_head(view_make(head, sizeof(head)), s->number, &start);
    *there = false;
    if (state == RECORD_HEAD_STALE) {
        return_segment(r->spool, name_of(s->number));
        return 0;
    }
    r->highest = MAX(r->highest, s->number);
    if (state == RECORD_HEAD_LOST) {
        lose_segment(r, s->number, "its head cannot be read");
        return 0;
    }
    if (!is_ours(r->spool, start.spool)) {
        lose_segment(r, s->number, "it belongs to another spool");
        return 0;
    }
    if (state == RECORD_HEAD_HALF)
        log_warn("segment_head_damaged", LOG_STRING("file", name_of(s->number)));
    set_source(s, &start, bytes);
    *there = true;
    return 0;
}

static int open_sources(struct reading *g)
{
    size_t kept = 0;
    bool there;

    for (size_t i = 0; i < g->source_count; i++) {
        int err = open_source(g, &g->sources[i], &there);

        if (err < 0)
            return err;
        if (there)
            g->sources[kept++] = g->sources[i];
    }
    g->source_count = kept;
    return 0;
}

static void add_to_ledger(struct reading *g)
{
    for (size_t i = 0; i < g->source_count; i++) {
        const struct source *s = &g->sources[i];
        struct segment *segment = ledger_add(g->r->ledger, s->number);

        segment->bytes = segment->end = s->bytes;
        segment->seed = s->seed;
        segment->begun = true;
        g->room_bytes = MAX(g->room_bytes, s->bytes);
    }
}

static struct source *find_source(struct reading *g, uint64_t number)
{
    for (size_t i = 0; i < g->source_count; i++) {
        if (g->sources[i].number == number)
            return &g->sources[i];
    }
    return NULL;
}

/* Index files of segments that have gone. */
static void drop_stray_index(void *arg, const char *name)
{
    struct reading *g = arg;
    uint64_t number;

    if (segment_index_number(view_of(name), &number) && find_source(g, number) == NULL)
        unlinkat(g->r->spool->log, name, 0);
}

/* What a later head says about where an earlier segment ends. */
static void apply_cuts(struct reading *g)
{
    for (size_t i = 0; i < g->source_count; i++) {
        const struct source *teller = &g->sources[i];

        for (size_t k = 0; k < teller->cut_count; k++) {
            const struct record_cut *cut = &teller->cuts[k];
            struct source *s = find_source(g, cut->segment);

            if (s == NULL || s >= teller)
                continue;
            s->end = MIN(s->end, MAX(cut->offset, (uint64_t)RECORD_HEAD));
            ledger_find(g->r->ledger, s->number)->end = s->end;
            ledger_tie(g->r->ledger, teller->number, s->number, true);
        }
    }
}

/* ---- reading ---- */

static int load(struct reading *g, size_t i, struct record_scan *scan)
{
    const struct source *s = &g->sources[i];
    bool broken;
    ssize_t got;
    int fd;

    *scan = (struct record_scan){ .bytes = view_make(g->room, s->end),
                                  .segment = s->number,
                                  .seed = s->seed,
                                  .at = RECORD_HEAD,
                                  .batch = s->first_batch };
    if (g->loaded == i + 1)
        return 0;
    fd = openat(g->r->spool->log, name_of(s->number), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    got = file_read_all(fd, g->room, s->end, 0, &broken);
    close(fd);
    if (got < 0)
        return (int)got;
    memset(g->room + got, 0, s->end - (size_t)got);
    if (broken)
        log_error("segment_unreadable", LOG_STRING("file", name_of(s->number)));
    g->loaded = i + 1;
    return 0;
}

static void add_gap(struct reading *g, struct gap gap)
{
    if (g->gap_count == g->gap_room) {
        g->gap_room = g->gap_room == 0 ? 16 : g->gap_room * 2;
        g->gaps = memory_grow(g->gaps, g->gap_room, sizeof(*g->gaps));
    }
    g->gaps[g->gap_count++] = gap;
}

/* Whether the segment of that place is still there. */
static bool has_segment(const struct reading *g, uint64_t place)
{
    return place != 0 && ledger_find(g->r->ledger, record_segment(place)) != NULL;
}

static void note_record(struct reading *g, const struct record *r)
{
    struct record_message m;

    if (r->type == RECORD_FINISH && r->id != 0 && has_segment(g, record_get_finish(r)))
        idset_add(&g->finished, r->id);
    if (r->type == RECORD_COPY && record_get_message(r->meta, g->rcpts, &m) &&
        has_segment(g, m.was))
        idset_add(&g->stale, m.was);
}

/* The newest segment has none: it is not full. */
static bool load_digest(struct reading *g, size_t i)
{
    const struct source *s = &g->sources[i];

    if (i + 1 == g->source_count)
        return false;
    digest_begin(&g->digest, s->number, s->seed, s->end);
    return digest_load(&g->digest, g->r->spool->log) == 0;
}

/* So that the bodies are not read again. */
static void save_digest(struct reading *g, size_t i)
{
    if (i + 1 < g->source_count && !g->r->spool->read_only && digest_is_whole(&g->digest))
        ledger_find(g->r->ledger, g->sources[i].number)->indexed =
            digest_save(&g->digest, g->r->spool->log) == 0;
}

static void survey_digest(struct reading *g, size_t i)
{
    struct record r;
    uint64_t offset;

    ledger_find(g->r->ledger, g->sources[i].number)->indexed = true;
    while (digest_next(&g->digest, &r, &offset))
        note_record(g, &r);
}

static int survey_segment(struct reading *g, size_t i)
{
    struct record_scan scan;
    struct record r;
    enum record_step step;
    size_t from, to;
    int err;

    if (load_digest(g, i)) {
        survey_digest(g, i);
        return 0;
    }
    err = load(g, i, &scan);
    if (err < 0)
        return err;
    digest_begin(&g->digest, scan.segment, scan.seed, scan.bytes.len);
    g->batch_start = g->sound_end = RECORD_HEAD;
    while ((step = record_scan_next(&scan, &r, &from, &to)) != RECORD_END) {
        if (step != RECORD_GAP)
            g->batch_start = from - (size_t)r.back * RECORD_UNIT;
        if (step == RECORD_FOUND) {
            g->sound_end = to;
            note_record(g, &r);
            digest_add(&g->digest, &r, from);
        } else if (step == RECORD_BROKEN) {
            add_gap(g, (struct gap){ i, from, to, true, r.id, r.batch });
            idset_add(&g->lost, record_place(scan.segment, from));
        } else {
            add_gap(g, (struct gap){ .source = i, .from = from, .to = to });
        }
    }
    g->last_batch = scan.batch;
    save_digest(g, i);
    return 0;
}

/* ---- damage ---- */

static void report_damage(struct reading *g, const struct gap *gap)
{
    const struct source *s = &g->sources[gap->source];
    char copy[64];
    struct record_scan scan;

    g->r->damaged++;
    log_error("record_damaged", LOG_STRING("file", name_of(s->number)),
              LOG_U64("offset", gap->from), LOG_U64("size_bytes", gap->to - gap->from),
              gap->broken ? LOG_ID("message", gap->id) : (struct log_field){ .key = NULL });
    if (load(g, gap->source, &scan) < 0)
        return;
    snprintf(copy, sizeof(copy), "%012llx-%07zx.damaged", (unsigned long long)s->number, gap->from);
    spool_set_aside(g->r->spool, copy, view_sub(scan.bytes, gap->from, gap->to - gap->from));
}

/* In the newest segment, what belongs to the last batch was never acknowledged: that it is torn is
 * the way of power cuts. Everything before was durable once, so there a gap is damage. */
static void judge_newest(struct reading *g, struct gap *gap)
{
    struct gap damage = *gap;

    if (gap->broken ? gap->batch == g->last_batch : gap->from >= g->batch_start)
        return;
    if (!gap->broken)
        damage.to = MIN(gap->to, g->batch_start);
    report_damage(g, &damage);
    gap->from = damage.to; /* the rest is torn */
}

static void judge_gaps(struct reading *g)
{
    for (size_t i = 0; i < g->gap_count; i++) {
        if (g->gaps[i].source + 1 == g->source_count)
            judge_newest(g, &g->gaps[i]);
        else
            report_damage(g, &g->gaps[i]);
    }
}

/* ---- replay ---- */

static void tell_settled(struct reading *g, const struct record_message *m, uint64_t segment,
                         struct store_ref where)
{
    struct store_outcome o = { .message = m->about,
                               .rcpts = m->settles,
                               .rcpt_count = m->settle_count,
                               .state = STORE_FAILED };
    struct store_change c = { .message = m->about, .kind = STORE_NOTICED };

    if (!idset_has(&g->live, m->about))
        return;
    for (size_t i = 0; i < m->settle_count; i++)
        ledger_note(g->r->ledger, m->about, m->settles[i], segment, 0);
    if (m->settle_count > 0) {
        g->r->replay->outcome(g->r->replay, &o, where);
    } else {
        ledger_note(g->r->ledger, m->about, LEDGER_NOTICE, segment, 0);
        g->r->replay->change(g->r->replay, &c);
    }
}

/* A large body that is gone or cut: what is left of the message is kept aside. */
static bool has_body(struct reading *g, const struct record_message *m)
{
    int fd;

    if (!m->big)
        return true;
    fd = bodies_read(g->r->spool, m->file, m->body_bytes);
    if (fd < 0)
        return false;
    close(fd);
    idset_add(&g->r->bodies, m->file);
    return true;
}

static void tell_message(struct reading *g, size_t source, const struct record *r,
                         struct store_ref where)
{
    uint64_t segment = g->sources[source].number;
    struct record_message m;

    if (idset_has(&g->lost, where.place) || idset_has(&g->stale, where.place) ||
        idset_has(&g->finished, r->id))
        return;
    if (!record_get_message(r->meta, g->rcpts, &m)) {
        report_damage(g, &(struct gap){ source, record_offset(where.place),
                                        record_offset(where.place) + where.bytes, true, r->id,
                                        r->batch });
        return;
    }
    if (!has_body(g, &m)) {
        report_damage(g, &(struct gap){ source, record_offset(where.place),
                                        record_offset(where.place) + where.bytes, true, r->id,
                                        r->batch });
        return;
    }
    if (m.big)
        where.place |= PLACE_BIG;
    idset_add(&g->live, r->id);
    ledger_come(ledger_find(g->r->ledger, segment), where.bytes);
    g->r->live_messages++;
    g->r->live_bytes += where.bytes;
    g->r->replay->message(g->r->replay, r->id, where, m.envelope, m.body_bytes);
}

static void tell_outcome(struct reading *g, uint64_t segment, const struct record *r,
                         struct store_ref where)
{
    struct store_outcome o;

    if (!idset_has(&g->live, r->id) || !record_get_outcome(r, g->rcpts, &o))
        return;
    for (size_t i = 0; i < o.rcpt_count; i++)
        ledger_note(g->r->ledger, r->id, o.rcpts[i], segment, 0);
    g->r->replay->outcome(g->r->replay, &o, where);
}

static void tell_change(struct reading *g, uint64_t segment, const struct record *r)
{
    struct store_change c;

    if (!idset_has(&g->live, r->id) || !record_get_change(r, &c))
        return;
    ledger_note(g->r->ledger, r->id, c.kind == STORE_NOTICED ? LEDGER_NOTICE : LEDGER_CHANGE,
                segment, 0);
    g->r->replay->change(g->r->replay, &c);
}

/* What a notice says about another message counts even when the notice itself is finished. */
static void tell_about(struct reading *g, uint64_t segment, const struct record *r,
                       struct store_ref where)
{
    struct record_message m;

    where.bytes = (uint32_t)(RECORD_HEADER + r->meta.len);
    if (record_get_message(r->meta, g->rcpts, &m) && m.about != 0 &&
        !idset_has(&g->lost, where.place))
        tell_settled(g, &m, segment, where);
    if (r->type == RECORD_COPY && m.was != 0)
        ledger_tie(g->r->ledger, segment, record_segment(m.was), true);
}

static struct store_ref place_of(const struct reading *g, size_t i, const struct record *r,
                                 size_t from)
{
    return (struct store_ref){ record_place(g->sources[i].number, from),
                               (uint32_t)(RECORD_HEADER + r->meta.len + r->body.len) };
}

static void tell_if_message(struct reading *g, size_t i, const struct record *r, size_t from)
{
    if (r->type == RECORD_MESSAGE || r->type == RECORD_COPY)
        tell_message(g, i, r, place_of(g, i, r, from));
}

static void tell_what_happened(struct reading *g, size_t i, const struct record *r, size_t from)
{
    uint64_t segment = g->sources[i].number;
    struct store_ref where = place_of(g, i, r, from);

    if (r->type == RECORD_MESSAGE || r->type == RECORD_COPY)
        tell_about(g, segment, r, where);
    else if (r->type == RECORD_OUTCOME)
        tell_outcome(g, segment, r, where);
    else if (r->type == RECORD_CHANGE)
        tell_change(g, segment, r);
    else if (r->type == RECORD_FINISH)
        ledger_tie(g->r->ledger, segment, record_segment(record_get_finish(r)), false);
}

typedef void teller(struct reading *g, size_t i, const struct record *r, size_t from);

static int replay_segment(struct reading *g, size_t i, teller *each)
{
    struct record_scan scan;
    struct record r;
    enum record_step step;
    uint64_t offset;
    size_t from, to;
    int err;

    if (load_digest(g, i)) {
        while (digest_next(&g->digest, &r, &offset))
            each(g, i, &r, offset);
        return 0;
    }
    err = load(g, i, &scan);
    if (err < 0)
        return err;
    scan.trusting = true; /* bodies were looked at by survey_segment */
    while ((step = record_scan_next(&scan, &r, &from, &to)) != RECORD_END) {
        if (step == RECORD_FOUND)
            each(g, i, &r, from);
    }
    return 0;
}

/* ---- going on ---- */

/* Padding over what is torn between whole records of the last batch: the next reader shall not take
 * it for damage. */
static int pad_gap(struct reading *g, const struct source *s, const struct gap *gap, int fd)
{
    char header[RECORD_HEADER];
    struct record r = { .type = RECORD_PADDING,
                        .batch = g->last_batch,
                        .back = (uint32_t)((gap->from - g->batch_start) / RECORD_UNIT),
                        .body = { NULL, gap->to - gap->from - RECORD_HEADER } };

    record_seal(header, &r, s->seed);
    return file_write_all(fd, view_make(header, sizeof(header)), gap->from);
}

/* `closed`: the log goes on in another segment, so this one needs its end. */
static int mend_newest(struct reading *g, const struct source *s, int fd, bool closed)
{
    struct gap rest = { .from = g->sound_end, .to = s->end };
    int err = 0;

    for (size_t i = 0; i < g->gap_count && err == 0; i++) {
        const struct gap *gap = &g->gaps[i];

        if (gap->source + 1 != g->source_count || gap->from == gap->to)
            continue;
        if (gap->broken || gap->to <= g->sound_end)
            g->r->torn_bytes += gap->to - gap->from;
        if (gap->to <= g->sound_end)
            err = pad_gap(g, s, gap, fd);
    }
    if (err == 0 && closed && rest.from < rest.to)
        err = pad_gap(g, s, &rest, fd);
    /* After a kill, some of it may be in the page cache alone, and it has been replayed. */
    if (err == 0 && fdatasync(fd) < 0)
        err = -errno;
    return err;
}

static int resume(struct reading *g)
{
    struct recovery *r = g->r;
    const struct source *s = &g->sources[g->source_count - 1];
    bool closed = s->number != r->highest;
    int err;

    r->next_batch = g->last_batch + 1;
    if (r->spool->read_only)
        return 0;
    r->fd = openat(r->spool->log, name_of(s->number), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    err = r->fd < 0 ? -errno : mend_newest(g, s, r->fd, closed);
    if (err == 0 && !closed) {
        r->current = ledger_find(r->ledger, s->number);
        r->tail = g->sound_end;
        return 0;
    }
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
    return err;
}

/* So that the ids of a spool that was removed do not come again with the next one: the names of
 * delivered files are made of ids. */
static uint64_t first_number(void)
{
    return MAX(clock_wall_ms(), 1); /* no disk fills a segment each millisecond */
}

static int read_log(struct reading *g)
{
    int err = open_sources(g);

    if (err < 0)
        return err;
    add_to_ledger(g);
    apply_cuts(g);
    if (g->r->spool->log >= 0 && !g->r->spool->read_only)
        (void)!folder_each(g->r->spool->log, drop_stray_index, g);
    if (g->source_count == 0)
        return 0;
    g->room = memory_new(g->room_bytes);
    for (size_t i = 0; i < g->source_count && err == 0; i++)
        err = survey_segment(g, i);
    if (err == 0)
        judge_gaps(g);
    for (size_t i = 0; i < g->source_count && err == 0; i++)
        err = replay_segment(g, i, tell_if_message);
    for (size_t i = 0; i < g->source_count && err == 0; i++)
        err = replay_segment(g, i, tell_what_happened);
    return err == 0 ? resume(g) : err;
}

static void release(struct reading *g)
{
    free(g->sources);
    free(g->gaps);
    free(g->room);
    digest_release(&g->digest);
    idset_release(&g->finished);
    idset_release(&g->lost);
    idset_release(&g->stale);
    idset_release(&g->live);
    free(g);
}

int recover(struct recovery *r, struct error *err)
{
    struct reading *g = memory_new(sizeof(*g));
    uint64_t began_ms = clock_monotonic_ms();
    int result = 0;

    g->r = r;
    r->fd = -1;
    r->next_batch = 1;
    if (r->spool->log >= 0)
        result = folder_each(r->spool->log, list_segment, g);
    if (g->source_count > 0)
        qsort(g->sources, g->source_count, sizeof(*g->sources), compare_sources);
    if (result == 0)
        result = read_log(g);
    if (r->highest == 0)
        r->highest = first_number() - 1;
    if (result < 0)
        error_set(err, result, "cannot read the log of the spool: %s", strerror(-result));
    else
        log_info("spool_recovered", LOG_U64("segments", g->source_count),
                 LOG_U64("messages", r->live_messages), LOG_U64("damaged", r->damaged),
                 LOG_U64("torn_bytes", r->torn_bytes),
                 LOG_U64("duration_ms", clock_monotonic_ms() - began_ms));
    release(g);
    return result;
}
