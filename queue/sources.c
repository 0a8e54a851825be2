#include "queue/sources.h"

#include "common/memory.h"
#include "io/clock.h"
#include "io/log.h"
#include "queue/shelf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEGMENT_STEP = 4096 }; /* segments have a multiple of so many bytes */

const char *source_name(uint64_t number)
{
    static char name[SHELF_NAME];

    segment_name(number, name);
    return name;
}

const char *source_path(uint64_t number)
{
    static char path[SHELF_NAME + 4];

    snprintf(path, sizeof(path), "log/%s", source_name(number));
    return path;
}

bool source_tell(struct survey *v, struct finding f)
{
    if (v->inspector != NULL)
        v->inspector->found(v->inspector, &f);
    return v->inspector != NULL;
}

static void note_number(struct survey *v, uint64_t number)
{
    uint64_t *highest = &v->highest[segment_stream(number)];

    *highest = MAX(*highest, number);
}

/* ---- which are there ---- */

static void list_segment(void *arg, const char *name)
{
    struct survey *v = arg;
    uint64_t number;

    if (segment_index_number(view_of(name), &number))
        return;
    if (!segment_number(view_of(name), &number)) {
        if (v->inspector == NULL)
            log_warn("foreign_file", LOG_STRING("file", name));
        return;
    }
    if (v->source_count == v->source_room) {
        v->source_room = v->source_room == 0 ? 16 : v->source_room * 2;
        v->sources = memory_grow(v->sources, v->source_room, sizeof(*v->sources));
    }
    v->sources[v->source_count++] = (struct source){ .number = number };
}

static void note_any(void *arg, const char *name)
{
    bool *any = arg;

    (void)name;
    *any = true;
}

static bool has_files(int folder)
{
    bool any = false;

    return folder >= 0 && folder_each(folder, note_any, &any) == 0 && any;
}

