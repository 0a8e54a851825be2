/* The exchanges that are under way, for all smtpd processes together, and where they are decided:
 * by a source (the user file, or Dovecot). Keeps the counts of failures, and logs. */
#ifndef AUTH_DESK_H
#define AUTH_DESK_H

#include "auth/tries.h"
#include "common/list.h"
#include "common/table.h"
#include "io/loop.h"
#include "ipc/messages.h"
#include "ipc/peer.h"
#include "ipc/settings.h"

enum { DESK_EXCHANGES_MAX = 10000 }; /* of one smtpd process */

struct desk;
struct exchange;

struct source { /* embed */
    struct desk *desk;
    /* Each leads to exchange_challenge or exchange_end, at once or later. */
    void (*begin)(struct source *s, struct exchange *e, const struct message_login_begin *m);
    void (*hear)(struct source *s, struct exchange *e, struct view response);
    /* It has ended, or nobody waits any more: forget it. */
    void (*forget)(struct source *s, struct exchange *e);
};

struct exchange {             /* heap */
    struct table_entry entry; /* by id, in teller.exchanges */
    struct teller *teller;
    struct deferred free_later;
    uint64_t id, session;
    struct tries *tries;       /* of its listener */
    struct net_address client; /* without a family: a proxy did not know */
    char client_text[NET_ADDRESS_TEXT_MAX];
    char mechanism[24]; /* NUL-terminated */
    bool answering;     /* the source was asked, and has not answered yet */
    bool ended;         /* by the source itself */
    /* the source's */
    void *work;
    struct list link;
    uint64_t number;
    struct table_entry number_entry;
};

struct teller {       /* a smtpd process; heap */
    struct peer peer; /* its link is in desk.tellers */
    struct desk *desk;
    struct table exchanges;
    struct deferred free_later;
};

struct desk {
    struct loop *loop;
    const struct settings *settings;
    struct tries tries; /* of all listeners but those with limits of their own */
    struct tries *own;  /* of each of those, by number; of the others none, all zero */
    struct source *source;
    struct list tellers;
    char mechanisms[256];            /* that can be had now; NUL-terminated */
    void (*emptied)(struct desk *d); /* the last teller has gone */
};

/* The settings must outlive it. */
void desk_init(struct desk *d, struct loop *l, const struct settings *s, struct source *source);
void desk_release(struct desk *d);
/* Takes the channel to a smtpd process. 0 or a negative errno. */
int desk_connect(struct desk *d, uint32_t index, int fd) MUST_USE;
/* The mechanisms that can be had from now on, separated by blanks; tells all. */
void desk_offer(struct desk *d, struct view mechanisms);

/* For sources. */
void exchange_challenge(struct exchange *e, struct view bytes);
/* It is over. `login`: as far as it is known; `why`: for the log. */
void exchange_end(struct exchange *e, enum login_result result, struct view login, const char *why);
/* True: too many have failed, and it is over. */
bool exchange_blocked(struct exchange *e, struct view login) MUST_USE;

#endif
