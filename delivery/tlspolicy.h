/* Whether a connection is to be encrypted, and what that has to prove. */
#ifndef DELIVERY_TLSPOLICY_H
#define DELIVERY_TLSPOLICY_H

#include "io/tls.h"
#include "ipc/settings.h"

enum {
    TLSPOLICY_TEXT_MAX = 256,             /* bytes of a description */
    TLSPOLICY_BROKEN_MS = 60 * 60 * 1000, /* how long a broken STARTTLS is remembered */
};

/* What is remembered of a destination. Zeroed: nothing. */
struct tls_memory {
    uint64_t broken_until_ms; /* monotonic */
};

/* What a next hop or a message asks for. */
struct tls_wish {
    enum route_tls level;
    bool implicit; /* TLS from the first byte; has no fall-back */
    bool onward;   /* REQUIRETLS: the host must promise the same of its own next hops (RFC 8689) */
};

struct tls_policy {
    enum route_tls level;
    bool implicit, onward; /* as they were wished */
    bool verify;           /* the certificate must be the host's, by a trust anchor */
    bool broken;           /* plain text, since a handshake failed a while ago */
};

struct tls_policy tlspolicy_choose(struct tls_wish wish, const struct tls_memory *memory,
                                   uint64_t now_ms);

/* What came of it, for log and queue: "TLSv1.3 TLS_AES_256_GCM_SHA384 256, certificate verified, by
 * verify at tern.yaml:12"; ", resumed" before the certificate. `origin` is the setting's place;
 * NULL: there is none. */
void tlspolicy_describe(struct tls_policy policy, const char *origin, const struct tls_facts *facts,
                        struct buf *out);
/* The same where a session goes on without TLS: "plain text (STARTTLS is not offered), by default
 * opportunistic". */
void tlspolicy_describe_plain(struct tls_policy policy, const char *origin, bool offered,
                              struct buf *out);
/* Without TLS there is no delivery. */
bool tlspolicy_needs_tls(struct tls_policy policy);
/* A handshake after STARTTLS failed. True: the host may be tried again at once, in plain text, and
 * so are all of the destination for a while. */
bool tlspolicy_fall_back(struct tls_policy policy, struct tls_memory *memory, uint64_t now_ms);

#endif
