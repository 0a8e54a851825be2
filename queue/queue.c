#include "queue/queue.h"

#include "io/clock.h"
#include "io/log.h"
#include "queue/admin.h"
#include "queue/appointment.h"
#include "queue/backoff.h"
#include "queue/control.h"
#include "queue/deadline.h"
#include "queue/dispatch.h"
#include "queue/history.h"
#include "queue/intake.h"
#include "queue/losses.h"
#include "queue/mx.h"
#include "queue/notify.h"
#include "queue/restore.h"
#include "queue/unread.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PRIORITY_MASK 31u /* the room of a message's priority */

/* ---- due units ---- */

void queue_arm_wheel(struct queue *q)
{
    uint32_t tick;

    if (q->dispatch != NULL && wheel_next(&q->index.wheel, &tick))
        loop_start_timer(q->loop, &q->wheel_timer, queue_until_ms(q, queue_tick_ms(q, tick)));
}

static void on_wheel(struct timer *t)
{
    struct queue *q = container_of(t, struct queue, wheel_timer);
    uint32_t now = (uint32_t)((queue_now_ms(q) - q->base_ms) / QUEUE_TICK_MS);
    unsigned steps = QUEUE_STEPS_PER_TURN;
    uint32_t unit;

    while ((unit = index_take_timed(&q->index, now, &steps)) != POOL_NONE)
        dispatch_unit(q->dispatch, unit);
    queue_arm_wheel(q);
}

/* ---- the life of a message ---- */

/* Without settings: the domain. */
static void hop_by_domain(const struct address *a, struct buf *room, struct hop *out)
{
    for (size_t i = 0; i < a->domain.len; i++)
        buf_put_byte(room, byte_lower(a->domain.ptr[i]));
    *out = (struct hop){ .kind = HOP_MX, .name = buf_view(room), .host = buf_view(room) };
}

static const struct hop nowhere = { .kind = HOP_NOWHERE, .name = VIEW_INIT("nowhere") };

struct destination *queue_destination(struct queue *q, const struct envelope *e, size_t rcpt)
{
    char text[2 * ADDRESS_DOMAIN_MAX];
    struct buf room = BUF_ON_ARRAY(text);
    struct hop hop = nowhere;
    struct destination *d;
    struct address a;

    if (address_parse(e->rcpts[rcpt].address, true, &a)) {
        if (q->settings == NULL)
            hop_by_domain(&a, &room, &hop);
        else if (!settings_hop(q->settings, e, &a, &room, &hop))
            hop = nowhere;
    }
    d = index_destination_for(&q->index, &hop);
    if (q->settings != NULL && d->placed != q->routing + 1u)
        mx_place(q, d);
    return d;
}

uint32_t queue_add_mail(struct queue *q, uint64_t id, struct store_ref where,
                        const struct envelope *e, uint64_t body_bytes, uint64_t arrived_ms)
{
    uint64_t begins_ms = e->not_before_ms > 0 ? queue_time_ms(q, e->not_before_ms) : 0;
    uint32_t mail = index_add_mail(&q->index, id, (unsigned)e->rcpt_count);
    struct mail *m = index_mail(&q->index, mail);

    index_set_place(m, where);
    m->body_bytes = (uint32_t)MIN(body_bytes, (uint64_t)UINT32_MAX);
    m->arrival_s = (uint32_t)((MAX(arrived_ms, begins_ms) + 999) / 1000);
    m->flags = e->sender.len == 0 ? MAIL_NULL_SENDER : 0;
    m->priority = (unsigned)(e->priority - PRIORITY_LEAST) & PRIORITY_MASK;
    m->sender = site_sender(e->login, e->sender, e->client);
    for (size_t i = 0; i < e->rcpt_count; i++)
        index_add_rcpt(&q->index, mail, queue_destination(q, e, i), (unsigned)i, q->routing);
    /* For when they get their time. */
    index_each_unit (u, &q->index, mail)
        index_unit(&q->index, u)->link.due = queue_tick(q, begins_ms);
    if (q->settings != NULL)
        appointment_make(q, id, e);
    /* Until a release, which has a record; the hold itself needs none. */
    if (e->hold.len > 0)
        index_set_held(&q->index, mail, true);
    index_set_surplus(&q->index, mail, view_equal(e->hold, VIEW(HOLD_SURPLUS)));
    return mail;
}

