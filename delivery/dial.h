/* Finds a host of a destination and connects to it: the targets in order, their hosts, and the
 * addresses of these. When an address takes its time, the host's next one, of the other family if
 * it can be, is tried beside it (RFC 8305), as far as the limits allow a connection more, or else
 * in its place; the first to answer is taken. What could not be used is kept, so that a job can be
 * told why in the end. */
#ifndef DELIVERY_DIAL_H
#define DELIVERY_DIAL_H

#include "delivery/destination.h"
#include "delivery/route.h"

enum {
    DIAL_HOST_MAX = ADDRESS_DOMAIN_MAX + NET_ADDRESS_TEXT_MAX + 8,
    DIAL_ATTEMPTS_MAX = 2,  /* at the same time */
    DIAL_PATIENCE_MS = 250, /* with one address before the next joins it (RFC 8305, 5) */
};

/* An outcome that owns its text. */
struct dial_failure {
    struct outcome outcome;
    char text[OUTCOME_TEXT_MAX];
    char host[DIAL_HOST_MAX];
    char tls[TLSPOLICY_TEXT_MAX];
};

/* To connect to one address. */
struct dial_attempt {
    struct dial *dial;
    struct net_address address;
    struct watch watch; /* fd -1: none */
    struct timer timer;
};

struct dial {
    struct destination *destination;
    struct view domain; /* of the job */
    /* The caller's, called from the loop or out of dial_begin, dial_next, dial_again. */
    void (*connected)(struct dial *d, int fd); /* which becomes the caller's */
    void (*ended)(struct dial *d);             /* nothing is left; `failure` tells why */
    size_t target_first,
        target_at; /* of the destination's targets: where it began, how many are past */
    struct route route;
    struct question question;
    struct timer timer; /* of the question, or the patience with an address */
    struct dial_attempt attempts[DIAL_ATTEMPTS_MAX];
    struct dial_attempt *newest;
    bool racing;                /* there is room for a second one */
    bool turned;                /* one was given up for the other family, where there was none */
    struct net_address address; /* that was connected to, or failed last */
    bool paid;                  /* the next attempt to connect was counted when it was allowed */
    bool alone; /* its domain has other mail hosts than the queue knew, or in another order */
    uint8_t unreached;        /* the family of an address that could not be connected to */
    char host[DIAL_HOST_MAX]; /* "mx1.example.org[192.0.2.1]:25" */
    size_t host_len;
    bool met; /* a host that is at work, but lacks what the message needs */
    bool failed;
    struct dial_failure failure; /* of the last host that was tried */
};

/* `paid`: the first attempt to connect is counted already. */
void dial_init(struct dial *d, struct destination *to, bool paid);
/* From the first target on, for mail to `domain`, which is borrowed. */
void dial_begin(struct dial *d, struct view domain);
/* The host that was found is of no use, which dial_keep_failure was told: the next one. */
void dial_next(struct dial *d);
/* The host that was found is this machine: none that is not better is tried. */
void dial_meet_us(struct dial *d);
/* No other address of the host that was found is tried. */
void dial_leave_host(struct dial *d);
/* The host that was found, once more. */
void dial_again(struct dial *d);
/* Whatever is under way is dropped. */
void dial_stop(struct dial *d);

/* Of a host that was found. What one lacks for good does not decide while another might have taken
 * the message; nor does what is wrong here while another could be reached. */
void dial_keep_failure(struct dial *d, const struct outcome *o);
/* A host that takes no mail from our IPv6 address is asked over IPv4 next. False: it does not say
 * so, or has no address of that which was not tried. */
bool dial_avoid_ipv6(struct dial *d, const struct outcome *o);

/* Of the host that was found. */
struct tls_policy dial_tls_policy(const struct dial *d);
const struct route_target *dial_target(const struct dial *d);
struct view dial_host(const struct dial *d);
/* "Connection refused" in the middle of a sentence; dies with the next call. */
struct view dial_words(int err);

#endif
