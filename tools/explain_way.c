/* The hosts and addresses that "tern explain" names, and the limits that hold for them. */
#include "tools/explain.h"

#include "tools/ways.h"

#include <stdio.h>

enum { HOSTS_ROOM = 16384, LINE_ROOM = 4096 };

/* ---- limits ---- */

static void put_rate(const struct rate *r, const char *what, struct buf *out)
{
    if (r->count > 0)
        buf_printf(out, ", %llu %s in %llums", (unsigned long long)r->count, what,
                   (unsigned long long)r->period_ms);
}

static void tell_limits(struct question *q, struct view domain, struct view hosts)
{
    const struct destination_settings *rule = settings_destination(q->settings, domain, hosts);
    struct destination_limits l;
    char room[LINE_ROOM];
    struct buf words = BUF_ON_ARRAY(room);

    settings_limits(q->settings, rule, &l);
    buf_printf(&words, "%llu connections, %llu messages each", (unsigned long long)l.concurrency,
               (unsigned long long)l.messages_per_connection);
    put_rate(&l.messages, "messages", &words);
    put_rate(&l.recipients, "recipients", &words);
    put_rate(&l.connections, "attempts to connect", &words);
    buf_put(&words, VIEW("; again after "));
    config_print_number(CONFIG_SECONDS, l.retry.first_ms, &words);
    buf_put(&words, VIEW(", then at most "));
    config_print_number(CONFIG_SECONDS, l.retry.longest_ms, &words);
    steps_add(&q->steps, "limits", rule != NULL ? rule->origin : "default", "%.*s",
              VIEW_ARG(buf_view(&words)));
}

/* ---- hosts ---- */

static const char *step_of(bool mx)
{
    return mx ? "mx" : "host";
}

static void tell_host(struct question *q, bool mx, const struct way_host *h)
{
    char preference[16] = "";

    if (mx)
        (void)snprintf(preference, sizeof(preference), "%u ", h->preference);
    if (h->addresses.len > 0)
        steps_add(&q->steps, step_of(mx), NULL, "%s%.*s: %.*s", preference, VIEW_ARG(h->name),
                  VIEW_ARG(h->addresses));
    else
        steps_add(&q->steps, step_of(mx), NULL, "%s%.*s: %s", preference, VIEW_ARG(h->name),
                  h->tried ? "no address that can be used"
                           : "not tried in one attempt: delivery.hosts and delivery.addresses");
}

/* Every question is answered: by the hosts, or by why there are none. */
static void tell_way(struct question *q, bool mx, const struct message_way_ask *ask,
                     struct buf *hosts)
{
    struct message_way_answer a;
    struct error err = { "" };
    struct way_host h;
    struct view rest;

    if (q->ways == NULL)
        q->ways = ways_open(q->config, q->settings, &err);
    if (q->ways == NULL || ways_ask(q->ways, ask, &a, &err) < 0) {
        steps_add(&q->steps, step_of(mx), NULL, "%.*s: not looked up, since %s",
                  VIEW_ARG(ask->target), err.text);
        return;
    }
    rest = a.hosts;
    while (rest.len > 0 && way_hosts_take(&rest, &h)) {
        tell_host(q, mx, &h);
        buf_printf(hosts, "%s%.*s", buf_len(hosts) > 0 ? "," : "", VIEW_ARG(h.name));
    }
    if (a.words.len > 0)
        steps_add(&q->steps, step_of(mx), NULL, "%.*s: %.*s", VIEW_ARG(ask->target),
                  VIEW_ARG(a.words));
}

void explain_way(struct question *q, const struct hop *hop)
{
    const struct route_settings *r = hop->route > 0 ? &q->settings->routes[hop->route - 1] : NULL;
    const struct route_target own = { .kind = hop->kind == HOP_MX ? TARGET_MX : TARGET_HOST,
                                      .host = hop->host,
                                      .port = (uint16_t)q->settings->delivery.port };
    const struct route_target *targets = r != NULL ? r->targets : &own;
    static char room[HOSTS_ROOM];
    struct buf hosts = BUF_ON_ARRAY(room);

    for (size_t i = 0; i < (r != NULL ? r->target_count : 1); i++) {
        bool mx = targets[i].kind == TARGET_MX;
        const struct message_way_ask ask = {
            .mx = mx || r == NULL, /* the address in a literal is its own mail host */
            .target = mx ? hop->host : targets[i].host,
            .port = mx ? own.port : targets[i].port,
            .family = r != NULL && r->source_count == 1 ? r->sources[0].family : 0,
        };

        if (targets[i].kind >= TARGET_DISCARD)
            return;
        if (targets[i].kind != TARGET_PATH)
            tell_way(q, mx, &ask, &hosts);
        /* What the queue goes by: the mail hosts, or the first that is configured. */
        if (i == 0)
            tell_limits(q, mx ? hop->host : VIEW_EMPTY, mx ? buf_view(&hosts) : targets[i].host);
    }
}
