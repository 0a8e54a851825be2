/* A listening socket: accepts, and turns away what is beyond the limits. */
#ifndef SMTPD_LISTENER_H
#define SMTPD_LISTENER_H

#include "common/list.h"
#include "io/loop.h"
#include "smtpd/server.h"
#include "smtpd/session.h"

struct listener { /* heap; in the list that it was opened into */
    struct list link;
    struct server *server;
    struct watch watch;
    struct timer rest;   /* runs while there are no descriptors for another connection */
    struct timer report; /* runs while refusals are counted instead of logged */
    uint64_t refused_count;
    int reserve; /* a descriptor to give up when there is none left */
    struct session_rules rules;
};

/* Takes the descriptor and accepts at once. Lives as long as the process,
 * since sessions borrow its rules. */
void listener_open(struct server *s, const struct listener_settings *settings, int fd,
                   struct list *into);
/* No more connections. */
void listener_close(struct listener *l);

#endif
