/* Text forms of bytes. */
#ifndef COMMON_TEXT_H
#define COMMON_TEXT_H

#include "common/attrs.h"
#include "common/buf.h"
#include "common/view.h"

/* RFC 4648, 4: with padding, no line breaks. False when it does not fit. */
bool base64_encode(struct view bytes, struct buf *out) MUST_USE;
/* Strict: padding required, nothing else in it. */
bool base64_decode(struct view text, struct buf *out) MUST_USE;
bool hex_encode(struct view bytes, struct buf *out) MUST_USE; /* lower case */

/* `bytes` between double quotes, with \" \\ \n \r \t and \u00XX for what is not printable; valid
 * UTF-8 stays, everything else becomes \u00XX. The result is a JSON string. */
bool json_quote(struct view bytes, struct buf *out);
/* As json_quote, but without the quotes when every byte is a letter, digit or one of
 * . _ - + : / @ and there is at least one. For key=value logs. */
bool log_quote(struct view bytes, struct buf *out);

bool utf8_valid(struct view bytes);
bool text_is_ascii(struct view bytes);

#endif
