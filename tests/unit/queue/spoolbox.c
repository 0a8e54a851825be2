#include "tests/unit/queue/spoolbox.h"

#include "common/crc32c.h"
#include "common/memory.h"
#include "queue/record.h"
#include "tests/unit/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *walk)
{
    (void)facts, (void)kind, (void)walk;
    return remove(path);
}

void box_new(struct box *b)
{
    *b = (struct box){ .reserve_bytes = 1 << 20 };
    snprintf(b->path, sizeof(b->path), "/tmp/tern-test-XXXXXX");
    assert_non_null(mkdtemp(b->path));
    assert_int_equal(loop_init(&b->loop), 0);
    b->told = memory_new_array(BOX_TOLD_MOST, sizeof(*b->told));
}

void box_remove(struct box *b)
{
    box_close(b);
    nftw(b->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    loop_release(&b->loop);
    free(b->told);
}

struct box_message *box_find(struct box *b, uint64_t id)
{
    for (size_t i = 0; i < b->told_count; i++) {
        if (b->told[i].id == id)
            return &b->told[i];
    }
    return NULL;
}

static void on_message(struct store_replay *r, uint64_t id, struct store_ref where,
                       struct view envelope, uint64_t body_bytes)
{
    struct box *b = container_of(r, struct box, replay);

    assert_true(envelope.len > 0);
    assert_null(box_find(b, id));
    assert_true(b->told_count < BOX_TOLD_MOST);
    b->told[b->told_count++] =
        (struct box_message){ .id = id, .where = where, .body_bytes = body_bytes };
}

/* The replay speaks only of messages that it told. */
static struct box_message *must_find(struct box *b, uint64_t id)
{
    struct box_message *m = box_find(b, id);

    if (m == NULL)
        abort();
    return m;
}

static void on_outcome(struct store_replay *r, const struct store_outcome *o,
                       struct store_ref where)
{
    struct box_message *m = must_find(container_of(r, struct box, replay), o->message);

    m->deferred += o->state == STORE_DEFERRED;
    m->delivered += o->state == STORE_DELIVERED;
    m->failed += o->state == STORE_FAILED;
    m->outcome = where;
}

static void on_change(struct store_replay *r, const struct store_change *c)
{
    struct box_message *m = must_find(container_of(r, struct box, replay), c->message);

    m->held = c->kind == STORE_HOLD || (m->held && c->kind != STORE_RELEASE);
    m->noticed += c->kind == STORE_NOTICED;
}

static void on_state(struct store_watcher *w, enum spool_trouble trouble, uint64_t room_bytes)
{
    struct box *b = container_of(w, struct box, watcher);

    (void)room_bytes;
    b->trouble = trouble;
    b->states++;
}

static void on_outcome_moved(struct store_watcher *w, uint64_t id, uint64_t from,
                             struct store_ref where)
{
    struct box *b = container_of(w, struct box, watcher);

    (void)id;
    if (b->followed != NULL && b->followed->place == from)
        *b->followed = where;
}

int box_try(struct box *b, bool read_only, struct error *err)
{
    const struct store_options o = { .path = b->path,
                                     .segment_bytes = BOX_SEGMENT,
                                     .big_body_bytes = 256 << 10,
                                     .reserve_bytes = b->reserve_bytes,
                                     .fresh = b->fresh,
                                     .rest_ms = b->rest_ms,
                                     .read_only = read_only };
    int result;

    b->told_count = 0;
    if (b->replay.message == NULL)
        b->replay = (struct store_replay){ on_message, on_outcome, on_change };
    b->watcher.state = on_state;
    if (b->watcher.outcome_moved == NULL)
        b->watcher.outcome_moved = on_outcome_moved;
    result = store_open(&b->store, &o, &b->loop, &b->replay, &b->watcher, err);
    while (result == 0 && !b->lazy && store_replay(b->store, 7))
        continue;
    return result;
}

void box_open(struct box *b, bool threads)
{
    struct error err = { "" };

    if (box_try(b, false, &err) < 0)
        fail_msg("%s", err.text);
    if (threads && store_start(b->store, &err) < 0)
        fail_msg("%s", err.text);
}

void box_close(struct box *b)
{
    store_close(&b->store);
}

void box_settle(struct box *b)
{
    store_flush(b->store);
    while (!store_idle(b->store)) {
        assert_int_equal(loop_turn(&b->loop, 10), 0);
        store_flush(b->store);
    }
}

/* ---- messages ---- */

static void fill(char *room, size_t bytes, uint64_t seed)
{
    for (size_t i = 0; i < bytes; i++)
        room[i] = (char)('a' + random_below(&seed, 26));
}

static void on_done(struct store_commit *commit, enum spool_trouble trouble)
{
    struct box_commit *c = container_of(commit, struct box_commit, commit);

    c->done = true;
    c->trouble = trouble;
    c->box->last = trouble;
    c->box->done++;
    c->box->refused += trouble != SPOOL_FINE;
}

static struct view envelope_for(uint64_t seed)
{
    char room[128];
    struct buf text = BUF_ON_ARRAY(room);

    assert_true(buf_printf(&text, "from=a@here.test\nrcpt=b%llu@there.test\nrcpt=c@there.test\n",
                           (unsigned long long)seed));
    return view_make(memory_copy(buf_view(&text)), buf_len(&text));
}

struct box_commit *box_commit(struct box *b, uint64_t seed, size_t body_bytes)
{
    struct box_commit *c = memory_new(sizeof(*c));
    char *body = memory_new(body_bytes + 1);

    fill(body, body_bytes, seed);
    c->box = b;
    c->commit.envelope = envelope_for(seed);
    c->commit.body = view_make(body, body_bytes);
    c->commit.big_fd = -1;
    c->commit.body_bytes = body_bytes;
    c->commit.body_crc = crc32c(0, c->commit.body);
    c->commit.done = on_done;
    return c;
}

static void free_bytes(struct view v)
{
    free((char *)(uintptr_t)v.ptr);
}

void box_commit_free(struct box_commit *c)
{
    free_bytes(c->commit.envelope);
    free_bytes(c->commit.body);
    free(c);
}

struct box_commit *box_accept(struct box *b, uint64_t seed, size_t body_bytes)
{
    struct box_commit *c = box_commit(b, seed, body_bytes);

    store_accept(b->store, &c->commit);
    box_settle(b);
    assert_true(c->done);
    return c;
}

bool box_is_whole(struct box *b, uint64_t id, struct store_ref where, uint64_t seed,
                  size_t body_bytes)
{
    struct box_commit *c = box_commit(b, seed, body_bytes);
    struct store_message m;
    bool same;

    if (store_read(b->store, id, where, true, &m) < 0) {
        box_commit_free(c);
        return false;
    }
    same = view_equal(m.envelope, c->commit.envelope) && view_equal(m.body, c->commit.body) &&
           m.body_bytes == body_bytes && m.body_crc == c->commit.body_crc;
    store_message_release(&m);
    box_commit_free(c);
    return same;
}

bool box_is_told_whole(struct box *b, const struct box_commit *c, uint64_t seed)
{
    const struct box_message *m = box_find(b, c->commit.id);

    return m != NULL && box_is_whole(b, m->id, m->where, seed, c->commit.body_bytes);
}

/* ---- files ---- */

size_t box_count_files(struct box *b, const char *folder)
{
    char path[128];
    DIR *dir;
    size_t count = 0;
    const struct dirent *e;

    snprintf(path, sizeof(path), "%s/%s", b->path, folder);
    dir = opendir(path);
    assert_non_null(dir);
    while ((e = readdir(dir)) != NULL)
        count += e->d_name[0] != '.';
    closedir(dir);
    return count;
}

void box_newest_segment(struct box *b, char *path, size_t size)
{
    char folder[128], newest[64] = "";
    const struct dirent *e;
    DIR *dir;

    snprintf(folder, sizeof(folder), "%s/log", b->path);
    dir = opendir(folder);
    assert_non_null(dir);
    while ((e = readdir(dir)) != NULL) {
        if (e->d_name[0] != '.' && strcmp(e->d_name, newest) > 0)
            snprintf(newest, sizeof(newest), "%.63s", e->d_name);
    }
    closedir(dir);
    snprintf(path, size, "%s/%s", folder, newest);
}

char *box_load(struct box *b)
{
    char path[192];
    char *bytes = memory_new(BOX_SEGMENT);
    int fd;

    box_newest_segment(b, path, sizeof(path));
    fd = open(path, O_RDONLY);
    check("read", fd >= 0 && pread(fd, bytes, BOX_SEGMENT, 0) == BOX_SEGMENT);
    close(fd);
    return bytes;
}

void box_overwrite(struct box *b, size_t at, const char *bytes, size_t count)
{
    char path[192];
    int fd;

    box_newest_segment(b, path, sizeof(path));
    fd = open(path, O_WRONLY);
    check("written", fd >= 0 && pwrite(fd, bytes, count, (off_t)at) == (ssize_t)count);
    close(fd);
}

size_t box_end_of(struct store_ref where)
{
    size_t end = (size_t)record_offset(where.place) + where.bytes;

    return (end + RECORD_UNIT - 1) / RECORD_UNIT * RECORD_UNIT;
}

struct store_outcome box_outcome(uint64_t id, const uint32_t *rcpts, size_t count,
                                 enum store_state s)
{
    return (struct store_outcome){ .message = id,
                                   .rcpts = rcpts,
                                   .rcpt_count = count,
                                   .state = s,
                                   .attempts = 3,
                                   .next_ms = 1700000000000,
                                   .at_ms = 1600000000000,
                                   .text = VIEW("code=450\ntext=try later\n") };
}

bool box_reads_outcome(struct box *b, struct store_ref where, uint64_t id)
{
    struct store_outcome back;
    struct arena arena;
    bool same;

    arena_init(&arena, 65536);
    same = store_read_outcome(b->store, where, &arena, &back) == 0 && back.message == id &&
           back.state == STORE_DEFERRED &&
           view_equal(back.text, VIEW("code=450\ntext=try later\n"));
    arena_reset(&arena);
    return same;
}

bool box_path_of(int fd, char path[static BOX_PATH])
{
    char link[64];
    ssize_t got;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    got = readlink(link, path, BOX_PATH - 1);
    path[MAX(got, 0)] = '\0';
    return got >= 0;
}
