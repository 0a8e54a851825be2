#include "delivery/worker.h"

#include "common/memory.h"
#include "delivery/conn.h"
#include "delivery/destination.h"
#include "delivery/hosts.h"
#include "delivery/ways.h"
#include "io/log.h"
#include "mail/idn.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- jobs ---- */

static struct job *find_job(const struct worker *w, uint64_t id)
{
    struct table_entry *e = table_find_number(&w->jobs, id);

    return e == NULL ? NULL : container_of(e, struct job, entry);
}

static struct job_body *find_body(const struct worker *w, uint64_t id)
{
    struct table_entry *e = table_find_number(&w->bodies, id);

    return e == NULL ? NULL : container_of(e, struct job_body, entry);
}

/* A drained process has nothing left to do, and the queue has heard of all that it did. */
static void check_end(struct worker *w)
{
    if (!w->draining || w->jobs.count > 0)
        return;
    peer_flush(&w->queue);
    if (!peer_is_open(&w->queue) || w->queue.channel.unsent_bytes == 0)
        loop_stop(w->loop);
}

void worker_end_job(struct worker *w, struct job *j)
{
    job_end(j);
    table_remove(&w->jobs, &j->entry);
    list_remove(&j->link);
    job_free(&j);
    check_end(w);
}

/* ---- what the queue says ---- */

static bool heard_part(struct worker *w, struct view fields)
{
    struct message_job_part m;
    struct job_body *b;

    if (!message_job_part_decode(fields, &m) || find_job(w, m.job) != NULL)
        return false;
    b = find_body(w, m.job);
    if (b == NULL) {
        b = memory_new(sizeof(*b));
        table_add_number(&w->bodies, &b->entry, m.job);
    }
    b->bytes = memory_grow(b->bytes, b->len + m.bytes.len, 1);
    memcpy(b->bytes + b->len, m.bytes.ptr, m.bytes.len);
    b->len += m.bytes.len;
    return true;
}

static struct job_body *take_body(struct worker *w, uint64_t id)
{
    struct job_body *b = find_body(w, id);

    if (b != NULL)
        table_remove(&w->bodies, &b->entry);
    return b;
}

static bool heard_start(struct worker *w, struct view fields, int fd)
{
    struct message_job_start m;
    struct job *j;

    if (!message_job_start_decode(fields, &m) || find_job(w, m.job) != NULL) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    j = job_new(fields, take_body(w, m.job), fd);
    if (j == NULL)
        return false;
    if (j->start.route > w->settings->route_count) {
        job_free(&j);
        return false;
    }
    j->queue = &w->queue;
    j->started_ms = w->loop->now_ms;
    table_add_number(&w->jobs, &j->entry, j->start.job);
    destination_take_job(w, j);
    return true;
}

/* Only what has not begun can be cancelled; the rest has its results. */
static bool heard_cancel(struct worker *w, struct view fields)
{
    struct message_job_cancel m;
    struct job *j;

    if (!message_job_cancel_decode(fields, &m))
        return false;
    j = find_job(w, m.job);
    if (j != NULL && j->conn == NULL)
        destination_drop_job(j);
    return true;
}

/* ---- whose mail hosts are the same ---- */

struct inquiry {
    struct question question;
    struct timer timer;
    struct list link; /* of the worker's */
    struct worker *worker;
    uint64_t number;
    char *domain;
};

static void drop_inquiry(struct inquiry *i)
{
    asker_forget(&i->worker->asker, &i->question);
    loop_stop_timer(i->worker->loop, &i->timer);
    list_remove(&i->link);
    free(i->domain);
    free(i);
}

static void on_mx_found(struct question *q, const struct message_dns_answer *a)
{
    struct inquiry *i = container_of(q, struct inquiry, question);
    char room[MAIL_HOSTS_MAX + ADDRESS_DOMAIN_MAX];
    struct buf name = BUF_ON_ARRAY(room);
    struct message_mx_answer m = { .question = i->number };

    m.order = hosts_name(a, i->worker->settings->hostname, &name);
    m.hosts = buf_view(&name);
    peer_send_mx_answer(&i->worker->queue, &m, -1);
    drop_inquiry(i);
}

