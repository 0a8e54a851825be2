#include "queue/report.h"

#include "common/crc32c.h"
#include "common/memory.h"
#include "common/text.h"
#include "io/clock.h"
#include "io/log.h"
#include "ipc/expand.h"
#include "mail/body.h"
#include "queue/deadline.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    ADDRESSEES_MAX = 50,    /* of one notice */
    PIECE = 65536,          /* bytes of a large body that are read at a time */
    CHECKED_MAX = 64 << 20, /* bytes: the queue does nothing else meanwhile: 25 ms for 50 MB */
};

bool report_wanted(const struct envelope *e, enum bounce_action a, size_t rcpt)
{
    static const struct {
        unsigned bit;
        bool unsaid; /* also when nothing is said */
    } wanted[BOUNCE_ACTIONS] = {
        [BOUNCE_FAILED] = { NOTIFY_FAILURE, true },
        [BOUNCE_DELAYED] = { NOTIFY_DELAY, true },
        [BOUNCE_DELIVERED] = { NOTIFY_SUCCESS, false },
        [BOUNCE_RELAYED] = { NOTIFY_SUCCESS, false },
        [BOUNCE_EXPANDED] = { NOTIFY_EXPANDED, false },
    };
    unsigned notify = e->rcpts[rcpt].notify;
    bool unsaid = (notify & ~(unsigned)NOTIFY_EXPANDED) == NOTIFY_UNSAID;

    if (a == BOUNCE_RELAYED && e->by_trace)
        return (notify & NOTIFY_NEVER) == 0;
    return (notify & wanted[a].bit) != 0 || (unsaid && wanted[a].unsaid);
}

/* Reads all of a large body; the front of it stays in `front`. 0, -EBADMSG, or another negative
 * errno. */
static int check_body(const struct content *c, struct buf *front)
{
    char piece[PIECE];
    uint32_t crc = 0;
    ssize_t n;

    if (c->body_bytes > CHECKED_MAX)
        return -EFBIG;
    for (uint64_t at = 0; at < c->body_bytes; at += (uint64_t)n) {
        do {
            n = pread(c->big_fd, piece, sizeof(piece), (off_t)at);
        } while (n < 0 && errno == EINTR);
        if (n <= 0)
            return n < 0 ? -errno : -EBADMSG;
        crc = crc32c(crc, view_make(piece, (size_t)n));
        buf_put(front, view_make(piece, MIN((size_t)n, buf_space(front))));
    }
    return crc == c->body_crc ? 0 : -EBADMSG;
}

/* The header section, or the first part of a long one, in `front` when the body is large. What
 * spoilt bytes say is not sent. */
static void read_header(struct queue *q, const struct mail *m, const struct content *c,
                        struct buf *front, struct bounce *b)
{
    int err = c->big_fd < 0 ? 0 : check_body(c, front);

    b->unread = err < 0;
    if (err == 0)
        b->header = body_header(c->big_fd < 0 ? c->body : buf_view(front));
    if (err == -EBADMSG)
        q->bodies_damaged++;
    if (err < 0 && err != -EFBIG)
        log_error("header_unreadable", LOG_ID("message", m->id), LOG_ERRNO("error", -err));
}

/* Who the notice is for: the sender, or, if that is an alias here, those it leads to. */
struct addressees {
    struct expansion expansion;
    struct arena arena;
    struct envelope_rcpt rcpts[ADDRESSEES_MAX];
    size_t count;
};

static bool on_addressee(struct expansion *x, const struct address *a)
{
    struct addressees *to = container_of(x, struct addressees, expansion);
    char room[ADDRESS_MAX + 2];
    struct buf text = BUF_ON_ARRAY(room);

    if (to->count == ADDRESSEES_MAX || !address_print(a, &text) ||
        !arena_copy(&to->arena, buf_view(&text), &to->rcpts[to->count].address))
        return false;
    to->count++;
    return true;
}

