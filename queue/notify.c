#include "queue/notify.h"

#include "common/memory.h"
#include "io/clock.h"
#include "io/log.h"
#include "queue/content.h"
#include "queue/deadline.h"
#include "queue/dispatch.h"
#include "queue/flood.h"
#include "queue/history.h"
#include "queue/losses.h"
#include "queue/remember.h"
#include "queue/report.h"
#include "queue/sources.h"
#include "queue/waiting.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    GIVE_BACK_MS = 60 * 1000,    /* until what cannot be read is tried again */
    NOTICE_PAUSE_MS = 60 * 1000, /* between delay notices when none can be made */
};

/* On its way into the spool. */
struct notice {
    struct store_commit commit;
    struct list link; /* q->notices_again */
    struct queue *queue;
    struct letter *letter; /* NULL: it could not be made yet */
    enum bounce_action action;
    uint64_t about;  /* id */
    uint32_t *units; /* that are done with it */
    size_t unit_count;
    uint32_t *settles;
    struct loss *loss; /* of what it tells; NULL: a delay, or expansion */
    struct buf past;   /* what the history gets when it is durable; heap */
};

/* ---- what comes of it ---- */

static void give_back(struct queue *q, const uint32_t *units, size_t count)
{
    uint32_t due = queue_tick(q, queue_now_ms(q) + GIVE_BACK_MS);

    for (size_t i = 0; i < count; i++) {
        const struct mail *m = index_mail(&q->index, index_mail_of(&q->index, units[i]));

        if ((m->flags & MAIL_DELETED) && !deadline_in_trash(m))
            queue_remove_unit(q, units[i]);
        else if (m->flags & MAIL_HELD)
            index_park(&q->index, units[i]);
        else
            index_time(&q->index, units[i], due);
    }
    queue_arm_wheel(q);
}

static void free_notice(struct notice *n)
{
    letter_free(&n->letter);
    loss_free(&n->loss);
    free(n->units);
    free(n->settles);
    if (n->past.capacity > 0)
        buf_free(&n->past);
    free(n);
}

static void remove_units(struct queue *q, uint32_t mail, const uint32_t *units, size_t count)
{
    for (size_t i = 0; i < count; i++)
        queue_remove_unit(q, units[i]);
    if (mail != POOL_NONE)
        queue_finish_if_done(q, mail);
}

/* Nobody will hear of it, or, with an outcome, only later. */
static void record_arrival(struct queue *q, uint64_t id, const struct notify_rcpt *r,
                           struct view outcome)
{
    const struct store_outcome o = {
        .message = id,
        .rcpts = &r->rcpt,
        .rcpt_count = 1,
        .state = STORE_DELIVERED,
        .attempts = index_unit(&q->index, r->unit)->attempts,
        .at_ms = r->attempted_ms,
        .text = outcome,
    };

    store_settle(q->store, &o, NULL);
}

/* What has arrived stays so, also after a crash, and so does what is owed. */
static void hold_arrivals(struct loss *l)
{
    char room[4096];

    for (size_t i = 0; i < l->rcpt_count; i++) {
        struct notify_rcpt *r = &l->rcpts[i];
        struct buf text = BUF_ON_ARRAY(room);
        struct outcome o = *r->outcome;

        o.class = OUTCOME_DELIVERED;
        o.final = l->action == BOUNCE_DELIVERED;
        if (!r->logged)
            record_arrival(l->queue, l->message, r,
                           outcome_encode(&o, &text) ? buf_view(&text) : VIEW_EMPTY);
        r->logged = true;
    }
    losses_hold(l->queue, l);
}

/* The recipients were refused for good: they are not asked for again. */
static void hold_loss(struct queue *q, struct loss **l)
{
    for (size_t i = 0; i < (*l)->rcpt_count; i++)
        (*l)->rcpts[i].logged = true;
    losses_hold(q, *l);
    *l = NULL;
}

static void tell_later(struct queue *q, uint32_t mail)
{
    struct mail *m = index_mail(&q->index, mail);

    m->flags &= (uint8_t)~MAIL_NOTICED;
    q->notice_pause_ms = queue_now_ms(q) + NOTICE_PAUSE_MS;
    if (m->deadline == DEADLINE_NOTICED)
        index_set_deadline(&q->index, mail, DEADLINE_NOTICE);
    deadline_arm(q);
}

