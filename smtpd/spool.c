#include "smtpd/spool.h"

#include "common/memory.h"
#include "io/log.h"
#include "smtpd/session.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    UNSENT_MOST = 1 << 20, /* bytes in the channel; then commits wait with their sessions */
    COMMIT_FIXED = 64,     /* bytes, at least what a SPOOL_COMMIT has beside envelope and body */
    PART_MOST = CHANNEL_PACKET_MAX - COMMIT_FIXED,
    ENVELOPE_MOST =
        SESSION_RCPTS_BYTES_MAX + 12288, /* bytes: the recipients and the other fields */
};

struct spool_peer {
    struct peer peer;
    struct spool *spool;
    struct deferred free;
};

static void send_request(struct spool *s, struct spool_request *r);

void spool_init(struct spool *s, struct loop *l)
{
    *s = (struct spool){ .loop = l, .state.room_bytes = UINT64_MAX };
    table_init(&s->requests, false);
    list_init(&s->waiting);
}

static bool can_send(const struct spool_peer *p)
{
    return p != NULL && p->peer.channel.unsent_bytes < UNSENT_MOST;
}

static void send_waiting(struct spool *s)
{
    while (can_send(s->peer) && !list_empty(&s->waiting)) {
        struct list *first = list_take_first(&s->waiting);

        send_request(s, container_of(first, struct spool_request, link));
    }
}

static void on_drained(struct channel *c)
{
    struct spool_peer *p = container_of(c, struct spool_peer, peer.channel);

    send_waiting(p->spool);
}

/* It is idle again, for a next one. */
static void forget(struct spool *s, struct spool_request *r)
{
    if (r->peer != NULL)
        table_remove(&s->requests, &r->entry);
    else
        list_remove(&r->link);
    r->peer = NULL;
    r->id = 0;
}

/* The request that this peer speaks of; NULL: its session has gone meanwhile. */
static struct spool_request *find(struct spool_peer *p, uint64_t id)
{
    struct table_entry *e = table_find_number(&p->spool->requests, id);
    struct spool_request *r;

    if (e == NULL)
        return NULL;
    r = container_of(e, struct spool_request, entry);
    return r->peer == p ? r : NULL;
}

static bool hear_state(struct spool_peer *p, struct view fields)
{
    struct message_spool_state m;

    if (!message_spool_state_decode(fields, &m))
        return false;
    if (p == p->spool->peer)
        p->spool->state = m;
    return true;
}

static bool hear_opened(struct spool_peer *p, struct view fields, int fd)
{
    struct message_spool_opened m;
    struct spool_request *r;

    if (fd < 0 || !message_spool_opened_decode(fields, &m))
        return false;
    r = find(p, m.transaction);
    if (r == NULL) {
        close(fd);
        return true;
    }
    if (r->doing != REQUEST_OPEN) {
        close(fd);
        return false;
    }
    r->doing = REQUEST_OPENED;
    r->opened(r, fd);
    return true;
}

static bool hear_committed(struct spool_peer *p, struct view fields)
{
    struct message_spool_committed m;
    struct spool_request *r;

    if (!message_spool_committed_decode(fields, &m))
        return false;
    r = find(p, m.transaction);
    if (r == NULL)
        return true;
    if (r->doing != REQUEST_COMMIT)
        return false;
    forget(p->spool, r);
    r->committed(r, m.message);
    return true;
}

static bool hear_failed(struct spool_peer *p, struct view fields)
{
    struct message_spool_failed m;
    struct spool_request *r;

    if (!message_spool_failed_decode(fields, &m) || m.trouble == SPOOL_FINE)
        return false;
    r = find(p, m.transaction);
    if (r == NULL)
        return true;
    forget(p->spool, r);
    r->failed(r, m.trouble);
    return true;
}

static bool on_queue_said(struct peer *peer, enum message type, struct view fields, int fd)
{
    struct spool_peer *p = container_of(peer, struct spool_peer, peer);

    if (type == MESSAGE_SPOOL_OPENED)
        return hear_opened(p, fields, fd);
    if (fd >= 0)
        close(fd);
    if (type == MESSAGE_SPOOL_STATE)
        return hear_state(p, fields);
    if (type == MESSAGE_SPOOL_COMMITTED)
        return hear_committed(p, fields);
    return type == MESSAGE_SPOOL_FAILED && hear_failed(p, fields);
}

/* Those that the peer knew of fail. They are collected first, since a session that hears of it may
 * begin its next transaction at once. */
