#include "queue/record.h"
#include "tests/unit/queue/spoolbox.h"
#include "tests/unit/unit.h"

#include "common/crc32c.h"
#include "common/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTOR = 512 };

/* ---- the bytes of the newest segment ---- */

static char *load(struct box *b)
{
    char path[192];
    char *bytes = memory_new(BOX_SEGMENT);
    int fd;

    box_newest_segment(b, path, sizeof(path));
    fd = open(path, O_RDONLY);
    check("read", fd >= 0 && pread(fd, bytes, BOX_SEGMENT, 0) == BOX_SEGMENT);
    close(fd);
    return bytes;
}

static void overwrite(struct box *b, size_t at, const char *bytes, size_t count)
{
    char path[192];
    int fd;

    box_newest_segment(b, path, sizeof(path));
    fd = open(path, O_WRONLY);
    check("written", fd >= 0 && pwrite(fd, bytes, count, (off_t)at) == (ssize_t)count);
    close(fd);
}

static size_t end_of(struct store_ref where)
{
    size_t end = (size_t)record_offset(where.place) + where.bytes;

    return (end + RECORD_UNIT - 1) / RECORD_UNIT * RECORD_UNIT;
}

/* ---- torn ends ---- */

enum { BEFORE = 5, LAST = 7, SIZE = 1500, TORN_TRIALS = 150 };

/* A spool whose last batch holds LAST messages, as it is when the power goes before the sync. */
struct torn {
    struct box box;
    struct box_commit *kept[BEFORE], *last[LAST];
    char *before, *after; /* bytes of the segment without and with the last batch */
    size_t from, to;      /* the last batch */
};

static void make_torn(struct torn *t)
{
    box_new(&t->box);
    box_open(&t->box, true);
    for (uint64_t i = 0; i < BEFORE; i++)
        t->kept[i] = box_accept(&t->box, i, SIZE);
    t->before = load(&t->box);
    for (uint64_t i = 0; i < LAST; i++) {
        t->last[i] = box_commit(&t->box, 100 + i, SIZE);
        store_accept(t->box.store, &t->last[i]->commit);
    }
    box_settle(&t->box);
    t->after = load(&t->box);
    box_close(&t->box); /* its last record is undone by what the test writes */
    t->from = (size_t)record_offset(t->last[0]->commit.where.place);
    t->to = end_of(t->last[LAST - 1]->commit.where);
}

static void free_torn(struct torn *t)
{
    for (size_t i = 0; i < BEFORE; i++)
        box_commit_free(t->kept[i]);
    for (size_t i = 0; i < LAST; i++)
        box_commit_free(t->last[i]);
    free(t->before);
    free(t->after);
    box_remove(&t->box);
}

/* Every sector of the last batch reached the disk or did not. */
static void tear(struct torn *t, uint64_t *random)
{
    char *bytes = memory_new(BOX_SEGMENT);

    memcpy(bytes, t->before, BOX_SEGMENT);
    for (size_t at = t->from / SECTOR * SECTOR; at < t->to; at += SECTOR) {
        if (random_below(random, 3) != 0)
            memcpy(bytes + at, t->after + at, SECTOR);
    }
    overwrite(&t->box, 0, bytes, BOX_SEGMENT);
    free(bytes);
}

static bool is_told_whole(struct box *b, const struct box_commit *c, uint64_t seed)
{
    const struct box_message *m = box_find(b, c->commit.id);

    return m != NULL && box_is_whole(b, m->id, m->where, seed, SIZE);
}

static void check_told(struct torn *t)
{
    size_t whole = 0;

    for (uint64_t i = 0; i < BEFORE; i++) {
        check("acknowledged", is_told_whole(&t->box, t->kept[i], i));
        whole++;
    }
    for (uint64_t i = 0; i < LAST; i++) {
        if (box_find(&t->box, t->last[i]->commit.id) == NULL)
            continue;
        check("unacknowledged but whole", is_told_whole(&t->box, t->last[i], 100 + i));
        whole++;
    }
    check("none invented", t->box.told_count == whole);
}

