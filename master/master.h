/* The master: starts every role, starts it again when it dies, passes a reload on, drains at the
 * end. It reads the configuration and opens what needs root; it touches no byte from the network.
 */
#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include "common/list.h"
#include "io/loop.h"
#include "master/child.h"
#include "master/generation.h"
#include "master/tokens.h"

enum master_state {
    MASTER_STARTING, /* the queue first, then the others; a failure ends everything */
    MASTER_RUNNING,
    MASTER_RELOADING, /* `next` starts beside `now`; a failure ends `next` alone */
    MASTER_DRAINING,  /* everybody finishes; so do we */
};

struct master {
    struct loop loop;
    const char *config_path;
    int control_fd;
    enum master_state state;
    struct list generations;       /* all that some child still runs on, and now, and next */
    struct generation *now, *next; /* next: while reloading, else NULL */
    struct list children;
    struct list restarts;               /* roles that wait to be started again */
    uint64_t restart_ms[PROCESS_KINDS]; /* the pause before the next one */
    struct watch signals;
    struct timer secrets;  /* looks for new ones */
    struct tokens tokens;  /* that commands get */
    struct timer look;     /* at the files of lists */
    struct timer tickets;  /* wants another secret */
    struct timer patience; /* with a reload or a drain */
    bool reload_again;     /* a SIGHUP came while one was being carried out */
    int exit_status;
};

/* Starts everything and runs until the end; the exit status. */
int master_run(struct master *m, const char *config_path) MUST_USE;
void master_child_ready(struct master *m, const struct child *c);

#endif