static void fail_all(struct spool_peer *p)
{
    struct spool *s = p->spool;
    struct table_entry *e = table_next(&s->requests, NULL);
    struct list failed;

    list_init(&failed);
    while (e != NULL) {
        struct spool_request *r = container_of(e, struct spool_request, entry);

        e = table_next(&s->requests, e);
        if (r->peer == p) {
            table_remove(&s->requests, &r->entry);
            r->peer = NULL;
            list_append(&failed, &r->link);
        }
    }
    while (!list_empty(&failed)) {
        struct spool_request *r = container_of(failed.next, struct spool_request, link);

        forget(s, r);
        r->failed(r, SPOOL_BROKEN);
    }
}

static void free_peer(struct deferred *d)
{
    free(container_of(d, struct spool_peer, free));
}

static void on_queue_gone(struct peer *peer)
{
    struct spool_peer *p = container_of(peer, struct spool_peer, peer);

    log_warn("queue_lost", LOG_U64("transactions", p->spool->requests.count));
    if (p->spool->peer == p)
        p->spool->peer = NULL;
    fail_all(p);
    loop_defer(p->spool->loop, &p->free);
}

int spool_connect(struct spool *s, uint32_t index, int fd)
{
    struct spool_peer *p = memory_new(sizeof(*p));
    int err;

    p->spool = s;
    p->free.run = free_peer;
    p->peer.heard = on_queue_said;
    p->peer.gone = on_queue_gone;
    p->peer.channel.drained = on_drained;
    err = peer_open(&p->peer, s->loop, SMTPD, QUEUE, index, fd);
    if (err < 0) {
        free(p);
        return err;
    }
    s->peer = p;
    s->state = (struct message_spool_state){ SPOOL_FINE, UINT64_MAX };
    send_waiting(s);
    return 0;
}

/* A request that no queue knows of yet gets an id and belongs to the newest. */
static void settle_on_peer(struct spool *s, struct spool_request *r)
{
    if (r->peer != NULL)
        return;
    r->peer = s->peer;
    table_add_number(&s->requests, &r->entry, r->id);
}

/* All but the last `rest` bytes, which it returns. */
static struct view send_parts(struct spool_request *r, struct view bytes, size_t rest)
{
    while (bytes.len > rest) {
        struct message_spool_part part = { r->id, view_sub(bytes, 0, PART_MOST) };

        peer_send_spool_part(&r->peer->peer, &part, -1);
        bytes = view_from(bytes, part.bytes.len);
    }
    return bytes;
}

/* What does not fit into the last packet. */
static void send_ahead(struct spool_request *r, struct message_spool_commit *m)
{
    if (m->envelope.len > PART_MOST) {
        m->envelope_ahead = (uint32_t)m->envelope.len;
        m->envelope = send_parts(r, m->envelope, 0);
    }
    m->body = send_parts(r, m->body, PART_MOST - m->envelope.len);
}

static void send_commit(struct spool_request *r)
{
    static char room[ENVELOPE_MOST];
    struct buf text = BUF_ON_ARRAY(room);
    struct message_spool_commit m = { .transaction = r->id };
    struct envelope e;
    bool fits;

    r->describe(r, &e, &m);
    fits = envelope_encode(&e, &text);
    assert(fits); /* the session refuses recipients before */
    m.envelope = buf_view(&text);
    send_ahead(r, &m);
    peer_send_spool_commit(&r->peer->peer, &m, -1);
}

static void send_request(struct spool *s, struct spool_request *r)
{
    struct message_spool_open open = { r->id };

    settle_on_peer(s, r);
    if (r->doing == REQUEST_COMMIT)
        send_commit(r);
    else
        peer_send_spool_open(&r->peer->peer, &open, -1);
}

static void begin(struct spool *s, struct spool_request *r)
{
    r->id = ++s->last_id;
    r->peer = NULL;
    list_init(&r->link);
    if (can_send(s->peer))
        send_request(s, r);
    else
        list_append(&s->waiting, &r->link);
}

void spool_open(struct spool *s, struct spool_request *r)
{
    r->doing = REQUEST_OPEN;
    begin(s, r);
}

/* With a file the queue knows it already, and its commit is small. */
void spool_commit(struct spool *s, struct spool_request *r)
{
    bool known = r->id != 0;

    r->doing = REQUEST_COMMIT;
    if (known)
        send_request(s, r);
    else
        begin(s, r);
}

void spool_cancel(struct spool *s, struct spool_request *r)
{
    struct message_spool_abort m = { r->id };

    if (r->id == 0)
        return;
    if (r->peer != NULL)
        peer_send_spool_abort(&r->peer->peer, &m, -1);
    forget(s, r);
}
