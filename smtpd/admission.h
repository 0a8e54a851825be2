/* Whether a client is let in: by the limits on connections, and by the rates. */
#ifndef SMTPD_ADMISSION_H
#define SMTPD_ADMISSION_H

#include "common/attrs.h"
#include "io/net.h"

struct server;
struct session_rules;

enum admission {
    ADMITTED,
    REFUSED_TOTAL,
    REFUSED_LISTENER,
    REFUSED_CLIENT,
    REFUSED_RATE,
    REFUSED_FAILURES
};

/* ADMITTED: it counts as a connection, until limits_give. Clients that are trusted have no rates.
 */
enum admission admission_take(struct server *s, const struct session_rules *rules,
                              const struct net_address *client) MUST_USE;
/* What a client is told, behind 421 4.7.0, and the log. */
const char *admission_reply(enum admission a);
const char *admission_reason(enum admission a);

#endif
