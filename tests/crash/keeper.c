/* Uses a store as the queue does, and says on descriptor 1 what it was promised, one write a line:
 *
 *   keeper run SPOOL SEED COUNT     accepts COUNT messages, settles and finishes some
 *       try N BYTES                 message N is offered
 *       kept ID N BYTES             it is durable
 *       not N                       it was refused
 *       deferred ID                 an outcome for recipient 0 is durable
 *       finish ID                   about to be finished
 *       emptied N                   segments, by compaction
 *   keeper check SPOOL < PROMISES   opens what is there: every promise must hold, and nothing may
 * be there that was not offered; exit status 1 if not */
#include "common/crc32c.h"
#include "common/memory.h"
#include "io/clock.h"
#include "io/log.h"
#include "queue/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SEGMENT = 1 << 20,
    BIG = 128 << 10,
    AT_ONCE = 3, /* messages in one batch */
    MOST = 4096,
    PATIENCE_MS = 20000,
    KEPT_MOST = 20, /* messages: of many, most are finished */
};

struct item {
    uint64_t number, id, bytes;
    struct store_ref where;
    bool offered, kept, deferred, finishing;
    bool told, told_deferred;
};

static struct {
    struct loop loop;
    struct store *store;
    struct store_replay replay;
    struct store_watcher watcher;
    struct item messages[MOST];
    size_t count;
    unsigned pending;
    unsigned mistakes;
    bool checking;
} keeper;

static void say(const char *format, ...) PRINTF_LIKE(1, 2);
static void say(const char *format, ...)
{
    char room[256];
    struct buf line = BUF_ON_ARRAY(room);
    va_list args;

    va_start(args, format);
    if (!buf_vprintf(&line, format, args) || !buf_put_byte(&line, '\n'))
        abort();
    va_end(args);
    if (write(1, room, buf_len(&line)) < 0)
        abort();
}

static void mistake(const char *what, uint64_t id)
{
    fprintf(stderr, "WRONG: %s: %016" PRIx64 "\n", what, id);
    keeper.mistakes++;
}

/* ---- messages: made from their number alone ---- */

static uint64_t size_of(uint64_t number)
{
    static const uint64_t sizes[] = { 10, 3000, 70000, 0, 500, 120000, 700, 300000 };

    return sizes[number % COUNT_OF(sizes)] + number % 61;
}

static char *body_of(uint64_t number, uint64_t bytes)
{
    char *body = memory_new(bytes + 1);

    for (uint64_t i = 0; i < bytes; i++)
        body[i] = (char)('a' + (i * 7 + number * 13 + i / 100) % 26);
    return body;
}

static struct view envelope_of(uint64_t number)
{
    char room[128];
    struct buf text = BUF_ON_ARRAY(room);

    if (!buf_printf(&text, "number=%" PRIu64 "\nfrom=a@b.test\nrcpt=c@d.test\n", number))
        abort();
    return view_make(memory_copy(buf_view(&text)), buf_len(&text));
}

static void free_view(struct view v)
{
    free((char *)(uintptr_t)v.ptr);
}

static struct item *find_number(uint64_t number)
{
    for (size_t i = 0; i < keeper.count; i++) {
        if (keeper.messages[i].number == number)
            return &keeper.messages[i];
    }
    return NULL;
}

static struct item *find_id(uint64_t id)
{
    for (size_t i = 0; i < keeper.count; i++) {
        if (keeper.messages[i].id == id)
            return &keeper.messages[i];
    }
    return NULL;
}

static struct item *add(uint64_t number)
{
    struct item *m = &keeper.messages[keeper.count++];

    if (keeper.count > MOST)
        abort();
    *m = (struct item){ .number = number, .bytes = size_of(number) };
    return m;
}

/* ---- run ---- */

