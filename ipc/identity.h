/* The system users that the roles run as. */
#ifndef IPC_IDENTITY_H
#define IPC_IDENTITY_H

#include "common/error.h"
#include "ipc/messages.h"
#include "ipc/settings.h"

#include <sys/types.h>

struct identity {
    uid_t uid; /* UINT32_MAX: stay what we are, who are not root */
    gid_t gid;
};

/* What stands under "users" for a role; empty: with these settings it needs no user. */
struct view identity_name(const struct settings *s, enum process role);
int identity_find(struct view name, struct identity *who, struct error *err) MUST_USE;

#endif
