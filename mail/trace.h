/* Trace fields (RFC 5321, 4.4) and dates (RFC 5322, 3.3). */
#ifndef MAIL_TRACE_H
#define MAIL_TRACE_H

#include "common/buf.h"
#include "common/view.h"
#include "mail/envelope.h"

/* "Mon, 23 Nov 2026 08:15:00 +0000" from milliseconds since 1970; always UTC. */
bool trace_date(uint64_t wall_ms, struct buf *out) MUST_USE;
/* "2026-11-23T08:15:00.123Z" */
bool trace_timestamp(uint64_t wall_ms, struct buf *out) MUST_USE;

/* The reverse, of any RFC 3339 date-time; fractions are kept as milliseconds. */
bool trace_read_timestamp(struct view text, uint64_t *wall_ms) MUST_USE;

/* The Received field with its CRLF, folded, from the envelope's facts:
 *   Received: from HELO (NAME [CLIENT])
 *       by HOSTNAME (Tern) with ESMTPS (TLSv1.3 CIPHER BITS) id SESSION
 *       for <RCPT>; DATE
 * NAME only when it is known: what was looked up, never what the client calls itself.
 * "from" only when there is a client or a HELO, the brackets only with a client.
 * "for" only when there is exactly one recipient, with nothing in it to clean. An IPv6 client is
 * printed "IPv6:...".
 * What the client said is cleaned: only printable ASCII without ( ) \ < > passes. */
bool trace_received(const struct envelope *e, struct view hostname, struct buf *out) MUST_USE;

#endif