static void a_torn_batch_is_no_damage(void **state)
{
    struct torn t = { 0 };
    uint64_t random = 7;

    (void)state;
    make_torn(&t);
    for (int trial = 0; trial < TORN_TRIALS; trial++) {
        struct box_commit *next;
        struct store_numbers n;
        size_t told;

        tear(&t, &random);
        box_open(&t.box, true);
        check_told(&t);
        told = t.box.told_count;
        store_count(t.box.store, &n);
        check("no damage", n.damaged == 0);
        next = box_accept(&t.box, 999, SIZE);
        box_close(&t.box);
        box_open(&t.box, true); /* what was torn does not look like damage later on */
        store_count(t.box.store, &n);
        check("still none", n.damaged == 0 && box_count_files(&t.box, "bad") == 0);
        check("and the new one", t.box.told_count == told + 1 && is_told_whole(&t.box, next, 999));
        box_commit_free(next);
        box_close(&t.box);
    }
    free_torn(&t);
}

/* ---- damage ---- */

static void a_damaged_sector_costs_its_message_alone(void **state)
{
    enum { MESSAGES = 60, TRIALS = 200 };
    struct box b;
    struct box_commit *c[MESSAGES];
    char *sound;
    uint64_t random = 11;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    for (uint64_t i = 0; i < MESSAGES; i++)
        c[i] = box_accept(&b, i, SIZE);
    box_close(&b);
    sound = load(&b);
    for (int trial = 0; trial < TRIALS; trial++) {
        size_t last = end_of(c[MESSAGES - 1]->commit.where);
        size_t at = RECORD_HEAD + random_below(&random, (last - RECORD_HEAD) / SECTOR) * SECTOR;
        char noise[SECTOR];
        size_t lost = 0;
        struct store_numbers n;

        for (size_t i = 0; i < SECTOR; i++)
            noise[i] = (char)(uint8_t)random_below(&random, 256);
        overwrite(&b, 0, sound, BOX_SEGMENT);
        overwrite(&b, at, noise, SECTOR);
        box_open(&b, true);
        for (uint64_t i = 0; i < MESSAGES; i++) {
            size_t from = (size_t)record_offset(c[i]->commit.where.place);
            bool touched = from < at + SECTOR && end_of(c[i]->commit.where) > at;
            bool told = box_find(&b, c[i]->commit.id) != NULL;
            bool held = told && box_find(&b, c[i]->commit.id)->held > 0;
            bool front_whole = from + c[i]->commit.where.bytes - SIZE <= at || from >= at + SECTOR;

            lost += !told || held;
            check("the others are there", told || touched);
            check("and whole, or held", !told || is_told_whole(&b, c[i], i) != held);
            check("held, unless its envelope is lost", told || !front_whole);
        }
        store_count(b.store, &n);
        /* The zeros behind a record belong to nobody; one noise in them harms nothing. */
        check("one, or two that share the sector", lost <= 2);
        check("reported", (n.damaged > 0) == (lost > 0));
        check("a copy is kept", lost == 0 || box_count_files(&b, "bad") > 0);
        box_close(&b);
    }
    for (size_t i = 0; i < MESSAGES; i++)
        box_commit_free(c[i]);
    free(sound);
    box_remove(&b);
}

/* The last record that is whole is not the last one that counts. */
static void a_damaged_body_at_the_end_is_held_and_kept(void **state)
{
    struct box_commit *c[3];
    struct box b;
    char noise[100], *bytes;

    (void)state;
    memset(noise, 'x', sizeof(noise));
    box_new(&b);
    box_open(&b, true);
    for (uint64_t i = 0; i < 3; i++)
        c[i] = box_accept(&b, i, SIZE);
    overwrite(&b, end_of(c[1]->commit.where) - 200, noise, sizeof(noise));
    overwrite(&b, end_of(c[2]->commit.where) - 200, noise, sizeof(noise));
    bytes = load(&b);
    box_close(&b);
    overwrite(&b, 0, bytes, BOX_SEGMENT); /* the power went before that */
    free(bytes);
    box_open(&b, true);
    check("of the last batch nothing was acknowledged", b.told_count == 2);
    check("the one before is held", box_find(&b, c[1]->commit.id)->held == 1);
    box_commit_free(box_accept(&b, 7, SIZE));
    box_close(&b);
    box_open(&b, true);
    check("it is not written over", b.told_count == 3);
    check("and still held", box_find(&b, c[1]->commit.id)->held == 1);
    store_finish(b.store, c[1]->commit.id, c[1]->commit.where);
    box_close(&b);
    box_open(&b, true);
    check("until it is deleted", b.told_count == 2);
    for (size_t i = 0; i < 3; i++)
        box_commit_free(c[i]);
    box_remove(&b);
}

