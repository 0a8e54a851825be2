/* Finished messages stay finished, and numbers are used once, whatever is lost: over logs that are
 * written here, record by record. */
#include "common/crc32c.h"
#include "queue/ledger.h"
#include "queue/record.h"
#include "queue/shelf.h"
#include "tests/unit/queue/spoolbox.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SIZE = 1000,
    SECTOR = 512,
    JUMP = 1 << 20, /* of batches, behind a segment that was left in former times */
};

static const char uuid[] = "0123456789abcdef0123456789abcdef";
static const uint64_t nonce = 0x5eed;

static struct {
    struct box box;
    char bytes[BOX_SEGMENT];
    uint64_t number, batch;
    size_t at;
} w;

static void begin(void)
{
    char path[128];

    box_new(&w.box);
    snprintf(path, sizeof(path), "%s/log", w.box.path);
    assert_int_equal(mkdir(path, 0700), 0);
    w.batch = 1;
}

static uint64_t add(char type, uint64_t id, const char *words, const char *text, size_t body_bytes)
{
    char *at = w.bytes + w.at;
    uint64_t place = record_place(w.number, w.at);
    struct record r = { .type = type, .id = id, .batch = w.batch++ };
    int len = sprintf(at + RECORD_HEADER, "%s%s", words, text);

    r.meta = view_make(at + RECORD_HEADER, (size_t)len);
    r.body = view_make(at + RECORD_HEADER + len, body_bytes);
    if (type == RECORD_MESSAGE)
        r.id = place;
    record_seal(at, &r, type == RECORD_START ? 0 : record_seed(nonce));
    w.at += record_span(r.meta.len, body_bytes);
    return place;
}

/* `left` is what its head says of the one before; NULL: as in former times, nothing. */
static void begin_segment(uint64_t number, const char *left)
{
    char words[256];

    memset(w.bytes, 0, sizeof(w.bytes));
    w.number = number;
    snprintf(words, sizeof(words), "spool=%s segment=%012llx nonce=%016llx bytes=%d%s%s\n", uuid,
             (unsigned long long)number, (unsigned long long)nonce, BOX_SEGMENT,
             left == NULL ? "" : " left=", left == NULL ? "" : left);
    w.at = 0;
    add(RECORD_START, 0, words, "", 0);
    memcpy(w.bytes + RECORD_HEAD_COPY, w.bytes, w.at);
    w.at = RECORD_HEAD;
}

static uint64_t put_message(uint64_t id, uint64_t was, size_t body_bytes)
{
    char words[128], copied[32] = "", body[3 * SIZE];
    size_t from = w.at;
    uint64_t place;
    struct record r;

    memset(body, 'x', body_bytes);
    if (was != 0)
        snprintf(copied, sizeof(copied), " was=%016llx", (unsigned long long)was);
    snprintf(words, sizeof(words), "body=%zu crc=%08x%s\n", body_bytes,
             crc32c(0, view_make(body, body_bytes)), copied);
    place = add(was != 0 ? RECORD_COPY : RECORD_MESSAGE, id, words,
                "from=a@here.test\nrcpt=b@there.test\n", body_bytes);
    assert_true(record_read(view_make(w.bytes + from, w.at - from), record_seed(nonce), &r));
    memcpy((char *)(uintptr_t)r.body.ptr, body, body_bytes);
    return place;
}

static void put_end(uint64_t id, uint64_t place)
{
    char words[64];

    snprintf(words, sizeof(words), "place=%016llx\n", (unsigned long long)place);
    add(RECORD_FINISH, id, place == id ? "" : words, "", 0);
}

static void path_of(uint64_t number, const char *folder, char path[static 160])
{
    char name[SHELF_NAME];

    segment_name(number, name);
    snprintf(path, 160, "%.80s/%s/%s", w.box.path, folder, name);
}

static bool is_there(uint64_t number)
{
    char path[160];

    path_of(number, "log", path);
    return access(path, F_OK) == 0;
}

static void write_segment(void)
{
    char path[160];
    int fd;

    path_of(w.number, "log", path);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    check("written", fd >= 0 && pwrite(fd, w.bytes, BOX_SEGMENT, 0) == BOX_SEGMENT);
    close(fd);
}

static void end_segment(void)
{
    if (w.at < BOX_SEGMENT)
        add(RECORD_PADDING, 0, "", "", BOX_SEGMENT - RECORD_HEADER - w.at);
    write_segment();
}

static void spoil(uint64_t number, size_t at, size_t count)
{
    char path[160], noise[SECTOR];
    int fd;

    memset(noise, 'n', sizeof(noise));
    path_of(number, "log", path);
    fd = open(path, O_WRONLY);
    check("spoilt", fd >= 0 && pwrite(fd, noise, count, (off_t)at) == (ssize_t)count);
    close(fd);
}

