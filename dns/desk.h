/* The desk where questions are answered: from the cache, or by asking the name servers, once for
 * all who want to know the same at the same time. Strangers can make smtpd ask as much as they
 * like: the questions of delivery are urgent, and have room that no others get. */
#ifndef DNS_DESK_H
#define DNS_DESK_H

#include "dns/cache.h"
#include "dns/resolver.h"
#include "io/loop.h"

enum {
    /* In flight or in line; more are put off. */
    DESK_URGENT_MAX = 30000, /* two for each of MX_ASKED_MAX, and those of mail on its way */
    DESK_OTHERS_MAX = 5000,  /* that are not urgent */
};

struct desk {
    struct loop *loop;
    struct resolver *resolver;
    const struct dns_settings *settings;
    struct cache cache;
    struct table questions; /* in flight; by cache_make_key */
    size_t others_count;    /* of them: that are not urgent */
};

/* Who asks; embed. */
struct customer {
    struct list waiting; /* private */
    bool urgent;         /* goes before those who are not */
    /* May be called from inside desk_ask. The finding dies with the call. */
    void (*answer)(struct customer *c, uint64_t id, const struct finding *f);
};

void desk_init(struct desk *d, struct loop *l, struct resolver *r, const struct dns_settings *s);
void customer_init(struct customer *c, bool urgent);

/* `id` comes back with the answer. */
void desk_ask(struct desk *d, struct customer *c, uint64_t id, enum dns_question kind,
              struct view name);
/* The customer is gone: it gets no more answers. */
void desk_forget(struct customer *c);
/* It does not want this answer any more; nothing, when it is not waiting for it. */
void desk_forget_one(struct customer *c, uint64_t id);

#endif
