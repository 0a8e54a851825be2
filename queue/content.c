#include "queue/content.h"

#include <errno.h>

static void borrow(const struct letter *l, struct content *c)
{
    c->envelope = l->envelope;
    c->body = l->body;
    c->body_bytes = l->body.len;
    c->body_crc = l->body_crc;
}

int content_read(struct queue *q, const struct mail *m, bool with_body, struct content *c)
{
    const struct letter *l = cache_find(&q->cache, m->id);
    int err;

    *c = (struct content){ .big_fd = -1, .message.big_fd = -1 };
    if (l != NULL) {
        borrow(l, c);
        return 0;
    }
    arena_init(&c->arena, LETTER_ARENA_MAX);
    err = store_read(q->store, m->id, index_place(m), with_body, &c->message);
    if (err < 0)
        return err;
    c->body = c->message.body;
    c->big_fd = c->message.big_fd;
    c->body_bytes = c->message.body_bytes;
    c->body_crc = c->message.body_crc;
    return 0;
}

bool content_understand(const struct mail *m, struct content *c)
{
    return c->message.memory == NULL || /* from the cache: it was */
           (envelope_decode(c->message.envelope, &c->arena, &c->envelope) &&
            c->envelope.rcpt_count == m->rcpt_count);
}

int content_open(struct queue *q, const struct mail *m, bool with_body, struct content *c)
{
    int err = content_read(q, m, with_body, c);

    if (err < 0 || content_understand(m, c))
        return err;
    content_close(c);
    return -EBADMSG;
}

int content_take_file(struct content *c)
{
    int fd = c->big_fd;

    c->big_fd = c->message.big_fd = -1;
    return fd;
}

void content_close(struct content *c)
{
    if (c->message.memory == NULL)
        return;
    arena_reset(&c->arena);
    store_message_release(&c->message);
    *c = (struct content){ .big_fd = -1, .message.big_fd = -1 };
}
