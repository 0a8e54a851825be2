#include "queue/record.h"

#include "common/crc32c.h"
#include "mail/envelope.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

enum { SEGMENT = 65536 };

static const uint32_t seed = 0x1234abcd;
static const uint32_t some[] = { 0, 1, 2, 7, 9, 10 };

/* ---- one record ---- */

static void writes_the_header_that_is_documented(void **state)
{
    char room[128] = "";
    struct record r = { .type = 'M', .id = 0x1a200f3c0, .batch = 0xa3f, .back = 3 };
    struct record back;

    (void)state;
    memcpy(room + 64, "body=2\nx", 8);
    memcpy(room + 72, "hi", 2);
    r.meta = view_make(room + 64, 8);
    r.body = view_make(room + 72, 2);
    record_seal(room, &r, seed);
    check_view("header", view_make(room, 55),
               VIEW("TERN1 M 00000001a200f3c0 00008 0000002 0000000a3f 0003 "));
    check("line", room[63] == '\n' && memchr(room, '\n', 64) == room + 63);
    check("read", record_read(view_make(room, 128), seed, &back));
    check("as it was", back.type == 'M' && back.id == r.id && back.batch == r.batch &&
                           back.back == 3 && back.body.len == 2);
    check_view("meta", back.meta, VIEW("body=2\nx"));
    check_view("body", back.body, VIEW("hi"));
    check("span", record_span(8, 2) == 128);
    check("another nonce", !record_read(view_make(room, 128), seed + 1, &back));
}

static void a_flipped_bit_is_noticed(void **state)
{
    char room[128] = "";
    struct record r = { .type = 'D', .id = 7, .batch = 1, .meta = { room + 64, 20 } };
    struct record back;

    (void)state;
    memset(room + 64, 'x', 20);
    record_seal(room, &r, seed);
    for (size_t bit = 0; bit < 84 * 8; bit++) {
        room[bit / 8] = (char)(room[bit / 8] ^ 1 << bit % 8);
        /* Letters of the CRC itself may change their case. */
        if (record_read(view_make(room, 128), seed, &back))
            check("only the case of a digit", bit / 8 >= 55 && bit / 8 < 63 && bit % 8 == 5);
        room[bit / 8] = (char)(room[bit / 8] ^ 1 << bit % 8);
    }
    check("whole again", record_read(view_make(room, 128), seed, &back));
    for (size_t len = 0; len < 84; len++)
        check("cut", !record_read(view_make(room, len), seed, &back));
}

/* ---- metas ---- */

static const struct {
    const char *name;
    struct record_message m;
    struct view text;
} messages[] = {
    { "small",
      { .body_bytes = 3840, .body_crc = 0x9d1e0b77, .envelope = VIEW_INIT("from=a\n") },
      VIEW_INIT("body=3840 crc=9d1e0b77\n") },
    { "empty", { .body_bytes = 0 }, VIEW_INIT("body=0 crc=00000000\n") },
    { "large",
      { .body_bytes = 1 << 20, .body_crc = 1, .big = true, .file = 0x1a2b },
      VIEW_INIT("body=1048576 crc=00000001 file=0000000000001a2b\n") },
    { "bounce",
      { .body_bytes = 5, .about = 0xabc, .settles = some, .settle_count = COUNT_OF(some) },
      VIEW_INIT("body=5 crc=00000000 about=0000000000000abc settles=0-2,7,9-10\n") },
    { "delay notice",
      { .body_bytes = 5, .about = 0xabc },
      VIEW_INIT("body=5 crc=00000000 about=0000000000000abc\n") },
};

