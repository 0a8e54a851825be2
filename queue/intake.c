#include "queue/intake.h"

#include "common/memory.h"
#include "io/log.h"
#include "ipc/peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    /* What an smtpd process has here may be so many times its own limits: it may still have older
     * settings. */
    SLACK = 2,
};

struct intake {
    struct queue *queue;
    struct list peers;
    size_t commits; /* that the store has */
};

struct sender { /* an smtpd process */
    struct peer peer;
    struct list link;
    struct intake *intake;
    struct table transactions;
    uint64_t part_bytes; /* that its transactions have collected */
    struct deferred free_later;
};

/* From the first part or the file to the answer. */
struct transaction {
    struct table_entry entry;
    struct sender *sender; /* NULL: went away while the store had the commit */
    struct queue *queue;
    char *parts;
    size_t parts_len, parts_room;
    int big_fd;
    uint64_t big_file;
    struct letter *letter;
    struct arena arena;       /* of a big message's envelope */
    struct envelope envelope; /* likewise */
    char *encoded;            /* likewise */
    struct store_commit commit;
};

struct intake *intake_new(struct queue *q)
{
    struct intake *i = memory_new(sizeof(*i));

    i->queue = q;
    list_init(&i->peers);
    return i;
}

bool intake_idle(const struct intake *i)
{
    return list_empty(&i->peers) && i->commits == 0;
}

/* ---- transactions ---- */

static struct transaction *find(const struct sender *s, uint64_t number)
{
    struct table_entry *e = table_find_number(&s->transactions, number);

    return e == NULL ? NULL : container_of(e, struct transaction, entry);
}

/* NULL: too many. */
static struct transaction *begin(struct sender *s, uint64_t number)
{
    struct transaction *t;

    /* A session has one at a time. */
    if (s->transactions.count >= SLACK * s->intake->queue->settings->limits.connections)
        return NULL;
    t = memory_new(sizeof(*t));
    t->sender = s;
    t->queue = s->intake->queue;
    t->big_fd = -1;
    arena_init(&t->arena, LETTER_ARENA_MAX);
    table_add_number(&s->transactions, &t->entry, number);
    return t;
}

static void drop_parts(struct transaction *t)
{
    if (t->sender != NULL)
        t->sender->part_bytes -= t->parts_len;
    free(t->parts);
    t->parts = NULL;
    t->parts_len = t->parts_room = 0;
}

/* `keep_file`: a record names it now. */
static void end(struct transaction *t, bool keep_file)
{
    drop_parts(t);
    if (t->sender != NULL)
        table_remove(&t->sender->transactions, &t->entry);
    if (t->big_fd >= 0) {
        close(t->big_fd);
        if (!keep_file)
            store_remove_body(t->queue->store, t->big_file);
    }
    letter_free(&t->letter);
    arena_reset(&t->arena);
    free(t->encoded);
    free(t);
}

/* ---- answers ---- */

static void answer_failed(struct sender *s, uint64_t number, enum spool_trouble trouble)
{
    const struct message_spool_failed m = { number, trouble };

    peer_send_spool_failed(&s->peer, &m, -1);
}

static void answer_committed(struct sender *s, uint64_t number, uint64_t id)
{
    const struct message_spool_committed m = { number, id };

    peer_send_spool_committed(&s->peer, &m, -1);
}

static void tell_state(struct sender *s)
{
    const struct queue *q = s->intake->queue;
    const struct message_spool_state m = { q->trouble, q->room_bytes };

    peer_send_spool_state(&s->peer, &m, -1);
}

void intake_tell_state(struct intake *i)
{
    list_each (it, &i->peers)
        tell_state(container_of(it, struct sender, link));
}

static void log_accepted(const struct store_commit *c, const struct envelope *e)
{
    log_info("message_accepted", LOG_ID("message", c->id), LOG_VIEW("session", e->session),
             LOG_U64("size_bytes", c->body_bytes), LOG_U64("recipients", e->rcpt_count),
             LOG_VIEW("sender", e->sender),
             LOG_VIEW(e->listener.len > 0 ? "listener" : NULL, e->listener),
             LOG_VIEW("client", e->client),
             LOG_VIEW(e->client_name.len > 0 ? "client_name" : NULL, e->client_name),
             LOG_VIEW(e->login.len > 0 ? "login" : NULL, e->login),
             LOG_VIEW(e->tls.len > 0 ? "tls" : NULL, e->tls));
}