/* The letter is kept: the message may be gone when there is room again. */
static void send_again_later(struct notice *n)
{
    struct queue *q = n->queue;

    list_append(&q->notices_again, &n->link);
    if (!timer_running(&q->notices_timer))
        loop_start_timer(q->loop, &q->notices_timer, NOTICE_PAUSE_MS);
}

static void on_failed(struct notice *n, enum spool_trouble trouble)
{
    struct queue *q = n->queue;
    uint32_t mail = index_find(&q->index, n->about);

    log_warn("notice_failed", LOG_ID("message", n->about), LOG_U64("trouble", (uint64_t)trouble));
    if ((n->action == BOUNCE_DELIVERED || n->action == BOUNCE_RELAYED) && mail != POOL_NONE) {
        hold_arrivals(n->loss);
        n->loss = NULL;
    }
    if (n->action == BOUNCE_DELAYED && mail != POOL_NONE &&
        (index_mail(&q->index, mail)->flags & MAIL_DELETED) == 0)
        tell_later(q, mail);
    if (n->action == BOUNCE_FAILED)
        hold_loss(q, &n->loss);
    if (n->action == BOUNCE_EXPANDED)
        send_again_later(n);
    else
        free_notice(n);
}

static const char *kind_name(enum bounce_action a)
{
    if (a == BOUNCE_FAILED)
        return "failure";
    return a == BOUNCE_DELAYED ? "delay" : bounce_action_name(a);
}

static void on_durable(struct notice *n)
{
    struct queue *q = n->queue;

    log_info("notice_queued", LOG_ID("message", n->about), LOG_ID("notice", n->commit.id),
             LOG_STRING("kind", kind_name(n->action)),
             LOG_VIEW("to", n->letter->envelope.rcpts[0].address));
    history_add_encoded(q->history, buf_view(&n->past));
    remove_units(q, index_find(&q->index, n->about), n->units, n->unit_count);
    queue_take_in(q, &n->commit, &n->letter->envelope, n->letter);
    n->letter = NULL;
    free_notice(n);
}

static void on_done(struct store_commit *c, enum spool_trouble trouble)
{
    struct notice *n = container_of(c, struct notice, commit);

    n->queue->notices_pending--;
    if (trouble == SPOOL_FINE)
        on_durable(n);
    else
        on_failed(n, trouble);
}

static void send_again(struct queue *q, struct notice *n)
{
    uint32_t mail = index_find(&q->index, n->about);

    if (n->letter == NULL) {
        free_notice(n);
        if (mail != POOL_NONE)
            notify_expanded(q, mail);
        return;
    }
    if (mail == POOL_NONE)
        n->commit.about = 0; /* a message that is gone has no states */
    q->notices_pending++;
    store_accept(q->store, &n->commit);
}

static void on_again(struct timer *t)
{
    struct queue *q = container_of(t, struct queue, notices_timer);
    struct list now, *l; /* some may come back at once */

    list_init(&now);
    while ((l = list_take_first(&q->notices_again)) != NULL)
        list_append(&now, l);
    while ((l = list_take_first(&now)) != NULL)
        send_again(q, container_of(l, struct notice, link));
}

void notify_init(struct queue *q)
{
    list_init(&q->notices_again);
    q->notices_timer.fire = on_again;
}

void notify_forget_all(struct queue *q)
{
    struct list *l;

    loop_stop_timer(q->loop, &q->notices_timer);
    while ((l = list_take_first(&q->notices_again)) != NULL)
        free_notice(container_of(l, struct notice, link));
}

static void send_notice(struct queue *q, const struct mail *m, struct letter *l, struct notice *n)
{
    n->queue = q;
    n->letter = l;
    n->about = m->id;
    n->commit.envelope = l->encoded;
    n->commit.body = l->body;
    n->commit.big_fd = -1;
    n->commit.body_bytes = l->body.len;
    n->commit.body_crc = l->body_crc;
    n->commit.about = m->id;
    n->commit.settles = n->settles;
    n->commit.done = on_done;
    q->notices_pending++;
    store_accept(q->store, &n->commit);
}

