/* Questions to the name servers: c-ares on our loop. The only file that knows it. */
#ifndef DNS_RESOLVER_H
#define DNS_RESOLVER_H

#include "common/error.h"
#include "common/list.h"
#include "dns/answer.h"
#include "io/loop.h"
#include "ipc/settings.h"

struct resolver;

/* One question under way; embed. Must stay where it is until it is answered. */
struct resolver_query {
    /* Called once, from the loop, never from inside resolver_ask. The packet is as it came and
     * dies with the call; it is empty when there is none, and `failure` says why. */
    void (*answered)(struct resolver_query *q, struct view packet, const char *failure);
    bool urgent; /* set before it is asked: goes before those that are not */
    /* The rest is private. */
    struct resolver *resolver;
    struct list link;     /* while it waits for its turn, or is fresh */
    bool waiting, flying; /* neither: not asked, or answered */
    bool fresh;           /* flies, and not for long */
    bool among_others;    /* when it flew */
    uint64_t since_ms;    /* it flies */
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
/* It is urgent now; safe when it was not asked, or is answered. */
void resolver_hasten(struct resolver_query *q);
/* Takes it back, so that it is not answered. False: it is under way. */
bool resolver_drop(struct resolver_query *q) MUST_USE;

#endif
