/* A connection to a destination: drives one client engine with a host that was found (dial.h). When
 * one cannot be used before anything is decided, the next address is tried. */
#ifndef DELIVERY_CONN_H
#define DELIVERY_CONN_H

#include "delivery/client.h"
#include "delivery/dial.h"
#include "io/stream.h"

enum conn_state {
    CONN_DIALING,
    CONN_HANDSHAKING,
    CONN_TALKING,
    CONN_CLOSED,
};

struct conn {
    struct list link;      /* of the destination's idle connections */
    struct list idle_link; /* of the worker's */
    struct destination *destination;
    struct job *job; /* NULL: idle */
    bool started;    /* the engine has the job */
    bool detour;     /* for its job alone, which the hosts that come first cannot take */
    bool elsewhere;  /* the host would take its job under TLS alone, and that failed */
    bool counted;    /* among the connections that take jobs */
    enum conn_state state;
    struct dial dial;
    struct stream stream;
    struct watch watch;
    struct timer timer;
    struct deferred deferred; /* the beginning, and the release */
    struct client client;
    struct tls_policy policy;
    char tls[TLSPOLICY_TEXT_MAX]; /* what came of the policy; tls_len 0: plain text */
    size_t tls_len;
    bool resuming;              /* a session was offered in the handshake */
    uint64_t session_until_ms;  /* for those that come of it; monotonic */
    bool no_resume;             /* one was, and the handshake failed: a full one first */
    unsigned messages;          /* that this connection was used for */
    struct job_domains domains; /* of their recipients, where the host limits them */
    uint64_t until_ms;          /* monotonic: then the opening, or the transaction, is given up */
    unsigned heard;             /* replies when the timer was started */
    bool wrote;                 /* since then */
    bool write_blocked;         /* until the socket is writable */
    bool read_blocked;          /* likewise: TLS has to answer before it reads on */
};

/* Its process. */
static inline struct worker *conn_worker(const struct conn *c)
{
    return c->destination->worker;
}

static inline const struct settings *conn_settings(const struct conn *c)
{
    return conn_worker(c)->settings;
}

static inline struct loop *conn_loop(const struct conn *c)
{
    return conn_worker(c)->loop;
}

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
