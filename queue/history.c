#include "queue/history.h"

#include "common/memory.h"
#include "io/log.h"
#include "mail/trace.h"
#include "queue/spool.h"
#include "queue/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PENDING_MAX = 4 << 20,     /* bytes that wait for the disk; beyond, records are dropped */
    PARTS = 16,                /* files: each has so much of the bytes and of the time */
    COLLECT_MS = 1000,         /* a record waits for others so long */
    COLLECT_BYTES = 256 << 10, /* or until there is so much */
    FIRST_TEND_MS = 100,       /* after the start, which has better things to do */
    TEND_MS = 10 * 60 * 1000,
    FILE_LEAST = 64 << 10, /* bytes; smaller ones would be too many */
    NAME_ROOM = 64,
};

static const struct view file_ending = VIEW_INIT(".txt");

struct history {
    struct workers writer;
    struct timer collect; /* until what waits is written */
    struct timer tend;    /* removes files although nothing is written */
    uint64_t bytes_most, span_ms, ahead_ms;
    struct buf pending; /* the loop's */
    uint64_t dropped;   /* records, since the log told of it */
    bool failing;       /* the log has told of it */
    struct {            /* the thread's while `busy` */
        struct job job;
        struct buf bytes;
        uint64_t bytes_most, span_ms, now_ms;
        int error;
        int fd; /* of the newest file; -1: none of this process */
        uint64_t file_bytes, file_ms;
    } writing;
    bool busy;
    uint64_t begun, completed; /* writes */
};

/* ---- the names ---- */

struct listing {
    char **names;
    size_t count;
};

