/* A server's private key in a process of its own: this side signs, and the side that speaks TLS
 * asks it to. */
#ifndef IO_TLS_KEY_H
#define IO_TLS_KEY_H

#include "common/attrs.h"
#include "common/error.h"
#include "common/view.h"

#include <openssl/types.h>

enum {
    TLS_SIGNED_MAX = 1024,    /* bytes of what is signed: RSA of 8192 bits */
    TLS_SIGNATURE_MAX = 1024, /* bytes */
};

enum tls_signing {
    TLS_SIGN_ECDSA,      /* a digest; the signature is DER */
    TLS_SIGN_RSA_PKCS1,  /* a DigestInfo, to be padded (RFC 8017, 9.2) */
    TLS_SIGN_RSA_PADDED, /* padded already, as PSS (RFC 8017, 9.1) */
    TLS_SIGNINGS
};

/* ---- who has the key ---- */

struct tls_key; /* heap */

/* NULL and *err otherwise: also when the key does not belong to the first certificate. Before the
 * sandbox. */
struct tls_key *tls_key_new(struct view certificates_pem, struct view key_pem,
                            struct error *err) MUST_USE;
/* The length of the signature; 0: it cannot be signed so. */
size_t tls_key_sign(const struct tls_key *k, enum tls_signing how, struct view bytes, char *room,
                    size_t size) MUST_USE;

/* ---- who speaks TLS ---- */

struct tls_signer { /* embed */
    /* Waits for the signature; 0: there is none, and the handshake fails. */
    size_t (*sign)(struct tls_signer *s, unsigned number, enum tls_signing how, struct view bytes,
                   char *room, size_t size);
};

/* A key that has nothing but its public half, and asks the signer. NULL: of no kind that can be
 * asked for. */
EVP_PKEY *tls_key_apart(EVP_PKEY *public_half, struct tls_signer *signer, unsigned number) MUST_USE;

#endif
