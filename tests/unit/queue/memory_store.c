#include "tests/unit/queue/memory_store.h"

#include "common/crc32c.h"
#include "common/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EVENTS_MAX = 400000, RCPTS_MAX = 1000 };

struct store {
    struct store_watcher *watcher;
    struct store_replay *replay;
    unsigned round, next, last; /* of the replay: messages, then the rest */
    struct list waiting;        /* commits of this turn */
};

enum event_kind { EVENT_MESSAGE, EVENT_OUTCOME, EVENT_CHANGE, EVENT_MOVED };

struct event {
    enum event_kind kind;
    uint64_t id;
    bool finished;
    char *envelope, *body, *text;
    size_t envelope_len, body_len, text_len;
    int big_fd; /* -1: small */
    uint64_t body_bytes;
    uint32_t body_crc;
    struct store_outcome outcome;
    uint32_t *rcpts;
    struct store_change change;
};

struct memory_store_facts memory_store;
static struct event events[EVENTS_MAX];
static unsigned event_count;
static uint64_t next_file = 1;
static struct store_watcher *last_watcher;

static struct event *add_event(enum event_kind kind, uint64_t id)
{
    struct event *e = &events[event_count++];

    if (event_count == EVENTS_MAX)
        abort();
    *e = (struct event){ .kind = kind, .id = id, .big_fd = -1 };
    return e;
}

void memory_store_forget(void)
{
    for (unsigned i = 0; i < event_count; i++) {
        free(events[i].envelope);
        free(events[i].body);
        free(events[i].text);
        free(events[i].rcpts);
        if (events[i].big_fd >= 0)
            close(events[i].big_fd);
    }
    event_count = 0;
    memory_store = (struct memory_store_facts){ .trouble = SPOOL_FINE };
}

static struct event *message_of(uint64_t id)
{
    uint64_t first = (id >> 20) - 1; /* where `keep` put it */

    if (first < event_count && events[first].kind == EVENT_MESSAGE && events[first].id == id)
        return &events[first];
    for (unsigned i = 0; i < event_count; i++) {
        if (events[i].kind == EVENT_MESSAGE && events[i].id == id)
            return &events[i];
    }
    return NULL;
}

static struct store_ref place_of(const struct event *e)
{
    size_t bytes = e->kind == EVENT_MESSAGE ? e->envelope_len + e->body_len : 0;

    return (struct store_ref){ (uint64_t)(e - events) + 1, (uint32_t)bytes + 1 };
}

static void replay_event(struct store_replay *r, unsigned i)
{
    const struct event *e = &events[i];
    const struct event *m = message_of(e->id);
    struct store_ref where = place_of(e);

    if (m == NULL || m->finished)
        return;
    switch (e->kind) {
    case EVENT_MESSAGE:
        r->message(r, e->id, where, view_make(e->envelope, e->envelope_len), e->body_bytes);
        break;
    case EVENT_OUTCOME:
        r->outcome(r, &e->outcome, where);
        break;
    case EVENT_CHANGE:
        r->change(r, &e->change);
        break;
    case EVENT_MOVED:
        break;
    }
}

uint64_t store_replay_rest_ms(const struct store *s)
{
    (void)s;
    return 0;
}

bool store_replay(struct store *s, unsigned records)
{
    records = memory_store.slow ? 1 : records;
    for (; s->round < 2 && records > 0; s->round++, s->next = 0) {
        for (; s->next < s->last && records > 0; s->next++, records--) {
            if ((events[s->next].kind == EVENT_MESSAGE) == (s->round == 0))
                replay_event(s->replay, s->next);
        }
        if (s->next < s->last)
            return true;
    }
    return s->round < 2;
}

static void move_event(unsigned i)
{
    enum event_kind kind = events[i].kind;
    struct event *to = add_event(kind, events[i].id);
    struct store_ref where = { event_count, 1 };

    *to = events[i];
    events[i] = (struct event){ .kind = EVENT_MOVED, .big_fd = -1 };
    if (kind == EVENT_MESSAGE)
        last_watcher->moved(last_watcher, to->id, where);
    else
        last_watcher->outcome_moved(last_watcher, to->id, i + 1, where);
}

