#include "queue/check.h"

#include "common/buf.h"
#include "common/crc32c.h"
#include "common/memory.h"
#include "queue/bodies.h"
#include "queue/survey.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FILE_ROOM = 48,  /* "big/1a/1a2b3c4d5e6f7081.eml" */
    LINE_ROOM = 512, /* of the report */
    PIECE = 1 << 20, /* bytes of a large body that are read at a time */
};

struct kept_finding {
    struct finding finding;
    char file[FILE_ROOM]; /* finding.file */
};

/* One look at the whole spool. */
struct look {
    struct inspector inspector;
    struct spool spool;
    struct ledger ledger;
    struct survey survey;
    struct kept_finding *findings;
    size_t finding_count, finding_room;
    struct idset messages;
    uint64_t records, bodies;
    char piece[PIECE];
};

/* ---- what is found ---- */

static void on_found(struct inspector *i, const struct finding *f)
{
    struct look *k = container_of(i, struct look, inspector);
    struct kept_finding *kept;

    if (k->finding_count == k->finding_room) {
        k->finding_room = k->finding_room == 0 ? 16 : k->finding_room * 2;
        k->findings = memory_grow(k->findings, k->finding_room, sizeof(*k->findings));
    }
    kept = &k->findings[k->finding_count++];
    kept->finding = *f;
    snprintf(kept->file, sizeof(kept->file), "%s", f->file);
}

static bool found_too(const struct look *k, const struct kept_finding *f)
{
    for (size_t i = 0; i < k->finding_count; i++) {
        const struct kept_finding *o = &k->findings[i];

        if (strcmp(o->file, f->file) == 0 && o->finding.offset == f->finding.offset &&
            o->finding.what == f->finding.what)
            return true;
    }
    return false;
}

/* ---- records ---- */

static bool is_understood(struct look *k, const struct record *r)
{
    struct record_message m;
    struct store_outcome o;
    struct store_change c;

    if (r->type == RECORD_MESSAGE || r->type == RECORD_COPY)
        return record_get_message(r->meta, k->survey.rcpts, &m);
    if (r->type == RECORD_OUTCOME)
        return record_get_outcome(r, k->survey.rcpts, &o);
    return r->type != RECORD_CHANGE || record_get_change(r, &c);
}

static void on_record(struct inspector *i, const struct record *r, const struct finding *place)
{
    struct look *k = container_of(i, struct look, inspector);
    struct finding f = *place;

    k->records++;
    if (r->id != 0 && (r->type == RECORD_MESSAGE || r->type == RECORD_COPY))
        idset_add(&k->messages, r->id);
    f.what = "the record cannot be understood";
    if (!is_understood(k, r))
        on_found(i, &f);
}

/* ---- large bodies ---- */

static const char *read_body(struct look *k, int fd, const struct large *l)
{
    uint64_t at = 0;
    uint32_t crc = 0;
    bool broken = false;

    while (at < l->bytes && !broken) {
        ssize_t got = file_read_all(fd, k->piece, MIN(l->bytes - at, (uint64_t)PIECE), at, &broken);

        if (got <= 0)
            return "the file cannot be read";
        crc = crc32c(crc, view_make(k->piece, (size_t)got));
        at += (uint64_t)got;
    }
    if (broken)
        return "the file cannot be read";
    return crc == l->crc ? NULL : "the file's checksum is wrong";
}

static void on_body(struct inspector *i, const struct large *l)
{
    struct look *k = container_of(i, struct look, inspector);
    char file[FILE_ROOM];
    struct finding f = { .file = file, .bytes = l->bytes, .id = l->id };
    int fd = bodies_read(&k->spool, l->file, l->bytes);

    k->bodies++;
    if (fd == -EBADMSG)
        f.what = "the file is not there, or has a wrong length";
    else if (fd < 0)
        f.what = "the file cannot be opened";
    else
        f.what = read_body(k, fd, l);
    f.error = fd < 0 && fd != -EBADMSG ? -fd : 0;
    if (fd >= 0)
        close(fd);
    snprintf(file, sizeof(file), "big/%02x/%016" PRIx64 ".eml", (unsigned)(l->file >> 56), l->file);
    if (f.what != NULL)
        on_found(i, &f);
}

