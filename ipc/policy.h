/* Who may relay, and which recipients there are. */
#ifndef IPC_POLICY_H
#define IPC_POLICY_H

#include "common/attrs.h"
#include "io/net.h"
#include "ipc/expand.h"
#include "ipc/settings.h"
#include "mail/address.h"

enum policy_verdict {
    POLICY_LOCAL,           /* one of our mailboxes or aliases */
    POLICY_RELAY_DOMAIN,    /* a domain that we pass mail on for */
    POLICY_TRUSTED,         /* any domain, since the client is trusted */
    POLICY_UNKNOWN_MAILBOX, /* our domain, but nobody of that name */
    POLICY_UNSURE,          /* our domain, but nobody can tell now */
    POLICY_LOOP,            /* our alias, which leads back to itself */
    POLICY_TOO_MANY,        /* our alias, for more than a message can be for */
    POLICY_NO_ROOM,         /* for it now */
    POLICY_LITERAL,         /* "user@[192.0.2.1]" from a stranger */
    POLICY_DENIED,          /* a stranger, and not our domain */
    POLICY_VERDICTS
};

/* May this client relay through this listener, for its address? */
bool policy_trusts(const struct settings *s, const struct listener_settings *l,
                   const struct net_address *client);
/* The one decision about a recipient. */
enum policy_verdict policy_rcpt(const struct settings *s, bool trusted, const struct address *rcpt);

/* What becomes of a recipient that is ours. */
enum policy_verdict policy_of(enum expand_result r);

/* What the client is told. */
struct policy_reply {
    unsigned code;
    const char *enhanced, *text;
};
const struct policy_reply *policy_reply(enum policy_verdict v);

#endif
