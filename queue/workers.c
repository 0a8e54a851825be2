#include "queue/workers.h"

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct job *job_of(struct list *l)
{
    return container_of(l, struct job, link);
}

/* The loop must wake for the first of a list alone: it takes them all. */
static void put_finished(struct workers *w, struct job *j)
{
    bool first = list_empty(&w->finished);
    uint64_t one = 1;

    list_append(&w->finished, &j->link);
    if (first && write(w->watch.fd, &one, sizeof(one)) < 0) {
        /* Only a counter near 2^64 could refuse, and then the loop is woken already. */
    }
}

static void *work(void *arg)
{
    struct workers *w = arg;

    pthread_mutex_lock(&w->lock);
    for (;;) {
        struct list *first = list_take_first(&w->waiting);

        if (first != NULL) {
            w->running++;
            pthread_mutex_unlock(&w->lock);
            job_of(first)->run(job_of(first));
            pthread_mutex_lock(&w->lock);
            w->running--;
            put_finished(w, job_of(first));
        } else if (w->stopping) {
            break;
        } else {
            if (w->running == 0)
                pthread_cond_broadcast(&w->idle);
            pthread_cond_wait(&w->wake, &w->lock);
        }
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static void take_finished(struct workers *w)
{
    for (;;) {
        struct list *first;

        pthread_mutex_lock(&w->lock);
        first = list_take_first(&w->finished);
        pthread_mutex_unlock(&w->lock);
        if (first == NULL)
            return;
        w->unfinished--;
        job_of(first)->done(job_of(first));
    }
}

static void on_finished(struct watch *watch, unsigned what)
{
    struct workers *w = container_of(watch, struct workers, watch);
    uint64_t count;

    (void)what;
    if (read(watch->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        return;
    take_finished(w);
}

int workers_init(struct workers *w, struct loop *l)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int err;

    if (fd < 0)
        return -errno;
    *w = (struct workers){ .loop = l, .watch = { .fd = fd, .ready = on_finished } };
    list_init(&w->waiting);
    list_init(&w->finished);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    pthread_cond_init(&w->idle, NULL);
    err = loop_watch(l, &w->watch, WANT_READ);
    if (err < 0)
        close(fd);
    return err;
}

int workers_start(struct workers *w, unsigned threads)
{
    sigset_t all, before;
    int err = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the loop's thread */
    while (err == 0 && w->thread_count < MIN(threads, WORKERS_MAX)) {
        err = pthread_create(&w->threads[w->thread_count], NULL, work, w);
        if (err == 0)
            w->thread_count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -err;
}

void workers_give(struct workers *w, struct job *j)
{
    w->unfinished++;
    pthread_mutex_lock(&w->lock);
    list_append(&w->waiting, &j->link);
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

bool workers_take_back(struct workers *w, struct job *j)
{
    bool there = false;

    pthread_mutex_lock(&w->lock);
    list_each (it, &w->waiting)
        there = there || it == &j->link;
    if (there)
        list_remove(&j->link);
    pthread_mutex_unlock(&w->lock);
    if (there)
        w->unfinished--;
    return there;
}

bool workers_busy(const struct workers *w)
{
    return w->unfinished > 0;
}

static void run_here(struct workers *w)
{
    struct list *first;

    while ((first = list_take_first(&w->waiting)) != NULL) {
        job_of(first)->run(job_of(first));
        list_append(&w->finished, first);
    }
}

static void wait_idle(struct workers *w)
{
    pthread_mutex_lock(&w->lock);
    if (w->thread_count == 0)
        run_here(w);
    while (!list_empty(&w->waiting) || w->running > 0)
        pthread_cond_wait(&w->idle, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

void workers_finish(struct workers *w)
{
    while (workers_busy(w)) {
        wait_idle(w);
        take_finished(w);
    }
}

void workers_release(struct workers *w)
{
    workers_finish(w);
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->wake);
    pthread_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->thread_count; i++)
        pthread_join(w->threads[i], NULL);
    loop_unwatch(w->loop, &w->watch);
    close(w->watch.fd);
    pthread_cond_destroy(&w->idle);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
}
