#include "dns/resolver.h"

#include "common/memory.h"
#include "io/log.h"

#include <ares.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

enum {
    CLASS_IN = 1,
    UDP_ANSWER_MAX = 1232, /* bytes, announced by EDNS: what passes every network unfragmented */
    IN_FLIGHT_MAX = 2000,  /* questions */
    FRESH_MAX = 200,       /* of them: more at once overrun the buffers of name servers */
    FRESH_MS = 1000,       /* what has no answer then takes no room from others */
    OTHERS_MAX = 100,      /* of those in flight: that are not urgent */
};

struct resolver {
    struct loop *loop;
    ares_channel channel;
    struct timer timer;
    struct list sockets;
    struct list urgent, others; /* queries for which there is no room in flight */
    struct list fresh;          /* queries in flight, the oldest first */
    struct timer aging;
    unsigned in_flight, others_in_flight, fresh_count;
};

struct resolver_socket {
    struct list link;
    struct watch watch;
    struct resolver *resolver;
    struct deferred free_later;
};

/* c-ares wants to be called no later than it says, whatever happens on its sockets. */
static void set_timer(struct resolver *r)
{
    struct timeval room;
    const struct timeval *left = ares_timeout(r->channel, NULL, &room);

    if (left == NULL)
        loop_stop_timer(r->loop, &r->timer);
    else
        loop_start_timer(r->loop, &r->timer,
                         (uint64_t)left->tv_sec * 1000 + (uint64_t)left->tv_usec / 1000 + 1);
}

static void on_timer(struct timer *t)
{
    struct resolver *r = container_of(t, struct resolver, timer);

    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    set_timer(r);
}

static void on_socket_ready(struct watch *w, unsigned what)
{
    struct resolver *r = container_of(w, struct resolver_socket, watch)->resolver;

    ares_process_fd(r->channel, what & WANT_READ ? w->fd : ARES_SOCKET_BAD,
                    what & WANT_WRITE ? w->fd : ARES_SOCKET_BAD);
    set_timer(r);
}

static void on_free_socket(struct deferred *d)
{
    free(container_of(d, struct resolver_socket, free_later));
}

static struct resolver_socket *find_socket(const struct resolver *r, int fd)
{
    list_each (it, &r->sockets) {
        struct resolver_socket *s = container_of(it, struct resolver_socket, link);

        if (s->watch.fd == fd)
            return s;
    }
    return NULL;
}

static struct resolver_socket *add_socket(struct resolver *r, int fd)
{
    struct resolver_socket *s = memory_new(sizeof(*s));

    s->resolver = r;
    s->watch.fd = fd;
    s->watch.ready = on_socket_ready;
    s->free_later.run = on_free_socket;
    list_append(&r->sockets, &s->link);
    return s;
}

/* c-ares tells what it waits for; nothing at all, just before it closes the socket. */
static void on_socket_state(void *of, ares_socket_t fd, int readable, int writable)
{
    struct resolver *r = of;
    struct resolver_socket *s = find_socket(r, fd);
    unsigned wanted = (readable ? (unsigned)WANT_READ : 0) | (writable ? (unsigned)WANT_WRITE : 0);
    int err;

    if (wanted == 0) {
        if (s == NULL)
            return;
        loop_unwatch(r->loop, &s->watch);
        list_remove(&s->link);
        loop_defer(r->loop, &s->free_later);
        return;
    }
    if (s == NULL)
        s = add_socket(r, fd);
    err = loop_watch(r->loop, &s->watch, wanted);
    if (err < 0) /* the question will time out */
        log_error("watch_failed", LOG_ERRNO("error", -err));
}

/* The port is given for UDP and TCP alike. */
static int set_servers(struct resolver *r, const struct dns_settings *s)
{
    struct ares_addr_port_node *nodes = memory_new_array(s->server_count + 1, sizeof(*nodes));
    int result = ARES_SUCCESS;

    for (size_t i = 0; i < s->server_count; i++) {
        const struct net_address *a = &s->servers[i];
        struct ares_addr_port_node *node = &nodes[i];

        node->family = a->family;
        node->udp_port = node->tcp_port = a->port != 0 ? a->port : 53;
        if (a->family == AF_INET)
            memcpy(&node->addr.addr4, a->bytes, sizeof(node->addr.addr4));
        else
            memcpy(&node->addr.addr6, a->bytes, sizeof(node->addr.addr6));
        node->next = i + 1 < s->server_count ? node + 1 : NULL;
    }
    if (s->server_count > 0)
        result = ares_set_servers_ports(r->channel, nodes);
    free(nodes);
    return result;
}

static void on_aging(struct timer *t);

struct resolver *resolver_new(struct loop *l, const struct dns_settings *s, struct error *err)
{
    static char lookups[] = "b"; /* no file of hosts */
    struct resolver *r = memory_new(sizeof(*r));
    struct ares_options options = {
        .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
        .timeout = (int)s->timeout_ms,
        .tries = (int)s->tries,
        .ednspsz = UDP_ANSWER_MAX,
        .lookups = lookups,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = r,
    };
    int result = ares_library_init(ARES_LIB_INIT_ALL);

