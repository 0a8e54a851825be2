#include "queue/check.h"

#include "common/buf.h"
#include "common/crc32c.h"
#include "common/memory.h"
#include "mail/envelope.h"
#include "queue/bodies.h"
#include "queue/idset.h"
#include "queue/record.h"
#include "queue/shelf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILE_ROOM = 48,  /* "big/1a/1a2b3c4d5e6f7081.eml" */
    LINE_ROOM = 512, /* of the report */
    PIECE = 1 << 20, /* bytes of a large body that are read at a time */
};

struct place {
    uint64_t number; /* of the segment */
    uint64_t bytes, end;
    struct record_start start;
};

struct finding {
    char file[FILE_ROOM];
    uint64_t offset, bytes;
    uint64_t id; /* 0: not known */
    const char *what;
};

struct large {
    uint64_t id, place, file, bytes;
    uint32_t crc;
};

/* One look at the whole spool. */
struct look {
    const struct spool *spool;
    char uuid[SPOOL_UUID_LEN];
    bool uuid_known;
    struct place *places; /* by number */
    size_t place_count, place_room;
    struct finding *findings;
    size_t finding_count, finding_room;
    struct large *larges;
    size_t large_count, large_room;
    struct idset messages, finished;
    struct idset left; /* places from where a message was moved */
    uint64_t records, bodies;
    char *room;
    uint64_t room_bytes;
    uint32_t rcpts[ENVELOPE_RCPTS_MAX];
    int error;
};

/* ---- findings ---- */

static void add_finding(struct look *k, struct finding f)
{
    if (k->finding_count == k->finding_room) {
        k->finding_room = k->finding_room == 0 ? 16 : k->finding_room * 2;
        k->findings = memory_grow(k->findings, k->finding_room, sizeof(*k->findings));
    }
    k->findings[k->finding_count++] = f;
}

static void find_in_segment(struct look *k, const struct place *p, uint64_t from, uint64_t to,
                            uint64_t id, const char *what)
{
    struct finding f = { .offset = from, .bytes = to - from, .id = id, .what = what };
    char name[SHELF_NAME];

    segment_name(p->number, name);
    snprintf(f.file, sizeof(f.file), "log/%s", name);
    add_finding(k, f);
}

static bool found_too(const struct look *k, const struct finding *f)
{
    for (size_t i = 0; i < k->finding_count; i++) {
        const struct finding *o = &k->findings[i];

        if (strcmp(o->file, f->file) == 0 && o->offset == f->offset && o->what == f->what)
            return true;
    }
    return false;
}

/* ---- which segments are there ---- */

static void list_segment(void *arg, const char *name)
{
    struct look *k = arg;
    uint64_t number;

    if (!segment_number(view_of(name), &number))
        return;
    if (k->place_count == k->place_room) {
        k->place_room = k->place_room == 0 ? 16 : k->place_room * 2;
        k->places = memory_grow(k->places, k->place_room, sizeof(*k->places));
    }
    k->places[k->place_count++] = (struct place){ .number = number };
}

static int compare_places(const void *a, const void *b)
{
    uint64_t x = ((const struct place *)a)->number, y = ((const struct place *)b)->number;

    return (x > y) - (x < y);
}

static int open_segment(const struct look *k, uint64_t number)
{
    char name[SHELF_NAME];
    int fd;

    segment_name(number, name);
    fd = openat(k->spool->log, name, SPOOL_READING);
    return fd < 0 ? -errno : fd;
}

static bool is_ours(struct look *k, struct view uuid)
{
    if (uuid.len != SPOOL_UUID_LEN)
        return false;
    if (!k->uuid_known)
        memcpy(k->uuid, uuid.ptr, SPOOL_UUID_LEN);
    k->uuid_known = true;
    return memcmp(k->uuid, uuid.ptr, SPOOL_UUID_LEN) == 0;
}

