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
    TICK_MS = 20,          /* how late a time-out may be */
    TRY_MS = 2500, /* the first server's, before rounds are given up when they fill most quickly */
};

/* A channel of c-ares. It can give up all of its questions, or none: so there are several, which
 * are filled one after another, and the one that comes next is the one with the oldest. */
struct round {
    struct resolver *resolver;
    ares_channel channel;
    struct list sockets;
    unsigned in_flight;
};

struct resolver {
    struct loop *loop;
    struct timer timer; /* for c-ares, while anything is in flight */
    struct timer aging; /* for the lines */
    struct lines lines;
    struct round rounds[RESOLVER_ROUNDS];
    unsigned current; /* of them: where questions go */
    unsigned in_flight;
};

struct resolver_socket {
    struct list link;
    struct watch watch;
    struct round *round;
    struct deferred free_later;
};

static void set_timer(struct resolver *r)
{
    if (r->in_flight == 0)
        loop_stop_timer(r->loop, &r->timer);
    else if (!timer_running(&r->timer))
        loop_start_timer(r->loop, &r->timer, TICK_MS);
}

/* c-ares could tell when its next time-out is, but looks at all of its questions for that. */
static void on_timer(struct timer *t)
{
    struct resolver *r = container_of(t, struct resolver, timer);

    for (unsigned i = 0; i < RESOLVER_ROUNDS; i++) {
        if (r->rounds[i].in_flight > 0)
            ares_process_fd(r->rounds[i].channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    }
    set_timer(r);
}

static void on_socket_ready(struct watch *w, unsigned what)
{
    struct round *round = container_of(w, struct resolver_socket, watch)->round;

    ares_process_fd(round->channel, what & WANT_READ ? w->fd : ARES_SOCKET_BAD,
                    what & WANT_WRITE ? w->fd : ARES_SOCKET_BAD);
}

static void on_free_socket(struct deferred *d)
{
    free(container_of(d, struct resolver_socket, free_later));
}

static struct resolver_socket *find_socket(const struct round *r, int fd)
{
    list_each (it, &r->sockets) {
        struct resolver_socket *s = container_of(it, struct resolver_socket, link);

        if (s->watch.fd == fd)
            return s;
    }
    return NULL;
}

static struct resolver_socket *add_socket(struct round *r, int fd)
{
    struct resolver_socket *s = memory_new(sizeof(*s));

    s->round = r;
    s->watch.fd = fd;
    s->watch.ready = on_socket_ready;
    s->free_later.run = on_free_socket;
    list_append(&r->sockets, &s->link);
    return s;
}

/* c-ares tells what it waits for; nothing at all, just before it closes the socket. */
static void on_socket_state(void *of, ares_socket_t fd, int readable, int writable)
{
    struct round *r = of;
    struct loop *loop = r->resolver->loop;
    struct resolver_socket *s = find_socket(r, fd);
    unsigned wanted = (readable ? (unsigned)WANT_READ : 0) | (writable ? (unsigned)WANT_WRITE : 0);
    int err;

    if (wanted == 0) {
        if (s == NULL)
            return;
        loop_unwatch(loop, &s->watch);
        list_remove(&s->link);
        loop_defer(loop, &s->free_later);
        return;
    }
    if (s == NULL)
        s = add_socket(r, fd);
    err = loop_watch(loop, &s->watch, wanted);
    if (err < 0) /* the question will time out */
        log_error("watch_failed", LOG_ERRNO("error", -err));
}

/* The port is given for UDP and TCP alike. */
static int set_servers(struct round *r, const struct dns_settings *s)
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

static int open_round(struct round *r, const struct dns_settings *s)
{
    static char lookups[] = "b"; /* no file of hosts */
    struct ares_options options = {
        .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
        .timeout = (int)(s->server_count > 1 ? MIN(s->timeout_ms, TRY_MS) : s->timeout_ms),
        .tries = (int)s->tries,
        .ednspsz = UDP_ANSWER_MAX,
        .lookups = lookups,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = r,
    };
    int result;

    /* With a server to turn to, a SERVFAIL makes c-ares do so; it does not say then that there was
     * one. */
    if (s->server_count <= 1)
        options.flags |= ARES_FLAG_NOCHECKRESP;
    list_init(&r->sockets);
    result = ares_init_options(&r->channel, &options,
                               ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                                   ARES_OPT_EDNSPSZ | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB);
    return result == ARES_SUCCESS ? set_servers(r, s) : result;
}

static void on_aging(struct timer *t);

struct resolver *resolver_new(struct loop *l, const struct dns_settings *s, struct error *err)
{
    struct resolver *r = memory_new(sizeof(*r));
    int result = ares_library_init(ARES_LIB_INIT_ALL);

    r->loop = l;
    r->timer.fire = on_timer;
    r->aging.fire = on_aging;
    lines_init(&r->lines);
    for (unsigned i = 0; i < RESOLVER_ROUNDS && result == ARES_SUCCESS; i++) {
        r->rounds[i].resolver = r;
        result = open_round(&r->rounds[i], s);
    }
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
    case ARES_ECANCELLED: /* too many others were asked since */
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

static void on_deliver(struct deferred *d)
{
    struct resolver_query *q = container_of(d, struct resolver_query, deliver);
    struct resolver *r = q->resolver;
    struct view packet = view_make(q->packet, q->packet_len);
    char *room = q->packet;

    lines_remove(&r->lines, &q->place);
    q->flying = false;
    q->answered(q, packet, q->failure); /* q may be gone */
    free(room);
    launch(r);
}

/* Comes from inside c-ares, perhaps while the question is being asked: the asker hears later. */
static void on_answer(void *of, int status, int timeouts, unsigned char *packet, int len)
{
    struct resolver_query *q = of;

    (void)timeouts;
    q->round->in_flight--;
    q->resolver->in_flight--;
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

static void set_aging(struct resolver *r)
{
    uint64_t due_ms = lines_due_ms(&r->lines);
    uint64_t now_ms = r->loop->now_ms;

    if (due_ms == UINT64_MAX)
        loop_stop_timer(r->loop, &r->aging);
    else
        loop_start_timer(r->loop, &r->aging, MAX(due_ms, now_ms) - now_ms);
}

static void on_aging(struct timer *t)
{
    launch(container_of(t, struct resolver, aging));
}

/* One with room: those that have been in the next one for longest wait no longer. */
static struct round *find_round(struct resolver *r)
{
    struct round *round = &r->rounds[r->current];

    if (round->in_flight < RESOLVER_ROUND_MAX)
        return round;
    r->current = (r->current + 1) % RESOLVER_ROUNDS;
    round = &r->rounds[r->current];
    if (round->in_flight > 0)
        ares_cancel(round->channel);
    return round;
}

static void send_question(struct resolver *r, struct resolver_query *q)
{
    char *name = memory_copy(q->name);

    q->round = find_round(r);
    q->flying = true;
    q->round->in_flight++;
    r->in_flight++;
    ares_query(q->round->channel, name, CLASS_IN, (int)q->type, on_answer, q);
    free(name);
}

/* Asks as many of those that wait as there are places for. */
static void launch(struct resolver *r)
{
    struct in_line *next;

    while ((next = lines_take(&r->lines, r->loop->now_ms)) != NULL)
        send_question(r, container_of(next, struct resolver_query, place));
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
    lines_add(&r->lines, &q->place, q->line);
    launch(r);
}

void resolver_move(struct resolver_query *q, enum line line)
{
    q->line = line;
    if (q->place.state != LINE_WAITING)
        return;
    lines_remove(&q->resolver->lines, &q->place);
    lines_add(&q->resolver->lines, &q->place, line);
    launch(q->resolver);
}

bool resolver_drop(struct resolver_query *q)
{
    if (q->place.state == LINE_WAITING)
        lines_remove(&q->resolver->lines, &q->place);
    return !q->flying;
}
