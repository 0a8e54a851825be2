/* One epoll loop per process: watches, timers, deferred calls, hooks before sleeping.
 *
 * Three rules make callbacks harmless: they are entered only from the loop, never from inside an
 * engine; nothing is freed in a callback but by loop_defer; one callback per object and kind,
 * named on_<what>, finds its object with container_of. */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include "common/attrs.h"
#include "common/heap.h"
#include "common/list.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    WANT_READ = 1,
    WANT_WRITE = 2,
    WANT_SHARED = 4, /* with WANT_READ on a descriptor that several processes watch: wake one */
};

struct watch { /* embed in the object that owns the descriptor; zeroed is "not watched" */
    int fd;
    unsigned wanted;
    void (*ready)(struct watch *w, unsigned what); /* errors and hang-ups come as both */
    bool added;
};

struct timer {               /* embed; one-shot; zeroed but for fire is "not running" */
    struct heap_entry entry; /* key: due, monotonic ms */
    void (*fire)(struct timer *t);
};

struct deferred { /* embed; zeroed but for run */
    struct deferred *next;
    void (*run)(struct deferred *d);
    bool queued;
};

struct hook {
    struct list link;
    void (*run)(struct hook *h);
};

struct loop {
    int epoll_fd;
    uint64_t now_ms; /* monotonic, read once a turn */
    struct heap timers;
    struct deferred *deferred_first, **deferred_last;
    struct list hooks, last;
    struct watch **ready; /* private: of the turn that runs */
    unsigned ready_count;
    bool stopping;
};

int loop_init(struct loop *l) MUST_USE; /* 0 or negative errno */
void loop_release(struct loop *l);

/* Starts, changes or (wanted 0) ends watching w->fd. Level-triggered. The descriptor must be
 * unwatched before it is closed; a watch that is unwatched is not called any more, not
 * even for an event of the same turn. */
int loop_watch(struct loop *l, struct watch *w, unsigned wanted) MUST_USE;
void loop_unwatch(struct loop *l, struct watch *w);

/* Restarts a timer that is running. */
void loop_start_timer(struct loop *l, struct timer *t, uint64_t after_ms);
void loop_stop_timer(struct loop *l, struct timer *t);
bool timer_running(const struct timer *t);

/* Once, after all events of this turn; the place to free things. Queueing twice is once. */
void loop_defer(struct loop *l, struct deferred *d);
/* Every turn, after events and deferred calls, before the loop sleeps: "read everything, make
 * it durable once, answer everyone". */
void loop_before_sleep(struct loop *l, struct hook *h);

/* Once, after the hooks of this turn: "say everything at once". The hook is in no list, or waits
 * already; list_remove takes it back. A turn that begins with one does not sleep. */
void loop_at_last(struct loop *l, struct hook *h);

int loop_run(struct loop *l) MUST_USE; /* until loop_stop; 0 or negative errno */
void loop_stop(struct loop *l);
/* One turn; sleeps at most max_sleep_ms. For tests. */
int loop_turn(struct loop *l, uint64_t max_sleep_ms) MUST_USE;

#endif
