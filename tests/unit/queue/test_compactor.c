/* Random operations on a store whose segments are emptied all the time, compared with a simple
 * model after each start. A crash is a start from a copy of the folder, without what was not yet
 * durable. */
#include "tests/unit/queue/spoolbox.h"
#include "tests/unit/unit.h"

#include "common/crc32c.h"
#include "common/memory.h"
#include "common/table.h"
#include "io/clock.h"
#include "queue/check.h"
#include "queue/record.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    RCPTS = 2, /* as box_commit makes them */
    ITEMS = 4096,
    OPERATIONS = 400,
    PATIENCE_MS = 20000,
};

static uint64_t first_seed = 1, seeds = 3;

struct fate {
    bool any;
    enum store_state state;
    uint32_t attempts;
    struct store_ref where; /* of the record; not compared */
};

struct item {
    uint64_t id, seed, big_file;
    size_t bytes;
    struct store_ref where;
    bool big, live, told;
    struct fate fates[RCPTS];
    bool held, noticed;
};

struct model {
    struct box box;
    uint64_t seed;
    struct item items[ITEMS], kept[ITEMS], told[ITEMS];
    size_t count, kept_count, told_count;
    uint64_t moved, outcomes_moved;
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

static void on_outcome_moved(struct store_watcher *w, uint64_t id, uint64_t from,
                             struct store_ref where)
{
    struct model *m = model_of(w);
    struct item *i = must_find(m->items, m->count, id);

    for (unsigned k = 0; k < RCPTS; k++) {
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

static uint64_t pick(struct model *m, uint64_t below)
{
    return random_below(&m->seed, below);
}

static struct item *pick_live(struct model *m)
{
    uint64_t from = pick(m, m->count + 1);

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

    return sizes[pick(m, COUNT_OF(sizes))] + pick(m, 100);
}

static struct item *add(struct model *m, const struct box_commit *c, uint64_t seed)
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
    i = add(m, c, seed);
    box_commit_free(c);
    return i;
}

static void finish_one(struct model *m, struct item *i)
{
    i->live = false;
    store_finish(m->box.store, i->id, i->where);
}

/* New mail comes, and some of it goes, before everything has been told. */
static void replay(struct model *m)
{
    while (store_replay(m->box.store, (unsigned)pick(m, 20) + 1)) {
        struct item *i;

        if (pick(m, 8) != 0)
            continue;
        i = accept_one(m);
        if (pick(m, 2) == 0)
            finish_one(m, i);
        else
            m->told[m->told_count++] = *i;
    }
}

static void open_model(struct model *m)
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
    uint32_t rcpt = (uint32_t)pick(m, RCPTS);
    const struct item *notice;

    c->commit.about = about->id;
    c->commit.settles = &rcpt;
    c->commit.settle_count = pick(m, 2);
    store_accept(m->box.store, &c->commit);
    box_settle(&m->box);
    notice = add(m, c, seed);
    if (c->commit.settle_count > 0)
        about->fates[rcpt] =
            (struct fate){ true, STORE_FAILED, 0, { notice->where.place, notice->where.bytes } };
    else
        about->noticed = true;
    box_commit_free(c);
}

static void accept_big(struct model *m)
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
    add(m, c, m->seed)->big = true;
    close(fd);
    box_commit_free(c);
}

static void settle_some(struct model *m, struct item *i)
{
    static const uint32_t both[] = { 0, 1 };
    size_t first = pick(m, 2);
    struct store_outcome o = { .message = i->id,
                               .rcpts = both + first,
                               .rcpt_count = 1 + pick(m, 2 - first),
                               .state = (enum store_state)pick(m, 2),
                               .attempts = (uint32_t)pick(m, 1000),
                               .text = VIEW("text=later\n") };
    struct store_ref where;

    store_settle(m->box.store, &o, &where);
    for (size_t k = 0; k < o.rcpt_count; k++)
        i->fates[o.rcpts[k]] = (struct fate){ true, o.state, o.attempts, where };
}