/* The queue must not wait: it tries the domain as one whose hosts are not known. */
static void on_mx_late(struct timer *t)
{
    struct inquiry *i = container_of(t, struct inquiry, timer);
    const struct message_mx_answer unknown = { .question = i->number };

    peer_send_mx_answer(&i->worker->queue, &unknown, -1);
    drop_inquiry(i);
}

static bool heard_mx_ask(struct worker *w, struct view fields)
{
    char room[ADDRESS_DOMAIN_MAX + 1];
    struct buf domain = BUF_ON_ARRAY(room);
    struct message_mx_ask m;
    struct inquiry *i;

    if (!message_mx_ask_decode(fields, &m))
        return false;
    if (!idn_domain(m.domain, &domain)) {
        const struct message_mx_answer none = { .question = m.question };

        peer_send_mx_answer(&w->queue, &none, -1);
        return true;
    }
    i = memory_new(sizeof(*i));
    i->worker = w;
    i->number = m.question;
    i->domain = memory_copy(buf_view(&domain));
    i->question.answered = on_mx_found;
    i->timer.fire = on_mx_late;
    loop_start_timer(w->loop, &i->timer, WORKER_INQUIRY_MS);
    list_append(&w->inquiries, &i->link);
    asker_ask(&w->asker, &i->question, DNS_ROUTE, view_make(i->domain, buf_len(&domain)));
    return true;
}

static bool on_heard(struct peer *p, enum message type, struct view fields, int fd)
{
    struct worker *w = container_of(p, struct worker, queue);

    if (type == MESSAGE_JOB_START)
        return heard_start(w, fields, fd);
    if (fd >= 0) {
        close(fd);
        return false;
    }
    if (type == MESSAGE_JOB_PART)
        return heard_part(w, fields);
    if (type == MESSAGE_MX_ASK)
        return heard_mx_ask(w, fields);
    if (type == MESSAGE_WAY_ASK)
        return ways_hear(w, fields);
    return type == MESSAGE_JOB_CANCEL && heard_cancel(w, fields);
}

/* ---- the queue comes and goes ---- */

static void drop_waiting(struct worker *w)
{
    struct table_entry *e = table_next(&w->jobs, NULL);

    while (e != NULL) {
        struct job *j = container_of(e, struct job, entry);

        e = table_next(&w->jobs, e);
        j->queue = NULL;
        if (j->conn == NULL)
            destination_drop_job(j);
    }
}

/* What must be finished gets out of the way of the next queue's numbers. */
static void drop_running(struct worker *w)
{
    struct list kept;
    struct table_entry *e;
    uint64_t number = UINT64_MAX;

    list_init(&kept);
    while ((e = table_next(&w->jobs, NULL)) != NULL) {
        struct job *j = container_of(e, struct job, entry);

        if (!conn_abandon(j->conn))
            continue;
        table_remove(&w->jobs, e);
        list_append(&kept, &j->link);
    }
    for (struct list *l; (l = list_take_first(&kept)) != NULL;)
        table_add_number(&w->jobs, &container_of(l, struct job, link)->entry, number--);
}

static void drop_bodies(struct worker *w)
{
    struct table_entry *e;

    while ((e = table_next(&w->bodies, NULL)) != NULL) {
        struct job_body *b = container_of(e, struct job_body, entry);

        table_remove(&w->bodies, e);
        job_body_free(&b);
    }
}

static void lose_queue(struct worker *w)
{
    list_each_safe (it, &w->inquiries)
        drop_inquiry(container_of(it, struct inquiry, link));
    ways_drop(w);
    drop_bodies(w);
    drop_waiting(w); /* first: connections that become free would take them */
    drop_running(w);
    check_end(w);
}

