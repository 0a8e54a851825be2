/* The mechanisms (RFC 4422) that are checked here: PLAIN (RFC 4616), LOGIN (a draft that everybody
 * implements), SCRAM-SHA-256 and SCRAM-SHA-256-PLUS. Responses in, challenges out; who has which
 * keys, and when a password is checked, decides the owner. */
#ifndef AUTH_SASL_H
#define AUTH_SASL_H

#include "auth/scram.h"
#include "common/buf.h"
#include "common/view.h"

enum {
    SASL_RESPONSE_MAX = 12288, /* bytes; RFC 4954, 4 */
    SASL_LOGIN_MAX = SCRAM_LOGIN_MAX,
    SASL_CHALLENGE_MAX = SCRAM_MESSAGE_MAX,
};

/* In the order of preference; a client that can do nothing else takes the last. */
#define SASL_MECHANISMS "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN"

enum sasl_step {
    SASL_CHALLENGE, /* say what was put into `out`, then sasl_hear */
    SASL_LOOK_UP,   /* sasl_say_keys with the keys of `login` */
    SASL_PASSWORD,  /* `login` and `password` are known: the exchange is over, check them */
    SASL_PROVEN,    /* `login` has proved that it knows its password */
    SASL_REFUSED,   /* and `why` */
};

struct sasl {
    enum { SASL_PLAIN, SASL_LOGIN, SASL_SCRAM } mechanism;
    enum { SASL_FIRST, SASL_SECOND, SASL_LAST } awaited;
    const char *why; /* it was refused; for the log, never for the client */
    char login[SASL_LOGIN_MAX];
    size_t login_len;
    char password[SCRAM_PASSWORD_MAX];
    size_t password_len;
    struct scram_server scram;
};

/* False: no such mechanism. `bindings` empty: no -PLUS. */
bool sasl_init(struct sasl *s, struct view mechanism,
               const struct scram_bindings *bindings) MUST_USE;
/* Forgets the password. */
void sasl_release(struct sasl *s);
/* Without an initial response (RFC 4954, 4). `out` has room for SASL_CHALLENGE_MAX. */
enum sasl_step sasl_begin(struct sasl *s, struct buf *out);
enum sasl_step sasl_hear(struct sasl *s, struct view response, struct buf *out);
/* Answers SASL_LOOK_UP; `nonce` as for scram_say_first. */
enum sasl_step sasl_say_keys(struct sasl *s, const struct scram_keys *keys, struct view nonce,
                             struct buf *out);
struct view sasl_login(const struct sasl *s); /* empty: not known yet */

#endif
