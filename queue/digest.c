#include "queue/digest.h"

#include "common/crc32c.h"
#include "common/memory.h"
#include "queue/shelf.h"
#include "queue/spool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILE_MODE = 0600,
    WINDOW = 256 << 10,
    WINDOW_MOST = RECORD_HEADER + RECORD_META_MAX + 1, /* any front fits */
    LINE_ROOM = 64,
};

/* Through the segment. */
struct walk {
    int fd;
    uint64_t at, end;
    uint64_t batch; /* the newest so far */
    char *room;     /* the window */
    size_t room_bytes, have;
    uint64_t from; /* of the window, in the file */
    size_t left;   /* bytes to be read in this turn */
    int error;
};

/* ---- putting it together ---- */

static void end_walk(struct digest *d)
{
    struct walk *w = d->walk;

    if (w == NULL)
        return;
    close(w->fd);
    free(w->room);
    free(w);
    d->walk = NULL;
}

static void close_file(struct digest *d)
{
    if (d->file > 0)
        close(d->file - 1);
    d->file = 0;
    end_walk(d);
}

void digest_release(struct digest *d)
{
    close_file(d);
    free(d->memory);
    *d = (struct digest){ 0 };
}

void digest_begin(struct digest *d, uint64_t segment, uint32_t seed, uint64_t end)
{
    close_file(d);
    d->segment = segment;
    d->seed = seed;
    d->end = end;
    d->filled = RECORD_HEAD;
    d->gaps = false;
    d->first = d->len = 0;
    digest_rewind(d);
}

static char *make_room(struct digest *d, size_t bytes)
{
    if (d->len + bytes > d->room) {
        d->room = MAX(d->room * 2, d->len + bytes);
        d->memory = memory_grow(d->memory, d->room, 1);
    }
    return d->memory + d->len;
}

/* Padding where nothing could be read, so that every record can be found by the lengths of those
 * before it. */
static void add_gap(struct digest *d, uint64_t bytes)
{
    struct record r = { .type = RECORD_PADDING, .body = { NULL, bytes - RECORD_HEADER } };

    record_seal(make_room(d, RECORD_HEADER), &r, d->seed);
    d->len += RECORD_HEADER;
    d->filled += bytes;
    d->gaps = true;
}

void digest_add(struct digest *d, const struct record *r, uint64_t offset)
{
    size_t bytes = RECORD_HEADER + r->meta.len;

    if (offset > d->filled)
        add_gap(d, offset - d->filled);
    memcpy(make_room(d, bytes), r->meta.ptr - RECORD_HEADER, bytes);
    d->len += bytes;
    d->filled += record_span(r->meta.len, r->body.len);
}

bool digest_is_whole(const struct digest *d)
{
    return !d->gaps && d->filled == d->end;
}

static struct view fronts(const struct digest *d)
{
    return view_make(d->memory + d->first, d->len - d->first);
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return view_equal(fronts(a), fronts(b));
}

/* ---- from the segment ---- */

/* The window begins at w->at. */
static bool fill(struct walk *w)
{
    bool broken;
    ssize_t got = file_read_all(w->fd, w->room, MIN(w->room_bytes, w->end - w->at), w->at, &broken);

    w->from = w->at;
    w->have = got < 0 ? 0 : (size_t)got;
    w->left -= MIN(w->left, w->have);
    if (got < 0 || broken)
        w->error = got < 0 ? (int)got : -EIO;
    return w->have >= RECORD_HEADER;
}

static struct view window(const struct walk *w)
{
    return view_make(w->room + (w->at - w->from), w->have - (w->at - w->from));
}

static bool has_window(struct walk *w)
{
    return (w->at >= w->from && w->at + RECORD_HEADER <= w->from + w->have) || fill(w);
}

/* The front may go on behind the window. */
static bool read_here(struct walk *w, uint32_t seed, struct record *r)
{
    if (record_read_front(window(w), seed, r))
        return true;
    if (!record_is_likely(window(w)) || w->from + w->have >= w->end)
        return false;
    if (w->at == w->from && w->room_bytes < WINDOW_MOST) {
        w->room = memory_grow(w->room, WINDOW_MOST, 1);
        w->room_bytes = WINDOW_MOST;
    }
    return fill(w) && record_read_front(window(w), seed, r);
}

static bool belongs(const struct digest *d, const struct walk *w, const struct record *r)
{
    uint64_t ends = w->at + record_span(r->meta.len, r->body.len);

    return r->batch >= w->batch && (uint64_t)r->back * RECORD_UNIT <= w->at && ends <= w->end &&
           (r->type != RECORD_MESSAGE || r->id == record_place(d->segment, w->at));
}

/* Whether there is more. */
static bool walk_on(struct digest *d, struct walk *w)
{
    while (w->left > 0 && w->at + RECORD_HEADER <= w->end) {
        struct record r;

        if (!has_window(w))
            return false;
        if (!read_here(w, d->seed, &r) || !belongs(d, w, &r)) {
            w->at += RECORD_UNIT;
            continue;
        }
        digest_add(d, &r, w->at);
        w->batch = r.batch;
        w->at += record_span(r.meta.len, r.body.len);
    }
    return w->at + RECORD_HEADER <= w->end;
}