static void tells_messages(void **state)
{
    char room[512];
    uint32_t rcpts[ENVELOPE_RCPTS_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(messages); i++) {
        const struct record_message *m = &messages[i].m;
        struct buf out = BUF_ON_ARRAY(room);
        struct record_message back;

        check(messages[i].name, record_put_message(&out, m));
        check_view(messages[i].name, buf_view(&out), messages[i].text);
        check(messages[i].name, buf_put(&out, m->envelope));
        check(messages[i].name, record_get_message(buf_view(&out), rcpts, &back));
        check_view(messages[i].name, back.envelope, m->envelope);
        check(messages[i].name, back.body_bytes == m->body_bytes && back.body_crc == m->body_crc &&
                                    back.big == m->big && back.file == m->file &&
                                    back.about == m->about && back.settle_count == m->settle_count);
        for (size_t k = 0; k < m->settle_count; k++)
            check(messages[i].name, back.settles[k] == m->settles[k]);
    }
}

static const struct {
    const char *name;
    struct view meta;
    bool good;
} metas[] = {
    { "nothing", VIEW_INIT(""), false },
    { "no length", VIEW_INIT("crc=00000000\n"), false },
    { "no crc", VIEW_INIT("body=1\n"), false },
    { "not a number", VIEW_INIT("body=x crc=00000000\n"), false },
    { "an unknown word", VIEW_INIT("body=1 shade=green crc=00000000\nx"), true },
    { "range backwards", VIEW_INIT("body=1 crc=0 about=1 settles=3-2\n"), false },
    { "beyond all of them", VIEW_INIT("body=1 crc=0 about=1 settles=1000\n"), true },
    { "index too high", VIEW_INIT("body=1 crc=0 about=1 settles=1001\n"), false },
    { "too many", VIEW_INIT("body=1 crc=0 about=1 settles=0-999,0\n"), false },
    { "all of them", VIEW_INIT("body=1 crc=0 about=1 settles=0-999\n"), true },
    { "stray comma", VIEW_INIT("body=1 crc=0 about=1 settles=,\n"), false },
};

static void refuses_odd_metas(void **state)
{
    uint32_t rcpts[ENVELOPE_RCPTS_MAX];
    struct record_message m;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(metas); i++)
        check(metas[i].name, record_get_message(metas[i].meta, rcpts, &m) == metas[i].good);
}

static void tells_outcomes_and_changes(void **state)
{
    char room[512];
    uint32_t rcpts[ENVELOPE_RCPTS_MAX];
    struct record r = { .type = RECORD_OUTCOME, .id = 5 };
    struct store_outcome o = { .rcpts = some,
                               .rcpt_count = COUNT_OF(some),
                               .state = STORE_FAILED,
                               .attempts = 3,
                               .next_ms = 10,
                               .at_ms = 9 };
    struct store_change c = { .kind = STORE_DELETED, .at_ms = 77 };
    struct buf out = BUF_ON_ARRAY(room);

    (void)state;
    check("put", record_put_outcome(&out, &o));
    check_view("outcome", buf_view(&out),
               VIEW("failed rcpts=0-2,7,9-10 attempts=3 next=10 at=9\n"));
    check("text", buf_put(&out, VIEW("code=550\n")));
    r.meta = buf_view(&out);
    check("get", record_get_outcome(&r, rcpts, &o));
    check("as it was", o.message == 5 && o.rcpt_count == 6 && o.rcpts[5] == 10 &&
                           o.state == STORE_FAILED && o.attempts == 3);
    check_view("text", o.text, VIEW("code=550\n"));
    buf_clear(&out);
    check("put", record_put_change(&out, &c) && buf_put(&out, VIEW("uid 0")));
    check_view("change", buf_view(&out), VIEW("deleted at=77\nuid 0"));
    r = (struct record){ .type = RECORD_CHANGE, .id = 6, .meta = buf_view(&out) };
    check("get", record_get_change(&r, &c) && c.kind == STORE_DELETED && c.message == 6);
    check_view("who", c.who, VIEW("uid 0"));
    check("not an outcome", !record_get_outcome(&r, rcpts, &o));
}

/* ---- head ---- */

static const struct record_start start = {
    .spool = VIEW_INIT("0123456789abcdef0123456789abcdef"),
    .segment = 0x1a2,
    .nonce = 0xfeedfacecafebeef,
    .bytes = SEGMENT,
    .first_batch = 17,
    .cuts = { { 0x1a1, 8256 }, { 0x19f, 0 } },
    .cut_count = 2,
};

