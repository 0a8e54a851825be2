#include "queue/journal.h"

#include "common/memory.h"
#include "io/log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    SPARE_BATCHES = 2, /* one is filled while the other is written */
};

static struct batch *batch_of(struct list *l)
{
    return container_of(l, struct batch, link);
}

bool batch_has_mail(const struct batch *b)
{
    return !list_empty(&b->commits);
}

/* ---- the sync thread ---- */

static size_t padded(const struct batch *b)
{
    uint64_t end = b->offset + b->len;

    return (size_t)((end + BATCH_BLOCK - 1) / BATCH_BLOCK * BATCH_BLOCK - b->offset);
}

static int open_segment(struct journal *j, uint64_t number, bool for_mail)
{
    int fd = shelf_take(j->shelf, number, for_mail);

    if (fd < 0)
        return fd;
    if (j->fd >= 0)
        close(j->fd);
    j->fd = fd;
    return 0;
}

/* After a failure, those that were placed behind the failed batch must not be written: they would
 * stand behind a hole. */
static int write_batch(const struct batch *b)
{
    struct journal *j = b->journal;
    int err = 0;

    if (b->generation == j->failed_generation)
        return -ECANCELED;
    if (b->opens)
        err = open_segment(j, b->segment_number, batch_has_mail(b));
    if (err == 0)
        err = file_write_all(j->fd, view_make(b->room, padded(b)), b->offset);
    if (err == 0 && fdatasync(j->fd) < 0)
        err = -errno;
    if (err < 0)
        j->failed_generation = b->generation;
    return err;
}

static void run_batch(struct job *job)
{
    struct batch *b = container_of(job, struct batch, job);

    b->error = write_batch(b);
}

/* ---- batches ---- */

static void on_batch_done(struct job *job);

static struct batch *new_batch(struct journal *j)
{
    struct list *old = list_take_first(&j->spare);
    struct batch *b = old != NULL ? batch_of(old) : memory_new(sizeof(*b));
    char *room = b->room;

    if (room == NULL) {
        room =
            aligned_alloc(BATCH_BLOCK, BATCH_BYTES / BATCH_BLOCK * BATCH_BLOCK + 2 * BATCH_BLOCK);
        if (room == NULL)
            abort(); /* as memory_new does */
    }
    *b = (struct batch){ .job = { .run = run_batch, .done = on_batch_done },
                         .journal = j,
                         .segment = j->current,
                         .segment_number = j->current->number,
                         .seed = j->current->seed,
                         .number = ++j->numbers->batch,
                         .offset = j->tail,
                         .room = room,
                         .generation = j->generation };
    list_init(&b->link);
    list_init(&b->commits);
    list_init(&b->moves);
    j->newest = b->number;
    b->segment->writing++;
    return b;
}

static void drop_batch(struct batch *b)
{
    free(b->removals);
    free(b->room);
    free(b);
}

static void put_away(struct journal *j, struct batch *b)
{
    size_t count = 0;

    free(b->removals);
    b->removals = NULL;
    list_each (it, &j->spare)
        count++;
    if (count < SPARE_BATCHES)
        list_append(&j->spare, &b->link);
    else
        drop_batch(b);
}

static void give(struct journal *j, struct batch *b)
{
    b->given = true;
    j->waiting++;
    if (journal_rests(j)) {
        list_append(&j->held, &b->link);
        return;
    }
    memset(b->room + b->len, 0, padded(b) - b->len);
    list_append(&j->writing, &b->link);
    workers_give(&j->sync, &b->job);
}

static bool take_back(struct journal *j, struct batch *b)
{
    if (!journal_rests(j) && !workers_take_back(&j->sync, &b->job))
        return false;
    list_remove(&b->link); /* held or writing */
    j->waiting--;
    b->given = false;
    return true;
}

/* The batch that takes the next `span` bytes. A batch that was given but not begun goes on filling:
 * the busier the disk, the larger the batches. */
static struct batch *filling_for(struct journal *j, size_t span)
{
    struct batch *b = j->filling;

    if (b != NULL && b->given && !take_back(j, b))
        b = NULL;
    if (b != NULL && (b->records == BATCH_RECORDS || b->len + span > BATCH_BYTES)) {
        give(j, b);
        b = NULL;
    }
    if (b == NULL)
        b = new_batch(j);
    j->filling = b;
    return b;
}

/* ---- segments ---- */

