#include "tests/unit/queue/storebox.h"
#include "tests/unit/queue/conformance.h"
#include "tests/unit/unit.h"

#include "common/crc32c.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct storebox storebox;

static char bytes[BODY_ROOM];

/* ---- the replay ---- */

struct told *storebox_find(uint64_t id)
{
    for (size_t i = 0; i < storebox.told_count; i++) {
        if (storebox.told[i].id == id)
            return &storebox.told[i];
    }
    return NULL;
}

struct told *storebox_must_find(uint64_t id)
{
    struct told *t = storebox_find(id);

    if (t == NULL) {
        print_error("a message was not told, though something happens to it\n");
        abort();
    }
    return t;
}

const char *storebox_story(uint64_t id)
{
    struct told *t = storebox_find(id);

    if (t == NULL)
        return "not told";
    t->room[buf_len(&t->story)] = '\0';
    return t->room;
}

static void on_message(struct store_replay *r, uint64_t id, struct store_ref where,
                       struct view envelope, uint64_t body_bytes)
{
    struct told *t = &storebox.told[storebox.told_count];

    (void)r;
    assert_true(storebox.told_count < TOLD_MOST && id != 0 && where.place != 0);
    assert_null(storebox_find(id));
    storebox.told_count++;
    t->id = id;
    t->where = where;
    t->story = buf_on(t->room, STORY_ROOM - 1);
    buf_printf(&t->story, "%.*s:%llu", VIEW_ARG(envelope), (unsigned long long)body_bytes);
}

static void on_outcome(struct store_replay *r, const struct store_outcome *o,
                       struct store_ref where)
{
    static const char *const names[STORE_STATES] = { "deferred", "delivered", "failed" };
    struct told *t = storebox_must_find(o->message);

    (void)r;
    t->last_outcome = where;
    buf_printf(&t->story, " %s", names[o->state]);
    for (size_t i = 0; i < o->rcpt_count; i++)
        buf_printf(&t->story, ",%u", o->rcpts[i]);
}

static void on_change(struct store_replay *r, const struct store_change *c)
{
    static const char *const names[STORE_CHANGES] = { "hold", "release", "noticed", "deleted" };
    struct told *t = storebox_must_find(c->message);

    (void)r;
    buf_printf(&t->story, " %s", names[c->kind]);
    if (c->who.len > 0)
        buf_printf(&t->story, ",%.*s,%llu", VIEW_ARG(c->who), (unsigned long long)c->at_ms);
}

static void on_state(struct store_watcher *w, enum spool_trouble trouble, uint64_t room_bytes)
{
    (void)w, (void)room_bytes;
    storebox.states++;
    storebox.trouble = trouble;
}

/* ---- life ---- */

void storebox_open(bool read_only)
{
    struct error err = { "" };

    storebox.told_count = 0;
    storebox.states = 0;
    storebox.options.read_only = read_only;
    if (store_open(&storebox.store, &storebox.options, &storebox.loop, &storebox.replay,
                   &storebox.watcher, &err) < 0)
        fail_msg("%s", err.text);
    if (!read_only && store_start(storebox.store, &err) < 0)
        fail_msg("%s", err.text);
}

void storebox_tell_all(void)
{
    while (store_replay(storebox.store, 3))
        continue;
}

void storebox_settle(void)
{
    store_flush(storebox.store);
    while (!store_idle(storebox.store)) {
        assert_int_equal(loop_turn(&storebox.loop, 10), 0);
        store_flush(storebox.store);
    }
}

void storebox_begin(void)
{
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)('a' + i * 7 % 26);
    storebox.replay = (struct store_replay){ on_message, on_outcome, on_change };
    storebox.watcher = (struct store_watcher){ .state = on_state };
    assert_int_equal(loop_init(&storebox.loop), 0);
    conformance.make(&storebox.options);
    storebox_open(false);
    storebox_tell_all();
    check("nothing is there", storebox.told_count == 0);
}

void storebox_restart(void)
{
    store_close(&storebox.store);
    storebox_open(false);
    storebox_tell_all();
}

void storebox_end(void)
{
    store_close(&storebox.store);
    conformance.remove(&storebox.options);
    loop_release(&storebox.loop);
}

/* ---- messages ---- */

static void on_done(struct store_commit *c, enum spool_trouble trouble)
{
    struct letter *l = container_of(c, struct letter, commit);

    l->answers++;
    l->trouble = trouble;
}

void letter_write(struct letter *l, const char *envelope, size_t body_bytes)
{
    *l = (struct letter){ .commit = { .envelope = view_of(envelope),
                                      .body = view_make(bytes, body_bytes),
                                      .big_fd = -1,
                                      .body_bytes = body_bytes,
                                      .body_crc = crc32c(0, view_make(bytes, body_bytes)),
                                      .done = on_done } };
}

void letter_write_large(struct letter *l, const char *envelope, size_t body_bytes)
{
    letter_write(l, envelope, body_bytes);
    l->commit.body = VIEW_EMPTY;
    l->commit.big_fd = store_create_body(storebox.store, &l->commit.big_file);
    check("a file is made", l->commit.big_fd >= 0);
    check("and written", write(l->commit.big_fd, bytes, body_bytes) == (ssize_t)body_bytes);
}

void letter_send(struct letter *l)
{
    store_accept(storebox.store, &l->commit);
    check("not answered inside the call", l->answers == 0);
    storebox_settle();
    check("answered once", l->answers == 1);
}

void letter_post(struct letter *l, const char *envelope, size_t body_bytes)
{
    letter_write(l, envelope, body_bytes);
    letter_send(l);
    check("taken", l->trouble == SPOOL_FINE && l->commit.id != 0 && l->commit.where.place != 0);
}

static bool file_holds(int fd, size_t body_bytes)
{
    static char back[BODY_ROOM];

    return pread(fd, back, sizeof(back), 0) == (ssize_t)body_bytes &&
           memcmp(back, bytes, body_bytes) == 0;
}

bool letter_reads_back(const struct letter *l, struct store_ref where)
{
    const struct store_commit *c = &l->commit;
    bool large = c->big_fd >= 0, same;
    struct store_message m;

    if (store_read(storebox.store, c->id, where, true, &m) < 0)
        return false;
    same = view_equal(m.envelope, c->envelope) && view_equal(m.body, c->body) &&
           m.body_bytes == c->body_bytes && m.body_crc == c->body_crc &&
           (large ? m.big_fd >= 0 && file_holds(m.big_fd, c->body_bytes) : m.big_fd == -1);
    store_message_release(&m);
    return same;
}

bool letter_envelope_reads_back(const struct letter *l, struct store_ref where)
{
    struct store_message m;
    bool same;

    if (store_read(storebox.store, l->commit.id, where, false, &m) < 0)
        return false;
    same = view_equal(m.envelope, l->commit.envelope) && m.body.len == 0 && m.big_fd == -1;
    store_message_release(&m);
    return same;
}