static void a_damaged_head_costs_nothing(void **state)
{
    struct box b;
    struct box_commit *c;
    char noise[SECTOR];

    (void)state;
    memset(noise, 'x', sizeof(noise));
    box_new(&b);
    box_open(&b, true);
    c = box_accept(&b, 1, SIZE);
    box_close(&b);
    overwrite(&b, 0, noise, sizeof(noise));
    box_open(&b, true);
    check("there", is_told_whole(&b, c, 1));
    box_close(&b);
    overwrite(&b, RECORD_HEAD_COPY, noise, sizeof(noise));
    box_open(&b, true);
    check("both copies: set aside", b.told_count == 0 && box_count_files(&b, "bad") == 1);
    box_commit_free(c);
    c = box_accept(&b, 2, SIZE);
    box_close(&b);
    box_open(&b, true);
    check("and a new segment", is_told_whole(&b, c, 2));
    box_commit_free(c);
    box_remove(&b);
}

/* The head of the only segment, as a disk gives it back that has lost two sectors. */
static void a_blank_head_is_damage_when_more_than_a_batch_lies_behind(void **state)
{
    (void)state;
    for (uint64_t more = 0; more < 3; more++) { /* than the one that tries the disk */
        static const char zeros[SECTOR];
        struct store_numbers n;
        struct box b;
        char *bytes;

        box_new(&b);
        box_open(&b, true);
        for (uint64_t i = 0; i < more; i++)
            box_commit_free(box_accept(&b, i, SIZE));
        bytes = load(&b);
        box_close(&b);
        overwrite(&b, 0, bytes, BOX_SEGMENT); /* nothing of the end in good order */
        free(bytes);
        overwrite(&b, 0, zeros, sizeof(zeros));
        overwrite(&b, RECORD_HEAD_COPY, zeros, sizeof(zeros));
        box_open(&b, true);
        store_count(b.store, &n);
        check("kept", b.told_count == 0 && box_count_files(&b, "bad") == 1);
        check("said", n.damaged == (more > 0));
        box_remove(&b);
    }
}

static void damage_found_when_reading(void **state)
{
    struct box b;
    struct box_commit *c;
    struct store_message m;
    char noise[100];

    (void)state;
    memset(noise, 'x', sizeof(noise));
    box_new(&b);
    box_open(&b, true);
    c = box_accept(&b, 1, SIZE);
    overwrite(&b, end_of(c->commit.where) - 200, noise, sizeof(noise));
    check("the body", store_read(b.store, c->commit.id, c->commit.where, true, &m) == -EBADMSG);
    check("set aside", box_count_files(&b, "bad") == 1);
    check("the envelope is whole",
          store_read(b.store, c->commit.id, c->commit.where, false, &m) == 0);
    store_message_release(&m);
    overwrite(&b, (size_t)record_offset(c->commit.where.place) + 70, noise, 10);
    check("now it is not",
          store_read(b.store, c->commit.id, c->commit.where, false, &m) == -EBADMSG);
    check("another id", store_read(b.store, c->commit.id + 1, c->commit.where, true, &m) < 0);
    box_commit_free(c);
    box_remove(&b);
}

/* ---- records in bodies ---- */

enum { TEMPTING = 12000 };

/* At every place where a record may begin, one that is whole but for the seed, which no sender
 * knows: a message, and the end of one that is there. `shift` is from the body's beginning. */
static struct view tempting_body(uint64_t victim, uint32_t seed, size_t shift)
{
    static const struct view meta = VIEW_INIT("body=0 crc=00000000\nfrom=\nrcpt=x@y.test\n");
    size_t span = record_span(meta.len, 0);
    char *bytes = memory_new(TEMPTING);

    for (size_t at = shift; at + span <= TEMPTING; at += span) {
        bool message = (at - shift) / span % 2 == 0;
        struct record r = { .type = message ? RECORD_COPY : RECORD_FINISH,
                            .id = victim + message,
                            .batch = 0xffff };

        r.meta = view_make(bytes + at + RECORD_HEADER, message ? meta.len : 0);
        memcpy(bytes + at + RECORD_HEADER, meta.ptr, r.meta.len);
        record_seal(bytes + at, &r, seed);
    }
    return view_make(bytes, TEMPTING);
}

