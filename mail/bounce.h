/* Notices to the sender: multipart/report with a delivery-status part (RFC 3464, RFC 6522), and the
 * same in UTF-8 for a message that came with SMTPUTF8 (RFC 6533). */
#ifndef MAIL_BOUNCE_H
#define MAIL_BOUNCE_H

#include "common/buf.h"
#include "mail/envelope.h"
#include "mail/outcome.h"

enum bounce_action { /* RFC 3464, 2.3.3 */
                     BOUNCE_FAILED,
                     BOUNCE_DELAYED,
                     BOUNCE_DELIVERED, /* to a mailbox */
                     BOUNCE_RELAYED,   /* to a host that will not tell */
                     BOUNCE_EXPANDED,  /* to several recipients, of which none will tell */
                     BOUNCE_ACTIONS
};

struct bounce_rcpt {
    struct view address;
    struct view original; /* "rfc822;bob@b.test" (struct envelope_rcpt); empty: not said */
    const struct outcome *outcome;
    uint64_t attempted_ms; /* wall clock of the last attempt; 0: none was made */
    uint64_t expires_ms;   /* delay notices: when Tern gives up; wall clock */
    bool expired;          /* it was deferred for its whole lifetime */
};

struct bounce {
    enum bounce_action action;
    const struct envelope *envelope; /* of the message it is about; sender not null */
    struct view message_id;          /* Tern's id of that message, hexadecimal */
    struct view header;              /* the message's header section, borrowed */
    bool unread;                     /* there is none, as nobody knows whether it is sound */
    struct view content;             /* the whole message; empty: it is too large, or not at hand */
    const struct bounce_rcpt *rcpts;
    size_t rcpt_count;
    struct view hostname; /* this server */
    uint64_t now_ms;      /* wall clock */
    uint64_t unique;      /* for Message-ID and the MIME boundary; must not repeat */
};

enum {
    BOUNCE_HEADER_MAX = 32768,  /* bytes; what is longer is cut at a line */
    BOUNCE_CONTENT_MAX = 65536, /* bytes; larger messages come back as their header alone */
};

/* Room that the notice fits in: texts are cut by OUTCOME_TEXT_MAX. */
size_t bounce_room(const struct bounce *b);

/* The whole notice, from "Date:" on, lines in CRLF: a readable first part (what happened, which
 * server said what, what to do), the status, and the original, if it was read: its header, or all
 * of it when a failure is told to somebody who asked for it (RFC 3461, 4.3). Auto-Submitted:
 * auto-replied, From: MAILER-DAEMON@hostname. */
bool bounce_write(const struct bounce *b, struct buf *out) MUST_USE;

const char *bounce_action_name(enum bounce_action a); /* "failed" */

#endif
