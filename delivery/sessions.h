/* TLS sessions that hosts let us resume, which saves both sides the signatures and certificates.
 * One serves only connections to the same host and port by the same policy: in a resumed handshake
 * nobody shows a certificate, so what was not verified then is not now either. */
#ifndef DELIVERY_SESSIONS_H
#define DELIVERY_SESSIONS_H

#include "common/list.h"
#include "common/table.h"
#include "delivery/tlspolicy.h"

enum {
    SESSIONS_NAME_MAX = 320,   /* bytes: a host, a port, a policy */
    SESSIONS_HOSTS_MAX = 500,  /* names; those used longest ago go first */
    SESSIONS_PER_HOST_MAX = 4, /* sessions of a name; each holds a certificate chain: about 8 KiB */
    SESSIONS_AGE_MS = 60 * 60 * 1000, /* then a certificate is looked at again */
};

struct sessions {
    struct table by_name;
    struct list by_use; /* the one used longest ago first */
};

void sessions_init(struct sessions *s);
void sessions_release(struct sessions *s);

/* What one is remembered by. `anchors`: which trust anchors it was verified with. */
void sessions_name(struct view host, uint16_t port, struct tls_policy policy, size_t anchors,
                   struct buf *out);

/* The session becomes the table's. `until_ms`: SESSIONS_AGE_MS after the full handshake that it
 * goes back to, monotonic. */
void sessions_keep(struct sessions *s, struct view name, struct ssl_session_st *session,
                   uint64_t until_ms);
/* The newest, which becomes the caller's: tickets are for one use (RFC 8446, C.4). NULL: there is
 * none. What comes of it may be kept until *until_ms. */
struct ssl_session_st *sessions_take(struct sessions *s, struct view name, uint64_t now_ms,
                                     uint64_t *until_ms) MUST_USE;

#endif
