/* What EHLO announces: only what this session can have, and nothing that is switched off. */
#ifndef SMTPD_EXTENSIONS_H
#define SMTPD_EXTENSIONS_H

#include "smtpd/session.h"

/* For what is always there, in tables. */
#define EXTENSION_NONE EXTENSIONS

enum { FUTURE_MOST_S = 30 * 24 * 3600 }; /* how long FUTURERELEASE may put a message off */

bool extension_on(const struct session *s, enum extension e);
/* The text of the reply to EHLO. Until the next call. */
const char *extensions_text(const struct session *s);

#endif
