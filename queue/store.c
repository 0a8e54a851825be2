#include "queue/store.h"

#include "common/crc32c.h"
#include "common/memory.h"
#include "common/table.h"
#include "io/clock.h"
#include "io/log.h"
#include "mail/envelope.h"
#include "queue/bodies.h"
#include "queue/journal.h"
#include "queue/recover.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SEGMENT_LEAST = 1 << 20,
    SEGMENT_MOST = 64 << 20,
    RECORD_SLACK = 512 << 10, /* of a segment, for what a message has beside its body */
    OUTCOME_TEXT_ROOM = 8192, /* the text of an outcome; mail/outcome.h keeps to far less */
    FRONT_BYTES = 4096,       /* read at first when a record's meta is wanted */
    SPACE_POLL_MS = 5000,
    TROUBLE_POLL_MS = 1000,
    FAILURE_WINDOW_MS = 60000, /* a second failure in that time suspends */
    CALM_MS = 10000,           /* a success so long after the last failure ends that */
    READERS = 16,              /* segments kept open for reading */
};

struct store {
    struct loop *loop;
    struct store_options options;
    struct spool spool;
    struct shelf shelf;
    struct bodies bodies;
    struct ledger ledger;
    struct journal journal;
    struct journal_owner owner;
    struct store_watcher *watcher;
    struct timer poll; /* of the space */
    struct timer refusing;
    struct list refused[SPOOL_TROUBLES];
    bool low;   /* less than the reserve is free */
    bool stuck; /* no room for a segment */
    bool suspended;
    bool failed_before;
    uint64_t failed_ms; /* monotonic, when a write failed last */
    uint64_t free_bytes;
    enum spool_trouble told;
    uint64_t told_room;
    bool told_once;
    uint64_t live_messages, live_bytes, failures, damaged;
    struct table moved;        /* records that were written again elsewhere, by their first place */
    uint64_t readers[READERS]; /* segments that are open for reading; 0: free */
    unsigned next_reader;
    uint32_t rcpts[ENVELOPE_RCPTS_MAX];
    char line[RECORD_LINE_MAX];
};

struct moved {
    struct table_entry entry;
    struct store_ref where;
};

/* ---- trouble, and who is told of it ---- */

static enum spool_trouble trouble_of(const struct store *s)
{
    if (s->suspended)
        return SPOOL_SUSPENDED;
    return s->low || s->stuck ? SPOOL_FULL : SPOOL_FINE;
}

static uint64_t room_of(const struct store *s)
{
    return s->free_bytes > s->options.reserve_bytes ? s->free_bytes - s->options.reserve_bytes : 0;
}

/* Small changes of much room are no news. */
static bool differs(uint64_t room, uint64_t told)
{
    return room / 2 > told || told / 2 > room || (room == 0) != (told == 0);
}

static void tell_state(struct store *s)
{
    enum spool_trouble trouble = trouble_of(s);
    uint64_t room = room_of(s);

    if (s->told_once && trouble == s->told && !differs(room, s->told_room))
        return;
    s->told = trouble;
    s->told_room = room;
    s->told_once = true;
    s->watcher->state(s->watcher, trouble, room);
}

/* It takes a segment more to be well again than to fall ill, so that it does not flicker. */
static void look_at_space(struct store *s)
{
    uint64_t wanted = s->options.reserve_bytes + (s->low ? s->options.segment_bytes : 0);
    int err = spool_space(&s->spool, &s->free_bytes);

    if (err < 0)
        log_error("spool_space_unknown", LOG_ERRNO("error", -err));
    else
        s->low = s->free_bytes < wanted;
}

/* Without mail, nothing else would show that writing works again. */
static void probe(struct store *s)
{
    struct journal_entry e = { .type = RECORD_PADDING };

    if (journal_idle(&s->journal) && journal_append(&s->journal, &e))
        journal_flush(&s->journal);
}

