#include "queue/row.h"
#include "queue/row_parts.h"

#include "queue/alarm.h"
#include "queue/dispatch.h"
#include "queue/siterow.h"

enum { TROUBLED_MAX = 100 }; /* destinations in back-off that the status names */

static void put_counts(const struct queue *q, struct buf *out)
{
    const struct index *x = &q->index;
    uint64_t waiting = 0;

    list_each (it, &x->troubled)
        waiting += container_of(it, struct site, trouble)->due_count;
    put_number(out, "messages", x->mails.count - q->trash_count);
    put_number(out, "held", x->held_count - q->trash_count);
    put_number(out, "deleted", q->trash_count);
    begin_object(out, "deliveries"); /* a delivery: a message x a destination */
    put_number(out, "ready", x->unit_counts[UNIT_DUE] - waiting);
    put_number(out, "active",
               x->unit_counts[UNIT_RUNNING] + x->unit_counts[UNIT_FAILING] +
                   x->unit_counts[UNIT_ARRIVED]);
    put_number(out, "deferred", x->unit_counts[UNIT_TIMED]);
    put_number(out, "waiting", waiting);
    put_number(out, "held", x->unit_counts[UNIT_PARKED]);
    buf_put_byte(out, '}');
}

static void put_totals(const struct queue_totals *t, struct buf *out)
{
    begin_object(out, "since_start");
    put_number(out, "accepted", t->accepted);
    put_number(out, "delivered", t->delivered);
    put_number(out, "deferred", t->deferred);
    put_number(out, "bounced", t->bounced);
    put_number(out, "failed", t->failed);
    put_number(out, "expired", t->expired);
    put_number(out, "deleted", t->deleted);
    buf_put_byte(out, '}');
}

static void put_spool(const struct queue *q, struct buf *out)
{
    static const char *const troubles[] = { "none", "full", "broken", "suspended", "invalid" };
    struct store_numbers n;

    store_count(q->store, &n);
    n.damaged += q->unreadable + q->bodies_damaged;
    alarm_write(&n, q->index.surplus_count, q->unread_lasting, out);
    begin_object(out, "spool");
    put_view(out, "trouble", view_of(troubles[n.trouble]));
    put_number(out, "segments", n.segments);
    put_number(out, "live_messages", n.live_messages);
    put_number(out, "live_bytes", n.live_bytes);
    put_number(out, "disk_bytes", n.disk_bytes);
    put_number(out, "free_bytes", n.free_bytes);
    put_number(out, "batches", n.batches);
    put_number(out, "records", n.records);
    put_number(out, "syncs_failed", n.syncs_failed);
    put_number(out, "damaged", n.damaged);
    put_number(out, "segments_emptied", n.segments_emptied);
    put_number(out, "moved_bytes", n.moved_bytes);
    put_number(out, "cache_bytes", q->cache.bytes);
    buf_put_byte(out, '}');
}

static void put_worker(void *context, const struct worker_numbers *w)
{
    struct buf *out = context;

    if (buf_space(out) < RCPT_ROOM)
        return;
    begin_element(out);
    put_view(out, "process", view_of(process_name(w->kind)));
    put_number(out, "index", w->index);
    put_number(out, "running", w->running);
    put_number(out, "most", w->credits);
    put_bool(out, "draining", w->draining);
    buf_put_byte(out, '}');
}

static void put_troubled(const struct queue *q, struct buf *out)
{
    unsigned left = TROUBLED_MAX;

    put_key(out, "backed_off");
    buf_put_byte(out, '[');
    list_each (it, &q->index.troubled) {
        const struct site *s = container_of(it, struct site, trouble);
        char room[1024];
        struct buf words = BUF_ON_ARRAY(room);

        if (left-- == 0 || buf_space(out) < RCPT_ROOM)
            break;
        (void)siterow_print_cause(s, &words);
        begin_element(out);
        put_view(out, "destination", s->name);
        put_number(out, "waiting", s->due_count);
        put_number(out, "failures", s->failures);
        put_time(out, "since", queue_wall_ms(q, s->since_ms));
        put_time(out, "next_at", s->forced ? 0 : queue_wall_ms(q, s->until_ms));
        put_view(out, "cause", buf_view(&words));
        buf_put_byte(out, '}');
    }
    buf_put_byte(out, ']');
}

static void put_reload(const struct queue *q, struct buf *out)
{
    begin_object(out, "settings");
    put_number(out, "generation", q->generation);
    if (q->reload.at_ms > 0) {
        put_time(out, "reloaded_at", q->reload.at_ms);
        put_bool(out, "reload_ok", q->reload.ok);
        put_some(out, "reload_error", view_of(q->reload.words));
    }
    buf_put_byte(out, '}');
}

static void put_listeners(const struct settings *s, struct buf *out)
{
    static const char *const roles[] = { "mx", "submission", "trusted" };

    put_key(out, "listeners");
    buf_put_byte(out, '[');
    for (size_t i = 0; i < s->listener_count && buf_space(out) >= RCPT_ROOM; i++) {
        char room[NET_ADDRESS_TEXT_MAX];
        struct buf address = BUF_ON_ARRAY(room);

        (void)net_print_address_port(&s->listeners[i].address, &address);
        begin_element(out);
        put_view(out, "name", s->listeners[i].name);
        put_view(out, "address", buf_view(&address));
        put_view(out, "role", view_of(roles[s->listeners[i].role]));
        buf_put_byte(out, '}');
    }
    buf_put_byte(out, ']');
}

void row_write_status(struct queue *q, struct buf *out)
{
    bool running = q->dispatch != NULL;

    buf_put(out, VIEW("{\"v\":1"));
    put_bool(out, "running", running);
    if (running) {
        put_number(out, "uptime_s", (queue_now_ms(q) - q->base_ms) / 1000);
        put_bool(out, "draining", q->draining);
    }
    put_counts(q, out);
    if (running) {
        put_totals(&q->totals, out);
        put_key(out, "workers");
        buf_put_byte(out, '[');
        dispatch_each_worker(q->dispatch, put_worker, out);
        buf_put_byte(out, ']');
        put_reload(q, out);
        put_listeners(q->settings, out);
    }
    put_spool(q, out);
    put_troubled(q, out);
    buf_put(out, VIEW("}\n"));
}
