/* tern-dns: asks the name servers for all others. The only role that parses what they say; it holds
 * nothing else. */
#include "common/memory.h"
#include "dns/desk.h"
#include "io/log.h"
#include "ipc/role.h"

#include <stdlib.h>
#include <unistd.h>

enum { FILES_MAX = 4096 };

struct dns {
    struct role role;
    struct desk desk;
    struct list clients;
    bool draining;
};

struct client {
    struct peer peer; /* its link is in dns.clients */
    struct customer customer;
    struct deferred free_later;
};

static struct dns dns;
static char items_room[CHANNEL_PACKET_MAX / 2];

static void on_answer(struct customer *customer, uint64_t id, const struct finding *f)
{
    struct client *c = container_of(customer, struct client, customer);
    struct buf items = BUF_ON_ARRAY(items_room);
    struct message_dns_answer m = {
        .question = id, .result = f->result, .implicit = f->implicit, .words = f->words
    };

    for (size_t i = 0; i < f->count; i++) {
        enum dns_question kind = f->items[i].family == 0 ? DNS_ROUTE : DNS_ADDRESSES;

        if (dns_items_put(&items, kind, &f->items[i]))
            m.item_count++;
    }
    m.items = buf_view(&items);
    peer_send_dns_answer(&c->peer, &m, -1);
}

static bool heard_ask(struct client *c, struct view fields)
{
    struct message_dns_ask m;

    if (!message_dns_ask_decode(fields, &m))
        return false;
    desk_ask(&dns.desk, &c->customer, m.question, m.kind, m.name);
    return true;
}

static bool heard_forget(struct client *c, struct view fields)
{
    struct message_dns_forget m;

    if (!message_dns_forget_decode(fields, &m))
        return false;
    desk_forget_one(&c->customer, m.question);
    return true;
}

static bool on_heard(struct peer *p, enum message type, struct view fields, int fd)
{
    struct client *c = container_of(p, struct client, peer);

    if (fd >= 0) {
        close(fd);
        return false;
    }
    if (type == MESSAGE_DNS_FORGET)
        return heard_forget(c, fields);
    return type == MESSAGE_DNS_ASK && heard_ask(c, fields);
}

static void stop_when_unneeded(void)
{
    if (dns.draining && list_empty(&dns.clients))
        loop_stop(&dns.role.loop);
}

static void on_free(struct deferred *d)
{
    free(container_of(d, struct client, free_later));
}

static void on_client_gone(struct peer *p)
{
    struct client *c = container_of(p, struct client, peer);

    desk_forget(&c->customer);
    list_remove(&p->link);
    loop_defer(&dns.role.loop, &c->free_later);
    stop_when_unneeded();
}

static void on_granted(struct role *r, const struct message_grant *what, int fd)
{
    struct client *c;
    int err;

    if (what->kind != GRANT_PEER) {
        close(fd);
        return;
    }
    c = memory_new(sizeof(*c));
    customer_init(&c->customer, what->peer == DELIVERY);
    c->customer.answer = on_answer;
    c->free_later.run = on_free;
    c->peer.heard = on_heard;
    c->peer.gone = on_client_gone;
    err = peer_open(&c->peer, &r->loop, DNS, what->peer, what->index, fd);
    if (err < 0) {
        log_error("channel_failed", LOG_STRING("peer", process_name(what->peer)),
                  LOG_ERRNO("error", -err));
        close(fd);
        free(c);
        return;
    }
    list_append(&dns.clients, &c->peer.link);
}

/* Those that ask finish first. */
static void on_drain(struct role *r, bool stop)
{
    (void)r;
    (void)stop;
    dns.draining = true;
    stop_when_unneeded();
}

int main(void)
{
    struct sandbox sandbox = { .files_max = FILES_MAX };
    const struct dns_settings *settings = &dns.role.settings.dns;
    struct resolver *resolver;
    struct error err;

    role_begin(&dns.role, DNS);
    resolver = resolver_new(&dns.role.loop, settings, &err);
    if (resolver == NULL) {
        log_error("start_failed", LOG_STRING("reason", err.text));
        return ROLE_EXIT_CONFIG;
    }
    list_init(&dns.clients);
    desk_init(&dns.desk, &dns.role.loop, resolver, settings);
    dns.role.granted = on_granted;
    dns.role.drain = on_drain;
    return role_run(&dns.role, &sandbox);
}
