/* Notices to the sender: multipart/report with a delivery-status part (RFC 3464, RFC 6522). */
#ifndef MAIL_BOUNCE_H
#define MAIL_BOUNCE_H

#include "common/buf.h"
#include "mail/envelope.h"
#include "mail/outcome.h"

struct bounce_rcpt {
    struct view address;
    const struct outcome *outcome;
    uint64_t attempted_ms; /* wall clock of the last attempt; 0: none was made */
    uint64_t expires_ms;   /* delay notices: when Tern gives up; wall clock */
    bool expired;          /* it was deferred for its whole lifetime */
};

struct bounce {
    bool delay; /* a delay notice (Action: delayed); else failures (Action: failed) */
    const struct envelope *envelope; /* of the message it is about; sender not null */
    struct view message_id;          /* Tern's id of that message, hexadecimal */
    struct view header;              /* the message's header section, borrowed */
    const struct bounce_rcpt *rcpts;
    size_t rcpt_count;
    struct view hostname; /* this server */
    uint64_t now_ms;      /* wall clock */
    uint64_t unique;      /* for Message-ID and the MIME boundary; must not repeat */
};

/* Room that any bounce for `rcpt_count` recipients fits in: headers are cut to
 * BOUNCE_HEADER_MAX bytes, texts by OUTCOME_TEXT_MAX. */
enum { BOUNCE_HEADER_MAX = 32768 }; /* bytes */
size_t bounce_room(const struct bounce *b);

/* The whole notice, from "Date:" on, lines in CRLF: a readable first part (what happened, which
 * server said what, what to do), message/delivery-status, and the original header
 * (text/rfc822-headers). Auto-Submitted: auto-replied, From: MAILER-DAEMON@hostname. */
bool bounce_write(const struct bounce *b, struct buf *out) MUST_USE;

#endif
