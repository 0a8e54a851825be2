/* From an address to the name of its host: the names that the address claims, and whether one of
 * them leads back to it (RFC 8501, 4.1; without that anybody may claim any name). Pure. */
#ifndef DNS_REVERSE_H
#define DNS_REVERSE_H

#include "dns/answer.h"
#include "io/net.h"
#include "ipc/messages.h"

enum {
    REVERSE_HOSTS_MAX = 4, /* that are tried; more are no help */
    REVERSE_NAME_MAX = 80, /* bytes */
};

/* The usable names of an answer with PTR records. */
struct reverse_hosts {
    size_t count, next; /* the one whose addresses come next */
    char hosts[REVERSE_HOSTS_MAX][ANSWER_NAME_MAX + 1];
};

/* Where the PTR records of an address are: "1.2.0.192.in-addr.arpa" (RFC 1035, 3.5; RFC 3596, 2.5);
 * at most REVERSE_NAME_MAX bytes. */
void reverse_name(const struct net_address *address, struct buf *out);
void reverse_keep(const struct answer *answer, struct reverse_hosts *out);
/* A host's addresses have this one. */
bool reverse_confirms(const struct dns_item *items, size_t count,
                      const struct net_address *address) MUST_USE;

#endif
