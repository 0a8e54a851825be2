#include "queue/clockfile.h"

#include "common/crc32c.h"
#include "io/log.h"
#include "queue/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

static const char name[] = "clock";

enum { LINE_ROOM = 128 };

bool clockfile_encode(const struct store_clock *c, struct buf *out)
{
    size_t mark = buf_len(out);

    return buf_printf(out, "queue=%020" PRIu64 " wall=%020" PRIu64 " ended=%d ", c->queue_ms,
                      c->wall_ms, c->ended) &&
           buf_printf(out, "crc=%08" PRIx32 "\n", crc32c(0, view_from(buf_view(out), mark)));
}

static bool take_number(struct view *text, const char *key, uint64_t most, uint64_t *out)
{
    return view_take(text, view_of(key)) && view_to_u64(view_take_until(text, ' '), most, out);
}

/* Whatever does not come out again as it was is damaged. */
bool clockfile_decode(struct view text, struct store_clock *out)
{
    struct view rest = text;
    char room[LINE_ROOM];
    struct buf again = BUF_ON_ARRAY(room);
    uint64_t ended = 0;

    if (!take_number(&rest, "queue=", INT64_MAX, &out->queue_ms) ||
        !take_number(&rest, "wall=", INT64_MAX, &out->wall_ms) ||
        !take_number(&rest, "ended=", 1, &ended))
        return false;
    out->ended = ended == 1;
    return clockfile_encode(out, &again) && view_equal(text, buf_view(&again));
}

bool clockfile_read(int folder, struct store_clock *out)
{
    char room[LINE_ROOM];

    return file_read_text(folder, name, room, sizeof(room)) == 0 &&
           clockfile_decode(view_of(room), out);
}

/* ---- writing ---- */

static void complain(int error)
{
    log_warn("clock_not_written", LOG_ERRNO("error", -error));
}

static int write_over(const struct clockfile *f)
{
    char room[LINE_ROOM];
    struct buf line = BUF_ON_ARRAY(room);

    return clockfile_encode(&f->writing, &line) ? file_write_all(f->fd, buf_view(&line), 0)
                                                : -EINVAL;
}

static void run_write(struct job *j)
{
    struct clockfile *f = container_of(j, struct clockfile, job);

    f->error = write_over(f);
}

static void begin_writing(struct clockfile *f)
{
    f->writing = f->next;
    f->busy = true;
    workers_give(f->helper, &f->job);
}

static void on_written(struct job *j)
{
    struct clockfile *f = container_of(j, struct clockfile, job);

    f->busy = false;
    if (f->error < 0)
        complain(f->error);
}

/* A whole new file, which nothing torn can be left of. That the end is a good one, only
 * clockfile_close knows. */
static int begin_file(struct clockfile *f)
{
    char room[LINE_ROOM];
    struct buf line = BUF_ON_ARRAY(room);
    struct store_clock c = { f->next.queue_ms, f->next.wall_ms, false };
    int err = -EINVAL;

    if (clockfile_encode(&c, &line))
        err = file_replace(f->folder, name, buf_view(&line));
    if (err == 0)
        f->fd = openat(f->folder, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    return err < 0 || f->fd >= 0 ? err : -errno;
}

void clockfile_init(struct clockfile *f, int folder, struct workers *helper)
{
    *f = (struct clockfile){ .folder = folder,
                             .fd = -1,
                             .helper = helper,
                             .job = { .run = run_write, .done = on_written } };
}

void clockfile_note(struct clockfile *f, const struct store_clock *c)
{
    int err = 0;

    f->next = *c;
    if (f->fd < 0)
        err = begin_file(f);
    else if (!c->ended && !f->busy) /* a disk that takes a minute gets the next one */
        begin_writing(f);
    if (err < 0)
        complain(err);
}

void clockfile_close(struct clockfile *f)
{
    int err = 0;

    if (f->fd < 0)
        return;
    f->writing = f->next;
    if (f->next.ended)
        err = write_over(f);
    if (err < 0)
        complain(err);
    close(f->fd);
    f->fd = -1;
}
