/* The client engine of RFC 5321, and of RFC 2033 (LMTP): hears replies, says commands, decides
 * about recipients. It knows no sockets and no clock: the driver writes what is in `out`, feeds
 * what it reads, and fulfils wishes.
 *
 * Deviations and decisions
 * - A reply that breaks the grammar, or that nobody asked for, ends the connection: what follows
 *   could be taken for the answer to something else. It is a temporary failure, never a success.
 * - Content with octets above 127 goes to a host without 8BITMIME as it is, without BODY=: such
 *   hosts pass it on in practice, and a conversion would break signatures (against RFC 6152, 3).
 * - A host that does not promise REQUIRETLS is left for the next; when none does, the message
 * fails.
 * - A login that fails is temporary for the mail, whatever the server says: nothing is wrong with
 * it.
 * - Where BDAT and PIPELINING are offered, a message goes as one chunk: without dots to be stuffed,
 *   and without waiting for 354. A small one follows RCPT at once; a larger one waits until it is
 *   known that somebody takes it. A host that announces CHUNKING and does not know BDAT gets the
 *   message again with DATA.
 * - A mail host that greets with a name of this machine is this machine, whatever its address: mail
 *   for its domain fails (RFC 5321, 5.1 and 6.3). Configured hosts are taken at their word.
 * - QUIT never travels with other commands: its reply must not be taken for the message's. */
#ifndef DELIVERY_CLIENT_H
#define DELIVERY_CLIENT_H

#include "common/buf.h"
#include "delivery/ext.h"
#include "delivery/sasl.h"
#include "delivery/tlspolicy.h"
#include "delivery/transaction.h"
#include "ipc/settings.h"
#include "mail/outcome.h"
#include "mail/reply.h"

enum {
    CLIENT_OUT_BYTES = 16384, /* of `out`; as large as a record of TLS */
    CLIENT_WINDOW = 100,      /* commands that may wait for their replies (RFC 2920) */
};

enum client_phase {
    CLIENT_GREETING,
    CLIENT_EHLO,
    CLIENT_HELO,
    CLIENT_STARTTLS,
    CLIENT_HANDSHAKE,
    CLIENT_AUTH,
    CLIENT_AUTH_ANSWER,
    CLIENT_READY,
    CLIENT_MAIL,
    CLIENT_RCPT,
    CLIENT_DATA,
    CLIENT_BODY,
    CLIENT_DOT,
    CLIENT_BDAT,
    CLIENT_CHUNK,
    CLIENT_LONE_DOT,
    CLIENT_RSET,
    CLIENT_QUIT,
    CLIENT_LISTEN, /* nothing may be said before replies came */
    CLIENT_OVER,
    CLIENT_PHASES
};

enum client_wish {
    CLIENT_WISH_NOTHING, /* waits for replies */
    CLIENT_WISH_TLS,     /* a handshake, then client_tls_ready */
    CLIENT_WISH_BODY,    /* the content and the final dot, then client_body_sent */
    CLIENT_WISH_CHUNK,   /* the content alone, then client_body_sent */
    CLIENT_WISH_MESSAGE, /* client_start or client_quit */
    CLIENT_WISH_CLOSE,   /* over; client_why tells why */
};

/* What was decided. The outcome's host and tls are the driver's to fill in; its text dies with the
 * next call. */
struct client_verdict {
    bool rest;      /* about every recipient that has no verdict yet; else about one: */
    bool later;     /* which has none, but is to come in another transaction, at once */
    bool elsewhere; /* nor has this: another host may take what this one takes only under TLS */
    bool full;      /* it is the last, and the host has shown that it takes `accepted`, no more */
    size_t rcpt;    /* its number in the message's envelope */
    struct outcome outcome;
};

