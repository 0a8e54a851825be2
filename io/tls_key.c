#include "io/tls_key.h"

#include "common/memory.h"
#include "io/tls_pem.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdlib.h>

struct tls_key {
    EVP_PKEY *pkey;
};

static bool belongs_to(EVP_PKEY *key, struct view certificates_pem)
{
    BIO *bio = tls_open_pem(certificates_pem);
    bool failed = false;
    X509 *x = tls_next_certificate(bio, &failed);
    /* Without a certificate there is nothing to object to here: who serves it says so. */
    bool fits = x == NULL || X509_check_private_key(x, key) == 1;

    X509_free(x);
    BIO_free(bio);
    ERR_clear_error();
    return fits;
}

struct tls_key *tls_key_new(struct view certificates_pem, struct view key_pem, struct error *err)
{
    struct tls_key *k;
    EVP_PKEY *pkey;

    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL) !=
        1)
        abort();
    pkey = tls_read_key(key_pem, err);
    if (pkey == NULL)
        return NULL;
    if (!belongs_to(pkey, certificates_pem)) {
        error_set(err, 0, "the key does not belong to the certificate");
        EVP_PKEY_free(pkey);
        return NULL;
    }
    k = memory_new(sizeof(*k));
    k->pkey = pkey;
    return k;
}

static bool fits_kind(const struct tls_key *k, enum tls_signing how)
{
    int kind = EVP_PKEY_get_base_id(k->pkey);

    return how == TLS_SIGN_ECDSA ? kind == EVP_PKEY_EC : kind == EVP_PKEY_RSA;
}

static bool set_padding(EVP_PKEY_CTX *ctx, enum tls_signing how)
{
    switch (how) {
    case TLS_SIGN_RSA_PKCS1:
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    case TLS_SIGN_RSA_PADDED:
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) == 1;
    case TLS_SIGN_ECDSA:
    case TLS_SIGNINGS:
        break;
    }
    return true;
}

size_t tls_key_sign(const struct tls_key *k, enum tls_signing how, struct view bytes, char *room,
                    size_t size)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(k->pkey, NULL);
    size_t len = size;

    if (ctx == NULL)
        abort();
    if (!fits_kind(k, how) || EVP_PKEY_sign_init(ctx) != 1 || !set_padding(ctx, how) ||
        EVP_PKEY_sign(ctx, (unsigned char *)room, &len, (const unsigned char *)bytes.ptr,
                      bytes.len) != 1)
        len = 0;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return len;
}