static void list_name(void *arg, const char *name)
{
    struct listing *l = arg;

    if (!view_ends_nocase(view_of(name), file_ending))
        return;
    l->names = memory_grow(l->names, l->count + 1, sizeof(*l->names));
    l->names[l->count++] = memory_copy(view_of(name));
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int history_list(char ***names, size_t *count)
{
    struct listing l = { .count = 0 };
    int fd = openat(AT_FDCWD, HISTORY_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    int err;

    *names = NULL;
    *count = 0;
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    err = folder_each(fd, list_name, &l);
    close(fd);
    if (l.count > 0)
        qsort(l.names, l.count, sizeof(*l.names), compare_names);
    *names = l.names;
    *count = l.count;
    return err;
}

/* ---- in the thread ---- */

static int open_folder(void)
{
    int fd;

    if (mkdirat(AT_FDCWD, HISTORY_FOLDER, 0700) < 0 && errno != EEXIST)
        return -errno;
    fd = openat(AT_FDCWD, HISTORY_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

/* "2026-11-26T12:13:00.123Z.txt" */
static bool name_file(uint64_t at_ms, char room[static NAME_ROOM])
{
    struct buf name = buf_on(room, NAME_ROOM);

    return trace_timestamp(at_ms, &name) && buf_printf(&name, ".txt%c", '\0');
}

/* A name that is taken makes the next one. */
static int create_file(int folder, uint64_t now_ms)
{
    for (;; now_ms++) {
        char room[NAME_ROOM];
        int fd;

        if (!name_file(now_ms, room))
            return -EINVAL;
        fd = openat(folder, room, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0 || errno != EEXIST)
            return fd < 0 ? -errno : fd;
    }
}

static void end_file(struct history *h)
{
    if (h->writing.fd >= 0)
        close(h->writing.fd);
    h->writing.fd = -1;
}

static uint64_t part_bytes(const struct history *h)
{
    return MAX(h->writing.bytes_most / PARTS, (uint64_t)FILE_LEAST);
}

static bool file_is_full(const struct history *h)
{
    return h->writing.fd < 0 || h->writing.file_bytes >= part_bytes(h) ||
           h->writing.now_ms >= h->writing.file_ms + h->writing.span_ms / PARTS;
}

/* Names are in the order of time. The last record of a file may be a part of the span younger than
 * its name. */
static bool is_too_old(const struct history *h, const char *name)
{
    uint64_t now_ms = h->writing.now_ms, span_ms = h->writing.span_ms;
    char limit[NAME_ROOM];

    span_ms += span_ms / PARTS;
    return name_file(now_ms - MIN(now_ms, span_ms), limit) && strcmp(name, limit) <= 0;
}

/* The newest first: once the bytes are too many, everything older goes. The file that is being
 * written has its whole part. */
static void prune(const struct history *h, int folder)
{
    char **names;
    size_t count;
    uint64_t bytes = 0;

    if (history_list(&names, &count) < 0)
        return;
    for (size_t i = count; i-- > 0;) {
        struct stat facts;
        bool newest = i + 1 == count && h->writing.fd >= 0;

        if (fstatat(folder, names[i], &facts, AT_SYMLINK_NOFOLLOW) == 0) {
            bytes += MAX((uint64_t)facts.st_size, newest ? part_bytes(h) : 0);
            if (!newest && (bytes > h->writing.bytes_most || is_too_old(h, names[i])))
                unlinkat(folder, names[i], 0);
        }
        free(names[i]);
    }
    free(names);
}

static int append(struct history *h, int folder)
{
    struct view bytes = buf_view(&h->writing.bytes);
    int err;

    if (file_is_full(h)) {
        end_file(h);
        h->writing.fd = create_file(folder, h->writing.now_ms);
        h->writing.file_bytes = 0;
        h->writing.file_ms = h->writing.now_ms;
        prune(h, folder);
    }
    if (h->writing.fd < 0)
        return h->writing.fd;
    err = file_write_all(h->writing.fd, bytes, h->writing.file_bytes);
    h->writing.file_bytes += bytes.len;
    if (h->writing.file_bytes > part_bytes(h))
        prune(h, folder);
    if (err < 0)
        end_file(h); /* what is torn ends its file */
    return err;
}

static void run_write(struct job *j)
{
    struct history *h = container_of(j, struct history, writing.job);
    int folder = open_folder();

    h->writing.error = MIN(folder, 0);
    if (folder < 0)
        return;
    if (h->writing.bytes_most == 0 || h->writing.span_ms == 0)
        end_file(h);
    if (buf_len(&h->writing.bytes) > 0)
        h->writing.error = append(h, folder);
    else
        prune(h, folder);
    close(folder);
}

/* ---- in the loop ---- */

static void tell_errors(struct history *h, int error)
{
    if (error < 0 && !h->failing)
        log_error("history_not_written", LOG_ERRNO("error", -error));
    h->failing = error < 0;
    if (h->dropped > 0)
        log_warn("history_dropped", LOG_U64("records", h->dropped));
    h->dropped = 0;
}

static void on_written(struct job *j)
{
    struct history *h = container_of(j, struct history, writing.job);

    h->busy = false;
    h->completed++;
    buf_clear(&h->writing.bytes);
    tell_errors(h, h->writing.error);
    if (buf_len(&h->pending) > 0)
        loop_start_timer(h->writer.loop, &h->collect, COLLECT_MS);
}

static void begin_writing(struct history *h)
{
    struct buf empty = h->writing.bytes;

    h->writing.bytes = h->pending;
    h->pending = empty;
    h->writing.bytes_most = h->bytes_most;
    h->writing.span_ms = h->span_ms;
    h->writing.now_ms = h->writer.loop->now_ms + h->ahead_ms;
    h->busy = true;
    h->begun++;
    workers_give(&h->writer, &h->writing.job);
}

uint64_t history_flush(struct history *h)
{
    if (h == NULL)
        return 0;
    if (!h->busy && buf_len(&h->pending) > 0)
        begin_writing(h);
    return h->begun + (buf_len(&h->pending) > 0);
}

void history_drop(struct history *h)
{
    h->dropped++;
}

bool history_reached(const struct history *h, uint64_t mark)
{
    return h == NULL || h->completed >= mark;
}

static void on_collected(struct timer *t)
{
    history_flush(container_of(t, struct history, collect));
}

/* The first record that waits makes the others come along. */
static void wait_for_more(struct history *h)
{
    if (buf_len(&h->pending) >= COLLECT_BYTES)
        history_flush(h);
    else if (!h->busy && !timer_running(&h->collect) && h->writer.thread_count > 0)
        loop_start_timer(h->writer.loop, &h->collect, COLLECT_MS);
}

static void on_tend(struct timer *t)
{
    struct history *h = container_of(t, struct history, tend);

    if (!h->busy)
        begin_writing(h);
    loop_start_timer(h->writer.loop, t, TEND_MS);
}

bool history_wanted(const struct history *h)
{
    return h != NULL && h->bytes_most > 0 && h->span_ms > 0;
}

void history_limit(struct history *h, uint64_t bytes_most, uint64_t span_ms)
{
    h->bytes_most = bytes_most;
    h->span_ms = span_ms;
    if (h->writer.thread_count > 0)
        loop_start_timer(h->writer.loop, &h->tend, 0);
}

/* Rooms are made with the first record: who keeps no history pays nothing. */
static struct buf *room_for_more(struct history *h)
{
    if (h->pending.capacity == 0)
        buf_new(&h->pending, PENDING_MAX);
    return &h->pending;
}

void history_add(struct history *h, const struct past *p)
{
    if (!history_wanted(h))
        return;
    if (!past_encode(p, room_for_more(h)))
        h->dropped++;
    wait_for_more(h);
}

void history_add_encoded(struct history *h, struct view records)
{
    if (!history_wanted(h) || records.len == 0)
        return;
    if (buf_space(room_for_more(h)) >= records.len)
        buf_put(&h->pending, records);
    else
        h->dropped++;
    wait_for_more(h);
}

struct history *history_new(struct loop *l)
{
    struct history *h = memory_new(sizeof(*h));

    h->writing.fd = -1;
    h->writing.job = (struct job){ .run = run_write, .done = on_written };
    h->tend.fire = on_tend;
    h->collect.fire = on_collected;
    if (workers_init(&h->writer, l) == 0)
        return h;
    free(h);
    return NULL;
}

int history_start(struct history *h, uint64_t ahead_ms)
{
    h->ahead_ms = ahead_ms;
    loop_start_timer(h->writer.loop, &h->tend, FIRST_TEND_MS);
    return workers_start(&h->writer, 1);
}

void history_free(struct history **h)
{
    struct history *it = *h;

    if (it == NULL)
        return;
    workers_finish(&it->writer);
    history_flush(it);
    workers_release(&it->writer);
    loop_stop_timer(it->writer.loop, &it->tend);
    loop_stop_timer(it->writer.loop, &it->collect);
    end_file(it);
    if (it->pending.capacity > 0)
        buf_free(&it->pending);
    if (it->writing.bytes.capacity > 0)
        buf_free(&it->writing.bytes);
    free(it);
    *h = NULL;
}