void queue_take_in(struct queue *q, const struct store_commit *c, const struct envelope *e,
                   struct letter *letter)
{
    uint32_t mail = queue_add_mail(q, c->id, c->where, e, c->body_bytes, queue_now_ms(q));
    bool expanded = notify_owes_expansion(e), held = e->hold.len > 0;
    bool later = e->not_before_ms > clock_wall_ms();

    if (held)
        log_warn("held", LOG_ID("message", c->id), LOG_VIEW("by", e->hold),
                 LOG_VIEW(e->login.len > 0 ? "login" : NULL, e->login));
    if (later)
        letter_free(&letter); /* it would lie in memory for hours */
    if (letter != NULL)
        cache_keep(&q->cache, c->id, letter);
    if (expanded)
        notify_expanded(q, mail);
    time_keep(q);
    if (!q->restored) {
        restore_add(q, mail);
        return;
    }
    deadline_list(q, mail);
    index_each_unit (u, &q->index, mail) {
        if (held)
            index_park(&q->index, u);
        else if (later)
            index_time(&q->index, u, index_unit(&q->index, u)->link.due);
        else
            dispatch_unit(q->dispatch, u);
    }
    if (later)
        queue_arm_wheel(q);
}

void queue_remove_unit(struct queue *q, uint32_t unit)
{
    struct destination *d = index_destination(&q->index, index_unit(&q->index, unit)->destination);

    index_remove_unit(&q->index, unit);
    queue_rest(q, d);
}

void queue_rest(struct queue *q, struct destination *d)
{
    struct site *s = d->site;

    index_rest_destination(&q->index, d);
    if (s->probing)
        backoff_drop(q, s);
}

bool queue_finish_if_done(struct queue *q, uint32_t mail)
{
    const struct mail *m = index_mail(&q->index, mail);

    if (index_first_unit(&q->index, mail) != POOL_NONE)
        return false;
    deadline_leave_trash(q, mail);
    store_finish(q->store, m->id, index_place(m));
    cache_drop(&q->cache, m->id);
    unread_forget(q, m->id);
    index_remove_mail(&q->index, mail);
    return true;
}

void queue_set_aside(struct queue *q, uint32_t mail, int err)
{
    struct mail *m = index_mail(&q->index, mail);
    uint32_t due;

    if (err == -EBADMSG) {
        log_error("message_damaged", LOG_ID("message", m->id));
        m->flags |= MAIL_DAMAGED;
        admin_hold(q, mail, STORE_DAMAGED);
        return;
    }
    due = queue_tick(q, queue_now_ms(q) + unread_note(q, m->id, err));
    index_each_unit (u, &q->index, mail) {
        if (index_unit(&q->index, u)->state == UNIT_DUE)
            index_time(&q->index, u, due);
    }
    queue_arm_wheel(q);
}

/* ---- start, reload, end ---- */

static void on_state(struct store_watcher *w, enum spool_trouble trouble, uint64_t room_bytes)
{
    static const char *const names[] = { "fine", "full", "broken", "suspended", "invalid" };
    struct queue *q = container_of(w, struct queue, watcher);

    if (trouble != q->trouble)
        log_warn("spool_state_changed", LOG_STRING("state", names[trouble]),
                 LOG_U64("room_bytes", room_bytes));
    q->trouble = trouble;
    q->room_bytes = room_bytes;
    if (q->intake == NULL)
        return;
    intake_tell_state(q->intake);
    deadline_arm(q);
}

