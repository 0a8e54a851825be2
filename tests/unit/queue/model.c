#include "tests/unit/queue/model.h"

#include "common/memory.h"
#include "common/table.h"
#include "io/clock.h"
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PATIENCE_MS = 20000,
};

static struct model *model_of(struct store_watcher *w)
{
    return container_of(container_of(w, struct box, watcher), struct model, box);
}

static struct item *find_in(struct item *items, size_t count, uint64_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (items[i].id == id && items[i].live)
            return &items[i];
    }
    return NULL;
}

/* The store speaks only of messages that are there. */
static struct item *must_find(struct item *items, size_t count, uint64_t id)
{
    struct item *i = find_in(items, count, id);

    if (i == NULL)
        abort();
    return i;
}

static struct item *find(struct model *m, uint64_t id)
{
    return find_in(m->items, m->count, id);
}

/* ---- what the store asks and tells ---- */

static struct store_ref on_find(struct store_watcher *w, uint64_t id)
{
    const struct item *i = find(model_of(w), id);

    return i == NULL ? (struct store_ref){ 0 } : i->where;
}

static void on_moved(struct store_watcher *w, uint64_t id, struct store_ref where)
{
    struct model *m = model_of(w);

    must_find(m->items, m->count, id)->where = where;
    m->moved++;
}

/* After a failure, records of messages that have ended are written again, too. */
static void on_outcome_moved(struct store_watcher *w, uint64_t id, uint64_t from,
                             struct store_ref where)
{
    struct model *m = model_of(w);
    struct item *i = m->may_fail ? find(m, id) : must_find(m->items, m->count, id);

    for (unsigned k = 0; k < RCPTS && i != NULL; k++) {
        if (i->fates[k].where.place == from)
            i->fates[k].where = where;
    }
    m->outcomes_moved++;
}

static struct model *replayed(struct store_replay *r)
{
    return container_of(container_of(r, struct box, replay), struct model, box);
}

static void tell_message(struct store_replay *r, uint64_t id, struct store_ref where,
                         struct view envelope, uint64_t body_bytes)
{
    struct model *m = replayed(r);

    assert_true(envelope.len > 0);
    assert_null(find_in(m->told, m->told_count, id));
    m->told[m->told_count++] =
        (struct item){ .id = id, .where = where, .bytes = body_bytes, .live = true };
}

static void tell_outcome(struct store_replay *r, const struct store_outcome *o,
                         struct store_ref where)
{
    struct model *m = replayed(r);
    struct item *i = must_find(m->told, m->told_count, o->message);

    for (size_t k = 0; k < o->rcpt_count; k++)
        i->fates[o->rcpts[k]] = (struct fate){ true, o->state, o->attempts, where };
}

static void tell_change(struct store_replay *r, const struct store_change *c)
{
    struct model *m = replayed(r);
    struct item *i = must_find(m->told, m->told_count, c->message);

    if (c->kind == STORE_NOTICED)
        i->noticed = true;
    else
        i->held = c->kind == STORE_HOLD;
}

/* ---- comparing ---- */

static void check_outcome(struct model *m, const struct item *i, unsigned rcpt)
{
    struct store_outcome o;
    struct arena arena;
    bool about = false;

    arena_init(&arena, 65536);
    check("the outcome can be read",
          store_read_outcome(m->box.store, i->fates[rcpt].where, &arena, &o) == 0);
    for (size_t k = 0; k < o.rcpt_count; k++)
        about = about || o.rcpts[k] == rcpt;
    check("it is that one", o.message == i->id && about && o.state == i->fates[rcpt].state &&
                                o.attempts == i->fates[rcpt].attempts);
    arena_reset(&arena);
}

static void check_item(struct model *m, struct item *i)
{
    const struct item *told = must_find(m->told, m->told_count, i->id);

    check("of its size", told->bytes == i->bytes);
    check("held and noticed", told->held == i->held && told->noticed == i->noticed);
    for (unsigned k = 0; k < RCPTS; k++) {
        check("its fate", told->fates[k].any == i->fates[k].any &&
                              told->fates[k].state == i->fates[k].state &&
                              told->fates[k].attempts == i->fates[k].attempts);
        i->fates[k].where = told->fates[k].where;
        if (i->fates[k].any)
            check_outcome(m, i, k);
    }
    i->where = told->where;
    if (!i->big)
        check("its content", box_is_whole(&m->box, i->id, i->where, i->seed, i->bytes));
}

static void check_all(struct model *m)
{
    size_t live = 0;

    for (size_t i = 0; i < m->count; i++) {
        live += m->items[i].live;
        if (m->items[i].live)
            check_item(m, &m->items[i]);
    }
    check("none that was finished", live == m->told_count);
}

