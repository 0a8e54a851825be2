/* A server's contexts: certificates by the name that a client asks for, ALPN, which versions. */
#include "common/memory.h"
#include "common/text.h"
#include "io/tls.h"
#include "io/tls_context.h"
#include "io/tls_key.h"
#include "io/tls_pem.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

static int use_certificates(SSL_CTX *ssl, struct view pem, struct error *err)
{
    BIO *bio = tls_open_pem(pem);
    bool failed = false;
    size_t count = 0;
    X509 *x;

    while ((x = tls_next_certificate(bio, &failed)) != NULL) {
        if (count++ > 0 && SSL_CTX_add0_chain_cert(ssl, x) == 1)
            continue; /* it is the context's now */
        if (count > 1 || SSL_CTX_use_certificate(ssl, x) != 1)
            failed = true;
        X509_free(x);
        if (failed)
            break;
    }
    BIO_free(bio);
    if (failed)
        return error_set(err, -EINVAL, "certificate number %zu cannot be used: %s",
                         count + (x == NULL), tls_reason("damaged"));
    if (count == 0)
        return error_set(err, -EINVAL, "there is no certificate in the file (PEM is expected)");
    return 0;
}

static int use_key(SSL_CTX *ssl, EVP_PKEY *key, struct error *err)
{
    int result = 0;

    if (SSL_CTX_use_PrivateKey(ssl, key) != 1 || SSL_CTX_check_private_key(ssl) != 1)
        result = error_set(err, -EINVAL, "the key does not belong to the certificate: %s",
                           tls_reason("they differ"));
    EVP_PKEY_free(key);
    return result;
}

/* ALPN (RFC 7301). A client that wants to speak another protocol was sent here by somebody who
 * wants to confuse it; one that says nothing is an ordinary mail client. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *offered, unsigned offered_len, void *unused)
{
    static const unsigned char ours[] = { 4, 's', 'm', 't', 'p', 5, 'e', 's', 'm', 't', 'p' };
    unsigned char *chosen;

    (void)ssl;
    (void)unused;
    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof(ours), offered, offered_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* SNI (RFC 6066, 3): the first certificate that has the name; without one, the first of all. */
