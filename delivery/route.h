/* Where to connect for a next hop: hosts and their addresses, in order, each looked up when its
 * turn comes (RFC 5321, 5.1). An engine: it says what it needs, and is told answers. */
#ifndef DELIVERY_ROUTE_H
#define DELIVERY_ROUTE_H

#include "common/arena.h"
#include "io/net.h"
#include "ipc/messages.h"
#include "ipc/settings.h"
#include "mail/outcome.h"

enum {
    ROUTE_SECOND_MS = 60 * 60 * 1000, /* how long a family that failed comes second */
    ROUTE_HOSTS_MAX = 50,             /* that are kept of an answer, the most preferred first */
    ROUTE_ADDRESSES_MAX = 50,         /* of a host */
    ROUTE_MEMORY_BYTES = 1 << 16,     /* more than that many names and addresses need */
};

enum route_need {
    ROUTE_ASK, /* `question` and `name`; then route_answer */
    ROUTE_TRY, /* `host` at `address`; then route_next again, if that fails */
    ROUTE_END, /* nothing is left; `end`: why nothing was tried, or was not found out */
};

/* Of a destination: the family that could not be connected to while the other could. Zeroed:
 * nothing. */
struct route_memory {
    uint8_t second;    /* AF_INET or AF_INET6 */
    uint64_t until_ms; /* monotonic */
};

struct route_host {
    struct view name;
    uint16_t preference;
};

struct route {
    const struct settings *settings;
    bool mx;            /* `target` is a domain with mail hosts; else it is the host */
    struct view target; /* borrowed */
    uint16_t port;
    uint8_t second; /* a host's addresses of this family come behind its others; 0: as they are */
    uint8_t family; /* the only one that is used; 0: both */
    struct arena memory;
    struct route_host *hosts;
    size_t host_count, host_at;
    bool routed;     /* hosts are known */
    size_t compared; /* hosts before it were looked at, whether they are this machine */
    bool comparing;  /* the answer is about that alone */
    struct net_address *addresses;
    size_t address_count, address_at;
    size_t hosts_tried, tried;
    bool ends_here; /* this machine is one of the hosts */
    /* What route_next leaves. */
    enum dns_question question;
    struct view name;
    struct view host;
    struct net_address address; /* with port */
    struct outcome end;
};

/* Borrows the settings and `target`. A configured host (not `mx`) is taken at its word: it may be
 * this machine, and a name that is not found is a mistake to be mended, never a reason to fail. */
void route_init(struct route *r, const struct settings *s, bool mx, struct view target,
                uint16_t port);
void route_release(struct route *r);

enum route_need route_next(struct route *r) MUST_USE;
/* The host at `address` is not to be met over its family: that comes second from now on. True: the
 * host has an address of the other that was not tried yet, which is next. */
bool route_turn_from(struct route *r, uint8_t family) MUST_USE;
/* Whether the host at `address` has another that may be tried. */
bool route_has_more(const struct route *r) MUST_USE;
/* Leaves another `address` of the same host, to be tried beside one of the family: one of the other
 * family, if there is one. False: none. */
bool route_next_beside(struct route *r, uint8_t family) MUST_USE;
/* The last `address` was not tried in earnest, and comes again behind those of the other family
 * that the host has. False: it has none that was not tried. */
bool route_put_behind(struct route *r) MUST_USE;
/* The last `address` was not tried in earnest, and is next again. */
void route_put_back(struct route *r);
/* The refusal is about the client's IPv6 address, which has no name, or not one that leads back
 * (RFC 7372, 3.3): many hosts ask that of IPv6 alone. */
bool route_blames_ipv6(const struct outcome *o) MUST_USE;
/* The host at `address` has shown to be this machine: it, and those that are not better, are left
 * out. */
void route_meet_us(struct route *r);
/* To the question that route_next left. Borrows nothing. */
void route_answer(struct route *r, const struct message_dns_answer *a);

#endif