void memory_store_move(void)
{
    unsigned count = event_count;

    for (unsigned i = 0; i < count; i++) {
        const struct event *m = message_of(events[i].id);

        if (m == NULL || m->finished)
            continue;
        if (last_watcher->find(last_watcher, m->id).place != (uint64_t)(m - events) + 1)
            abort();
        if (events[i].kind == EVENT_MESSAGE || events[i].kind == EVENT_OUTCOME)
            move_event(i);
    }
}

int store_open(struct store **s, const struct store_options *o, struct loop *l,
               struct store_replay *replay, struct store_watcher *watcher, struct error *err)
{
    (void)o;
    (void)l;
    (void)err;
    *s = memory_new(sizeof(**s));
    (*s)->watcher = last_watcher = watcher;
    (*s)->replay = replay;
    (*s)->last = event_count;
    list_init(&(*s)->waiting);
    watcher->state(watcher, SPOOL_FINE, 1 << 30);
    return 0;
}

int store_start(struct store *s, struct error *err)
{
    (void)s;
    (void)err;
    return 0;
}

bool store_idle(const struct store *s)
{
    return list_empty(&s->waiting);
}

bool store_is_behind(const struct store *s)
{
    (void)s;
    return memory_store.behind;
}

bool store_last_clock(const struct store *s, struct store_clock *out)
{
    (void)s;
    *out = memory_store.clock;
    return memory_store.clock.queue_ms > 0;
}

void store_note_clock(struct store *s, const struct store_clock *c)
{
    (void)s;
    if (!memory_store.dies)
        memory_store.clock = *c;
}

void store_close(struct store **s)
{
    free(*s);
    *s = NULL;
}

void store_accept(struct store *s, struct store_commit *c)
{
    list_append(&s->waiting, &c->link);
}

static void keep(struct store_commit *c)
{
    struct event *e = add_event(EVENT_MESSAGE, (uint64_t)(event_count + 1) << 20);

    e->envelope = memory_copy(c->envelope);
    e->envelope_len = c->envelope.len;
    e->body = memory_copy(c->body);
    e->body_len = c->body.len;
    e->big_fd = c->big_fd >= 0 ? fcntl(c->big_fd, F_DUPFD_CLOEXEC, 0) : -1;
    e->body_bytes = c->body_bytes;
    e->body_crc = c->body_crc;
    c->id = e->id;
    c->where = place_of(e);
    memory_store.accepted++;
    memory_store.live++;
}

static void settle_about(const struct store_commit *c)
{
    const struct store_outcome o = {
        .message = c->about,
        .rcpts = c->settles,
        .rcpt_count = c->settle_count,
        .state = STORE_FAILED,
    };
    const struct store_change noticed = { .message = c->about, .kind = STORE_NOTICED };

    if (c->about == 0)
        return;
    if (c->settle_count == 0) {
        store_change(NULL, &noticed);
        return;
    }
    store_settle(NULL, &o, NULL);
    memory_store.settled[STORE_FAILED] -= (unsigned)c->settle_count;
    memory_store.settled_by_notice += (unsigned)c->settle_count;
}

static bool is_sound(const struct store_commit *c)
{
    struct stat facts;

    if (c->big_fd < 0)
        return c->body.len == c->body_bytes && crc32c(0, c->body) == c->body_crc;
    return c->body.len == 0 && fstat(c->big_fd, &facts) == 0 &&
           (uint64_t)facts.st_size == c->body_bytes;
}

void store_flush(struct store *s)
{
    struct list done;
    struct list *it;

    list_init(&done);
    while ((it = list_take_first(&s->waiting)) != NULL)
        list_append(&done, it);
    while ((it = list_take_first(&done)) != NULL) {
        struct store_commit *c = container_of(it, struct store_commit, link);
        enum spool_trouble trouble = memory_store.spared > 0 ? SPOOL_FINE : memory_store.trouble;

        memory_store.spared -= memory_store.spared > 0;
        if (trouble == SPOOL_FINE && !is_sound(c)) {
            c->done(c, SPOOL_INVALID);
            continue;
        }
        if (trouble == SPOOL_FINE) {
            keep(c);
            settle_about(c);
        }
        c->done(c, trouble);
    }
}