static void change_one(struct model *m, struct item *i)
{
    struct store_change c = { .message = i->id,
                              .kind = (enum store_change_kind)pick(m, STORE_DELETED),
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
    switch (pick(m, 4)) {
    case 0:
        change_one(m, i);
        break;
    case 1:
        finish_one(m, i);
        break;
    default:
        settle_some(m, i);
        break;
    }
}

static void do_something(struct model *m)
{
    uint64_t what = pick(m, 20);
    struct item *about = pick_live(m);

    if (what < 8) /* mail that goes out at once */
        finish_one(m, accept_one(m));
    else if (what < 11)
        accept_one(m);
    else if (what == 11)
        accept_big(m);
    else if (what == 12 && about != NULL)
        accept_notice(m, about);
    else
        do_little(m);
    if (pick(m, 4) == 0)
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
static void crash(struct model *m)
{
    char copy[80];
    uint64_t names;

    box_settle(&m->box);
    memcpy(m->kept, m->items, sizeof(m->items));
    m->kept_count = m->count;
    for (uint64_t i = pick(m, 4); i > 0; i--)
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
    open_model(m);
}

/* ---- tests ---- */

static struct model *new_model(uint64_t seed)
{
    struct model *m = memory_new(sizeof(*m));

    box_new(&m->box);
    m->seed = seed;
    open_model(m);
    return m;
}

static void end_model(struct model *m)
{
    box_remove(&m->box);
    free(m);
}

static uint64_t most_bytes(const struct store_numbers *n)
{
    return n->live_bytes + n->live_bytes / 2 + (uint64_t)6 * BOX_SEGMENT;
}

static void wait_until_small(struct model *m)
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

static void agrees_with_a_model(void **state)
{
    uint64_t moved = 0, outcomes_moved = 0;

    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++) {
        struct model *m = new_model(seed);

        for (unsigned i = 0; i < OPERATIONS; i++) {
            do_something(m);
            if (pick(m, 60) == 0)
                crash(m);
        }
        wait_until_small(m);
        box_settle(&m->box);
        box_close(&m->box);
        open_model(m);
        moved += m->moved;
        outcomes_moved += m->outcomes_moved;
        end_model(m);
    }
    check("messages were moved", moved > 10 * seeds);
    check("outcomes were moved", outcomes_moved > 2 * seeds);
}

/* One message that stays in each segment, among many that go at once. */
static void mail_that_stays_does_not_keep_whole_segments(void **state)
{
    struct model *m = new_model(1);
    struct store_numbers n;
    uint64_t most = 0, written = 0;

    (void)state;
    for (unsigned i = 0; i < 600; i++) {
        struct box_commit *c = box_accept(&m->box, i, i % 20 == 0 ? 3000 : 60000);
        struct item *item = add(m, c, i);

        if (i % 20 == 0)
            settle_some(m, item);
        else
            finish_one(m, item);
        written += c->commit.where.bytes;
        box_commit_free(c);
        assert_int_equal(loop_turn(&m->box.loop, 1), 0);
        store_count(m->box.store, &n);
        most = MAX(most, n.disk_bytes);
    }
    wait_until_small(m);
    store_count(m->box.store, &n);
    printf("# at most %llu MiB, %llu KiB moved of %llu KiB\n", (unsigned long long)most >> 20,
           (unsigned long long)n.moved_bytes >> 10, (unsigned long long)written >> 10);
    check("never many", most <= 20ull * BOX_SEGMENT && written > 30ull * BOX_SEGMENT);
    check("little was copied", n.moved_bytes > 0 && n.moved_bytes < written / 4);
    box_settle(&m->box);
    box_close(&m->box);
    open_model(m);
    end_model(m);
}

/* So many share a record: it is not as large as if each of them had one. */
static void a_state_of_many_recipients_is_small(void **state)
{
    enum { MANY = 1000 };
    struct model *m = new_model(1);
    uint32_t rcpts[MANY];
    struct store_numbers n;

    (void)state;
    for (uint32_t i = 0; i < MANY; i++)
        rcpts[i] = i;
    for (unsigned i = 0; i < 600; i++) {
        struct box_commit *c = box_accept(&m->box, i, i % 20 == 0 ? 3000 : 60000);
        struct item *item = add(m, c, i);

        if (i % 20 == 0) {
            const struct store_outcome o = box_outcome(item->id, rcpts, MANY, STORE_DEFERRED);
            struct store_ref where;

            store_settle(m->box.store, &o, &where);
            for (size_t k = 0; k < RCPTS; k++)
                item->fates[k] = (struct fate){ true, o.state, o.attempts, where };
        } else {
            finish_one(m, item);
        }
        box_commit_free(c);
    }
    wait_until_small(m);
    store_count(m->box.store, &n);
    check("small", n.disk_bytes <= 10ull * BOX_SEGMENT);
    end_model(m);
}

static struct model *new_resting_model(void)
{
    struct model *m = new_model(1);

    box_close(&m->box);
    m->box.rest_ms = 24 * 3600 * 1000; /* longer than any test */
    open_model(m);
    return m;
}

/* Whatever others write, and however fresh the segments are. */
static void the_log_is_bounded_under_load(void **state)
{
    struct model *m = new_resting_model();
    struct store_numbers n;
    uint64_t written = 0;

    (void)state;
    for (unsigned i = 0; i < 1500; i++) {
        struct box_commit *c = box_accept(&m->box, i, i % 20 == 0 ? 3000 : 60000);
        struct item *item = add(m, c, i);

        if (i % 20 != 0)
            finish_one(m, item);
        written += c->commit.where.bytes;
        box_commit_free(c);
        store_count(m->box.store, &n);
        if (n.disk_bytes > n.live_bytes * 3 / 2 + 16ull * BOX_SEGMENT)
            fail_msg("%llu of %llu bytes live, after %u messages", (unsigned long long)n.live_bytes,
                     (unsigned long long)n.disk_bytes, i);
    }
    check("much was written", written > 60ull * BOX_SEGMENT && n.moved_bytes < written / 4);
    box_settle(&m->box);
    box_close(&m->box);
    open_model(m);
    end_model(m);
}

static void mail_that_goes_at_once_is_not_moved(void **state)
{
    struct model *m = new_resting_model();
    struct store_numbers n;

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        struct box_commit *c = box_accept(&m->box, i, 60000);

        finish_one(m, add(m, c, i));
        box_commit_free(c);
    }
    store_count(m->box.store, &n);
    check("nothing was moved", n.moved_bytes == 0 && n.disk_bytes <= 16ull * BOX_SEGMENT);
    end_model(m);
}

