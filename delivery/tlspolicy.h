/* Whether a connection is to be encrypted, and what that has to prove. */
#ifndef DELIVERY_TLSPOLICY_H
#define DELIVERY_TLSPOLICY_H

#include "ipc/settings.h"

enum {
    TLSPOLICY_BROKEN_MS = 60 * 60 * 1000, /* how long a broken STARTTLS is remembered */
};

/* What is remembered of a destination. Zeroed: nothing. */
struct tls_memory {
    uint64_t broken_until_ms; /* monotonic */
};

struct tls_policy {
    enum route_tls level;
    bool verify; /* the certificate must be the host's, by a trust anchor */
};

/* `wanted` and `implicit` as the hop has them. TLS from the first byte has no fall-back. */
struct tls_policy tlspolicy_choose(enum route_tls wanted, bool implicit,
                                   const struct tls_memory *memory, uint64_t now_ms);

/* A handshake after STARTTLS failed. True: the host may be tried again at once, in plain text, and
 * so are all of the destination for a while. */
bool tlspolicy_fall_back(struct tls_policy policy, bool implicit, struct tls_memory *memory,
                         uint64_t now_ms);

#endif