static void begin_segment(struct journal *j)
{
    struct record_start start = { .spool = j->uuid,
                                  .bytes = j->shelf->segment_bytes,
                                  .first_batch = j->numbers->batch + 1,
                                  .cut_count = j->cut_count,
                                  .left = j->left };
    struct batch *b;

    if (getrandom(&start.nonce, sizeof(start.nonce), 0) != sizeof(start.nonce))
        abort(); /* without it, anybody's bytes could pass for records */
    memcpy(start.cuts, j->cuts, sizeof(start.cuts));
    if (j->current != NULL) {
        j->current->closed_ms = j->loop->now_ms;
        j->current->open = false;
    }
    start.segment = j->numbers->segment = segment_after(j->numbers->segment, j->stream);
    j->current = ledger_add(j->ledger, start.segment);
    j->current->open = true;
    j->current->bytes = j->current->end = start.bytes;
    j->current->seed = record_seed(start.nonce);
    j->tail = 0;
    b = new_batch(j);
    b->opens = true;
    record_put_head(b->room, &start);
    b->len = j->tail = RECORD_HEAD;
    j->filling = b;
    for (size_t i = 0; i < j->cut_count; i++) /* what it tells must not get lost */
        ledger_tie(j->ledger, start.segment, j->cuts[i].segment);
    ledger_tie(j->ledger, start.segment, j->left);
}

static void put_record(struct journal *j, struct batch *b, struct record *r, size_t span)
{
    r->batch = b->number;
    r->back = (uint32_t)(b->len / RECORD_UNIT);
    record_seal(b->room + b->len, r, b->seed);
    b->len += span;
    b->records++;
    j->tail += span;
}

/* Padding to the end, so that a reader knows that nothing is missing. */
static void seal_segment(struct journal *j)
{
    uint64_t left = j->current->bytes - j->tail;
    struct record r = { .type = RECORD_PADDING, .body = { NULL, left - RECORD_HEADER } };

    if (left > 0)
        put_record(j, filling_for(j, RECORD_HEADER), &r, RECORD_HEADER);
    if (j->filling != NULL && !j->filling->given)
        give(j, j->filling);
    begin_segment(j);
}

/* ---- append ---- */

static char *put_bytes(char *at, struct view bytes)
{
    if (bytes.len > 0)
        memcpy(at, bytes.ptr, bytes.len);
    return at + bytes.len;
}

bool journal_append(struct journal *j, struct journal_entry *e)
{
    size_t meta = e->line.len + e->text.len;
    size_t span = record_span(meta, e->body.len);
    size_t most = MIN(j->shelf->segment_bytes, (uint64_t)BATCH_BYTES) - RECORD_HEAD;
    struct record r = { .type = e->type, .id = e->id };
    struct batch *b;
    char *start, *end;

    if (meta > RECORD_META_MAX || span > most)
        return false;
    if (j->current == NULL)
        begin_segment(j);
    else if (j->tail + span > j->current->bytes)
        seal_segment(j);
    b = filling_for(j, span);
    e->where.place = record_place(j->current->number, j->tail);
    e->where.bytes = (uint32_t)(RECORD_HEADER + meta + e->body.len);
    if (e->type == RECORD_MESSAGE)
        e->id = r.id = e->where.place;
    start = b->room + b->len;
    end = put_bytes(start + RECORD_HEADER, e->line);
    end = put_bytes(end, e->text);
    r.meta = view_make(start + RECORD_HEADER, meta);
    r.body = view_make(end, e->body.len);
    end = put_bytes(end, e->body);
    memset(end, 0, span - e->where.bytes);
    put_record(j, b, &r, span);
    j->bytes += span;
    return true;
}

void journal_remove_later(struct journal *j, uint64_t big_file)
{
    struct batch *b = j->filling;

    if (b->removal_count == b->removal_room) {
        b->removal_room = b->removal_room == 0 ? 8 : b->removal_room * 2;
        b->removals = memory_grow(b->removals, b->removal_room, sizeof(*b->removals));
    }
    b->removals[b->removal_count++] = big_file;
}

/* A head, too, is written at once when somebody waits for the cut in it. */
static bool has_records(const struct journal *j, const struct batch *b)
{
    return b != NULL && (b->records > 0 || (b->opens && !list_empty(&j->refused)));
}

void journal_flush(struct journal *j)
{
    if (has_records(j, j->filling) && !j->filling->given && !journal_rests(j))
        give(j, j->filling);
}

