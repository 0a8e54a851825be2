/* A segment of sound records in any order, about any messages, with any holes: the input is text, a
 * record a line, "TYPE ID META BODY" in which
 *   ID    the digit n: the place of the n-th record before; else its own place
 *   META  up to a tab; in it, '|' is LF, '@' the place of the first record in hexadecimal
 *   BODY  the rest
 * Copies go to a segment of the other stream. A line that begins with '!' leaves a hole in both.
 * "+" as the first line puts another segment behind. */
#include "queue/recover.h"
#include "queue/shelf.h"

#include "common/crc32c.h"
#include "common/memory.h"
#include "io/log.h"
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEGMENT = 1 << 16, FIRST = 2, OLD = 3, BEHIND = 4, PLACES = 10, META_MOST = 1024 };

static const uint64_t nonce = 0x5eed;
static const char uuid[] = "0123456789abcdef0123456789abcdef";

struct part {
    uint64_t number;
    char bytes[SEGMENT];
    size_t at;
};

static struct {
    char path[64];
    struct part streams[STREAMS];
    uint64_t batch, places[PLACES];
    unsigned count;
    struct idset told;
} f;

/* ---- the segment ---- */

static void begin_segment(struct part *p, uint64_t number)
{
    const struct record_start start = { .spool = VIEW(uuid),
                                        .segment = number,
                                        .nonce = nonce,
                                        .bytes = SEGMENT,
                                        .first_batch = f.batch };

    p->number = number;
    record_put_head(p->bytes, &start);
    memset(p->bytes + RECORD_HEAD, 0, SEGMENT - RECORD_HEAD);
    p->at = RECORD_HEAD;
}

static void write_segment(const struct part *p)
{
    char path[128], name[SHELF_NAME];
    int fd;

    segment_name(p->number, name);
    snprintf(path, sizeof(path), "%s/log/%s", f.path, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || pwrite(fd, p->bytes, SEGMENT, 0) != SEGMENT)
        abort();
    close(fd);
}

static void put_meta(struct buf *meta, struct view text)
{
    bool fits = true;

    for (size_t i = 0; i < text.len && fits; i++) {
        if (text.ptr[i] == '@')
            fits =
                buf_printf(meta, "%016llx", (unsigned long long)record_place(FIRST, RECORD_HEAD));
        else
            fits = buf_put_byte(meta, text.ptr[i] == '|' ? '\n' : text.ptr[i]);
    }
}

static uint64_t id_of(char c, char type, uint64_t own)
{
    unsigned back = (unsigned)(c - '0');

    if (type == RECORD_MESSAGE || c < '0' || c > '9' || back > f.count)
        return own;
    return back == 0 ? own : f.places[(f.count - back) % PLACES];
}

static void add_record(struct view line)
{
    char room[META_MOST];
    struct buf meta = BUF_ON_ARRAY(room);
    struct record r = { .type = line.len > 0 ? line.ptr[0] : RECORD_START };
    struct part *p = &f.streams[r.type == RECORD_COPY ? STREAM_OLD : STREAM_FRESH];
    uint64_t place = record_place(p->number, p->at);
    char *at = p->bytes + p->at;
    size_t span;

    if (line.len < 4 || r.type == RECORD_START)
        return;
    r.id = id_of(line.ptr[2], r.type, place);
    line = view_from(line, 4);
    put_meta(&meta, view_take_until(&line, '\t'));
    span = record_span(buf_len(&meta), line.len);
    if (p->at + span > SEGMENT)
        return;
    memcpy(at + RECORD_HEADER, room, buf_len(&meta));
    if (line.len > 0)
        memcpy(at + RECORD_HEADER + buf_len(&meta), line.ptr, line.len);
    r.meta = view_make(at + RECORD_HEADER, buf_len(&meta));
    r.body = line;
    r.batch = f.batch++;
    record_seal(at, &r, record_seed(nonce));
    f.places[f.count++ % PLACES] = place;
    p->at += span;
}

/* ---- what is told ---- */

static void on_message(struct store_replay *r, uint64_t id, struct store_ref where,
                       struct view envelope, uint64_t body_bytes)
{
    (void)r, (void)envelope, (void)body_bytes;
    assert(record_segment(where.place & ~PLACE_BIG) <= OLD && where.bytes >= RECORD_HEADER);
    assert(!idset_has(&f.told, id)); /* each once, whatever is in the log */
    idset_add(&f.told, id);
}

static void on_outcome(struct store_replay *r, const struct store_outcome *o,
                       struct store_ref where)
{
    (void)r, (void)where;
    assert(idset_has(&f.told, o->message));
}

static void on_change(struct store_replay *r, const struct store_change *c)
{
    (void)r;
    assert(idset_has(&f.told, c->message));
}

static void recover_it(void)
{
    struct store_replay replay = { on_message, on_outcome, on_change };
    static struct recovery r;
    struct ledger ledger;
    struct spool spool;
    struct error err;

    if (spool_open(&spool, f.path, true, &err) < 0)
        abort();
    ledger_init(&ledger);
    assert(recover_begin(&r, &spool, &ledger, &replay, &err) == 0);
    while (recover_tell(&r, 3))
        continue;
    assert(f.told.count == r.live_messages);
    recover_end(&r);
    ledger_release(&ledger);
    spool_close(&spool);
    idset_release(&f.told);
}

/* ---- the target ---- */

static void remove_folder(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", f.path);
    if (system(command) != 0)
        abort();
}

static void begin(void)
{
    char path[80];

    snprintf(f.path, sizeof(f.path), "/tmp/tern-fuzz-XXXXXX");
    if (mkdtemp(f.path) == NULL)
        abort();
    snprintf(path, sizeof(path), "%s/log", f.path);
    if (mkdir(path, 0700) < 0)
        abort();
    atexit(remove_folder);
    log_open("fuzz", LOG_FORMAT_TEXT, (enum log_level)(LOG_LEVEL_ERROR + 1));
}

static void write_log(bool more)
{
    static struct part behind;
    char name[SHELF_NAME], path[128];

    for (unsigned i = 0; i < STREAMS; i++)
        write_segment(&f.streams[i]);
    segment_name(BEHIND, name);
    snprintf(path, sizeof(path), "%s/log/%s", f.path, name);
    unlink(path);
    begin_segment(&behind, BEHIND);
    if (more)
        write_segment(&behind);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct view input = view_make(bytes, len), line;
    bool more = view_take(&input, VIEW("+\n"));

    if (f.path[0] == '\0')
        begin();
    f.batch = 1;
    f.count = 0;
    begin_segment(&f.streams[STREAM_FRESH], FIRST);
    begin_segment(&f.streams[STREAM_OLD], OLD);
    while (view_take_line(&input, &line)) {
        for (unsigned i = 0; line.len > 0 && line.ptr[0] == '!' && i < STREAMS; i++)
            f.streams[i].at = MIN(f.streams[i].at + line.len * RECORD_UNIT, (size_t)SEGMENT);
        if (line.len > 0 && line.ptr[0] != '!')
            add_record(line);
    }
    write_log(more);
    recover_it();
    return 0;
}
