#include "queue/digest.h"
#include "queue/shelf.h"
#include "tests/unit/queue/spoolbox.h"
#include "tests/unit/unit.h"

#include "common/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MESSAGES = 60, SIZE = 60000 };

/* A spool with several full segments, closed. */
struct filled {
    struct box box;
    struct box_commit *c[MESSAGES];
};

static void fill(struct filled *f)
{
    struct store_outcome o = { .state = STORE_DEFERRED, .rcpt_count = 1, .attempts = 3 };
    static const uint32_t second = 1;

    box_new(&f->box);
    box_open(&f->box, true);
    for (uint64_t i = 0; i < MESSAGES; i++) {
        f->c[i] = box_accept(&f->box, i, SIZE);
        o.message = f->c[i]->commit.id;
        o.rcpts = &second;
        store_settle(f->box.store, &o, NULL);
    }
    box_settle(&f->box);
    box_close(&f->box);
}

static void empty(struct filled *f)
{
    for (size_t i = 0; i < MESSAGES; i++)
        box_commit_free(f->c[i]);
    box_remove(&f->box);
}

static void path_of(const struct filled *f, size_t message, void (*name_it)(uint64_t, char *),
                    char path[static 128])
{
    char name[SHELF_NAME];

    name_it(record_segment(f->c[message]->commit.id), name);
    snprintf(path, 128, "%.80s/log/%s", f->box.path, name);
}

static size_t size_of(const char *path)
{
    struct stat facts;

    return stat(path, &facts) < 0 ? 0 : (size_t)facts.st_size;
}

static void overwrite(const char *path, size_t at, const char *bytes, size_t count)
{
    int fd = open(path, O_WRONLY);

    check("written", fd >= 0 && pwrite(fd, bytes, count, (off_t)at) == (ssize_t)count);
    close(fd);
}

static void check_all(struct filled *f)
{
    check("all", f->box.told_count == MESSAGES);
    for (uint64_t i = 0; i < MESSAGES; i++) {
        const struct box_message *m = box_find(&f->box, f->c[i]->commit.id);

        check("told, with its outcome", m != NULL && m->deferred == 1);
        check("whole", box_is_whole(&f->box, m->id, m->where, i, SIZE));
    }
}

static uint64_t damaged(struct filled *f)
{
    struct store_numbers n;

    store_count(f->box.store, &n);
    return n.damaged;
}

static void a_start_makes_and_uses_index_files(void **state)
{
    struct filled f;
    char index[128], segment[128], noise[64];
    struct store_message m;

    (void)state;
    fill(&f);
    box_open(&f.box, true); /* reads the segments, and makes the files */
    check_all(&f);
    box_close(&f.box);
    path_of(&f, 0, segment_index_name, index);
    path_of(&f, 0, segment_name, segment);
    check("it is there, and small", size_of(index) > 1000 && size_of(index) < BOX_SEGMENT / 20);
    path_of(&f, MESSAGES - 1, segment_index_name, index);
    check("not of the newest", size_of(index) == 0);
    box_open(&f.box, true);
    check_all(&f);
    box_close(&f.box);

    /* A body that is damaged afterwards is not looked at by a start, but when it is read. */
    memset(noise, 'x', sizeof(noise));
    overwrite(segment, (size_t)record_offset(f.c[2]->commit.where.place) + 20000, noise,
              sizeof(noise));
    box_open(&f.box, true);
    check("the start does not read it", f.box.told_count == MESSAGES && damaged(&f) == 0);
    check("it is found",
          store_read(f.box.store, f.c[2]->commit.id, f.c[2]->commit.where, true, &m) == -EBADMSG);
    check("and set aside", damaged(&f) == 1 && box_count_files(&f.box, "bad") == 1);
    box_close(&f.box);

    /* Without the files, everything is read and looked at. */
    path_of(&f, 0, segment_index_name, index);
    check("removed", unlink(index) == 0);
    box_open(&f.box, true);
    check("all are told", f.box.told_count == MESSAGES);
    check("that message is held",
          damaged(&f) == 1 && box_find(&f.box, f.c[2]->commit.id)->held == 1);
    box_close(&f.box);
    check("no file hides the damage", size_of(index) == 0);
    empty(&f);
}

static void an_index_file_that_is_not_sound_is_not_used(void **state)
{
    enum { TRIALS = 60 };
    struct filled f;
    char index[128];
    uint64_t random = 3;
    size_t size;

    (void)state;
    fill(&f);
    box_open(&f.box, true);
    box_close(&f.box);
    path_of(&f, 0, segment_index_name, index);
    size = size_of(index);
    for (unsigned trial = 0; trial < TRIALS; trial++) {
        char noise = (char)(uint8_t)random_below(&random, 256);

        if (trial % 4 == 0)
            check("cut", truncate(index, (off_t)random_below(&random, size)) == 0);
        else
            overwrite(index, random_below(&random, size), &noise, 1);
        box_open(&f.box, true);
        check_all(&f);
        check("no damage", damaged(&f) == 0);
        box_close(&f.box);
        check("it is made again", size_of(index) == size);
    }
    empty(&f);
}