/* ---- operations ---- */

uint64_t model_pick(struct model *m, uint64_t below)
{
    return random_below(&m->seed, below);
}

static struct item *pick_live(struct model *m)
{
    uint64_t from = model_pick(m, m->count + 1);

    for (size_t i = 0; i < m->count; i++) {
        struct item *item = &m->items[(from + i) % m->count];

        if (item->live)
            return item;
    }
    return NULL;
}

static size_t pick_size(struct model *m)
{
    static const size_t sizes[] = { 0, 300, 3000, 20000, 90000, 200000 };

    return sizes[model_pick(m, COUNT_OF(sizes))] + model_pick(m, 100);
}

struct item *model_add(struct model *m, const struct box_commit *c, uint64_t seed)
{
    struct item *i = &m->items[m->count++];

    assert_true(m->count < ITEMS);
    *i = (struct item){ .id = c->commit.id,
                        .seed = seed,
                        .bytes = c->commit.body_bytes,
                        .where = c->commit.where,
                        .live = true };
    return i;
}

static struct item *accept_one(struct model *m)
{
    uint64_t seed = m->seed;
    struct box_commit *c = box_accept(&m->box, seed, pick_size(m));
    struct item *i;

    check("accepted", c->trouble == SPOOL_FINE);
    i = model_add(m, c, seed);
    box_commit_free(c);
    return i;
}

void model_finish(struct model *m, struct item *i)
{
    i->live = false;
    store_finish(m->box.store, i->id, i->where);
}

/* New mail comes, and some of it goes, before everything has been told. */
static void replay(struct model *m)
{
    while (store_replay(m->box.store, (unsigned)model_pick(m, 20) + 1)) {
        struct item *i;

        if (model_pick(m, 8) != 0)
            continue;
        i = accept_one(m);
        if (model_pick(m, 2) == 0)
            model_finish(m, i);
        else
            m->told[m->told_count++] = *i;
    }
}

void model_open(struct model *m)
{
    m->told_count = 0;
    m->box.replay = (struct store_replay){ tell_message, tell_outcome, tell_change };
    m->box.watcher.find = on_find;
    m->box.watcher.moved = on_moved;
    m->box.watcher.outcome_moved = on_outcome_moved;
    m->box.lazy = true;
    box_open(&m->box, true);
    replay(m);
    check_all(m);
}

/* A notice about another message, which says that one recipient has failed or that it waits. */
static void accept_notice(struct model *m, struct item *about)
{
    uint64_t seed = m->seed;
    struct box_commit *c = box_commit(&m->box, seed, 500);
    uint32_t rcpt = (uint32_t)model_pick(m, RCPTS);
    const struct item *notice;

    c->commit.about = about->id;
    c->commit.settles = &rcpt;
    c->commit.settle_count = model_pick(m, 2);
    store_accept(m->box.store, &c->commit);
    box_settle(&m->box);
    notice = model_add(m, c, seed);
    if (c->commit.settle_count > 0)
        about->fates[rcpt] =
            (struct fate){ true, STORE_FAILED, 0, { notice->where.place, notice->where.bytes } };
    else
        about->noticed = true;
    box_commit_free(c);
}

void model_accept_big(struct model *m)
{
    uint64_t file;
    int fd = store_create_body(m->box.store, &file);
    struct box_commit *c = box_commit(&m->box, m->seed, 300000);

    assert_true(fd >= 0 && write(fd, c->commit.body.ptr, 300000) == 300000);
    free((char *)(uintptr_t)c->commit.body.ptr);
    c->commit.body = VIEW_EMPTY;
    c->commit.big_fd = fd;
    c->commit.big_file = file;
    store_accept(m->box.store, &c->commit);
    box_settle(&m->box);
    model_add(m, c, m->seed)->big = true;
    close(fd);
    box_commit_free(c);
}

void model_settle_some(struct model *m, struct item *i)
{
    static const uint32_t both[] = { 0, 1 };
    size_t first = model_pick(m, 2);
    struct store_outcome o = { .message = i->id,
                               .rcpts = both + first,
                               .rcpt_count = 1 + model_pick(m, 2 - first),
                               .state = (enum store_state)model_pick(m, 2),
                               .attempts = (uint32_t)model_pick(m, 1000),
                               .text = VIEW("text=later\n") };
    struct store_ref where;

    store_settle(m->box.store, &o, &where);
    for (size_t k = 0; k < o.rcpt_count; k++)
        i->fates[o.rcpts[k]] = (struct fate){ true, o.state, o.attempts, where };
}