static struct box_commit *accept_tempting(struct box *b, uint64_t victim, uint32_t seed)
{
    struct box_commit *c = box_commit(b, 2, 0);
    size_t front = strlen("body=12000 crc=00000000\n") + c->commit.envelope.len;
    size_t shift = (RECORD_UNIT - front % RECORD_UNIT) % RECORD_UNIT;
    struct record r;
    char *segment;
    size_t at;

    free((char *)(uintptr_t)c->commit.body.ptr);
    c->commit.body = tempting_body(victim, seed, shift);
    c->commit.body_bytes = TEMPTING;
    c->commit.body_crc = crc32c(0, c->commit.body);
    store_accept(b->store, &c->commit);
    box_settle(b);
    check("accepted", c->trouble == SPOOL_FINE);
    at = (size_t)record_offset(c->commit.where.place) + RECORD_HEADER + front + shift;
    segment = load(b);
    check("it tempts", at % RECORD_UNIT == 0 &&
                           record_read(view_make(segment + at, TEMPTING), seed, &r) &&
                           r.type == RECORD_COPY && r.id == victim + 1);
    free(segment);
    return c;
}

static void records_in_a_body_are_no_records(void **state)
{
    static const uint32_t seeds[] = { 0, 1, 0xffffffff };
    struct store_numbers n;
    char noise[RECORD_HEADER];

    (void)state;
    memset(noise, 'x', sizeof(noise));
    for (size_t i = 0; i < COUNT_OF(seeds); i++) {
        struct box_commit *victim, *tempting, *last;
        struct box b;

        box_new(&b);
        box_open(&b, true);
        victim = box_accept(&b, 1, SIZE);
        tempting = accept_tempting(&b, victim->commit.id, seeds[i]);
        last = box_accept(&b, 4, SIZE);
        box_close(&b);
        /* Its header is gone, so that its body is looked through. */
        overwrite(&b, (size_t)record_offset(tempting->commit.where.place), noise, sizeof(noise));
        box_open(&b, true);
        store_count(b.store, &n);
        check("it alone is lost", n.damaged == 1 && b.told_count == 2);
        check("the victim lives", is_told_whole(&b, victim, 1));
        check("and the next one", is_told_whole(&b, last, 4));
        box_commit_free(victim);
        box_commit_free(tempting);
        box_commit_free(last);
        box_remove(&b);
    }
}

/* ---- messages in several places ---- */

enum { LONG = 60000, MANY = 50 };

/* Behind the last record of the newest segment, a copy of the message, made from one in a segment
 * that is not there. As it is when an old file comes back into the log. */
static void append_copy(struct box *b, const struct box_commit *c)
{
    struct record_message m = { .body_bytes = c->commit.body_bytes,
                                .body_crc = c->commit.body_crc,
                                .was = record_place(1, RECORD_HEAD) };
    char *segment = load(b), front[RECORD_HEADER + 1024];
    struct buf meta = buf_on(front + RECORD_HEADER, 1024);
    struct record r = { .type = RECORD_COPY, .id = c->commit.id, .body = c->commit.body };
    struct record_scan scan = { .bytes = view_make(segment, BOX_SEGMENT), .at = RECORD_HEAD };
    struct record last;
    struct record_start start;
    char path[192];
    size_t from, to, at = 0;

    box_newest_segment(b, path, sizeof(path));
    scan.segment = strtoull(strrchr(path, '/') + 1, NULL, 16);
    check("head", record_get_head(view_make(segment, RECORD_HEAD), scan.segment, &start) ==
                      RECORD_HEAD_WHOLE);
    scan.seed = record_seed(start.nonce);
    while (record_scan_next(&scan, &last, &from, &to) == RECORD_FOUND)
        at = to;
    r.batch = scan.batch + 1;
    check("the copy", record_put_message(&meta, &m) && buf_put(&meta, c->commit.envelope));
    r.meta = buf_view(&meta);
    record_seal(front, &r, scan.seed);
    overwrite(b, at, front, RECORD_HEADER + r.meta.len);
    overwrite(b, at + RECORD_HEADER + r.meta.len, r.body.ptr, r.body.len);
    free(segment);
}

