/* Which messages a queue command is about, as it stands on the command line. */
#ifndef TOOLS_CALL_H
#define TOOLS_CALL_H

#include "common/buf.h"
#include "tools/commands.h"

enum { CALL_REQUEST_MAX = 65536 }; /* bytes: some thousand ids */

struct call {
    struct buf request; /* for the queue */
    unsigned filters;
};

/* Options and words become conditions of c->request; `folder` takes the last word, unless it is
 * NULL. 0, or an exit status after telling why. */
int call_read(struct call *c, const struct invocation *in, const char **folder) MUST_USE;

#endif
