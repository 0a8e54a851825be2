#include "queue/walk.h"

#include "common/memory.h"
#include "queue/spool.h"

#include <stdlib.h>

enum {
    WINDOW = 256 << 10,
    WINDOW_MOST = RECORD_HEADER + RECORD_META_MAX + 1, /* any front fits */
};

void walk_open(struct walk *w, int fd, uint64_t segment, uint32_t seed, uint64_t end)
{
    *w = (struct walk){ .fd = fd,
                        .segment = segment,
                        .seed = seed,
                        .at = RECORD_HEAD,
                        .end = end,
                        .room = memory_new(WINDOW),
                        .room_bytes = WINDOW };
}

void walk_close(struct walk *w)
{
    free(w->room);
    w->room = NULL;
}

/* The window begins at w->at. */
static bool fill(struct walk *w)
{
    bool broken;
    ssize_t got = file_read_all(w->fd, w->room, MIN(w->room_bytes, w->end - w->at), w->at, &broken);

    w->gaps = w->gaps || broken;
    w->from = w->at;
    w->have = got < 0 ? 0 : (size_t)got;
    w->error = got < 0 ? (int)got : 0;
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
static bool read_here(struct walk *w, struct record *r)
{
    if (record_read_front(window(w), w->seed, r))
        return true;
    if (!record_is_likely(window(w)) || w->from + w->have >= w->end)
        return false;
    if (w->at == w->from && w->room_bytes < WINDOW_MOST) {
        w->room = memory_grow(w->room, WINDOW_MOST, 1);
        w->room_bytes = WINDOW_MOST;
    }
    return fill(w) && record_read_front(window(w), w->seed, r);
}

static bool belongs(const struct walk *w, const struct record *r)
{
    uint64_t ends = w->at + record_span(r->meta.len, r->body.len);

    return r->batch >= w->batch && (uint64_t)r->back * RECORD_UNIT <= w->at && ends <= w->end &&
           (r->type != RECORD_MESSAGE || r->id == record_place(w->segment, w->at));
}

bool walk_next(struct walk *w, struct record *r, uint64_t *offset)
{
    for (; w->at + RECORD_HEADER <= w->end && has_window(w); w->at += RECORD_UNIT) {
        if (!read_here(w, r) || !belongs(w, r)) {
            w->gaps = true;
            continue;
        }
        *offset = w->at;
        w->batch = r->batch;
        w->at += record_span(r->meta.len, r->body.len);
        return true;
    }
    return false;
}