/* So much that every segment that nothing needs goes. */
static void let_mail_pass(void)
{
    for (uint64_t i = 0; i < 60; i++) {
        struct box_commit *c = box_accept(&w.box, i, 60000);

        store_finish(w.box.store, c->commit.id, c->commit.where);
        box_settle(&w.box);
        box_commit_free(c);
    }
}

static void open_again(void)
{
    box_close(&w.box);
    box_open(&w.box, true);
}

static void finish(uint64_t id)
{
    store_finish(w.box.store, id, box_find(&w.box, id)->where);
    box_settle(&w.box);
}

/* ---- ends ---- */

/* The message was moved, and ended where it lay then. That segment is lost, and later on the one
 * with the end would go. */
static void an_end_counts_when_what_it_speaks_of_is_lost(void **state)
{
    uint64_t ended, other, last;

    (void)state;
    begin();
    begin_segment(10, "000000000000");
    ended = put_message(0, 0, SIZE);
    other = put_message(0, 0, SIZE);
    end_segment();
    begin_segment(11, "000000000000");
    put_message(ended, ended, SIZE);
    end_segment();
    begin_segment(12, "000000000000");
    put_end(ended, record_place(11, RECORD_HEAD));
    end_segment();
    begin_segment(14, "000000000000");
    last = put_message(0, 0, SIZE);
    end_segment();
    spoil(11, 0, SECTOR);
    spoil(11, RECORD_HEAD_COPY, SECTOR);
    for (int run = 0; run < 3; run++) {
        box_open(&w.box, true);
        check("the others", box_find(&w.box, other) != NULL && box_find(&w.box, last) != NULL);
        check("and they alone", w.box.told_count == 2);
        let_mail_pass();
        check("nothing needs the first end", !is_there(12));
        box_close(&w.box);
    }
    box_remove(&w.box);
}

/* It ended while it was moved, and only one of its two ends was kept: that of the place before. */
static void a_copy_without_an_end_of_its_own_stays_dead(void **state)
{
    uint64_t gone = record_place(8, RECORD_HEAD), message;

    (void)state;
    begin();
    begin_segment(10, "000000000000");
    message = put_message(0, 0, SIZE);
    end_segment();
    begin_segment(11, "000000000000");
    put_message(message, message, SIZE);
    put_message(gone, gone, SIZE);
    end_segment();
    begin_segment(12, "000000000000");
    put_end(message, message);
    end_segment();
    box_open(&w.box, true);
    for (int run = 0; run < 3; run++) {
        check("the other alone", w.box.told_count == 1 && box_find(&w.box, gone) != NULL);
        let_mail_pass();
        check("nothing needs its first place and end", !is_there(10) && !is_there(12));
        open_again();
    }
    box_remove(&w.box);
}

/* A copy whose body is damaged does not count while what it was made from is there; nor may it
 * when that is finished and gone. */
static void a_damaged_copy_of_a_finished_message_stays_dead(void **state)
{
    uint64_t gone = record_place(8, RECORD_HEAD), message;
    struct store_numbers n;

    (void)state;
    begin();
    begin_segment(10, "000000000000");
    message = put_message(0, 0, SIZE);
    end_segment();
    begin_segment(11, "000000000000");
    put_message(message, message, SIZE);
    put_message(gone, gone, SIZE);
    end_segment();
    spoil(11, RECORD_HEAD + SIZE, 10);
    box_open(&w.box, true);
    store_count(w.box.store, &n);
    check("both are there", w.box.told_count == 2 && n.damaged == 1);
    check("whole", box_find(&w.box, message)->held == 0);
    finish(message);
    for (int run = 0; run < 3; run++) {
        let_mail_pass();
        open_again();
        check("the other alone", w.box.told_count == 1 && box_find(&w.box, gone) != NULL);
    }
    box_remove(&w.box);
}

/* ---- numbers ---- */

/* The newest segment was set aside, and nothing came behind it before the next start. */
static void a_number_that_was_set_aside_is_not_used_again(void **state)
{
    char from[160], to[160];
    struct box_commit *c;

    (void)state;
    begin();
    snprintf(to, sizeof(to), "%s/bad", w.box.path);
    assert_int_equal(mkdir(to, 0700), 0);
    for (uint64_t number = 10; number <= 14; number += 2) {
        begin_segment(number, "000000000000");
        put_message(0, 0, SIZE);
        end_segment();
    }
    path_of(14, "log", from);
    path_of(14, "bad", to);
    assert_int_equal(rename(from, to), 0);
    box_open(&w.box, true);
    c = box_accept(&w.box, 1, SIZE);
    check("a new id", record_segment(c->commit.id) > 14);
    box_commit_free(c);
    box_remove(&w.box);
}