static int open_file(const struct digest *d, int folder, void (*name_it)(uint64_t, char *),
                     int flags)
{
    char name[SHELF_NAME];
    int fd;

    name_it(d->segment, name);
    fd = openat(folder, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, FILE_MODE);
    return fd < 0 ? -errno : fd;
}

static int begin_walk(struct digest *d, int log_folder)
{
    int fd = open_file(d, log_folder, segment_name, O_RDONLY);

    if (fd < 0)
        return fd;
    d->walk = memory_new(sizeof(*d->walk));
    *d->walk = (struct walk){
        .fd = fd, .at = RECORD_HEAD, .end = d->end, .room = memory_new(WINDOW), .room_bytes = WINDOW
    };
    return 0;
}

int digest_make_some(struct digest *d, int log_folder, size_t bytes)
{
    int err = d->walk != NULL ? 0 : begin_walk(d, log_folder);

    if (err < 0)
        return err;
    d->walk->left = bytes;
    if (walk_on(d, d->walk))
        return 1;
    err = d->walk->error;
    end_walk(d);
    return err;
}

int digest_make(struct digest *d, int log_folder)
{
    return digest_make_some(d, log_folder, SIZE_MAX);
}

/* ---- its file: an I record, whose body is the fronts ---- */

int digest_save(const struct digest *d, int log_folder)
{
    char front[RECORD_HEADER + LINE_ROOM];
    struct buf line = buf_on(front + RECORD_HEADER, LINE_ROOM);
    struct record r = { .type = RECORD_INDEX,
                        .id = d->segment,
                        .body = { NULL, d->len - d->first } };
    struct view body = fronts(d);
    int fd, err;

    assert(digest_is_whole(d));
    if (!record_put_index(&line, d->end, crc32c(0, body)))
        return -EOVERFLOW;
    r.meta = buf_view(&line);
    record_seal(front, &r, d->seed);
    fd = open_file(d, log_folder, segment_index_name, O_WRONLY | O_CREAT | O_TRUNC);
    if (fd < 0)
        return fd;
    err = file_write_all(fd, view_make(front, RECORD_HEADER + r.meta.len), 0);
    if (err == 0)
        err = file_write_all(fd, body, RECORD_HEADER + r.meta.len);
    close(fd);
    return err;
}

/* Takes the fronts out of the file's bytes, which are in memory. */
static bool take_index(struct digest *d, size_t bytes)
{
    struct record r;
    uint64_t end;
    uint32_t crc;

    if (!record_read(view_make(d->memory, bytes), d->seed, &r) || r.type != RECORD_INDEX ||
        r.id != d->segment || !record_get_index(r.meta, &end, &crc) || end != d->end ||
        crc32c(0, r.body) != crc)
        return false;
    d->first = RECORD_HEADER + r.meta.len;
    d->len = d->first + r.body.len;
    d->filled = d->end;
    digest_rewind(d);
    return true;
}

static int begin_load(struct digest *d, int log_folder)
{
    int fd = open_file(d, log_folder, segment_index_name, O_RDONLY);
    struct stat facts;

    if (fd < 0)
        return fd;
    d->file = fd + 1;
    if (fstat(fd, &facts) < 0)
        return -errno;
    if (!S_ISREG(facts.st_mode) || facts.st_size > RECORD_HEADER + LINE_ROOM + RECORD_BODY_MAX)
        return -EBADMSG;
    d->file_len = (size_t)facts.st_size;
    make_room(d, d->file_len);
    return 0;
}

static int load_piece(struct digest *d, size_t bytes)
{
    bool broken;
    ssize_t got = file_read_all(d->file - 1, d->memory + d->len, MIN(bytes, d->file_len - d->len),
                                d->len, &broken);

    if (got < 0)
        return (int)got;
    if (broken || (got == 0 && d->len < d->file_len))
        return -EBADMSG;
    d->len += (size_t)got;
    if (d->len < d->file_len)
        return 1;
    return take_index(d, d->len) ? 0 : -EBADMSG;
}

int digest_load_some(struct digest *d, int log_folder, size_t bytes)
{
    int err = d->file > 0 ? 0 : begin_load(d, log_folder);

    if (err == 0)
        err = load_piece(d, bytes);
    if (err <= 0)
        close_file(d);
    return err;
}

int digest_load(struct digest *d, int log_folder)
{
    int err = digest_load_some(d, log_folder, SIZE_MAX);

    return err > 0 ? -EBADMSG : err; /* it became shorter meanwhile */
}

/* ---- reading ---- */

void digest_rewind(struct digest *d)
{
    d->at = d->first;
    d->offset = RECORD_HEAD;
}

bool digest_next(struct digest *d, struct record *r, uint64_t *offset)
{
    if (d->at >= d->len ||
        !record_read_front(view_make(d->memory + d->at, d->len - d->at), d->seed, r))
        return false;
    *offset = d->offset;
    d->at += RECORD_HEADER + r->meta.len;
    d->offset += record_span(r->meta.len, r->body.len);
    return true;
}
