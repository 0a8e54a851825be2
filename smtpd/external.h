/* Logins by client certificate: AUTH EXTERNAL (RFC 4422, appendix A). */
#ifndef SMTPD_EXTERNAL_H
#define SMTPD_EXTERNAL_H

#include "io/tls.h"
#include "ipc/messages.h"
#include "ipc/settings.h"
#include "smtpd/session.h"

/* Whose the client's certificate is; empty: it has none, or it is not believed, or nobody's. `t`
 * may be NULL. Lives as long as the settings. */
struct view external_login(const struct settings *s, const struct tls *t);
/* The client wants to act as `authzid`, which may be empty. Logs. */
enum login_result external_decide(const struct session *s, struct view login, struct view authzid);

#endif
