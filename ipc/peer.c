#include "ipc/peer.h"

#include "common/memory.h"
#include "io/log.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    JOINED = 255,                         /* the first byte of a packet with several messages */
    JOINED_MOST = CHANNEL_PACKET_MAX / 4, /* bytes of a message that is worth a copy */
};

static_assert((int)MESSAGE_KINDS < (int)JOINED, "no message begins so");

/* One packet is encoded at a time, and the channel copies what it cannot send at once. */
static char packet[CHANNEL_PACKET_MAX];

static bool joins(const struct peer *p)
{
    return p->joined.room != NULL;
}

static void drop_joined(struct peer *p)
{
    list_remove(&p->last.link);
    free(p->joined.room);
    p->joined = (struct wire_writer){ 0 };
}

static void fail(struct peer *p)
{
    peer_close(p);
    p->gone(p);
}

static void hear(struct peer *p, struct view bytes, int fd)
{
    enum message type;
    struct view fields;
    bool known = message_open(bytes, &type, &fields);

    if (known && message_allowed(type, p->kind, p->self)) {
        if (p->heard(p, type, fields, fd))
            return;
    } else if (fd >= 0) {
        close(fd);
    }
    if (!peer_is_open(p)) /* closed by its owner while it was heard */
        return;
    log_error("peer_broke_the_rules", LOG_STRING("peer", process_name(p->kind)),
              LOG_U64("index", p->index),
              LOG_STRING("message", known ? message_name(type) : "unknown"));
    fail(p);
}

static void on_received(struct channel *c, struct view bytes, int fd)
{
    struct peer *p = container_of(c, struct peer, channel);
    struct wire_reader several = wire_read(bytes);

    if (fd >= 0 || wire_get_u8(&several) != JOINED) {
        hear(p, bytes, fd);
        return;
    }
    while (peer_is_open(p) && !wire_done(&several))
        hear(p, wire_get_view(&several), -1); /* empty after a mistake, which closes */
}

static void on_closed(struct channel *c)
{
    struct peer *p = container_of(c, struct peer, channel);

    drop_joined(p);
    p->gone(p);
}

/* ---- several messages in one packet ---- */

static void begin_packet(struct peer *p)
{
    p->joined.len = 0;
    wire_put_u8(&p->joined, JOINED);
}

void peer_flush(struct peer *p)
{
    struct view bytes;

    if (!joins(p) || !wire_finish(&p->joined, &bytes) || bytes.len == 1)
        return;
    channel_send(&p->channel, bytes, -1);
    begin_packet(p);
}

static void on_last(struct hook *h)
{
    peer_flush(container_of(h, struct peer, last));
}

static void say(struct peer *p, struct view message, int fd)
{
    size_t space = p->joined.capacity - p->joined.len;
    bool alone = !joins(p) || fd >= 0 || message.len > JOINED_MOST;

    if (alone || message.len + sizeof(uint32_t) > space)
        peer_flush(p);
    if (alone) {
        channel_send(&p->channel, message, fd);
        return;
    }
    wire_put_view(&p->joined, message);
    loop_at_last(p->channel.loop, &p->last);
}

static bool hears_of_every_message(enum process a)
{
    return a == SMTPD || a == QUEUE || a == DELIVERY;
}

int peer_open(struct peer *p, struct loop *l, enum process self, enum process kind, uint32_t index,
              int fd)
{
    int err;

    p->self = self;
    p->kind = kind;
    p->index = index;
    list_init(&p->link);
    p->channel.received = on_received;
    p->channel.closed = on_closed;
    p->last.run = on_last;
    list_init(&p->last.link);
    p->joined = (struct wire_writer){ 0 };
    err = channel_open(&p->channel, l, fd);
    if (err == 0 && hears_of_every_message(self) && hears_of_every_message(kind)) {
        p->joined = wire_write(memory_new(CHANNEL_PACKET_MAX), CHANNEL_PACKET_MAX);
        begin_packet(p);
    }
    return err;
}

void peer_close(struct peer *p)
{
    if (!peer_is_open(p))
        return;
    peer_flush(p);
    channel_close(&p->channel);
    drop_joined(p);
}

bool peer_is_open(const struct peer *p)
{
    return channel_is_open(&p->channel);
}

#define PEER_SEND_BODY(NAME, lower, from, to)                                                      \
    void peer_send_##lower(struct peer *p, const struct message_##lower *m, int fd)                \
    {                                                                                              \
        struct buf room = BUF_ON_ARRAY(packet);                                                    \
        bool fits = message_##lower##_encode(m, &room);                                            \
                                                                                                   \
        assert(fits);                                                                              \
        if (fits && peer_is_open(p))                                                               \
            say(p, buf_view(&room), fd);                                                           \
    }
MESSAGES(PEER_SEND_BODY)