static void change_one(struct model *m, struct item *i)
{
    struct store_change c = { .message = i->id,
                              .kind = (enum store_change_kind)model_pick(m, STORE_DELETED),
                              .who = VIEW("uid 0") };

    store_change(m->box.store, &c);
    if (c.kind == STORE_NOTICED)
        i->noticed = true;
    else
        i->held = c.kind == STORE_HOLD;
}

/* One that needs no answer. */
static void do_little(struct model *m)
{
    struct item *i = pick_live(m);

    if (i == NULL)
        return;
    switch (model_pick(m, 4)) {
    case 0:
        change_one(m, i);
        break;
    case 1:
        model_finish(m, i);
        break;
    default:
        model_settle_some(m, i);
        break;
    }
}

void model_do_something(struct model *m)
{
    uint64_t what = model_pick(m, 20);
    struct item *about = pick_live(m);

    if (what < 8) /* mail that goes out at once */
        model_finish(m, accept_one(m));
    else if (what < 11)
        accept_one(m);
    else if (what == 11)
        model_accept_big(m);
    else if (what == 12 && about != NULL)
        accept_notice(m, about);
    else
        do_little(m);
    if (model_pick(m, 4) == 0)
        box_settle(&m->box);
    else
        assert_int_equal(loop_turn(&m->box.loop, 1), 0);
}

/* ---- crashes ---- */

static void copy_file(const char *from, const char *to)
{
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    struct stat facts;

    if (in >= 0 && out >= 0 && fstat(in, &facts) == 0) /* it may have been recycled meanwhile */
        while (sendfile(out, in, NULL, (size_t)facts.st_size) > 0)
            continue;
    close(in);
    close(out);
}

static void copy_folder(const char *from, const char *to)
{
    DIR *dir = opendir(from);
    const struct dirent *e;
    struct stat facts;
    char a[512], b[512];

    assert_non_null(dir);
    mkdir(to, 0700);
    while ((e = readdir(dir)) != NULL) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(a, sizeof(a), "%.200s/%s", from, e->d_name);
        snprintf(b, sizeof(b), "%.200s/%s", to, e->d_name);
        if (stat(a, &facts) == 0 && S_ISDIR(facts.st_mode))
            copy_folder(a, b);
        else
            copy_file(a, b);
    }
    closedir(dir);
}

static uint64_t names_in_log(struct model *m)
{
    char path[128];
    uint64_t sum = 0;
    const struct dirent *e;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/log", m->box.path);
    dir = opendir(path);
    assert_non_null(dir);
    while ((e = readdir(dir)) != NULL)
        sum += hash_stable(view_of(e->d_name));
    closedir(dir);
    return sum;
}

static void remove_folder(const char *path)
{
    char command[160];

    snprintf(command, sizeof(command), "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
}

/* What is durable now, and nothing else. */
void model_crash(struct model *m)
{
    char copy[80];
    uint64_t names;

    box_settle(&m->box);
    memcpy(m->kept, m->items, sizeof(m->items));
    m->kept_count = m->count;
    for (uint64_t i = model_pick(m, 4); i > 0; i--)
        do_little(m);
    snprintf(copy, sizeof(copy), "%s.copy", m->box.path);
    do {
        remove_folder(copy);
        names = names_in_log(m);
        copy_folder(m->box.path, copy);
    } while (names != names_in_log(m));
    box_close(&m->box);
    remove_folder(m->box.path);
    assert_int_equal(rename(copy, m->box.path), 0);
    memcpy(m->items, m->kept, sizeof(m->items));
    m->count = m->kept_count;
    model_open(m);
}

/* ---- life ---- */

struct model *model_new(uint64_t seed)
{
    struct model *m = memory_new(sizeof(*m));

    box_new(&m->box);
    m->seed = seed;
    model_open(m);
    return m;
}

struct model *model_new_resting(void)
{
    struct model *m = model_new(1);

    box_close(&m->box);
    m->box.rest_ms = 24 * 3600 * 1000; /* longer than any test */
    model_open(m);
    return m;
}

void model_end(struct model *m)
{
    box_remove(&m->box);
    free(m);
}

static uint64_t most_bytes(const struct store_numbers *n)
{
    return n->live_bytes + n->live_bytes / 2 + (uint64_t)6 * BOX_SEGMENT;
}

void model_wait_until_small(struct model *m)
{
    uint64_t began = clock_monotonic_ms();
    struct store_numbers n;

    do {
        box_settle(&m->box);
        assert_int_equal(loop_turn(&m->box.loop, 10), 0);
        store_count(m->box.store, &n);
    } while (n.disk_bytes > most_bytes(&n) && clock_monotonic_ms() < began + PATIENCE_MS);
    check("small again", n.disk_bytes <= most_bytes(&n));
}
