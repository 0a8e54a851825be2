#include "queue/compactor.h"

#include "common/memory.h"
#include "io/log.h"
#include "queue/recover.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CHECK_MS = 1000,        /* between looks for something to do; less where segments rest less */
    LOOKS_PER_TURN = 20000, /* records */
};

static void go_on_in(struct compactor *c, uint64_t ms)
{
    if (!c->closing)
        loop_start_timer(c->loop, &c->timer, ms);
}

static void look_again(struct compactor *c)
{
    go_on_in(c, MAX(MIN((uint64_t)CHECK_MS, c->rest_ms), (uint64_t)HASTE_PAUSE_MS));
}

/* ---- which segment ---- */

static uint64_t lives_in(const struct segment *s)
{
    return s->live_bytes + s->needed_bytes;
}

/* What emptying it writes again. Ends go with the segments of their messages, and do not live: but
 * they must not go round from one segment to the next while those stay. */
static uint64_t cost_of(const struct segment *s)
{
    return lives_in(s) + s->end_bytes;
}

static void measure(struct compactor *c)
{
    uint64_t bytes = 0, leaving = 0, live = 0;

    c->leaving = false;
    for (size_t i = 0; i < c->ledger->count; i++) {
        const struct segment *s = c->ledger->segments[i];

        if (s->kept)
            continue;
        if (s->leaving) {
            leaving += s->bytes;
            c->leaving = c->leaving || s->again_ms == 0;
            continue;
        }
        bytes += s->bytes;
        live += lives_in(s);
    }
    c->excess = haste_excess(bytes, live, c->journal->shelf->segment_bytes);
    c->excess_on_disk = haste_excess(bytes + leaving, live, c->journal->shelf->segment_bytes);
    c->measured_at = c->journal->numbers->segment;
}

static bool has_rested(const struct compactor *c, const struct segment *s)
{
    return c->loop->now_ms >=
           s->closed_ms + haste_rest_ms(c->excess, c->rest_ms, lives_in(s), s->bytes);
}

/* It goes by itself, with a batch that is on its way. */
static bool is_empty(const struct segment *s)
{
    return s->live == 0 && s->needed == 0 && s->tie_count == 0;
}

static bool can_be_emptied(const struct compactor *c, const struct segment *s)
{
    return !s->open && s->begun && s->writing == 0 && !s->leaving && !s->stubborn && !s->kept &&
           !is_empty(s) && c->loop->now_ms >= s->again_ms && cost_of(s) < s->bytes / 4 * 3 &&
           has_rested(c, s) && !ledger_is_tied_firmly(s);
}

/* The one that is emptied with the least. */
static struct segment *choose(struct compactor *c)
{
    struct segment *best = NULL;

    measure(c);
    if (c->excess == 0)
        return NULL;
    for (size_t i = 0; i < c->ledger->count; i++) {
        struct segment *s = c->ledger->segments[i];

        if ((best == NULL || cost_of(s) < cost_of(best)) && can_be_emptied(c, s))
            best = s;
    }
    return best;
}

/* The oldest: it is full, and some of it stays. */
static const struct segment *choose_unindexed(const struct compactor *c)
{
    for (size_t i = 0; i < c->ledger->count; i++) {
        const struct segment *s = c->ledger->segments[i];

        if (!s->indexed && !s->open && s->begun && s->writing == 0 && !s->leaving && s->live > 0 &&
            c->loop->now_ms >= s->closed_ms + c->rest_ms)
            return s;
    }
    return NULL;
}

/* ---- reading, in the thread ---- */

