/* The spool's folder: its segments, its format, and who may have it. */
#include "tests/unit/queue/spoolbox.h"
#include "tests/unit/unit.h"

#include "io/clock.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000 };

static const uint32_t both[] = { 0, 1 };

/* Spares that were segments before have their names. */
static size_t count_used_spares(struct box *b)
{
    char path[128];
    const struct dirent *e;
    size_t count = 0;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/free", b->path);
    dir = opendir(path);
    assert_non_null(dir);
    while ((e = readdir(dir)) != NULL)
        count += e->d_name[0] != '.' && strncmp(e->d_name, "new-", 4) != 0;
    closedir(dir);
    return count;
}

/* A thread takes them away; what is not used again passes through the folder of spares. */
static void wait_for_few_segments(struct box *b, struct store_numbers *n)
{
    uint64_t began = clock_monotonic_ms();

    store_count(b->store, n);
    while ((n->segments > 5 || (b->fresh && count_used_spares(b) > 0)) &&
           clock_monotonic_ms() < began + PATIENCE_MS) {
        assert_int_equal(loop_turn(&b->loop, 10), 0);
        store_count(b->store, n);
    }
    check("few are left", n->segments <= 5);
}

/* Many times the spool's size goes through it. */
static void go_through_segments(bool fresh)
{
    struct box b;
    struct store_numbers n;
    struct box_commit *stays;
    struct store_outcome o;

    box_new(&b);
    b.fresh = fresh;
    box_open(&b, true);
    stays = box_accept(&b, 1000, 100);
    for (uint64_t i = 0; i < 200; i++) {
        struct box_commit *c = box_accept(&b, i, 100000);

        store_finish(b.store, c->commit.id, c->commit.where);
        if (i % 20 == 0) {
            o = box_outcome(stays->commit.id, both, 2, STORE_DEFERRED);
            store_settle(b.store, &o, NULL);
        }
        box_commit_free(c);
    }
    box_settle(&b);
    wait_for_few_segments(&b, &n);
    check("spares are few", box_count_files(&b, "free") <= 6);
    check("spares that were used", (count_used_spares(&b) > 0) == !fresh);
    check("counted", n.live_messages == 1);
    box_close(&b);
    box_open(&b, true);
    check("one told", b.told_count == 1);
    check("its newest outcome", b.told[0].id == stays->commit.id && b.told[0].deferred >= 1);
    check("it is whole", box_is_whole(&b, b.told[0].id, b.told[0].where, 1000, 100));
    box_commit_free(stays);
    box_remove(&b);
}

static void segments_are_used_again(void **state)
{
    (void)state;
    go_through_segments(false);
}

static void or_made_anew_if_so_wished(void **state)
{
    (void)state;
    go_through_segments(true);
}

/* The end of a message must outlive the segment that the message is in. */
static void what_is_finished_stays_finished(void **state)
{
    struct box b;
    struct box_commit *old[8], *pin;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    pin = box_accept(&b, 77, 10);
    for (uint64_t i = 0; i < 8; i++)
        old[i] = box_accept(&b, i, 60000);
    for (uint64_t i = 0; i < 30; i++) {
        struct box_commit *c = box_accept(&b, 100 + i, 200000);

        store_finish(b.store, c->commit.id, c->commit.where);
        box_commit_free(c);
        if (i < 8)
            store_finish(b.store, old[i]->commit.id, old[i]->commit.where);
    }
    box_settle(&b);
    box_close(&b);
    box_open(&b, true);
    check("only the one that was not finished",
          b.told_count == 1 && b.told[0].id == pin->commit.id);
    for (uint64_t i = 0; i < 8; i++)
        box_commit_free(old[i]);
    box_commit_free(pin);
    box_remove(&b);
}

static void only_one_may_have_it(void **state)
{
    struct box b, other = { 0 };
    struct error err;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    box_new(&other);
    rmdir(other.path);
    memcpy(other.path, b.path, sizeof(b.path));
    check("refused", box_try(&other, false, &err) == -EWOULDBLOCK);
    check("says who", strstr(err.text, "in use by another process (pid ") != NULL);
    check("reading is allowed", box_try(&other, true, &err) == 0);
    box_close(&other);
    loop_release(&other.loop);
    free(other.told);
    box_remove(&b);
}