static void let_pass(struct box *b)
{
    for (uint64_t i = 0; i < MANY; i++) {
        struct box_commit *c = box_accept(b, i, LONG);

        store_finish(b->store, c->commit.id, c->commit.where);
        box_settle(b);
        box_commit_free(c);
    }
}

/* Once, and once it is finished never again, although its first place outlives the others. */
static void a_message_in_several_places_is_one(void **state)
{
    struct box_commit *twice, *anchor;
    struct box b;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    twice = box_accept(&b, 1, SIZE);
    anchor = box_accept(&b, 2, SIZE);
    let_pass(&b);
    box_close(&b);
    append_copy(&b, twice);
    append_copy(&b, twice);
    box_open(&b, true);
    check("each once", b.told_count == 2);
    check("whole", is_told_whole(&b, twice, 1) && is_told_whole(&b, anchor, 2));
    store_finish(b.store, twice->commit.id, box_find(&b, twice->commit.id)->where);
    for (int round = 0; round < 3; round++) {
        let_pass(&b);
        box_close(&b);
        box_open(&b, true);
        check("never again", b.told_count == 1 && is_told_whole(&b, anchor, 2));
    }
    box_commit_free(twice);
    box_commit_free(anchor);
    box_remove(&b);
}

/* ---- former lives ---- */

static void leftovers_of_a_recycled_segment_are_no_records(void **state)
{
    struct box b;
    struct store_numbers n;
    struct box_commit *c;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    for (uint64_t i = 0; i < 100; i++) {
        c = box_accept(&b, i, 100000);
        store_finish(b.store, c->commit.id, c->commit.where);
        box_commit_free(c);
    }
    box_settle(&b);
    c = box_accept(&b, 500, SIZE);
    box_close(&b);
    box_open(&b, true);
    store_count(b.store, &n);
    check("only what was not finished", b.told_count == 1 && is_told_whole(&b, c, 500));
    check("no damage", n.damaged == 0);
    box_commit_free(c);
    box_remove(&b);
}

/* The crash came between the renaming of a spare and the first write. */
static void a_segment_that_never_began_is_returned(void **state)
{
    struct box b;
    struct box_commit *c, *d;
    char spare[192], name[32];
    struct stat facts;
    int fd;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    c = box_accept(&b, 1, SIZE);
    box_settle(&b);
    box_close(&b);
    snprintf(name, sizeof(name), "%012llx.seg",
             (unsigned long long)record_segment(c->commit.id) + 1);
    snprintf(spare, sizeof(spare), "%s/log/%s", b.path, name);
    fd = open(spare, O_WRONLY | O_CREAT, 0600);
    check("made", fd >= 0 && ftruncate(fd, BOX_SEGMENT) == 0);
    close(fd);
    box_open(&b, true);
    check("not taken for a segment", b.told_count == 1 && stat(spare, &facts) < 0);
    d = box_accept(&b, 2, SIZE);
    check("goes on", record_segment(d->commit.id) == record_segment(c->commit.id));
    box_commit_free(c);
    box_commit_free(d);
    box_remove(&b);
}

/* A spare that a power cut left with a name in log/ as well must not be written to. */
static void a_spare_with_two_names_is_no_spare(void **state)
{
    struct box b;
    struct box_commit *c;
    char path[192], spare[192];

    (void)state;
    box_new(&b);
    box_open(&b, true);
    c = box_accept(&b, 1, SIZE);
    box_close(&b);
    box_newest_segment(&b, path, sizeof(path));
    snprintf(spare, sizeof(spare), "%s/free/00000000abcd.seg", b.path);
    check("linked", link(path, spare) == 0);
    box_open(&b, true);
    check("unlinked", access(spare, F_OK) < 0);
    check("whole", is_told_whole(&b, c, 1));
    box_commit_free(c);
    box_remove(&b);
}

/* ---- segments that cannot be read at all ---- */

static void segment_path(struct box *b, uint64_t number, char *path, size_t size)
{
    snprintf(path, size, "%.80s/log/%012llx.seg", b->path, (unsigned long long)number);
}

