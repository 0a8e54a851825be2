/* tern spool check finds every kind of damage, says where it is, and changes nothing. */
#include "queue/check.h"
#include "queue/record.h"
#include "queue/shelf.h"
#include "tests/unit/queue/spoolbox.h"
#include "tests/unit/unit.h"

#include "common/crc32c.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MESSAGES = 40, SIZE = 60000, BIG = 300000, CHOSEN = 5 };

static struct box box;
static struct box_commit *mail[MESSAGES], *big;

/* ---- a spool of several segments, with index files and a large body ---- */

static struct box_commit *accept_big(void)
{
    struct box_commit *c = box_commit(&box, 99, BIG);
    struct view body = c->commit.body;

    c->commit.big_fd = store_create_body(box.store, &c->commit.big_file);
    check("written", write(c->commit.big_fd, body.ptr, body.len) == (ssize_t)body.len);
    c->commit.body = VIEW_EMPTY;
    store_accept(box.store, &c->commit);
    box_settle(&box);
    close(c->commit.big_fd);
    c->commit.body = body; /* to be freed */
    check("kept", c->done && c->trouble == SPOOL_FINE);
    return c;
}

static int set_up(void **state)
{
    (void)state;
    box_new(&box);
    box_open(&box, true);
    for (uint64_t i = 0; i < MESSAGES; i++)
        mail[i] = box_accept(&box, i, SIZE);
    big = accept_big();
    box_close(&box);
    box_open(&box, true); /* makes index files */
    box_close(&box);
    return chdir(box.path);
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < MESSAGES; i++)
        box_commit_free(mail[i]);
    box_commit_free(big);
    box_remove(&box);
    return chdir("/");
}

/* ---- the report ---- */

static char report[65536];

static enum check_result run_check(bool json)
{
    struct error err = { "" };
    FILE *out = tmpfile();
    enum check_result result;

    result = check_spool(fileno(out), json, &err);
    rewind(out);
    report[fread(report, 1, sizeof(report) - 1, out)] = '\0';
    fclose(out);
    return result;
}

static bool says(const char *words)
{
    return strstr(report, words) != NULL;
}

/* One place is damaged, this one. */
static void expect(const char *file, uint64_t offset, const char *what)
{
    char line[256];

    check("damaged", run_check(false) == CHECK_DAMAGED);
    snprintf(line, sizeof(line), "%s: offset %llu, ", file, (unsigned long long)offset);
    if (!says(line) || !says(what) || !says(", damaged 1\n"))
        fail_msg("%s", report);
    check("damaged", run_check(true) == CHECK_DAMAGED);
    snprintf(line, sizeof(line), "{\"v\":1,\"file\":\"%s\",\"offset\":%llu,", file,
             (unsigned long long)offset);
    if (!says(line) || !says(what) || !says("\"damaged\":1}\n"))
        fail_msg("%s", report);
}

/* ---- damage ---- */

static void overwrite(const char *path, uint64_t at, const char *bytes, size_t count)
{
    int fd = open(path, O_WRONLY);

    check("written", fd >= 0 && pwrite(fd, bytes, count, (off_t)at) == (ssize_t)count);
    close(fd);
}

static void spoil(const char *path, uint64_t at)
{
    char byte = 0;
    int fd = open(path, O_RDONLY);

    check("read", fd >= 0 && pread(fd, &byte, 1, (off_t)at) == 1);
    close(fd);
    byte ^= 1;
    overwrite(path, at, &byte, 1);
}

static const char *file_of(uint64_t id, void (*name_it)(uint64_t, char *))
{
    static char path[64];
    char name[SHELF_NAME];

    name_it(record_segment(id), name);
    snprintf(path, sizeof(path), "log/%s", name);
    return path;
}

static const char *chosen_segment(void)
{
    return file_of(mail[CHOSEN]->commit.id, segment_name);
}

static const char *chosen_index(void)
{
    return file_of(mail[CHOSEN]->commit.id, segment_index_name);
}

static const char *big_file(void)
{
    static char path[64];

    snprintf(path, sizeof(path), "big/%02x/%016llx.eml", (unsigned)(big->commit.big_file >> 56),
             (unsigned long long)big->commit.big_file);
    return path;
}

/* ---- tests ---- */

static void a_sound_spool_is_sound(void **state)
{
    (void)state;
    if (run_check(false) != CHECK_SOUND || !says("large bodies 1, damaged 0"))
        fail_msg("%s", report);
    check("there are index files", access(chosen_index(), F_OK) == 0);
}