static void index_files_of_others_are_not_used(void **state)
{
    struct filled f;
    char first[128], last[128], command[300];

    (void)state;
    fill(&f);
    box_open(&f.box, true);
    box_close(&f.box);
    path_of(&f, 0, segment_index_name, first);
    path_of(&f, MESSAGES / 2, segment_index_name, last);
    check("of another segment", strcmp(first, last) != 0 && size_of(last) > 0);
    snprintf(command, sizeof(command), "cp %s %s", first, last);
    assert_int_equal(system(command), 0);
    snprintf(last, sizeof(last), "%.80s/log/00000000abcd.idx", f.box.path);
    snprintf(command, sizeof(command), "cp %s %s", first, last);
    assert_int_equal(system(command), 0);
    box_open(&f.box, true);
    check_all(&f);
    check("a stray one is removed", size_of(last) == 0);
    box_close(&f.box);
    empty(&f);
}

/* The two ways in which a digest is made agree, and tell of every record. */
static void tells_of_every_record(void **state)
{
    struct filled f;
    struct digest d = { 0 }, read = { 0 };
    char path[128], head[RECORD_HEAD];
    struct record_start start;
    struct record r;
    uint64_t offset, messages = 0, end = RECORD_HEAD;
    size_t pieces = 0;
    int folder, fd, more;

    (void)state;
    fill(&f);
    box_open(&f.box, true);
    box_close(&f.box);
    path_of(&f, 0, segment_name, path);
    fd = open(path, O_RDONLY);
    check("head",
          fd >= 0 && pread(fd, head, RECORD_HEAD, 0) == RECORD_HEAD &&
              record_get_head(view_make(head, RECORD_HEAD), record_segment(f.c[0]->commit.id),
                              &start) == RECORD_HEAD_WHOLE);
    close(fd);
    snprintf(path, sizeof(path), "%.80s/log", f.box.path);
    folder = open(path, O_RDONLY | O_DIRECTORY);
    digest_begin(&d, start.segment, record_seed(start.nonce), BOX_SEGMENT);
    check("made", digest_make(&d, folder) == 0 && digest_is_whole(&d));
    digest_begin(&read, start.segment, record_seed(start.nonce), BOX_SEGMENT);
    check("read", digest_load(&read, folder) == 0);
    check_view("the same", view_make(d.memory, d.len),
               view_make(read.memory + read.first, read.len - read.first));
    digest_begin(&read, start.segment, record_seed(start.nonce), BOX_SEGMENT);
    check("begun", digest_load_some(&read, folder, 100) == 1);
    digest_begin(&read, start.segment, record_seed(start.nonce), BOX_SEGMENT);
    while ((more = digest_load_some(&read, folder, 100)) > 0)
        pieces++;
    check("in pieces", more == 0 && pieces == (d.len + read.first - 1) / 100);
    check_view("the same", view_make(d.memory, d.len),
               view_make(read.memory + read.first, read.len - read.first));
    while (digest_next(&read, &r, &offset)) {
        check("without holes", offset == end);
        end = offset + record_span(r.meta.len, r.body.len);
        if (r.type == RECORD_MESSAGE)
            check("its place",
                  f.c[messages++]->commit.where.place == record_place(start.segment, offset));
    }
    check("to the end", end == BOX_SEGMENT && messages > 10);
    digest_begin(&read, start.segment, record_seed(start.nonce + 1), BOX_SEGMENT);
    check("not of another life", digest_load(&read, folder) == -EBADMSG);
    digest_begin(&read, start.segment, record_seed(start.nonce), BOX_SEGMENT - 4096);
    check("not of another length", digest_load(&read, folder) == -EBADMSG);
    digest_release(&d);
    digest_release(&read);
    close(folder);
    empty(&f);
}

/* Its index file is read in several turns, in which mail comes in. */
static void a_segment_of_many_small_messages_is_told(void **state)
{
    enum { SMALL = 4000, BYTES = 200, RECORDS = 1000 };
    struct box_commit *kept[SMALL];
    struct box_commit *fresh;
    struct box b;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    for (uint64_t i = 0; i < SMALL; i++) {
        kept[i] = box_commit(&b, i, BYTES);
        store_accept(b.store, &kept[i]->commit);
        if (i % 100 == 99)
            box_settle(&b);
    }
    box_close(&b);
    box_open(&b, true); /* makes the index files */
    box_close(&b);
    b.lazy = true;
    box_open(&b, true);
    check("more to do", store_replay(b.store, RECORDS));
    check("the first piece has none", b.told_count == 0);
    fresh = box_accept(&b, SMALL, BYTES);
    while (store_replay(b.store, RECORDS))
        continue;
    check("all, and not the new one",
          b.told_count == SMALL && box_find(&b, fresh->commit.id) == NULL);
    for (uint64_t i = 0; i < SMALL; i += 100)
        check("whole", box_is_whole(&b, b.told[i].id, b.told[i].where, i, BYTES));
    for (size_t i = 0; i < SMALL; i++)
        box_commit_free(kept[i]);
    box_commit_free(fresh);
    box_remove(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segment_of_many_small_messages_is_told),
        cmocka_unit_test(a_start_makes_and_uses_index_files),
        cmocka_unit_test(an_index_file_that_is_not_sound_is_not_used),
        cmocka_unit_test(index_files_of_others_are_not_used),
        cmocka_unit_test(tells_of_every_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
