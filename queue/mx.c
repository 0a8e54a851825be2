#include "queue/mx.h"

#include "common/memory.h"
#include "io/log.h"
#include "queue/dispatch.h"
#include "queue/worker.h"

#include <stdlib.h>

enum { ASKED_PER_TURN = 512 };

void mx_init(struct mx *m, struct queue *q)
{
    *m = (struct mx){ .queue = q };
    list_init(&m->wanted);
}

static bool is_old(const struct mx *m, const struct destination *d)
{
    return d->hop.kind == HOP_MX && queue_now_ms(m->queue) >= d->fresh_ms;
}

void mx_refresh(struct mx *m, struct destination *d)
{
    if (is_old(m, d) && list_empty(&d->asking))
        list_append(&m->wanted, &d->asking);
}

bool mx_must_wait(struct mx *m, struct site *s)
{
    struct destination *d;

    if (s->kind != SITE_DOMAIN || list_empty(&s->members))
        return false;
    d = container_of(s->members.next, struct destination, member);
    mx_refresh(m, d);
    return !list_empty(&d->asking);
}

void mx_refresh_site(struct mx *m, struct site *s)
{
    for (unsigned i = 0; i < MX_REFRESHED_MAX && i < s->member_count; i++) {
        struct destination *d = container_of(s->members.next, struct destination, member);

        mx_refresh(m, d);
        list_remove(&d->member);
        list_append(&s->members, &d->member);
    }
}

/* ---- places ---- */

/* What a rule for hosts looks at: mail hosts, a route's first host, or the address of a literal. */
static struct view hosts_of(const struct queue *q, const struct destination *d)
{
    if (d->hop.kind == HOP_MX)
        return d->hosts;
    return d->hop.route > 0 ? q->settings->routes[d->hop.route - 1].targets[0].host : d->hop.host;
}

/* Those of each row of the settings' destinations, of what no row is for, and of mailboxes. */
void mx_read_limits(struct queue *q)
{
    const struct settings *s = q->settings;
    size_t rows = s->destination_count;
    struct destination_limits *limits = memory_new_array(rows + 2, sizeof(*limits));

    for (size_t i = 0; i < rows; i++)
        settings_limits(s, &s->destinations[i], &limits[i]);
    settings_limits(s, NULL, &limits[rows]);
    settings_limits(s, NULL, &limits[rows + 1]);
    limits[rows + 1].messages = limits[rows + 1].recipients = (struct rate){ .count = 0 };
    for (uint32_t i = 1; i < q->index.sites.end; i++) {
        struct site *site = pool_at(&q->index.sites, i);

        if (site->self != POOL_NONE)
            site->limits = &limits[rows];
    }
    free(q->limits);
    q->limits = limits;
}

static void set_limits(struct queue *q, struct site *s, const struct destination_settings *rule)
{
    size_t rows = q->settings->destination_count;
    size_t row = rule == NULL ? rows : (size_t)(rule - q->settings->destinations);

    s->owner = q;
    s->limits = &q->limits[s->kind == SITE_LOCAL ? rows + 1 : row];
    if (s->limited == q->routing + 1u)
        return;
    if (s->limited == 0)
        pace_begin(&s->pace, s->limits, q->former_ms);
    s->limited = q->routing + 1u;
    pace_change_limits(&s->pace, s->limits, queue_now_ms(q));
    if (s->backed_off || !timer_running(&s->timer))
        return;
    loop_stop_timer(q->loop, &s->timer);
    dispatch_wake(q->dispatch, s);
}

