#include "io/tls.h"

#include "common/attrs.h"
#include "common/memory.h"
#include "io/stream.h"
#include "io/tls_context.h"
#include "io/tls_pem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    NAME_ROOM = 256, /* a host name (RFC 1035, 2.3.4) and NUL */
    /* Of OpenSSL: RSA from 1024 bits and SHA-1. Opportunistic TLS takes what there is: the other
     * choice is plain text (RFC 7435, 3). */
    LEVEL_OPPORTUNISTIC = 1,
    /* Taken from the socket in one call, and the rest of the record at hand. Messages of TLS itself
     * (new keys, tickets) are no bytes for the caller, so OpenSSL would read on for as long as a
     * peer goes on saying them, and neither timers nor others would have their turn. */
    CALL_BYTES = 16384,
};

/* Contexts */

void tls_context_free(struct tls_context **c)
{
    if (*c == NULL)
        return;
    for (size_t i = 0; i < (*c)->more_count; i++)
        SSL_CTX_free((*c)->more[i]);
    free((*c)->more);
    SSL_CTX_free((*c)->ssl);
    free(*c);
    *c = NULL;
}

int tls_add_anchors(SSL_CTX *ssl, struct view pem, struct error *err)
{
    BIO *bio = tls_open_pem(pem);
    bool failed = false;
    size_t count = 0;
    X509 *x;

    while (!failed && (x = tls_next_certificate(bio, &failed)) != NULL) {
        count++;
        failed = X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl), x) != 1;
        X509_free(x);
    }
    BIO_free(bio);
    if (failed)
        return error_set(err, -EINVAL, "a trust anchor, after %zu good ones, cannot be used: %s",
                         count, tls_reason("damaged"));
    if (count == 0)
        return error_set(err, -EINVAL, "there is no trust anchor in the file (PEM is expected)");
    return 0;
}

/* Whom to offer it to again is for the caller to know, so OpenSSL keeps none. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls *t = SSL_get_app_data(ssl);

    tls_free_session(&t->session);
    t->session = session;
    return 1; /* it is ours */
}

struct tls_context *tls_client_new(struct view ca_pem, struct error *err)
{
    struct tls_context *c;

    tls_load_everything();
    c = tls_context_new(TLS_client_method());
    /* Every certificate in the bundle is an anchor, self-signed or not. */
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(c->ssl), X509_V_FLAG_PARTIAL_CHAIN);
    SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(c->ssl, on_session);
    if (ca_pem.len > 0 && tls_add_anchors(c->ssl, ca_pem, err) < 0)
        tls_context_free(&c);
    ERR_clear_error();
    return c;
}

/* Connections */

/* A call that has had its bytes finds the socket empty. */
static long on_socket(BIO *b, int what, const char *bytes, size_t len, int i, long l, int result,
                      size_t *done)
{
    const struct tls *t = (void *)BIO_get_callback_arg(b);

    (void)bytes, (void)len, (void)i, (void)l, (void)done;
    if (what != BIO_CB_READ || BIO_number_read(b) < t->read_until)
        return result;
    BIO_clear_retry_flags(b);
    BIO_set_retry_read(b);
    return -1;
}

static struct tls *connection_new(struct tls_context *c, int fd)
{
    struct tls *t = memory_new(sizeof(*t));

    t->ssl = SSL_new(c->ssl);
    if (t->ssl == NULL || SSL_set_fd(t->ssl, fd) != 1 || SSL_set_app_data(t->ssl, t) != 1)
        abort(); /* out of memory */
    BIO_set_callback_arg(SSL_get_rbio(t->ssl), (char *)t);
    BIO_set_callback_ex(SSL_get_rbio(t->ssl), on_socket);
    return t;
}

static void begin_call(struct tls *t)
{
    ERR_clear_error();
    errno = 0;
    t->read_until = BIO_number_read(SSL_get_rbio(t->ssl)) + CALL_BYTES;
}

struct tls *tls_accept_on(struct tls_context *c, int fd, struct view listener)
{
    struct tls *t = connection_new(c, fd);
    unsigned char id[SSL_MAX_SID_CTX_LENGTH];
    unsigned len = 0;

    /* A ticket of one listener is worth nothing at another, whose clients may be others. */
    if (EVP_Digest(listener.ptr != NULL ? listener.ptr : "", listener.len, id, &len, EVP_sha256(),
                   NULL) != 1 ||
        SSL_set_session_id_context(t->ssl, id, len) != 1)
        abort();
    SSL_set_accept_state(t->ssl);
    return t;
}

static bool is_address(const char *name)
{
    unsigned char bytes[16];

    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

/* Who the other side must be (RFC 9525: DNS names or addresses, never the subject). */
static bool expect(SSL *ssl, char *name)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                                               X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (is_address(name))
        return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
    return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1 &&
           SSL_set_tlsext_host_name(ssl, name) == 1;
}

struct tls *tls_connect_on(struct tls_context *c, int fd, struct view name, bool verify)
{
    char text[NAME_ROOM];
    struct tls *t;

    if (name.len > 0 && name.ptr[name.len - 1] == '.')
        name.len--;
    if (name.len == 0 || name.len >= sizeof(text) || view_has(name, '\0'))
        return NULL;
    (void)snprintf(text, sizeof(text), "%.*s", VIEW_ARG(name));
    t = connection_new(c, fd);
    /* Without `verify` the chain is looked at all the same, for tls_describe. */
    SSL_set_verify(t->ssl, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    if (!verify)
        SSL_set_security_level(t->ssl, LEVEL_OPPORTUNISTIC);
    SSL_set_connect_state(t->ssl);
    if (!expect(t->ssl, text))
        tls_free(&t);
    return t;
}

void tls_offer_session(struct tls *t, struct ssl_session_st *s)
{
    (void)SSL_set_session(t->ssl, s); /* else the handshake is a full one */
    ERR_clear_error();
}

struct ssl_session_st *tls_take_session(struct tls *t)
{
    struct ssl_session_st *s = t->session;

