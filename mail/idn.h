/* Domain names beyond ASCII, as A-labels (RFC 5891): what hosts without SMTPUTF8 and name servers
 * understand. Whoever calls this links libidn2. */
#ifndef MAIL_IDN_H
#define MAIL_IDN_H

#include "common/buf.h"
#include "common/view.h"

/* "bücher.example" as "xn--bcher-kva.example"; an ASCII name as it is. False: it has no such form,
 * or it does not fit. */
bool idn_domain(struct view domain, struct buf *out) MUST_USE;
/* An address whose local part is ASCII, its domain by idn_domain; an ASCII address as it is. */
bool idn_address(struct view address, struct buf *out) MUST_USE;

#endif
