/* tern-auth: checks who logs in, for all smtpd processes. Reads the user file, and nothing else; no
 * network. It keeps the counts of failures, and does the slow computations. */
#include "auth/checker.h"
#include "auth/desk.h"
#include "auth/sasl.h"
#include "common/memory.h"
#include "io/log.h"
#include "ipc/role.h"

#include <libgen.h>
#include <unistd.h>

enum { FILES_MAX = 1024 };

static struct role role;
static struct desk desk;
static struct checker checker;
static bool draining;

static void on_granted(struct role *r, const struct message_grant *what, int fd)
{
    int err;

    (void)r;
    if (what->kind != GRANT_PEER || what->peer != SMTPD) {
        close(fd);
        return;
    }
    err = desk_connect(&desk, what->index, fd);
    if (err < 0) {
        log_error("channel_failed", LOG_STRING("peer", process_name(what->peer)),
                  LOG_ERRNO("error", -err));
        close(fd);
    }
}

static void stop_when_unneeded(struct desk *d)
{
    if (draining && list_empty(&d->tellers))
        loop_stop(d->loop);
}

/* Those that ask finish first. */
static void on_drain(struct role *r, bool stop)
{
    (void)r;
    (void)stop;
    draining = true;
    stop_when_unneeded(&desk);
}

/* With the role's own rights, so that a file which it may not read is seen at the start. */
static int look_at_users(struct role *r, struct error *err)
{
    (void)err;
    (void)users_look(&checker.users, r->loop.now_ms);
    return 0;
}

int main(void)
{
    struct sandbox sandbox = { .files_max = FILES_MAX };

    role_begin(&role, AUTH);
    scram_load();
    checker_init(&checker, memory_copy(role.settings.auth.users));
    desk_init(&desk, &role.loop, &role.settings, &checker.source);
    desk.emptied = stop_when_unneeded;
    desk_offer(&desk, VIEW(SASL_MECHANISMS));
    /* The folder: the file is replaced by others of its name. */
    sandbox.readable[0] = dirname(memory_copy(role.settings.auth.users));
    role.prepare = look_at_users;
    role.granted = on_granted;
    role.drain = on_drain;
    return role_run(&role, &sandbox);
}
