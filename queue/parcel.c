#include "queue/parcel.h"

#include "common/memory.h"
#include "queue/row.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    PIECE = 65536,   /* bytes of a large body that are read at a time */
    LINE_ROOM = 512, /* of the line in front */
};

/* Whoever has the message already shall not get it again from where it goes. */
static bool put_envelope(const struct queue *q, uint32_t mail, const struct envelope *e,
                         struct buf *out)
{
    struct envelope rest = *e;
    struct envelope_rcpt *rcpts = memory_new_array(e->rcpt_count, sizeof(*rcpts));
    bool fits;

    rest.rcpts = rcpts;
    rest.rcpt_count = 0;
    for (unsigned i = 0; i < e->rcpt_count; i++) {
        if (index_is_open(&q->index, mail, i))
            rcpts[rest.rcpt_count++] = e->rcpts[i];
    }
    fits = envelope_encode(&rest, out);
    free(rcpts);
    return fits;
}

static void put_head(const struct queue *q, uint32_t mail, struct buf *out)
{
    buf_printf(out, "{\"v\":1,\"id\":\"%016" PRIx64 "\",\"state\":\"%s\"",
               index_mail(&q->index, mail)->id, row_state_name(row_state(q, mail)));
}

static void pack_reason(struct parcel *p, const struct queue *q, uint32_t mail, int err)
{
    buf_new(&p->bytes, LINE_ROOM);
    put_head(q, mail, &p->bytes);
    buf_printf(&p->bytes, ",\"reason\":\"%s\"}\n",
               err == -EBADMSG ? "it is damaged in the spool" : "it cannot be read now");
}

static bool pack_content(struct parcel *p, const struct queue *q, uint32_t mail,
                         struct view envelope, const struct content *c)
{
    buf_new(&p->bytes, LINE_ROOM + envelope.len + c->body.len);
    put_head(q, mail, &p->bytes);
    return buf_printf(&p->bytes,
                      ",\"size\":%" PRIu64 ",\"crc\":\"%08" PRIx32 "\",\"envelope\":%zu}\n",
                      c->body_bytes, c->body_crc, envelope.len) &&
           buf_put(&p->bytes, envelope) && buf_put(&p->bytes, c->body);
}

/* An envelope that makes no sense goes as it is: the administrator may see what it means. */
static bool pack_all(struct parcel *p, const struct queue *q, uint32_t mail, struct content *c)
{
    struct buf envelope;
    bool fits;

    if (!content_understand(index_mail(&q->index, mail), c))
        return pack_content(p, q, mail, c->message.envelope, c);
    buf_new(&envelope, LETTER_ARENA_MAX);
    fits = put_envelope(q, mail, &c->envelope, &envelope) &&
           pack_content(p, q, mail, buf_view(&envelope), c);
    buf_free(&envelope);
    return fits;
}

void parcel_pack(struct parcel *p, struct queue *q, uint32_t mail)
{
    struct content c;
    int err = content_read(q, index_mail(&q->index, mail), true, &c);

    if (err < 0) {
        pack_reason(p, q, mail, err);
        return;
    }
    if (!pack_all(p, q, mail, &c)) {
        parcel_drop(p);
        pack_reason(p, q, mail, -ENOMEM);
    } else if (c.big_fd >= 0) {
        p->at = 0;
        p->left = c.body_bytes;
        p->fd = content_take_file(&c);
    }
    content_close(&c);
}

bool parcel_empty(const struct parcel *p)
{
    return p->bytes.capacity == 0 && p->left == 0;
}

static bool read_piece(struct parcel *p, struct buf *out)
{
    char piece[PIECE];
    size_t most = MIN(MIN(sizeof(piece), buf_space(out)), p->left);
    ssize_t n = pread(p->fd, piece, most, (off_t)p->at);

    if (n < 0 && errno == EINTR)
        return true;
    if (n <= 0)
        return false;
    buf_put(out, view_make(piece, (size_t)n));
    p->at += (uint64_t)n;
    p->left -= (uint64_t)n;
    if (p->left == 0)
        close(p->fd);
    return true;
}

bool parcel_pass(struct parcel *p, struct buf *out)
{
    struct view some = view_sub(buf_view(&p->bytes), 0, MIN(buf_space(out), (size_t)PIECE));

    if (p->bytes.capacity == 0)
        return read_piece(p, out);
    buf_put(out, some);
    buf_consume(&p->bytes, some.len);
    if (buf_len(&p->bytes) == 0)
        buf_free(&p->bytes);
    return true;
}

void parcel_drop(struct parcel *p)
{
    if (p->bytes.capacity > 0)
        buf_free(&p->bytes);
    if (p->left > 0)
        close(p->fd);
    *p = (struct parcel){ 0 };
}
