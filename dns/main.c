/* tern-dns: asks the name servers for all others. The only role that parses what they say; it holds
 * nothing else. */
#include "dns/desk.h"
#include "io/log.h"
#include "ipc/service.h"

enum { FILES_MAX = 4096 };

struct asking {
    struct client client;
    struct customer customer;
};

static struct service service;
static struct desk desk;
static char items_room[CHANNEL_PACKET_MAX / 2];

static void on_answer(struct customer *customer, uint64_t id, const struct finding *f)
{
    struct asking *c = container_of(customer, struct asking, customer);
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
    peer_send_dns_answer(&c->client.peer, &m, -1);
}

static bool heard_ask(struct asking *c, struct view fields)
{
    struct message_dns_ask m;

    if (!message_dns_ask_decode(fields, &m))
        return false;
    desk_ask(&desk, &c->customer, m.question, m.kind, m.name);
    return true;
}

static bool heard_forget(struct asking *c, struct view fields)
{
    struct message_dns_forget m;

    if (!message_dns_forget_decode(fields, &m))
        return false;
    desk_forget_one(&c->customer, m.question);
    return true;
}

static bool on_heard(struct client *client, enum message type, struct view fields)
{
    struct asking *c = container_of(client, struct asking, client);

    if (type == MESSAGE_DNS_FORGET)
        return heard_forget(c, fields);
    return type == MESSAGE_DNS_ASK && heard_ask(c, fields);
}

static void on_came(struct client *client)
{
    struct asking *c = container_of(client, struct asking, client);

    customer_init(&c->customer, client->peer.kind == DELIVERY);
    c->customer.answer = on_answer;
}

static void on_gone(struct client *client)
{
    desk_forget(&container_of(client, struct asking, client)->customer);
}

int main(void)
{
    struct sandbox sandbox = { .files_max = FILES_MAX };
    const struct dns_settings *settings = &service.role.settings.dns;
    struct resolver *resolver;
    struct error err;

    role_begin(&service.role, DNS);
    resolver = resolver_new(&service.role.loop, settings, &err);
    if (resolver == NULL) {
        log_error("start_failed", LOG_STRING("reason", err.text));
        return ROLE_EXIT_CONFIG;
    }
    desk_init(&desk, &service.role.loop, resolver, settings);
    service.client_bytes = sizeof(struct asking);
    service.came = on_came;
    service.heard = on_heard;
    service.gone = on_gone;
    return service_run(&service, &sandbox);
}