static void damage_in_the_log_is_found(void **state)
{
    uint64_t at = record_offset(mail[CHOSEN]->commit.id);

    (void)state;
    spoil(chosen_segment(), at + 30000);
    expect(chosen_segment(), at, "the body of the message is damaged");
    spoil(chosen_segment(), at + 30000);
    spoil(chosen_segment(), at + RECORD_HEADER + 3); /* meta */
    expect(chosen_segment(), at, "no record can be read here");
    spoil(chosen_segment(), at + RECORD_HEADER + 3);
    spoil(chosen_segment(), 10);
    expect(chosen_segment(), 0, "one copy of the segment's head");
    spoil(chosen_segment(), RECORD_HEAD_COPY + 10);
    check("damaged", run_check(false) == CHECK_DAMAGED && says(chosen_segment()) &&
                         says("both copies of its head are damaged"));
}

static void an_index_file_is_compared(void **state)
{
    char away[80];

    (void)state;
    spoil(chosen_index(), 200);
    expect(chosen_index(), 0, "the index file is not sound");
    spoil(chosen_index(), 200);
    /* Sound by itself, and wrong: made when the segment was another one. */
    snprintf(away, sizeof(away), "%s.away", chosen_index());
    check("moved", rename(chosen_index(), away) == 0 && run_check(false) == CHECK_SOUND);
}

/* Sound by itself, but it does not know of a record. */
static void an_index_file_that_tells_another_story_is_found(void **state)
{
    char *bytes = calloc(1, BOX_SEGMENT), path[64];
    struct record r;
    struct record_start start;
    struct buf line;
    size_t count, front;
    uint32_t seed, crc = 0;
    uint64_t end = 0;
    int fd;

    (void)state;
    snprintf(path, sizeof(path), "%s", chosen_segment());
    fd = open(path, O_RDONLY);
    check("head", read(fd, bytes, RECORD_HEAD) == RECORD_HEAD &&
                      record_get_head(view_make(bytes, RECORD_HEAD),
                                      record_segment(mail[CHOSEN]->commit.id),
                                      &start) == RECORD_HEAD_WHOLE);
    close(fd);
    seed = record_seed(start.nonce);
    fd = open(chosen_index(), O_RDONLY);
    count = (size_t)read(fd, bytes, BOX_SEGMENT);
    close(fd);
    check("an index", record_read(view_make(bytes, count), seed, &r) && r.type == RECORD_INDEX &&
                          record_get_index(r.meta, &end, &crc));
    front = RECORD_HEADER + r.meta.len;
    bytes[front + 6] = 'X'; /* the type of the first record; its own CRC is not looked at here */
    line = buf_on(bytes + RECORD_HEADER, 64);
    check("again",
          record_put_index(&line, end, crc32c(0, view_make(bytes + front, count - front))));
    check("as long", buf_len(&line) == r.meta.len);
    record_seal(bytes, &r, seed);
    overwrite(chosen_index(), 0, bytes, count);
    free(bytes);
    expect(chosen_index(), 0, "does not tell what is in the segment");
}

static void the_segments_know_whose_they_are(void **state)
{
    (void)state;
    spoil("format", 30);
    expect("format", 0, "its uuid is not that of the segments");
    overwrite("format", 0, "Tarn", 4);
    expect("format", 0, "it is damaged, or lost");
    check("removed", unlink("format") == 0);
    expect("format", 0, "it is damaged, or lost");
}

static void damage_of_a_large_body_is_found(void **state)
{
    (void)state;
    spoil(big_file(), 1000);
    expect(big_file(), 0, "the file's checksum is wrong");
    check("cut", truncate(big_file(), BIG - 1) == 0);
    expect(big_file(), 0, "the file is not there, or has a wrong length");
    check("removed", unlink(big_file()) == 0);
    expect(big_file(), 0, "the file is not there, or has a wrong length");
}

static void a_newer_format_is_left_alone(void **state)
{
    struct error err = { "" };

    (void)state;
    overwrite("format", strlen("Tern spool\nversion "), "9", 1);
    check("refused", check_spool(1, false, &err) == CHECK_FAILED);
    check("and why", strstr(err.text, "was written by a newer Tern: its format is 9") != NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_sound_spool_is_sound, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damage_in_the_log_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_index_file_is_compared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_index_file_that_tells_another_story_is_found, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_segments_know_whose_they_are, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damage_of_a_large_body_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_newer_format_is_left_alone, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
