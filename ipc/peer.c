#include "ipc/peer.h"

#include "io/log.h"

#include <assert.h>
#include <unistd.h>

/* One packet is encoded at a time, and the channel copies what it cannot send at once. */
static char packet[CHANNEL_PACKET_MAX];

static void fail(struct peer *p)
{
    channel_close(&p->channel);
    p->gone(p);
}

static void on_received(struct channel *c, struct view bytes, int fd)
{
    struct peer *p = container_of(c, struct peer, channel);
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

static void on_closed(struct channel *c)
{
    struct peer *p = container_of(c, struct peer, channel);

    p->gone(p);
}

int peer_open(struct peer *p, struct loop *l, enum process self, enum process kind, uint32_t index,
              int fd)
{
    p->self = self;
    p->kind = kind;
    p->index = index;
    list_init(&p->link);
    p->channel.received = on_received;
    p->channel.closed = on_closed;
    return channel_open(&p->channel, l, fd);
}

void peer_close(struct peer *p)
{
    channel_close(&p->channel);
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
            channel_send(&p->channel, buf_view(&room), fd);                                        \
    }
MESSAGES(PEER_SEND_BODY)