    /* With a server to turn to, a SERVFAIL makes c-ares do so; it does not say then that there was
     * one. */
    if (s->server_count <= 1)
        options.flags |= ARES_FLAG_NOCHECKRESP;
    r->loop = l;
    r->timer.fire = on_timer;
    list_init(&r->sockets);
    list_init(&r->urgent);
    list_init(&r->others);
    list_init(&r->fresh);
    r->aging.fire = on_aging;
    if (result == ARES_SUCCESS)
        result =
            ares_init_options(&r->channel, &options,
                              ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                                  ARES_OPT_EDNSPSZ | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB);
    if (result == ARES_SUCCESS)
        result = set_servers(r, s);
    if (result != ARES_SUCCESS) {
        error_set(err, 0, "c-ares: %s", ares_strerror(result));
        free(r);
        return NULL;
    }
    return r;
}

/* Why there is no packet, in words; NULL: there is one, and it says everything itself. */
static const char *explain(int status)
{
    switch (status) {
    case ARES_SUCCESS:
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
        return NULL;
    case ARES_ETIMEOUT:
        return "no name server answered in time";
    case ARES_ECONNREFUSED:
        return "the name servers fail or cannot be reached";
    case ARES_ESERVFAIL:
        return "SERVFAIL";
    case ARES_EREFUSED:
        return "the name server refused to answer";
    case ARES_ENOTIMP:
    case ARES_EFORMERR:
        return "the name server did not understand";
    default:
        return ares_strerror(status);
    }
}

static void launch(struct resolver *r);

static void end_freshness(struct resolver_query *q)
{
    if (!q->fresh)
        return;
    q->fresh = false;
    list_remove(&q->link);
    q->resolver->fresh_count--;
}

static void on_deliver(struct deferred *d)
{
    struct resolver_query *q = container_of(d, struct resolver_query, deliver);
    struct resolver *r = q->resolver;
    struct view packet = view_make(q->packet, q->packet_len);
    char *room = q->packet;

    end_freshness(q);
    q->flying = false;
    r->in_flight--;
    r->others_in_flight -= q->among_others;
    q->answered(q, packet, q->failure); /* q may be gone */
    free(room);
    launch(r);
}

/* Comes from inside c-ares, perhaps while the question is being asked: the asker hears later. */
static void on_answer(void *of, int status, int timeouts, unsigned char *packet, int len)
{
    struct resolver_query *q = of;

    (void)timeouts;
    q->packet = NULL;
    q->packet_len = 0;
    q->failure = explain(status);
    if (q->failure == NULL && packet != NULL && len > 0) {
        q->packet = memory_copy(view_make(packet, (size_t)len));
        q->packet_len = (size_t)len;
    } else if (q->failure == NULL) {
        q->failure = "no answer";
    }
    loop_defer(q->resolver->loop, &q->deliver);
}

static struct resolver_query *take_next(struct resolver *r)
{
    struct list *it;

    if (r->in_flight == IN_FLIGHT_MAX || r->fresh_count == FRESH_MAX)
        return NULL;
    it = list_take_first(&r->urgent);
    if (it == NULL && r->others_in_flight < OTHERS_MAX)
        it = list_take_first(&r->others);
    return it == NULL ? NULL : container_of(it, struct resolver_query, link);
}

static struct resolver_query *oldest_fresh(const struct resolver *r)
{
    return list_empty(&r->fresh) ? NULL : container_of(r->fresh.next, struct resolver_query, link);
}

static void set_aging(struct resolver *r)
{
    const struct resolver_query *q = oldest_fresh(r);
    uint64_t now_ms = r->loop->now_ms;

    if (q == NULL)
        loop_stop_timer(r->loop, &r->aging);
    else
        loop_start_timer(r->loop, &r->aging, MAX(q->since_ms + FRESH_MS, now_ms) - now_ms);
}

static void on_aging(struct timer *t)
{
    struct resolver *r = container_of(t, struct resolver, aging);
    struct resolver_query *q;

    while ((q = oldest_fresh(r)) != NULL && q->since_ms + FRESH_MS <= r->loop->now_ms)
        end_freshness(q);
    launch(r);
}

/* Asks as many of those that wait as there is room for. */
static void launch(struct resolver *r)
{
    struct resolver_query *q;

    while ((q = take_next(r)) != NULL) {
        char *name = memory_copy(q->name);

        q->waiting = false;
        q->flying = q->fresh = true;
        q->since_ms = r->loop->now_ms;
        list_append(&r->fresh, &q->link);
        r->fresh_count++;
        q->among_others = !q->urgent;
        r->in_flight++;
        r->others_in_flight += q->among_others;
        ares_query(r->channel, name, CLASS_IN, (int)q->type, on_answer, q);
        free(name);
    }
    set_timer(r);
    set_aging(r);
}

void resolver_ask(struct resolver *r, struct resolver_query *q, struct view name,
                  enum answer_type type)
{
    q->resolver = r;
    q->name = name;
    q->type = type;
    q->deliver = (struct deferred){ .run = on_deliver };
    q->waiting = true;
    list_append(q->urgent ? &r->urgent : &r->others, &q->link);
    launch(r);
}

void resolver_hasten(struct resolver_query *q)
{
    if (q->urgent)
        return;
    q->urgent = true;
    if (!q->waiting)
        return;
    list_remove(&q->link);
    list_append(&q->resolver->urgent, &q->link);
    launch(q->resolver);
}

bool resolver_drop(struct resolver_query *q)
{
    if (q->waiting)
        list_remove(&q->link);
    q->waiting = false;
    return !q->flying;
}
