#include "ipc/ask.h"

#include "io/log.h"

#include <unistd.h>

static void strike(struct asker *a, struct question *q)
{
    if (q->asked)
        table_remove(&a->questions, &q->entry);
    q->asked = false;
}

static bool on_heard(struct peer *p, enum message type, struct view fields, int fd)
{
    struct asker *a = container_of(p, struct asker, dns);
    struct message_dns_answer m;
    struct table_entry *e;
    struct question *q;

    if (fd >= 0)
        close(fd);
    if (fd >= 0 || type != MESSAGE_DNS_ANSWER || !message_dns_answer_decode(fields, &m))
        return false;
    e = table_find_number(&a->questions, m.question);
    if (e == NULL)
        return m.question < a->next; /* forgotten meanwhile */
    q = container_of(e, struct question, entry);
    strike(a, q);
    q->answered(q, &m);
    return true;
}

/* Master will send another; until then the questions wait. */
static void on_gone(struct peer *p)
{
    (void)p;
    log_warn("dns_gone", LOG_STRING("doing", "waiting for another"));
}

static void send_question(struct asker *a, struct question *q)
{
    const struct message_dns_ask m = { q->entry.number, q->kind, q->name };

    q->sent = peer_is_open(&a->dns) && a->dns.channel.unsent_bytes < ASKER_UNSENT_MOST;
    if (q->sent)
        peer_send_dns_ask(&a->dns, &m, -1);
}

/* Who asks may be gone before a slow dns process hears of it: what waits for it must not grow. */
static void on_drained(struct channel *c)
{
    struct asker *a = container_of(c, struct asker, dns.channel);

    for (struct table_entry *e = NULL; (e = table_next(&a->questions, e)) != NULL;) {
        struct question *q = container_of(e, struct question, entry);

        if (!q->sent)
            send_question(a, q);
    }
}

void asker_init(struct asker *a, struct loop *l, enum process self)
{
    *a = (struct asker){ .loop = l, .self = self, .next = 1 };
    table_init(&a->questions, false);
    a->dns.heard = on_heard;
    a->dns.gone = on_gone;
    a->dns.channel.drained = on_drained;
}

void asker_connect(struct asker *a, uint32_t index, int fd)
{
    int err;

    peer_close(&a->dns);
    err = peer_open(&a->dns, a->loop, a->self, DNS, index, fd);
    if (err < 0) {
        log_error("channel_failed", LOG_STRING("peer", "dns"), LOG_ERRNO("error", -err));
        close(fd);
        return;
    }
    for (struct table_entry *e = NULL; (e = table_next(&a->questions, e)) != NULL;)
        send_question(a, container_of(e, struct question, entry));
}

void asker_ask(struct asker *a, struct question *q, enum dns_question kind, struct view name)
{
    asker_forget(a, q);
    q->asked = true;
    q->kind = kind;
    q->name = name;
    table_add_number(&a->questions, &q->entry, a->next++);
    send_question(a, q);
}

/* A dns process that does not listen need not know. */
void asker_forget(struct asker *a, struct question *q)
{
    const struct message_dns_forget m = { q->entry.number };

    if (q->asked && q->sent && peer_is_open(&a->dns) &&
        a->dns.channel.unsent_bytes < ASKER_UNSENT_MOST)
        peer_send_dns_forget(&a->dns, &m, -1);
    strike(a, q);
}
