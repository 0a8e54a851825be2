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
           buf_printf(key, "\n%u %u %u %u %u", s->hop_kind, s->port, s->tls, s->implicit_tls,
                      j->envelope.require_tls);
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
    d->kind = (enum hop_kind)s->hop_kind;
    d->port = s->port;
    d->tls = (struct tls_wish){ (enum route_tls)s->tls, s->implicit_tls, j->envelope.require_tls };
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

void destination_take_job(struct worker *w, struct job *j)
{
    static const struct outcome no_name = { .class = OUTCOME_FAILED,
                                            .scope = SCOPE_MESSAGE,
                                            .enhanced = { 5, 1, 2 },
                                            .text = VIEW_INIT("the domain's name is none that "
                                                              "can be looked up") };
    struct destination *d = find_destination(w, j);

    if (d == NULL) {
        job_decide_rest(j, &no_name, w->loop->now_ms);
        worker_end_job(w, j);
        return;
    }
    if (!list_empty(&d->idle))
        conn_give(container_of(d->idle.next, struct conn, link), j);
    else if (may_open(d))
        open_conn(d, j);
    else
        list_append(&d->waiting, &j->link);
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
    while ((j = destination_next_job(d)) != NULL) {
        job_decide_rest(j, o, d->worker->loop->now_ms);
        worker_end_job(d->worker, j);
    }
}