static void reads_the_head_from_either_copy(void **state)
{
    char head[RECORD_HEAD], zeros[RECORD_HEAD] = { 0 };
    struct record_start s;

    (void)state;
    record_put_head(head, &start);
    check("text fits for people", memmem(head, sizeof(head), "import os, re, sys", 18) != NULL);
    check("whole", record_get_head(view_make(head, sizeof(head)), 0x1a2, &s) == RECORD_HEAD_WHOLE);
    check("as it was", s.nonce == start.nonce && s.first_batch == 17 && s.cut_count == 2 &&
                           s.cuts[0].segment == 0x1a1 && s.cuts[0].offset == 8256 &&
                           s.cuts[1].segment == 0x19f && s.bytes == SEGMENT);
    check_view("spool", s.spool, start.spool);
    check("a former life",
          record_get_head(view_make(head, sizeof(head)), 0x1a3, &s) == RECORD_HEAD_STALE);
    memset(head, 0, 512);
    check("half", record_get_head(view_make(head, sizeof(head)), 0x1a2, &s) == RECORD_HEAD_HALF);
    memset(head, 'x', 512);
    check("half", record_get_head(view_make(head, sizeof(head)), 0x1a2, &s) == RECORD_HEAD_HALF);
    memset(head + RECORD_HEAD_COPY, 'x', 512);
    check("lost", record_get_head(view_make(head, sizeof(head)), 0x1a2, &s) == RECORD_HEAD_LOST);
    check("fresh", record_get_head(view_make(zeros, sizeof(zeros)), 1, &s) == RECORD_HEAD_STALE);
    check("short", record_get_head(view_make(head, 100), 1, &s) == RECORD_HEAD_LOST);
}

/* ---- scan ---- */

struct made {
    char bytes[SEGMENT];
    size_t at, starts[64], count;
    uint64_t batch;
    size_t batch_start;
};

static void begin_batch(struct made *m)
{
    m->batch++;
    m->batch_start = m->at;
}

static void put_message(struct made *m, const char *body, size_t bytes)
{
    struct buf line = buf_on(m->bytes + m->at + RECORD_HEADER, 256);
    struct record_message message = { .body_bytes = bytes,
                                      .body_crc = crc32c(0, view_make(body, bytes)) };
    struct record r = { .type = RECORD_MESSAGE,
                        .id = record_place(3, m->at),
                        .batch = m->batch,
                        .back = (uint32_t)((m->at - m->batch_start) / RECORD_UNIT) };

    assert_true(record_put_message(&line, &message));
    assert_true(buf_put(&line, VIEW("from=x\nrcpt=y@z\n")));
    r.meta = buf_view(&line);
    r.body = view_make(body, bytes);
    memcpy(m->bytes + m->at + RECORD_HEADER + r.meta.len, body, bytes);
    record_seal(m->bytes + m->at, &r, seed);
    m->starts[m->count++] = m->at;
    m->at += record_span(r.meta.len, bytes);
}

static void make(struct made *m)
{
    static const char body[3000] = "a message";

    *m = (struct made){ .at = RECORD_HEAD };
    for (int batch = 0; batch < 3; batch++) {
        begin_batch(m);
        put_message(m, body, 10);
        put_message(m, body, 3000);
        put_message(m, body, 64);
    }
}

static struct record_scan scan_of(const struct made *m)
{
    return (struct record_scan){
        .bytes = { m->bytes, SEGMENT }, .segment = 3, .seed = seed, .at = RECORD_HEAD
    };
}

static void scans_from_end_to_end(void **state)
{
    static struct made m;
    struct record_scan s;
    struct record r;
    size_t from, to;

    (void)state;
    make(&m);
    s = scan_of(&m);
    for (size_t i = 0; i < m.count; i++) {
        check("found", record_scan_next(&s, &r, &from, &to) == RECORD_FOUND);
        check("in its place", from == m.starts[i] && r.id == record_place(3, from));
    }
    check("the rest", record_scan_next(&s, &r, &from, &to) == RECORD_GAP);
    check("to the end", from == m.at && to == SEGMENT);
    check("over", record_scan_next(&s, &r, &from, &to) == RECORD_END);
}

