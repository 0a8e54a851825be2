#include "delivery/sessions.h"

#include "common/memory.h"

#include <stdlib.h>
#include <string.h>

struct kept {
    struct ssl_session_st *session;
    uint64_t until_ms; /* monotonic */
};

struct sessions_host {
    struct table_entry entry; /* by `name` */
    struct list link;         /* by_use */
    char *name;
    struct kept kept[SESSIONS_PER_HOST_MAX]; /* the oldest first */
    size_t count;
};

void sessions_init(struct sessions *s)
{
    table_init(&s->by_name, true);
    list_init(&s->by_use);
}

static void drop_host(struct sessions *s, struct sessions_host *h)
{
    for (size_t i = 0; i < h->count; i++)
        tls_free_session(&h->kept[i].session);
    table_remove(&s->by_name, &h->entry);
    list_remove(&h->link);
    free(h->name);
    free(h);
}

void sessions_release(struct sessions *s)
{
    while (!list_empty(&s->by_use))
        drop_host(s, container_of(s->by_use.next, struct sessions_host, link));
    table_release(&s->by_name);
}

void sessions_name(struct view host, uint16_t port, struct tls_policy policy, size_t anchors,
                   struct buf *out)
{
    buf_printf(out, "%u %u %u %zu %.*s", port, policy.level, policy.onward, anchors,
               VIEW_ARG(host));
}

static struct sessions_host *find_host(const struct sessions *s, struct view name)
{
    struct table_entry *e = table_find(&s->by_name, name);

    return e == NULL ? NULL : container_of(e, struct sessions_host, entry);
}

static struct sessions_host *make_host(struct sessions *s, struct view name)
{
    struct sessions_host *h;

    if (s->by_name.count == SESSIONS_HOSTS_MAX)
        drop_host(s, container_of(s->by_use.next, struct sessions_host, link));
    h = memory_new(sizeof(*h));
    h->name = memory_copy(name);
    list_init(&h->link);
    table_add(&s->by_name, &h->entry, view_make(h->name, name.len));
    return h;
}

static void drop_oldest(struct sessions_host *h)
{
    tls_free_session(&h->kept[0].session);
    h->count--;
    memmove(h->kept, h->kept + 1, h->count * sizeof(*h->kept));
}

void sessions_keep(struct sessions *s, struct view name, struct ssl_session_st *session,
                   uint64_t until_ms)
{
    struct sessions_host *h = find_host(s, name);

    if (h == NULL)
        h = make_host(s, name);
    if (h->count == SESSIONS_PER_HOST_MAX)
        drop_oldest(h);
    h->kept[h->count++] = (struct kept){ session, until_ms };
    list_remove(&h->link);
    list_append(&s->by_use, &h->link);
}

struct ssl_session_st *sessions_take(struct sessions *s, struct view name, uint64_t now_ms,
                                     uint64_t *until_ms)
{
    struct sessions_host *h = find_host(s, name);
    struct kept newest = { 0 };

    while (h != NULL && h->count > 0 && newest.session == NULL) {
        newest = h->kept[--h->count];
        if (newest.until_ms <= now_ms)
            tls_free_session(&newest.session);
    }
    if (h != NULL && h->count == 0)
        drop_host(s, h);
    *until_ms = newest.until_ms;
    return newest.session;
}
