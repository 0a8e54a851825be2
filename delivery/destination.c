#include "delivery/destination.h"

#include "common/memory.h"
#include "delivery/conn.h"
#include "io/log.h"
#include "mail/idn.h"

#include <stdlib.h>

enum { KEY_MAX = 4096 };

/* ---- sites ---- */

static void on_free(struct timer *t);

static struct site *find_site(struct worker *w, struct view name)
{
    struct table_entry *e = table_find(&w->sites, name);
    struct site *s;

    if (e != NULL)
        return container_of(e, struct site, entry);
    s = memory_new(sizeof(*s));
    s->worker = w;
    s->name = memory_copy(name);
    list_init(&s->wanting);
    s->free.fire = on_free;
    table_add(&w->sites, &s->entry, view_make(s->name, name.len));
    return s;
}

/* If nothing needs it. When the next connection may be made is not forgotten. */
static void drop_site(struct site *s)
{
    struct loop *l = s->worker->loop;

    if (s->destinations > 0)
        return;
    if (s->free_us / 1000 > l->now_ms) {
        loop_start_timer(l, &s->free, s->free_us / 1000 - l->now_ms);
        return;
    }
    loop_stop_timer(l, &s->free);
    table_remove(&s->worker->sites, &s->entry);
    free(s->name);
    free(s);
}

static void leave_site(struct destination *d)
{
    list_remove(&d->wanting);
    d->site->destinations--;
    drop_site(d->site);
}

/* ---- life ---- */

/* When there is nothing left to be remembered. */
static uint64_t memory_until_ms(const struct destination *d)
{
    uint64_t hosts_ms = MAX(tlspolicy_until_ms(&d->tls_memories), d->families.until_ms);

    return MAX(hosts_ms, MAX(d->rcpts_until_ms, d->no_bdat_until_ms));
}

void destination_forget(struct destination *d)
{
    d->tls_memories = (struct tls_memories){ .next = 0 };
    d->families = (struct route_memory){ .until_ms = 0 };
    d->rcpts_until_ms = d->no_bdat_until_ms = 0;
    loop_defer(d->worker->loop, &d->release);
}

/* More than memory keeps it, or nothing does. */
static void leave_remembered(struct destination *d)
{
    if (list_empty(&d->remembered))
        return;
    list_remove(&d->remembered);
    d->worker->remembered_count--;
}

/* Until then; but whoever can make up domains does not fill our memory. */
static void remember(struct destination *d, uint64_t until_ms)
{
    struct worker *w = d->worker;

    loop_start_timer(w->loop, &d->forget, until_ms - w->loop->now_ms);
    list_append(&w->remembered, &d->remembered);
    if (++w->remembered_count > w->remembered_most) {
        struct destination *oldest =
            container_of(w->remembered.next, struct destination, remembered);

        leave_remembered(oldest);
        destination_forget(oldest);
    }
}

static void on_release(struct deferred *deferred)
{
    struct destination *d = container_of(deferred, struct destination, release);
    struct loop *l = d->worker->loop;
    uint64_t until_ms = memory_until_ms(d);

    if (d->conn_total > 0 || !list_empty(&d->waiting))
        return;
    leave_remembered(d);
    if (l->now_ms < until_ms) {
        remember(d, until_ms);
        return;
    }
    loop_stop_timer(l, &d->forget);
    table_remove(&d->worker->destinations, &d->entry);
    leave_site(d);
    free(d->key);
    free(d);
}

static void on_forget(struct timer *t)
{
    struct destination *d = container_of(t, struct destination, forget);

    loop_defer(d->worker->loop, &d->release);
}

/* The job's host as name servers know it. */
static bool find_host(struct job *j)
{
    char room[ADDRESS_DOMAIN_MAX + 1];
    struct buf host = BUF_ON_ARRAY(room);

    if (!idn_domain(j->start.host, &host))
        return false;
    j->host = view_make(memory_copy(buf_view(&host)), buf_len(&host));
    return true;
}

