#include "delivery/job.h"

#include "common/crc32c.h"
#include "common/memory.h"
#include "io/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    OUTCOME_ROOM = 4096, /* bytes of an encoded outcome, all of it escaped */
    END_BYTES = 5,       /* CRLF, ".", CRLF */
    ARENA_MAX = 1 << 20, /* what 1,000 recipients with escapes need */
};

/* ---- beginning ---- */

static bool read_start(struct job *j, struct view fields)
{
    struct envelope *e = &j->envelope;

    j->packet = memory_copy(fields);
    if (!message_job_start_decode(view_make(j->packet, fields.len), &j->start))
        return false;
    if (j->start.hop_kind == HOP_LOCAL || j->start.big != (j->fd >= 0) ||
        !job_envelope(&j->start, &j->arena, e, &j->indexes))
        return false;
    j->decided = memory_new_array(e->rcpt_count, sizeof(*j->decided));
    j->later = memory_new_array(e->rcpt_count, sizeof(*j->later));
    j->undecided = e->rcpt_count;
    j->batch = memory_new_array(e->rcpt_count, sizeof(*j->batch));
    j->message.envelope = e;
    j->message.rcpts = j->batch;
    j->message.bytes = j->start.body_bytes;
    return j->start.big || j->front_len + j->start.body.len == j->start.body_bytes;
}

struct job *job_new(struct view fields, struct job_body *parts, int fd)
{
    struct job *j = memory_new(sizeof(*j));

    list_init(&j->link);
    j->fd = fd;
    arena_init(&j->arena, ARENA_MAX);
    if (parts != NULL) {
        j->front = parts->bytes;
        j->front_len = parts->len;
        parts->bytes = NULL;
        job_body_free(&parts);
    }
    if (read_start(j, fields))
        job_rewind(j);
    else
        job_free(&j);
    return j;
}

void job_free(struct job **j)
{
    struct job *job = *j;

    if (job == NULL)
        return;
    if (job->fd >= 0)
        close(job->fd);
    arena_reset(&job->arena);
    free(job->batch);
    free(job->decided);
    free(job->later);
    free((void *)(uintptr_t)job->host.ptr);
    free(job->packet);
    free(job->front);
    free(job->room);
    free(job);
    *j = NULL;
}

void job_body_free(struct job_body **b)
{
    if (*b != NULL)
        free((*b)->bytes);
    free(*b);
    *b = NULL;
}

/* ---- content ---- */

void job_rewind(struct job *j)
{
    j->read_bytes = 0;
    j->crc = 0;
    j->unreadable = false;
    j->line_open = false;
    j->sender = (struct body_sender){ .middle = false };
    j->unread = j->unsent = VIEW_EMPTY;
}

/* A piece of the file; empty at its end, and when it cannot be read. */
static struct view read_file(struct job *j)
{
    ssize_t n;

    if (j->room == NULL)
        j->room = memory_new(JOB_PIECE_BYTES);
    do
        n = pread(j->fd, j->room, JOB_PIECE_BYTES, (off_t)j->read_bytes);
    while (n < 0 && errno == EINTR);
    j->unreadable = n < 0;
    return view_make(j->room, n > 0 ? (size_t)n : 0);
}

static struct view next_piece(const struct job *j)
{
    if (j->read_bytes < j->front_len)
        return view_make(j->front, j->front_len);
    return view_from(j->start.body, (size_t)(j->read_bytes - j->front_len));
}

static bool read_more(struct job *j)
{
    struct view piece = j->fd >= 0 ? read_file(j) : next_piece(j);

    if (piece.len == 0)
        return false;
    j->crc = crc32c(j->crc, piece);
    j->read_bytes += piece.len;
    j->line_open = piece.ptr[piece.len - 1] != '\n';
    j->unread = piece;
    return true;
}

/* Something to send is at hand, or nothing is left. */
static bool prepare(struct job *j)
{
    while (j->unsent.len == 0) {
        if (!body_send(&j->sender, &j->unread, &j->unsent) && !read_more(j))
            return false;
    }
    return true;
}

const struct outcome *job_damage(const struct job *j)
{
    static const struct outcome damaged = {
        .class = OUTCOME_DEFERRED,
        .scope = SCOPE_SPOOL,
        .enhanced = { 4, 3, 0 },
        .text = VIEW_INIT("the message is damaged in the spool"),
    };
    static const struct outcome unreadable = {
        .class = OUTCOME_DEFERRED,
        .scope = SCOPE_DISK,
        .enhanced = { 4, 3, 0 },
        .text = VIEW_INIT("the message cannot be read from the spool"),
    };

    return j->unreadable ? &unreadable : &damaged;
}

static bool is_whole(const struct job *j)
{
    return j->crc == j->start.body_crc && j->read_bytes == j->start.body_bytes;
}

static enum job_content put_end(struct job *j, struct buf *out)
{
    if (!is_whole(j))
        return JOB_CONTENT_DAMAGED;
    if (buf_space(out) < END_BYTES)
        return JOB_CONTENT_MORE;
    if (j->line_open)
        buf_put(out, VIEW("\r\n"));
    buf_put(out, VIEW(".\r\n"));
    return JOB_CONTENT_DONE;
}

enum job_content job_put_content(struct job *j, struct buf *out)
{
    while (prepare(j)) {
        struct view piece = view_sub(j->unsent, 0, buf_space(out));

        if (piece.len == 0)
            return JOB_CONTENT_MORE;
        buf_put(out, piece);
        j->unsent = view_from(j->unsent, piece.len);
    }
    return put_end(j, out);
}