static bool has_history(const struct spool *s)
{
    int fd = openat(s->root, "history", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    bool any = has_files(fd);

    if (fd >= 0)
        close(fd);
    return any;
}

/* Where there was mail there is the newest segment of its stream: nothing removes that. Folders in
 * big/ count, too: they are made for a body. */
static bool has_lost_its_log(const struct survey *v)
{
    const struct spool *s = v->spool;

    return v->source_count == 0 && ((s->log < 0 && s->uuid_known) || has_files(s->big) ||
                                    has_files(s->bad) || has_history(s));
}

static void report_lost_log(struct survey *v)
{
    v->damaged++;
    if (!source_tell(v,
                     (struct finding){ .file = "log",
                                       .what = "no segment is there, though the spool was used" }))
        log_error("log_lost", LOG_STRING("folder", "log"),
                  LOG_STRING("advice", "stop Tern, bring the segments back to log/, and what was "
                                       "moved to bad/ to its folder in big/"));
}

static int compare_sources(const void *a, const void *b)
{
    uint64_t x = ((const struct source *)a)->number, y = ((const struct source *)b)->number;

    return (x > y) - (x < y);
}

static void set_source(struct source *s, const struct record_start *start, uint64_t bytes)
{
    s->end = bytes / RECORD_UNIT * RECORD_UNIT;
    s->bytes = MAX(s->end, MIN(start->bytes, (uint64_t)SPOOL_SEGMENT_MAX));
    s->cut_short = s->end < s->bytes;
    s->seed = record_seed(start->nonce);
    s->first_batch = start->first_batch;
    memcpy(s->spool, start->spool.ptr, SPOOL_UUID_LEN);
    memcpy(s->cuts, start->cuts, sizeof(s->cuts));
    s->cut_count = start->cut_count;
    s->left = start->left;
    s->tells_left = start->tells_left;
}

static void lose_segment(struct survey *v, uint64_t number, const char *why)
{
    v->damaged++;
    if (source_tell(v, (struct finding){ .file = source_path(number), .what = why }))
        return;
    log_error("segment_damaged", LOG_STRING("file", source_name(number)), LOG_STRING("why", why));
    spool_move_aside(v->spool, v->spool->log, source_name(number));
}

static void leave(struct survey *v, struct withheld w)
{
    struct segment *s = ledger_find(v->ledger, w.number);

    v->damaged++;
    if (v->unread == v->withheld_room) {
        v->withheld_room = v->withheld_room == 0 ? 4 : v->withheld_room * 2;
        v->withheld = memory_grow(v->withheld, v->withheld_room, sizeof(*v->withheld));
    }
    v->withheld[v->unread++] = w;
    note_number(v, w.number);
    if (!source_tell(v, (struct finding){ .file = source_path(w.number),
                                          .what = "the segment cannot be read, or not wholly",
                                          .error = w.error }))
        log_error("segment_unreadable", LOG_STRING("file", source_name(w.number)),
                  LOG_ERRNO("error", w.error));
    if (s == NULL)
        s = ledger_add(v->ledger, w.number);
    s->begun = s->stubborn = s->indexed = true;
    ledger_come(s, 0);
}

void source_leave(struct survey *v, uint64_t number, int err)
{
    leave(v, (struct withheld){ .number = number, .error = -err });
}

void source_leave_unwritable(struct survey *v, uint64_t number, int err)
{
    leave(v, (struct withheld){ .number = number, .error = -err, .unwritable = true });
}

void source_break(struct survey *v, struct source *s, int err)
{
    if (s->broken)
        return;
    s->broken = true;
    source_leave(v, s->number, err);
}

bool source_lacks_means(int err)
{
    return err == -EMFILE || err == -ENFILE || err == -ENOMEM;
}

/* A write began nothing here: nobody was answered. */
static void return_segment(const struct spool *s, const char *name)
{
    if (!s->read_only && renameat(s->log, name, s->free, name) < 0)
        log_warn("segment_not_recycled", LOG_STRING("file", name), LOG_ERRNO("error", errno));
}

static int read_head(int fd, char head[static RECORD_HEAD], uint64_t *bytes, bool *broken)
{
    struct stat facts;
    ssize_t got;

    if (fstat(fd, &facts) < 0)
        return -errno;
    if (!S_ISREG(facts.st_mode))
        return -EINVAL;
    *bytes = MIN((uint64_t)facts.st_size, (uint64_t)SPOOL_SEGMENT_MAX);
    memset(head, 0, RECORD_HEAD);
    got = file_read_all(fd, head, RECORD_HEAD, 0, broken);
    return got < 0 ? (int)got : 0;
}

static bool is_blank(struct view header)
{
    for (size_t i = 0; i < header.len; i++) {
        if (header.ptr[i] != '\0')
            return false;
    }
    return true;
}

/* Of how many batches there seem to be records behind the head; 2 are many. Without the nonce of
 * the segment nobody can know more. */
static unsigned count_batches(struct view bytes)
{
    uint64_t first = 0, batch;
    unsigned count = 0;

    for (size_t at = RECORD_HEAD; at < bytes.len && count < 2; at += RECORD_UNIT) {
        if (!record_claims_batch(view_from(bytes, at), &batch))
            continue;
        if (count == 0)
            first = batch;
        count += count == 0 || batch != first;
    }
    return count;
}

static unsigned look_behind(const struct survey *v, const struct source *s, uint64_t bytes)
{
    int fd = openat(v->spool->log, source_name(s->number), SPOOL_READING);
    char *room = memory_new(bytes);
    bool broken;
    ssize_t got = fd < 0 ? fd : file_read_all(fd, room, bytes, 0, &broken);
    unsigned count = count_batches(view_make(room, got < 0 ? 0 : (size_t)got));

    if (fd >= 0)
        close(fd);
    free(room);
    return count;
}

/* A write began nothing in the last segment of a stream: nobody was answered. It was renamed just
 * before a crash, and its head is blank or of a former life. Where a blank head has records of
 * several batches behind it, the first of them was durable with the head, which is lost; where they
 * are of a single one, that may be torn, but who knows: it is kept. */
static bool never_began(struct survey *v, const struct source *s, struct view head, uint64_t bytes)
{
    unsigned batches = 0;

    if (s->number <= v->highest[segment_stream(s->number)])
        return false;
    if (is_blank(view_sub(head, 0, RECORD_HEADER)) &&
        is_blank(view_sub(head, RECORD_HEAD_COPY, RECORD_HEADER)))
        batches = look_behind(v, s, bytes);
    if (batches == 0) {
        return_segment(v->spool, source_name(s->number));
    } else if (batches == 1) {
        note_number(v, s->number);
        spool_move_aside(v->spool, v->spool->log, source_name(s->number));
    }
    return batches < 2;
}

/* Each file has its whole length before it comes to log/, whatever a power cut does. */
static bool is_possible(uint64_t bytes)
{
    return bytes >= RECORD_HEAD && bytes % SEGMENT_STEP == 0;
}

/* What is left of it counts. */
static void report_short(struct survey *v, const struct source *s)
{
    v->damaged++;
    if (!source_tell(v, (struct finding){ .file = source_path(s->number),
                                          .offset = s->end,
                                          .bytes = s->bytes - s->end,
                                          .what = "the file is too short: its end is lost" }))
        log_error("segment_short", LOG_STRING("file", source_name(s->number)),
                  LOG_U64("size_bytes", s->end), LOG_U64("expected_bytes", s->bytes));
}

/* Whether there are records in it. */
static bool judge_head(struct survey *v, struct source *s, struct view head, uint64_t bytes)
{
    struct record_start start;
    enum record_head state = record_get_head(head, s->number, &start);

    if (state == RECORD_HEAD_STALE && is_possible(bytes) && never_began(v, s, head, bytes))
        return false;
    note_number(v, s->number);
    if (bytes < RECORD_HEAD) {
        lose_segment(v, s->number, "the file is too short: its head is lost");
        return false;
    }
    if (state == RECORD_HEAD_LOST || state == RECORD_HEAD_STALE) {
        lose_segment(v, s->number, "both copies of its head are damaged");
        return false;
    }
    if (start.spool.len != SPOOL_UUID_LEN) {
        lose_segment(v, s->number, "it belongs to another spool");
        return false;
    }
    if (state == RECORD_HEAD_HALF &&
        !source_tell(v, (struct finding){ .file = source_path(s->number),
                                          .bytes = RECORD_HEAD,
                                          .what = "one copy of the segment's head is damaged" }))
        log_warn("segment_head_damaged", LOG_STRING("file", source_name(s->number)));
    set_source(s, &start, bytes);
    if (s->cut_short)
        report_short(v, s);
    return true;
}

static int open_source(struct survey *v, struct source *s, bool *there)
{
    char head[RECORD_HEAD];
    uint64_t bytes = 0;
    bool broken = false;
    struct record_start start;
    int fd = openat(v->spool->log, source_name(s->number), SPOOL_READING);
    int err = fd < 0 ? -errno : read_head(fd, head, &bytes, &broken);

    if (fd >= 0)
        close(fd);
    if (broken &&
        record_get_head(view_make(head, sizeof(head)), s->number, &start) >= RECORD_HEAD_STALE)
        err = -EIO; /* what was not read looks blank */
    *there = err == 0 && judge_head(v, s, view_make(head, sizeof(head)), bytes);
    if (err < 0 && !source_lacks_means(err)) {
        source_leave(v, s->number, err);
        err = 0;
    }
    return err;
}

/* ---- whose they are ---- */

static bool is_of(const struct source *s, const char *uuid)
{
    return memcmp(s->spool, uuid, SPOOL_UUID_LEN) == 0;
}

static size_t count_of(const struct survey *v, const char *uuid)
{
    size_t count = 0;

    for (size_t i = 0; i < v->source_count; i++)
        count += is_of(&v->sources[i], uuid);
    return count;
}

/* The uuid that more than half of them have, if there is one; else that of one of them. */
static const char *common_uuid(const struct survey *v)
{
    const char *uuid = NULL;
    size_t votes = 0;

    for (size_t i = 0; i < v->source_count; i++) {
        if (votes == 0)
            uuid = v->sources[i].spool;
        if (is_of(&v->sources[i], uuid))
            votes++;
        else
            votes--;
    }
    return uuid;
}

/* One wrong digit in a small file must not make the log another spool's. */
static void settle_uuid(struct survey *v)
{
    struct spool *s = v->spool;
    const char *uuid = common_uuid(v);

    if (uuid == NULL || (s->uuid_known && count_of(v, s->uuid) >= count_of(v, uuid)))
        return;
    if (s->uuid_known &&
        !source_tell(v, (struct finding){ .file = "format",
                                          .what = "its uuid is not that of the segments" }))
        log_warn("spool_uuid_differs", LOG_STRING("file", "format"));
    memcpy(s->uuid, uuid, SPOOL_UUID_LEN);
    s->uuid_known = true;
}

static void lose_foreign(struct survey *v)
{
    size_t kept = 0;

    for (size_t i = 0; i < v->source_count; i++) {
        if (is_of(&v->sources[i], v->spool->uuid))
            v->sources[kept++] = v->sources[i];
        else
            lose_segment(v, v->sources[i].number, "it belongs to another spool");
    }
    v->source_count = kept;
}

/* From the newest on. */
static int open_sources(struct survey *v)
{
    size_t count = v->source_count, first = count;
    bool there;

    for (size_t i = count; i > 0; i--) {
        int err = open_source(v, &v->sources[i - 1], &there);

        if (err < 0)
            return err;
        if (there)
            v->sources[--first] = v->sources[i - 1];
    }
    v->source_count = count - first;
    if (v->source_count > 0)
        memmove(v->sources, v->sources + first, v->source_count * sizeof(*v->sources));
    return 0;
}

static void add_to_ledger(struct survey *v)
{
    for (size_t i = 0; i < v->source_count; i++) {
        const struct source *s = &v->sources[i];
        struct segment *segment = ledger_add(v->ledger, s->number);

        segment->bytes = s->bytes;
        segment->end = s->end;
        segment->seed = s->seed;
        segment->begun = true;
        v->room_bytes = MAX(v->room_bytes, s->bytes);
    }
}

struct source *source_of(struct survey *v, uint64_t number)
{
    for (size_t i = 0; i < v->source_count; i++) {
        if (v->sources[i].number == number)
            return &v->sources[i];
    }
    return NULL;
}

/* Index files of segments that have gone. */
static void drop_stray_index(void *arg, const char *name)
{
    struct survey *v = arg;
    uint64_t number;

    if (segment_index_number(view_of(name), &number) && source_of(v, number) == NULL)
        unlinkat(v->spool->log, name, 0);
}

/* What a later head says about where an earlier segment ends, or that it does not. */
static void apply_cuts(struct survey *v)
{
    for (size_t i = 0; i < v->source_count; i++) {
        const struct source *teller = &v->sources[i];

        ledger_tie(v->ledger, teller->number, teller->left);
        for (size_t k = 0; k < teller->cut_count; k++) {
            const struct record_cut *cut = &teller->cuts[k];
            struct source *s = source_of(v, cut->segment);

            if (s == NULL || s >= teller)
                continue;
            s->end = MIN(s->end, MAX(cut->offset, (uint64_t)RECORD_HEAD));
            ledger_find(v->ledger, s->number)->end = s->end;
            ledger_tie(v->ledger, teller->number, s->number);
        }
    }
}

/* Segments that were set aside at some start were the newest then, maybe. */
static void note_aside(void *arg, const char *name)
{
    enum { DIGITS = 12 };
    uint64_t number;

    if (strlen(name) > DIGITS && (name[DIGITS] == '.' || name[DIGITS] == '-') &&
        view_hex_to_u64(view_make(name, DIGITS), &number))
        note_number(arg, number);
}

/* ---- all of it ---- */

/* So that the ids of a spool that was removed do not come again with the next one: the names of
 * delivered files are made of ids. */
static uint64_t first_number(void)
{
    return MAX(clock_wall_ms(), 1); /* no disk fills a segment each millisecond */
}

int sources_find(struct survey *v)
{
    bool writing = v->spool->log >= 0 && !v->spool->read_only;
    int err = 0;

    if (v->spool->log >= 0)
        err = folder_each(v->spool->log, list_segment, v);
    if (err == 0 && has_lost_its_log(v))
        report_lost_log(v);
    if (v->source_count > 0)
        qsort(v->sources, v->source_count, sizeof(*v->sources), compare_sources);
    if (err == 0)
        err = open_sources(v);
    if (err < 0)
        return err;
    settle_uuid(v);
    lose_foreign(v);
    if (survey_highest(v) == 0)
        note_number(v, first_number() - 1);
    if (v->spool->bad >= 0)
        err = folder_each(v->spool->bad, note_aside, v);
    if (err < 0)
        return err;
    add_to_ledger(v);
    apply_cuts(v);
    return writing ? folder_each(v->spool->log, drop_stray_index, v) : 0;
}
