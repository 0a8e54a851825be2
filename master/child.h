/* A child: one running role, its executable, its channel, and what it was granted. */
#ifndef MASTER_CHILD_H
#define MASTER_CHILD_H

#include "common/attrs.h"
#include "common/list.h"
#include "ipc/peer.h"
#include "master/generation.h"

struct master;

struct child {
    struct list link; /* in master.children */
    struct peer peer;
    struct deferred free_later;
    struct master *master;
    struct generation *generation; /* the queue: the newest one it was given */
    enum process kind;
    uint32_t index;
    pid_t pid;
    bool ready, draining, stopping;
    uint64_t started_ms; /* monotonic */
};

/* Finds the executables: beside our own, or where the build leaves them. */
int child_find_executables(struct error *err) MUST_USE;

/* In a new process: goes on as that executable, with the channel. Calls only what is safe between
 * fork and exec. */
NORETURN void child_become(enum process kind, int channel);
/* Starts the role, grants it what it may hold and a channel to every living child that it talks to,
 * and tells those of it. Appended to master.children. A negative errno: no process could be made.
 */
int child_start(struct master *m, struct generation *g, enum process kind, uint32_t index) MUST_USE;
/* The secret of a route, as it is now; to a delivery process. */
void child_grant_secret(struct child *c, uint32_t route);
/* `stop`: Tern ends; else newer processes take over. */
void child_drain(struct child *c, bool stop);
/* After the process has ended: takes it out of the list and frees it after this turn. */
void child_forget(struct child *c);

#endif
