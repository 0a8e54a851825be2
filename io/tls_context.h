/* Between the files that use OpenSSL's TLS: tls.c, tls_server.c, tls_context.c. */
#ifndef IO_TLS_CONTEXT_H
#define IO_TLS_CONTEXT_H

#include "common/attrs.h"
#include "common/view.h"
#include "io/tls.h"

#include <openssl/ssl.h>

struct tls_context {
    SSL_CTX *ssl;
    SSL_CTX **more; /* a server's further certificates */
    size_t more_count;
};

struct tls {
    SSL *ssl;
    bool broken;          /* no close_notify may follow */
    bool dry;             /* what was read ahead is no whole record: it waits for the rest */
    uint64_t read_until;  /* bytes of the socket, in this call */
    SSL_SESSION *session; /* that a client can resume later; NULL: none */
};

/* Whatever OpenSSL and the C library read from files, they read here: later the sandbox is closed.
 * Certificates' times make the C library look for its time zone once. */
void tls_load_everything(void);
struct tls_context *tls_context_new(const SSL_METHOD *method);
/* With what clients and servers have in common. */
SSL_CTX *tls_ssl_context_new(const SSL_METHOD *method);

/* Believes the certificates in `pem`. */
int tls_add_anchors(SSL_CTX *ssl, struct view pem, struct error *err) MUST_USE;

#endif