/* ---- damage: what is not told may be the end of a message ---- */

static void segment_path(struct model *m, uint64_t id, char *path, size_t size)
{
    snprintf(path, size, "%.80s/log/%012llx.seg", m->box.path,
             (unsigned long long)record_segment(id));
}

/* The first record of the log, of a message that has ended. */
static void spoil_first(struct model *m, uint64_t id)
{
    char path[160];
    int fd;

    segment_path(m, id, path, sizeof(path));
    fd = open(path, O_WRONLY);
    check("spoilt", fd >= 0 && pwrite(fd, "x", 1, (off_t)record_offset(id) + 20) == 1);
    close(fd);
}

static void a_segment_that_is_not_whole_is_not_emptied(void **state)
{
    struct model *m = new_resting_model(); /* so that nothing is read too early */
    struct store_numbers n;
    char path[160];

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        struct box_commit *c = box_accept(&m->box, i, i % 20 == 1 ? 3000 : 60000);
        struct item *item = add(m, c, i);

        if (i % 20 != 1)
            finish_one(m, item);
        box_commit_free(c);
        box_settle(&m->box);
        if (i == 0)
            spoil_first(m, item->id);
    }
    store_count(m->box.store, &n);
    segment_path(m, m->items[0].id, path, sizeof(path));
    check("others were", n.segments_emptied > 5);
    check("it is still there", access(path, F_OK) == 0);
    end_model(m);
}

enum { PAIRS = 10 };

/* Small messages that stay, and larger ones that go, in one batch. */
static void accept_pairs(struct model *m)
{
    struct box_commit *c[2 * PAIRS];

    for (size_t i = 0; i < COUNT_OF(c); i++) {
        c[i] = box_commit(&m->box, i, i % 2 == 0 ? 300 : 2000);
        store_accept(m->box.store, &c[i]->commit);
    }
    box_settle(&m->box);
    for (size_t i = 0; i < COUNT_OF(c); i++) {
        if (i % 2 == 0)
            add(m, c[i], i);
        else
            store_finish(m->box.store, c[i]->commit.id, c[i]->commit.where);
        box_commit_free(c[i]);
    }
}

/* While batch follows batch, too, and a segment takes several portions. */
static void compaction_goes_on_while_mail_comes_in(void **state)
{
    struct model *m = new_model(1);
    struct store_numbers n;

    (void)state;
    do {
        accept_pairs(m);
        store_count(m->box.store, &n);
    } while (n.segments_emptied == 0 && m->count + PAIRS < ITEMS);
    check("a segment was emptied", n.segments_emptied > 0 && m->moved > 256);
    box_settle(&m->box);
    box_close(&m->box);
    open_model(m);
    end_model(m);
}

