#include "delivery/destination.h"

#include "common/memory.h"
#include "delivery/conn.h"
#include "mail/idn.h"

#include <stdlib.h>

enum { KEY_MAX = 1024 };

/* ---- life ---- */

static void on_release(struct deferred *deferred)
{
    struct destination *d = container_of(deferred, struct destination, release);
    struct loop *l = d->worker->loop;

    if (d->conn_total > 0 || !list_empty(&d->waiting))
        return;
    if (l->now_ms < d->memory.broken_until_ms) {
        loop_start_timer(l, &d->forget, d->memory.broken_until_ms - l->now_ms);
        return;
    }
    loop_stop_timer(l, &d->forget);
    table_remove(&d->worker->destinations, &d->entry);
    free(d->key);
    free(d);
}

static void on_forget(struct timer *t)
{
    struct destination *d = container_of(t, struct destination, forget);

    loop_defer(d->worker->loop, &d->release);
}

/* What the key is made of; the host as name servers know it. */
static bool put_key(const struct job *j, struct buf *key)
{
    const struct message_job_start *s = &j->start;

    return buf_printf(key, "%.*s\n", VIEW_ARG(s->hop_name)) && idn_domain(s->host, key) &&
           buf_printf(key, "\n%u %u %u", s->hop_kind, s->route, j->envelope.require_tls);
}

static void set_targets(struct destination *d, const struct message_job_start *s)
{
    const struct settings *settings = d->worker->settings;

    d->own = (struct route_target){ .kind = s->hop_kind == HOP_MX ? TARGET_MX : TARGET_HOST,
                                    .host = d->host,
                                    .port = (uint16_t)settings->delivery.port };
    d->targets = &d->own;
    d->target_count = 1;
    if (s->route > 0) {
        d->route = &settings->routes[s->route - 1];
        d->targets = d->route->targets;
        d->target_count = d->route->target_count;
        d->tls.level = (enum route_tls)d->route->tls;
    }
}

static struct destination *make_destination(struct worker *w, const struct job *j, struct view key)
{
    const struct message_job_start *s = &j->start;
    struct destination *d = memory_new(sizeof(*d));
    struct view names;

    d->worker = w;
    d->key = memory_copy(key);
    names = view_make(d->key, key.len);
    d->name = view_take_until(&names, '\n');
    d->host = view_take_until(&names, '\n');
    d->tls = (struct tls_wish){ ROUTE_TLS_OFFERED, false, j->envelope.require_tls };
    set_targets(d, s);
    list_init(&d->waiting);
    list_init(&d->idle);
    d->forget.fire = on_forget;
    d->release.run = on_release;
    table_add(&w->destinations, &d->entry, view_make(d->key, key.len));
    return d;
}

/* Hops that differ in anything share no connection, nor do messages whose TLS must prove more.
 * NULL: no name that name servers can know. */
static struct destination *find_destination(struct worker *w, const struct job *j)
{
    char room[KEY_MAX];
    struct buf key = BUF_ON_ARRAY(room);
    struct table_entry *e;

    if (!put_key(j, &key))
        return NULL;
    e = table_find(&w->destinations, buf_view(&key));
    if (e != NULL)
        return container_of(e, struct destination, entry);
    return make_destination(w, j, buf_view(&key));
}

/* ---- jobs and connections ---- */

/* The limit of the process makes the longest unused connection of any destination go; the queue
 * sends no more jobs than there may be connections. */
static void open_conn(struct destination *d, struct job *j)
{
    struct worker *w = d->worker;

    if (w->conn_count >= w->settings->delivery.connections && !list_empty(&w->idle))
        conn_quit(container_of(w->idle.next, struct conn, idle_link));
    conn_open(d, j);
}

static bool may_open(const struct destination *d)
{
    return d->conn_count < d->worker->settings->delivery.concurrency;
}

/* A route that leads to no host has the answer itself. */
static bool answers_itself(const struct destination *d, struct outcome *o)
{
    const struct route_target *t = d->targets;

    if (t->kind == TARGET_REPLY)
        *o = (struct outcome){ .class = t->code >= 500 ? OUTCOME_FAILED : OUTCOME_DEFERRED,
                               .scope = SCOPE_MESSAGE,
                               .code = t->code,
                               .enhanced = t->enhanced,
                               .text = t->host,
                               .doing = VIEW_INIT("following a route") };
    else if (t->kind == TARGET_DISCARD)
        *o = (struct outcome){ .class = OUTCOME_DELIVERED,
                               .scope = SCOPE_MESSAGE,
                               .enhanced = { 2, 0, 0 },
                               .text = VIEW_INIT("discarded"),
                               .doing = VIEW_INIT("following a route") };
    else
        return false;
    return true;
}

static void answer_job(struct worker *w, struct job *j, const struct outcome *o)
{
    job_decide_rest(j, o, w->loop->now_ms);
    worker_end_job(w, j);
}

void destination_take_job(struct worker *w, struct job *j)
{
    static const struct outcome no_name = { .class = OUTCOME_FAILED,
                                            .scope = SCOPE_MESSAGE,
                                            .enhanced = { 5, 1, 2 },
                                            .text = VIEW_INIT("the domain's name is none that "
                                                              "can be looked up") };
    struct destination *d = find_destination(w, j);
    struct outcome o;

    if (d == NULL) {
        answer_job(w, j, &no_name);
    } else if (answers_itself(d, &o)) {
        answer_job(w, j, &o);
        loop_defer(w->loop, &d->release);
    } else if (!list_empty(&d->idle)) {
        conn_give(container_of(d->idle.next, struct conn, link), j);
    } else if (may_open(d)) {
        open_conn(d, j);
    } else {
        list_append(&d->waiting, &j->link);
    }
}

struct job *destination_next_job(struct destination *d)
{
    struct list *first = list_take_first(&d->waiting);

    return first == NULL ? NULL : container_of(first, struct job, link);
}

void destination_lose_conn(struct destination *d)
{
    while (may_open(d) && !list_empty(&d->waiting))
        open_conn(d, destination_next_job(d));
    loop_defer(d->worker->loop, &d->release);
}

void destination_give_up(struct destination *d, const struct outcome *o)
{
    struct job *j;

    if (o->scope != SCOPE_DESTINATION || d->conn_count > 1)
        return;
    while ((j = destination_next_job(d)) != NULL)
        answer_job(d->worker, j, o);
}
