/* A connection to a destination: finds a host, connects, drives one client engine. When a host
 * cannot be used before anything is decided, the next address is tried. */
#ifndef DELIVERY_CONN_H
#define DELIVERY_CONN_H

#include "delivery/client.h"
#include "delivery/destination.h"
#include "delivery/route.h"
#include "io/stream.h"

enum { CONN_HOST_MAX = ADDRESS_DOMAIN_MAX + NET_ADDRESS_TEXT_MAX + 8 };

enum conn_state {
    CONN_RESOLVING,
    CONN_CONNECTING,
    CONN_HANDSHAKING,
    CONN_TALKING,
    CONN_CLOSED,
};

/* An outcome that owns its text. */
struct conn_failure {
    struct outcome outcome;
    char text[OUTCOME_TEXT_MAX];
    char host[CONN_HOST_MAX];
    char tls[TLSPOLICY_TEXT_MAX];
};

struct conn {
    struct list link;      /* of the destination's idle connections */
    struct list idle_link; /* of the worker's */
    struct destination *destination;
    struct job *job; /* NULL: idle */
    bool started;    /* the engine has the job */
    bool counted;    /* among the connections that take jobs */
    bool paid;       /* the next attempt to connect was counted when it was allowed */
    bool alone;      /* not to be shared: its domain has other mail hosts than the queue knew */
    enum conn_state state;
    size_t target_first,
        target_at; /* of the destination's targets: where it began, how many are past */
    struct route route;
    struct question question;
    struct stream stream;
    struct watch watch;
    struct timer timer;
    struct deferred deferred; /* the beginning, and the release */
    struct client client;
    struct tls_policy policy;
    char tls[TLSPOLICY_TEXT_MAX]; /* what came of the policy; tls_len 0: plain text */
    size_t tls_len;
    bool resuming;             /* a session was offered in the handshake */
    uint64_t session_until_ms; /* for those that come of it; monotonic */
    bool no_resume;            /* one was, and the handshake failed: a full one first */
    char host[CONN_HOST_MAX];  /* "mx1.example.org[192.0.2.1]:25" */
    size_t host_len;
    unsigned messages;  /* that this connection was used for */
    uint64_t until_ms;  /* monotonic: then the transaction is given up */
    unsigned heard;     /* replies when the timer was started */
    bool wrote;         /* since then */
    bool write_blocked; /* until the socket is writable */
    bool failed;
    uint8_t unreached;           /* the family of an address that could not be connected to */
    struct conn_failure failure; /* of the last host that was tried */
};

/* Begins in this turn of the loop, for the job. */
void conn_open(struct destination *d, struct job *j);
/* An idle connection gets a job. */
void conn_give(struct conn *c, struct job *j);
/* An idle connection says QUIT. */
void conn_quit(struct conn *c);
/* Its job is not wanted any more: ends both. True: not yet, since the message may be accepted
 * already. */
bool conn_abandon(struct conn *c) MUST_USE;

#endif