void store_settle(struct store *s, const struct store_outcome *o, struct store_ref *where)
{
    struct event *e = add_event(EVENT_OUTCOME, o->message);

    (void)s;
    e->rcpts = memory_new_array(o->rcpt_count, sizeof(*e->rcpts));
    memcpy(e->rcpts, o->rcpts, o->rcpt_count * sizeof(*e->rcpts));
    e->text = memory_copy(o->text);
    e->text_len = o->text.len;
    e->outcome = *o;
    e->outcome.rcpts = e->rcpts;
    e->outcome.text = view_make(e->text, e->text_len);
    memory_store.settled[o->state] += (unsigned)o->rcpt_count;
    if (o->state == STORE_DEFERRED)
        memory_store.next_ms = o->next_ms;
    if (where != NULL)
        *where = (struct store_ref){ event_count, 1 };
}

void store_change(struct store *s, const struct store_change *c)
{
    struct event *e = add_event(EVENT_CHANGE, c->message);

    (void)s;
    e->text = memory_copy(c->who);
    e->text_len = c->who.len;
    e->change = *c;
    e->change.who = view_make(e->text, e->text_len);
    memory_store.changes[c->kind]++;
}

void memory_store_lose(enum store_change_kind kind)
{
    for (unsigned i = event_count; i > 0; i--) {
        struct event *e = &events[i - 1];

        if (e->kind == EVENT_CHANGE && e->change.kind == kind) {
            e->kind = EVENT_MOVED;
            return;
        }
    }
    abort();
}

void store_finish(struct store *s, uint64_t id, struct store_ref where)
{
    struct event *e = message_of(id);

    (void)s;
    if (e == NULL || e->finished || where.place != (uint64_t)(e - events) + 1)
        abort();
    e->finished = true;
    memory_store.finished++;
    memory_store.live--;
}

int store_create_body(struct store *s, uint64_t *big_file)
{
    int fd = memfd_create("body", MFD_CLOEXEC);

    (void)s;
    *big_file = next_file++;
    return fd < 0 ? -errno : fd;
}

void store_remove_body(struct store *s, uint64_t big_file)
{
    (void)s;
    (void)big_file;
}

static int file_with(struct view bytes)
{
    int fd = memfd_create("body", MFD_CLOEXEC);

    if (fd < 0 || write(fd, bytes.ptr, bytes.len) != (ssize_t)bytes.len)
        abort();
    return fd;
}

int store_read(struct store *s, uint64_t id, struct store_ref where, bool with_body,
               struct store_message *out)
{
    const struct event *e = message_of(id);

    (void)s;
    if (memory_store.damaged)
        return -EBADMSG;
    if (memory_store.unreadable != 0)
        return -memory_store.unreadable;
    if (e == NULL || where.place != (uint64_t)(e - events) + 1)
        return -ENOENT;
    memory_store.reads += with_body;
    *out = (struct store_message){ .big_fd = -1,
                                   .body_bytes = e->body_bytes,
                                   .body_crc = e->body_crc };
    out->memory = memory_new(e->envelope_len + e->body_len);
    memcpy(out->memory, e->envelope, e->envelope_len);
    memcpy(out->memory + e->envelope_len, e->body, e->body_len);
    out->envelope = view_make(out->memory, e->envelope_len);
    if (with_body && e->big_fd >= 0)
        out->big_fd = fcntl(e->big_fd, F_DUPFD_CLOEXEC, 0);
    else if (with_body && memory_store.in_files)
        out->big_fd = file_with(view_make(e->body, e->body_len));
    else if (with_body)
        out->body = view_make(out->memory + e->envelope_len, e->body_len);
    return 0;
}

void store_message_release(struct store_message *m)
{
    if (m->big_fd >= 0 && close(m->big_fd) < 0)
        abort(); /* somebody else closed what may be another's by now */
    free(m->memory);
    *m = (struct store_message){ .big_fd = -1 };
}

int store_read_outcome(struct store *s, struct store_ref where, struct arena *arena,
                       struct store_outcome *out)
{
    const struct event *e = &events[where.place - 1];

    (void)s;
    if (memory_store.outcomes_lost)
        return -EIO;
    *out = e->outcome;
    return arena_copy(arena, e->outcome.text, &out->text) ? 0 : -ENOMEM;
}

void store_count(const struct store *s, struct store_numbers *out)
{
    (void)s;
    *out = memory_store.numbers;
    out->live_messages = memory_store.live;
}
