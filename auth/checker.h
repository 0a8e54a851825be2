/* The source that has the user file: mechanisms are spoken here, and passwords checked. A check
 * costs tens of milliseconds, on purpose: they wait in a line, one a turn of the loop, so that
 * everything else is answered in between, and attackers keep one processor busy at most. */
#ifndef AUTH_CHECKER_H
#define AUTH_CHECKER_H

#include "auth/desk.h"
#include "auth/users.h"

enum {
    CHECKER_WAITING_MAX = 256
}; /* passwords in the line; more strangers are asked to try again */

struct checker {
    struct source source;
    struct users users;
    struct list waiting; /* exchanges */
    size_t waiting_count;
    struct timer next;
};

/* Before desk_init; `path` must stay. */
void checker_init(struct checker *c, const char *path);

#endif
