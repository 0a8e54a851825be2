#include "queue/mx.h"

#include "common/memory.h"
#include "io/log.h"
#include "queue/dispatch.h"
#include "queue/worker.h"

#include <stdlib.h>

enum { TRIES_PER_TURN = 512 };

static void on_window(struct timer *t)
{
    struct mx *m = container_of(t, struct mx, window);

    m->young = 0;
    m->again_left = MX_AGAIN_MAX;
    m->last_before = m->last_asked;
}

/* The number of a question leads to its destination. */
static uint64_t make_question(uint32_t number, const struct destination *d)
{
    return (uint64_t)number << 32 | d->self;
}

/* Numbers begin anew, but not while an old one is open. */
static bool is_after(uint64_t question, uint32_t number)
{
    return (int32_t)((uint32_t)(question >> 32) - number) > 0;
}

void mx_init(struct mx *m, struct queue *q)
{
    *m = (struct mx){ .queue = q, .again_left = MX_AGAIN_MAX };
    m->window.fire = on_window;
    list_init(&m->turns);
    list_init(&m->again);
    for (unsigned i = 0; i < MX_LINES; i++) {
        list_init(&m->lines[i].link);
        list_init(&m->lines[i].wanted);
    }
}

void mx_release(struct mx *m)
{
    loop_stop_timer(m->queue->loop, &m->window);
}

/* ---- turns ---- */

static struct mx_line *line_of(struct mx *m, uint32_t unit)
{
    const struct index *x = &m->queue->index;
    const struct mail *mail = index_mail(x, index_mail_of(x, unit));

    return &m->lines[(mail->sender * FLOW_PRIORITIES + mail->priority) % MX_LINES];
}

static void stand_in(struct mx *m, struct mx_line *line, struct destination *d)
{
    list_append(&line->wanted, &d->asking);
    if (list_empty(&line->link))
        list_append(&m->turns, &line->link);
}

/* Mail waits for it, and nothing is known of it. */
static bool is_first(const struct destination *d)
{
    return d->hosts.len == 0 && d->fresh_ms == 0;
}

static void want(struct mx *m, struct destination *d)
{
    uint32_t unit = site_first(&m->queue->index, d->site);

    d->asked_of = NULL;
    if (unit != POOL_NONE && is_first(d))
        stand_in(m, line_of(m, unit), d);
    else
        list_append(&m->again, &d->asking);
}

void mx_hasten(struct mx *m, uint32_t unit)
{
    const struct index *x = &m->queue->index;
    struct destination *d = index_destination(x, index_unit(x, unit)->destination);
    struct mx_line *line = line_of(m, unit);

    if (list_empty(&d->asking) || d->asked_of != NULL || !is_first(d) || !list_empty(&line->wanted))
        return;
    list_remove(&d->asking);
    stand_in(m, line, d);
}

static struct destination *take_from_lines(struct mx *m)
{
    struct list *it;

    while ((it = list_take_first(&m->turns)) != NULL) {
        struct mx_line *line = container_of(it, struct mx_line, link);

        if (list_empty(&line->wanted)) /* its destinations are gone, or in others */
            continue;
        it = line->newest ? line->wanted.prev : line->wanted.next;
        line->newest = !line->newest;
        list_remove(it);
        if (!list_empty(&line->wanted))
            list_append(&m->turns, &line->link);
        return container_of(it, struct destination, asking);
    }
    return NULL;
}

static struct destination *take_again(struct mx *m)
{
    struct list *it = list_take_first(&m->again);

    m->again_left -= m->again_left > 0;
    return it == NULL ? NULL : container_of(it, struct destination, asking);
}

/* NULL: none is wanted. */
static struct destination *take_next(struct mx *m)
{
    struct destination *d = NULL;

    if (m->again_left == 0 || list_empty(&m->again))
        d = take_from_lines(m);
    return d == NULL ? take_again(m) : d;
}

bool mx_is_wanted(const struct mx *m)
{
    return !list_empty(&m->turns) || !list_empty(&m->again);
}

/* ---- what is old ---- */

static bool is_old(const struct mx *m, const struct destination *d)
{
    return d->hop.kind == HOP_MX && queue_now_ms(m->queue) >= d->fresh_ms;
}

void mx_refresh(struct mx *m, struct destination *d)
{
    if (is_old(m, d) && list_empty(&d->asking))
        want(m, d);
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
    struct message_mx_ask ask = { make_question(++m->last_asked, d), d->hop.host };

    d->question = ask.question;
    d->asked_of = w;
    w->asked_count++;
    m->asked++;
    m->young++;
    list_append(&w->asked, &d->asking);
    peer_send_mx_ask(&w->peer, &ask, -1);
    if (!timer_running(&m->window))
        loop_start_timer(m->queue->loop, &m->window, MX_YOUNG_MS);
}

void mx_run(struct mx *m, struct dispatch *dispatch)
{
    struct list later;
    struct list *it;

    list_init(&later);
    for (unsigned i = 0; i < TRIES_PER_TURN; i++) {
        struct destination *d;
        struct worker *w;

        if (m->young == MX_YOUNG_MAX || m->asked >= MX_ASKED_MAX)
            break;
        d = take_next(m);
        if (d == NULL)
            break;
        w = dispatch_worker_for(dispatch, d->hop.name);
        if (w != NULL)
            ask(m, w, d);
        else
            list_append(&later, &d->asking);
    }
    while ((it = list_take_first(&later)) != NULL)
        want(m, container_of(it, struct destination, asking));
}

static void count_answer(struct mx *m, struct worker *w, uint64_t question)
{
    if (w->asked_count == 0)
        return;
    w->asked_count--;
    m->asked--;
    m->young -= m->young > 0 && is_after(question, m->last_before);
}

void mx_lose_worker(struct mx *m, struct worker *w)
{
    struct list *it;

    while ((it = list_take_first(&w->asked)) != NULL) {
        struct destination *d = container_of(it, struct destination, asking);

        count_answer(m, w, d->question);
        want(m, d);
    }
    m->asked -= w->asked_count;
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
    d->fresh_ms = queue_now_ms(m->queue) + (hosts.len > 0 ? MX_FRESH_MS : MX_VAIN_MS);
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

static bool may_have_asked(const struct mx *m, uint64_t question)
{
    uint32_t self = (uint32_t)question;

    return self != POOL_NONE && self < m->queue->index.destinations.end &&
           !is_after(question, m->last_asked);
}

bool mx_hear(struct mx *m, struct worker *w, struct view fields)
{
    struct message_mx_answer answer;
    struct destination *d;

    if (!message_mx_answer_decode(fields, &answer) || !may_have_asked(m, answer.question))
        return false;
    count_answer(m, w, answer.question);
    d = pool_at(&m->queue->index.destinations, (uint32_t)answer.question);
    if (d->question != answer.question || d->asked_of != w)
        return true; /* forgotten meanwhile */
    d->asked_of = NULL;
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
