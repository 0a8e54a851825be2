/* From MX records to mail hosts in the order in which they are to be tried (RFC 5321, 5.1). Pure.
 */
#ifndef DNS_MX_H
#define DNS_MX_H

#include "dns/answer.h"
#include "ipc/messages.h"

enum { MX_HOSTS_MAX = 50 }; /* the best of them; more are no help */

struct mx_random {
    uint32_t (*next)(struct mx_random *r);
};

/* `answer` has MX records. DNS_OK: 1 to MX_HOSTS_MAX `items`, by preference, equal ones shuffled,
 * each host once; they borrow from `answer`. DNS_NULL_MX (RFC 7505). DNS_MALFORMED: not one usable
 * name. */
enum dns_result mx_choose(const struct answer *answer, struct mx_random *random,
                          struct dns_item items[MX_HOSTS_MAX], size_t *count) MUST_USE;

/* Shuffles anew those with equal preference; `items` are sorted. */
void mx_shuffle(struct dns_item *items, size_t count, struct mx_random *random);

#endif
