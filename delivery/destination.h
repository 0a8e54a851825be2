/* All that is known of one next hop: its connections, the jobs that wait for one, and what
 * experience says about its TLS. Domains of a site with the same mail hosts in the same order of
 * preference are one destination here. Several destinations may be one site, whose limits hold for
 * all of them together. */
#ifndef DELIVERY_DESTINATION_H
#define DELIVERY_DESTINATION_H

#include "common/list.h"
#include "delivery/route.h"
#include "delivery/tlspolicy.h"
#include "delivery/worker.h"
#include "mail/outcome.h"

struct conn;

enum {
    /* More recipients than a host had taken are tried again: what it did not say in the words of
     * RFC 5321 may have had another reason. */
    DESTINATION_RCPTS_MS = 10 * 60 * 1000,
    DESTINATION_BDAT_MS = 60 * 60 * 1000, /* how long it is remembered that BDAT was refused */
    /* Messages that a connection is of use for before it gives way to a destination that has none:
     * where those that want one outnumber the connections, they do not spend their time with
     * greetings. */
    DESTINATION_TURN = 10,
};

/* What the queue calls one: limits count its connections. */
struct site {
    struct table_entry entry; /* by `name` */
    struct worker *worker;
    char *name;
    size_t destinations;
    size_t conn_count;    /* that take jobs */
    size_t leaving_count; /* that say goodbye */
    struct list wanting;  /* destinations whose jobs wait, whose turn it is first */
    /* As the newest job said. */
    size_t connections;
    size_t messages_per_connection;
    uint64_t connection_us; /* from one attempt to connect to the next */
    uint64_t free_us;       /* when the next may be made; monotonic */
    struct timer free;
};

struct destination {
    struct table_entry entry; /* by `key` */
    struct worker *worker;
    struct site *site;
    struct list wanting;                /* of the site's */
    char *key;                          /* the names and the way; the views below borrow from it */
    struct view name;                   /* for people: the hosts, or the hop */
    struct view mail_hosts;             /* empty: not known */
    uint32_t order;                     /* of preference, of the mail hosts; delivery/hosts.h */
    struct view host;                   /* of the hop; empty when its mail hosts are known */
    const struct route_settings *route; /* NULL: none */
    const struct route_target *targets;
    size_t target_count;
    struct route_target own; /* the target without a route */
    struct tls_wish tls;     /* without `implicit`, which is the target's */
    struct list waiting;     /* jobs */
    struct list idle;        /* connections, the last used first */
    size_t conn_count;       /* connections that take jobs */
    size_t conn_total;       /* with those that say goodbye */
    struct tls_memories tls_memories;
    struct route_memory families;
    uint64_t no_bdat_until_ms; /* it was refused, though it was offered; monotonic */
    uint64_t rcpts_most;       /* that one of its hosts took in a transaction; 0: not known */
    uint64_t rcpts_until_ms;   /* then that may be otherwise; monotonic */
    struct timer forget;       /* when nothing else keeps it ... */
    struct list remembered;    /* ... of the worker's, while that is so */
    struct deferred release;
};

/* The job goes to a connection, or waits for one. */
void destination_take_job(struct worker *w, struct job *j);

/* For connections: the next job that waits; NULL: none. */
struct job *destination_next_job(struct destination *d);
/* The queue does not want it any more; it waits, and no connection has it. */
void destination_drop_job(struct job *j);
/* A connection is gone, or will take no more jobs. */
void destination_lose_conn(struct destination *d);
/* The login of the route has another secret now, or none can be had: what waits is served. */
void destination_serve_route(struct worker *w, const struct route_settings *r);
/* A host has refused the token of the route, and a command can get another: the job, which is free,
 * waits for that, once. False: it has had its chance, or there was no such refusal. */
bool destination_gets_token(struct destination *d, struct job *j) MUST_USE;
/* The job, which is free, needs another connection than the one that had it: it is next. */
void destination_take_back(struct destination *d, struct job *j);
/* What experience says is not true any more; when nothing else keeps it, it goes. */
void destination_forget(struct destination *d);
/* It was not refused for a while. */
bool destination_may_use_bdat(const struct destination *d) MUST_USE;
/* A host took so many recipients in a transaction, and no more. */
void destination_learn_rcpts(struct destination *d, uint64_t most, struct view host);
/* The recipients to ask for at once; 0: no limit. `said` is the host's own word. */
uint64_t destination_rcpts_most(const struct destination *d, uint64_t said) MUST_USE;
/* The site has more connections than it may have now. */
bool destination_is_crowded(const struct destination *d) MUST_USE;
/* One of its connections, which had so many messages and is free, is to go for the sake of another
 * destination of the site. */
bool destination_gives_way(const struct destination *d, unsigned messages) MUST_USE;
/* An attempt to connect is made. */
void destination_count_attempt(struct destination *d);
/* A second attempt to connect, beside the one of a connection, counts as a connection more while it
 * lasts. False: there must not be one now. */
bool destination_begin_race(struct destination *d) MUST_USE;
void destination_end_race(struct destination *d);
/* No host can be reached, or there is none: what waits is decided too, if it has no other hope. */
void destination_give_up(struct destination *d, const struct outcome *o);

#endif
