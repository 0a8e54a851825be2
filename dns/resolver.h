/* Questions to the name servers: c-ares on our loop. The only file that knows it. */
#ifndef DNS_RESOLVER_H
#define DNS_RESOLVER_H

#include "common/error.h"
#include "common/list.h"
#include "dns/answer.h"
#include "dns/lines.h"
#include "io/loop.h"
#include "ipc/settings.h"

/* How many questions wait for an answer at once, however many are asked: when there are more, those
 * that have waited longest get none. As the lines allow no more than 5,000 in a second, that is
 * after almost two seconds at the earliest. */
enum { RESOLVER_ROUNDS = 8, RESOLVER_ROUND_MAX = 1250 };

struct resolver;
struct round;

/* One question under way; embed. Must stay where it is until it is answered. */
struct resolver_query {
    /* Called once, from the loop, never from inside resolver_ask. The packet is as it came and
     * dies with the call; it is empty when there is none, and `failure` says why. */
    void (*answered)(struct resolver_query *q, struct view packet, const char *failure);
    enum line line; /* set before it is asked */
    /* The rest is private. */
    struct resolver *resolver;
    struct in_line place;
    struct round *round;
    bool flying; /* until `answered` */
    struct view name;
    enum answer_type type;
    struct deferred deliver;
    char *packet;
    size_t packet_len;
    const char *failure;
};

/* Before the sandbox: c-ares reads files. NULL and *err on failure. Lives as long as the process.
 */
struct resolver *resolver_new(struct loop *l, const struct dns_settings *s,
                              struct error *err) MUST_USE;

/* `name` as of answer_name_valid, must live until the answer; q->answered is set. */
void resolver_ask(struct resolver *r, struct resolver_query *q, struct view name,
                  enum answer_type type);
/* To the end of another line; safe when it was not asked, or is answered. */
void resolver_move(struct resolver_query *q, enum line line);
/* Takes it back, so that it is not answered. False: it is under way. */
bool resolver_drop(struct resolver_query *q) MUST_USE;

#endif