struct client {
    struct buf out; /* to be written; the driver appends the content */
    struct view hostname;
    const struct settings *own; /* who greets with a name of theirs is this machine; NULL: may be */
    struct tls_policy tls;
    bool lmtp;
    struct credential *credential; /* to log in with; NULL: none */
    struct view host;              /* of the server, for OAUTHBEARER */
    unsigned port;
    struct sasl sasl;
    struct view challenge; /* that is to be answered; borrowed from the reply at hand */
    bool gave_up;          /* to log in */
    bool encrypted, greeted, lost, closed;
    bool met_us;     /* it was left since it is this machine */
    bool missed_tls; /* it was left since it has none, or takes none, where TLS is needed */
    struct ext ext;
    enum client_phase saying;    /* what is said next */
    enum client_phase hearing;   /* what the reply at hand answers */
    uint8_t sent[CLIENT_WINDOW]; /* ring of phases: what the replies to come will answer */
    unsigned sent_first, sent_count, window;
    unsigned heard;        /* replies so far: a deadline holds for one reply */
    unsigned heard_before; /* the transaction */
    struct client_message message;
    size_t said_rcpts, heard_rcpts, accepted;
    size_t put_off;                 /* recipients on end, and nobody taken behind them ... */
    bool told_so;                   /* ... with X.5.3 */
    size_t answered;                /* LMTP: recipients that the final dot was answered for */
    bool taken[ENVELOPE_RCPTS_MAX]; /* LMTP: by place in the message */
    bool chunk_sent;                /* all of it, and its reply is not heard */
    bool chunk_refused;             /* in the transaction: the host does not know it */
    bool settled;                   /* all that were taken have the reply to the message */
    bool refused;                   /* of the transaction nothing but replies is left */
    bool decided;                   /* there is a verdict to hand out */
    struct client_verdict verdict;
    struct outcome why;
    char words[128];
    struct reply_parser parser;
};

/* `hostname` is borrowed. */
void client_init(struct client *c, struct view hostname, struct tls_policy tls, bool lmtp);
void client_release(struct client *c);

enum client_wish client_wish(const struct client *c);

/* Uses up the front of *input until something is decided about recipients (true, call again), or
 * all of it is used (false). Stops also when the connection is over. */
bool client_hear(struct client *c, struct view *input, struct client_verdict *v) MUST_USE;
/* There is room in `out` again. */
void client_speak(struct client *c);

/* Fulfilled wishes. */
void client_tls_ready(struct client *c);
void client_body_sent(struct client *c);
/* True: it is decided at once (the host lacks what it needs), and the wish stays. Recipients with a
 * transaction_rcpt_obstacle must not be in it. */
bool client_start(struct client *c, const struct client_message *m,
                  struct client_verdict *v) MUST_USE;
void client_quit(struct client *c);

/* To be called at the beginning: log in, before any message; only where `tls` asks for a verified
 * host. All is borrowed. */
void client_log_in(struct client *c, struct credential *credential, struct view host,
                   unsigned port);

/* The connection ended from outside: broken, timed out. `words` must live as long as `c`, or until
 * client_why was read. */
void client_lost(struct client *c, struct view words);
/* The same by the server: when it said nothing in a transaction, it had closed before that. */
void client_closed(struct client *c, struct view words);

/* For CLIENT_WISH_CLOSE: what became of all that is undecided. Temporary, since another host, or
 * another time, may do; but not when this host lacks what the message needs for good. Its text dies
 * with the next call. */
const struct outcome *client_why(const struct client *c);

/* The connection was lost or ended (421) at STARTTLS or in the handshake, or closed right behind
 * it, when a server of TLS 1.3 tells what it finds fault with: in plain text the host may be of
 * use. Not so when it said too much or nonsense instead, which may be an attack. */
bool client_failed_at_tls(const struct client *c);
/* The host has refused the login for good: its other addresses would count another try. */
bool client_failed_to_log_in(const struct client *c);
/* The final dot, or all of the chunk, was said, and no proper answer heard: the message may have
 * been accepted. */
bool client_is_past_dot(const struct client *c);
/* How long the reply that is awaited, or the wish, may take. */
uint64_t client_timeout_ms(const struct client *c, const struct timeouts_settings *t);

#endif