static void on_poll(struct timer *t)
{
    struct store *s = container_of(t, struct store, poll);

    look_at_space(s);
    if (s->stuck || (s->suspended && s->loop->now_ms >= s->failed_ms + CALM_MS))
        probe(s);
    shelf_tend(&s->shelf);
    tell_state(s);
    loop_start_timer(s->loop, &s->poll,
                     trouble_of(s) == SPOOL_FINE ? SPACE_POLL_MS : TROUBLE_POLL_MS);
}

static void poll_now(struct store *s)
{
    loop_start_timer(s->loop, &s->poll, 0);
}

/* ---- what the journal tells ---- */

static void on_gone(void *arg, uint64_t number, int error)
{
    struct store *s = arg;
    struct segment *segment = ledger_find(&s->ledger, number);

    if (error == 0)
        ledger_remove(&s->ledger, segment);
}

static void close_reader(struct store *s, struct segment *segment)
{
    if (segment->fd < 0)
        return;
    close(segment->fd);
    segment->fd = -1;
    for (size_t i = 0; i < READERS; i++) {
        if (s->readers[i] == segment->number)
            s->readers[i] = 0;
    }
}

static void recycle(struct store *s)
{
    struct segment *segment;

    if (!s->ledger.changed)
        return;
    while ((segment = ledger_needless(&s->ledger, s->journal.durable)) != NULL) {
        segment->leaving = true;
        close_reader(s, segment);
        shelf_recycle(&s->shelf, segment->number, on_gone, s);
    }
    /* What waits for a batch is looked at again with the next one. */
    s->ledger.changed = s->journal.durable + 1 < s->journal.next_batch;
}

static void note_success(struct store *s)
{
    if (s->suspended && s->loop->now_ms >= s->failed_ms + CALM_MS)
        s->suspended = false;
    s->stuck = false;
}

static void on_batch_written(struct journal_owner *o, struct batch *b)
{
    struct store *s = container_of(o, struct store, owner);
    struct list *l;

    if (s->suspended || s->stuck) {
        note_success(s);
        poll_now(s);
    }
    if (b->opens)
        poll_now(s);
    for (size_t i = 0; i < b->removal_count; i++)
        bodies_remove(&s->bodies, b->removals[i]);
    while ((l = list_take_first(&b->commits)) != NULL) {
        struct store_commit *c = container_of(l, struct store_commit, link);

        ledger_come(b->segment);
        s->live_messages++;
        s->live_bytes += c->where.bytes;
        c->done(c, SPOOL_FINE);
    }
    recycle(s);
}

static enum spool_trouble on_batch_failed(struct journal_owner *o, int error, bool *wait)
{
    struct store *s = container_of(o, struct store, owner);
    bool full = error == -ENOSPC || error == -EDQUOT;

    log_error("spool_write_failed", LOG_U64("segment", s->journal.current->number),
              LOG_ERRNO("error", -error));
    poll_now(s);
    if (full) {
        s->stuck = true;
        *wait = true;
        return SPOOL_FULL;
    }
    s->failures++;
    if (s->failed_before && s->loop->now_ms < s->failed_ms + FAILURE_WINDOW_MS)
        s->suspended = true;
    s->failed_before = true;
    s->failed_ms = s->loop->now_ms;
    *wait = s->suspended;
    return SPOOL_BROKEN;
}

/* ---- messages ---- */

static void on_refusing(struct timer *timer)
{
    struct store *s = container_of(timer, struct store, refusing);
    struct list *l;

    for (unsigned t = 0; t < SPOOL_TROUBLES; t++) {
        while ((l = list_take_first(&s->refused[t])) != NULL) {
            struct store_commit *c = container_of(l, struct store_commit, link);

            c->done(c, (enum spool_trouble)t);
        }
    }
}

/* Never at once: the caller is not ready for `done` inside store_accept. */
static void refuse(struct store *s, struct store_commit *c, enum spool_trouble trouble)
{
    list_append(&s->refused[trouble], &c->link);
    loop_start_timer(s->loop, &s->refusing, 0);
}