static void on_done(struct store_commit *c, enum spool_trouble trouble)
{
    struct view envelope = c->envelope, line;
    struct item *m;
    uint64_t number;

    keeper.pending--;
    if (!view_take(&envelope, VIEW("number=")) || !view_take_line(&envelope, &line) ||
        !view_to_u64(line, UINT64_MAX, &number))
        abort();
    m = find_number(number);
    if (m == NULL)
        abort();
    if (trouble == SPOOL_FINE) {
        m->id = c->id;
        m->where = c->where;
        m->kept = true;
        say("kept %016" PRIx64 " %" PRIu64 " %" PRIu64, c->id, number, c->body_bytes);
    } else {
        say("not %" PRIu64, number);
        if (c->big_fd >= 0)
            store_remove_body(keeper.store, c->big_file);
    }
    if (c->big_fd >= 0)
        close(c->big_fd);
    free_view(c->envelope);
    free_view(c->body);
    free(c);
}

/* False: there was no file for it. */
static bool write_big(struct store_commit *c, const char *body)
{
    c->big_fd = store_create_body(keeper.store, &c->big_file);
    if (c->big_fd < 0)
        return false;
    if (write(c->big_fd, body, c->body_bytes) == (ssize_t)c->body_bytes)
        return true;
    close(c->big_fd);
    store_remove_body(keeper.store, c->big_file);
    return false;
}

static void offer(uint64_t number)
{
    struct item *m = add(number);
    struct store_commit *c = memory_new(sizeof(*c));
    char *body = body_of(number, m->bytes);

    say("try %" PRIu64 " %" PRIu64, number, m->bytes);
    *c = (struct store_commit){ .envelope = envelope_of(number),
                                .big_fd = -1,
                                .body_bytes = m->bytes,
                                .done = on_done,
                                .body_crc = crc32c(0, view_make(body, m->bytes)) };
    if (m->bytes < BIG) {
        c->body = view_make(body, m->bytes);
    } else {
        bool written = write_big(c, body);

        free(body);
        if (!written) {
            free_view(c->envelope);
            free(c);
            return;
        }
    }
    keeper.pending++;
    store_accept(keeper.store, c);
}

static void turn_until(bool idle)
{
    uint64_t began = clock_monotonic_ms();

    store_flush(keeper.store);
    while (keeper.pending > 0 || (idle && !store_idle(keeper.store))) {
        if (loop_turn(&keeper.loop, 10) < 0 || clock_monotonic_ms() > began + PATIENCE_MS) {
            mistake("no answer", 0);
            exit(1);
        }
        store_flush(keeper.store);
    }
}

static struct item *kept_one(uint64_t at)
{
    for (size_t i = 0; i < keeper.count; i++) {
        struct item *m = &keeper.messages[(at + i) % keeper.count];

        if (m->kept && !m->finishing)
            return m;
    }
    return NULL;
}

static void defer_one(struct item *m)
{
    static const uint32_t first = 0;
    struct store_outcome o = { .message = m->id,
                               .rcpts = &first,
                               .rcpt_count = 1,
                               .state = STORE_DEFERRED,
                               .attempts = 1,
                               .next_ms = 2,
                               .at_ms = 1,
                               .text = VIEW("text=later\n") };

    store_settle(keeper.store, &o, NULL);
    turn_until(true);
    m->deferred = true;
    say("deferred %016" PRIx64, m->id);
}

static void finish_one(struct item *m)
{
    m->finishing = true;
    say("finish %016" PRIx64, m->id);
    store_finish(keeper.store, m->id, m->where);
}

static size_t count_kept(void)
{
    size_t count = 0;

    for (size_t i = 0; i < keeper.count; i++)
        count += keeper.messages[i].kept && !keeper.messages[i].finishing;
    return count;
}

static void run(uint64_t seed, uint64_t count)
{
    struct store_numbers numbers;

    for (uint64_t i = 0; i < count;) {
        struct item *m;

        for (unsigned k = 0; k < AT_ONCE && i < count; k++)
            offer(seed + i++);
        turn_until(false);
        if (i % 2 == 0 && (m = kept_one(i / 2)) != NULL)
            defer_one(m);
        for (int k = 0; k < 2 && (m = kept_one(i / 3 + (uint64_t)k)) != NULL; k++)
            finish_one(m);
        while (count_kept() > KEPT_MOST && (m = kept_one(i / 3)) != NULL)
            finish_one(m);
    }
    turn_until(true);
    store_count(keeper.store, &numbers);
    say("emptied %" PRIu64, numbers.segments_emptied);
}

