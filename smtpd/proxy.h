/* The header with which a proxy tells whose connection it passes on: the PROXY protocol of HAProxy,
 * versions 1 (a line) and 2 (binary). Bytes in, facts out. Only ever asked about named peers. */
#ifndef SMTPD_PROXY_H
#define SMTPD_PROXY_H

#include "common/view.h"
#include "io/net.h"

enum {
    PROXY_HEADER_MAX = 2048, /* bytes; version 1 has at most 107, version 2 could have 65,551 */
};

enum proxy_result {
    PROXY_MORE,    /* this is the beginning of one */
    PROXY_CLIENT,  /* `client` is who connected to the proxy */
    PROXY_ITSELF,  /* the proxy speaks for itself, or does not know: the client is unknown */
    PROXY_INVALID, /* no header; nothing that follows can be trusted */
};

struct proxy_header {
    size_t bytes; /* of the input, that the header takes */
    struct net_address client;
};

/* The header at the front of `input`. */
enum proxy_result proxy_read(struct view input, struct proxy_header *out) MUST_USE;

#endif
