#include "ipc/service.h"

#include "common/memory.h"
#include "io/log.h"

#include <stdlib.h>
#include <unistd.h>

static struct client *client_of(struct peer *p)
{
    return container_of(p, struct client, peer);
}

static bool on_heard(struct peer *p, enum message type, struct view fields, int fd)
{
    if (fd >= 0) {
        close(fd);
        return false;
    }
    return client_of(p)->service->heard(client_of(p), type, fields);
}

static void stop_when_unneeded(struct service *s)
{
    if (s->draining && list_empty(&s->clients))
        loop_stop(&s->role.loop);
}

static void on_free(struct deferred *d)
{
    free(container_of(d, struct client, free_later));
}

static void on_gone(struct peer *p)
{
    struct client *c = client_of(p);
    struct service *s = c->service;

    if (s->gone != NULL)
        s->gone(c);
    list_remove(&p->link);
    loop_defer(&s->role.loop, &c->free_later);
    stop_when_unneeded(s);
}

static void on_granted(struct role *r, const struct message_grant *what, int fd)
{
    struct service *s = container_of(r, struct service, role);
    struct client *c;
    int err;

    if (what->kind != GRANT_PEER)
        return;
    c = memory_new(s->client_bytes);
    c->service = s;
    c->free_later.run = on_free;
    c->peer.heard = on_heard;
    c->peer.gone = on_gone;
    err = peer_open(&c->peer, &r->loop, r->kind, what->peer, what->index, fd);
    if (err < 0) {
        log_error("channel_failed", LOG_STRING("peer", process_name(what->peer)),
                  LOG_ERRNO("error", -err));
        close(fd);
        free(c);
        return;
    }
    if (s->came != NULL)
        s->came(c);
    list_append(&s->clients, &c->peer.link);
}

/* Those that ask finish first. */
static void on_drain(struct role *r, bool stop)
{
    struct service *s = container_of(r, struct service, role);

    (void)stop;
    s->draining = true;
    stop_when_unneeded(s);
}

int service_run(struct service *s, struct sandbox *sandbox)
{
    list_init(&s->clients);
    s->role.granted = on_granted;
    s->role.drain = on_drain;
    return role_run(&s->role, sandbox);
}
