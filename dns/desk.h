/* The desk where questions are answered: from the cache, or by asking the name servers, once for
 * all who want to know the same at the same time. */
#ifndef DNS_DESK_H
#define DNS_DESK_H

#include "dns/cache.h"
#include "dns/resolver.h"
#include "io/loop.h"

enum {
    DESK_QUESTIONS_MAX = 10000, /* in flight; more are put off */
    DESK_FAILURE_MS = 2000,     /* how long trouble is remembered */
};

struct desk {
    struct loop *loop;
    struct resolver *resolver;
    const struct dns_settings *settings;
    struct cache cache;
    struct table questions; /* in flight; by cache_make_key */
};

/* Who asks; embed. */
struct customer {
    struct list waiting; /* private */
    /* May be called from inside desk_ask. The finding dies with the call. */
    void (*answer)(struct customer *c, uint64_t id, const struct finding *f);
};

void desk_init(struct desk *d, struct loop *l, struct resolver *r, const struct dns_settings *s);
void customer_init(struct customer *c);

/* `id` comes back with the answer. */
void desk_ask(struct desk *d, struct customer *c, uint64_t id, enum dns_question kind,
              struct view name);
/* The customer is gone: it gets no more answers. */
void desk_forget(struct customer *c);

#endif
