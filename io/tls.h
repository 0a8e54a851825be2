/* TLS by OpenSSL: contexts, handshakes, what to say about them. TLS 1.2 and later, no
 * renegotiation, no compression. */
#ifndef IO_TLS_H
#define IO_TLS_H

#include "common/attrs.h"
#include "common/buf.h"
#include "common/error.h"
#include "common/view.h"

struct tls_context;    /* heap; shared by connections */
struct tls;            /* one connection */
struct ssl_session_st; /* what a server lets a client resume: OpenSSL's SSL_SESSION */

/* A server's: certificate chain and key as PEM text. NULL and *err otherwise. Of a client that
 * offers application protocols (ALPN) one must be "smtp" or "esmtp". Tickets are worth something in
 * this context alone (but see tls_server_share_tickets), and at the listener that they are from. */
struct tls_context *tls_server_new(struct view certificates_pem, struct view key_pem,
                                   struct error *err) MUST_USE;
/* The same with a key that another process has (io/tls_key.h), as its number `number`; the first
 * time makes the context. Further certificates are for clients that ask for one of their DNS names
 * (SNI); others get the first. 0, or a negative errno and *err. */
struct tls_signer;
int tls_server_serve(struct tls_context **c, struct view certificates_pem,
                     struct tls_signer *signer, unsigned number, struct error *err) MUST_USE;
/* Contexts of other processes with the same secret resume the sessions of this one, and it theirs;
 * tickets of a secret before are worth nothing. After every tls_server_serve. */
enum { TLS_TICKET_SECRET = 80 }; /* bytes, random */
void tls_server_share_tickets(struct tls_context *c, struct view secret);
/* TLS 1.3 or later; the default is TLS 1.2 or later. */
void tls_server_want_13(struct tls_context *c);
/* Asks clients for certificates, which need not have any: `ca_pem` are the authorities to believe.
 * After every tls_server_serve. */
int tls_server_ask(struct tls_context *c, struct view ca_pem, struct error *err) MUST_USE;
/* The client has proved that a believed certificate is its own, in this session or the one that it
 * resumes, the certificate has not expired since, and it has this name: a DNS name,
 * an e-mail address, or "sha256:" and its fingerprint in hexadecimal. */
bool tls_client_is(const struct tls *t, struct view name);
/* A client's: `ca_pem` is a bundle of trust anchors, empty when there is none (then nothing can be
 * verified; opportunistic TLS needs none). */
struct tls_context *tls_client_new(struct view ca_pem, struct error *err) MUST_USE;
void tls_context_free(struct tls_context **c);

/* On a connected non-blocking socket, which stays the caller's. */
struct tls *tls_accept_on(struct tls_context *c, int fd, struct view listener) MUST_USE;
/* `name` is sent as SNI (not when it is an address) and, if `verify`, must match the certificate's
 * DNS names (RFC 9525), which must chain to a trust anchor. */
struct tls *tls_connect_on(struct tls_context *c, int fd, struct view name, bool verify) MUST_USE;
/* A client's, before its handshake: resume that. The server may do so or not. */
void tls_offer_session(struct tls *t, struct ssl_session_st *s);
/* The newest that a server gave this client and nobody took, which is the caller's now; NULL: there
 * is none. In TLS 1.3 it comes with the first bytes that are read. */
struct ssl_session_st *tls_take_session(struct tls *t) MUST_USE;
void tls_free_session(struct ssl_session_st **s);
void tls_free(struct tls **t); /* sends close_notify if that does not block */

/* 0: done; STREAM_WANT_READ, STREAM_WANT_WRITE (io/stream.h): call again then; negative errno with
 * words in err: over. tls_read: 0 is a clean end. STREAM_WANT_READ may come while the socket is
 * readable yet: one call takes no more than a piece from it. */
int tls_handshake(struct tls *t, struct error *err) MUST_USE;
long tls_read(struct tls *t, void *room, size_t size) MUST_USE;
long tls_write(struct tls *t, const void *bytes, size_t size) MUST_USE;
/* Something waits inside, so that tls_read may give bytes without the socket becoming readable. */
bool tls_has_pending(const struct tls *t);

/* What SCRAM can be bound to; data of the size in *len, 0: there is none. tls-exporter (RFC 9266)
 * needs TLS 1.3 or the extended master secret; so does, here, tls-unique (RFC 5929, 3), which
 * TLS 1.3 does not have. */
enum { TLS_BINDING_MAX = 64 };
bool tls_is_bindable(const struct tls *t); /* costs nothing, where the data itself does */
void tls_bind_exporter(const struct tls *t, char *room, size_t *len);
void tls_bind_unique(const struct tls *t, char *room, size_t *len);

/* For Received and logs: "TLSv1.3 TLS_AES_256_GCM_SHA384 256". */
struct tls_facts {
    char text[96]; /* NUL-terminated */
    bool verified; /* client side: the certificate was verified, maybe when the session began */
    bool resumed;
};
void tls_describe(const struct tls *t, struct tls_facts *out);

#endif
