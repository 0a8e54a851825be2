/* Where a stream of the log goes on: a part of queue/survey.h. */
#include "queue/sources.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Padding over what is torn between whole records of the last batch: the next reader shall not take
 * it for damage. */
static int pad_gap(const struct source *s, const struct gap *gap, int fd)
{
    char header[RECORD_HEADER];
    struct record r = { .type = RECORD_PADDING,
                        .batch = s->last_batch,
                        .back = (uint32_t)((gap->from - s->batch_start) / RECORD_UNIT),
                        .body = { NULL, gap->to - gap->from - RECORD_HEADER } };

    record_seal(header, &r, s->seed);
    return file_write_all(fd, view_make(header, sizeof(header)), gap->from);
}

/* One of the two copies of the head may be torn, as the rest of its batch. */
static int mend_head(const struct source *s, int fd)
{
    char head[RECORD_HEAD], whole[RECORD_HEAD];
    struct record_start start;
    struct record r;
    bool broken;
    ssize_t got = file_read_all(fd, head, sizeof(head), 0, &broken);
    int err = 0;

    if (got < 0 ||
        record_get_head(view_make(head, (size_t)got), s->number, &start) != RECORD_HEAD_HALF ||
        !start.tells_left)
        return got < 0 ? (int)got : 0;
    record_put_head(whole, &start);
    if (!record_read(view_make(whole, RECORD_HEAD_COPY), 0, &r))
        return 0;
    for (size_t at = 0; at < RECORD_HEAD && err == 0; at += RECORD_HEAD_COPY) {
        if (memcmp(head + at, whole + at, RECORD_HEADER + r.meta.len) != 0)
            err = file_write_all(fd, view_make(whole + at, RECORD_HEAD_COPY), at);
    }
    return err;
}

/* `closed`: the log goes on in another segment, so this one needs its end. */
static int mend_newest(struct survey *v, const struct source *s, int fd, bool closed)
{
    struct gap rest = { .from = s->sound_end, .to = s->end };
    int err = mend_head(s, fd);

    for (size_t i = 0; i < v->gap_count && err == 0; i++) {
        const struct gap *gap = &v->gaps[i];

        if (&v->sources[gap->source] != s || gap->from == gap->to)
            continue;
        if (gap->broken || gap->to <= s->sound_end)
            v->torn_bytes += gap->to - gap->from;
        if (gap->to <= s->sound_end)
            err = pad_gap(s, gap, fd);
    }
    if (err == 0 && closed && rest.from < rest.to)
        err = pad_gap(s, &rest, fd);
    /* After a kill, some of it may be in the page cache alone, and it has been replayed. */
    if (err == 0 && fdatasync(fd) < 0)
        err = -errno;
    return err;
}

uint64_t survey_highest(const struct survey *v)
{
    return MAX(v->mentioned, MAX(v->highest[STREAM_FRESH], v->highest[STREAM_OLD]));
}

static struct source *newest_source(struct survey *v, enum stream stream)
{
    for (size_t i = v->source_count; i > 0; i--) {
        if (segment_stream(v->sources[i - 1].number) == stream)
            return &v->sources[i - 1];
    }
    return NULL;
}

/* The newest segment of the stream when it cannot be read, or not wholly: nobody knows its end. */
static uint64_t left_without_end(const struct survey *v, enum stream stream)
{
    const struct segment *s = ledger_find(v->ledger, v->highest[stream]);

    return s != NULL && s->stubborn ? s->number : 0;
}

int survey_resume(struct survey *v, enum stream stream, struct log_end *end)
{
    struct source *s = newest_source(v, stream);
    /* Where a write failed nothing is written again, whichever stream the log went on in. */
    bool closed = s == NULL || s->number != v->highest[stream] || s->end < s->bytes;
    int fd, err;

    *end = (struct log_end){ .fd = -1, .left = left_without_end(v, stream) };
    /* Where a broken one ends is not known: there, nothing is written over what may be mail. */
    if (s == NULL || s->broken || v->spool->read_only)
        return 0;
    fd = openat(v->spool->log, source_name(s->number), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    err = fd < 0 ? -errno : mend_newest(v, s, fd, closed);
    if (err == 0 && !closed) {
        s->end = s->sound_end; /* what comes behind was not there */
        *end = (struct log_end){ ledger_find(v->ledger, s->number), fd, s->end, s->sealed, 0 };
        return 0;
    }
    if (fd >= 0)
        close(fd);
    if (err == 0 || source_lacks_means(err))
        return err;
    source_leave_unwritable(v, s->number, err);
    v->last_batch += UNREAD_BATCHES;
    end->left = left_without_end(v, stream);
    return 0;
}