static void note_settled(struct store *s, const struct store_commit *c)
{
    uint64_t segment = s->journal.current->number;
    uint64_t batch = s->journal.filling->number;

    if (c->about == 0)
        return;
    for (size_t i = 0; i < c->settle_count; i++)
        ledger_note(&s->ledger, c->about, c->settles[i], segment, batch);
    if (c->settle_count == 0)
        ledger_note(&s->ledger, c->about, LEDGER_NOTICE, segment, batch);
}

static void place_message(struct store *s, struct store_commit *c)
{
    const struct record_message m = { .body_bytes = c->body_bytes,
                                      .body_crc = c->body_crc,
                                      .big = c->big_fd >= 0,
                                      .file = c->big_file,
                                      .about = c->about,
                                      .settles = c->settles,
                                      .settle_count = c->settle_count };
    struct buf line = BUF_ON_ARRAY(s->line);
    struct journal_entry e = { .type = RECORD_MESSAGE, .text = c->envelope, .body = c->body };

    if (!record_put_message(&line, &m)) {
        refuse(s, c, SPOOL_INVALID);
        return;
    }
    e.line = buf_view(&line);
    if (!journal_append(&s->journal, &e)) {
        refuse(s, c, SPOOL_INVALID);
        return;
    }
    c->id = e.id;
    c->where = e.where;
    if (m.big)
        c->where.place |= PLACE_BIG;
    list_append(&s->journal.filling->commits, &c->link);
    note_settled(s, c);
}

struct big_commit {
    struct store *store;
    struct store_commit *commit;
};

static void on_body_synced(void *arg, int error)
{
    struct big_commit *big = arg;
    struct store *s = big->store;
    struct store_commit *c = big->commit;

    free(big);
    if (error == 0) {
        place_message(s, c);
        return;
    }
    log_error("body_not_synced", LOG_ID("body", c->big_file), LOG_ERRNO("error", -error));
    if (error == -EBADMSG)
        refuse(s, c, SPOOL_INVALID);
    else
        refuse(s, c, error == -ENOSPC || error == -EDQUOT ? SPOOL_FULL : SPOOL_BROKEN);
}

static bool body_fits(const struct store_commit *c)
{
    if (c->big_fd >= 0)
        return c->body.len == 0;
    return c->body.len == c->body_bytes && crc32c(0, c->body) == c->body_crc;
}

void store_accept(struct store *s, struct store_commit *c)
{
    struct big_commit *big;

    assert(!s->options.read_only);
    c->id = 0;
    c->where = (struct store_ref){ 0 };
    if (s->suspended || s->stuck) {
        refuse(s, c, trouble_of(s));
        return;
    }
    if (!body_fits(c)) {
        refuse(s, c, SPOOL_INVALID);
        return;
    }
    if (c->big_fd < 0) {
        place_message(s, c);
        return;
    }
    big = memory_new(sizeof(*big));
    *big = (struct big_commit){ s, c };
    bodies_sync(&s->bodies, c->big_fd, c->big_file, c->body_bytes, on_body_synced, big);
}

/* ---- what happens to them ---- */

void store_settle(struct store *s, const struct store_outcome *o, struct store_ref *where)
{
    struct buf line = BUF_ON_ARRAY(s->line);
    struct journal_entry e = { .type = RECORD_OUTCOME, .id = o->message };
    bool placed;

    assert(!s->options.read_only);
    if (o->text.len <= OUTCOME_TEXT_ROOM)
        e.text = o->text;
    placed = record_put_outcome(&line, o);
    e.line = buf_view(&line);
    placed = placed && journal_append(&s->journal, &e);
    assert(placed); /* the line has room for every recipient */
    for (size_t i = 0; i < o->rcpt_count; i++)
        ledger_note(&s->ledger, o->message, o->rcpts[i], s->journal.current->number,
                    s->journal.filling->number);
    if (where != NULL)
        *where = e.where;
}

