/* What both sides of SCRAM-SHA-256 compute (RFC 5802, 3; RFC 7677), and the one form in which
 * passwords are kept: a salt, an iteration count, StoredKey and ServerKey. From these nobody logs
 * in elsewhere, and they check a plain password as well as a proof, so that one form serves every
 * mechanism. */
#ifndef IO_SCRAM_H
#define IO_SCRAM_H

#include "common/attrs.h"
#include "common/buf.h"
#include "common/view.h"

enum {
    SCRAM_KEY_BYTES = 32,
    SCRAM_SALT_MAX = 64,             /* bytes */
    SCRAM_SALT_BYTES = 16,           /* of new ones */
    SCRAM_ITERATIONS_LEAST = 4096,   /* RFC 7677, 4 */
    SCRAM_ITERATIONS_MOST = 2000000, /* about a second; what a peer may ask for */
    SCRAM_ITERATIONS = 100000,       /* of new ones: about 50 ms, for a client too */
    SCRAM_PASSWORD_MAX = 1024,       /* bytes */
    SCRAM_TEXT_MAX = 256,            /* bytes of scram_print_keys */
};

struct scram_keys {
    unsigned iterations;
    size_t salt_len;
    char salt[SCRAM_SALT_MAX];
    char stored[SCRAM_KEY_BYTES];
    char server[SCRAM_KEY_BYTES];
};

/* What the client of an exchange needs, and forgets afterwards. */
struct scram_secret {
    char client_key[SCRAM_KEY_BYTES];
    struct scram_keys keys;
};

/* Loads what the library reads from files or looks up by name: before the sandbox. */
void scram_load(void);

/* The slow computation: one HMAC for each iteration. Passwords are compared as bytes: a client that
 * does not send UTF-8 in the form in which it was set (RFC 8265, 4.2) is refused. The salt has at
 * most SCRAM_SALT_MAX bytes. */
void scram_derive(struct view password, struct view salt, unsigned iterations,
                  struct scram_secret *out);
/* New keys with a salt of their own. */
void scram_make_keys(struct view password, struct scram_keys *out);
/* As slow, and in constant time. */
bool scram_password_fits(const struct scram_keys *keys, struct view password) MUST_USE;

/* "SCRAM-SHA-256$100000:SALT$STOREDKEY:SERVERKEY", base64 (RFC 5803, 2; PostgreSQL's too). */
bool scram_print_keys(const struct scram_keys *keys, struct buf *out) MUST_USE;
bool scram_parse_keys(struct view text, struct scram_keys *out) MUST_USE;

/* RFC 5802, 3. `auth` is the AuthMessage; the results have SCRAM_KEY_BYTES. */
void scram_client_proof(const struct scram_secret *s, struct view auth, char *proof);
void scram_server_signature(const struct scram_keys *keys, struct view auth, char *signature);
bool scram_proof_fits(const struct scram_keys *keys, struct view auth, struct view proof) MUST_USE;

/* HMAC-SHA-256: SCRAM_KEY_BYTES. */
void scram_hmac(struct view key, struct view bytes, char *out);
/* Random bytes of the library. */
void scram_random(char *out, size_t count);
/* In constant time, of the same length. */
bool scram_equal(struct view a, struct view b) MUST_USE;

#endif
