/* xtext: how DSN parameters carry any bytes (RFC 3461, 4), and its relative for addresses in UTF-8
 * (RFC 6533, 3). */
#ifndef MAIL_XTEXT_H
#define MAIL_XTEXT_H

#include "common/buf.h"
#include "common/view.h"

/* What is no printable ASCII, "+" and "=" become "+XX". */
bool xtext_encode(struct view bytes, struct buf *out) MUST_USE;
/* The reverse, strict: other characters, and hexadecimal in lower case, are refused. */
bool xtext_decode(struct view text, struct buf *out) MUST_USE;
/* utf-8-addr-unitext: besides, characters above 127 become "\x{XXXX}", as ASCII alone may pass.
 * False also when `text` is no UTF-8. */
bool xtext_encode_unicode(struct view text, struct buf *out) MUST_USE;

#endif
