/* How many logins failed lately, by client and by login: token buckets. Each failure takes a
 * token, and each comes back after its share of the time; without tokens nothing is tried. So that
 * nobody can lock a login's owner out, the limit of a login does not hold for clients that it was
 * used from before. */
#ifndef AUTH_TRIES_H
#define AUTH_TRIES_H

#include "common/list.h"
#include "common/table.h"
#include "io/net.h"

enum {
    TRIES_ENTRIES_MAX = 65536, /* then those that were used least lately are forgotten */
    TRIES_KEY_MAX = 320,       /* bytes */
};

struct tries {
    uint64_t per_client, per_login; /* tokens */
    uint64_t time_ms;               /* in which all of them come back */
    unsigned prefix4, prefix6;      /* bits that make a client */
    struct table entries;
    struct list used; /* the least lately first */
};

enum tries_verdict { TRIES_FINE, TRIES_CLIENT, TRIES_LOGIN };

void tries_init(struct tries *t);
void tries_release(struct tries *t);
/* May it be tried? An empty login: only the client counts. */
enum tries_verdict tries_ask(struct tries *t, const struct net_address *client, struct view login,
                             uint64_t now_ms) MUST_USE;
/* This client has logged in so before, as far as is remembered. */
bool tries_knows(struct tries *t, const struct net_address *client, struct view login) MUST_USE;
/* It failed. The verdict on the next one. */
enum tries_verdict tries_fail(struct tries *t, const struct net_address *client, struct view login,
                              uint64_t now_ms);
void tries_succeed(struct tries *t, const struct net_address *client, struct view login,
                   uint64_t now_ms);

#endif