static struct store_ref on_find(struct store_watcher *w, uint64_t id)
{
    struct queue *q = container_of(w, struct queue, watcher);
    uint32_t mail = index_find(&q->index, id);

    return mail == POOL_NONE ? (struct store_ref){ 0 } : index_place(index_mail(&q->index, mail));
}

static void on_moved(struct store_watcher *w, uint64_t id, struct store_ref where)
{
    struct queue *q = container_of(w, struct queue, watcher);
    uint32_t mail = index_find(&q->index, id);
    struct mail *m;

    if (mail == POOL_NONE)
        return;
    m = index_mail(&q->index, mail);
    if (deadline_in_trash(m))
        q->trash_bytes -= deadline_trash_bytes(m);
    index_set_place(m, where);
    if (deadline_in_trash(m))
        q->trash_bytes += deadline_trash_bytes(m);
}

static void on_outcome_moved(struct store_watcher *w, uint64_t id, uint64_t from,
                             struct store_ref where)
{
    struct queue *q = container_of(w, struct queue, watcher);
    uint32_t mail = index_find(&q->index, id);

    if (mail == POOL_NONE)
        return;
    index_each_unit (u, &q->index, mail) {
        if (index_unit(&q->index, u)->last_place == from)
            index_set_last(index_unit(&q->index, u), where);
    }
}

/* Only a start can put it where it belongs; master makes one. */
static void on_readable(struct store_watcher *w)
{
    struct queue *q = container_of(w, struct queue, watcher);

    log_info("segments_readable", LOG_STRING("doing", "starting the queue again"));
    q->renewing = true;
    queue_drain(q);
}

/* One that is held for that already is told of again in each run. */
static void on_damaged(struct store_watcher *w, uint64_t id)
{
    struct queue *q = container_of(w, struct queue, watcher);
    uint32_t mail = index_find(&q->index, id);

    if (mail != POOL_NONE && (index_mail(&q->index, mail)->flags & MAIL_DAMAGED) == 0)
        queue_set_aside(q, mail, -EBADMSG);
}

int queue_open(struct queue *q, struct loop *l, const struct settings *settings, const char *path,
               struct error *err)
{
    struct store_options o = { .path = path,
                               .read_only = settings == NULL,
                               .rest_ms = QUEUE_REST_MS };
    int result;

    *q = (struct queue){ .loop = l, .settings = settings };
    list_init(&q->hook.link);
    list_init(&q->appointments);
    table_init(&q->losses, false);
    table_init(&q->arrivals[0], false);
    table_init(&q->arrivals[1], false);
    table_init(&q->unread, false);
    index_init(&q->index);
    restore_init(q);
    deadline_init(q);
    notify_init(q);
    cache_init(&q->cache, settings != NULL ? settings->spool.cache_bytes : 0);
    q->watcher = (struct store_watcher){ on_state,         on_find,     on_moved,
                                         on_outcome_moved, on_readable, on_damaged };
    q->wheel_timer.fire = on_wheel;
    if (settings != NULL) {
        mx_read_limits(q);
        o.segment_bytes = settings->spool.segment_bytes;
        o.big_body_bytes = settings->spool.big_body_bytes;
        o.reserve_bytes = settings->spool.reserve_bytes;
        o.fresh = !settings->spool.recycle;
        q->history = history_new(l);
        if (q->history == NULL)
            return error_set(err, -EMFILE, "no descriptors for the history of mail");
        history_limit(q->history, settings->spool.history_bytes, settings->spool.history_ms);
    }
    result = store_open(&q->store, &o, l, &q->replay, &q->watcher, err);
    if (result == 0)
        time_begin(q);
    return result;
}

static bool drained(const struct queue *q)
{
    bool over = queue_now_ms(q) >= q->drain_ends_ms;

    return store_idle(q->store) &&
           (over || ((q->renewing || intake_idle(q->intake)) && q->notices_pending == 0 &&
                     dispatch_running(q->dispatch) == 0));
}

