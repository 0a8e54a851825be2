/* Answers of name servers, as they came from the network (RFC 1035, 4). Pure. */
#ifndef DNS_ANSWER_H
#define DNS_ANSWER_H

#include "common/attrs.h"
#include "common/view.h"

enum {
    ANSWER_NAME_MAX = 253,    /* bytes of a name as text, without the final dot */
    ANSWER_RECORDS_MAX = 100, /* records that are kept, of MX the best */
    ANSWER_CNAMES_MAX = 8,    /* aliases on the way to the records */
};

enum answer_type { ANSWER_A = 1, ANSWER_PTR = 12, ANSWER_MX = 15, ANSWER_AAAA = 28 };

enum answer_status {
    ANSWER_OK,        /* there are records */
    ANSWER_NO_DATA,   /* the name is there, but has no such records */
    ANSWER_NO_DOMAIN, /* NXDOMAIN */
    ANSWER_FAILED,    /* no answer, or one that says "not now": `failure` */
    ANSWER_MALFORMED, /* it breaks the rules, or does not fit the question */
};

struct answer_record {
    uint16_t preference;            /* MX */
    uint8_t address[16];            /* A: the first four bytes; AAAA */
    uint8_t host_len;               /* MX, PTR: 0 is the root */
    bool host_odd;                  /* MX, PTR: the name has bytes that text cannot show */
    char host[ANSWER_NAME_MAX + 1]; /* lower case */
};

struct answer {
    enum answer_status status;
    const char *failure; /* ANSWER_FAILED: words, constant */
    uint32_t ttl_s; /* the least on the way; of a negative answer by its SOA (RFC 2308, 5), 0 if
                     * there is none */
    size_t count;
    struct answer_record records[ANSWER_RECORDS_MAX];
};

/* Reads the answer to "`name` IN `type`". Names are compared without case; records of other names
 * and types are passed over, CNAMEs followed. */
void answer_read(struct view packet, struct view name, enum answer_type type, struct answer *out);

/* For what came instead of an answer; `failure` is a constant. */
void answer_set_failed(struct answer *out, const char *failure);

/* A name that hosts and mail domains may have: labels of letters, digits, hyphens, and underscores,
 * which exist though they should not; 1 to 253 bytes, labels to 63, no dot at the end. */
bool answer_name_valid(struct view name) MUST_USE;

#endif
