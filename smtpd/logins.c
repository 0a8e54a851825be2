#include "smtpd/logins.h"

#include "common/memory.h"
#include "io/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct logins_peer {
    struct peer peer;
    struct logins *logins;
    struct deferred free;
};

void logins_init(struct logins *l, struct loop *loop)
{
    *l = (struct logins){ .loop = loop };
    table_init(&l->requests, false);
}

static void forget(struct logins *l, struct login_request *r)
{
    table_remove(&l->requests, &r->entry);
    r->id = 0;
}

/* NULL: its session has gone meanwhile. */
static struct login_request *find(struct logins *l, uint64_t id)
{
    struct table_entry *e = table_find_number(&l->requests, id);

    return e == NULL ? NULL : container_of(e, struct login_request, entry);
}

static bool hear_state(struct logins *l, struct view fields)
{
    struct message_login_state m;

    if (!message_login_state_decode(fields, &m) || m.mechanisms.len >= sizeof(l->mechanisms))
        return false;
    (void)snprintf(l->mechanisms, sizeof(l->mechanisms), "%.*s", VIEW_ARG(m.mechanisms));
    return true;
}

static bool hear_challenge(struct logins *l, struct view fields)
{
    struct message_login_challenge m;
    struct login_request *r;

    if (!message_login_challenge_decode(fields, &m))
        return false;
    r = find(l, m.exchange);
    if (r != NULL)
        r->challenged(r, m.bytes);
    return true;
}

static bool hear_end(struct logins *l, struct view fields)
{
    struct message_login_end m;
    struct login_request *r;

    if (!message_login_end_decode(fields, &m))
        return false;
    r = find(l, m.exchange);
    if (r == NULL)
        return true;
    forget(l, r);
    r->ended(r, m.result, m.login);
    return true;
}

static bool on_auth_said(struct peer *peer, enum message type, struct view fields, int fd)
{
    struct logins_peer *p = container_of(peer, struct logins_peer, peer);

    if (fd >= 0)
        close(fd);
    if (type == MESSAGE_LOGIN_STATE)
        return hear_state(p->logins, fields);
    if (type == MESSAGE_LOGIN_CHALLENGE)
        return hear_challenge(p->logins, fields);
    return type == MESSAGE_LOGIN_END && hear_end(p->logins, fields);
}

/* Those that wait are told, and may begin anew at once, which must not be mistaken for what is to
 * be told. */
static void fail_all(struct logins *l)
{
    uint64_t last = l->last_id;
    struct table_entry *e = table_next(&l->requests, NULL);

    while (e != NULL) {
        struct login_request *r = container_of(e, struct login_request, entry);

        if (r->id <= last) {
            forget(l, r);
            r->ended(r, LOGIN_TEMPORARY, VIEW_EMPTY);
            e = table_next(&l->requests, NULL);
        } else {
            e = table_next(&l->requests, e);
        }
    }
}

static void free_peer(struct deferred *d)
{
    free(container_of(d, struct logins_peer, free));
}

static void on_auth_gone(struct peer *peer)
{
    struct logins_peer *p = container_of(peer, struct logins_peer, peer);
    struct logins *l = p->logins;

    log_warn("auth_lost", LOG_U64("exchanges", l->requests.count));
    if (l->peer == p) {
        l->peer = NULL;
        l->mechanisms[0] = '\0';
        fail_all(l);
    }
    loop_defer(l->loop, &p->free);
}

int logins_connect(struct logins *l, uint32_t index, int fd)
{
    struct logins_peer *p = memory_new(sizeof(*p));
    int err;

    p->logins = l;
    p->free.run = free_peer;
    p->peer.heard = on_auth_said;
    p->peer.gone = on_auth_gone;
    err = peer_open(&p->peer, l->loop, SMTPD, AUTH, index, fd);
    if (err < 0) {
        free(p);
        return err;
    }
    l->peer = p;
    return 0;
}

bool logins_begin(struct logins *l, struct login_request *r, struct message_login_begin *m)
{
    if (l->peer == NULL)
        return false;
    r->id = m->exchange = ++l->last_id;
    table_add_number(&l->requests, &r->entry, r->id);
    peer_send_login_begin(&l->peer->peer, m, -1);
    return true;
}

void logins_respond(struct logins *l, struct login_request *r, struct view response)
{
    struct message_login_response m = { .exchange = r->id, .bytes = response };

    if (l->peer != NULL)
        peer_send_login_response(&l->peer->peer, &m, -1);
}

void logins_cancel(struct logins *l, struct login_request *r)
{
    struct message_login_cancel m = { .exchange = r->id };

    if (r->id == 0)
        return;
    if (l->peer != NULL)
        peer_send_login_cancel(&l->peer->peer, &m, -1);
    forget(l, r);
}
