/* A queue command as it stands on the command line: which messages, and how to answer. */
#ifndef TOOLS_CALL_H
#define TOOLS_CALL_H

#include "common/buf.h"
#include "tools/control.h"

enum { CALL_REQUEST_MAX = 65536 }; /* bytes: some thousand ids */

struct call {
    const char *command; /* as it was typed */
    struct buf request;  /* for the queue */
    const char *folder;  /* the last word, where a command wants one; NULL: none */
    bool wants_folder;
    bool json;
    unsigned filters;
};

/* Options and words become conditions of c->request. 0, or an exit status after telling why. */
int call_read(struct call *c, int argc, char **argv) MUST_USE;
/* Opens the control socket and asks. 0, or an exit status after telling why. */
int call_begin(const struct call *c, const struct settings *s, struct control *control) MUST_USE;

#endif