/* All of the recipients are done with the notice, whether it tells of them or not. */
static void send_settling(struct queue *q, uint32_t mail, enum bounce_action a,
                          const uint32_t *units, size_t unit_count, const struct notify_rcpt *rcpts,
                          size_t rcpt_count, struct letter *l)
{
    struct notice *n = memory_new(sizeof(*n));

    n->action = a;
    n->units = memory_new_array(unit_count, sizeof(*units));
    memcpy(n->units, units, unit_count * sizeof(*units));
    n->unit_count = unit_count;
    n->settles = memory_new_array(rcpt_count, sizeof(*n->settles));
    for (size_t i = 0; i < rcpt_count; i++)
        n->settles[i] = rcpts[i].rcpt;
    n->commit.settle_count = rcpt_count;
    if (a == BOUNCE_FAILED)
        remember_lost(q, mail, PAST_BOUNCED, rcpts, rcpt_count, &n->past);
    n->loss =
        loss_copy(q, a, index_mail(&q->index, mail)->id, units, unit_count, rcpts, rcpt_count);
    for (size_t i = 0; i < unit_count; i++) {
        if (a == BOUNCE_FAILED)
            index_fail(&q->index, units[i]);
        else
            index_arrive(&q->index, units[i]);
    }
    send_notice(q, index_mail(&q->index, mail), l, n);
}

/* The sender is to hear of one of the recipients at least. */
static bool is_wanted(struct queue *q, const struct mail *m, const struct envelope *e,
                      enum bounce_action a, const struct notify_rcpt *rcpts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (report_wanted(e, a, rcpts[i].rcpt)) {
            if (flood_allows(&q->flood, q->settings, e, queue_now_ms(q)))
                return true;
            log_warn("notice_suppressed", LOG_ID("message", m->id),
                     LOG_STRING("kind", kind_name(a)), LOG_VIEW("to", e->sender));
            return false;
        }
    }
    return false;
}

/* ---- failure ---- */

static void log_given_up(struct queue *q, const struct mail *m, const struct notify_rcpt *r,
                         bool told)
{
    char room[1024];
    struct buf words = BUF_ON_ARRAY(room);
    const struct unit *u = index_unit(&q->index, r->unit);
    const struct destination *d = index_destination(&q->index, u->destination);

    outcome_print(r->outcome, &words);
    log_info(told ? "bounced" : "failed", LOG_ID("message", m->id),
             LOG_VIEW("recipient", r->address), LOG_VIEW("destination", d->hop.name),
             LOG_VIEW(r->outcome->host.len > 0 ? "host" : NULL, r->outcome->host),
             LOG_VIEW(r->outcome->tls.len > 0 ? "tls" : NULL, r->outcome->tls),
             LOG_U64(r->outcome->code > 0 ? "code" : NULL, r->outcome->code),
             LOG_VIEW("reason", buf_view(&words)), LOG_U64("attempts", u->attempts),
             LOG_STRING(r->expired ? "cause" : NULL, "expired"));
    if (told)
        q->totals.bounced++;
    else
        q->totals.failed++;
}

/* Nobody to tell: the end of these recipients is recorded, and that is all. */
static void record_failure(struct queue *q, uint32_t mail, const uint32_t *units, size_t unit_count,
                           const struct notify_rcpt *rcpts, size_t rcpt_count)
{
    char room[4096];
    struct buf past = { 0 };

    remember_lost(q, mail, PAST_FAILED, rcpts, rcpt_count, &past);
    history_add_encoded(q->history, buf_view(&past));
    if (past.capacity > 0)
        buf_free(&past);
    for (size_t i = 0; i < rcpt_count; i++) {
        struct buf text = BUF_ON_ARRAY(room);
        const struct store_outcome o = {
            .message = index_mail(&q->index, mail)->id,
            .rcpts = &rcpts[i].rcpt,
            .rcpt_count = 1,
            .state = STORE_FAILED,
            .attempts = index_unit(&q->index, rcpts[i].unit)->attempts,
            .at_ms = clock_wall_ms(),
            .text = outcome_encode(rcpts[i].outcome, &text) ? buf_view(&text) : VIEW_EMPTY,
        };

        log_given_up(q, index_mail(&q->index, mail), &rcpts[i], false);
        store_settle(q->store, &o, NULL);
    }
    remove_units(q, mail, units, unit_count);
}