/* A pipe has no end, and a file may claim more than any memory holds. */
static void files_of_a_strange_kind_stop_nothing(void **state)
{
    enum { MESSAGES = 40, BYTES = 60000 };
    struct box b;
    struct box_commit *c[MESSAGES];
    char path[160];
    uint64_t first;
    struct store_numbers n;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    for (uint64_t i = 0; i < MESSAGES; i++)
        c[i] = box_accept(&b, i, BYTES);
    first = record_segment(c[0]->commit.id);
    box_close(&b);

    segment_path(&b, first, path, sizeof(path));
    check("huge", truncate(path, (off_t)1 << 40) == 0);
    snprintf(path, sizeof(path), "%.80s/log/%012llx.idx", b.path, (unsigned long long)first);
    check("no index", (unlink(path) == 0 || errno == ENOENT) && mkfifo(path, 0600) == 0);
    segment_path(&b, first - 1, path, sizeof(path));
    check("no segment", mkfifo(path, 0600) == 0);
    box_open(&b, true);
    store_count(b.store, &n);
    check("all are there", b.told_count == MESSAGES);
    check("the pipe and the room behind the end are counted", n.damaged == 2);
    for (uint64_t i = 0; i < MESSAGES; i++) {
        check("whole", box_is_whole(&b, c[i]->commit.id, c[i]->commit.where, i, BYTES));
        box_commit_free(c[i]);
    }
    box_remove(&b);
}

/* What is in it comes back when it can be read again, and what ended meanwhile does not. */
static void a_segment_that_cannot_be_opened_stops_nothing(void **state)
{
    enum { MESSAGES = 40, BYTES = 60000 };
    struct box b;
    struct box_commit *c[MESSAGES], *more;
    char path[160], away[160];
    uint64_t first, gone = 0;
    struct store_numbers n;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    for (uint64_t i = 0; i < MESSAGES; i++)
        c[i] = box_accept(&b, i, BYTES);
    first = record_segment(c[0]->commit.id);
    for (size_t i = 0; i < MESSAGES; i++)
        gone += record_segment(c[i]->commit.id) == first;
    store_finish(b.store, c[1]->commit.id, c[1]->commit.where);
    box_settle(&b);
    box_close(&b);

    segment_path(&b, first, path, sizeof(path));
    snprintf(away, sizeof(away), "%.80s/away", b.path);
    check("away", rename(path, away) == 0 && symlink("/dev/null", path) == 0);
    box_open(&b, true);
    store_count(b.store, &n);
    check("the others are there", b.told_count == MESSAGES - gone && n.damaged == 1);
    for (uint64_t i = gone; i < MESSAGES; i++)
        check("whole", box_is_whole(&b, c[i]->commit.id, c[i]->commit.where, i, BYTES));
    /* All else ends, so that every other segment could be used again. */
    for (size_t i = gone; i < MESSAGES; i++)
        store_finish(b.store, c[i]->commit.id, c[i]->commit.where);
    for (uint64_t i = 0; i < 60; i++) {
        more = box_accept(&b, i, BYTES);
        store_finish(b.store, more->commit.id, more->commit.where);
        box_settle(&b);
        box_commit_free(more);
    }
    box_close(&b);

    check("back", unlink(path) == 0 && rename(away, path) == 0);
    box_open(&b, true);
    store_count(b.store, &n);
    check("what had not ended", b.told_count == gone - 1 && n.damaged == 0);
    check("and not what had", box_find(&b, c[1]->commit.id) == NULL);
    check("whole again", box_is_whole(&b, c[0]->commit.id, c[0]->commit.where, 0, BYTES));
    for (size_t i = 0; i < MESSAGES; i++)
        box_commit_free(c[i]);
    box_remove(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_torn_batch_is_no_damage),
        cmocka_unit_test(a_damaged_sector_costs_its_message_alone),
        cmocka_unit_test(a_damaged_body_at_the_end_is_held_and_kept),
        cmocka_unit_test(a_damaged_head_costs_nothing),
        cmocka_unit_test(a_blank_head_is_damage_when_more_than_a_batch_lies_behind),
        cmocka_unit_test(damage_found_when_reading),
        cmocka_unit_test(records_in_a_body_are_no_records),
        cmocka_unit_test(a_message_in_several_places_is_one),
        cmocka_unit_test(leftovers_of_a_recycled_segment_are_no_records),
        cmocka_unit_test(a_segment_that_never_began_is_returned),
        cmocka_unit_test(a_spare_with_two_names_is_no_spare),
        cmocka_unit_test(files_of_a_strange_kind_stop_nothing),
        cmocka_unit_test(a_segment_that_cannot_be_opened_stops_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
