/* PEM text, read by OpenSSL. */
#ifndef IO_TLS_PEM_H
#define IO_TLS_PEM_H

#include "common/attrs.h"
#include "common/error.h"
#include "common/view.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

/* The reason of the oldest error that waits; "fallback" when OpenSSL has none. */
const char *tls_reason(const char *fallback);

BIO *tls_open_pem(struct view text);
/* The next certificate; NULL at the end, or with *failed when there is something else. */
X509 *tls_next_certificate(BIO *bio, bool *failed);
/* NULL and *err otherwise. */
EVP_PKEY *tls_read_key(struct view pem, struct error *err) MUST_USE;

#endif