void mx_place(struct queue *q, struct destination *d)
{
    const struct destination_settings *rule = NULL;
    struct index *x = &q->index;

    d->placed = q->routing + 1u;
    if (d->hop.kind != HOP_LOCAL)
        rule = settings_destination(q->settings, d->hop.kind == HOP_MX ? d->hop.host : VIEW_EMPTY,
                                    hosts_of(q, d));
    if (rule != NULL && rule->name.len > 0)
        index_move_destination(x, d, SITE_NAMED, rule->name);
    else if (rule != NULL && settings_destination_names(rule, d->hop.host))
        index_move_destination(x, d, SITE_NAMED, d->hop.name);
    else if (d->hop.kind == HOP_MX && d->hosts.len > 0)
        index_move_destination(x, d, SITE_HOSTS, d->hosts);
    else
        index_move_destination(x, d, index_own_site[d->hop.kind], d->hop.name);
    set_limits(q, d->site, rule);
}

/* ---- asking ---- */

static void ask(struct mx *m, struct worker *w, struct destination *d)
{
    struct message_mx_ask ask = { ++m->last_question, d->hop.host };

    d->question = ask.question;
    w->asked_count++;
    list_append(&w->asked, &d->asking);
    peer_send_mx_ask(&w->peer, &ask, -1);
}

void mx_run(struct mx *m, struct dispatch *dispatch)
{
    struct list later;
    struct list *it;

    list_init(&later);
    for (unsigned i = 0; i < ASKED_PER_TURN; i++) {
        struct destination *d;
        struct worker *w;

        it = list_take_first(&m->wanted);
        if (it == NULL)
            break;
        d = container_of(it, struct destination, asking);
        w = dispatch_worker_for(dispatch, d->hop.name);
        if (w != NULL && w->asked_count < MX_ASKED_MAX)
            ask(m, w, d);
        else
            list_append(&later, it);
    }
    while ((it = list_take_first(&later)) != NULL)
        list_append(&m->wanted, it);
}

void mx_lose_worker(struct mx *m, struct worker *w)
{
    struct list *it;

    while ((it = list_take_first(&w->asked)) != NULL)
        list_append(&m->wanted, it);
    w->asked_count = 0;
}

/* ---- learning ---- */

static void set_hosts(struct destination *d, struct view hosts)
{
    free((void *)(uintptr_t)d->hosts.ptr);
    d->hosts = hosts.len == 0 ? VIEW_EMPTY : view_make(memory_copy(hosts), hosts.len);
}

static void learn(struct mx *m, struct destination *d, struct view hosts, uint32_t order)
{
    if (hosts.len > 0)
        d->order = order;
    d->fresh_ms = queue_now_ms(m->queue) + MX_FRESH_MS;
    if (hosts.len > 0 && !view_equal(hosts, d->hosts)) {
        if (d->hosts.len > 0)
            log_info("mail_hosts_changed", LOG_VIEW("destination", d->hop.name),
                     LOG_VIEW("from", d->hosts), LOG_VIEW("to", hosts));
        set_hosts(d, hosts);
        if (!d->site->backed_off || d->site->kind != SITE_DOMAIN) /* else it has to prove itself */
            mx_place(m->queue, d);
    }
    dispatch_wake(m->queue->dispatch, d->site);
}

static struct destination *find_asked(const struct worker *w, uint64_t question)
{
    list_each (it, &w->asked) {
        struct destination *d = container_of(it, struct destination, asking);

        if (d->question == question)
            return d;
    }
    return NULL;
}

bool mx_hear(struct mx *m, struct worker *w, struct view fields)
{
    struct message_mx_answer answer;
    struct destination *d;

    if (!message_mx_answer_decode(fields, &answer) || answer.question > m->last_question)
        return false;
    d = find_asked(w, answer.question);
    w->asked_count -= w->asked_count > 0;
    if (d == NULL)
        return true; /* forgotten meanwhile */
    list_remove(&d->asking);
    learn(m, d, answer.hosts, answer.order);
    return true;
}

void mx_set_apart(struct mx *m, struct destination *d)
{
    set_hosts(d, VIEW_EMPTY);
    d->fresh_ms = 0;
    index_move_destination(&m->queue->index, d, SITE_DOMAIN, d->hop.name);
    set_limits(m->queue, d->site, NULL);
}
