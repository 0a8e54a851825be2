/* How often things may happen: token buckets by client address, by its network and by login, and by
 * what a rule says, for all smtpd processes together and over reloads.
 *
 * A bucket is one number, the time at which it is full again (the "generic cell rate algorithm"):
 * a token moves that time, and one that would move it further than the rate's span ahead is
 * refused. Buckets lie in shared memory, in sets of a few places, found by a keyed hash of who and
 * what. A set that is full gives up the bucket which is the nearest to being full of tokens: memory
 * is bounded, a flood of strangers can make itself be forgotten, but nobody else be refused. */
#ifndef SMTPD_RATES_H
#define SMTPD_RATES_H

#include "common/attrs.h"
#include "common/error.h"
#include "io/net.h"
#include "ipc/settings.h"

struct rates_memory;

struct rates {
    struct rates_memory *memory; /* mapped, RATES_BYTES; NULL: nothing is limited */
    uint64_t key;
    const struct settings *settings;
};

/* Whose tokens: the one who logged in, else the client's and its network's. */
struct rates_owner {
    const struct listener_settings *at;
    const struct net_address *client;
    struct view login; /* empty: nobody */
};

enum rates_verdict {
    RATES_FINE,
    RATES_CLIENT,  /* the client's are used up */
    RATES_NETWORK, /* its network's */
    RATES_LOGIN,   /* the login's */
};

/* Maps the memory behind `fd`, which is closed. Before the sandbox. 0 or a negative errno. */
int rates_open(struct rates *r, int fd, const struct settings *settings,
               struct error *err) MUST_USE;
void rates_close(struct rates *r);

/* A bucket that a rule names. */
struct rates_bucket {
    struct view rule;  /* its label */
    unsigned number;   /* of the limit in the rule */
    struct view whose; /* bytes that tell one client, login or address from others */
    const struct config_rate *rate;
};

/* Takes one token of `kind` from everybody it is to come from, or none. `now_ms` is monotonic. */
enum rates_verdict rates_take(struct rates *r, enum rate_kind kind, const struct rates_owner *who,
                              uint64_t now_ms) MUST_USE;
/* Whether there is one, without taking it. */
enum rates_verdict rates_look(const struct rates *r, enum rate_kind kind,
                              const struct rates_owner *who, uint64_t now_ms) MUST_USE;

/* Whether there is a token in it; takes one that is there. */
bool rates_bucket_look(const struct rates *r, const struct rates_bucket *b,
                       uint64_t now_ms) MUST_USE;
bool rates_bucket_take(struct rates *r, const struct rates_bucket *b, uint64_t now_ms);

#endif
