#include "queue/import.h"

#include "common/crc32c.h"
#include "common/memory.h"
#include "io/clock.h"
#include "io/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct import {
    struct queue *queue;
    struct import_plan plan;
    void (*done)(void *arg, enum import_result result, uint64_t id); /* NULL: nobody asks */
    void *arg;
    char who[32];
    char *envelope;
    char *body; /* NULL: the body goes to a file */
    uint64_t envelope_have, body_have;
    uint32_t crc;
    bool unwritten; /* of a large body, something could not be */
    int big_fd;
    uint64_t big_file;
    struct arena arena; /* of the envelope */
    struct envelope facts;
    struct envelope_rcpt *rcpts; /* its own */
    struct letter *letter;
    struct buf encoded;
    struct store_commit commit;
    bool given; /* to the store */
    struct deferred finish;
    enum import_result result;
};

/* ---- the end ---- */

static void drop(struct import *i, bool keep_file)
{
    if (i->big_fd >= 0) {
        close(i->big_fd);
        if (!keep_file)
            store_remove_body(i->queue->store, i->big_file);
    }
    letter_free(&i->letter);
    arena_reset(&i->arena);
    free(i->rcpts);
    if (i->encoded.capacity > 0)
        buf_free(&i->encoded);
    free(i->envelope);
    free(i->body);
    free(i);
}

static void on_finish(struct deferred *d)
{
    struct import *i = container_of(d, struct import, finish);

    if (i->done != NULL)
        i->done(i->arg, i->result, i->commit.id);
    drop(i, i->result == IMPORT_DONE);
}

static void finish(struct import *i, enum import_result result)
{
    i->result = result;
    loop_defer(i->queue->loop, &i->finish);
}

static void on_durable(struct store_commit *c, enum spool_trouble trouble)
{
    struct import *i = container_of(c, struct import, commit);
    struct queue *q = i->queue;

    if (trouble != SPOOL_FINE) {
        finish(i, trouble == SPOOL_INVALID ? IMPORT_MALFORMED : IMPORT_REFUSED);
        return;
    }
    log_info("message_imported", LOG_ID("message", c->id), LOG_U64("size_bytes", c->body_bytes),
             LOG_U64("recipients", i->facts.rcpt_count), LOG_VIEW("sender", i->facts.sender),
             LOG_STRING("by", i->who));
    queue_take_in(q, c, &i->facts, i->letter);
    i->letter = NULL;
    finish(i, IMPORT_DONE);
}

/* ---- the commit ---- */

/* Who was to hear that an address stood for several has heard it of the queue that it was in. */
static void forget_expansion(struct import *i)
{
    size_t bytes = i->facts.rcpt_count * sizeof(*i->facts.rcpts);

    i->rcpts = memory_new(bytes);
    memcpy(i->rcpts, i->facts.rcpts, bytes);
    for (size_t k = 0; k < i->facts.rcpt_count; k++)
        i->rcpts[k].notify &= ~(unsigned)NOTIFY_EXPANDED;
    i->facts.rcpts = i->rcpts;
}

/* Its lifetime begins here: else mail that was set aside long ago would come back as a bounce. */
static bool read_envelope(struct import *i)
{
    struct view bytes = view_make(i->envelope, i->plan.envelope_bytes);

    if (!envelope_decode(bytes, &i->arena, &i->facts))
        return false;
    forget_expansion(i);
    i->facts.arrival_ms = clock_wall_ms();
    i->facts.accepted_ms = queue_accepted_ms(i->queue);
    /* It may have been released: the plan knows. With the message itself, so that no crash comes
     * between. */
    i->facts.hold = i->plan.hold ? view_of(i->who) : VIEW_EMPTY;
    buf_new(&i->encoded, LETTER_ARENA_MAX);
    return envelope_encode(&i->facts, &i->encoded);
}

