/* Two ends of a TLS connection on a socket pair, and certificates. */
#ifndef TESTS_UNIT_IO_TLSPAIR_H
#define TESTS_UNIT_IO_TLSPAIR_H

#include "io/stream.h"
#include "tests/unit/unit.h"

#include <openssl/ssl.h>

/* Made anew in each run: an authority, and what it signed. */
struct identity {
    EVP_PKEY *key;
    X509 *certificate;
    char key_room[4096], certificate_room[4096];
    struct view key_pem, certificate_pem;
};

extern struct identity authority, server, other, expired;

/* Of a group of tests. */
int make_identities(void **state);
int free_identities(void **state);
/* `names`: "DNS:a.test"; NULL: an authority. Valid from ten days ago until `days` from now. */
void make_identity(struct identity *id, const struct identity *issuer, const char *subject,
                   const char *names, long days);

struct pair {
    struct tls_context *server, *client;
    struct stream here, there; /* client's, server's */
    struct error err;          /* the client's */
    int client_result, server_result;
};

void open_pair(struct pair *p, const struct identity *id, struct view anchors);
void close_pair(struct pair *p);
/* A second connection between the same two. */
void open_again(struct pair *p);
void shake_hands(struct pair *p, const char *name, bool verify);
void resume(struct pair *p, const char *name, bool verify, struct ssl_session_st *session);
/* TLS 1.3 gives it with the first bytes. */
struct ssl_session_st *take_session(struct pair *p);
bool is_resumed(const struct pair *p);

#endif