/* ---- check ---- */

static void on_message(struct store_replay *r, uint64_t id, struct store_ref where,
                       struct view envelope, uint64_t body_bytes)
{
    struct view line;
    struct item *m = NULL;
    uint64_t number;

    (void)r;
    if (!keeper.checking)
        return;
    if (view_take(&envelope, VIEW("number=")) && view_take_line(&envelope, &line) &&
        view_to_u64(line, UINT64_MAX, &number))
        m = find_number(number);
    if (m == NULL) {
        mistake("a message that was never offered", id);
        return;
    }
    if (m->told)
        mistake("a message that is there twice", id);
    if (m->kept && m->id != id)
        mistake("a message under another id", id);
    if (m->bytes != body_bytes)
        mistake("a message of another size", id);
    m->told = true;
    m->id = id;
    m->where = where;
}

static void on_outcome(struct store_replay *r, const struct store_outcome *o,
                       struct store_ref where)
{
    struct item *m = find_id(o->message);

    (void)r, (void)where;
    if (!keeper.checking)
        return;
    if (m == NULL || o->state != STORE_DEFERRED || o->rcpt_count != 1)
        mistake("an outcome that was never recorded", o->message);
    else
        m->told_deferred = true;
}

static void on_change(struct store_replay *r, const struct store_change *c)
{
    (void)r;
    mistake("a change that was never recorded", c->message);
}

static void on_state(struct store_watcher *w, enum spool_trouble trouble, uint64_t room_bytes)
{
    (void)w, (void)trouble, (void)room_bytes;
}

/* Where it lies, unless it is finished. */
static struct store_ref on_find(struct store_watcher *w, uint64_t id)
{
    const struct item *m = find_id(id);

    (void)w;
    return m == NULL || m->finishing ? (struct store_ref){ 0 } : m->where;
}

static void on_moved(struct store_watcher *w, uint64_t id, struct store_ref where)
{
    struct item *m = find_id(id);

    (void)w;
    if (m == NULL)
        mistake("a message moved that is not there", id);
    else
        m->where = where;
}

static void on_outcome_moved(struct store_watcher *w, uint64_t id, uint64_t from,
                             struct store_ref where)
{
    (void)w, (void)id, (void)from, (void)where;
}

static struct view read_body(const struct store_message *s)
{
    char *room;

    if (s->big_fd < 0)
        return view_make(memory_copy(s->body), s->body.len);
    room = memory_new(s->body_bytes + 1);
    if (pread(s->big_fd, room, s->body_bytes, 0) != (ssize_t)s->body_bytes)
        mistake("a body that cannot be read", 0);
    return view_make(room, s->body_bytes);
}

static void check_content(const struct item *m)
{
    struct store_message s;
    struct view body;
    char *wanted;

    if (store_read(keeper.store, m->id, m->where, true, &s) < 0) {
        mistake("a message that cannot be read", m->id);
        return;
    }
    body = read_body(&s);
    wanted = body_of(m->number, m->bytes);
    if (!view_equal(body, view_make(wanted, m->bytes)))
        mistake("a body that differs", m->id);
    free(wanted);
    free_view(body);
    store_message_release(&s);
}

static void hear_promise(struct view line)
{
    struct view verb = view_take_word(&line);
    struct view first = view_take_word(&line);
    struct item *m;
    uint64_t number;

    if (view_equal(verb, VIEW("try")) && view_to_u64(first, UINT64_MAX, &number)) {
        add(number)->offered = true;
    } else if (view_equal(verb, VIEW("kept"))) {
        if (!view_to_u64(view_take_word(&line), UINT64_MAX, &number) ||
            (m = find_number(number)) == NULL || !view_hex_to_u64(first, &m->id))
            abort();
        m->kept = true;
    } else if (view_hex_to_u64(first, &number) && (m = find_id(number)) != NULL) {
        m->finishing = m->finishing || view_equal(verb, VIEW("finish"));
        m->deferred = m->deferred || view_equal(verb, VIEW("deferred"));
    }
}

