/* OpenSSL's way to let somebody else sign is deprecated since 3.0, but the other one, a provider,
 * is ten times as much code. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

#include "common/memory.h"
#include "io/tls_key.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdlib.h>

struct apart { /* one for each certificate; goes with the key */
    struct tls_signer *signer;
    unsigned number;
};

static int rsa_index = -1, ec_index = -1;
static RSA_METHOD *rsa_method;
static EC_KEY_METHOD *ec_method;

static size_t ask(const struct apart *a, enum tls_signing how, const unsigned char *bytes, int len,
                  unsigned char *room, size_t size)
{
    if (a == NULL || len < 0)
        return 0;
    return a->signer->sign(a->signer, a->number, how, view_make(bytes, (size_t)len), (char *)room,
                           size);
}

static int sign_rsa(int len, const unsigned char *from, unsigned char *to, RSA *rsa, int padding)
{
    enum tls_signing how = padding == RSA_NO_PADDING ? TLS_SIGN_RSA_PADDED : TLS_SIGN_RSA_PKCS1;
    size_t signed_len;

    if (padding != RSA_NO_PADDING && padding != RSA_PKCS1_PADDING)
        return -1;
    signed_len = ask(RSA_get_ex_data(rsa, rsa_index), how, from, len, to, (size_t)RSA_size(rsa));
    return signed_len == (size_t)RSA_size(rsa) ? (int)signed_len : -1;
}

static int sign_ec(int type, const unsigned char *digest, int len, unsigned char *to,
                   unsigned *to_len, const BIGNUM *kinv, const BIGNUM *r, EC_KEY *ec)
{
    size_t signed_len;

    (void)type;
    (void)kinv;
    (void)r;
    signed_len = ask(EC_KEY_get_ex_data(ec, ec_index), TLS_SIGN_ECDSA, digest, len, to,
                     (size_t)ECDSA_size(ec));
    *to_len = (unsigned)signed_len;
    return signed_len > 0;
}

static void forget_apart(void *key, void *apart, CRYPTO_EX_DATA *all, int index, long number,
                         void *argument)
{
    (void)key;
    (void)all;
    (void)index;
    (void)number;
    (void)argument;
    free(apart);
}

static void make_methods(void)
{
    if (rsa_method != NULL)
        return;
    rsa_index = RSA_get_ex_new_index(0, NULL, NULL, NULL, forget_apart);
    ec_index = EC_KEY_get_ex_new_index(0, NULL, NULL, NULL, forget_apart);
    rsa_method = RSA_meth_dup(RSA_get_default_method());
    ec_method = EC_KEY_METHOD_new(EC_KEY_OpenSSL());
    if (rsa_index < 0 || ec_index < 0 || rsa_method == NULL || ec_method == NULL)
        abort(); /* out of memory */
    RSA_meth_set_priv_enc(rsa_method, sign_rsa);
    EC_KEY_METHOD_set_sign(ec_method, sign_ec, NULL, NULL);
}

static bool use_rsa(EVP_PKEY *key, EVP_PKEY *public_half, struct apart *a)
{
    RSA *rsa = EVP_PKEY_get1_RSA(public_half);
    RSA *copy = rsa == NULL ? NULL : RSAPublicKey_dup(rsa);
    bool given = copy != NULL && RSA_set_method(copy, rsa_method) == 1 &&
                 EVP_PKEY_assign_RSA(key, copy) == 1;

    if (!given)
        RSA_free(copy);
    RSA_free(rsa);
    return given && RSA_set_ex_data(copy, rsa_index, a) == 1;
}

static bool use_ec(EVP_PKEY *key, EVP_PKEY *public_half, struct apart *a)
{
    EC_KEY *ec = EVP_PKEY_get1_EC_KEY(public_half);
    EC_KEY *copy = ec == NULL ? NULL : EC_KEY_dup(ec);
    bool given = copy != NULL && EC_KEY_set_method(copy, ec_method) == 1 &&
                 EVP_PKEY_assign_EC_KEY(key, copy) == 1;

    if (!given)
        EC_KEY_free(copy);
    EC_KEY_free(ec);
    return given && EC_KEY_set_ex_data(copy, ec_index, a) == 1;
}

EVP_PKEY *tls_key_apart(EVP_PKEY *public_half, struct tls_signer *signer, unsigned number)
{
    int kind = public_half == NULL ? EVP_PKEY_NONE : EVP_PKEY_get_base_id(public_half);
    EVP_PKEY *key = EVP_PKEY_new();
    struct apart *a = memory_new(sizeof(*a));

    if (key == NULL)
        abort();
    *a = (struct apart){ signer, number };
    make_methods();
    if ((kind == EVP_PKEY_RSA && use_rsa(key, public_half, a)) ||
        (kind == EVP_PKEY_EC && use_ec(key, public_half, a)))
        return key;
    EVP_PKEY_free(key);
    free(a);
    return NULL;
}
