#include "queue/reader.h"

#include "common/memory.h"
#include "io/log.h"
#include "queue/shelf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FRONT_BYTES = 4096 }; /* read at first when only the meta is wanted */

/* ---- files ---- */

void reader_close(struct reader *r, struct segment *s)
{
    if (s->fd < 0)
        return;
    close(s->fd);
    s->fd = -1;
    for (size_t i = 0; i < READER_FILES; i++) {
        if (r->open[i] == s->number)
            r->open[i] = 0;
    }
}

static int open_segment(struct reader *r, struct segment *s)
{
    char name[SHELF_NAME];
    struct segment *old = ledger_find(r->ledger, r->open[r->next]);

    if (s->fd >= 0)
        return s->fd;
    if (old != NULL)
        reader_close(r, old);
    segment_name(s->number, name);
    s->fd = openat(r->spool->log, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (s->fd < 0)
        return -errno;
    r->open[r->next] = s->number;
    r->next = (r->next + 1) % READER_FILES;
    return s->fd;
}

/* Bytes of a record as they lie on the disk. */
struct front {
    char *memory; /* the caller's to free */
    struct view bytes;
    uint32_t seed;
    bool broken; /* the disk did not give all of them: zeros stand there */
};

/* `count` bytes from the front of the record, or fewer at the end of the file. */
static int read_front(struct reader *r, uint64_t place, size_t count, struct front *f)
{
    struct segment *s = ledger_find(r->ledger, record_segment(place));
    int fd = s == NULL ? -ENOENT : open_segment(r, s);
    ssize_t got;

    if (fd < 0)
        return fd;
    *f = (struct front){ .memory = malloc(count), .seed = s->seed };
    if (f->memory == NULL)
        return -ENOMEM;
    got = file_read_all(fd, f->memory, count, record_offset(place), &f->broken);
    if (got < 0) {
        free(f->memory);
        return (int)got;
    }
    f->bytes = view_make(f->memory, (size_t)got);
    return 0;
}

int reader_report(struct reader *r, uint64_t id, uint64_t place, struct view bytes)
{
    char file[SHELF_NAME], copy[64];
    uint64_t segment = record_segment(place), offset = record_offset(place);

    segment_name(segment, file);
    r->damaged++;
    log_error("record_damaged", LOG_STRING("file", file), LOG_U64("offset", offset),
              LOG_U64("size_bytes", bytes.len), LOG_ID("message", id));
    snprintf(copy, sizeof(copy), "%012llx-%07llx.damaged", (unsigned long long)segment,
             (unsigned long long)offset);
    spool_set_aside(r->spool, copy, bytes);
    return -EBADMSG;
}

/* What makes no sense is damage when the disk gave it so. Else nobody knows what is there. */
static int refuse(struct reader *r, uint64_t id, uint64_t place, const struct front *f)
{
    return f->broken ? -EIO : reader_report(r, id, place, f->bytes);
}

/* ---- messages ---- */

static bool verify(struct reader *r, struct view bytes, uint32_t seed, uint64_t id, bool with_body,
                   struct reading *out)
{
    struct record *record = &out->record;

    if (!(with_body ? record_read(bytes, seed, record) : record_read_front(bytes, seed, record)))
        return false;
    if ((record->type != RECORD_MESSAGE && record->type != RECORD_COPY) || record->id != id)
        return false;
    return record_get_message(record->meta, r->rcpts, &out->message) &&
           (!with_body || record_body_whole(record));
}

int reader_message(struct reader *r, uint64_t id, uint64_t place, uint32_t bytes, bool with_body,
                   struct reading *out)
{
    size_t count = with_body ? bytes : MIN(bytes, FRONT_BYTES);
    struct front f;
    int err;

    for (;;) {
        err = read_front(r, place, count, &f);
        if (err < 0)
            return err;
        out->memory = f.memory;
        if (verify(r, f.bytes, f.seed, id, with_body, out))
            return 0;
        if (count == bytes)
            break;
        count = bytes; /* the meta may be longer than the front */
        free(f.memory);
    }
    err = refuse(r, id, place, &f);
    free(f.memory);
    return err;
}

/* ---- outcomes ---- */

static bool outcome_of(struct reader *r, const struct record *record, struct store_outcome *o)
{
    struct record_message m;

    if (record->type != RECORD_MESSAGE)
        return record_get_outcome(record, r->rcpts, o);
    if (!record_get_message(record->meta, r->rcpts, &m))
        return false;
    *o = (struct store_outcome){
        .message = m.about, .rcpts = m.settles, .rcpt_count = m.settle_count, .state = STORE_FAILED
    };
    return true;
}

static bool copy_outcome(const struct store_outcome *from, struct arena *arena,
                         struct store_outcome *out)
{
    uint32_t *rcpts = arena_alloc(arena, MAX(from->rcpt_count, 1) * sizeof(*rcpts));

    if (rcpts == NULL)
        return false;
    memcpy(rcpts, from->rcpts, from->rcpt_count * sizeof(*rcpts));
    *out = *from;
    out->rcpts = rcpts;
    return arena_copy(arena, from->text, &out->text);
}

int reader_take_outcome(struct reader *r, struct view bytes, uint32_t seed, struct arena *arena,
                        struct store_outcome *out)
{
    struct store_outcome o;
    struct record record;

    if (!record_read_front(bytes, seed, &record) || !outcome_of(r, &record, &o))
        return -EBADMSG;
    return copy_outcome(&o, arena, out) ? 0 : -ENOMEM;
}

int reader_outcome(struct reader *r, struct store_ref where, struct arena *arena,
                   struct store_outcome *out)
{
    struct front f;
    int err = read_front(r, where.place, where.bytes, &f);

    if (err < 0)
        return err;
    err = reader_take_outcome(r, f.bytes, f.seed, arena, out);
    if (err == -EBADMSG)
        err = refuse(r, 0, where.place, &f);
    free(f.memory);
    return err;
}
