#include "ipc/identity.h"

#include "common/memory.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

struct view identity_name(const struct settings *s, enum process role)
{
    const struct users_settings *u = &s->users;

    switch (role) {
    case SMTPD:
        return u->smtpd;
    case QUEUE:
        return u->queue;
    case DELIVERY:
        return u->delivery;
    case DNS:
        return u->dns;
    case LOCAL:
        return u->local;
    case AUTH:
        return settings_has_logins(s) ? u->auth : VIEW_EMPTY;
    case KEYS:
        return s->tls.key.len > 0 ? u->keys : VIEW_EMPTY;
    case TOKENS:
        return settings_has_commands(s) ? u->tokens : VIEW_EMPTY;
    case MASTER:
    case PROCESS_KINDS:
        break;
    }
    return VIEW_EMPTY;
}

int identity_find(struct view name, struct identity *who, struct error *err)
{
    char *user = memory_copy(name);
    const struct passwd *pw;
    int result = 0;

    *who = (struct identity){ UINT32_MAX, UINT32_MAX };
    if (geteuid() == 0) {
        pw = getpwnam(user);
        if (pw == NULL)
            result = error_set(err, -ENOENT,
                               "there is no system user %s: make it (adduser --system --group %s) "
                               "or set another one under users",
                               user, user);
        else if (pw->pw_uid == 0)
            result = error_set(err, -EPERM, "user %s is root: no role runs as root", user);
        else
            *who = (struct identity){ pw->pw_uid, pw->pw_gid };
    }
    free(user);
    return result;
}
