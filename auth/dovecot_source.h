/* The source that asks Dovecot (auth/dovecot.h) over its socket: one connection, made again when it
 * ends. Meanwhile logins are answered with "try again later". */
#ifndef AUTH_DOVECOT_SOURCE_H
#define AUTH_DOVECOT_SOURCE_H

#include "auth/desk.h"
#include "auth/dovecot.h"

enum {
    DOVECOT_UNSENT_MAX = 1 << 20,    /* bytes that wait for Dovecot; more requests fail */
    DOVECOT_HANDSHAKE_MS = 10000,    /* for DONE */
    DOVECOT_RETRY_FIRST_MS = 500,    /* until the next connection, doubled */
    DOVECOT_RETRY_LONGEST_MS = 5000, /* up to this */
};

struct dovecot_source {
    struct source source;
    const char *path;
    struct watch watch; /* fd -1: not connected */
    struct timer timer; /* of the handshake, or until the next connection */
    uint64_t retry_ms;
    bool ready, complained;
    struct dovecot engine;
    struct table requests; /* exchanges by number */
    uint32_t last_number;
    char *unsent; /* heap */
    size_t unsent_len;
};

/* Before desk_init; `path` must stay. */
void dovecot_source_init(struct dovecot_source *s, const char *path);
/* Once the loop runs: connects. */
void dovecot_source_start(struct dovecot_source *s);

#endif
