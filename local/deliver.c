#include "local/deliver.h"

#include "common/crc32c.h"
#include "common/memory.h"
#include "io/clock.h"
#include "local/mailbox.h"
#include "mail/body.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    READ_ROOM = 65536,       /* bytes of a large body read at once */
    HEADER_ROOM = 256 << 10, /* bytes of a large body that are searched for Delivered-To */
    TEXT_ROOM = 256,         /* bytes of a result's words */
    ENVELOPE_ROOM = 1 << 20, /* what 1,000 recipients with escapes need */
};

struct box {
    struct list link;
    struct maildir dir;
    int err; /* of opening it, or of its sync */
    size_t folder_len;
    char folder[MAILBOX_FOLDER_MAX];
};

struct result {
    struct list link;
    uint64_t job, began_ms;
    uint32_t rcpt;
    bool last;
    struct box *box; /* NULL: decided without one */
    struct outcome outcome;
    char text[TEXT_ROOM];
};

/* The message: in memory, or in a file. */
struct content {
    struct view bytes;
    int fd;
    uint64_t len;
};

/* What a job is about. */
struct letter {
    const struct message_job_start *job;
    struct envelope envelope;
    const uint32_t *indexes; /* of its recipients */
    struct content content;
    struct view header;
};

void deliver_init(struct deliver *d, const struct settings *s, int root_fd)
{
    d->settings = s;
    d->root_fd = root_fd;
    d->report = NULL;
    list_init(&d->boxes);
    list_init(&d->results);
}

/* ---- outcomes ---- */

static void decide(struct result *r, enum outcome_class class, struct enhanced enhanced,
                   const char *words, struct view detail)
{
    struct buf text = BUF_ON_ARRAY(r->text);

    if (!buf_printf(&text, "%s%.*s", words, VIEW_ARG(detail)))
        buf_put(&text, view_of(words));
    r->outcome = (struct outcome){ .class = class,
                                   .scope = SCOPE_RCPT,
                                   .enhanced = enhanced,
                                   .text = buf_view(&text),
                                   .doing = VIEW_EMPTY };
}

/* Nothing that a disk says is the sender's fault: it is tried again. */
static void defer(struct result *r, int err)
{
    struct enhanced enhanced = { 4, 3, 0 };
    const char *words = "the mailbox cannot be written: ";
    struct view detail = view_of(strerror(-err));

    if (err == -ENOSPC) {
        enhanced = (struct enhanced){ 4, 3, 1 };
        words = "there is no space left for mailboxes";
        detail = VIEW_EMPTY;
    } else if (err == -EDQUOT) {
        enhanced = (struct enhanced){ 4, 2, 2 };
        words = "the mailbox is full";
        detail = VIEW_EMPTY;
    } else if (err == -ELOOP || err == -ENOTDIR) {
        detail = VIEW("a part of its path is a link, or no folder");
    }
    decide(r, OUTCOME_DEFERRED, enhanced, words, detail);
    r->outcome.doing = VIEW("writing to the mailbox");
}

static void spoil(struct result *r, int err)
{
    if (err == -EBADMSG)
        decide(r, OUTCOME_DEFERRED, (struct enhanced){ 4, 3, 0 },
               "the message is damaged in the spool", VIEW_EMPTY);
    else
        decide(r, OUTCOME_DEFERRED, (struct enhanced){ 4, 3, 0 },
               "the message cannot be read from the spool: ", view_of(strerror(-err)));
    r->outcome.scope = err == -EBADMSG ? SCOPE_SPOOL : SCOPE_DISK;
}

/* ---- content ---- */

