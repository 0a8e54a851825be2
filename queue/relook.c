#include "queue/relook.h"

#include "common/memory.h"
#include "io/log.h"
#include "queue/shelf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BLOCK = 4096,     /* bytes read at once: where it fails is told that exactly */
    AGAIN_MS = 10000, /* until the second look; the first one finds out where reading fails */
    DOUBLINGS = 6,    /* to ten minutes */
};

/* ---- looking, in the thread ---- */

static void read_through(int fd, struct withheld *w)
{
    char block[BLOCK];
    ssize_t got;

    w->error = 0;
    for (w->offset = 0; w->offset < SPOOL_SEGMENT_MAX; w->offset += (uint64_t)got) {
        got = pread(fd, block, sizeof(block), (off_t)w->offset);
        if (got < 0)
            w->error = errno;
        if (got <= 0)
            return;
    }
}

static void look_at(const struct spool *spool, struct withheld *w)
{
    char name[SHELF_NAME];
    int fd;

    segment_name(w->number, name);
    fd = openat(spool->log, name, SPOOL_READING);
    w->offset = 0;
    w->error = fd < 0 ? errno : 0;
    if (fd < 0)
        return;
    read_through(fd, w);
    close(fd);
}

static void run_look(struct job *j)
{
    struct relook *r = container_of(j, struct relook, job);

    for (size_t i = 0; i < r->count; i++) {
        if (!r->looked[i].unwritable)
            look_at(r->spool, &r->looked[i]);
    }
}

/* ---- in the loop ---- */

static bool waits_for_any(const struct relook *r)
{
    for (size_t i = 0; i < r->count; i++) {
        if (!r->all[i].unwritable && r->all[i].error != 0)
            return true;
    }
    return false;
}

static void on_looked(struct job *j)
{
    struct relook *r = container_of(j, struct relook, job);

    memcpy(r->all, r->looked, r->count * sizeof(*r->all));
    if (r->readable == NULL)
        return; /* it ends */
    if (r->looks++ > 0 && !waits_for_any(r))
        r->readable(r);
    else
        loop_start_timer(r->loop, &r->timer,
                         (uint64_t)AGAIN_MS << MIN(r->looks - 1, (unsigned)DOUBLINGS));
}

static void on_timer(struct timer *t)
{
    struct relook *r = container_of(t, struct relook, timer);

    workers_give(&r->thread, &r->job);
}

static bool can_be_read_again(const struct relook *r)
{
    for (size_t i = 0; i < r->count; i++) {
        if (!r->all[i].unwritable)
            return true;
    }
    return false;
}

static int begin_thread(struct relook *r)
{
    int err = workers_init(&r->thread, r->loop);

    if (err < 0)
        return err;
    err = workers_start(&r->thread, 1);
    if (err < 0)
        workers_release(&r->thread);
    return err;
}

void relook_begin(struct relook *r, struct loop *l, const struct spool *spool, struct withheld *all,
                  size_t count, void (*readable)(struct relook *r))
{
    int err;

    *r = (struct relook){ .loop = l,
                          .spool = spool,
                          .readable = readable,
                          .timer = { .fire = on_timer },
                          .job = { .run = run_look, .done = on_looked },
                          .all = all,
                          .count = count };
    if (!can_be_read_again(r))
        return;
    err = begin_thread(r);
    if (err < 0) {
        log_warn("segments_not_looked_at", LOG_ERRNO("error", -err));
        return;
    }
    r->looked = memory_new_array(count, sizeof(*all));
    memcpy(r->looked, all, count * sizeof(*all));
    workers_give(&r->thread, &r->job);
}

void relook_end(struct relook *r)
{
    r->readable = NULL;
    if (r->looked != NULL) {
        workers_release(&r->thread);
        loop_stop_timer(r->loop, &r->timer);
    }
    free(r->looked);
    free(r->all);
    *r = (struct relook){ 0 };
}
