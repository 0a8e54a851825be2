#include "delivery/ways.h"

#include "common/memory.h"
#include "delivery/route.h"
#include "mail/idn.h"

#include <stdlib.h>

enum {
    HOSTS_BYTES = 48 * 1024,   /* of an answer */
    ADDRESSES_BYTES = 50 * 64, /* of one host */
    WORDS_BYTES = 1024,
};

struct way {
    struct list link; /* of the worker's */
    struct worker *worker;
    struct question question;
    struct timer timer;
    struct route route;
    uint64_t number;
    char *target;
    size_t told; /* hosts that are in `hosts` */
    struct buf hosts, addresses;
};

static void drop(struct way *w)
{
    asker_forget(&w->worker->asker, &w->question);
    loop_stop_timer(w->worker->loop, &w->timer);
    list_remove(&w->link);
    route_release(&w->route);
    buf_free(&w->hosts);
    buf_free(&w->addresses);
    free(w->target);
    free(w);
}

/* Whatever does not fit is left out. */
static void tell_host(struct way *w)
{
    const struct route_host *h = &w->route.hosts[w->told];
    const struct way_host told = { .preference = h->preference,
                                   .tried = w->told < w->route.host_at,
                                   .name = h->name,
                                   .addresses = buf_view(&w->addresses) };

    (void)!way_hosts_put(&w->hosts, &told);
    buf_clear(&w->addresses);
    w->told++;
}

static void note_address(struct way *w)
{
    while (w->told + 1 < w->route.host_at)
        tell_host(w);
    if (buf_len(&w->addresses) > 0)
        buf_put_byte(&w->addresses, ' ');
    (void)!net_print_address_port(&w->route.address, &w->addresses);
}

static void answer(struct way *w, struct view late)
{
    char room[WORDS_BYTES];
    struct buf words = BUF_ON_ARRAY(room);
    struct message_way_answer m = { .question = w->number };
    const struct outcome *end = &w->route.end;

    while (w->told < w->route.host_count)
        tell_host(w);
    if (late.len > 0)
        buf_put(&words, late);
    else if (w->route.tried == 0 && enhanced_print(end->enhanced, &words))
        buf_printf(&words, " %.*s", VIEW_ARG(end->text));
    else if (w->route.ends_here)
        buf_put(&words,
                VIEW("this machine is one of the hosts: those that are not better are left out"));
    m.words = buf_view(&words);
    m.hosts = buf_view(&w->hosts);
    peer_send_way_answer(&w->worker->queue, &m, -1);
    drop(w);
}

static void on_answered(struct question *q, const struct message_dns_answer *a);

static void go_on(struct way *w)
{
    for (;;) {
        switch (route_next(&w->route)) {
        case ROUTE_ASK:
            w->question.answered = on_answered;
            asker_ask(&w->worker->asker, &w->question, w->route.question, w->route.name);
            return;
        case ROUTE_TRY:
            note_address(w);
            break;
        case ROUTE_END:
            answer(w, VIEW_EMPTY);
            return;
        }
    }
}

static void on_answered(struct question *q, const struct message_dns_answer *a)
{
    struct way *w = container_of(q, struct way, question);

    route_answer(&w->route, a);
    go_on(w);
}

static void on_late(struct timer *t)
{
    answer(container_of(t, struct way, timer), VIEW("the name servers did not answer in time"));
}

bool ways_hear(struct worker *worker, struct view fields)
{
    char room[ADDRESS_DOMAIN_MAX + 1];
    struct buf target = BUF_ON_ARRAY(room);
    struct message_way_ask m;
    struct way *w;

    if (!message_way_ask_decode(fields, &m))
        return false;
    if (!(m.mx ? idn_domain(m.target, &target) : buf_put(&target, m.target))) {
        const struct message_way_answer none = { .question = m.question,
                                                 .words = VIEW_INIT("5.1.2 no name that can be "
                                                                    "looked up") };

        peer_send_way_answer(&worker->queue, &none, -1);
        return true;
    }
    w = memory_new(sizeof(*w));
    w->worker = worker;
    w->number = m.question;
    w->target = memory_copy(buf_view(&target));
    buf_new(&w->hosts, HOSTS_BYTES);
    buf_new(&w->addresses, ADDRESSES_BYTES);
    route_init(&w->route, worker->settings, m.mx, view_make(w->target, buf_len(&target)), m.port);
    w->route.family = m.family;
    w->timer.fire = on_late;
    loop_start_timer(worker->loop, &w->timer, WORKER_INQUIRY_MS);
    list_append(&worker->ways, &w->link);
    go_on(w);
    return true;
}

void ways_drop(struct worker *w)
{
    list_each_safe (it, &w->ways)
        drop(container_of(it, struct way, link));
}
