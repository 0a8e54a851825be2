/* What a server announced in its reply to EHLO (RFC 5321, 4.1.1.1). */
#ifndef DELIVERY_EXT_H
#define DELIVERY_EXT_H

#include "common/view.h"

struct ext {
    bool pipelining;     /* RFC 2920 */
    bool eight_bit;      /* RFC 6152 */
    bool chunking;       /* RFC 3030 */
    bool starttls;       /* RFC 3207 */
    bool size;           /* RFC 1870 */
    uint64_t size_most;  /* bytes of a message; 0: no limit was said */
    unsigned auth;       /* RFC 4954: 1 << enum sasl_mechanism */
    bool dsn;            /* RFC 3461 */
    bool utf8;           /* RFC 6531 */
    bool require_tls;    /* RFC 8689 */
    bool priority;       /* RFC 6710 */
    bool deliver_by;     /* RFC 2852 */
    uint64_t mails_most; /* RFC 9422, MAILMAX: messages of a connection; 0: not said */
    uint64_t rcpts_most; /* RCPTMAX: recipients of a message; 0: not said */
    uint64_t
        domains_most;  /* RCPTDOMAINMAX: domains of all recipients of a connection; 0: not said */
    uint64_t by_least; /* seconds that it needs at least to return a message; 0: not said */
};

/* `text` as struct reply has it: lines joined by '\n', the first is the server's name. What is
 * unknown, or known but malformed, is passed over. */
void ext_read(struct view text, struct ext *out);

#endif