void store_change(struct store *s, const struct store_change *c)
{
    struct buf line = BUF_ON_ARRAY(s->line);
    struct journal_entry e = { .type = RECORD_CHANGE, .id = c->message };
    bool placed;

    assert(!s->options.read_only);
    if (c->who.len <= OUTCOME_TEXT_ROOM)
        e.text = c->who;
    placed = record_put_change(&line, c);
    e.line = buf_view(&line);
    placed = placed && journal_append(&s->journal, &e);
    assert(placed);
    ledger_note(&s->ledger, c->message, c->kind == STORE_NOTICED ? LEDGER_NOTICE : LEDGER_CHANGE,
                s->journal.current->number, s->journal.filling->number);
}

static void append_finish(struct store *s, uint64_t id)
{
    struct journal_entry e = { .type = RECORD_FINISH, .id = id };
    bool placed = journal_append(&s->journal, &e);

    assert(placed);
}

static int read_message_line(struct store *s, uint64_t id, struct store_ref where,
                             struct record_message *m);

void store_finish(struct store *s, uint64_t id, struct store_ref where)
{
    uint64_t home = record_segment(where.place & ~PLACE_BIG);
    struct record_message m;

    assert(!s->options.read_only);
    append_finish(s, id);
    if ((where.place & PLACE_BIG) && read_message_line(s, id, where, &m) == 0 && m.big)
        journal_remove_later(&s->journal, m.file);
    ledger_finish(&s->ledger, id, home, s->journal.current->number, s->journal.filling->number);
    s->live_messages--;
    s->live_bytes -= where.bytes;
}

void store_flush(struct store *s)
{
    journal_flush(&s->journal);
}

/* ---- after a failure ---- */

static void remember_move(struct store *s, uint64_t from, struct store_ref to)
{
    struct moved *m = memory_new(sizeof(*m));

    m->where = to;
    table_add_number(&s->moved, &m->entry, from);
}

static void settle_again(struct store *s, const struct record *r, uint64_t place)
{
    struct store_outcome o;
    struct store_ref where;

    if (!record_get_outcome(r, s->rcpts, &o))
        return;
    store_settle(s, &o, &where);
    remember_move(s, place, where);
}

static void on_again(struct journal_owner *o, const struct record *r, uint64_t place)
{
    struct store *s = container_of(o, struct store, owner);
    struct store_change c;

    if (r->type == RECORD_OUTCOME)
        settle_again(s, r, place);
    else if (r->type == RECORD_CHANGE && record_get_change(r, &c))
        store_change(s, &c);
    else if (r->type == RECORD_FINISH) {
        append_finish(s, r->id);
        ledger_tie(&s->ledger, s->journal.current->number, record_segment(r->id));
    }
}

/* ---- large bodies ---- */

int store_create_body(struct store *s, uint64_t *big_file)
{
    assert(!s->options.read_only);
    return s->low || s->stuck ? -ENOSPC : bodies_create(&s->bodies, big_file);
}

void store_remove_body(struct store *s, uint64_t big_file)
{
    bodies_remove(&s->bodies, big_file);
}

/* ---- reading ---- */