/* Whether there are records to look at. */
static bool judge_head(struct look *k, struct place *p, struct view head)
{
    switch (record_get_head(head, p->number, &p->start)) {
    case RECORD_HEAD_STALE: /* about to be used */
        return false;
    case RECORD_HEAD_LOST:
        find_in_segment(k, p, 0, RECORD_HEAD, 0, "both copies of the segment's head are damaged");
        return false;
    case RECORD_HEAD_HALF:
        find_in_segment(k, p, 0, RECORD_HEAD, 0, "one copy of the segment's head is damaged");
        break;
    case RECORD_HEAD_WHOLE:
        break;
    }
    if (is_ours(k, p->start.spool))
        return true;
    find_in_segment(k, p, 0, p->bytes, 0, "the segment belongs to another spool");
    return false;
}

static bool read_head(struct look *k, struct place *p)
{
    char head[RECORD_HEAD] = { 0 };
    struct stat facts = { .st_size = 0 };
    int fd = open_segment(k, p->number);
    bool broken;
    ssize_t got;

    if (fd == -ENOENT)
        return false; /* went meanwhile */
    got = fd < 0 ? fd : file_read_all(fd, head, sizeof(head), 0, &broken);
    if (fd >= 0 && fstat(fd, &facts) < 0)
        got = -errno;
    if (fd >= 0)
        close(fd);
    if (got < 0) {
        k->error = (int)got;
        return false;
    }
    p->bytes = p->end =
        MIN((uint64_t)facts.st_size, (uint64_t)SPOOL_SEGMENT_MAX) / RECORD_UNIT * RECORD_UNIT;
    return judge_head(k, p, view_make(head, sizeof(head)));
}

static void apply_cuts(struct look *k, const struct place *teller)
{
    for (size_t c = 0; c < teller->start.cut_count; c++) {
        for (struct place *p = k->places; p < teller; p++) {
            if (p->number == teller->start.cuts[c].segment)
                p->end = MIN(p->end, MAX(teller->start.cuts[c].offset, (uint64_t)RECORD_HEAD));
        }
    }
}

static void list_segments(struct look *k)
{
    size_t kept = 0;

    k->error = k->spool->log < 0 ? 0 : folder_each(k->spool->log, list_segment, k);
    if (k->place_count > 0)
        qsort(k->places, k->place_count, sizeof(*k->places), compare_places);
    for (size_t i = 0; i < k->place_count && k->error == 0; i++) {
        if (read_head(k, &k->places[i]))
            k->places[kept++] = k->places[i];
    }
    k->place_count = kept;
    for (size_t i = 0; i < kept; i++) {
        apply_cuts(k, &k->places[i]);
        k->room_bytes = MAX(k->room_bytes, k->places[i].bytes);
    }
}

/* ---- records ---- */

static void note_message(struct look *k, const struct place *p, const struct record *r,
                         uint64_t from, uint64_t to)
{
    struct record_message m;

    if (r->id != 0)
        idset_add(&k->messages, r->id);
    if (!record_get_message(r->meta, k->rcpts, &m)) {
        find_in_segment(k, p, from, to, r->id, "the record cannot be understood");
        return;
    }
    if (m.was != 0)
        idset_add(&k->left, m.was);
    if (!m.big)
        return;
    if (k->large_count == k->large_room) {
        k->large_room = k->large_room == 0 ? 16 : k->large_room * 2;
        k->larges = memory_grow(k->larges, k->large_room, sizeof(*k->larges));
    }
    k->larges[k->large_count++] = (struct large){
        .id = r->id,
        .place = record_place(p->number, from),
        .file = m.file,
        .bytes = m.body_bytes,
        .crc = m.body_crc,
    };
}

static void note_record(struct look *k, const struct place *p, const struct record *r,
                        uint64_t from, uint64_t to)
{
    struct store_outcome o;
    struct store_change c;
    bool sound = true;

    k->records++;
    if (r->type == RECORD_MESSAGE || r->type == RECORD_COPY)
        note_message(k, p, r, from, to);
    else if (r->type == RECORD_FINISH && r->id != 0)
        idset_add(&k->finished, r->id);
    else if (r->type == RECORD_OUTCOME)
        sound = record_get_outcome(r, k->rcpts, &o);
    else if (r->type == RECORD_CHANGE)
        sound = record_get_change(r, &c);
    if (!sound)
        find_in_segment(k, p, from, to, r->id, "the record cannot be understood");
}

