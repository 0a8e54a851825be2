/* The auth process as the sessions see it: which mechanisms it offers, who waits for which answer,
 * and what happens when the channel is lost. */
#ifndef SMTPD_LOGINS_H
#define SMTPD_LOGINS_H

#include "common/table.h"
#include "ipc/messages.h"
#include "ipc/peer.h"

struct logins_peer;

struct logins {
    struct loop *loop;
    struct logins_peer *peer; /* NULL: none is there, nobody can log in */
    struct table requests;    /* by id */
    uint64_t last_id;
    char mechanisms[256]; /* separated by blanks; empty: none. NUL-terminated */
};

/* An exchange; embed. Zeroed but for the callbacks is idle; so it is after `ended` and
 * logins_cancel. */
struct login_request {
    struct table_entry entry;
    uint64_t id; /* 0: idle */
    void (*challenged)(struct login_request *r, struct view bytes);
    void (*ended)(struct login_request *r, enum login_result result, struct view login);
};

void logins_init(struct logins *l, struct loop *loop);
/* Takes the channel to an auth process. 0 or a negative errno. */
int logins_connect(struct logins *l, uint32_t index, int fd) MUST_USE;

/* Fills in m->exchange. False: there is no auth process. Callbacks come later, from the loop. */
bool logins_begin(struct logins *l, struct login_request *r,
                  struct message_login_begin *m) MUST_USE;
void logins_respond(struct logins *l, struct login_request *r, struct view response);
/* Nobody waits any more. */
void logins_cancel(struct logins *l, struct login_request *r);

#endif
