/* tern-auth: checks who logs in, for all smtpd processes: by the user file, the only one that it
 * reads, or by asking Dovecot over a socket of this machine; no other network. It keeps the counts
 * of failures, and does the slow computations. */
#include "auth/checker.h"
#include "auth/desk.h"
#include "auth/dovecot_source.h"
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
static struct dovecot_source dovecot;
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
static int begin(struct role *r, struct error *err)
{
    (void)err;
    if (r->settings.auth.users.len > 0)
        (void)users_look(&checker.users, r->loop.now_ms);
    else
        dovecot_source_start(&dovecot);
    return 0;
}

static void use_users(struct sandbox *sandbox)
{
    struct view path = role.settings.auth.users;

    checker_init(&checker, memory_copy(path));
    desk_init(&desk, &role.loop, &role.settings, &checker.source);
    desk_offer(&desk, VIEW(SASL_MECHANISMS));
    /* The folder: the file is replaced by others of its name. */
    sandbox->readable[0] = dirname(memory_copy(path));
}

/* Offers nothing until Dovecot has said what it can. */
static void use_dovecot(void)
{
    dovecot_source_init(&dovecot, memory_copy(role.settings.auth.dovecot));
    desk_init(&desk, &role.loop, &role.settings, &dovecot.source);
}

int main(void)
{
    struct sandbox sandbox = { .files_max = FILES_MAX };

    role_begin(&role, AUTH);
    scram_load();
    if (role.settings.auth.users.len > 0)
        use_users(&sandbox);
    else
        use_dovecot();
    desk.emptied = stop_when_unneeded;
    role.prepare = begin;
    role.granted = on_granted;
    role.drain = on_drain;
    return role_run(&role, &sandbox);
}
