#include "io/scram.h"

#include "common/text.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

static const struct view scheme = VIEW_INIT("SCRAM-SHA-256$");

static struct view key_view(const char *key)
{
    return view_make(key, SCRAM_KEY_BYTES);
}

void scram_load(void)
{
    char out[SCRAM_KEY_BYTES];
    struct scram_secret secret;

    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL) !=
        1)
        abort();
    scram_random(out, sizeof(out));
    scram_derive(key_view(out), key_view(out), 1, &secret);
}

void scram_random(char *out, size_t count)
{
    if (RAND_bytes((unsigned char *)out, (int)count) != 1)
        abort(); /* nothing secret can be made any more */
}

bool scram_equal(struct view a, struct view b)
{
    return a.len == b.len && CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0;
}

void scram_hmac(struct view key, struct view bytes, char *out)
{
    unsigned len = 0;

    if (HMAC(EVP_sha256(), key.ptr, (int)key.len, (const unsigned char *)bytes.ptr, bytes.len,
             (unsigned char *)out, &len) == NULL ||
        len != SCRAM_KEY_BYTES)
        abort(); /* out of memory */
}

static void hash(const char *key, char *out)
{
    if (EVP_Digest(key, SCRAM_KEY_BYTES, (unsigned char *)out, NULL, EVP_sha256(), NULL) != 1)
        abort();
}

/* SaltedPassword := Hi(Normalize(password), salt, i), which is PBKDF2 */
void scram_derive(struct view password, struct view salt, unsigned iterations,
                  struct scram_secret *out)
{
    char salted[SCRAM_KEY_BYTES];

    assert(salt.len <= SCRAM_SALT_MAX);
    out->keys = (struct scram_keys){ .iterations = iterations, .salt_len = salt.len };
    memcpy(out->keys.salt, salt.ptr, salt.len);
    if (PKCS5_PBKDF2_HMAC(password.ptr != NULL ? password.ptr : "", (int)password.len,
                          (const unsigned char *)salt.ptr, (int)salt.len, (int)iterations,
                          EVP_sha256(), SCRAM_KEY_BYTES, (unsigned char *)salted) != 1)
        abort();
    scram_hmac(key_view(salted), VIEW("Client Key"), out->client_key);
    hash(out->client_key, out->keys.stored);
    scram_hmac(key_view(salted), VIEW("Server Key"), out->keys.server);
    OPENSSL_cleanse(salted, sizeof(salted));
}

void scram_make_keys(struct view password, struct scram_keys *out)
{
    struct scram_secret secret;
    char salt[SCRAM_SALT_BYTES];

    scram_random(salt, sizeof(salt));
    scram_derive(password, view_make(salt, sizeof(salt)), SCRAM_ITERATIONS, &secret);
    *out = secret.keys;
    OPENSSL_cleanse(&secret, sizeof(secret));
}

bool scram_password_fits(const struct scram_keys *keys, struct view password)
{
    struct scram_secret secret;
    bool fits;

    scram_derive(password, view_make(keys->salt, keys->salt_len), keys->iterations, &secret);
    fits = scram_equal(key_view(secret.keys.stored), key_view(keys->stored));
    OPENSSL_cleanse(&secret, sizeof(secret));
    return fits;
}

bool scram_print_keys(const struct scram_keys *keys, struct buf *out)
{
    return buf_put(out, scheme) && buf_put_u64(out, keys->iterations) && buf_put_byte(out, ':') &&
           base64_encode(view_make(keys->salt, keys->salt_len), out) && buf_put_byte(out, '$') &&
           base64_encode(key_view(keys->stored), out) && buf_put_byte(out, ':') &&
           base64_encode(key_view(keys->server), out);
}

static bool take_bytes(struct view text, char *room, size_t size, size_t *len)
{
    struct buf out = buf_on(room, size);

    if (!base64_decode(text, &out))
        return false;
    *len = buf_len(&out);
    return true;
}

bool scram_parse_keys(struct view text, struct scram_keys *out)
{
    uint64_t iterations;
    size_t stored = 0, server = 0;

    *out = (struct scram_keys){ 0 };
    if (!view_take_nocase(&text, scheme) ||
        !view_to_u64(view_take_until(&text, ':'), SCRAM_ITERATIONS_MOST, &iterations) ||
        iterations < SCRAM_ITERATIONS_LEAST ||
        !take_bytes(view_take_until(&text, '$'), out->salt, sizeof(out->salt), &out->salt_len) ||
        !take_bytes(view_take_until(&text, ':'), out->stored, sizeof(out->stored), &stored) ||
        !take_bytes(text, out->server, sizeof(out->server), &server))
        return false;
    out->iterations = (unsigned)iterations;
    return out->salt_len > 0 && stored == SCRAM_KEY_BYTES && server == SCRAM_KEY_BYTES;
}

static void combine(const char *a, const char *b, char *out)
{
    for (size_t i = 0; i < SCRAM_KEY_BYTES; i++)
        out[i] = (char)(a[i] ^ b[i]);
}

/* ClientProof := ClientKey XOR HMAC(StoredKey, AuthMessage) */
void scram_client_proof(const struct scram_secret *s, struct view auth, char *proof)
{
    char signature[SCRAM_KEY_BYTES];

    scram_hmac(key_view(s->keys.stored), auth, signature);
    combine(s->client_key, signature, proof);
}

void scram_server_signature(const struct scram_keys *keys, struct view auth, char *signature)
{
    scram_hmac(key_view(keys->server), auth, signature);
}

bool scram_proof_fits(const struct scram_keys *keys, struct view auth, struct view proof)
{
    char signature[SCRAM_KEY_BYTES], client_key[SCRAM_KEY_BYTES], stored[SCRAM_KEY_BYTES];

    if (proof.len != SCRAM_KEY_BYTES)
        return false;
    scram_hmac(key_view(keys->stored), auth, signature);
    combine(proof.ptr, signature, client_key);
    hash(client_key, stored);
    return scram_equal(key_view(stored), key_view(keys->stored));
}