/* The last piece is looked at with all before it, and only then given away: nothing ends a chunk
 * but its last byte. */
enum job_content job_put_chunk(struct job *j, struct buf *out)
{
    for (;;) {
        struct view piece;

        if (j->unread.len == 0 && !read_more(j))
            return is_whole(j) ? JOB_CONTENT_DONE : JOB_CONTENT_DAMAGED;
        if (j->read_bytes >= j->start.body_bytes && !is_whole(j))
            return JOB_CONTENT_DAMAGED;
        piece = view_sub(j->unread, 0, buf_space(out));
        if (piece.len == 0)
            return JOB_CONTENT_MORE;
        buf_put(out, piece);
        j->unread = view_from(j->unread, piece.len);
    }
}

/* ---- results ---- */

static void tell(const struct job *j, uint32_t index, const struct outcome *o, uint64_t now_ms)
{
    static char room[OUTCOME_ROOM];
    struct buf encoded = BUF_ON_ARRAY(room);
    uint64_t duration_ms = now_ms - j->started_ms;
    struct message_rcpt_result m = { .job = j->start.job, .rcpt = index };
    bool fits;

    if (j->queue == NULL)
        return;
    fits = outcome_encode(o, &encoded);
    assert(fits);
    m.duration_ms = (uint32_t)MIN(duration_ms, UINT32_MAX);
    m.outcome = buf_view(&encoded);
    peer_send_rcpt_result(j->queue, &m, -1);
}

bool job_is_untouched(const struct job *j)
{
    return j->undecided == j->envelope.rcpt_count;
}

void job_decide(struct job *j, size_t rcpt, const struct outcome *o, uint64_t now_ms)
{
    assert(rcpt < j->envelope.rcpt_count && !j->decided[rcpt]);
    j->decided[rcpt] = true;
    j->undecided--;
    tell(j, j->indexes[rcpt], o, now_ms);
}

void job_put_off(struct job *j, size_t rcpt)
{
    j->later_count += !j->later[rcpt];
    j->later[rcpt] = true;
}

void job_decide_rest(struct job *j, const struct outcome *o, uint64_t now_ms)
{
    if (job_is_untouched(j)) {
        j->undecided = 0;
        tell(j, JOB_ALL_RCPTS, o, now_ms);
        return;
    }
    for (size_t i = 0; i < j->envelope.rcpt_count && j->undecided > 0; i++) {
        if (!j->decided[i])
            job_decide(j, i, o, now_ms);
    }
}

void job_decide_message(struct job *j, const struct outcome *o, uint64_t now_ms)
{
    if (j->message.rcpt_count == j->envelope.rcpt_count && j->later_count == 0) {
        job_decide_rest(j, o, now_ms);
        return;
    }
    for (size_t i = 0; i < j->message.rcpt_count; i++) {
        if (!j->decided[j->batch[i]] && !j->later[j->batch[i]])
            job_decide(j, j->batch[i], o, now_ms);
    }
}

/* Rounded down: what is passed on is never more than there is. */
static int64_t seconds_left(const struct job *j)
{
    int64_t ms = (int64_t)j->envelope.deliver_by_ms - (int64_t)clock_wall_ms();

    return ms >= 0 ? ms / 1000 : -((-ms + 999) / 1000);
}

/* RFC 9422, 4.3: the host takes recipients of so many domains in one session. */
static bool admit_domain(struct job_domains *domains, const struct ext *ext, struct view address)
{
    uint64_t hash = hash_bytes_nocase(view_from(address, view_find_last(address, '@') + 1));

    if (ext->domains_most == 0)
        return true;
    for (size_t i = 0; i < domains->count; i++) {
        if (domains->hashes[i] == hash)
            return true;
    }
    if (domains->count == MIN(ext->domains_most, (uint64_t)JOB_DOMAINS_MAX))
        return false;
    domains->hashes[domains->count++] = hash;
    return true;
}

enum job_fit job_prepare(struct job *j, const struct ext *ext, struct job_domains *domains,
                         struct outcome *why)
{
    enum job_fit lack = JOB_NEEDS_HOST;

    j->message.rcpt_count = 0;
    j->message.by_seconds = seconds_left(j);
    j->later_count = 0;
    memset(j->later, 0, j->envelope.rcpt_count * sizeof(*j->later));
    for (uint32_t i = 0; i < j->envelope.rcpt_count; i++) {
        if (ext->rcpts_most > 0 && j->message.rcpt_count == ext->rcpts_most)
            break;
        if (j->decided[i] || transaction_rcpt_obstacle(&j->envelope, i, ext, why))
            continue;
        if (admit_domain(domains, ext, j->envelope.rcpts[i].address))
            j->batch[j->message.rcpt_count++] = i;
        else
            lack = JOB_NEEDS_SESSION;
    }
    return j->message.rcpt_count > 0 ? JOB_FITS : lack;
}

void job_begin_transaction(struct job *j)
{
    const struct message_job_again m = { j->start.job, (uint32_t)j->message.rcpt_count };

    if (j->begun && j->queue != NULL)
        peer_send_job_again(j->queue, &m, -1);
    j->begun = true;
}

void job_end(struct job *j)
{
    const struct message_job_end m = { j->start.job };

    if (j->queue != NULL)
        peer_send_job_end(j->queue, &m, -1);
}