/* Read everything, make it durable once, answer everyone. */
static void on_turn(struct hook *h)
{
    struct queue *q = container_of(h, struct queue, hook);

    if (q->restored && !store_is_behind(q->store))
        dispatch_run(q->dispatch);
    store_flush(q->store);
    if (q->draining && drained(q))
        loop_stop(q->loop);
}

int queue_start(struct queue *q, struct error *err)
{
    int result = store_start(q->store, err);

    if (result < 0)
        return result;
    result = history_start(q->history, q->base_ms - q->monotonic_base_ms);
    if (result < 0)
        return error_set(err, result, "no thread for the history of mail: %s", strerror(-result));
    time_note(q, false);
    q->intake = intake_new(q);
    q->dispatch = dispatch_new(q);
    q->hook.run = on_turn;
    loop_before_sleep(q->loop, &q->hook);
    restore_start(q);
    return 0;
}

static void free_settings(struct queue_settings *s)
{
    if (s == NULL)
        return;
    settings_release(&s->settings);
    config_free(&s->config);
    free(s->bundle);
    free(s);
}

void queue_reload(struct queue *q, struct queue_settings *next)
{
    q->settings = &next->settings;
    free_settings(q->replaced);
    q->replaced = next;
    q->routing++;
    log_open("queue", (enum log_format)next->settings.log_format,
             (enum log_level)next->settings.log_level);
    cache_limit(&q->cache, next->settings.spool.cache_bytes);
    mx_read_limits(q);
    for (uint32_t i = 1; i < q->index.destinations.end; i++) {
        struct destination *d = index_destination(&q->index, i);

        if (d->self != POOL_NONE)
            mx_place(q, d);
    }
    history_limit(q->history, next->settings.spool.history_bytes, next->settings.spool.history_ms);
    dispatch_reload(q->dispatch);
    /* The trouble may have been the route that has just been changed. */
    list_each_safe (it, &q->index.troubled)
        backoff_retry(q, container_of(it, struct site, trouble));
    deadline_arm(q);
}

static void on_drain_over(struct timer *t)
{
    (void)t; /* the turn that it makes happen is what was wanted */
}

void queue_drain(struct queue *q)
{
    if (q->draining)
        return;
    q->draining = true;
    q->drain_ends_ms = queue_now_ms(q) + q->settings->timeouts.drain;
    q->drain_timer.fire = on_drain_over;
    loop_start_timer(q->loop, &q->drain_timer, q->settings->timeouts.drain);
    log_info("drain_started", LOG_U64("running", dispatch_running(q->dispatch)));
}

static void stop_timers(struct queue *q)
{
    loop_stop_timer(q->loop, &q->restore_timer);
    loop_stop_timer(q->loop, &q->wheel_timer);
    loop_stop_timer(q->loop, &q->deadline_timer);
    loop_stop_timer(q->loop, &q->overdue_timer);
    loop_stop_timer(q->loop, &q->clock_timer);
    loop_stop_timer(q->loop, &q->drain_timer);
    for (uint32_t i = 1; i < q->index.sites.end; i++) {
        struct site *s = pool_at(&q->index.sites, i);

        loop_stop_timer(q->loop, &s->timer);
    }
}

void queue_close(struct queue *q)
{
    stop_timers(q);
    if (q->dispatch != NULL && q->restored && dispatch_running(q->dispatch) == 0)
        time_note(q, true);
    list_remove(&q->hook.link);
    appointment_forget_all(q);
    losses_forget_all(q);
    unread_release(q);
    notify_forget_all(q);
    control_free(&q->control);
    intake_free(&q->intake);
    dispatch_free(&q->dispatch);
    if (q->store != NULL)
        store_close(&q->store);
    history_free(&q->history);
    cache_release(&q->cache);
    restore_release(q);
    index_release(&q->index);
    free(q->limits);
    q->limits = NULL;
    free_settings(q->replaced);
    q->replaced = NULL;
}
