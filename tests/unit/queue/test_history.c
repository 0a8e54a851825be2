#include "queue/history.h"

#include "io/loop.h"
#include "queue/search.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DAY_MS = 24 * 3600 * 1000, PLENTY = 1 << 30 };

static struct {
    struct loop loop;
    struct history *history;
    uint64_t mark;
    struct timer look;
} box;

static void on_look(struct timer *t)
{
    if (history_reached(box.history, box.mark))
        loop_stop(&box.loop);
    else
        loop_start_timer(&box.loop, t, 1);
}

static void write_all(void)
{
    box.mark = history_flush(box.history);
    box.look.fire = on_look;
    loop_start_timer(&box.loop, &box.look, 1);
    assert_int_equal(loop_run(&box.loop), 0);
}

/* The queue's clock, in days since its first one. As in the queue it goes on from the loop's: what
 * passed before the loop looks again does not set it back, and names stay in order. */
static void begin_on(uint64_t day, uint64_t bytes_most, uint64_t span_ms)
{
    box.history = history_new(&box.loop);
    assert_non_null(box.history);
    history_limit(box.history, bytes_most, span_ms);
    assert_int_equal(history_start(box.history, 1795695180123 + day * DAY_MS - box.loop.now_ms), 0);
}

static void begin(uint64_t bytes_most, uint64_t span_ms)
{
    begin_on(0, bytes_most, span_ms);
}

static int setup(void **state)
{
    char folder[] = "/tmp/tern-history-XXXXXX";

    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    return loop_init(&box.loop);
}

static size_t list(char ***names)
{
    size_t count;

    assert_int_equal(history_list(names, &count), 0);
    return count;
}

static size_t count_files(void)
{
    char **names;
    size_t count = list(&names);

    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
    return count;
}

static int teardown(void **state)
{
    char **names, path[256];
    size_t count = list(&names);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof(path), HISTORY_FOLDER "/%s", names[i]);
        unlink(path);
        free(names[i]);
    }
    free(names);
    rmdir(HISTORY_FOLDER);
    assert_non_null(getcwd(path, sizeof(path)));
    rmdir(path);
    loop_release(&box.loop);
    return 0;
}

static void add(uint64_t id, const char *to, const char *message_id)
{
    const struct envelope_rcpt rcpt = { .address = view_of(to) };
    const struct past p = {
        .id = id,
        .state = PAST_DELIVERED,
        .at_ms = 1,
        .envelope = { .sender = VIEW("alice@a.test"),
                      .rcpts = &rcpt,
                      .rcpt_count = 1,
                      .message_id = view_of(message_id) },
        .outcome = VIEW("class=delivered\n"),
    };

    history_add(box.history, &p);
}

/* How many records a word finds; the id of the last one in *id. */
static size_t find(const char *word, uint64_t *id)
{
    struct search *s = search_new(view_of(word));
    struct arena arena;
    struct past p;
    enum search_step step;
    size_t found = 0;

    arena_init(&arena, 1 << 20);
    while ((step = search_step(s, &arena, &p)) != SEARCH_OVER) {
        if (step == SEARCH_FOUND) {
            found++;
            *id = p.id;
        }
    }
    arena_reset(&arena);
    search_free(&s);
    return found;
}

static void finds_what_was_written(void **state)
{
    uint64_t id = 0;

    (void)state;
    begin(PLENTY, DAY_MS);
    for (unsigned i = 1; i <= 20000; i++) {
        char to[64], message_id[64];

        snprintf(to, sizeof(to), "user%u@b.test", i);
        snprintf(message_id, sizeof(message_id), "<%u.x@a.test>", i);
        add(i, to, message_id);
    }
    add(77, "odd%one@b.test", "");
    write_all();
    assert_int_equal(find("user12345@b.test", &id), 1);
    assert_int_equal(id, 12345);
    assert_int_equal(find("USER20000@B.test", &id), 1);
    assert_int_equal(id, 20000);
    assert_int_equal(find("<1.x@a.test>", &id), 1);
    assert_int_equal(id, 1);
    assert_int_equal(find("9999.x@a.test", &id), 1);
    assert_int_equal(id, 9999);
    assert_int_equal(find("0000000000004E20", &id), 1);
    assert_int_equal(id, 20000);
    assert_int_equal(find("odd%one@b.test", &id), 1);
    assert_int_equal(find("alice@a.test", &id), 20001);
    assert_int_equal(find("nobody@b.test", &id), 0);
    assert_int_equal(find("ser1@b.test", &id), 0);
    assert_int_equal(find("", &id), 0);
    history_free(&box.history);
}

static void append_to_files(const char *bytes)
{
    char **names, path[256];
    size_t count = list(&names);

    for (size_t i = 0; i < count; i++) {
        int fd;

        snprintf(path, sizeof(path), HISTORY_FOLDER "/%s", names[i]);
        fd = open(path, O_WRONLY | O_APPEND);
        assert_true(fd >= 0 && write(fd, bytes, strlen(bytes)) == (ssize_t)strlen(bytes));
        close(fd);
        free(names[i]);
    }
    free(names);
}

