/* The two streams of the log: what happens, and the messages that compaction moves. */
#include "tests/unit/queue/model.h"
#include "tests/unit/unit.h"

#include "queue/ledger.h"
#include "queue/record.h"
#include "queue/shelf.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool is_gathered(const struct item *i)
{
    return segment_stream(record_segment(i->where.place)) == STREAM_OLD;
}

static struct item *accept_one(struct model *m, uint64_t seed, size_t bytes)
{
    struct box_commit *c = box_accept(&m->box, seed, bytes);
    struct item *i = model_add(m, c, seed);

    box_commit_free(c);
    return i;
}

static void close_and_compare(struct model *m)
{
    box_settle(&m->box);
    box_close(&m->box);
    model_open(m);
}

/* Beside mail that is deferred for minutes, and mail that goes at once. */
static void mail_that_stays_gathers(void **state)
{
    enum { LASTING = 300, WAITING = 50, MESSAGES = 4000, BYTES = 12000 };
    struct model *m = model_new(1);
    struct item *waiting[WAITING] = { 0 };
    unsigned lasting = 0, waited = 0, gathered = 0;
    struct store_numbers n;
    uint64_t written = 0;

    (void)state;
    for (unsigned i = 0; i < MESSAGES; i++) {
        struct item *item = accept_one(m, i, BYTES);

        written += item->where.bytes;
        if (i % 8 == 0 && lasting < LASTING) {
            lasting++;
        } else if (i % 4 == 0) {
            struct item **oldest = &waiting[waited++ % WAITING];

            if (*oldest != NULL)
                model_finish(m, *oldest);
            *oldest = item;
        } else {
            model_finish(m, item);
        }
    }
    model_wait_until_small(m);
    store_count(m->box.store, &n);
    for (size_t i = 0; i < m->count; i++)
        gathered += m->items[i].live && is_gathered(&m->items[i]);
    printf("# %u gathered, %llu of %llu KiB written again\n", gathered,
           (unsigned long long)n.moved_bytes >> 10, (unsigned long long)written >> 10);
    check("most of it", gathered >= LASTING * 3 / 4);
    check("not again and again", n.moved_bytes < written / 2);
    close_and_compare(m);
    model_end(m);
}

/* ---- at a start ---- */

/* The newest segment of a stream, and the one before it; 0: there is none. */
struct newest {
    uint64_t number, before;
};

static void find_newest(struct model *m, struct newest found[STREAMS])
{
    char path[128];
    const struct dirent *e;
    uint64_t number;
    DIR *dir;

    memset(found, 0, STREAMS * sizeof(*found));
    snprintf(path, sizeof(path), "%s/log", m->box.path);
    dir = opendir(path);
    assert_non_null(dir);
    while ((e = readdir(dir)) != NULL) {
        struct newest *s;

        if (!segment_number(view_of(e->d_name), &number))
            continue;
        s = &found[segment_stream(number)];
        if (number > s->number)
            *s = (struct newest){ number, s->number };
        else
            s->before = MAX(s->before, number);
    }
    closedir(dir);
}

static int open_segment(struct model *m, uint64_t number, int flags)
{
    char path[160];
    int fd;

    snprintf(path, sizeof(path), "%.80s/log/%012llx.seg", m->box.path, (unsigned long long)number);
    fd = open(path, flags, 0600);
    assert_true(fd >= 0);
    return fd;
}

static struct item *last_in(struct model *m, uint64_t segment)
{
    size_t last = 0;
    uint64_t place = 0;

    for (size_t i = 0; i < m->count; i++) {
        const struct item *item = &m->items[i];

        if (item->live && record_segment(item->where.place) == segment &&
            item->where.place > place) {
            last = i;
            place = item->where.place;
        }
    }
    check("there is one", place > 0);
    return &m->items[last];
}

/* The last copy has a record of padding behind it. */
static bool is_sealed(struct model *m)
{
    static const char padding[] = "TERN1 P ";
    struct newest newest[STREAMS];
    const struct item *last;
    char front[sizeof(padding) - 1] = "";
    uint64_t end;
    int fd;

    find_newest(m, newest);
    last = last_in(m, newest[STREAM_OLD].number);
    end = record_offset(last->where.place) + last->where.bytes;
    end = (end + RECORD_UNIT - 1) / RECORD_UNIT * RECORD_UNIT;
    fd = open_segment(m, newest[STREAM_OLD].number, O_RDONLY);
    assert_true(pread(fd, front, sizeof(front), (off_t)end) >= 0);
    close(fd);
    return end == BOX_SEGMENT || memcmp(front, padding, sizeof(front)) == 0;
}

/* The segments from where messages were moved are no longer there. */
static bool has_finished(struct model *m)
{
    for (size_t i = 0; i < m->count; i++) {
        char path[160];

        snprintf(path, sizeof(path), "%.80s/log/%012llx.seg", m->box.path,
                 (unsigned long long)record_segment(m->items[i].id));
        if (m->items[i].live && is_gathered(&m->items[i]) && access(path, F_OK) == 0)
            return false;
    }
    return true;
}