static bool contains(const struct batch *b, uint64_t place)
{
    uint64_t offset = record_offset(place);

    return b->segment_number == record_segment(place) && offset >= b->offset &&
           offset < b->offset + b->len;
}

static const struct batch *find_batch(const struct journal *j, uint64_t place)
{
    const struct list *const all[] = { &j->writing, &j->held, &j->failed };

    if (j->filling != NULL && contains(j->filling, place))
        return j->filling;
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        list_each (it, all[i]) {
            if (contains(container_of(it, struct batch, link), place))
                return container_of(it, struct batch, link);
        }
    }
    return NULL;
}

struct view journal_peek(const struct journal *j, uint64_t place, uint32_t *seed)
{
    const struct batch *b = find_batch(j, place);
    size_t at;

    if (b == NULL)
        return VIEW_EMPTY;
    *seed = b->seed;
    at = (size_t)(record_offset(place) - b->offset);
    return view_make(b->room + at, b->len - at);
}

bool journal_idle(const struct journal *j)
{
    return !has_records(j, j->filling) && !workers_busy(&j->sync) && list_empty(&j->held) &&
           list_empty(&j->failed);
}

bool journal_rests(const struct journal *j)
{
    return timer_running(&j->retry);
}

bool journal_is_behind(const struct journal *j)
{
    return j->waiting > JOURNAL_WAITING_MOST;
}

/* ---- written ---- */

static void answer_refused(struct journal *j)
{
    struct list *l;

    while ((l = list_take_first(&j->refused)) != NULL) {
        struct store_commit *c = container_of(l, struct store_commit, link);

        c->done(c, j->refused_trouble);
    }
}

static void on_batch_done(struct job *job)
{
    struct batch *b = container_of(job, struct batch, job);
    struct journal *j = b->journal;

    if (j->filling == b)
        j->filling = NULL;
    list_remove(&b->link);
    j->waiting--;
    if (b->error < 0) {
        list_append(&j->failed, &b->link);
        loop_start_timer(j->loop, &j->mend, 0);
        return;
    }
    b->segment->writing--;
    j->durable = b->number;
    j->batches++;
    j->records += b->records;
    if (b->opens) {
        b->segment->begun = true;
        j->ledger->changed = true; /* the one before may go now */
        j->cut_count = 0;          /* told */
        j->left = 0;
    }
    j->owner->written(j->owner, b);
    if (b->opens)
        answer_refused(j); /* what is cut off cannot come to life any more */
    put_away(j, b);
}

/* ---- failed ---- */

/* Everything that is not durable, in order: what failed, what was held back, what was filling. */
static void gather_failed(struct journal *j)
{
    struct list *held;

    workers_finish(&j->sync);
    while ((held = list_take_first(&j->held)) != NULL) {
        list_append(&j->failed, held);
        j->waiting--;
    }
    if (j->filling == NULL)
        return;
    list_remove(&j->filling->link);
    list_append(&j->failed, &j->filling->link);
    j->filling = NULL;
}

/* Closes the segment where the first failed batch began. Segments that failed batches were to open
 * have never been. */
static void close_segment(struct journal *j)
{
    const struct batch *first = batch_of(j->failed.next);

    /* When there are too many, the one before gives way: at worst, refused messages come to life.
     */
    j->cuts[MIN(j->cut_count, RECORD_CUTS - 1)] =
        (struct record_cut){ first->segment_number, first->offset };
    j->cut_count = MIN(j->cut_count + 1, RECORD_CUTS);
    if (first->opens)
        shelf_abandon(j->shelf, first->segment_number);
    else
        first->segment->end = first->offset;
    list_each (it, &j->failed)
        batch_of(it)->segment->writing--;
    list_each (it, &j->failed) {
        if (!batch_of(it)->opens)
            continue;
        if (j->current == batch_of(it)->segment)
            j->current = NULL;
        ledger_remove(j->ledger, batch_of(it)->segment);
    }
}

static void append_again(struct journal *j, const struct batch *b)
{
    size_t at = b->opens ? RECORD_HEAD : 0;
    struct record r;

    while (at < b->len) {
        bool whole = record_read_front(view_make(b->room + at, b->len - at), b->seed, &r);

        assert(whole);
        if (r.type != RECORD_MESSAGE && r.type != RECORD_PADDING)
            j->owner->again(j->owner, &r, record_place(b->segment_number, b->offset + at));
        at += record_span(r.meta.len, r.type == RECORD_PADDING ? 0 : r.body.len);
    }
    for (size_t i = 0; i < b->removal_count; i++)
        journal_remove_later(j, b->removals[i]);
}

