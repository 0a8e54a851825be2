/* Addresses of hosts and networks, and the sockets made of them. */
#ifndef IO_NET_H
#define IO_NET_H

#include "common/attrs.h"
#include "common/buf.h"
#include "common/error.h"
#include "common/view.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum {
    NET_ADDRESS_TEXT_MAX = 64, /* bytes that "[IPv6]:port" needs at most */
    NET_PATH_MAX = 107,        /* bytes of a UNIX socket's path (unix(7)) */
};

/* An IPv4 or IPv6 address; IPv4-mapped IPv6 is turned into IPv4 everywhere. */
struct net_address {
    uint8_t family; /* AF_INET, AF_INET6; 0: unset */
    uint8_t bytes[16];
    uint16_t port; /* host order */
    uint32_t scope;
};

struct net_block { /* CIDR */
    struct net_address base;
    unsigned prefix; /* bits */
};

/* ::ffff:192.0.2.1 becomes 192.0.2.1: for who puts an address together from its bytes. */
void net_unmap(struct net_address *a);
bool net_parse_address(struct view text, struct net_address *out) MUST_USE; /* no port */
/* "192.0.2.1:25", "[2001:db8::1]:25"; "*:25" gives family AF_INET6, all zero (dual stack). */
bool net_parse_address_port(struct view text, struct net_address *out) MUST_USE;
/* "192.0.2.0/24", no bits behind the prefix; or an address alone. */
bool net_parse_block(struct view text, struct net_block *out) MUST_USE;
bool net_print_address(const struct net_address *a, struct buf *out);   /* no port, no brackets */
bool net_print_address_port(const struct net_address *a, struct buf *out);
/* As labels for the DNS, least significant first: "1.2.0.192", or the 32 digits of IPv6. */
bool net_print_reversed(const struct net_address *a, struct buf *out);
bool net_equal(const struct net_address *a, const struct net_address *b); /* ports ignored */
bool net_block_has(const struct net_block *b, const struct net_address *a);
/* Its network: the first `prefix4` or `prefix6` bits, port 0. For limits by client. */
struct net_address net_prefix(const struct net_address *a, unsigned prefix4, unsigned prefix6);

bool net_is_loopback(const struct net_address *a);
/* Unspecified, multicast, broadcast, link-local: nothing that mail may be sent to. */
bool net_is_unusable(const struct net_address *a);
/* One of this machine's own interface addresses or loopback, as they were at net_load_own. */
int net_load_own(void) MUST_USE; /* before the sandbox; 0 or negative errno */
bool net_is_own(const struct net_address *a);

void net_to_sockaddr(const struct net_address *a, struct sockaddr_storage *out, socklen_t *len);
bool net_from_sockaddr(const struct sockaddr_storage *in, struct net_address *out) MUST_USE;

/* A listening, non-blocking, close-on-exec socket (backlog 4096, SO_REUSEADDR); a negative errno
 * fills err with the address and what to do. */
int net_listen(const struct net_address *a, struct error *err) MUST_USE;
/* A stream socket that listens at a path, mode as given; a stale socket file is replaced,
 * a live one is -EADDRINUSE. */
int net_listen_unix(const char *path, unsigned mode, struct error *err) MUST_USE;
/* Accepts one (the peer of a UNIX listener has family 0); the descriptor (non-blocking,
 * close-on-exec, TCP_NODELAY as the listener) or a negative errno. */
int net_accept(int listener, struct net_address *peer) MUST_USE;
/* Starts a non-blocking connect; `source` may be NULL. Descriptor or negative errno. */
int net_connect(const struct net_address *to, const struct net_address *source) MUST_USE;
/* The same to a UNIX socket at `path`, at most NET_PATH_MAX bytes. */
int net_connect_unix(struct view path) MUST_USE;
int net_connect_result(int fd) MUST_USE; /* after it became writable: 0 or negative errno */

#endif
