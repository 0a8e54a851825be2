/* What all connections of a process share, room for new ones, and the end of all of them. */
#ifndef SMTPD_SERVER_H
#define SMTPD_SERVER_H

#include "common/list.h"
#include "io/loop.h"
#include "io/tls.h"
#include "ipc/ask.h"
#include "ipc/settings.h"
#include "smtpd/content.h"
#include "smtpd/limits.h"
#include "smtpd/lists.h"
#include "smtpd/logins.h"
#include "smtpd/rates.h"
#include "smtpd/session.h"
#include "smtpd/spool.h"

enum {
    SERVER_READ_MAX = 32768,                                    /* bytes of one read */
    SERVER_INPUT_MAX = SESSION_AUTH_LINE_MAX + SERVER_READ_MAX, /* behind what a read left over */
    SERVER_OUTPUT_MAX = 16384,                                  /* bytes of replies at once */
};

struct server {
    struct loop *loop;
    const struct settings *settings;
    struct tls_context *tls; /* NULL: no certificate is configured */

    /* What is counted. */
    struct limits limits;
    struct rates rates;
    struct content_budget budget;
    struct session_budget addresses;

    /* Who is asked. */
    struct spool spool;
    struct asker asker;
    struct lists lists;
    struct logins logins;

    struct list conns;
    struct list idle;    /* those of strangers between commands, who waits the longest first */
    uint64_t conn_count; /* so far; makes session ids */
    bool draining, stopping;
    struct timer drain_timer;
    void (*emptied)(struct server *s); /* draining, and the last connection has ended */

    struct buf out; /* on `output`; empty between the turns of a connection */
    char input[SERVER_INPUT_MAX], output[SERVER_OUTPUT_MAX];
};

struct conn;

void server_init(struct server *s, struct loop *l, const struct settings *settings);
/* No sessions will come any more: `emptied` is called after the last one, even at once. With
 * `stop`, which may follow later, ends those that are between messages now, and the others after
 * theirs, or when timeouts.drain has passed; without it, only those that are left after the longest
 * timeouts.session of all listeners. */
void server_drain(struct server *s, bool stop);

/* A connection waits for its client: when it is a stranger's, its place may be wanted for others.
 */
void server_note_idle(struct conn *c);
/* Sends a stranger away who did nothing for a while, in favour of a client that has no place. For
 * one who may relay, any idle one goes. `at`: only at that listener; NULL: at all. Not from within
 * a connection. False: there is nobody. */
bool server_make_room(struct server *s, const struct listener_settings *at,
                      bool for_stranger) MUST_USE;

#endif