void notify_failure(struct queue *q, uint32_t mail, const uint32_t *units, size_t unit_count,
                    const struct notify_rcpt *rcpts, size_t rcpt_count)
{
    const struct mail *m = index_mail(&q->index, mail);
    bool wanted = (m->flags & MAIL_NULL_SENDER) == 0;
    struct letter *l = NULL;
    struct content c;
    int err = 0;

    if (wanted) {
        err = content_open(q, m, true, &c);
        wanted = err < 0 || is_wanted(q, m, &c.envelope, BOUNCE_FAILED, rcpts, rcpt_count);
        if (err == 0 && wanted)
            l = report_write(q, m, &c, BOUNCE_FAILED, rcpts, rcpt_count);
        for (size_t i = 0; l != NULL && i < rcpt_count; i++) {
            if (!rcpts[i].logged)
                log_given_up(q, m, &rcpts[i],
                             report_wanted(&c.envelope, BOUNCE_FAILED, rcpts[i].rcpt));
        }
        if (err == 0)
            content_close(&c);
    }
    if (!wanted) {
        record_failure(q, mail, units, unit_count, rcpts, rcpt_count);
    } else if (l != NULL) {
        send_settling(q, mail, BOUNCE_FAILED, units, unit_count, rcpts, rcpt_count, l);
    } else if (err < 0) {
        give_back(q, units, unit_count);
        queue_set_aside(q, mail, err);
    } else {
        losses_hold(q, loss_copy(q, BOUNCE_FAILED, m->id, units, unit_count, rcpts, rcpt_count));
    }
}

/* ---- success ---- */

void notify_success(struct queue *q, uint32_t mail, bool final, const uint32_t *units,
                    size_t unit_count, struct notify_rcpt *rcpts, size_t rcpt_count)
{
    enum bounce_action action = final ? BOUNCE_DELIVERED : BOUNCE_RELAYED;
    const struct mail *m = index_mail(&q->index, mail);
    struct letter *l = NULL;
    struct content c;
    bool owed;
    int err = content_open(q, m, true, &c);

    owed = err < 0 && err != -EBADMSG;
    if (err == 0) {
        for (size_t i = 0; i < rcpt_count; i++)
            rcpts[i].address = c.envelope.rcpts[rcpts[i].rcpt].address;
        owed = is_wanted(q, m, &c.envelope, action, rcpts, rcpt_count);
        if (owed)
            l = report_write(q, m, &c, action, rcpts, rcpt_count);
    } else {
        log_warn("notice_failed", LOG_ID("message", m->id), LOG_ERRNO("error", -err));
    }
    if (l != NULL) {
        send_settling(q, mail, action, units, unit_count, rcpts, rcpt_count, l);
    } else if (owed) {
        for (size_t i = 0; i < unit_count; i++)
            index_arrive(&q->index, units[i]);
        hold_arrivals(loss_copy(q, action, m->id, units, unit_count, rcpts, rcpt_count));
    } else {
        for (size_t i = 0; i < rcpt_count; i++)
            record_arrival(q, m->id, &rcpts[i], VIEW_EMPTY);
        remove_units(q, mail, units, unit_count);
    }
    if (err == 0)
        content_close(&c);
}

struct arrivals {
    struct notify_rcpt *rcpts;
    uint32_t *units;
    size_t rcpt_count, unit_count;
};

static void add_arrival(struct arrivals *a, uint32_t unit, const struct notify_rcpt *rcpts,
                        size_t count)
{
    a->units[a->unit_count++] = unit;
    for (size_t i = 0; i < count; i++) {
        a->rcpts[a->rcpt_count] = rcpts[i];
        a->rcpts[a->rcpt_count++].logged = true;
    }
}

static void tell_arrivals(struct queue *q, uint32_t mail)
{
    unsigned total = index_mail(&q->index, mail)->rcpt_count;
    struct notify_rcpt *list = memory_new_array(total, sizeof(*list));
    struct arrivals some[2];
    struct arena arena;

    for (unsigned final = 0; final < 2; final++)
        some[final] = (struct arrivals){ .rcpts = memory_new_array(total, sizeof(*list)),
                                         .units = memory_new_array(total, sizeof(uint32_t)) };
    arena_init(&arena, WAITING_ARENA_MAX);
    index_each_unit (u, &q->index, mail) {
        if (index_unit(&q->index, u)->state == UNIT_ARRIVED) {
            size_t count = waiting_list(q, u, NULL, false, &arena, list);

            add_arrival(&some[list[0].outcome->final], u, list, count);
        }
    }
    for (unsigned final = 0; final < 2; final++) {
        struct arrivals *a = &some[final];

        if (a->unit_count > 0)
            notify_success(q, mail, final, a->units, a->unit_count, a->rcpts, a->rcpt_count);
        free(a->units);
        free(a->rcpts);
    }
    arena_reset(&arena);
    free(list);
}