static void refuse_commits(struct journal *j, struct batch *b)
{
    struct list *l;

    while ((l = list_take_first(&b->commits)) != NULL) {
        j->owner->refused(j->owner, container_of(l, struct store_commit, link));
        list_append(&j->refused, l);
    }
}

/* What could make a segment needless is written later than it seemed. Copies count only when they
 * are durable. */
static void postpone_recycling(struct journal *j)
{
    if (j->stream == STREAM_OLD)
        return;
    for (size_t i = 0; i < j->ledger->count; i++)
        j->ledger->segments[i]->settled_by = j->newest;
}

static void mend(struct journal *j)
{
    enum spool_trouble trouble;
    uint64_t wait_ms = 0;
    bool gone;
    struct list *l;

    gather_failed(j);
    gone = batch_of(j->failed.next)->opens;
    loop_stop_timer(j->loop, &j->mend); /* for those that were gathered just now */
    trouble = j->owner->failed(j->owner, batch_of(j->failed.next), &wait_ms);
    close_segment(j);
    j->generation++;
    if (wait_ms > 0)
        loop_start_timer(j->loop, &j->retry, wait_ms);
    begin_segment(j);
    list_each (it, &j->failed)
        append_again(j, batch_of(it));
    postpone_recycling(j);
    answer_refused(j); /* of the failure before: the head with that cut has failed, too */
    j->refused_trouble = trouble;
    while ((l = list_take_first(&j->failed)) != NULL) {
        refuse_commits(j, batch_of(l));
        put_away(j, batch_of(l));
    }
    if (gone)
        answer_refused(j); /* their file is removed, and nothing of it can come to life */
    journal_flush(j);
}

static void on_mend(struct timer *t)
{
    mend(container_of(t, struct journal, mend));
}

static void go_on(struct journal *j)
{
    struct list *l;

    loop_stop_timer(j->loop, &j->retry);
    while ((l = list_take_first(&j->held)) != NULL) {
        j->waiting--;
        give(j, batch_of(l));
    }
    journal_flush(j);
}

static void on_retry(struct timer *t)
{
    go_on(container_of(t, struct journal, retry));
}

/* ---- life ---- */

int journal_open(struct journal *j, struct journal_owner *owner, struct loop *l,
                 struct shelf *shelf, struct ledger *ledger, struct view uuid, enum stream stream,
                 struct journal_numbers *numbers)
{
    *j = (struct journal){ .owner = owner,
                           .stream = stream,
                           .numbers = numbers,
                           .loop = l,
                           .shelf = shelf,
                           .ledger = ledger,
                           .uuid = uuid,
                           .mend = { .fire = on_mend },
                           .retry = { .fire = on_retry },
                           .generation = 1,
                           .fd = -1 };
    list_init(&j->held);
    list_init(&j->writing);
    list_init(&j->failed);
    list_init(&j->refused);
    list_init(&j->spare);
    return workers_init(&j->sync, l);
}

void journal_resume(struct journal *j, struct segment *s, int fd, uint64_t tail, uint64_t left)
{
    j->current = s;
    j->left = left;
    j->fd = fd;
    j->tail = tail;
    j->durable = j->newest = j->numbers->batch;
    if (s != NULL)
        s->open = true;
    else if (j->stream == STREAM_FRESH)
        begin_segment(j);
}

int journal_start(struct journal *j)
{
    return workers_start(&j->sync, 1);
}

void journal_finish(struct journal *j)
{
    bool waited = false;

    while (!journal_idle(j)) {
        if (journal_rests(j)) {
            if (waited)
                break;
            waited = true; /* there is no better time to come: once more, now */
        }
        go_on(j);
        workers_finish(&j->sync);
        if (!list_empty(&j->failed))
            mend(j);
    }
    answer_refused(j);
}

void journal_close(struct journal *j)
{
    struct list *l;

    journal_finish(j);
    workers_release(&j->sync);
    loop_stop_timer(j->loop, &j->mend);
    loop_stop_timer(j->loop, &j->retry);
    while ((l = list_take_first(&j->held)) != NULL)
        drop_batch(batch_of(l));
    while ((l = list_take_first(&j->spare)) != NULL)
        drop_batch(batch_of(l));
    if (j->filling != NULL)
        drop_batch(j->filling);
    if (j->fd >= 0)
        close(j->fd);
}
