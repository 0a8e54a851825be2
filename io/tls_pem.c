#include "io/tls_pem.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>

const char *tls_reason(const char *fallback)
{
    const char *words = ERR_reason_error_string(ERR_peek_error());

    return words != NULL ? words : fallback;
}

BIO *tls_open_pem(struct view text)
{
    BIO *bio = BIO_new_mem_buf(text.len > 0 ? text.ptr : "", (int)MIN(text.len, INT_MAX));

    if (bio == NULL)
        abort();
    return bio;
}

/* Without this OpenSSL would ask for a passphrase on the terminal. */
static int refuse_passphrase(char *room, int size, int writing, void *asked)
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
    X509 *x = PEM_read_bio_X509(bio, NULL, refuse_passphrase, &asked);

    if (x == NULL && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        *failed = true;
    if (x == NULL && !*failed)
        ERR_clear_error();
    return x;
}

EVP_PKEY *tls_read_key(struct view pem, struct error *err)
{
    BIO *bio = tls_open_pem(pem);
    bool asked = false;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, &asked);

    BIO_free(bio);
    if (asked)
        error_set(err, -EINVAL, "the key is protected by a passphrase; remove it");
    else if (key == NULL)
        error_set(err, -EINVAL, "there is no private key in the file (PEM is expected)");
    return key;
}