/* A notice is not lost for want of a host that promises it (RFC 8689, 5). */
static bool needs_promise(const struct envelope *e)
{
    return e->require_tls && e->sender.len > 0;
}

/* What the key is made of. The site is part of it, so that no connection counts for another one. */
static bool put_key(const struct job *j, struct buf *key)
{
    const struct message_job_start *s = &j->start;
    bool known = s->hosts.len > 0;

    return buf_put(key, known ? s->hosts : s->hop_name) && buf_put_byte(key, '\n') &&
           buf_put(key, known ? VIEW_EMPTY : j->host) &&
           buf_printf(key, "\n%u %u %u %x\n", s->hop_kind, s->route, needs_promise(&j->envelope),
                      known ? s->order : 0) &&
           buf_put(key, s->site);
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
    d->mail_hosts = s->hosts.len > 0 ? d->name : VIEW_EMPTY;
    d->order = s->order;
    d->tls = (struct tls_wish){ ROUTE_TLS_OFFERED, false, needs_promise(&j->envelope) };
    set_targets(d, s);
    list_init(&d->waiting);
    list_init(&d->idle);
    list_init(&d->wanting);
    list_init(&d->remembered);
    d->forget.fire = on_forget;
    d->release.run = on_release;
    table_add(&w->destinations, &d->entry, view_make(d->key, key.len));
    d->site = find_site(w, s->site);
    d->site->destinations++;
    return d;
}

/* The limits are what the newest job says, which keeps the destination from now on. A process
 * before may have connected just before this one began. */
static struct destination *update_site(struct destination *d, const struct message_job_start *s)
{
    uint64_t former_ms = d->worker->former_ms;

    if (former_ms > 0)
        d->site->free_us = MAX(d->site->free_us, former_ms * 1000 + s->connection_us);
    d->site->connections = s->connections;
    d->site->messages_per_connection = s->messages_per_connection;
    d->site->connection_us = s->connection_us;
    leave_remembered(d);
    return d;
}

/* Hops that differ in anything share no connection, unless their mail hosts, the order of these and
 * their site are the same; nor do messages whose TLS must prove more. NULL: nowhere, or no name
 * that name servers can know. */
static struct destination *find_destination(struct worker *w, struct job *j)
{
    char room[KEY_MAX];
    struct buf key = BUF_ON_ARRAY(room);
    struct table_entry *e;

    if (j->start.hop_kind == HOP_NOWHERE || !find_host(j) || !put_key(j, &key))
        return NULL;
    e = table_find(&w->destinations, buf_view(&key));
    if (e != NULL)
        return update_site(container_of(e, struct destination, entry), &j->start);
    return update_site(make_destination(w, j, buf_view(&key)), &j->start);
}

/* ---- jobs and connections ---- */

/* The limit of the process makes the longest unused connection of any destination go; the queue
 * sends no more jobs than there may be connections. */
static void open_conn(struct destination *d, struct job *j)
{
    struct worker *w = d->worker;

    if (w->conn_count >= w->settings->delivery.connections && !list_empty(&w->idle))
        conn_quit(container_of(w->idle.next, struct conn, idle_link));
    destination_count_attempt(d);
    conn_open(d, j);
}

static bool is_full(const struct site *s)
{
    return s->conn_count + s->leaving_count >= s->connections;
}

/* If not now, what waits is served when it may. */
static bool may_open(struct site *s)
{
    struct loop *l = s->worker->loop;

    if (is_full(s))
        return false;
    if (s->connection_us == 0 || s->free_us / 1000 <= l->now_ms)
        return true;
    if (!timer_running(&s->free))
        loop_start_timer(l, &s->free, s->free_us / 1000 - l->now_ms);
    return false;
}

bool destination_is_crowded(const struct destination *d)
{
    return d->site->conn_count > d->site->connections;
}