/* Nor when somebody has removed it there. */
static void a_number_of_which_records_speak_is_not_used_again(void **state)
{
    (void)state;
    for (int moved = 0; moved < 2; moved++) {
        struct box_commit *c;

        begin();
        begin_segment(10, "000000000000");
        put_message(0, 0, SIZE);
        put_end(record_place(moved ? 4 : 20, RECORD_HEAD), record_place(20, RECORD_HEAD));
        end_segment();
        box_open(&w.box, true);
        check("the message", w.box.told_count == 1);
        c = box_accept(&w.box, 1, SIZE);
        check("a new id", record_segment(c->commit.id) > 20);
        box_commit_free(c);
        box_remove(&w.box);
    }
}

/* ---- segments without an end ---- */

/* Three segments of a stream with so many batches between the first two; the first one has a
 * message at its front and one that reaches to its end. */
static uint64_t write_stream(uint64_t number, const char *left, uint64_t jump, bool full)
{
    uint64_t gone = record_place(4, RECORD_HEAD), place = 0;

    w.batch = 1;
    begin_segment(number, "000000000000");
    put_message(number % 2 ? gone : 0, number % 2 ? gone : 0, SIZE);
    if (full) {
        place = put_message(number % 2 ? gone + 100 : 0, number % 2 ? gone : 0, 3 * SIZE);
        add(RECORD_PADDING, 0, "", "", BOX_SEGMENT - RECORD_HEADER - w.at);
    }
    write_segment();
    w.batch += jump;
    begin_segment(number + 2, left);
    put_message(number % 2 ? gone + 200 : 0, number % 2 ? gone : 0, SIZE);
    end_segment();
    return place;
}

static uint64_t count_damage(void)
{
    struct error err = { "" };
    struct store_numbers n;

    assert_int_equal(box_try(&w.box, true, &err), 0);
    store_count(w.box.store, &n);
    box_close(&w.box);
    return n.damaged;
}

/* Batches are counted over both streams: so many may lie between two segments of one. What is
 * damaged up to the end of the first is no rest that was never used. */
static void damage_at_the_end_of_a_segment_is_told_whatever_came_between(void **state)
{
    enum { TRIALS = 100 };
    uint64_t random = 5;

    (void)state;
    for (int trial = 0; trial < TRIALS; trial++) {
        uint64_t number = 10 + random_below(&random, 2);
        uint64_t place;

        begin();
        place = write_stream(number, "000000000000", random_below(&random, 4 * JUMP), true);
        check("sound", count_damage() == 0 && w.box.told_count == 3);
        /* Its header, and that of the padding behind it. */
        spoil(number, (size_t)record_offset(place) + random_below(&random, 60), 4);
        spoil(number, (size_t)record_offset(place) + 3 * SIZE, SECTOR);
        check("told", count_damage() == 1 && w.box.told_count == 2);
        box_open(&w.box, true);
        check("kept", box_count_files(&w.box, "bad") == 1);
        box_remove(&w.box);
    }
}

static void a_segment_that_was_left_is_not_damaged(void **state)
{
    static const struct {
        const char *left; /* what the next head says */
        uint64_t jump, damaged;
    } cases[] = {
        { "00000000000a", 0, 0 },
        { "00000000000a", JUMP, 0 },
        { "000000000000", JUMP, 1 },
        { "00000000000b", 0, 1 },
        { NULL, 0, 1 },
        { NULL, JUMP, 0 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        begin();
        write_stream(10, cases[i].left, cases[i].jump, false);
        check("as the head says", count_damage() == cases[i].damaged);
        check("both messages", w.box.told_count == 2);
        box_remove(&w.box);
    }
}

/* The front of a record that would be of a later batch: no rest of a former life has one. */
static void what_looks_like_a_record_in_a_rest_is_damage(void **state)
{
    uint64_t place;

    (void)state;
    begin();
    place = write_stream(10, "00000000000a", JUMP, true);
    spoil(10, (size_t)record_offset(place) + 56, 4); /* its checksum */
    spoil(10, (size_t)record_offset(place) + 3 * SIZE, SECTOR);
    check("told", count_damage() == 1);
    box_remove(&w.box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_end_counts_when_what_it_speaks_of_is_lost),
        cmocka_unit_test(a_copy_without_an_end_of_its_own_stays_dead),
        cmocka_unit_test(a_damaged_copy_of_a_finished_message_stays_dead),
        cmocka_unit_test(a_number_that_was_set_aside_is_not_used_again),
        cmocka_unit_test(a_number_of_which_records_speak_is_not_used_again),
        cmocka_unit_test(damage_at_the_end_of_a_segment_is_told_whatever_came_between),
        cmocka_unit_test(a_segment_that_was_left_is_not_damaged),
        cmocka_unit_test(what_looks_like_a_record_in_a_rest_is_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
