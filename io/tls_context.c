#include "io/tls_context.h"

#include "common/memory.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <time.h>

enum { LEVEL_STRICT = 2 }; /* OpenSSL's: RSA from 2048 bits, no SHA-1 */

const char *tls_reason(const char *fallback)
{
    const char *words = ERR_reason_error_string(ERR_peek_error());

    return words != NULL ? words : fallback;
}

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

BIO *tls_open_pem(struct view text)
{
    BIO *bio = BIO_new_mem_buf(text.len > 0 ? text.ptr : "", (int)MIN(text.len, INT_MAX));

    if (bio == NULL)
        abort();
    return bio;
}

int tls_refuse_passphrase(char *room, int size, int writing, void *asked)
{
    (void)room;
    (void)size;
    (void)writing;
    *(bool *)asked = true;
    return -1;
}

X509 *tls_next_certificate(BIO *bio, bool *failed)
{
    bool asked = false;
    X509 *x = PEM_read_bio_X509(bio, NULL, tls_refuse_passphrase, &asked);

    if (x == NULL && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        *failed = true;
    if (x == NULL && !*failed)
        ERR_clear_error();
    return x;
}
