/* What became of a recipient in one attempt. Made once, where the reply is heard, and carried
 * unchanged to the log, the schedule, the queue list and the bounce. */
#ifndef MAIL_OUTCOME_H
#define MAIL_OUTCOME_H

#include "common/arena.h"
#include "common/buf.h"
#include "common/view.h"
#include "mail/reply.h"

enum outcome_class { OUTCOME_DELIVERED, OUTCOME_DEFERRED, OUTCOME_FAILED, OUTCOME_CLASSES };

/* What the trouble is about. A fault of the destination (no connection, a bad greeting) costs the
 * destination: all mail for its hosts waits with it. A fault of the domain (its mail hosts cannot
 * be found out) costs that domain alone, whoever's hosts they were. A fault of the spool (the body
 * is not what was accepted) freezes the message, until an administrator decides; one of the disk
 * (it does not give the body) may pass. */
enum outcome_scope {
    SCOPE_RCPT,
    SCOPE_MESSAGE,
    SCOPE_DOMAIN,
    SCOPE_DESTINATION,
    SCOPE_SPOOL,
    SCOPE_DISK,
    OUTCOME_SCOPES
};

struct outcome {
    enum outcome_class class;
    enum outcome_scope scope;
    unsigned code;            /* of the reply; 0: no reply, Tern found it out itself */
    struct enhanced enhanced; /* always set, by the code's class if the server gave none */
    struct view text;         /* the server's words, or Tern's; may have several lines */
    struct view host;         /* "mx1.example.org[192.0.2.1]:25"; empty: none was reached */
    struct view doing;        /* "sending RCPT TO", completes "... while ..."; may be empty */
    bool dsn;                 /* delivered: to a host that tells the sender itself (RFC 3461) */
    bool final;      /* delivered: into a mailbox (RFC 2033, 2), so that nobody else will */
    struct view tls; /* what came of the TLS policy, for people; may be empty */
};

enum { OUTCOME_TEXT_MAX = 512 }; /* bytes of text kept in records */

/* As fields; text is cut to OUTCOME_TEXT_MAX. */
bool outcome_encode(const struct outcome *o, struct buf *out) MUST_USE;
bool outcome_decode(struct view bytes, struct arena *arena, struct outcome *out) MUST_USE;

/* One line for people: "connection refused (mx1.example.org[192.0.2.1]:25, while connecting)";
 * "550 5.1.1 No such user (mx1..., while sending RCPT TO)". */
bool outcome_print(const struct outcome *o, struct buf *out);

const char *outcome_class_name(enum outcome_class c); /* delivered, deferred, failed */

#endif
