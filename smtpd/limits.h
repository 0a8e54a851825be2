/* How many connections there are, in total, by listener and by client, in all smtpd processes
 * together.
 *
 * They share memory; each process writes in its own share of it alone and adds up all of them
 * to decide. A process that died leaves its share behind until its successor zeroes it. By
 * listener and client it is a count-min sketch, over the listener's name and the client's network:
 * two rows of counters, places by a keyed hash, so that nobody can choose a collision; the smaller
 * counter is never less than the truth. */
#ifndef SMTPD_LIMITS_H
#define SMTPD_LIMITS_H

#include "common/attrs.h"
#include "common/error.h"
#include "io/net.h"
#include "ipc/settings.h"

struct limits_share;

struct limits {
    char *shares; /* mapped, COUNTERS_BYTES_PER_WORKER each */
    size_t share_count;
    struct limits_share *own;
    uint64_t key;
    const struct settings *settings;
};

enum limits_verdict { LIMITS_FINE, LIMITS_TOTAL, LIMITS_LISTENER, LIMITS_CLIENT };

/* Maps the memory behind `fd`, which is closed, and zeroes share number `index`. Before the
 * sandbox. 0 or a negative errno. */
int limits_open(struct limits *l, int fd, uint32_t index, const struct settings *s,
                struct error *err) MUST_USE;
void limits_close(struct limits *l);

/* Counts a connection at a listener if it is within the limits; limits_give when it ends. One
 * without a family, as long as a proxy is to name the client, is no client's. */
enum limits_verdict limits_take(struct limits *l, const struct listener_settings *at,
                                const struct net_address *client) MUST_USE;
void limits_give(struct limits *l, const struct listener_settings *at,
                 const struct net_address *client);

#endif