void destination_learn_rcpts(struct destination *d, uint64_t most, struct view host)
{
    uint64_t known = destination_rcpts_most(d, 0);

    if (known > 0 && known <= most)
        return;
    d->rcpts_most = most;
    d->rcpts_until_ms = d->worker->loop->now_ms + DESTINATION_RCPTS_MS;
    log_info("recipients_limited", LOG_VIEW("destination", d->name), LOG_VIEW("host", host),
             LOG_U64("recipients", most));
}

bool destination_may_use_bdat(const struct destination *d)
{
    return d->worker->loop->now_ms >= d->no_bdat_until_ms;
}

uint64_t destination_rcpts_most(const struct destination *d, uint64_t said)
{
    if (d->worker->loop->now_ms >= d->rcpts_until_ms)
        return said;
    return said > 0 ? MIN(said, d->rcpts_most) : d->rcpts_most;
}

void destination_count_attempt(struct destination *d)
{
    struct site *s = d->site;

    s->free_us = MAX(s->free_us, s->worker->loop->now_ms * 1000) + s->connection_us;
}

/* The longest unused connection of the site goes. False: there is none. */
static bool quit_idle(const struct site *s)
{
    list_each (it, &s->worker->idle) {
        struct conn *c = container_of(it, struct conn, idle_link);

        if (c->destination->site == s) {
            conn_quit(c);
            return true;
        }
    }
    return false;
}

static struct credential *credential_of(const struct destination *d)
{
    const struct worker *w = d->worker;

    return d->route != NULL ? w->credentials[d->route - w->settings->routes] : NULL;
}

/* A token is being got that its mail cannot go without. */
static bool awaits_token(const struct destination *d)
{
    const struct credential *c = credential_of(d);

    return c != NULL && c->awaited;
}

/* No other that wants a connection has fewer of them; of equals, the one whose turn it is. */
static struct destination *poorest(const struct site *s)
{
    struct destination *best = container_of(s->wanting.next, struct destination, wanting);

    list_each (it, &s->wanting) {
        struct destination *d = container_of(it, struct destination, wanting);

        if (d->conn_count < best->conn_count)
            best = d;
    }
    return best;
}

static void serve_waiting(struct site *s)
{
    while (may_open(s) && !list_empty(&s->wanting)) {
        struct destination *next = poorest(s);
        struct job *j = awaits_token(next) ? NULL : destination_next_job(next);

        if (j == NULL)
            list_remove(&next->wanting);
        else
            open_conn(next, j);
    }
}

/* To the other, which may have less than it would leave to us; a turn is for those who have
 * nothing. What comes of this is equal at last, and then nobody gives way any more. */
static bool deserves_more(const struct destination *other, const struct destination *d,
                          unsigned messages)
{
    bool turn_is_over = list_empty(&d->waiting) || messages >= DESTINATION_TURN;

    if (list_empty(&other->waiting) || awaits_token(other))
        return false;
    return other->conn_count + 1 < d->conn_count || (other->conn_count == 0 && turn_is_over);
}

/* Not before a job of ours was begun since the other began to wait: until then we come first. Nor
 * where nothing would come of it now, or what goes already is enough for those who want it. */
bool destination_gives_way(const struct destination *d, unsigned messages)
{
    const struct site *s = d->site;
    size_t due = 0;

    if (!is_full(s) || s->free_us / 1000 > s->worker->loop->now_ms)
        return false;
    list_each (it, &s->wanting) {
        if (it == &d->wanting)
            break;
        due += deserves_more(container_of(it, struct destination, wanting), d, messages);
    }
    return due > s->leaving_count;
}