static bool read_small(struct import *i)
{
    i->letter =
        letter_new(buf_view(&i->encoded), view_make(i->body, i->plan.body_bytes), VIEW_EMPTY);
    if (i->letter == NULL)
        return false;
    i->letter->body_crc = i->crc;
    i->commit.body = i->letter->body;
    return true;
}

static void commit(struct import *i)
{
    if (i->crc != i->plan.body_crc || !read_envelope(i) || (i->big_fd < 0 && !read_small(i))) {
        finish(i, IMPORT_MALFORMED);
        return;
    }
    if (i->unwritten) {
        finish(i, IMPORT_REFUSED);
        return;
    }
    i->commit.envelope = buf_view(&i->encoded);
    i->commit.big_fd = i->big_fd;
    i->commit.big_file = i->big_file;
    i->commit.body_bytes = i->plan.body_bytes;
    i->commit.body_crc = i->crc;
    i->commit.done = on_durable;
    i->given = true;
    store_accept(i->queue->store, &i->commit);
}

/* ---- what comes ---- */

bool import_wants_more(const struct import *i)
{
    return i->envelope_have < i->plan.envelope_bytes || i->body_have < i->plan.body_bytes;
}

static void take_body(struct import *i, struct view bytes)
{
    i->crc = crc32c(i->crc, bytes);
    if (i->body != NULL)
        memcpy(i->body + i->body_have, bytes.ptr, bytes.len);
    i->body_have += bytes.len;
    while (i->big_fd >= 0 && !i->unwritten && bytes.len > 0) {
        ssize_t n = write(i->big_fd, bytes.ptr, bytes.len);

        if (n < 0 && errno == EINTR)
            continue;
        i->unwritten = n <= 0;
        bytes = view_from(bytes, n > 0 ? (size_t)n : 0);
    }
}

size_t import_feed(struct import *i, struct view bytes)
{
    size_t front = MIN(bytes.len, i->plan.envelope_bytes - i->envelope_have);
    struct view body =
        view_sub(bytes, front, MIN(bytes.len - front, i->plan.body_bytes - i->body_have));

    if (!import_wants_more(i))
        return 0;
    if (front > 0)
        memcpy(i->envelope + i->envelope_have, bytes.ptr, front);
    i->envelope_have += front;
    if (body.len > 0)
        take_body(i, body);
    if (!import_wants_more(i))
        commit(i);
    return front + body.len;
}

/* ---- life ---- */

struct import *import_new(struct queue *q, const struct import_plan *plan,
                          void (*done)(void *arg, enum import_result result, uint64_t id),
                          void *arg)
{
    struct import *i;
    struct buf who;

    if (plan->envelope_bytes == 0 || plan->envelope_bytes > LETTER_ARENA_MAX ||
        plan->body_bytes == 0 || plan->body_bytes > UINT32_MAX)
        return NULL;
    if (q->draining || q->trouble != SPOOL_FINE || q->room_bytes < plan->body_bytes)
        return NULL;
    i = memory_new(sizeof(*i));
    *i = (struct import){
        .queue = q, .plan = *plan, .done = done, .arg = arg, .big_fd = -1, .finish.run = on_finish
    };
    who = BUF_ON_ARRAY(i->who);
    buf_put(&who, view_sub(plan->who, 0, sizeof(i->who) - 1));
    arena_init(&i->arena, LETTER_ARENA_MAX);
    if (plan->body_bytes > q->settings->spool.big_body_bytes)
        i->big_fd = store_create_body(q->store, &i->big_file);
    if (i->big_fd < 0 && plan->body_bytes > q->settings->spool.big_body_bytes) {
        drop(i, false);
        return NULL;
    }
    i->envelope = memory_new(plan->envelope_bytes);
    if (i->big_fd < 0)
        i->body = memory_new(plan->body_bytes);
    return i;
}

void import_leave(struct import **import)
{
    struct import *i = *import;

    *import = NULL;
    if (i == NULL)
        return;
    i->done = NULL;
    if (!i->given && !i->finish.queued)
        drop(i, false);
}