static void on_done(struct store_commit *c, enum spool_trouble trouble)
{
    struct transaction *t = container_of(c, struct transaction, commit);
    const struct envelope *e = t->letter != NULL ? &t->letter->envelope : &t->envelope;
    struct sender *s = t->sender;

    t->queue->intake->commits--;
    if (trouble != SPOOL_FINE) {
        if (s != NULL)
            answer_failed(s, t->entry.number, trouble);
        end(t, false);
        return;
    }
    if (s != NULL)
        answer_committed(s, t->entry.number, c->id);
    log_accepted(c, e);
    t->queue->totals.accepted++;
    queue_take_in(t->queue, c, e, t->letter);
    t->letter = NULL;
    end(t, true);
}

/* ---- what smtpd says ---- */

static void collect(struct transaction *t, struct view bytes)
{
    size_t room = t->parts_room;

    while (room - t->parts_len < bytes.len)
        room = MAX(room * 2, 4 * (size_t)CHANNEL_PACKET_MAX);
    if (room > t->parts_room)
        t->parts = memory_grow(t->parts, room, 1);
    t->parts_room = room;
    if (bytes.len > 0)
        memcpy(t->parts + t->parts_len, bytes.ptr, bytes.len);
    t->parts_len += bytes.len;
    t->sender->part_bytes += bytes.len;
}

static uint64_t part_bytes_most(const struct sender *s)
{
    const struct settings *now = s->intake->queue->settings;

    return SLACK * (now->limits.body_memory_bytes + now->limits.address_memory_bytes);
}

static bool heard_part(struct sender *s, struct view fields)
{
    struct message_spool_part m;
    struct transaction *t;

    if (!message_spool_part_decode(fields, &m))
        return false;
    t = find(s, m.transaction);
    if (t == NULL)
        t = begin(s, m.transaction);
    if (t == NULL || t->commit.done != NULL)
        return false;
    if (s->part_bytes + m.bytes.len > part_bytes_most(s))
        return false;
    collect(t, m.bytes);
    return true;
}

static bool heard_open(struct sender *s, struct view fields)
{
    struct message_spool_open m;
    struct message_spool_opened opened;
    struct transaction *t;
    uint64_t file;
    int fd;

    if (!message_spool_open_decode(fields, &m) || find(s, m.transaction) != NULL)
        return false;
    fd = store_create_body(s->intake->queue->store, &file);
    if (fd < 0) {
        log_error("spool_file_failed", LOG_ERRNO("error", -fd));
        answer_failed(s, m.transaction, fd == -ENOSPC || fd == -EDQUOT ? SPOOL_FULL : SPOOL_BROKEN);
        return true;
    }
    t = begin(s, m.transaction);
    if (t == NULL) {
        close(fd);
        store_remove_body(s->intake->queue->store, file);
        return false;
    }
    t->big_fd = fd;
    t->big_file = file;
    opened.transaction = m.transaction;
    peer_send_spool_opened(&s->peer, &opened, fd);
    return true;
}

/* False: malformed. */
static bool keep_big(struct transaction *t, struct view envelope)
{
    struct view encoded;

    t->encoded = memory_copy(envelope);
    encoded = view_make(t->encoded, envelope.len);
    t->commit.envelope = encoded;
    t->commit.body = VIEW_EMPTY;
    return envelope_decode(encoded, &t->arena, &t->envelope);
}

static bool keep_small(struct transaction *t, struct view envelope, struct view front,
                       const struct message_spool_commit *m)
{
    t->letter = letter_new(envelope, front, m->body);
    if (t->letter == NULL)
        return false;
    t->letter->body_crc = m->body_crc;
    t->commit.envelope = t->letter->encoded;
    t->commit.body = t->letter->body;
    return true;
}

/* False: the envelope is malformed, or the body is not as long as it is said to be. */
static bool keep(struct transaction *t, const struct message_spool_commit *m)
{
    static char stamped[LETTER_ARENA_MAX + QUEUE_STAMP_MAX];
    struct buf room = BUF_ON_ARRAY(stamped);
    struct view front = view_make(t->parts, t->parts_len);
    struct view envelope = m->envelope;
    bool kept;

    if (m->envelope_ahead > 0) {
        if (m->envelope_ahead > front.len || envelope.len > 0)
            return false;
        envelope = view_sub(front, 0, m->envelope_ahead);
        front = view_from(front, m->envelope_ahead);
    }
    if (m->body_bytes > UINT32_MAX || front.len + m->body.len != (m->big ? 0 : m->body_bytes))
        return false;
    envelope = queue_stamp(t->queue, envelope, &room);
    kept = m->big ? keep_big(t, envelope) : keep_small(t, envelope, front, m);
    drop_parts(t);
    return kept;
}

