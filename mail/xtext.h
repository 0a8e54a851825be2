/* xtext: how DSN parameters carry any bytes (RFC 3461, 4), and its relative for addresses in UTF-8
 * (RFC 6533, 3). */
#ifndef MAIL_XTEXT_H
#define MAIL_XTEXT_H

#include "common/buf.h"
#include "common/view.h"

/* What is no printable ASCII, "+" and "=" become "+XX". */
bool xtext_encode(struct view bytes, struct buf *out) MUST_USE;
/* The reverse, strict: other characters, "+00" and hexadecimal in lower case are refused. */
bool xtext_decode(struct view text, struct buf *out) MUST_USE;
/* utf-8-addr-xtext, in ASCII alone: "\x{XX}" for every character that is none of xtext, and for
 * "\". False also when `text` is no UTF-8. */
bool xtext_encode_unicode(struct view text, struct buf *out) MUST_USE;
/* The reverse, also of utf-8-addr-unitext, where UTF-8 stands for itself; "+XX" is understood too.
 * What is in `out` before is not looked at, if it is UTF-8. */
bool xtext_decode_unicode(struct view text, struct buf *out) MUST_USE;

#endif