/* The piece at `at`, which lies before the end. */
static int read_piece(const struct content *c, uint64_t at, struct view *piece)
{
    static char room[READ_ROOM];
    ssize_t n;

    if (c->fd < 0) {
        *piece = view_from(c->bytes, (size_t)at);
        return 0;
    }
    do {
        n = pread(c->fd, room, (size_t)MIN(c->len - at, sizeof(room)), (off_t)at);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    *piece = view_make(room, (size_t)n);
    return n == 0 ? -EBADMSG : 0; /* it is shorter than it was */
}

static int check_content(const struct content *c, uint32_t expected)
{
    struct view piece = VIEW_EMPTY;
    uint32_t crc = 0;
    int err = 0;

    for (uint64_t at = 0; at < c->len && err == 0; at += piece.len) {
        err = read_piece(c, at, &piece);
        if (err == 0)
            crc = crc32c(crc, piece);
    }
    return err == 0 && crc != expected ? -EBADMSG : err;
}

/* The header section, or as much of it as is looked at. Valid until the next call. */
static struct view read_header(const struct content *c)
{
    static char room[HEADER_ROOM];
    size_t len = 0;

    if (c->fd < 0)
        return body_header(c->bytes);
    while (len < sizeof(room) && len < c->len) {
        struct view piece;

        if (read_piece(c, len, &piece) < 0)
            break;
        piece = view_sub(piece, 0, sizeof(room) - len);
        memcpy(room + len, piece.ptr, piece.len);
        len += piece.len;
    }
    return body_header(view_make(room, len));
}

/* RFC 9228, 3: mail that was delivered to this address before goes round in a circle. */
static bool delivered_before(struct view header, struct view recipient)
{
    struct view value;

    while (header_find(header, VIEW("Delivered-To"), &value)) {
        if (view_equal_nocase(value, recipient))
            return true;
        header = view_from(header, (size_t)(value.ptr + value.len - header.ptr));
    }
    return false;
}

/* ---- one recipient ---- */

static struct box *find_box(struct deliver *d, struct view folder)
{
    struct box *box;

    list_each (it, &d->boxes) {
        box = container_of(it, struct box, link);
        if (view_equal(view_make(box->folder, box->folder_len), folder))
            return box;
    }
    box = memory_new(sizeof(*box));
    memcpy(box->folder, folder.ptr, folder.len);
    box->folder_len = folder.len;
    box->err = maildir_open(&box->dir, d->root_fd, folder);
    list_append(&d->boxes, &box->link);
    return box;
}

/* RFC 5321, 4.4: the return path comes first. */
static int write_top(struct maildir_file *f, struct view sender, struct view recipient)
{
    char room[2 * ADDRESS_MAX + 64];
    struct buf top = BUF_ON_ARRAY(room);

    if (!buf_printf(&top, "Return-Path: <%.*s>\r\nDelivered-To: %.*s\r\n", VIEW_ARG(sender),
                    VIEW_ARG(recipient)))
        return -EMSGSIZE;
    return maildir_write(f, buf_view(&top));
}

static int write_content(struct maildir_file *f, const struct content *c)
{
    struct view piece = VIEW_EMPTY;
    int err = 0;

    for (uint64_t at = 0; at < c->len && err == 0; at += piece.len) {
        err = read_piece(c, at, &piece);
        if (err == 0)
            err = maildir_write(f, piece);
    }
    return err;
}

static int write_message(struct deliver *d, const struct box *box, const struct letter *l, size_t i)
{
    const struct maildir_id id = { .arrival_ms = l->envelope.arrival_ms,
                                   .message = l->job->message,
                                   .rcpt = l->indexes[i],
                                   .hostname = d->settings->hostname };
    int err = box->err;

    if (err == 0)
        err = maildir_create(&d->file, &box->dir, &id);
    if (err < 0)
        return err;
    err = write_top(&d->file, l->envelope.sender, l->envelope.rcpts[i].address);
    if (err == 0)
        err = write_content(&d->file, &l->content);
    if (err < 0) {
        maildir_discard(&d->file);
        return err;
    }
    return maildir_publish(&d->file);
}

static void deliver_one(struct deliver *d, struct result *r, const struct letter *l, size_t i)
{
    struct view recipient = l->envelope.rcpts[i].address;
    char room[MAILBOX_FOLDER_MAX];
    struct buf folder = BUF_ON_ARRAY(room);
    struct box *box;
    int err;

    switch (mailbox_find(d->settings, recipient, &folder)) {
    case MAILBOX_HERE:
        break;
    case MAILBOX_NONE:
        decide(r, OUTCOME_FAILED, (struct enhanced){ 5, 1, 1 }, "there is no such mailbox here",
               VIEW_EMPTY);
        return;
    case MAILBOX_UNSURE:
        decide(r, OUTCOME_DEFERRED, (struct enhanced){ 4, 3, 5 },
               "the pattern of a mailbox takes too many steps for this address", VIEW_EMPTY);
        return;
    }
    if (delivered_before(l->header, recipient)) {
        decide(r, OUTCOME_FAILED, (struct enhanced){ 5, 4, 6 },
               "mail loop: it was delivered to this address before", VIEW_EMPTY);
        return;
    }
    box = find_box(d, buf_view(&folder));
    err = write_message(d, box, l, i);
    if (err < 0) {
        defer(r, err);
        return;
    }
    r->box = box;
    decide(r, OUTCOME_DELIVERED, (struct enhanced){ 2, 0, 0 }, "delivered to mailbox ",
           buf_view(&folder));
}

/* ---- jobs ---- */

static struct result *add_result(struct deliver *d, const struct message_job_start *job,
                                 uint32_t rcpt)
{
    struct result *r = memory_new(sizeof(*r));

    r->job = job->job;
    r->began_ms = clock_monotonic_ms();
    r->rcpt = rcpt;
    list_append(&d->results, &r->link);
    return r;
}

/* Into the mailbox of each recipient. */
static void deliver_letter(struct deliver *d, struct letter *l)
{
    int err = check_content(&l->content, l->job->body_crc);

    l->header = read_header(&l->content);
    for (size_t i = 0; i < l->envelope.rcpt_count; i++) {
        struct result *r = add_result(d, l->job, l->indexes[i]);

        r->last = i + 1 == l->envelope.rcpt_count;
        if (err == 0)
            deliver_one(d, r, l, i);
        else
            spoil(r, err);
    }
}

bool deliver_job(struct deliver *d, const struct message_job_start *job, int fd)
{
    struct letter l = { .job = job, .content = { job->body, job->big ? fd : -1, job->body_bytes } };
    struct arena arena;
    bool sensible;

    if (job->big ? fd < 0 : job->body.len != job->body_bytes)
        return false;
    arena_init(&arena, ENVELOPE_ROOM);
    sensible = job_envelope(job, &arena, &l.envelope, &l.indexes);
    if (sensible)
        deliver_letter(d, &l);
    arena_reset(&arena);
    return sensible;
}

static void report(struct deliver *d, struct result *r)
{
    char room[4 * TEXT_ROOM];
    struct buf outcome = BUF_ON_ARRAY(room);
    struct message_rcpt_result result = { .job = r->job, .rcpt = r->rcpt };

    if (r->box != NULL && r->box->err < 0)
        defer(r, r->box->err);
    if (!outcome_encode(&r->outcome, &outcome))
        abort(); /* the room is larger than all that is in it */
    result.duration_ms = (uint32_t)(clock_monotonic_ms() - r->began_ms);
    result.outcome = buf_view(&outcome);
    d->report(d, &result, r->last);
}

void deliver_finish(struct deliver *d)
{
    struct list *it;

    list_each (box, &d->boxes) {
        struct box *b = container_of(box, struct box, link);

        if (b->err == 0)
            b->err = maildir_sync(&b->dir);
    }
    while ((it = list_take_first(&d->results)) != NULL) {
        struct result *r = container_of(it, struct result, link);

        report(d, r);
        free(r);
    }
    while ((it = list_take_first(&d->boxes)) != NULL) {
        struct box *b = container_of(it, struct box, link);

        maildir_close(&b->dir);
        free(b);
    }
}
