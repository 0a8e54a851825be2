/* A name for the set of a domain's mail hosts: the same for every domain that has the same hosts,
 * whatever their order and preference; and a number for the order of preference. Where this host is
 * one of them, by name, only those that are preferred to it are (RFC 5321, 5.1): others of the set
 * must not get the domain's mail. */
#ifndef DELIVERY_HOSTS_H
#define DELIVERY_HOSTS_H

#include "common/buf.h"
#include "ipc/messages.h"

/* Of the answer to DNS_ROUTE, into `out`, which is cleared and has room for MAIL_HOSTS_MAX bytes:
 * "mx1.example.org,mx2.example.org", shortened to its beginning and a checksum when it is long. It
 * stays empty when there are no hosts. `own`: the name of this host. Returns the order: the same
 * wherever the same hosts are preferred to the same others. */
uint32_t hosts_name(const struct message_dns_answer *a, struct view own, struct buf *out);

#endif