static void wait_for_conn(struct destination *d, struct job *j)
{
    list_append(&d->waiting, &j->link);
    if (list_empty(&d->wanting))
        list_append(&d->site->wanting, &d->wanting);
    serve_waiting(d->site);
    /* Connections to other hosts of the site make room. */
    if (j->conn == NULL && d->site->destinations > 1 && is_full(d->site))
        quit_idle(d->site);
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
    static const struct outcome no_way = { .class = OUTCOME_FAILED,
                                           .scope = SCOPE_MESSAGE,
                                           .enhanced = { 5, 1, 2 },
                                           .text = VIEW_INIT("there is no way to such an "
                                                             "address") };
    struct destination *d = find_destination(w, j);
    struct outcome o;

    j->destination = d;
    while (d != NULL && destination_is_crowded(d) && quit_idle(d->site))
        ;

    if (d == NULL) {
        answer_job(w, j, j->start.hop_kind == HOP_NOWHERE ? &no_way : &no_name);
    } else if (answers_itself(d, &o)) {
        answer_job(w, j, &o);
        loop_defer(w->loop, &d->release);
    } else if (!list_empty(&d->idle)) {
        conn_give(container_of(d->idle.next, struct conn, link), j);
    } else {
        wait_for_conn(d, j);
    }
}

void destination_drop_job(struct job *j)
{
    struct destination *d = j->destination;

    worker_end_job(d->worker, j);
    if (list_empty(&d->waiting))
        list_remove(&d->wanting);
    loop_defer(d->worker->loop, &d->release);
}

struct job *destination_next_job(struct destination *d)
{
    struct list *first = list_take_first(&d->waiting);

    list_remove(&d->wanting);
    if (!list_empty(&d->waiting))
        list_append(&d->site->wanting, &d->wanting);
    return first == NULL ? NULL : container_of(first, struct job, link);
}

void destination_serve_route(struct worker *w, const struct route_settings *r)
{
    struct table_entry *e = NULL;

    while ((e = table_next(&w->destinations, e)) != NULL) {
        struct destination *d = container_of(e, struct destination, entry);

        if (d->route != r || list_empty(&d->waiting))
            continue;
        if (list_empty(&d->wanting))
            list_append(&d->site->wanting, &d->wanting);
        serve_waiting(d->site);
    }
}

void destination_take_back(struct destination *d, struct job *j)
{
    j->conn = NULL;
    list_insert_after(&d->waiting, &j->link);
    if (list_empty(&d->wanting))
        list_append(&d->site->wanting, &d->wanting);
}

bool destination_gets_token(struct destination *d, struct job *j)
{
    struct credential *c = credential_of(d);
    struct worker *w = d->worker;

    if (c == NULL || d->route->auth_command.len == 0 || !c->refused || j->logged_in_again)
        return false;
    j->logged_in_again = true;
    destination_take_back(d, j);
    if (!c->awaited)
        w->refused(w, (uint32_t)(d->route - w->settings->routes));
    c->awaited = true;
    return true;
}

static void on_free(struct timer *t)
{
    struct site *s = container_of(t, struct site, free);

    serve_waiting(s);
    drop_site(s);
}

void destination_lose_conn(struct destination *d)
{
    serve_waiting(d->site);
    loop_defer(d->worker->loop, &d->release);
}

bool destination_begin_race(struct destination *d)
{
    struct site *s = d->site;
    struct worker *w = d->worker;

    if (is_full(s) || s->free_us / 1000 > w->loop->now_ms ||
        w->conn_count >= w->settings->delivery.connections)
        return false;
    s->conn_count++;
    w->conn_count++;
    return true;
}

void destination_end_race(struct destination *d)
{
    d->site->conn_count--;
    d->worker->conn_count--;
    serve_waiting(d->site);
}

void destination_give_up(struct destination *d, const struct outcome *o)
{
    struct job *j;
    bool shared = d->mail_hosts.len > 0;
    bool all = o->scope == SCOPE_DESTINATION || (o->scope == SCOPE_DOMAIN && !shared);

    /* What is for good may be the fault of the one domain: the hosts that it has now, say. */
    if (!all || d->conn_count > 1 || (shared && o->class == OUTCOME_FAILED))
        return;
    while ((j = destination_next_job(d)) != NULL)
        answer_job(d->worker, j, o);
}