/* That they have it does not depend on what can be read now. */
void notify_arrivals(struct queue *q, uint32_t mail)
{
    index_each_unit (u, &q->index, mail) {
        if (index_unit(&q->index, u)->state == UNIT_ARRIVED) {
            tell_arrivals(q, mail);
            return;
        }
    }
}

static const struct outcome expanded = {
    .class = OUTCOME_DELIVERED,
    .enhanced = { 2, 1, 5 },
    .text = VIEW_INIT("this address stands for several recipients"),
};

/* The address that the sender knows. */
static struct view known_address(const struct envelope_rcpt *r)
{
    struct view address = r->original;

    (void)view_take_until(&address, ';');
    return address.len > 0 ? address : r->address;
}

bool notify_owes_expansion(const struct envelope *e)
{
    bool owes = false;

    for (size_t i = 0; i < e->rcpt_count; i++)
        owes = owes || (e->rcpts[i].notify & NOTIFY_EXPANDED) != 0;
    return owes && e->sender.len > 0;
}

static struct notice *new_expansion(struct queue *q, const struct mail *m)
{
    struct notice *n = memory_new(sizeof(*n));

    n->queue = q;
    n->about = m->id;
    n->action = BOUNCE_EXPANDED;
    n->settles = memory_new_array(1, sizeof(*n->settles));
    n->settles[0] = m->rcpt_count;
    n->commit.settle_count = 1;
    return n;
}

void notify_expanded(struct queue *q, uint32_t mail)
{
    const struct mail *m = index_mail(&q->index, mail);
    struct letter *l = NULL;
    struct notify_rcpt *rcpts;
    struct notice *n;
    struct content c;
    bool wanted;
    size_t count = 0;
    int err;

    if ((m->flags & MAIL_NULL_SENDER) != 0)
        return;
    err = content_open(q, m, true, &c);
    if (err < 0) {
        log_warn("notice_failed", LOG_ID("message", m->id), LOG_ERRNO("error", -err));
        if (err != -EBADMSG)
            send_again_later(new_expansion(q, m));
        return;
    }
    rcpts = memory_new_array(m->rcpt_count, sizeof(*rcpts));
    for (uint32_t i = 0; i < m->rcpt_count; i++) {
        const struct envelope_rcpt *r = &c.envelope.rcpts[i];

        if (report_wanted(&c.envelope, BOUNCE_EXPANDED, i))
            rcpts[count++] = (struct notify_rcpt){
                .rcpt = i, .unit = POOL_NONE, .address = known_address(r), .outcome = &expanded
            };
    }
    wanted = is_wanted(q, m, &c.envelope, BOUNCE_EXPANDED, rcpts, count);
    if (wanted)
        l = report_write(q, m, &c, BOUNCE_EXPANDED, rcpts, count);
    n = wanted ? new_expansion(q, m) : NULL;
    if (l != NULL)
        send_notice(q, m, l, n);
    else if (n != NULL)
        send_again_later(n);
    free(rcpts);
    content_close(&c);
}

/* ---- delay ---- */

void notify_delay(struct queue *q, uint32_t mail)
{
    struct mail *m = index_mail(&q->index, mail);
    struct letter *l = NULL;
    struct notify_rcpt *rcpts;
    struct content c;
    struct arena arena;
    size_t count = 0;
    int err;

    m->flags |= MAIL_NOTICED;
    err = content_open(q, m, true, &c);
    if (err < 0) {
        queue_set_aside(q, mail, err);
        if (source_lacks_means(err)) /* else this message alone, which holds up no other notice */
            tell_later(q, mail);
        return;
    }
    rcpts = memory_new_array(m->rcpt_count, sizeof(*rcpts));
    arena_init(&arena, WAITING_ARENA_MAX);
    index_each_unit (u, &q->index, mail) {
        if (index_unit(&q->index, u)->state < UNIT_FAILING)
            count += waiting_list(q, u, &c.envelope, false, &arena, rcpts + count);
    }
    if (is_wanted(q, m, &c.envelope, BOUNCE_DELAYED, rcpts, count))
        l = report_write(q, m, &c, BOUNCE_DELAYED, rcpts, count);
    content_close(&c);
    if (l != NULL) {
        struct notice *n = memory_new(sizeof(*n));

        n->action = BOUNCE_DELAYED;
        send_notice(q, m, l, n);
    }
    arena_reset(&arena);
    free(rcpts);
}
