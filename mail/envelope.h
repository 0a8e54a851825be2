/* The envelope: what SMTP knows of a message beside its content (RFC 5321, 2.3.1). */
#ifndef MAIL_ENVELOPE_H
#define MAIL_ENVELOPE_H

#include "common/arena.h"
#include "common/buf.h"
#include "common/view.h"

enum {
    ENVELOPE_RCPTS_MAX = 1000, /* the most that the setting limits.recipients allows */
};

struct envelope_rcpt {
    struct view address; /* "local@domain", or "postmaster" */
};

struct envelope {
    struct view sender; /* reverse-path, "local@domain"; empty: the null reverse-path */
    const struct envelope_rcpt *rcpts;
    size_t rcpt_count;    /* at least 1 */
    uint64_t arrival_ms;  /* wall clock, since 1970 */
    bool body_8bit;       /* BODY=8BITMIME was said, or the content has octets above 127 */
    bool notice;          /* made by Tern itself: a bounce or a delay notice */
    struct view client;   /* "192.0.2.1" or "2001:db8::1"; empty for notices */
    struct view helo;     /* as the client said it */
    struct view protocol; /* RFC 3848: SMTP, ESMTP, ESMTPS */
    struct view tls;      /* "TLSv1.3 TLS_AES_256_GCM_SHA384 256"; empty: plain text */
    struct view session;  /* id of the SMTP session in the logs, hexadecimal */
};

/* As fields (mail/fields.h): from, rcpt (one a recipient, in order), arrival, and the
 * others when they have a value. */
bool envelope_encode(const struct envelope *e, struct buf *out) MUST_USE;
/* Unknown keys are passed over: a newer Tern may have written them. Views borrow from `bytes` or
 * from `arena`. False: malformed, no recipient, an address that does not parse. */
bool envelope_decode(struct view bytes, struct arena *arena, struct envelope *out) MUST_USE;

#endif