    t->session = NULL;
    return s;
}

void tls_free_session(struct ssl_session_st **s)
{
    SSL_SESSION_free(*s);
    *s = NULL;
}

void tls_free(struct tls **t)
{
    if (*t == NULL)
        return;
    ERR_clear_error();
    if (!(*t)->broken && SSL_is_init_finished((*t)->ssl))
        (void)SSL_shutdown((*t)->ssl);
    ERR_clear_error();
    tls_free_session(&(*t)->session);
    SSL_free((*t)->ssl);
    free(*t);
    *t = NULL;
}

/* What a result that is no success asks for: STREAM_WANT_*, 0 at a clean end, or a negative errno.
 */
static int outcome(struct tls *t, int result)
{
    int error = errno;
    bool torn = ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;

    switch (SSL_get_error(t->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return STREAM_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return STREAM_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        t->broken = true;
        return error > 0 ? -error : -ECONNRESET;
    default:
        t->broken = true;
        return torn ? -ECONNRESET : -EPROTO;
    }
}

static int explain(struct tls *t, int code, struct error *err)
{
    long verdict = SSL_get_verify_result(t->ssl);

    if (code != -EPROTO)
        return error_set(err, code, "TLS handshake: %s", strerror(-code));
    if (SSL_get_verify_mode(t->ssl) == SSL_VERIFY_PEER && verdict != X509_V_OK)
        return error_set(err, code, "TLS certificate: %s", X509_verify_cert_error_string(verdict));
    return error_set(err, code, "TLS handshake: %s", tls_reason("protocol error"));
}

/* Before TLS 1.3 a session may be resumed many times, and the server does not give it again. */
static bool is_reusable(const SSL *ssl)
{
    return !SSL_is_server(ssl) && SSL_session_reused(ssl) == 1 && SSL_version(ssl) < TLS1_3_VERSION;
}

int tls_handshake(struct tls *t, struct error *err)
{
    int result, code;

    begin_call(t);
    result = SSL_do_handshake(t->ssl);
    if (result == 1) {
        if (t->session == NULL && is_reusable(t->ssl))
            t->session = SSL_get1_session(t->ssl);
        return 0;
    }
    code = outcome(t, result);
    if (code == STREAM_WANT_READ || code == STREAM_WANT_WRITE)
        return code;
    code = explain(t, code == 0 ? -ECONNRESET : code, err);
    ERR_clear_error();
    return code;
}

long tls_read(struct tls *t, void *room, size_t size)
{
    size_t count = 0;
    int result;

    begin_call(t);
    result = SSL_read_ex(t->ssl, room, size, &count);
    t->dry = result != 1;
    if (result == 1)
        return (long)count;
    result = outcome(t, result);
    ERR_clear_error();
    return result;
}

long tls_write(struct tls *t, const void *bytes, size_t size)
{
    size_t count = 0;
    int result;

    if (size == 0)
        return 0;
    begin_call(t);
    result = SSL_write_ex(t->ssl, bytes, size, &count);
    if (result == 1)
        return (long)count;
    result = outcome(t, result);
    ERR_clear_error();
    return result == 0 ? -EPIPE : result;
}

bool tls_has_pending(const struct tls *t)
{
    return !t->broken && !t->dry && SSL_has_pending(t->ssl) == 1;
}

void tls_describe(const struct tls *t, struct tls_facts *out)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(t->ssl);

    *out = (struct tls_facts){ 0 };
    if (cipher == NULL)
        return;
    (void)snprintf(out->text, sizeof(out->text), "%s %s %d", SSL_get_version(t->ssl),
                   SSL_CIPHER_get_name(cipher), SSL_CIPHER_get_bits(cipher, NULL));
    out->verified = !SSL_is_server(t->ssl) && SSL_get0_peer_certificate(t->ssl) != NULL &&
                    SSL_get_verify_result(t->ssl) == X509_V_OK;
    out->resumed = SSL_session_reused(t->ssl) == 1;
}

bool tls_is_bindable(const struct tls *t)
{
    SSL *ssl = t->ssl;

    return SSL_is_init_finished(ssl) &&
           (SSL_version(ssl) >= TLS1_3_VERSION || SSL_get_extms_support(ssl) == 1);
}

void tls_bind_exporter(const struct tls *t, char *room, size_t *len)
{
    static const char label[] = "EXPORTER-Channel-Binding";

    *len = 0;
    if (tls_is_bindable(t) &&
        SSL_export_keying_material(t->ssl, (unsigned char *)room, 32, label, sizeof(label) - 1,
                                   (const unsigned char *)"", 0, 1) == 1)
        *len = 32;
    ERR_clear_error();
}

/* The first Finished message of the handshake: the client's, but the server's in a resumption. */
void tls_bind_unique(const struct tls *t, char *room, size_t *len)
{
    bool ours;

    *len = 0;
    if (!tls_is_bindable(t) || SSL_version(t->ssl) >= TLS1_3_VERSION)
        return;
    ours = (SSL_is_server(t->ssl) == 1) == (SSL_session_reused(t->ssl) == 1);
    *len = ours ? SSL_get_finished(t->ssl, room, TLS_BINDING_MAX)
                : SSL_get_peer_finished(t->ssl, room, TLS_BINDING_MAX);
    *len = MIN(*len, (size_t)TLS_BINDING_MAX);
}
