/* The client's side of SASL: proves who we are to a smarthost (RFC 4954; RFC 4616 PLAIN, RFC 7677
 * SCRAM-SHA-256, RFC 7628 OAUTHBEARER, and LOGIN and XOAUTH2, which have no RFC). Pure but for the
 * nonce. Only for connections whose other end has proved who it is. */
#ifndef DELIVERY_SASL_H
#define DELIVERY_SASL_H

#include "common/buf.h"
#include "io/scram.h"
#include "ipc/messages.h"

enum {
    SASL_SECRET_MAX = TOKEN_MAX,   /* bytes of a password or token */
    SASL_ITERATIONS_MOST = 200000, /* of SCRAM, that a server may ask for: 100 ms */
    SASL_RESPONSE_MAX = 9216,      /* bytes, before base64 */
};

enum sasl_mechanism {
    SASL_OAUTHBEARER, /* the strongest first */
    SASL_XOAUTH2,
    SASL_SCRAM_SHA_256,
    SASL_PLAIN,
    SASL_LOGIN,
    SASL_MECHANISMS
};

/* What a route logs in with. The secret is replaced in place when its file changes. */
struct credential {
    struct view login;
    bool token; /* OAuth; else a password */
    char secret[SASL_SECRET_MAX];
    size_t secret_len; /* 0: there is none yet */
    bool refused;      /* as a token, by some host */
    bool awaited;      /* it is being got, and nobody is to log in before it is there */
    /* The slow part of SCRAM, for the salt and count that the server used last. */
    struct scram_secret derived;
    bool is_derived;
};

struct sasl {
    struct credential *credential; /* borrowed; NULL: nothing to log in with */
    enum sasl_mechanism mechanism;
    unsigned step;
    bool proven; /* nothing is left that the server has to prove */
    char nonce[25];
    char first[600]; /* SCRAM: our first message without its header, then what both sides sign */
    size_t first_len;
    char signature[SCRAM_KEY_BYTES]; /* that the server has to show */
};

/* The words behind AUTH in a reply to EHLO as bits, 1 << mechanism; others are passed over. */
unsigned sasl_read_mechanisms(struct view words);
const char *sasl_name(enum sasl_mechanism m);

/* False: the server offers nothing that this credential is for. */
bool sasl_begin(struct sasl *s, struct credential *c, unsigned offered) MUST_USE;
/* The initial response, decoded; false: the mechanism has none. `host` and `port` are the server's.
 */
bool sasl_first(struct sasl *s, struct view host, unsigned port, struct buf *out);
/* The response to a challenge, both decoded. False: the server speaks nonsense, or is not who it
 * claims to be: log in no further. */
bool sasl_answer(struct sasl *s, struct view challenge, struct buf *out) MUST_USE;
/* The server said that we are in; false: it has not proved that it knows us (SCRAM). */
bool sasl_end(const struct sasl *s) MUST_USE;

#endif