/* The next process writes another file, so what is torn hides nothing. */
static void passes_over_a_torn_end(void **state)
{
    uint64_t id;

    (void)state;
    begin(PLENTY, 9 * DAY_MS);
    add(1, "bob@b.test", "");
    write_all();
    history_free(&box.history);
    append_to_files("id=0000000000000009\nstate=delivered\nrcpt=bob@b.test\ncrc=");
    begin_on(1, PLENTY, 9 * DAY_MS); /* its files stand behind the others */
    add(2, "bob@b.test", "");
    history_free(&box.history); /* writes, too */
    assert_int_equal(count_files(), 2);
    assert_int_equal(find("bob@b.test", &id), 2);
    assert_int_equal(id, 2);
}

static uint64_t measure(void)
{
    char **names, path[256];
    size_t count = list(&names);
    uint64_t bytes = 0;
    struct stat facts;

    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof(path), HISTORY_FOLDER "/%s", names[i]);
        assert_int_equal(stat(path, &facts), 0);
        bytes += (uint64_t)facts.st_size;
        free(names[i]);
    }
    free(names);
    return bytes;
}

static void removes_the_oldest_when_there_is_too_much(void **state)
{
    enum { MOST = 1 << 20 };
    uint64_t id;

    (void)state;
    begin(MOST, DAY_MS);
    for (unsigned i = 1; i <= 20000; i++) {
        add(i, "bob@b.test", "<a-message-id-that-takes-some-room@a.test>");
        if (i % 200 != 0)
            continue;
        write_all();
        assert_true(measure() <= MOST);
    }
    history_free(&box.history);
    assert_true(measure() <= MOST && measure() >= MOST / 2);
    assert_int_equal(find("0000000000000001", &id), 0);
    assert_int_equal(find("0000000000004e20", &id), 1);
}

static void removes_what_is_too_old(void **state)
{
    uint64_t id;

    (void)state;
    begin(PLENTY, 10 * (uint64_t)DAY_MS);
    add(1, "bob@b.test", "");
    history_free(&box.history);
    begin_on(10, PLENTY, 10 * (uint64_t)DAY_MS);
    add(2, "bob@b.test", "");
    write_all();
    assert_int_equal(find("bob@b.test", &id), 2);
    history_free(&box.history);
    begin_on(11, PLENTY, 10 * (uint64_t)DAY_MS);
    add(3, "bob@b.test", "");
    write_all();
    assert_int_equal(find("bob@b.test", &id), 2);
    assert_int_equal(find("0000000000000001", &id), 0);
    history_free(&box.history);
}

/* Which is what the files say that they were written at. */
static void the_wall_clock_removes_nothing(void **state)
{
    static const struct timespec jumps[][2] = {
        { { .tv_sec = 1 }, { .tv_sec = 1 } }, { { .tv_sec = 4102444800 }, { .tv_sec = 4102444800 } }
    };
    char **names, path[256];
    uint64_t id;

    (void)state;
    begin(PLENTY, DAY_MS);
    add(1, "bob@b.test", "");
    history_free(&box.history);
    assert_int_equal(list(&names), 1);
    snprintf(path, sizeof(path), HISTORY_FOLDER "/%s", names[0]);
    free(names[0]);
    free(names);
    for (size_t i = 0; i < COUNT_OF(jumps); i++) {
        assert_int_equal(utimensat(AT_FDCWD, path, jumps[i], 0), 0);
        begin(PLENTY, DAY_MS);
        add(2, "alice@b.test", "");
        write_all();
        assert_int_equal(find("bob@b.test", &id), 1);
        history_free(&box.history);
    }
    begin_on(2, PLENTY, DAY_MS);
    add(3, "alice@b.test", "");
    write_all();
    assert_int_equal(find("bob@b.test", &id), 0);
    history_free(&box.history);
}

static void keeps_nothing_when_switched_off(void **state)
{
    uint64_t id;

    (void)state;
    begin(PLENTY, DAY_MS);
    add(1, "bob@b.test", "");
    write_all();
    history_free(&box.history);
    begin(0, DAY_MS);
    assert_false(history_wanted(box.history));
    add(2, "bob@b.test", "");
    while (count_files() > 0) { /* the first look removes what was there */
        box.mark = 1;
        box.look.fire = on_look;
        loop_start_timer(&box.loop, &box.look, 1);
        assert_int_equal(loop_run(&box.loop), 0);
    }
    assert_int_equal(find("bob@b.test", &id), 0);
    history_free(&box.history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(finds_what_was_written, setup, teardown),
        cmocka_unit_test_setup_teardown(passes_over_a_torn_end, setup, teardown),
        cmocka_unit_test_setup_teardown(removes_the_oldest_when_there_is_too_much, setup, teardown),
        cmocka_unit_test_setup_teardown(removes_what_is_too_old, setup, teardown),
        cmocka_unit_test_setup_teardown(the_wall_clock_removes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(keeps_nothing_when_switched_off, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
