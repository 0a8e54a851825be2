/* The envelope: what SMTP knows of a message beside its content (RFC 5321, 2.3.1). */
#ifndef MAIL_ENVELOPE_H
#define MAIL_ENVELOPE_H

#include "common/arena.h"
#include "common/buf.h"
#include "common/view.h"

enum {
    ENVELOPE_RCPTS_MAX = 1000, /* the most that the setting limits.recipients allows */
};

/* RFC 3461, 4.1: when the sender wants to hear of a recipient. */
enum {
    NOTIFY_UNSAID = 0, /* of a failure, and of a delay if the server thinks so */
    NOTIFY_NEVER = 1,  /* stands alone, or with NOTIFY_EXPANDED */
    NOTIFY_SUCCESS = 2,
    NOTIFY_FAILURE = 4,
    NOTIFY_DELAY = 8,
    NOTIFY_EXPANDED = 16, /* stands for several recipients of ours; its success was asked for */
};
enum envelope_return { RETURN_UNSAID, RETURN_FULL, RETURN_HEADERS }; /* RFC 3461, 4.3: RET */
enum deliver_by { BY_UNSAID, BY_NOTIFY, BY_RETURN };                 /* RFC 2852, 4: the by-mode */

enum {
    PRIORITY_LEAST = -9, /* RFC 6710, 4.1 */
    PRIORITY_MOST = 9,
};

struct envelope_rcpt {
    struct view address;  /* "local@domain", or "postmaster" */
    struct view original; /* ORCPT, xtext decoded: "rfc822;bob@b.test"; empty: not said */
    unsigned notify;      /* NOTIFY_... */
};

/* envelope.hold of what a login sent beyond its rates. */
#define HOLD_SURPLUS "rate of the login"

struct envelope {
    struct view sender; /* reverse-path, "local@domain"; empty: the null reverse-path */
    const struct envelope_rcpt *rcpts;
    size_t rcpt_count;            /* at least 1 */
    uint64_t arrival_ms;          /* wall clock, since 1970 */
    uint64_t accepted_ms;         /* the queue's clock, where that differs; 0: it agreed */
    bool body_8bit;               /* BODY=8BITMIME was said, or the content has octets above 127 */
    bool notice;                  /* made by Tern itself: a bounce or a delay notice */
    struct view client;           /* "192.0.2.1" or "2001:db8::1"; empty for notices */
    struct view client_name;      /* of its host, looked up both ways; empty: unknown */
    struct view helo;             /* as the client said it */
    struct view protocol;         /* RFC 3848: SMTP, ESMTP, ESMTPS */
    struct view tls;              /* "TLSv1.3 TLS_AES_256_GCM_SHA384 256"; empty: plain text */
    struct view session;          /* id of the SMTP session in the logs, hexadecimal */
    struct view listener;         /* its name, or its address and port */
    struct view login;            /* who authenticated; empty: nobody */
    struct view tags;             /* of rules: words joined by commas */
    struct view route;            /* of the settings, that a rule chose; empty: none */
    struct view hold;             /* why it waits for an administrator; empty: it does not */
    struct view message_id;       /* content of the header field, with "<" and ">" */
    struct view envelope_id;      /* ENVID, xtext decoded */
    enum envelope_return returns; /* RET */
    bool utf8;                    /* SMTPUTF8 was said (RFC 6531, 3.4) */
    bool require_tls;             /* REQUIRETLS was said (RFC 8689) */
    int priority;                 /* MT-PRIORITY; 0 is normal */
    uint64_t not_before_ms;       /* FUTURERELEASE (RFC 4865), wall clock; 0: at once */
    uint64_t deliver_by_ms;       /* DELIVERBY, wall clock; with a by-mode */
    enum deliver_by by;
    bool by_trace; /* the by-trace "T" */
};

/* As fields (mail/fields.h): from, rcpt (one a recipient, in order, each followed by its own),
 * arrival, and the others when they have a value. */
bool envelope_encode(const struct envelope *e, struct buf *out) MUST_USE;
/* Unknown keys are passed over: a newer Tern may have written them. Views borrow from `bytes` or
 * from `arena`. False: malformed, no recipient, an address that does not parse. */
bool envelope_decode(struct view bytes, struct arena *arena, struct envelope *out) MUST_USE;

#endif