static int open_reader(struct store *s, struct segment *segment)
{
    char name[SHELF_NAME];
    struct segment *old;

    if (segment->fd >= 0)
        return segment->fd;
    segment_name(segment->number, name);
    old = ledger_find(&s->ledger, s->readers[s->next_reader]);
    if (old != NULL)
        close_reader(s, old);
    segment->fd = openat(s->spool.log, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (segment->fd < 0)
        return -errno;
    s->readers[s->next_reader] = segment->number;
    s->next_reader = (s->next_reader + 1) % READERS;
    return segment->fd;
}

/* `count` bytes from the front of the record, or fewer at the end of the file; memory_new'd. */
static int read_front(struct store *s, uint64_t place, size_t count, struct view *bytes,
                      uint32_t *seed)
{
    struct segment *segment = ledger_find(&s->ledger, record_segment(place));
    int fd = segment == NULL ? -ENOENT : open_reader(s, segment);
    char *room;
    ssize_t got;
    bool broken;

    if (fd < 0)
        return fd;
    *seed = segment->seed;
    room = memory_new(count);
    got = file_read_all(fd, room, count, record_offset(place), &broken);
    if (got < 0) {
        free(room);
        return (int)got;
    }
    *bytes = view_make(room, (size_t)got);
    return 0;
}

static void free_view(struct view v)
{
    union {
        const char *ptr;
        void *memory;
    } u = { v.ptr };

    free(u.memory);
}

static int report(struct store *s, uint64_t id, uint64_t place, struct view bytes)
{
    char file[SHELF_NAME], copy[64];
    uint64_t segment = record_segment(place), offset = record_offset(place);

    segment_name(segment, file);
    s->damaged++;
    log_error("record_damaged", LOG_STRING("file", file), LOG_U64("offset", offset),
              LOG_U64("size_bytes", bytes.len), LOG_ID("message", id));
    snprintf(copy, sizeof(copy), "%012llx-%07llx.damaged", (unsigned long long)segment,
             (unsigned long long)offset);
    spool_set_aside(&s->spool, copy, bytes);
    return -EBADMSG;
}

static bool is_message(const struct record *r, uint64_t id)
{
    return (r->type == RECORD_MESSAGE || r->type == RECORD_COPY) && r->id == id;
}

static bool verify(struct store *s, struct view bytes, uint32_t seed, uint64_t id, bool with_body,
                   struct record *r, struct record_message *m)
{
    if (!(with_body ? record_read(bytes, seed, r) : record_read_front(bytes, seed, r)))
        return false;
    return is_message(r, id) && record_get_message(r->meta, s->rcpts, m) &&
           (!with_body || record_body_whole(r));
}

/* How much to read for the meta: all that may be there, when the front shows a longer one. */
static size_t front_of(struct store_ref where, bool with_body)
{
    return with_body ? where.bytes : MIN(where.bytes, FRONT_BYTES);
}

static int read_message(struct store *s, uint64_t id, struct store_ref where, bool with_body,
                        struct view *bytes, struct record_message *m, struct record *r)
{
    uint64_t place = where.place & ~PLACE_BIG;
    size_t count = front_of(where, with_body);
    uint32_t seed;
    int err = read_front(s, place, count, bytes, &seed);

    if (err < 0)
        return err;
    if (verify(s, *bytes, seed, id, with_body, r, m))
        return 0;
    if (count < where.bytes) {
        free_view(*bytes);
        err = read_front(s, place, where.bytes, bytes, &seed);
        if (err < 0)
            return err;
        if (verify(s, *bytes, seed, id, with_body, r, m))
            return 0;
    }
    err = report(s, id, place, *bytes);
    free_view(*bytes);
    return err;
}

static int read_message_line(struct store *s, uint64_t id, struct store_ref where,
                             struct record_message *m)
{
    struct record r;
    struct view bytes;
    int err = read_message(s, id, where, false, &bytes, m, &r);

    if (err == 0)
        free_view(bytes);
    return err;
}

int store_read(struct store *s, uint64_t id, struct store_ref where, bool with_body,
               struct store_message *out)
{
    struct record_message m;
    struct record r;
    struct view bytes;
    int err = read_message(s, id, where, with_body, &bytes, &m, &r);

    if (err < 0)
        return err;
    *out = (struct store_message){
        .envelope = m.envelope, .big_fd = -1, .body_bytes = m.body_bytes, .body_crc = m.body_crc
    };
    if (with_body && m.big) {
        out->big_fd = bodies_read(&s->spool, m.file, m.body_bytes);
        err = MIN(out->big_fd, 0);
    } else if (with_body) {
        out->body = r.body;
    }
    if (err == -EBADMSG)
        err = report(s, id, where.place & ~PLACE_BIG, bytes);
    if (err < 0) {
        free_view(bytes);
        return err;
    }
    out->memory = (char *)(uintptr_t)bytes.ptr;
    return 0;
}

void store_message_release(struct store_message *m)
{
    if (m->big_fd >= 0)
        close(m->big_fd);
    free(m->memory);
    *m = (struct store_message){ .big_fd = -1 };
}

static bool copy_outcome(const struct store_outcome *from, struct arena *arena,
                         struct store_outcome *out)
{
    uint32_t *rcpts = arena_alloc(arena, MAX(from->rcpt_count, 1) * sizeof(*rcpts));

    if (rcpts == NULL)
        return false;
    memcpy(rcpts, from->rcpts, from->rcpt_count * sizeof(*rcpts));
    *out = *from;
    out->rcpts = rcpts;
    return arena_copy(arena, from->text, &out->text);
}

/* What the outcome is in a D, or in the M of a notice. */
static bool outcome_of(struct store *s, const struct record *r, struct store_outcome *o)
{
    struct record_message m;

    if (r->type != RECORD_MESSAGE)
        return record_get_outcome(r, s->rcpts, o);
    if (!record_get_message(r->meta, s->rcpts, &m))
        return false;
    *o = (struct store_outcome){
        .message = m.about, .rcpts = m.settles, .rcpt_count = m.settle_count, .state = STORE_FAILED
    };
    return true;
}

static struct store_ref follow_moves(const struct store *s, struct store_ref where)
{
    struct table_entry *e;

    while ((e = table_find_number(&s->moved, where.place)) != NULL)
        where = container_of(e, struct moved, entry)->where;
    return where;
}

int store_read_outcome(struct store *s, struct store_ref where, struct arena *arena,
                       struct store_outcome *out)
{
    struct store_outcome o;
    struct record r;
    struct view bytes;
    uint32_t seed;
    int err;

    where = follow_moves(s, where);
    err = read_front(s, where.place, where.bytes, &bytes, &seed);
    if (err < 0)
        return err;
    if (!record_read_front(bytes, seed, &r) || !outcome_of(s, &r, &o))
        err = report(s, 0, where.place, bytes);
    else if (!copy_outcome(&o, arena, out))
        err = -ENOMEM;
    free_view(bytes);
    return err;
}

/* ---- life ---- */

static int check_options(const struct store_options *o, struct error *err)
{
    if (o->read_only)
        return 0;
    if (o->segment_bytes < SEGMENT_LEAST || o->segment_bytes > SEGMENT_MOST ||
        o->segment_bytes % BATCH_BLOCK != 0)
        return error_set(err, -EINVAL, "a segment of the spool must have 1 MiB to 64 MiB");
    if (o->big_body_bytes + RECORD_SLACK > MIN(o->segment_bytes, (uint64_t)BATCH_BYTES))
        return error_set(
            err, -EINVAL,
            "large bodies of the spool must begin at %llu bytes or less, with "
            "segments of that size",
            (unsigned long long)(MIN(o->segment_bytes, (uint64_t)BATCH_BYTES) - RECORD_SLACK));
    return 0;
}

/* The first write shows whether the spool can be written at all. */
static int try_journal(struct store *s, struct error *err)
{
    probe(s);
    journal_finish(&s->journal);
    if (s->failures == 0 && !s->stuck)
        return 0;
    return error_set(err, -EIO, "cannot write to the log of the spool");
}

static int open_writing(struct store *s, const struct recovery *r, struct error *err)
{
    struct loop *l = s->loop;
    int result = spool_settle_format(&s->spool, err);

    if (result < 0)
        return result;
    bodies_sweep(&s->spool, &r->bodies, r->damaged > 0);
    result = shelf_open(&s->shelf, &s->spool, s->options.segment_bytes, l);
    if (result == 0)
        result = bodies_open(&s->bodies, &s->spool, l);
    if (result == 0)
        result = journal_open(&s->journal, &s->owner, l, &s->shelf, &s->ledger,
                              view_make(s->spool.uuid, SPOOL_UUID_LEN));
    if (result < 0)
        return error_set(err, result, "cannot open the spool: %s", strerror(-result));
    s->journal.highest = r->highest;
    s->journal.next_batch = r->next_batch;
    journal_resume(&s->journal, r->current, r->fd, r->tail);
    look_at_space(s);
    poll_now(s);
    return r->current == NULL ? try_journal(s, err) : 0;
}

static int open_spool(struct store *s, struct store_replay *replay, struct error *err)
{
    struct recovery r = { .spool = &s->spool, .ledger = &s->ledger, .replay = replay };
    int result = spool_open(&s->spool, s->options.path, s->options.read_only, err);

    if (result < 0)
        return result;
    result = recover(&r, err);
    s->live_messages = r.live_messages;
    s->live_bytes = r.live_bytes;
    s->damaged = r.damaged;
    if (result == 0 && !s->options.read_only)
        result = open_writing(s, &r, err);
    idset_release(&r.bodies);
    return result;
}

static void forget_moves(struct store *s)
{
    struct table_entry *e = table_next(&s->moved, NULL);

    while (e != NULL) {
        struct table_entry *next = table_next(&s->moved, e);

        table_remove(&s->moved, e);
        free(container_of(e, struct moved, entry));
        e = next;
    }
    table_release(&s->moved);
}

int store_open(struct store **out, const struct store_options *o, struct loop *l,
               struct store_replay *replay, struct store_watcher *watcher, struct error *err)
{
    struct store *s;
    int result = check_options(o, err);

    if (result < 0)
        return result;
    s = memory_new(sizeof(*s));
    s->options = *o;
    s->loop = l;
    s->watcher = watcher;
    s->poll.fire = on_poll;
    s->refusing.fire = on_refusing;
    s->owner = (struct journal_owner){ on_batch_written, on_batch_failed, on_again };
    for (size_t i = 0; i < SPOOL_TROUBLES; i++)
        list_init(&s->refused[i]);
    table_init(&s->moved, false);
    result = open_spool(s, replay, err);
    if (result == 0) {
        *out = s;
        return 0;
    }
    forget_moves(s);
    free(s); /* what else it holds is the process's, which ends now */
    return result;
}

int store_start(struct store *s, struct error *err)
{
    int result = journal_start(&s->journal);

    if (result == 0)
        result = shelf_start(&s->shelf);
    if (result == 0)
        result = bodies_start(&s->bodies);
    if (result < 0)
        return error_set(err, result, "cannot start a thread: %s", strerror(-result));
    return 0;
}

bool store_idle(const struct store *s)
{
    for (size_t i = 0; i < SPOOL_TROUBLES; i++) {
        if (!list_empty(&s->refused[i]))
            return false;
    }
    return s->options.read_only || (journal_idle(&s->journal) && !workers_busy(&s->bodies.pool));
}

/* Ends with a record of a batch of its own, so that whatever is broken before it at the next start
 * is known to be damage and not a torn end. */
static void close_writing(struct store *s)
{
    workers_finish(&s->bodies.pool);
    journal_finish(&s->journal);
    if (s->journal.records > 0)
        probe(s);
    journal_close(&s->journal);
    bodies_close(&s->bodies);
    shelf_close(&s->shelf);
    loop_stop_timer(s->loop, &s->poll);
}

void store_close(struct store **store)
{
    struct store *s = *store;

    if (s == NULL)
        return;
    if (!s->options.read_only)
        close_writing(s);
    on_refusing(&s->refusing);
    loop_stop_timer(s->loop, &s->refusing);
    for (size_t i = 0; i < s->ledger.count; i++)
        close_reader(s, s->ledger.segments[i]);
    ledger_release(&s->ledger);
    forget_moves(s);
    spool_close(&s->spool);
    free(s);
    *store = NULL;
}

/* ---- numbers ---- */

void store_count(const struct store *s, struct store_numbers *out)
{
    *out = (struct store_numbers){ .segments = s->ledger.count,
                                   .live_messages = s->live_messages,
                                   .live_bytes = s->live_bytes,
                                   .free_bytes = s->free_bytes,
                                   .batches = s->journal.batches,
                                   .records = s->journal.records,
                                   .syncs_failed = s->failures,
                                   .damaged = s->damaged,
                                   .trouble = trouble_of(s) };
    for (size_t i = 0; i < s->ledger.count; i++)
        out->disk_bytes += s->ledger.segments[i]->bytes;
}