/* 512 random bytes over any sector harm the records that they touch and no other. */
static void one_sector_harms_its_records_alone(void **state)
{
    static struct made m;
    uint64_t random = 1;

    (void)state;
    for (int trial = 0; trial < 200; trial++) {
        size_t sector, lost = 0, found = 0, from, to;
        struct record_scan s;
        struct record r;
        enum record_step step;

        make(&m);
        sector = RECORD_HEAD + random_below(&random, (m.at - RECORD_HEAD) / 512) * 512;
        for (size_t i = 0; i < 512; i++)
            m.bytes[sector + i] = (char)(uint8_t)random_below(&random, 256);
        for (size_t i = 0; i < m.count; i++) {
            size_t end = i + 1 < m.count ? m.starts[i + 1] : m.at;

            lost += m.starts[i] < sector + 512 && end > sector;
        }
        s = scan_of(&m);
        while ((step = record_scan_next(&s, &r, &from, &to)) != RECORD_END)
            found += step == RECORD_FOUND;
        check("no more than those", found + lost >= m.count);
        check("and they are noticed", found < m.count);
    }
}

/* Finds how many records when the first message, full of records sealed with `forged`, loses its
 * header. */
static size_t find_behind_a_lost_header(uint32_t forged)
{
    enum { META = 39 }; /* "body=4096 crc=........\nfrom=x\nrcpt=y@z\n" */
    static struct made m;
    char body[4096] = { 0 };
    struct record_scan s;
    struct record r;
    size_t from, to, found = 0;
    enum record_step step;

    for (size_t at = RECORD_UNIT - META; at + RECORD_HEADER <= sizeof(body); at += RECORD_UNIT) {
        struct record fake = { .type = RECORD_FINISH, .id = 1, .batch = 1 };

        record_seal(body + at, &fake, forged);
    }
    m = (struct made){ .at = RECORD_HEAD };
    begin_batch(&m);
    put_message(&m, body, sizeof(body));
    begin_batch(&m);
    put_message(&m, "after", 5);
    memset(m.bytes + RECORD_HEAD, 'x', RECORD_HEADER);
    s = scan_of(&m);
    while ((step = record_scan_next(&s, &r, &from, &to)) != RECORD_END)
        found += step == RECORD_FOUND;
    return found;
}

/* What a sender writes is not taken for a record, even when the record around it is lost. */
static void a_record_in_a_body_is_no_record(void **state)
{
    (void)state;
    check("with the nonce they would be", find_behind_a_lost_header(seed) > 60);
    check("without, there is only the next message", find_behind_a_lost_header(0) == 1);
}

static void an_older_batch_is_no_record(void **state)
{
    static struct made m;
    struct record_scan s;
    struct record r;
    size_t from, to;

    (void)state;
    make(&m);
    s = scan_of(&m);
    s.batch = 2;
    check("a gap", record_scan_next(&s, &r, &from, &to) == RECORD_GAP);
    check("over the first batch", to == m.starts[3]);
    s = scan_of(&m);
    s.segment = 4;
    check("another segment's", record_scan_next(&s, &r, &from, &to) == RECORD_GAP);
    check("all of it", to == SEGMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_the_header_that_is_documented),
        cmocka_unit_test(a_flipped_bit_is_noticed),
        cmocka_unit_test(tells_messages),
        cmocka_unit_test(refuses_odd_metas),
        cmocka_unit_test(tells_outcomes_and_changes),
        cmocka_unit_test(reads_the_head_from_either_copy),
        cmocka_unit_test(scans_from_end_to_end),
        cmocka_unit_test(one_sector_harms_its_records_alone),
        cmocka_unit_test(a_record_in_a_body_is_no_record),
        cmocka_unit_test(an_older_batch_is_no_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
