/* Domain names beyond ASCII as A-labels (RFC 3492), for those who only want to know whether two are
 * the same: nothing is mapped or checked, and so no library is needed. mail/idn.h does the rest. */
#ifndef MAIL_PUNYCODE_H
#define MAIL_PUNYCODE_H

#include "common/buf.h"
#include "common/view.h"

/* "bücher.example" as "xn--bcher-kva.example"; labels in ASCII as they are. False: it is no UTF-8,
 * or does not fit. */
bool punycode_domain(struct view domain, struct buf *out) MUST_USE;

#endif