/* In the newest segment, what belongs to the last batch was not acknowledged: it may be torn, or
 * is just being written. Takes back what was found there. */
static void forgive_last_batch(struct look *k, size_t first, uint64_t start)
{
    size_t kept = first;

    for (size_t i = first; i < k->finding_count; i++) {
        struct finding f = k->findings[i];

        if (f.offset >= start)
            continue;
        f.bytes = MIN(f.bytes, start - f.offset);
        k->findings[kept++] = f;
    }
    k->finding_count = kept;
}

static void scan_records(struct look *k, const struct place *p, bool newest)
{
    struct record_scan scan = { .bytes = view_make(k->room, p->end),
                                .segment = p->number,
                                .seed = record_seed(p->start.nonce),
                                .at = RECORD_HEAD,
                                .batch = p->start.first_batch };
    size_t from, to, first = k->finding_count;
    uint64_t batch_start = RECORD_HEAD;
    enum record_step step;
    struct record r;

    while ((step = record_scan_next(&scan, &r, &from, &to)) != RECORD_END) {
        if (step == RECORD_GAP) {
            find_in_segment(k, p, from, to, 0, "no record can be read here");
            continue;
        }
        batch_start = from - (uint64_t)r.back * RECORD_UNIT;
        if (step == RECORD_FOUND)
            note_record(k, p, &r, from, to);
        else
            find_in_segment(k, p, from, to, r.id, "the body of the message is damaged");
    }
    if (newest)
        forgive_last_batch(k, first, batch_start);
}

static void check_segment(struct look *k, const struct place *p, bool newest)
{
    int fd = open_segment(k, p->number);
    bool broken;
    ssize_t got;

    if (fd == -ENOENT)
        return;
    got = fd < 0 ? fd : file_read_all(fd, k->room, p->end, 0, &broken);
    if (fd >= 0)
        close(fd);
    if (got < 0) {
        k->error = (int)got;
        return;
    }
    memset(k->room + got, 0, p->end - (size_t)got);
    scan_records(k, p, newest);
}

/* ---- large bodies ---- */

static const char *read_body(struct look *k, int fd, const struct large *b)
{
    uint64_t at = 0;
    uint32_t crc = 0;
    bool broken = false;

    while (at < b->bytes && !broken) {
        ssize_t got = file_read_all(fd, k->room, MIN(b->bytes - at, (uint64_t)PIECE), at, &broken);

        if (got <= 0)
            return "the file cannot be read";
        crc = crc32c(crc, view_make(k->room, (size_t)got));
        at += (uint64_t)got;
    }
    if (broken)
        return "the file cannot be read";
    return crc == b->crc ? NULL : "the file's checksum is wrong";
}

static void check_body(struct look *k, const struct large *b)
{
    struct finding f = { .bytes = b->bytes, .id = b->id };
    int fd = bodies_read(k->spool, b->file, b->bytes);

    k->bodies++;
    if (fd == -EBADMSG)
        f.what = "the file is not there, or has a wrong length";
    else if (fd < 0)
        f.what = "the file cannot be opened";
    else
        f.what = read_body(k, fd, b);
    if (fd >= 0)
        close(fd);
    snprintf(f.file, sizeof(f.file), "big/%02x/%016" PRIx64 ".eml", (unsigned)(b->file >> 56),
             b->file);
    if (f.what != NULL)
        add_finding(k, f);
}

/* ---- the whole ---- */

static struct look *look_at(const struct spool *spool)
{
    struct look *k = memory_new(sizeof(*k));

    k->spool = spool;
    k->uuid_known = spool->uuid_known;
    memcpy(k->uuid, spool->uuid, sizeof(k->uuid));
    list_segments(k);
    k->room = memory_new(MAX(k->room_bytes, (uint64_t)PIECE));
    for (size_t i = 0; i < k->place_count && k->error == 0; i++)
        check_segment(k, &k->places[i], i + 1 == k->place_count);
    for (size_t i = 0; i < k->large_count && k->error == 0; i++) {
        const struct large *b = &k->larges[i];

        if (!idset_has(&k->finished, b->id) && !idset_has(&k->left, b->place))
            check_body(k, b);
    }
    free(k->room);
    k->room = NULL;
    return k;
}