/* Without patterns, for which this process has no library: where one may apply, the address stays
 * as it is. */
static void find_addressees(const struct settings *s, struct view sender, struct addressees *to)
{
    struct address a;

    *to = (struct addressees){ .expansion = { .settings = s,
                                              .has_mailbox = settings_may_have_mailbox,
                                              .add = on_addressee } };
    arena_init(&to->arena, ADDRESSEES_MAX * 2 * ADDRESS_MAX);
    if (address_parse(sender, true, &a) && expand_is_ours(s, &a) &&
        expand_rcpt(&to->expansion, &a) == EXPAND_DONE)
        return;
    to->rcpts[0].address = sender;
    to->count = 1;
}

/* In UTF-8 when the message came so: then its sender can read that (RFC 6533, 4). It is protected
 * as the message was (RFC 8689, 5). */
static struct letter *wrap(const struct queue *q, const struct envelope *about, struct view body)
{
    static char room[ADDRESSEES_MAX * (3 * ADDRESS_MAX + 16) + 256];
    struct buf text = BUF_ON_ARRAY(room);
    struct addressees to;
    struct envelope e = {
        .arrival_ms = clock_wall_ms(),
        .accepted_ms = queue_accepted_ms(q),
        .notice = true,
        .utf8 = about->utf8,
        .require_tls = about->require_tls,
        .body_8bit = !text_is_ascii(body),
    };
    struct letter *l = NULL;

    find_addressees(q->settings, about->sender, &to);
    e.rcpts = to.rcpts;
    e.rcpt_count = to.count;
    if (envelope_encode(&e, &text))
        l = letter_new(buf_view(&text), body, VIEW_EMPTY);
    if (l != NULL)
        l->body_crc = crc32c(0, body);
    arena_reset(&to.arena);
    return l;
}

static struct letter *write_letter(struct queue *q, const struct mail *m, const struct content *c,
                                   struct bounce *b)
{
    char header[BOUNCE_HEADER_MAX], id[17];
    struct buf front = BUF_ON_ARRAY(header);
    struct buf id_text = BUF_ON_ARRAY(id);
    struct letter *l = NULL;
    struct buf text;

    buf_printf(&id_text, "%016llx", (unsigned long long)m->id);
    b->envelope = &c->envelope;
    b->message_id = buf_view(&id_text);
    read_header(q, m, c, &front, b);
    b->content = c->body;
    b->hostname = q->settings->hostname;
    b->now_ms = clock_wall_ms();
    b->unique = m->id << 12 | (q->notices_made++ & 0xfff);
    buf_new(&text, bounce_room(b));
    if (bounce_write(b, &text))
        l = wrap(q, &c->envelope, buf_view(&text));
    buf_free(&text);
    return l;
}

struct letter *report_write(struct queue *q, const struct mail *m, const struct content *c,
                            enum bounce_action a, const struct notify_rcpt *rcpts, size_t count)
{
    uint64_t expires_ms = queue_wall_ms(q, deadline_expiry_ms(q, m));
    struct bounce_rcpt *list = memory_new_array(count, sizeof(*list));
    struct bounce b = { .action = a, .rcpts = list };
    struct letter *l;

    for (size_t i = 0; i < count; i++) {
        const struct envelope_rcpt *r = &c->envelope.rcpts[rcpts[i].rcpt];

        if (!report_wanted(&c->envelope, a, rcpts[i].rcpt))
            continue;
        list[b.rcpt_count++] = (struct bounce_rcpt){
            .address = rcpts[i].address,
            .original = r->original,
            .outcome = rcpts[i].outcome,
            .attempted_ms = rcpts[i].attempted_ms,
            .expires_ms = a == BOUNCE_DELAYED ? expires_ms : 0,
            .expired = rcpts[i].expired,
        };
    }
    l = write_letter(q, m, c, &b);
    free(list);
    return l;
}
