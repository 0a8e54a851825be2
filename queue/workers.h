/* Threads for what may block (writes, syncs, renames), so that the loop never does. A job runs in a
 * thread and comes back to the loop. With one thread, jobs run in the order they were given. */
#ifndef QUEUE_WORKERS_H
#define QUEUE_WORKERS_H

#include "common/attrs.h"
#include "common/list.h"
#include "io/loop.h"

#include <pthread.h>

enum { WORKERS_MAX = 4 };

struct job { /* embed; the owner leaves it alone until `done` */
    struct list link;
    void (*run)(struct job *j);  /* in a thread */
    void (*done)(struct job *j); /* in the loop; may free the job */
};

struct workers {
    struct loop *loop;
    struct watch watch; /* an eventfd: something is finished */
    pthread_mutex_t lock;
    pthread_cond_t wake, idle;
    struct list waiting, finished;
    unsigned running;
    bool stopping;
    size_t unfinished; /* the loop's count: given, and `done` not called yet */
    pthread_t threads[WORKERS_MAX];
    unsigned thread_count;
};

int workers_init(struct workers *w, struct loop *l) MUST_USE; /* 0 or negative errno */
/* Until then jobs wait. */
int workers_start(struct workers *w, unsigned threads) MUST_USE;
void workers_give(struct workers *w, struct job *j);
/* The job has not begun and is the caller's again. */
bool workers_take_back(struct workers *w, struct job *j);
bool workers_busy(const struct workers *w);
/* Waits for every job and calls its `done`; runs them here when no thread was started. */
void workers_finish(struct workers *w);
void workers_release(struct workers *w); /* finishes, then ends the threads */

#endif