static int open_source(const struct compactor *c)
{
    char name[SHELF_NAME];
    int fd;

    segment_name(c->source, name);
    fd = openat(c->spool->log, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

static void add_fragment(struct compactor *c, const struct record *r, uint64_t offset)
{
    struct record_message m;
    struct fragment *f;

    if (c->count == c->room) {
        c->room = c->room == 0 ? 256 : c->room * 2;
        c->fragments = memory_grow(c->fragments, c->room, sizeof(*c->fragments));
    }
    f = &c->fragments[c->count++];
    *f = (struct fragment){ .id = r->id,
                            .offset = (uint32_t)offset,
                            .bytes = (uint32_t)(RECORD_HEADER + r->meta.len + r->body.len),
                            .type = r->type };
    if (r->type == RECORD_FINISH)
        f->other = record_get_finish(r);
    else if (r->type == RECORD_MESSAGE && record_get_message(r->meta, c->rcpts, &m))
        f->other = m.about;
}

/* The digest from the index file; else from the segment, and then the file is made. */
static int learn(struct compactor *c)
{
    struct digest *d = &c->digest;
    int err = digest_load(d, c->spool->log);

    if (err == 0)
        return 0;
    digest_begin(d, d->segment, d->seed, d->end);
    err = digest_make(d, c->spool->log);
    if (err == 0 && digest_is_whole(d))
        c->save_error = digest_save(d, c->spool->log);
    return err;
}

static void run_indexing(struct job *job)
{
    struct compactor *c = container_of(job, struct compactor, job);

    c->error = learn(c);
    digest_release(&c->digest);
}

static void run_listing(struct job *job)
{
    struct compactor *c = container_of(job, struct compactor, job);
    struct record r;
    uint64_t offset;

    c->error = learn(c);
    /* What is not told may be the end of a message, which nothing else keeps from coming back. */
    if (c->error == 0 && !digest_is_whole(&c->digest))
        c->error = -EBADMSG;
    while (c->error == 0 && digest_next(&c->digest, &r, &offset)) {
        if (r.type != RECORD_PADDING)
            add_fragment(c, &r, offset);
    }
    digest_release(&c->digest);
}

static int judge(const struct compactor *c, const struct fragment *f, struct view bytes)
{
    bool has_body = f->type == RECORD_MESSAGE || f->type == RECORD_COPY;
    struct record r;

    if (bytes.len == f->bytes && record_read(bytes, c->seed, &r) &&
        (!has_body || record_body_whole(&r)))
        return 0;
    return -EBADMSG;
}

/* What makes no sense is damage when the disk gave it so. Else nobody knows what is there. */
static void run_reading(struct job *job)
{
    struct compactor *c = container_of(job, struct compactor, job);
    int fd = open_source(c);
    char *at = c->bytes;

    c->error = fd < 0 ? fd : 0;
    if (fd < 0)
        return;
    for (size_t i = 0; i < c->portion_count; i++) {
        struct fragment *f = &c->portion[i];
        bool broken;
        ssize_t got = file_read_all(fd, at, f->bytes, f->offset, &broken);

        if (got < 0 || broken)
            f->error = got < 0 ? (int)got : -EIO;
        else
            f->error = judge(c, f, view_make(at, (size_t)got));
        f->bytes = (uint32_t)MAX(got, 0);
        at += f->bytes;
    }
    close(fd);
}

static void give(struct compactor *c, void (*run)(struct job *j))
{
    c->job.run = run;
    workers_give(&c->thread, &c->job);
}

/* ---- what is needed of it ---- */

/* As far as can be told without its meta. */
static bool may_be_needed(const struct compactor *c, const struct segment *s,
                          const struct fragment *f)
{
    const struct rewriter *w = &c->rewriter;

    if (f->type == RECORD_MESSAGE || f->type == RECORD_COPY)
        return rewriter_find(w, f->id).place == record_place(c->source, f->offset) ||
               (f->other != 0 && s->needed > 0 && rewriter_find(w, f->other).place != 0);
    if (f->type == RECORD_OUTCOME || f->type == RECORD_CHANGE)
        return s->needed > 0 && rewriter_find(w, f->id).place != 0;
    return f->type == RECORD_FINISH && record_segment(f->other) != c->source &&
           ledger_find(c->ledger, record_segment(f->other)) != NULL;
}

/* ---- portions ---- */

static uint64_t portion_most(struct compactor *c)
{
    uint64_t others = c->journal->bytes + c->old->bytes - c->rewriter.bytes;
    uint64_t fresh = others - c->others_bytes;

    c->others_bytes = others;
    return haste_portion(c->excess, fresh);
}

/* From the end of the segment, so that of several states of the same recipient the newest is
 * written first, and the others are no longer needed then. */
static void gather_portion(struct compactor *c)
{
    const struct segment *s = ledger_find(c->ledger, c->source);
    uint64_t most = portion_most(c);

    c->portion_count = 0;
    c->portion_bytes = 0;
    c->limited = true;
    for (unsigned looks = 0; c->left > 0 && looks < LOOKS_PER_TURN; looks++) {
        const struct fragment *f = &c->fragments[c->left - 1];

        if (may_be_needed(c, s, f)) {
            if (c->portion_count == COMPACTOR_PORTION ||
                (c->portion_count > 0 && c->portion_bytes + f->bytes > most))
                return;
            c->portion[c->portion_count++] = *f;
            c->portion_bytes += f->bytes;
        }
        c->left--;
    }
    c->limited = false;
}

/* The last portion of a segment makes nobody wait for the next segment. */
static uint64_t pause_ms(const struct compactor *c)
{
    return c->limited ? haste_pause_ms(c->excess) : 0;
}

static void write_fragment(struct compactor *c, const struct fragment *f, const char *at)
{
    uint64_t place = record_place(c->source, f->offset);
    struct record r;

    if (f->type == RECORD_FINISH)
        rewriter_finish(&c->rewriter, f->id, f->other);
    else if (f->error == 0 && record_read(view_make(at, f->bytes), c->seed, &r))
        rewriter_write(&c->rewriter, place, f->bytes, &r);
}

/* It may have become needless without us. */
static bool is_there(const struct compactor *c)
{
    const struct segment *s = ledger_find(c->ledger, c->source);

    return s != NULL && !s->leaving;
}

/* A segment that has gone may have been written anew while it was read. */
static void note_error(struct compactor *c, const struct fragment *f, const char *at)
{
    if (!is_there(c))
        return;
    if (c->lacking != -EBADMSG)
        c->lacking = f->error;
    if (f->error == -EBADMSG)
        c->damaged(c, f, view_make(at, f->bytes));
}

static void write_portion(struct compactor *c)
{
    const char *at = c->bytes;

    for (size_t i = 0; i < c->portion_count; i++) {
        const struct fragment *f = &c->portion[i];

        if (f->error < 0)
            note_error(c, f, at);
        write_fragment(c, f, at);
        at += f->bytes;
    }
    journal_flush(c->old);
    c->awaits = c->journal->newest;
}

/* ---- the course of it ---- */

static void forget_source(struct compactor *c)
{
    free(c->fragments);
    free(c->bytes);
    c->fragments = NULL;
    c->bytes = NULL;
    c->source = c->count = c->room = c->left = 0;
}

static void begin(struct compactor *c, const struct segment *s, void (*run)(struct job *j))
{
    c->source = s->number;
    c->seed = s->seed;
    c->save_error = 0;
    c->lacking = 0;
    digest_begin(&c->digest, s->number, s->seed, s->end);
    give(c, run);
}

static void look_for_work(struct compactor *c)
{
    const struct segment *s = choose(c);

    c->looked_at = c->journal->numbers->segment;
    c->helpless = s == NULL;
    if (s != NULL) {
        begin(c, s, run_listing);
        return;
    }
    c->progress(c);
    s = choose_unindexed(c);
    if (s != NULL)
        begin(c, s, run_indexing);
    else
        look_again(c);
}

/* Damage stays. Everything else may pass: descriptors that are lacking, a notice that superseded a
 * state and was refused then. */
static void set_aside(struct compactor *c, struct segment *s)
{
    int error = c->lacking < 0 ? c->lacking : c->error;
    char name[SHELF_NAME];

    segment_name(s->number, name);
    log_warn("segment_not_emptied", LOG_STRING("file", name), LOG_U64("messages", s->live),
             LOG_U64("states", s->needed), LOG_ERRNO("error", -error));
    s->stubborn = error == -EBADMSG;
    ledger_put_off(s, c->loop->now_ms);
}

static void finish_source(struct compactor *c)
{
    struct segment *s = ledger_find(c->ledger, c->source);

    if (c->error == 0)
        ledger_untie(c->ledger, s, c->awaits); /* its ends are durable by then */
    if (s->live > 0 || s->needed > 0 || c->error < 0)
        set_aside(c, s);
    else
        c->emptied_count++;
    forget_source(c);
    c->progress(c);
    go_on_in(c, 0);
}

static void read_portion(struct compactor *c)
{
    free(c->bytes);
    c->bytes = memory_new(c->portion_bytes);
    give(c, run_reading);
}

static void on_timer(struct timer *t)
{
    struct compactor *c = container_of(t, struct compactor, timer);

    if (workers_busy(&c->thread) || c->thread.thread_count == 0)
        return;
    if (c->paused || journal_rests(c->old)) {
        look_again(c);
        return;
    }
    if (c->source != 0 && !is_there(c)) {
        c->emptied_count += c->left == 0 && c->error == 0;
        forget_source(c);
    }
    if (c->source == 0) {
        rewriter_seal(&c->rewriter);
        look_for_work(c);
        return;
    }
    if (c->left == 0) {
        finish_source(c);
        return;
    }
    gather_portion(c);
    if (c->portion_count > 0)
        read_portion(c);
    else
        go_on_in(c, 0);
}

/* The segment may have gone while its index file was made. */
static void note_index(struct compactor *c)
{
    struct segment *s = ledger_find(c->ledger, c->source);
    char name[SHELF_NAME];

    segment_index_name(c->source, name);
    if (s == NULL || s->leaving) {
        unlinkat(c->spool->log, name, 0);
        return;
    }
    if (c->save_error < 0 && !s->indexed)
        log_warn("index_not_written", LOG_STRING("file", name), LOG_ERRNO("error", -c->save_error));
    s->indexed = true;
}

static void on_indexed(struct compactor *c)
{
    note_index(c);
    forget_source(c);
    go_on_in(c, HASTE_PAUSE_MS);
}

static void on_listed(struct compactor *c)
{
    note_index(c);
    c->left = c->error < 0 ? 0 : c->count;
    go_on_in(c, 0);
}

/* Copies of which a write failed are on their way longer than the batch that had them first. */
static bool is_written(const struct compactor *c)
{
    return c->journal->durable >= c->awaits && c->rewriter.moves.count == 0;
}

static void on_read(struct compactor *c)
{
    if (c->error < 0)
        c->left = 0;
    else
        write_portion(c);
    c->waiting = !is_written(c);
    if (!c->waiting)
        go_on_in(c, pause_ms(c));
}

static void on_job_done(struct job *job)
{
    struct compactor *c = container_of(job, struct compactor, job);

    if (c->closing)
        return;
    if (job->run == run_indexing)
        on_indexed(c);
    else if (job->run == run_listing)
        on_listed(c);
    else
        on_read(c);
}

/* ---- what the journal tells ---- */

void compactor_look(struct compactor *c)
{
    if (c->source == 0 && c->looked_at != c->journal->numbers->segment && timer_running(&c->timer))
        go_on_in(c, 0); /* another segment: there may be too many now */
    if (!c->waiting || !is_written(c))
        return;
    c->waiting = false;
    go_on_in(c, pause_ms(c));
}

/* ---- mail that must wait ---- */

static bool can_help(const struct compactor *c)
{
    return !c->paused && !c->closing && c->thread.thread_count > 0 && !journal_rests(c->old) &&
           (!c->helpless || c->source != 0 || c->leaving);
}

bool compactor_holds_mail(struct compactor *c)
{
    if (c->measured_at != c->journal->numbers->segment)
        measure(c);
    if (c->excess_on_disk <= HASTE_HOLD || !can_help(c))
        return false;
    if (c->source == 0 && timer_running(&c->timer))
        go_on_in(c, 0);
    return true;
}

void compactor_measure(struct compactor *c)
{
    c->measured_at = 0;
}

/* ---- life ---- */

int compactor_open(struct compactor *c, struct loop *l, struct spool *spool, struct ledger *ledger,
                   struct journal *journal, struct journal *old, struct store_watcher *watcher)
{
    *c = (struct compactor){ .loop = l,
                             .spool = spool,
                             .ledger = ledger,
                             .journal = journal,
                             .old = old,
                             .timer = { .fire = on_timer },
                             .job = { .done = on_job_done } };
    rewriter_init(&c->rewriter, ledger, journal, old, watcher);
    return workers_init(&c->thread, l);
}

int compactor_start(struct compactor *c)
{
    int err = workers_start(&c->thread, 1);

    if (err == 0)
        look_again(c);
    return err;
}

void compactor_stop(struct compactor *c)
{
    c->closing = true;
    loop_stop_timer(c->loop, &c->timer);
    workers_finish(&c->thread);
}

void compactor_close(struct compactor *c)
{
    compactor_stop(c);
    workers_release(&c->thread);
    rewriter_release(&c->rewriter);
    forget_source(c);
}
