/* Whether a connection is to be encrypted, and what that has to prove. */
#ifndef DELIVERY_TLSPOLICY_H
#define DELIVERY_TLSPOLICY_H

#include "io/net.h"
#include "io/tls.h"
#include "ipc/settings.h"

enum {
    TLSPOLICY_TEXT_MAX = 256,             /* bytes of a description */
    TLSPOLICY_BROKEN_MS = 60 * 60 * 1000, /* how long a broken STARTTLS is remembered */
    TLSPOLICY_HOSTS_MAX = 16,             /* of a destination that are remembered, by address */
};

/* What is remembered of a host. Zeroed: nothing. */
struct tls_memory {
    uint64_t broken_until_ms; /* monotonic: a handshake failed */
};

/* Of a destination. Zeroed: nothing. */
struct tls_memories {
    struct tls_memory_of {
        struct net_address address;
        struct tls_memory memory;
    } hosts[TLSPOLICY_HOSTS_MAX]; /* a ring */
    size_t next;
};

/* What a next hop or a message asks for. */
struct tls_wish {
    enum route_tls level;
    bool implicit; /* TLS from the first byte; has no fall-back */
    bool onward;   /* REQUIRETLS: the host must promise the same of its own next hops (RFC 8689) */
};

enum tls_lack { TLS_NOT_OFFERED, TLS_REFUSED, TLS_FAILED };

struct tls_policy {
    enum route_tls level;
    bool implicit, onward; /* as they were wished */
    /* What the level means: rows of one table. */
    bool tries;      /* STARTTLS is said where it is offered */
    bool needs;      /* without TLS there is no delivery */
    bool verify;     /* the certificate must be the host's, by a trust anchor */
    bool falls_back; /* plain text is better than nothing */
    bool broken;     /* plain text, since a handshake failed a while ago */
};

/* Of the host at the address; NULL: nothing. */
const struct tls_memory *tlspolicy_recall(const struct tls_memories *m,
                                          const struct net_address *address);
/* The same to be changed; takes the place of another host where there are too many. */
struct tls_memory *tlspolicy_remember(struct tls_memories *m, const struct net_address *address);
/* When there is nothing left to be remembered. */
uint64_t tlspolicy_until_ms(const struct tls_memories *m);

/* The one place where it is decided what TLS has to prove. `memory` may be NULL. */
struct tls_policy tlspolicy_choose(struct tls_wish wish, const struct tls_memory *memory,
                                   uint64_t now_ms);

/* What came of it, for log and queue: "TLSv1.3 TLS_AES_256_GCM_SHA384 256, certificate verified, by
 * verify at tern.yaml:12"; ", resumed" before the certificate. `origin` is the setting's place;
 * NULL: there is none. */
void tlspolicy_describe(struct tls_policy policy, const char *origin, const struct tls_facts *facts,
                        struct buf *out);
/* The same of a session without TLS: "plain text (STARTTLS is not offered), by default
 * opportunistic"; or of one that ended when it was to begin: "TLS failed, by ...". */
void tlspolicy_describe_lack(struct tls_policy policy, const char *origin, enum tls_lack lack,
                             struct buf *out);
/* A handshake after STARTTLS failed. True: the host is to be used in plain text, for a while. */
bool tlspolicy_fall_back(struct tls_policy policy, struct tls_memory *memory, uint64_t now_ms);

#endif