/* What is left when two thirds have gone: more than a segment of it moves, while nothing comes. */
static struct model *new_gathered_model(void)
{
    struct model *m = model_new(1);

    for (unsigned i = 0; i < 250; i++)
        (void)accept_one(m, i, 60000);
    for (unsigned i = 0; i < 250; i++) {
        if (i % 3 != 0)
            model_finish(m, &m->items[i]);
    }
    model_wait_until_small(m);
    while (!has_finished(m) || !is_sealed(m))
        assert_int_equal(loop_turn(&m->box.loop, 10), 0);
    box_settle(&m->box);
    return m;
}

/* Of a store that is closed: its record breaks, and the next start says so. */
static void check_loss_is_told(struct model *m, struct item *lost)
{
    int fd = open_segment(m, record_segment(lost->where.place), O_WRONLY);
    struct store_numbers n;

    assert_int_equal(pwrite(fd, "x", 1, (off_t)record_offset(lost->where.place) + 20), 1);
    close(fd);
    lost->live = false;
    model_open(m);
    store_count(m->box.store, &n);
    check("told", n.damaged == 1 && box_count_files(&m->box, "bad") == 1);
}

/* Its copies were durable long ago: what is broken there is not the end of a write. */
static void damage_to_a_copy_is_told(void **state)
{
    struct model *m = new_gathered_model();
    struct newest newest[STREAMS];
    struct item *lost;

    (void)state;
    find_newest(m, newest);
    lost = last_in(m, newest[STREAM_OLD].number);
    model_crash(m); /* nothing of it ends in good order */
    box_close(&m->box);
    check_loss_is_told(m, lost);
    model_end(m);
}

/* As it is when the end of a run comes before the record behind the last copy. */
static void unseal(struct model *m, const struct item *last)
{
    static const char zeros[RECORD_UNIT];
    uint64_t end = record_offset(last->where.place) + last->where.bytes;
    int fd = open_segment(m, record_segment(last->where.place), O_WRONLY);

    end = (end + RECORD_UNIT - 1) / RECORD_UNIT * RECORD_UNIT;
    assert_true(end < BOX_SEGMENT);
    assert_int_equal(pwrite(fd, zeros, sizeof(zeros), (off_t)end), sizeof(zeros));
    close(fd);
}

/* The run after a crash makes good what the one before could not. */
static void damage_is_told_after_a_crash_and_a_good_end(void **state)
{
    (void)state;
    for (unsigned stream = 0; stream < STREAMS; stream++) {
        struct model *m = new_gathered_model();
        struct newest newest[STREAMS];
        struct item *lost;

        if (stream == STREAM_FRESH)
            (void)accept_one(m, 1000, 1000);
        box_close(&m->box);
        find_newest(m, newest);
        lost = last_in(m, newest[stream].number);
        unseal(m, lost);
        model_open(m);
        box_close(&m->box);
        check_loss_is_told(m, lost);
        model_end(m);
    }
}

/* Renamed just before a crash, while the other stream had gone on. */
static void a_segment_that_never_began_is_no_damage(void **state)
{
    struct model *m = new_gathered_model();
    struct newest newest[STREAMS];
    struct store_numbers n;
    uint64_t number;
    int fd;

    (void)state;
    box_close(&m->box);
    find_newest(m, newest);
    number = segment_after(newest[STREAM_FRESH].number, STREAM_FRESH);
    check("there is one behind it", newest[STREAM_OLD].number > number);
    fd = open_segment(m, number, O_WRONLY | O_CREAT | O_EXCL);
    assert_int_equal(ftruncate(fd, BOX_SEGMENT), 0);
    close(fd);
    model_open(m);
    store_count(m->box.store, &n);
    check("no damage", n.damaged == 0 && box_count_files(&m->box, "bad") == 0);
    close_and_compare(m);
    model_end(m);
}

/* Both go on where they ended. */
static void both_streams_go_on_after_a_start(void **state)
{
    struct model *m = new_gathered_model();
    struct newest before[STREAMS], after[STREAMS];

    (void)state;
    find_newest(m, before);
    close_and_compare(m);
    for (size_t i = 0; i < m->count; i += 6) {
        if (m->items[i].live)
            model_finish(m, &m->items[i]);
    }
    model_wait_until_small(m);
    find_newest(m, after);
    for (unsigned s = 0; s < STREAMS; s++)
        check("in the same segment, or behind it", after[s].number >= before[s].number);
    for (int crashes = 0; crashes < 3; crashes++)
        model_crash(m);
    model_end(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mail_that_stays_gathers),
        cmocka_unit_test(damage_to_a_copy_is_told),
        cmocka_unit_test(damage_is_told_after_a_crash_and_a_good_end),
        cmocka_unit_test(a_segment_that_never_began_is_no_damage),
        cmocka_unit_test(both_streams_go_on_after_a_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
