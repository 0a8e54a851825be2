#include "queue/appointment.h"

#include "common/memory.h"
#include "io/log.h"
#include "queue/deadline.h"
#include "queue/waiting.h"

#include <stdlib.h>

enum {
    REACH_MS = 1 << 30, /* of one timer; then it looks again */
    PATIENCE_MS = 1000, /* while the spool is being read */
};

enum kind {
    BEGINNING, /* FUTURERELEASE (RFC 4865): the lifetime begins */
    REPORT,    /* DELIVERBY (RFC 2852): the sender is told that it is late, */
    RETURN,    /* or that it comes back */
};

struct appointment {
    struct list link; /* of the queue's */
    struct timer timer;
    struct queue *queue;
    uint64_t message, at_ms; /* the queue's clock */
    enum kind kind;
};

static void forget(struct appointment *a)
{
    loop_stop_timer(a->queue->loop, &a->timer);
    list_remove(&a->link);
    free(a);
}

static void keep(const struct appointment *a, uint32_t mail)
{
    struct queue *q = a->queue;
    const struct mail *m = index_mail(&q->index, mail);
    bool told = (m->flags & (MAIL_NOTICED | MAIL_NULL_SENDER)) != 0;

    if (a->kind == BEGINNING) {
        deadline_begin(q, mail);
        return;
    }
    log_info("late", LOG_ID("message", a->message),
             LOG_STRING("then", a->kind == RETURN ? "return" : "report"));
    if (a->kind == RETURN)
        waiting_give_up(q, mail);
    else if (!told)
        notify_delay(q, mail);
}

/* What is held, or in the trash, is an administrator's. */
static void on_time(struct timer *t)
{
    struct appointment *a = container_of(t, struct appointment, timer);
    struct queue *q = a->queue;
    uint64_t now_ms = queue_now_ms(q);
    uint32_t mail;

    if (now_ms < a->at_ms || !q->restored) {
        uint64_t wait_ms = now_ms < a->at_ms ? a->at_ms - now_ms : PATIENCE_MS;

        loop_start_timer(q->loop, t, MIN(wait_ms, (uint64_t)REACH_MS));
        return;
    }
    mail = index_find(&q->index, a->message);
    if (mail != POOL_NONE &&
        (index_mail(&q->index, mail)->flags & (MAIL_HELD | MAIL_DELETED | MAIL_OVERDUE)) == 0)
        keep(a, mail);
    forget(a);
}

static void make(struct queue *q, uint64_t message, enum kind kind, uint64_t at_ms)
{
    struct appointment *a = memory_new(sizeof(*a));
    uint64_t now_ms = queue_now_ms(q);

    *a = (struct appointment){
        .queue = q, .message = message, .kind = kind, .at_ms = at_ms, .timer.fire = on_time
    };
    list_append(&q->appointments, &a->link);
    loop_start_timer(q->loop, &a->timer,
                     MIN(at_ms > now_ms ? at_ms - now_ms : 0, (uint64_t)REACH_MS));
}

/* What was late when it came has been reported by whoever had it before (RFC 2852, 4.1.4). */
void appointment_make(struct queue *q, uint64_t message, const struct envelope *e)
{
    uint64_t begins_ms = queue_time_ms(q, e->not_before_ms);

    if (begins_ms > queue_now_ms(q))
        make(q, message, BEGINNING, begins_ms);
    if (e->by != BY_UNSAID && e->deliver_by_ms > e->arrival_ms)
        make(q, message, e->by == BY_RETURN ? RETURN : REPORT, queue_time_ms(q, e->deliver_by_ms));
}

void appointment_forget_all(struct queue *q)
{
    list_each_safe (it, &q->appointments)
        forget(container_of(it, struct appointment, link));
}
