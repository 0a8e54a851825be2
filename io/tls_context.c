#include "io/tls_context.h"

#include "common/memory.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <time.h>

enum { LEVEL_STRICT = 2 }; /* OpenSSL's: RSA from 2048 bits, no SHA-1 */

void tls_load_everything(void)
{
    unsigned char byte;

    tzset();
    if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_SSL_STRINGS |
                             OPENSSL_INIT_LOAD_CRYPTO_STRINGS,
                         NULL) != 1 ||
        RAND_bytes(&byte, 1) != 1)
        abort();
    ERR_clear_error();
}

SSL_CTX *tls_ssl_context_new(const SSL_METHOD *method)
{
    SSL_CTX *ssl = SSL_CTX_new(method);

    if (ssl == NULL || SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) != 1)
        abort(); /* out of memory */
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_security_level(ssl, LEVEL_STRICT);
    return ssl;
}

struct tls_context *tls_context_new(const SSL_METHOD *method)
{
    struct tls_context *c = memory_new(sizeof(*c));

    c->ssl = tls_ssl_context_new(method);
    return c;
}