static void hear_promises(void)
{
    static char room[1 << 20];
    size_t len = fread(room, 1, sizeof(room), stdin);
    struct view all = view_make(room, len), line;

    while (view_take_line(&all, &line))
        hear_promise(line);
}

static void check_promises(void)
{
    size_t told = 0;

    for (size_t i = 0; i < keeper.count; i++) {
        const struct item *m = &keeper.messages[i];

        told += m->told;
        if (m->kept && !m->finishing && !m->told)
            mistake("a message that is lost", m->id);
        if (m->told)
            check_content(m);
        if (m->told && m->deferred && !m->told_deferred)
            mistake("an outcome that is lost", m->id);
    }
    printf("%zu messages\n", told);
}

/* The store that was recovered goes on, and its ids are new. */
static void check_going_on(void)
{
    struct error err = { "" };
    uint64_t number = 1000000;
    struct item *m;
    size_t before;

    while (find_number(number) != NULL)
        number++;
    if (store_start(keeper.store, &err) < 0) {
        mistake(err.text, 0);
        return;
    }
    before = keeper.count;
    offer(number);
    turn_until(true);
    m = find_number(number);
    if (m == NULL || !m->kept) {
        mistake("a new message that was refused", 0);
        return;
    }
    for (size_t i = 0; i < before; i++) {
        if (keeper.messages[i].kept && keeper.messages[i].id == m->id)
            mistake("an id that was used twice", m->id);
    }
}

/* ---- main ---- */

static int open_store(const char *path)
{
    const struct store_options o = {
        .path = path, .segment_bytes = SEGMENT, .big_body_bytes = BIG, .reserve_bytes = 1 << 20
    };
    struct error err = { "" };
    int result;

    keeper.replay = (struct store_replay){ on_message, on_outcome, on_change };
    keeper.watcher =
        (struct store_watcher){ on_state, on_find, on_moved, on_outcome_moved, NULL, NULL };
    if (loop_init(&keeper.loop) < 0)
        abort();
    result = store_open(&keeper.store, &o, &keeper.loop, &keeper.replay, &keeper.watcher, &err);
    while (result == 0 && store_replay(keeper.store, UINT32_MAX))
        continue;
    if (result < 0)
        fprintf(stderr, "%s\n", err.text);
    return result;
}

static int main_run(const char *path, uint64_t seed, uint64_t count)
{
    struct error err = { "" };

    if (open_store(path) < 0)
        return 2;
    if (store_start(keeper.store, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 2;
    }
    run(seed, count);
    store_close(&keeper.store);
    loop_release(&keeper.loop);
    return keeper.mistakes > 0;
}

static int main_check(const char *path)
{
    keeper.checking = true;
    hear_promises();
    if (open_store(path) < 0)
        return 1;
    check_promises();
    check_going_on();
    store_close(&keeper.store);
    loop_release(&keeper.loop);
    return keeper.mistakes > 0;
}

int main(int argc, char **argv)
{
    uint64_t seed, count;

    log_open("keeper", LOG_FORMAT_TEXT, LOG_LEVEL_WARNING);
    if (argc == 5 && strcmp(argv[1], "run") == 0 &&
        view_to_u64(view_of(argv[3]), UINT32_MAX, &seed) &&
        view_to_u64(view_of(argv[4]), MOST - 1, &count))
        return main_run(argv[2], seed, count);
    if (argc == 3 && strcmp(argv[1], "check") == 0)
        return main_check(argv[2]);
    fprintf(stderr, "usage: keeper run SPOOL SEED COUNT | keeper check SPOOL\n");
    return 64;
}
