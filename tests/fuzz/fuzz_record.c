#include "queue/record.h"

#include "common/memory.h"
#include "mail/envelope.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROOM = RECORD_LINE_MAX + 4096,
    TAIL = 4096, /* of a segment behind the input */
};

static const uint32_t seed = 0x5eed;
static uint32_t rcpts[ENVELOPE_RCPTS_MAX], rcpts_again[ENVELOPE_RCPTS_MAX];

/* What was read and written again reads the same. */
static void check_message(struct view meta)
{
    struct record_message m, again;
    struct buf line;

    if (!record_get_message(meta, rcpts, &m))
        return;
    buf_new(&line, ROOM);
    assert(record_put_message(&line, &m));
    assert(record_get_message(buf_view(&line), rcpts_again, &again));
    assert(again.body_bytes == m.body_bytes && again.body_crc == m.body_crc);
    assert(again.big == m.big && again.file == m.file && again.about == m.about);
    if (m.about != 0) {
        assert(again.settle_count == m.settle_count);
        assert(memcmp(rcpts, rcpts_again, m.settle_count * sizeof(*rcpts)) == 0);
    }
    buf_free(&line);
}

static void check_outcome(struct view meta)
{
    struct record r = { .type = RECORD_OUTCOME, .id = 7, .meta = meta };
    struct store_outcome o, again;
    struct buf line;

    if (!record_get_outcome(&r, rcpts, &o))
        return;
    buf_new(&line, ROOM);
    assert(record_put_outcome(&line, &o));
    r.meta = buf_view(&line);
    assert(record_get_outcome(&r, rcpts_again, &again));
    assert(again.state == o.state && again.attempts == o.attempts && again.at_ms == o.at_ms);
    assert(again.rcpt_count == o.rcpt_count);
    assert(memcmp(rcpts, rcpts_again, o.rcpt_count * sizeof(*rcpts)) == 0);
    buf_free(&line);
}

static void check_change(struct view meta)
{
    struct record r = { .type = RECORD_CHANGE, .id = 7, .meta = meta };
    struct store_change c, again;
    struct buf line;

    if (!record_get_change(&r, &c))
        return;
    buf_new(&line, ROOM);
    assert(record_put_change(&line, &c));
    r.meta = buf_view(&line);
    assert(record_get_change(&r, &again));
    assert(again.kind == c.kind && again.at_ms == c.at_ms);
    buf_free(&line);
}

/* Any bytes can be the meta of a record, and come back as they were. */
static void check_sealed(struct view bytes)
{
    size_t len = MIN(bytes.len, RECORD_META_MAX);
    size_t span = record_span(len, 0);
    char *room = memory_new(span);
    struct record r = { .type = RECORD_MESSAGE, .id = 9, .batch = 3, .back = 1 };
    struct record back;

    if (len > 0)
        memcpy(room + RECORD_HEADER, bytes.ptr, len);
    r.meta = view_make(room + RECORD_HEADER, len);
    record_seal(room, &r, seed);
    assert(record_read(view_make(room, span), seed, &back));
    assert(view_equal(back.meta, r.meta) && back.id == 9 && back.batch == 3 && back.back == 1);
    (void)!record_body_whole(&back);
    free(room);
}

/* Any line can be in a head whose CRC is right. */
static void check_head(struct view bytes)
{
    static char head[RECORD_HEAD];
    size_t len = MIN(bytes.len, RECORD_HEAD_COPY - RECORD_HEADER);
    struct record r = { .type = RECORD_START, .batch = 1 };
    struct record_start start;

    memset(head, 0, sizeof(head));
    if (len > 0)
        memcpy(head + RECORD_HEADER, bytes.ptr, len);
    r.meta = view_make(head + RECORD_HEADER, len);
    record_seal(head, &r, 0);
    if (record_get_head(view_make(head, sizeof(head)), 1, &start) == RECORD_HEAD_HALF)
        assert(start.segment == 1 && start.cut_count <= RECORD_CUTS);
}

/* A scan goes over every byte once, whatever they are. */
static void check_scan(struct view bytes)
{
    size_t len = RECORD_HEAD + bytes.len + TAIL;
    char *segment = memory_new(len);
    struct record_scan s = { .segment = 1, .seed = seed, .at = RECORD_HEAD };
    struct record r;
    size_t from, to, at = RECORD_HEAD;

    if (bytes.len > 0)
        memcpy(segment + RECORD_HEAD, bytes.ptr, bytes.len);
    s.bytes = view_make(segment, len / RECORD_UNIT * RECORD_UNIT);
    while (record_scan_next(&s, &r, &from, &to) != RECORD_END) {
        assert(from == at && to > from);
        at = to;
    }
    assert(at >= s.bytes.len);
    free(segment);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct view input = view_make(bytes, len);

    check_message(input);
    check_outcome(input);
    check_change(input);
    check_sealed(input);
    check_head(input);
    check_scan(input);
    return 0;
}
