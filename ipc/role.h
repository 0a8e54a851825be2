/* How a role begins: master starts the executable with a channel on ROLE_CHANNEL_FD, grants what it
 * may hold, and says START. Then the role reads its files, locks itself in, and says READY. */
#ifndef IPC_ROLE_H
#define IPC_ROLE_H

#include "common/error.h"
#include "io/loop.h"
#include "io/sandbox.h"
#include "ipc/messages.h"
#include "ipc/peer.h"
#include "ipc/settings.h"

enum {
    ROLE_CHANNEL_FD = 3,
    ROLE_GRANTS_MAX = 256,
    ROLE_EXIT_CONFIG = 78, /* sysexits EX_CONFIG: starting again would not help */
};

struct role_grant {
    struct message_grant what;
    int fd;
};

struct role {
    enum process kind;
    struct message_start start;
    struct config *config;
    struct settings settings;
    struct role_grant grants[ROLE_GRANTS_MAX]; /* all but GRANT_SETTINGS, in order */
    size_t grant_count;
    struct loop loop;
    struct peer master;
    /* Set by the role before role_run. */
    /* May be NULL: opens what has to be opened with the role's own rights, after the sandbox and
     * before the first `granted`. A negative errno with words ends the process. */
    int (*prepare)(struct role *r, struct error *err);
    void (*granted)(struct role *r, const struct message_grant *what, int fd); /* later grants */
    void (*drain)(struct role *r, bool stop); /* DRAIN came; perhaps once more, then with `stop` */
    void (*reloaded)(struct role *r, const struct message_reloaded *m); /* queue only */
};

/* Receives the grants up to START, parses the settings, opens the log, inits the loop. Ends the
 * process with a logged reason when that fails. SIGPIPE is ignored, SIGHUP, SIGINT and SIGTERM
 * too: master alone decides (a terminal's Ctrl-C reaches everyone). */
void role_begin(struct role *r, enum process kind);

/* The whole file behind a granted descriptor, and closes it; memory_new'd. Empty view and *err
 * on failure. */
struct view role_read_file(int fd, size_t most, struct error *err) MUST_USE;

/* What each kind of process may do, beside what every process may: enum sandbox_power. */
unsigned role_powers(enum process kind);

/* Goes to the folder that is the role's own before ids are dropped: "." stays in reach whatever the
 * folders above it allow. Ends the process with a logged reason when that fails. */
void role_enter_folder(struct view path);

/* Enters the sandbox (powers by kind, ids from START; the caller gives paths and limits), opens the
 * master's channel, says READY, calls `granted` for each grant that role_begin collected, runs the
 * loop. When master is gone the role drains. Returns the exit status. */
int role_run(struct role *r, struct sandbox *sandbox) MUST_USE;

#endif
