/* Text of a notice, most of it foreign: other people's words can neither end a line nor leave 7
 * bits, or UTF-8 where that may be sent. */
#ifndef MAIL_PROSE_H
#define MAIL_PROSE_H

#include "common/buf.h"

/* Appends until something does not fit; then nothing more, and out->overflowed stays set. */
struct prose {
    struct buf *out;
    bool utf8; /* characters above 127 may stand as they are */
};

void prose_put(const struct prose *p, struct view own);
void prose_text(const struct prose *p, const char *own);
void prose_printf(const struct prose *p, const char *format, ...) PRINTF_LIKE(2, 3);

/* What is not printable is shown as "\xNN". */
void prose_foreign(const struct prose *p, struct view foreign);
/* The same in lines of at most 72 columns, broken at blanks, with `indent` in front and CRLF
 * behind. Lines without anything in them are left out: in a header they would end it. */
void prose_wrapped(const struct prose *p, const char *indent, struct view foreign);
/* quoted-printable; RFC 2045, 6.7 */
void prose_quoted(const struct prose *p, struct view foreign);

/* May stand in a part of its own as it is: short lines in CRLF, no NUL, and nothing that looks like
 * `boundary`. `high`: octets above 127 too. */
bool prose_is_plain(struct view foreign, struct view boundary, bool high) MUST_USE;

#endif
