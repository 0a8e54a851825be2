/* A log that is torn, damaged, or made to look so. */
#include "queue/record.h"
#include "tests/unit/queue/spoolbox.h"
#include "tests/unit/unit.h"

#include "common/crc32c.h"
#include "common/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SECTOR = 512, SIZE = 1500 };

/* ---- torn ends ---- */

enum { BEFORE = 5, LAST = 7, TORN_TRIALS = 150 };

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
    t->before = box_load(&t->box);
    for (uint64_t i = 0; i < LAST; i++) {
        t->last[i] = box_commit(&t->box, 100 + i, SIZE);
        store_accept(t->box.store, &t->last[i]->commit);
    }
    box_settle(&t->box);
    t->after = box_load(&t->box);
    box_close(&t->box); /* its last record is undone by what the test writes */
    t->from = (size_t)record_offset(t->last[0]->commit.where.place);
    t->to = box_end_of(t->last[LAST - 1]->commit.where);
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
    box_overwrite(&t->box, 0, bytes, BOX_SEGMENT);
    free(bytes);
}

static void check_told(struct torn *t)
{
    size_t whole = 0;

    for (uint64_t i = 0; i < BEFORE; i++) {
        check("acknowledged", box_is_told_whole(&t->box, t->kept[i], i));
        whole++;
    }
    for (uint64_t i = 0; i < LAST; i++) {
        if (box_find(&t->box, t->last[i]->commit.id) == NULL)
            continue;
        check("unacknowledged but whole", box_is_told_whole(&t->box, t->last[i], 100 + i));
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
        check("and the new one",
              t.box.told_count == told + 1 && box_is_told_whole(&t.box, next, 999));
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
    sound = box_load(&b);
    for (int trial = 0; trial < TRIALS; trial++) {
        size_t last = box_end_of(c[MESSAGES - 1]->commit.where);
        size_t at = RECORD_HEAD + random_below(&random, (last - RECORD_HEAD) / SECTOR) * SECTOR;
        char noise[SECTOR];
        size_t lost = 0;
        struct store_numbers n;

        for (size_t i = 0; i < SECTOR; i++)
            noise[i] = (char)(uint8_t)random_below(&random, 256);
        box_overwrite(&b, 0, sound, BOX_SEGMENT);
        box_overwrite(&b, at, noise, SECTOR);
        box_open(&b, true);
        for (uint64_t i = 0; i < MESSAGES; i++) {
            size_t from = (size_t)record_offset(c[i]->commit.where.place);
            bool touched = from < at + SECTOR && box_end_of(c[i]->commit.where) > at;
            bool told = box_find(&b, c[i]->commit.id) != NULL;
            bool held = told && box_find(&b, c[i]->commit.id)->held > 0;
            bool front_whole = from + c[i]->commit.where.bytes - SIZE <= at || from >= at + SECTOR;

            lost += !told || held;
            check("the others are there", told || touched);
            check("and whole, or held", !told || box_is_told_whole(&b, c[i], i) != held);
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
    box_overwrite(&b, box_end_of(c[1]->commit.where) - 200, noise, sizeof(noise));
    box_overwrite(&b, box_end_of(c[2]->commit.where) - 200, noise, sizeof(noise));
    bytes = box_load(&b);
    box_close(&b);
    box_overwrite(&b, 0, bytes, BOX_SEGMENT); /* the power went before that */
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
    const struct view words = VIEW("This is a segment of the mail queue");
    char noise[SECTOR], *bytes;

    (void)state;
    memset(noise, 'x', sizeof(noise));
    box_new(&b);
    box_open(&b, true);
    c = box_accept(&b, 1, SIZE);
    box_close(&b);
    box_overwrite(&b, 0, noise, sizeof(noise));
    box_open(&b, true);
    check("there", box_is_told_whole(&b, c, 1));
    box_close(&b);
    box_overwrite(&b, RECORD_HEAD_COPY, noise, sizeof(noise));
    box_open(&b, true);
    check("the first copy was written again", box_is_told_whole(&b, c, 1));
    box_close(&b);
    bytes = box_load(&b);
    check("and the second", memcmp(bytes, bytes + RECORD_HEAD_COPY, 2 * RECORD_HEADER) == 0);
    check("with the words", memmem(bytes, RECORD_HEAD_COPY, words.ptr, words.len) != NULL);
    free(bytes);
    box_overwrite(&b, 0, noise, sizeof(noise));
    box_overwrite(&b, RECORD_HEAD_COPY, noise, sizeof(noise));
    box_open(&b, true);
    check("both copies: set aside", b.told_count == 0 && box_count_files(&b, "bad") == 1);
    box_commit_free(c);
    c = box_accept(&b, 2, SIZE);
    box_close(&b);
    box_open(&b, true);
    check("and a new segment", box_is_told_whole(&b, c, 2));
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
        bytes = box_load(&b);
        box_close(&b);
        box_overwrite(&b, 0, bytes, BOX_SEGMENT); /* nothing of the end in good order */
        free(bytes);
        box_overwrite(&b, 0, zeros, sizeof(zeros));
        box_overwrite(&b, RECORD_HEAD_COPY, zeros, sizeof(zeros));
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
    box_overwrite(&b, box_end_of(c->commit.where) - 200, noise, sizeof(noise));
    check("the body", store_read(b.store, c->commit.id, c->commit.where, true, &m) == -EBADMSG);
    check("set aside", box_count_files(&b, "bad") == 1);
    check("the envelope is whole",
          store_read(b.store, c->commit.id, c->commit.where, false, &m) == 0);
    store_message_release(&m);
    box_overwrite(&b, (size_t)record_offset(c->commit.where.place) + 70, noise, 10);
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
    segment = box_load(b);
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
        box_overwrite(&b, (size_t)record_offset(tempting->commit.where.place), noise,
                      sizeof(noise));
        box_open(&b, true);
        store_count(b.store, &n);
        check("it alone is lost", n.damaged == 1 && b.told_count == 2);
        check("the victim lives", box_is_told_whole(&b, victim, 1));
        check("and the next one", box_is_told_whole(&b, last, 4));
        box_commit_free(victim);
        box_commit_free(tempting);
        box_commit_free(last);
        box_remove(&b);
    }
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