static int choose_certificate(SSL *ssl, int *alert, void *context)
{
    const struct tls_context *c = context;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    (void)alert;
    if (name == NULL || X509_check_host(SSL_CTX_get0_certificate(c->ssl), name, 0,
                                        X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1)
        return SSL_TLSEXT_ERR_OK;
    for (size_t i = 0; i < c->more_count; i++) {
        if (X509_check_host(SSL_CTX_get0_certificate(c->more[i]), name, 0,
                            X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1) {
            SSL_set_SSL_CTX(ssl, c->more[i]);
            break;
        }
    }
    return SSL_TLSEXT_ERR_OK;
}

/* Key exchanges without forward secrecy are left out; the order is ours, but for clients that are
 * slow without ChaCha20. Of TLS 1.3 the suite goes first that its handshake costs the least with:
 * processors have instructions for SHA-256, but not for SHA-384. One ticket for a client is enough. */
static void configure(SSL_CTX *ssl)
{
    static const char suites_13[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                    "TLS_CHACHA20_POLY1305_SHA256";

    SSL_CTX_set_options(ssl, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, NULL);
    SSL_CTX_set_read_ahead(ssl, 1);
    if (SSL_CTX_set_cipher_list(ssl, "DEFAULT:!kRSA") != 1 ||
        SSL_CTX_set_ciphersuites(ssl, suites_13) != 1 || SSL_CTX_set_num_tickets(ssl, 1) != 1)
        abort();
}

static void answer_for(struct tls_context *c)
{
    SSL_CTX_set_tlsext_servername_callback(c->ssl, choose_certificate);
    SSL_CTX_set_tlsext_servername_arg(c->ssl, c);
}

struct tls_context *tls_server_new(struct view certificates_pem, struct view key_pem,
                                   struct error *err)
{
    struct tls_context *c;
    EVP_PKEY *key;

    tls_load_everything();
    c = tls_context_new(TLS_server_method());
    configure(c->ssl);
    answer_for(c);
    if (use_certificates(c->ssl, certificates_pem, err) < 0 ||
        (key = tls_read_key(key_pem, err)) == NULL || use_key(c->ssl, key, err) < 0)
        tls_context_free(&c);
    ERR_clear_error();
    return c;
}

/* The certificate's public key stands for the private one, which the signer has. */
static int use_signer(SSL_CTX *ssl, struct view certificates_pem, struct tls_signer *signer,
                      unsigned number, struct error *err)
{
    int result = use_certificates(ssl, certificates_pem, err);
    EVP_PKEY *key;

    if (result < 0)
        return result;
    key = tls_key_apart(X509_get0_pubkey(SSL_CTX_get0_certificate(ssl)), signer, number);
    if (key == NULL)
        return error_set(err, -EINVAL, "its key is neither ECDSA nor RSA");
    return use_key(ssl, key, err);
}

int tls_server_serve(struct tls_context **c, struct view certificates_pem,
                     struct tls_signer *signer, unsigned number, struct error *err)
{
    SSL_CTX *ssl;
    int result;

    if (*c == NULL)
        tls_load_everything();
    ssl = tls_ssl_context_new(TLS_server_method());
    configure(ssl);
    result = use_signer(ssl, certificates_pem, signer, number, err);
    ERR_clear_error();
    if (result < 0) {
        SSL_CTX_free(ssl);
        return result;
    }
    if (*c == NULL) {
        *c = memory_new(sizeof(**c));
        (*c)->ssl = ssl;
        answer_for(*c);
        return 0;
    }
    (*c)->more = memory_grow((*c)->more, (*c)->more_count + 1, sizeof(SSL_CTX *));
    (*c)->more[(*c)->more_count++] = ssl;
    return 0;
}

static void share_tickets(SSL_CTX *ssl, struct view secret)
{
    if (SSL_CTX_set_tlsext_ticket_keys(ssl, (void *)(uintptr_t)secret.ptr, (long)secret.len) != 1)
        abort(); /* not TLS_TICKET_SECRET bytes */
}

void tls_server_share_tickets(struct tls_context *c, struct view secret)
{
    share_tickets(c->ssl, secret);
    for (size_t i = 0; i < c->more_count; i++)
        share_tickets(c->more[i], secret);
}

void tls_server_want_13(struct tls_context *c)
{
    if (SSL_CTX_set_min_proto_version(c->ssl, TLS1_3_VERSION) != 1)
        abort();
}

/* Whatever a client shows, the handshake goes on: other servers show theirs to everybody who asks.
 * What came of it is the session's verify result. */
static int accept_any(int fine, X509_STORE_CTX *store)
{
    (void)fine;
    (void)store;
    return 1;
}

int tls_server_ask(struct tls_context *c, struct view ca_pem, struct error *err)
{
    int result = tls_add_anchors(c->ssl, ca_pem, err);

    SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, accept_any);
    for (size_t i = 0; i < c->more_count && result == 0; i++)
        result = tls_add_anchors(c->more[i], ca_pem, err);
    ERR_clear_error();
    return result;
}

static bool has_fingerprint(X509 *x, struct view digits)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char room[2 * EVP_MAX_MD_SIZE];
    struct buf text = BUF_ON_ARRAY(room);
    unsigned len = 0;

    return X509_digest(x, EVP_sha256(), digest, &len) == 1 &&
           hex_encode(view_make(digest, len), &text) && view_equal_nocase(buf_view(&text), digits);
}

bool tls_client_is(const struct tls *t, struct view name)
{
    X509 *x = SSL_get0_peer_certificate(t->ssl);
    bool is;

    /* Who resumes a session shows no certificate, and the verify result is that of back then. */
    if (x == NULL || !SSL_is_server(t->ssl) || SSL_get_verify_result(t->ssl) != X509_V_OK ||
        X509_cmp_current_time(X509_get0_notAfter(x)) < 0)
        return false;
    if (view_take_nocase(&name, VIEW("sha256:")))
        return has_fingerprint(x, name);
    if (view_has(name, '@'))
        is = X509_check_email(x, name.ptr, name.len, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT) == 1;
    else
        is = X509_check_host(x, name.ptr, name.len,
                             X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_WILDCARDS,
                             NULL) == 1;
    ERR_clear_error();
    return is;
}
