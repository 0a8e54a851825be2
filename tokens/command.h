/* Runs a command of the administrator's and takes what it prints. */
#ifndef TOKENS_COMMAND_H
#define TOKENS_COMMAND_H

#include "common/attrs.h"
#include "common/buf.h"
#include "common/error.h"
#include "ipc/settings.h"

enum {
    COMMAND_OUTPUT_MAX = 16384, /* bytes; a command that prints more has failed */
};

/* `words` are a path and arguments, a NUL behind each; no shell reads them. Blocks until the
 * command has ended, or `patience_ms` are over: then it is killed, and in any case all that it
 * started; the caller has no other children. 0 when it ended with status 0; its standard output is
 * in `output`, which has room for COMMAND_OUTPUT_MAX. Else a negative errno, and words with the
 * first line that it printed on standard error. */
int command_run(struct view words, uint64_t patience_ms, struct buf *output,
                struct error *err) MUST_USE;

/* From now on whoever is left behind by a descendant is a child of this process. */
void command_adopt_orphans(void);
/* Kills and buries all descendants of a process that does so; SIGCHLD is not ignored. */
void command_end_descendants(void);

#endif