/* ---- the whole ---- */

static void free_look(struct look *k)
{
    survey_release(&k->survey);
    ledger_release(&k->ledger);
    spool_close(&k->spool);
    idset_release(&k->messages);
    free(k->findings);
    free(k);
}

/* NULL: *err says why. */
static struct look *look_at(struct error *err)
{
    const struct finding lost = { .file = "format", .what = "it is damaged, or lost" };
    struct look *k = memory_new(sizeof(*k));
    int result = spool_open(&k->spool, ".", true, err);

    if (result == 0 && k->spool.log < 0 && faccessat(k->spool.root, "format", F_OK, 0) < 0) {
        result = error_set(err, -ENOENT, "this is no spool: neither format nor log/ is there");
        spool_close(&k->spool);
    }
    if (result < 0) {
        free(k);
        return NULL;
    }
    ledger_init(&k->ledger);
    k->inspector = (struct inspector){ on_found, on_record, on_body };
    if (!k->spool.uuid_known)
        on_found(&k->inspector, &lost);
    result = survey_take(&k->survey, &k->spool, &k->ledger, &k->inspector);
    if (result == 0)
        return k;
    error_set(err, result, "cannot read the spool: %s", strerror(-result));
    free_look(k);
    return NULL;
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

static void report_finding(int fd, bool json, const struct kept_finding *kept)
{
    const struct finding *f = &kept->finding;
    const char *why = f->error != 0 ? strerror(f->error) : "";
    char room[LINE_ROOM];
    struct buf line = BUF_ON_ARRAY(room);

    if (json) {
        buf_printf(&line, "{\"v\":1,\"file\":\"%s\",\"offset\":%" PRIu64 ",\"bytes\":%" PRIu64,
                   kept->file, f->offset, f->bytes);
        if (f->id != 0)
            buf_printf(&line, ",\"message\":\"%016" PRIx64 "\"", f->id);
        buf_printf(&line, ",\"what\":\"%s%s%s\"}\n", f->what, f->error != 0 ? ": " : "", why);
    } else {
        buf_printf(&line, "%s: offset %" PRIu64 ", %" PRIu64 " bytes: ", kept->file, f->offset,
                   f->bytes);
        if (f->id != 0)
            buf_printf(&line, "message %016" PRIx64 ": ", f->id);
        buf_printf(&line, "%s%s%s\n", f->what, f->error != 0 ? ": " : "", why);
    }
    say(fd, &line);
}

static void report_numbers(int fd, bool json, const struct look *k, size_t damaged)
{
    char room[LINE_ROOM];
    struct buf line = BUF_ON_ARRAY(room);
    size_t unfinished = idset_count_without(&k->messages, &k->survey.finished);

    if (json)
        buf_printf(
            &line,
            "{\"v\":1,\"end\":true,\"segments\":%zu,\"records\":%" PRIu64 ",\"messages\":%zu,"
            "\"unfinished\":%zu,\"large_bodies\":%" PRIu64 ",\"damaged\":%zu}\n",
            k->survey.source_count, k->records, k->messages.count, unfinished, k->bodies, damaged);
    else
        buf_printf(&line,
                   "segments %zu, records %" PRIu64
                   ", messages %zu (unfinished %zu), large bodies %" PRIu64 ", damaged %zu\n",
                   k->survey.source_count, k->records, k->messages.count, unfinished, k->bodies,
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
    struct look *first = look_at(err), *last = first;

    if (first != NULL && first->finding_count > 0)
        last = look_at(err);
    if (last != NULL)
        result = report(fd, json, first, last);
    if (last != NULL && last != first)
        free_look(last);
    if (first != NULL)
        free_look(first);
    return result;
}