static bool heard_commit(struct sender *s, struct view fields)
{
    struct message_spool_commit m;
    struct transaction *t;

    if (!message_spool_commit_decode(fields, &m))
        return false;
    t = find(s, m.transaction);
    if (t == NULL)
        t = begin(s, m.transaction);
    if (t == NULL || t->commit.done != NULL || m.big != (t->big_fd >= 0))
        return false;
    if (!keep(t, &m)) {
        log_error("commit_invalid", LOG_U64("smtpd", s->peer.index),
                  LOG_U64("size_bytes", m.body_bytes));
        answer_failed(s, m.transaction, SPOOL_INVALID);
        end(t, false);
        return true;
    }
    t->commit.body_bytes = m.body_bytes;
    t->commit.body_crc = m.body_crc;
    t->commit.big_fd = t->big_fd;
    t->commit.big_file = t->big_file;
    t->commit.done = on_done;
    s->intake->commits++;
    store_accept(s->intake->queue->store, &t->commit);
    return true;
}

/* Too late once the store has it: then it is a message. */
static bool heard_abort(struct sender *s, struct view fields)
{
    struct message_spool_abort m;
    struct transaction *t;

    if (!message_spool_abort_decode(fields, &m))
        return false;
    t = find(s, m.transaction);
    if (t != NULL && t->commit.done == NULL)
        end(t, false);
    return true;
}

static bool on_heard(struct peer *p, enum message type, struct view fields, int fd)
{
    struct sender *s = container_of(p, struct sender, peer);

    if (fd >= 0) {
        close(fd);
        return false;
    }
    if (type == MESSAGE_SPOOL_COMMIT)
        return heard_commit(s, fields);
    if (type == MESSAGE_SPOOL_PART)
        return heard_part(s, fields);
    if (type == MESSAGE_SPOOL_OPEN)
        return heard_open(s, fields);
    return type == MESSAGE_SPOOL_ABORT && heard_abort(s, fields);
}

/* ---- peers ---- */

/* What the store has goes on without an answer; the rest is forgotten. */
static void leave_transactions(struct sender *s)
{
    struct table_entry *e = table_next(&s->transactions, NULL), *next;

    for (; e != NULL; e = next) {
        struct transaction *t = container_of(e, struct transaction, entry);

        next = table_next(&s->transactions, e);
        if (t->commit.done == NULL) {
            end(t, false);
            continue;
        }
        drop_parts(t);
        table_remove(&s->transactions, e);
        t->sender = NULL;
    }
}

static void on_free(struct deferred *d)
{
    struct sender *s = container_of(d, struct sender, free_later);

    table_release(&s->transactions);
    free(s);
}

static void leave(struct sender *s)
{
    leave_transactions(s);
    list_remove(&s->link);
}

static void on_gone(struct peer *p)
{
    struct sender *s = container_of(p, struct sender, peer);

    leave(s);
    loop_defer(s->intake->queue->loop, &s->free_later);
}

void intake_add_peer(struct intake *i, uint32_t index, int fd)
{
    struct sender *s = memory_new(sizeof(*s));
    int err;

    s->intake = i;
    s->free_later.run = on_free;
    s->peer.heard = on_heard;
    s->peer.gone = on_gone;
    table_init(&s->transactions, false);
    err = peer_open(&s->peer, i->queue->loop, QUEUE, SMTPD, index, fd);
    if (err < 0) {
        log_error("channel_failed", LOG_STRING("peer", "smtpd"), LOG_ERRNO("error", -err));
        close(fd);
        on_free(&s->free_later);
        return;
    }
    list_append(&i->peers, &s->link);
    tell_state(s);
}

void intake_free(struct intake **i)
{
    if (*i == NULL)
        return;
    list_each_safe (it, &(*i)->peers) {
        struct sender *s = container_of(it, struct sender, link);

        peer_close(&s->peer);
        leave(s);
        on_free(&s->free_later);
    }
    free(*i);
    *i = NULL;
}
