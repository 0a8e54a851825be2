#include "io/loop.h"

#include "common/memory.h"
#include "io/clock.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS_PER_TURN = 256 }; /* more wait for the next turn; the kernel rotates them */

int loop_init(struct loop *l)
{
    *l = (struct loop){ .epoll_fd = epoll_create1(EPOLL_CLOEXEC) };
    if (l->epoll_fd < 0)
        return -errno;
    l->now_ms = clock_monotonic_ms();
    l->deferred_last = &l->deferred_first;
    list_init(&l->hooks);
    list_init(&l->last);
    l->ready = memory_new_array(EVENTS_PER_TURN, sizeof(*l->ready));
    return 0;
}

void loop_release(struct loop *l)
{
    close(l->epoll_fd);
    heap_release(&l->timers);
    free(l->ready);
    *l = (struct loop){ .epoll_fd = -1 };
}

static uint32_t events_of(unsigned wanted)
{
    uint32_t events = 0;

    if (wanted & WANT_READ)
        events |= EPOLLIN;
    if (wanted & WANT_WRITE)
        events |= EPOLLOUT;
    if (wanted & WANT_SHARED)
        events |= EPOLLEXCLUSIVE;
    return events;
}

int loop_watch(struct loop *l, struct watch *w, unsigned wanted)
{
    struct epoll_event event = { .events = events_of(wanted), .data.ptr = w };
    int how = w->added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

    if (wanted == 0) {
        loop_unwatch(l, w);
        return 0;
    }
    if (w->added && w->wanted == wanted)
        return 0;
    /* An exclusive entry cannot be modified, epoll_ctl(2). */
    if (w->added && ((w->wanted | wanted) & WANT_SHARED)) {
        loop_unwatch(l, w);
        how = EPOLL_CTL_ADD;
    }
    if (epoll_ctl(l->epoll_fd, how, w->fd, &event) < 0)
        return -errno;
    w->added = true;
    w->wanted = wanted;
    return 0;
}

void loop_unwatch(struct loop *l, struct watch *w)
{
    if (!w->added)
        return;
    epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
    w->added = false;
    w->wanted = 0;
    for (unsigned i = 0; i < l->ready_count; i++) {
        if (l->ready[i] == w)
            l->ready[i] = NULL;
    }
}

void loop_start_timer(struct loop *l, struct timer *t, uint64_t after_ms)
{
    uint64_t due_ms = after_ms > UINT64_MAX - l->now_ms ? UINT64_MAX : l->now_ms + after_ms;

    loop_stop_timer(l, t);
    heap_add(&l->timers, &t->entry, due_ms);
}

void loop_stop_timer(struct loop *l, struct timer *t)
{
    if (timer_running(t))
        heap_remove(&l->timers, &t->entry);
}

bool timer_running(const struct timer *t)
{
    return t->entry.slot != HEAP_NOWHERE;
}

void loop_defer(struct loop *l, struct deferred *d)
{
    if (d->queued)
        return;
    d->queued = true;
    d->next = NULL;
    *l->deferred_last = d;
    l->deferred_last = &d->next;
}

void loop_before_sleep(struct loop *l, struct hook *h)
{
    list_append(&l->hooks, &h->link);
}

void loop_at_last(struct loop *l, struct hook *h)
{
    if (list_empty(&h->link))
        list_append(&l->last, &h->link);
}

/* What the watch still wants: an earlier callback of this turn may have changed its mind. */
static unsigned what_happened(const struct watch *w, uint32_t events)
{
    unsigned what = 0;

    if (events & (EPOLLERR | EPOLLHUP))
        return WANT_READ | WANT_WRITE;
    if (events & EPOLLIN)
        what |= WANT_READ;
    if (events & EPOLLOUT)
        what |= WANT_WRITE;
    return what & w->wanted;
}

static void run_watches(struct loop *l, const struct epoll_event *events, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        l->ready[i] = events[i].data.ptr;
    l->ready_count = count;
    for (unsigned i = 0; i < count; i++) {
        struct watch *w = l->ready[i];
        unsigned what = w == NULL ? 0 : what_happened(w, events[i].events);

        if (what != 0)
            w->ready(w, what);
    }
    l->ready_count = 0;
}

/* As many as are due now, so that one which starts itself again with 0 leaves the turn to others,
 * however many wait for later. */
static void run_timers(struct loop *l)
{
    for (uint32_t left = heap_count_until(&l->timers, l->now_ms); left > 0; left--) {
        struct heap_entry *first = heap_first(&l->timers);
        struct timer *t;

        if (first == NULL || first->key > l->now_ms)
            return;
        t = container_of(first, struct timer, entry);
        heap_remove(&l->timers, first);
        t->fire(t);
    }
}

/* What is deferred by a deferred call runs in the next turn, which does not sleep. */
static void run_deferred(struct loop *l)
{
    struct deferred *d = l->deferred_first;

    l->deferred_first = NULL;
    l->deferred_last = &l->deferred_first;
    while (d != NULL) {
        struct deferred *next = d->next;

        d->queued = false;
        d->run(d); /* d may be gone */
        d = next;
    }
}

static void run_hooks(struct loop *l)
{
    list_each_safe (link, &l->hooks) {
        struct hook *h = container_of(link, struct hook, link);

        h->run(h);
    }
    for (struct list *link; (link = list_take_first(&l->last)) != NULL;) {
        struct hook *h = container_of(link, struct hook, link);

        h->run(h);
    }
}

/* Milliseconds for epoll_wait; -1 is for ever. */
static int sleep_ms(const struct loop *l, uint64_t most_ms)
{
    const struct heap_entry *first = heap_first(&l->timers);
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t until_due_ms = UINT64_MAX;

    if (l->deferred_first != NULL || !list_empty(&l->last))
        return 0;
    if (first != NULL)
        until_due_ms = first->key > now_ms ? first->key - now_ms : 0;
    most_ms = MIN(most_ms, until_due_ms);
    if (most_ms == UINT64_MAX)
        return -1;
    return most_ms > INT_MAX ? INT_MAX : (int)most_ms;
}

int loop_turn(struct loop *l, uint64_t max_sleep_ms)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int count = epoll_wait(l->epoll_fd, events, EVENTS_PER_TURN, sleep_ms(l, max_sleep_ms));

    if (count < 0 && errno != EINTR)
        return -errno;
    l->now_ms = clock_monotonic_ms();
    run_watches(l, events, count > 0 ? (unsigned)count : 0);
    run_timers(l);
    run_deferred(l);
    run_hooks(l);
    return 0;
}

int loop_run(struct loop *l)
{
    int err = 0;

    /* What was prepared before the loop must not wait for its first event. */
    run_hooks(l);
    while (!l->stopping && err == 0)
        err = loop_turn(l, UINT64_MAX);
    l->stopping = false;
    return err;
}

void loop_stop(struct loop *l)
{
    l->stopping = true;
}
