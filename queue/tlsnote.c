#include "queue/tlsnote.h"

#include "common/memory.h"
#include "queue/dispatch.h"
#include "queue/pieces.h"
#include "queue/worker.h"

#include <stdlib.h>

struct tlsnote {
    struct list link;  /* of the site's, the oldest first */
    uint64_t until_ms; /* the queue's clock */
    uint32_t worker;   /* its serial number */
    char *host;
};

static struct tlsnote *note_of(struct list *it)
{
    return container_of(it, struct tlsnote, link);
}

static void drop(struct tlsnote *n)
{
    list_remove(&n->link);
    free(n->host);
    free(n);
}

void tlsnote_drop_all(struct site *s)
{
    list_each_safe (it, &s->tls_notes)
        drop(note_of(it));
}

/* Its time is not over, and who remembers it has the site still. */
static bool holds(struct queue *q, const struct site *s, const struct tlsnote *n)
{
    const struct worker *w = dispatch_worker_for(q->dispatch, s->name);

    return w != NULL && w->serial == n->worker && queue_now_ms(q) < n->until_ms;
}

/* What is over, what is told anew, and what there is no room for. */
static void make_room(struct queue *q, struct site *s, struct view host)
{
    unsigned count = 0;

    list_each_safe (it, &s->tls_notes) {
        struct tlsnote *n = note_of(it);

        if (!holds(q, s, n) || view_equal(view_of(n->host), host))
            drop(n);
        else
            count++;
    }
    if (count == TLSNOTES_MAX)
        drop(note_of(s->tls_notes.next));
}

void tlsnote_add(struct queue *q, struct site *s, const struct worker *w,
                 const struct message_tls_missed *m)
{
    struct tlsnote *n = memory_new(sizeof(*n));

    make_room(q, s, m->host);
    n->until_ms = queue_now_ms(q) + m->for_ms;
    n->worker = w->serial;
    n->host = memory_copy(m->host);
    list_append(&s->tls_notes, &n->link);
}

static void put_note(struct queue *q, const struct tlsnote *n, struct buf *out)
{
    buf_put_byte(out, '{');
    put_view(out, "host", view_of(n->host));
    put_time(out, "until", queue_wall_ms(q, n->until_ms));
    buf_put_byte(out, '}');
}

void tlsnote_write(struct queue *q, const struct site *s, struct buf *out)
{
    bool any = false;

    list_each (it, &s->tls_notes) {
        if (!holds(q, s, note_of(it)))
            continue;
        if (!any)
            put_key(out, "tls_missed");
        buf_put_byte(out, any ? ',' : '[');
        put_note(q, note_of(it), out);
        any = true;
    }
    if (any)
        buf_put_byte(out, ']');
}