static void write_file(struct box *b, const char *name, const char *text)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", b->path, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void read_file(struct box *b, const char *name, char *text, size_t size)
{
    char path[160];
    size_t got;
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", b->path, name);
    f = fopen(path, "r");
    assert_non_null(f);
    got = fread(text, 1, size - 1, f);
    text[got] = '\0';
    fclose(f);
}

static void knows_formats(void **state)
{
    struct box b;
    struct error err;
    char text[256];
    struct box_commit *c;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    c = box_accept(&b, 1, 10);
    box_close(&b);
    write_file(&b, "format", "Tern spool\nversion 2\nuuid 00000000000000000000000000000000\n");
    write_file(&b, "lock", "of another\n");
    check("newer", box_try(&b, false, &err) == -EPROTONOSUPPORT);
    check("says so", strstr(err.text, "newer Tern") != NULL);
    read_file(&b, "lock", text, sizeof(text));
    check("and touches nothing", strcmp(text, "of another\n") == 0);
    write_file(&b, "format", "");
    box_open(&b, true);
    check("a lost format is made again", b.told_count == 1);
    box_close(&b);
    write_file(&b, "format", "Tern spool\nversion 1\nuuid 00000000000000000000000000000000\n");
    box_open(&b, true);
    check("the log is believed, not the format",
          b.told_count == 1 && box_count_files(&b, "bad") == 0);
    box_close(&b);
    read_file(&b, "format", text, sizeof(text));
    check("which is mended", strstr(text, "uuid 0000000000000000") == NULL);
    box_commit_free(c);
    box_remove(&b);
}

/* Moves the newest segment of `from` into `to` as the one before the newest there. */
static void plant_segment(struct box *from, struct box *to, char *path, size_t size)
{
    char source[192], newest[192];
    unsigned long long number;

    box_newest_segment(from, source, sizeof(source));
    box_newest_segment(to, newest, sizeof(newest));
    number = strtoull(strrchr(source, '/') + 1, NULL, 16);
    check("older", number < strtoull(strrchr(newest, '/') + 1, NULL, 16));
    snprintf(path, size, "%.80s/log/%012llx.seg", to->path, number);
    check("moved", rename(source, path) == 0);
}

static void a_foreign_segment_is_set_aside(void **state)
{
    enum { MANY = 40, LARGE = 60000 }; /* several segments */
    struct box other, b;
    char format[160], foreign[160];

    (void)state;
    box_new(&other);
    box_open(&other, true);
    box_commit_free(box_accept(&other, 1, 10));
    box_close(&other);
    usleep(2000); /* the first number of a spool is made of the time */
    box_new(&b);
    box_open(&b, true);
    for (uint64_t i = 0; i < MANY; i++)
        box_commit_free(box_accept(&b, i, LARGE));
    box_close(&b);
    plant_segment(&other, &b, foreign, sizeof(foreign));
    snprintf(format, sizeof(format), "%s/format", b.path);
    check("format is lost", unlink(format) == 0);
    box_open(&b, true);
    check("most segments decide, not the oldest",
          b.told_count == MANY && box_count_files(&b, "bad") == 1 && access(foreign, F_OK) < 0);
    box_remove(&b);
    box_remove(&other);
}

static void reads_without_writing(void **state)
{
    struct box b;
    struct error err;
    struct box_commit *c;

    (void)state;
    box_new(&b);
    check("nothing there yet", box_try(&b, true, &err) == 0 && b.told_count == 0);
    box_close(&b);
    check("nothing made", box_count_files(&b, "") == 0);
    box_open(&b, true);
    c = box_accept(&b, 1, 100);
    box_close(&b);
    check("opened", box_try(&b, true, &err) == 0);
    check("told", b.told_count == 1);
    check("read", box_is_whole(&b, c->commit.id, c->commit.where, 1, 100));
    box_commit_free(c);
    box_remove(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_are_used_again),
        cmocka_unit_test(or_made_anew_if_so_wished),
        cmocka_unit_test(what_is_finished_stays_finished),
        cmocka_unit_test(only_one_may_have_it),
        cmocka_unit_test(knows_formats),
        cmocka_unit_test(a_foreign_segment_is_set_aside),
        cmocka_unit_test(reads_without_writing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
