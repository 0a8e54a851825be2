#include "queue/siterow.h"

#include "mail/outcome.h"
#include "queue/pieces.h"
#include "queue/tlsnote.h"

enum {
    DOMAINS_MAX = 20, /* that a row names */
    CAUSE_ARENA_MAX = 65536,
};

bool siterow_is(const struct site *s, struct view name)
{
    struct view hosts = s->name;

    if (view_equal_nocase(s->name, name))
        return true;
    while (s->kind == SITE_HOSTS && hosts.len > 0) {
        if (view_equal_nocase(view_take_until(&hosts, ','), name))
            return true;
    }
    list_each (it, &s->members) {
        if (view_equal_nocase(container_of(it, struct destination, member)->hop.name, name))
            return true;
    }
    return false;
}

bool siterow_print_cause(const struct site *s, struct buf *words)
{
    struct arena arena;
    struct outcome o;
    bool there;

    arena_init(&arena, CAUSE_ARENA_MAX);
    there = outcome_decode(s->cause, &arena, &o) && outcome_print(&o, words);
    arena_reset(&arena);
    return there;
}

static const char *breaker_name(const struct site *s)
{
    if (!s->backed_off)
        return "closed";
    return s->probing ? "probing" : "open";
}

static void put_breaker(struct queue *q, const struct site *s, struct buf *out)
{
    put_view(out, "breaker", view_of(breaker_name(s)));
    if (!s->backed_off)
        return;
    put_bool(out, "forced", s->forced);
    put_number(out, "failures", s->failures);
    put_time(out, "since", queue_wall_ms(q, s->since_ms));
    if (!s->forced && !s->probing)
        put_time(out, "next_at", queue_wall_ms(q, s->until_ms));
}

static void put_rate(struct buf *out, const char *key, const struct rate *r)
{
    if (r->count == 0)
        return;
    begin_object(out, key);
    put_number(out, "count", r->count);
    put_number(out, "period_ms", r->period_ms);
    buf_put_byte(out, '}');
}

static void put_limits(const struct site *s, struct buf *out)
{
    const struct destination_limits *l = s->limits;

    put_number(out, "running", s->running);
    put_number(out, "connections", site_connections(s));
    put_number(out, "connections_most", l->concurrency);
    put_number(out, "messages_per_connection", l->messages_per_connection);
    put_rate(out, "message_rate", &l->messages);
    put_rate(out, "recipient_rate", &l->recipients);
    put_rate(out, "connection_rate", &l->connections);
}

static void put_past(struct queue *q, const struct site *s, struct buf *out)
{
    char room[1024];
    struct buf words = BUF_ON_ARRAY(room);

    if (s->pace.success_ms > 0)
        put_time(out, "last_success", queue_wall_ms(q, s->pace.success_ms));
    if (s->pace.failure_ms > 0)
        put_time(out, "last_failure", queue_wall_ms(q, s->pace.failure_ms));
    if (siterow_print_cause(s, &words))
        put_view(out, "cause", buf_view(&words));
}

static void put_domains(const struct site *s, struct buf *out)
{
    unsigned left = DOMAINS_MAX;

    put_number(out, "domain_count", s->member_count);
    put_key(out, "domains");
    buf_put_byte(out, '[');
    list_each (it, &s->members) {
        if (left-- == 0)
            break;
        if (left + 1 < DOMAINS_MAX)
            buf_put_byte(out, ',');
        json_quote(container_of(it, struct destination, member)->hop.name, out);
    }
    buf_put_byte(out, ']');
}

void siterow_write(struct queue *q, const struct site *s, struct buf *out)
{
    buf_put(out, VIEW("{\"v\":1"));
    put_view(out, "destination", s->name);
    if (s->kind == SITE_HOSTS)
        put_view(out, "hosts", s->name);
    put_breaker(q, s, out);
    put_number(out, "waiting", s->due_count);
    put_number(out, "senders_waiting", s->flows.count);
    put_number(out, "deliveries", s->units); /* with those that have a time of their own */
    put_limits(s, out);
    put_past(q, s, out);
    tlsnote_write(q, s, out);
    put_domains(s, out);
    buf_put(out, VIEW("}\n"));
}
