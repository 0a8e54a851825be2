/* The server's side of a SCRAM-SHA-256 exchange, with or without channel binding (RFC 5802, RFC
 * 7677): messages in, messages out. Knows no users and no sockets. */
#ifndef AUTH_SCRAM_H
#define AUTH_SCRAM_H

#include "common/buf.h"
#include "common/view.h"
#include "io/scram.h"

enum {
    SCRAM_LOGIN_MAX = 255,         /* bytes */
    SCRAM_NONCE_MAX = 256,         /* bytes of the client's */
    SCRAM_OWN_NONCE_BYTES = 24,    /* before base64 */
    SCRAM_CLIENT_FIRST_MAX = 1024, /* bytes */
    SCRAM_BINDING_MAX = 64,        /* bytes of channel binding data */
    SCRAM_MESSAGE_MAX = 768,       /* bytes of what the server says */
};

/* What this TLS connection can be bound to; empty: it cannot. */
struct scram_bindings {
    struct view exporter; /* tls-exporter, RFC 9266 */
    struct view unique;   /* tls-unique, RFC 5929, 3; before TLS 1.3 */
};

struct scram_server {
    bool plus, offered_plus;
    size_t exporter_len, unique_len;
    char exporter[SCRAM_BINDING_MAX], unique[SCRAM_BINDING_MAX];
    struct view bound;                /* the data that the client has chosen; empty: none */
    char nonce[SCRAM_NONCE_MAX + 64]; /* the client's and ours */
    size_t nonce_len;
    char gs2[SCRAM_LOGIN_MAX + 64]; /* the gs2-header as it came */
    size_t gs2_len;
    char login[SCRAM_LOGIN_MAX];
    size_t login_len;
    char auth[SCRAM_CLIENT_FIRST_MAX + 2 * SCRAM_MESSAGE_MAX + 512]; /* AuthMessage so far */
    size_t auth_len;
    struct scram_keys keys;
};

/* `plus`: the mechanism is the one with channel binding; `offered_plus`: the client could have had
 * it. A binding that is too long counts as none. */
void scram_server_init(struct scram_server *s, bool plus, bool offered_plus,
                       const struct scram_bindings *bindings);
/* client-first-message: then s->login is known. NULL, or why it is refused. */
const char *scram_hear_first(struct scram_server *s, struct view message) MUST_USE;
/* server-first-message, with the keys of that login; `own_nonce` is printable, without comma. */
bool scram_say_first(struct scram_server *s, const struct scram_keys *keys, struct view own_nonce,
                     struct buf *out) MUST_USE;
/* client-final-message. NULL: the proof fits, and `out` has the server-final-message; else why it
 * is refused. */
const char *scram_hear_final(struct scram_server *s, struct view message, struct buf *out) MUST_USE;

#endif