static void on_queue_gone(struct peer *p)
{
    struct worker *w = container_of(p, struct worker, queue);

    log_warn("queue_gone", LOG_U64("jobs", w->jobs.count));
    lose_queue(w);
}

static void on_queue_drained(struct channel *c)
{
    check_end(container_of(c, struct worker, queue.channel));
}

static void say_ready(struct worker *w)
{
    struct message_ready_for m = { 0 };

    if (!w->draining)
        m.jobs = (uint32_t)w->settings->delivery.connections;
    peer_send_ready_for(&w->queue, &m, -1);
}

void worker_connect_queue(struct worker *w, uint32_t index, int fd)
{
    int err;

    if (peer_is_open(&w->queue)) {
        peer_close(&w->queue);
        lose_queue(w);
    }
    err = peer_open(&w->queue, w->loop, DELIVERY, QUEUE, index, fd);
    if (err < 0) {
        log_error("channel_failed", LOG_STRING("peer", "queue"), LOG_ERRNO("error", -err));
        close(fd);
        return;
    }
    say_ready(w);
}

/* ---- beginning and end ---- */

void worker_init(struct worker *w, const struct settings *s, struct loop *l,
                 struct tls_context *tls)
{
    *w = (struct worker){ .settings = s, .loop = l, .tls = tls };
    sessions_init(&w->sessions);
    asker_init(&w->asker, l, DELIVERY);
    table_init(&w->jobs, false);
    table_init(&w->bodies, false);
    table_init(&w->destinations, true);
    table_init(&w->sites, true);
    list_init(&w->inquiries);
    list_init(&w->ways);
    list_init(&w->idle);
    list_init(&w->remembered);
    w->remembered_most = WORKER_REMEMBERED_MAX;
    w->turns = memory_new_array(MAX(s->route_count, 1), sizeof(*w->turns));
    w->credentials = memory_new_array(MAX(s->route_count, 1), sizeof(struct credential *));
    w->route_tls = memory_new_array(MAX(s->route_count, 1), sizeof(struct tls_context *));
    for (uint32_t i = 0; i < s->route_count; i++) {
        if (s->routes[i].auth_command.len > 0)
            worker_set_secret(w, i, VIEW_EMPTY);
        if (w->credentials[i] != NULL)
            w->credentials[i]->awaited = true;
    }
    w->queue.heard = on_heard;
    w->queue.gone = on_queue_gone;
    w->queue.channel.drained = on_queue_drained;
}

void worker_set_secret(struct worker *w, uint32_t route, struct view secret)
{
    const struct route_settings *r = &w->settings->routes[route];
    struct credential *c = w->credentials[route];

    if (c == NULL)
        c = w->credentials[route] = memory_new(sizeof(*c));
    secret = view_sub(secret, 0, sizeof(c->secret));
    c->login = r->auth_login;
    c->token = r->auth_password.len == 0;
    c->is_derived = c->refused = c->awaited = false;
    c->secret_len = secret.len;
    if (secret.len > 0)
        memcpy(c->secret, secret.ptr, secret.len);
    destination_serve_route(w, r);
}

void worker_set_tls(struct worker *w, uint32_t route, struct tls_context *tls)
{
    w->route_tls[route] = tls;
}

static void on_impatient(struct timer *t)
{
    struct worker *w = container_of(t, struct worker, patience);

    log_warn("drain_timed_out", LOG_U64("jobs", w->jobs.count));
    loop_stop(w->loop);
}

void worker_drain(struct worker *w, bool stop)
{
    if (stop && !timer_running(&w->patience)) {
        w->patience.fire = on_impatient;
        loop_start_timer(w->loop, &w->patience, w->settings->timeouts.drain);
    }
    if (w->draining)
        return;
    w->draining = true;
    say_ready(w);
    while (!list_empty(&w->idle))
        conn_quit(container_of(w->idle.next, struct conn, idle_link));
    check_end(w);
}
