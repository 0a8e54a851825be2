#include "queue/unread.h"

#include "common/memory.h"
#include "io/log.h"
#include "queue/schedule.h"

#include <stdlib.h>

enum { LASTING_MS = 60 * 1000 }; /* then somebody should look at it */

static struct unread *find(const struct queue *q, uint64_t id)
{
    struct table_entry *e = table_find_number(&q->unread, id);

    return e == NULL ? NULL : container_of(e, struct unread, entry);
}

const struct unread *unread_find(const struct queue *q, uint64_t id)
{
    return find(q, id);
}

uint64_t unread_note(struct queue *q, uint64_t id, int err)
{
    struct unread *u = find(q, id);
    uint64_t now_ms = queue_now_ms(q);

    if (u == NULL) {
        u = memory_new(sizeof(*u));
        u->since_ms = now_ms;
        table_add_number(&q->unread, &u->entry, id);
    }
    u->error = -err;
    u->tries++;
    if (!u->lasting && now_ms >= u->since_ms + LASTING_MS) {
        u->lasting = true;
        q->unread_lasting++;
    }
    log_error("message_unreadable", LOG_ID("message", id), LOG_ERRNO("error", -err),
              LOG_U64("tries", u->tries));
    return schedule_again_ms(&q->settings->retry, u->tries, id + u->tries);
}

static void drop(struct queue *q, struct unread *u)
{
    table_remove(&q->unread, &u->entry);
    q->unread_lasting -= u->lasting;
    free(u);
}

void unread_forget(struct queue *q, uint64_t id)
{
    struct unread *u = q->unread.count == 0 ? NULL : find(q, id);

    if (u != NULL)
        drop(q, u);
}

void unread_release(struct queue *q)
{
    struct table_entry *e;

    while ((e = table_next(&q->unread, NULL)) != NULL)
        drop(q, container_of(e, struct unread, entry));
    table_release(&q->unread);
}