/* What `tern spool check` says, in the folder of the spool. */
static void read_check(struct model *m, char *said, size_t size)
{
    int here = open(".", O_RDONLY | O_DIRECTORY), fd = memfd_create("said", MFD_CLOEXEC);
    struct error err = { "" };
    ssize_t got;

    assert_int_equal(chdir(m->box.path), 0);
    check("sound", check_spool(fd, false, &err) == CHECK_SOUND);
    assert_int_equal(fchdir(here), 0);
    got = pread(fd, said, size - 1, 0);
    assert_true(got > 0);
    said[got] = '\0';
    close(fd);
    close(here);
}

static void a_large_body_stays_where_it_is(void **state)
{
    struct model *m = new_model(1);
    struct store_message message;
    uint64_t before;
    char said[4096];

    (void)state;
    accept_big(m);
    before = m->items[0].where.place;
    for (unsigned i = 0; i < 1000 && m->items[0].where.place == before; i++) {
        struct box_commit *c = box_accept(&m->box, i, i % 10 == 0 ? 3000 : 60000);
        struct item *item = add(m, c, i);

        box_commit_free(c);
        if (i % 10 != 0)
            finish_one(m, item);
        if (i % 100 == 99)
            wait_until_small(m);
    }
    check("the message was moved", m->items[0].where.place != before);
    box_settle(&m->box);
    box_close(&m->box);
    read_check(m, said, sizeof(said));
    check("one large body", strstr(said, "large bodies 1,") != NULL);
    open_model(m);
    check("its file is open",
          store_read(m->box.store, m->items[0].id, m->items[0].where, true, &message) == 0 &&
              message.big_fd >= 0);
    store_message_release(&message);
    finish_one(m, &m->items[0]);
    box_settle(&m->box);
    box_close(&m->box);
    read_check(m, said, sizeof(said));
    check("none", strstr(said, "large bodies 0,") != NULL);
    open_model(m);
    end_model(m);
}

static uint64_t count_indexes(struct model *m)
{
    char path[128];
    uint64_t count = 0;
    const struct dirent *e;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/log", m->box.path);
    dir = opendir(path);
    assert_non_null(dir);
    while ((e = readdir(dir)) != NULL)
        count += view_ends_nocase(view_of(e->d_name), VIEW(".idx"));
    closedir(dir);
    return count;
}

static void wait_for_indexes(struct model *m, uint64_t wanted)
{
    uint64_t began = clock_monotonic_ms();

    while (count_indexes(m) != wanted && clock_monotonic_ms() < began + PATIENCE_MS)
        assert_int_equal(loop_turn(&m->box.loop, 10), 0);
    check("index files", count_indexes(m) == wanted);
}

static void full_segments_that_stay_get_index_files(void **state)
{
    struct model *m = new_model(1);
    struct store_numbers n;

    (void)state;
    for (uint64_t i = 0; i < 60; i++) {
        struct box_commit *c = box_accept(&m->box, i, 60000);

        add(m, c, i);
        box_commit_free(c);
    }
    store_count(m->box.store, &n);
    check("several", n.segments > 3);
    wait_for_indexes(m, n.segments - 1);
    box_close(&m->box);
    open_model(m);
    for (unsigned i = 0; i < 60; i++)
        finish_one(m, &m->items[i]);
    box_settle(&m->box);
    wait_for_indexes(m, 0);
    end_model(m);
}

/* test_compactor [first seed, count of seeds] */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_model),
        cmocka_unit_test(mail_that_stays_does_not_keep_whole_segments),
        cmocka_unit_test(a_state_of_many_recipients_is_small),
        cmocka_unit_test(the_log_is_bounded_under_load),
        cmocka_unit_test(mail_that_goes_at_once_is_not_moved),
        cmocka_unit_test(a_segment_that_is_not_whole_is_not_emptied),
        cmocka_unit_test(compaction_goes_on_while_mail_comes_in),
        cmocka_unit_test(a_large_body_stays_where_it_is),
        cmocka_unit_test(full_segments_that_stay_get_index_files),
    };

    if (argc == 3 && (!view_to_u64(view_of(argv[1]), UINT32_MAX, &first_seed) ||
                      !view_to_u64(view_of(argv[2]), UINT32_MAX, &seeds)))
        return 64;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
