/* Drives one session: bytes that came go to the engine (session.h), what it says to the socket, and
 * then what it wishes is seen to (wishes.h): conn_advance. Before that come proxies and the
 * greeting (arrival.h); who the client is, is found out meanwhile (origin.h), and time runs
 * (patience.h). */
#ifndef SMTPD_CONN_H
#define SMTPD_CONN_H

#include "io/stream.h"
#include "smtpd/server.h"

/* What bytes that come are. */
enum conn_stage {
    CONN_PROXY,     /* the header of a proxy */
    CONN_GREETING,  /* too early: who comes has to be silent before he is greeted */
    CONN_HANDSHAKE, /* TLS */
    CONN_SESSION,   /* the engine's */
};

struct conn {
    struct server *server;
    struct session session;
    enum conn_stage stage;

    /* Its life. */
    struct list link;   /* in server.conns */
    struct list idle;   /* in server.idle */
    const char *reason; /* why it is about to end; NULL: it is not, or the client wanted it */
    bool closed;
    struct deferred free;

    /* Bytes. What a turn left over: input that cannot be used yet, and output the socket did not
     * take. Heap, and nothing while idle. */
    struct stream stream;
    struct watch watch;
    struct deferred again; /* TLS has read ahead */
    char *input;
    size_t input_len;
    char *output;
    size_t output_len, output_sent;

    /* Time, of loop.now_ms. */
    struct timer timer;   /* fires at `due_ms` or before, and looks then */
    uint64_t due_ms;      /* something has to happen until then... */
    uint64_t deadline_ms; /* ...and the message, or the wait for one, must end until then */
    uint64_t started_ms, idle_since_ms, content_since_ms;
    struct timer pause; /* runs until the greeting, or until late answers are sent */

    /* Who the client is. */
    struct net_address counted; /* as whose this connection counts */
    struct question name;
    struct lists_check listed;

    /* What the session wishes. */
    bool asked; /* the auth process or the queue, which has not answered */
    struct login_request login;
    struct spool_request request;
    int file; /* of the content; -1: none */
};

/* Takes the socket, which was counted by admission_take as origin_counted says. `rules` must
 * outlive it. */
void conn_start(struct server *s, const struct session_rules *rules, int fd,
                const struct net_address *peer);
/* `reason` is for the log, unless there is one already. Safe when closed. */
void conn_close(struct conn *c, const char *reason);
/* The client has gone. */
void conn_lose(struct conn *c);

/* Feeds what there is, sends what is said, and looks at the wish: after everything that happens to
 * a connection. `input` came just now; with none, what was kept is used. */
void conn_advance(struct conn *c, struct view input);
/* For later; empty: nothing. `rest` may lie in c->input. */
void conn_keep_input(struct conn *c, struct view rest);

/* Waits for more input, which may be at hand already. */
void conn_await_input(struct conn *c);
/* What to wait for after a stream's answer: WANT_*; 0: it is over. */
unsigned conn_want_of(long answer);
void conn_watch(struct conn *c, unsigned wanted);

#endif