static void free_look(struct look *k)
{
    free(k->places);
    free(k->findings);
    free(k->larges);
    idset_release(&k->messages);
    idset_release(&k->finished);
    idset_release(&k->left);
    free(k);
}

/* ---- the report ---- */

static void say(int fd, const struct buf *line)
{
    struct view rest = buf_view(line);

    while (rest.len > 0) {
        ssize_t n = write(fd, rest.ptr, rest.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nobody reads; the exit status tells */
        rest = view_from(rest, (size_t)n);
    }
}

static void report_finding(int fd, bool json, const struct finding *f)
{
    char room[LINE_ROOM];
    struct buf line = BUF_ON_ARRAY(room);

    if (json) {
        buf_printf(&line, "{\"v\":1,\"file\":\"%s\",\"offset\":%" PRIu64 ",\"bytes\":%" PRIu64,
                   f->file, f->offset, f->bytes);
        if (f->id != 0)
            buf_printf(&line, ",\"message\":\"%016" PRIx64 "\"", f->id);
        buf_printf(&line, ",\"what\":\"%s\"}\n", f->what);
    } else {
        buf_printf(&line, "%s: offset %" PRIu64 ", %" PRIu64 " bytes: ", f->file, f->offset,
                   f->bytes);
        if (f->id != 0)
            buf_printf(&line, "message %016" PRIx64 ": ", f->id);
        buf_printf(&line, "%s\n", f->what);
    }
    say(fd, &line);
}

static uint64_t count_unfinished(const struct look *k)
{
    uint64_t count = 0;

    for (size_t i = 0; i < k->messages.room; i++)
        count += k->messages.slots[i] != 0 && !idset_has(&k->finished, k->messages.slots[i]);
    return count;
}

static void report_numbers(int fd, bool json, const struct look *k, size_t damaged)
{
    char room[LINE_ROOM];
    struct buf line = BUF_ON_ARRAY(room);

    if (json)
        buf_printf(
            &line,
            "{\"v\":1,\"end\":true,\"segments\":%zu,\"records\":%" PRIu64 ",\"messages\":%zu,"
            "\"unfinished\":%" PRIu64 ",\"large_bodies\":%" PRIu64 ",\"damaged\":%zu}\n",
            k->place_count, k->records, k->messages.count, count_unfinished(k), k->bodies, damaged);
    else
        buf_printf(&line,
                   "segments %zu, records %" PRIu64 ", messages %zu (unfinished %" PRIu64
                   "), large bodies %" PRIu64 ", damaged %zu\n",
                   k->place_count, k->records, k->messages.count, count_unfinished(k), k->bodies,
                   damaged);
    say(fd, &line);
}

static enum check_result report(int fd, bool json, const struct look *first,
                                const struct look *last)
{
    size_t damaged = 0;

    for (size_t i = 0; i < last->finding_count; i++) {
        if (first != last && !found_too(first, &last->findings[i]))
            continue;
        report_finding(fd, json, &last->findings[i]);
        damaged++;
    }
    report_numbers(fd, json, last, damaged);
    return damaged > 0 ? CHECK_DAMAGED : CHECK_SOUND;
}

enum check_result check_spool(int fd, bool json, struct error *err)
{
    enum check_result result = CHECK_FAILED;
    struct look *first, *last;
    struct spool spool;

    if (spool_open(&spool, ".", true, err) < 0)
        return CHECK_FAILED;
    first = last = look_at(&spool);
    if (first->error == 0 && first->finding_count > 0)
        last = look_at(&spool);
    if (last->error < 0)
        error_set(err, last->error, "cannot read the spool: %s", strerror(-last->error));
    else
        result = report(fd, json, first, last);
    if (last != first)
        free_look(last);
    free_look(first);
    spool_close(&spool);
    return result;
}
