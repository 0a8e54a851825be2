/* The store on a small disk that is really full. */
#include "tests/unit/queue/spoolbox.h"
#include "tests/unit/unit.h"

#include "io/clock.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

enum {
    PATIENCE_MS = 20000,
    LETTERS_MOST = 200,
    LETTER = 60000, /* bytes */
    OUTCOMES = 300,
    OUTCOME_TEXT = 8000, /* bytes: all of them fill more than two segments */
};

static const uint32_t both[] = { 0, 1 };

static void ballast_of(const struct box *b, char *path, size_t size)
{
    snprintf(path, size, "%s/ballast", b->path);
}

static void fill_disk(const struct box *b)
{
    static const char bytes[4096];
    char path[128];
    int fd;

    ballast_of(b, path, sizeof(path));
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (write(fd, bytes, sizeof(bytes)) > 0)
        continue;
    close(fd);
}

static void make_room(const struct box *b)
{
    char path[128];

    ballast_of(b, path, sizeof(path));
    assert_int_equal(unlink(path), 0);
}

static bool is_idle(struct box *b)
{
    store_flush(b->store);
    return store_idle(b->store);
}

static bool is_well(struct box *b)
{
    return b->trouble == SPOOL_FINE;
}

static bool is_full(struct box *b)
{
    return b->trouble == SPOOL_FULL;
}

static bool has_all_spares(struct box *b)
{
    return box_count_files(b, "free") == 4;
}

static bool comes_true(struct box *b, bool (*what)(struct box *b))
{
    uint64_t began = clock_monotonic_ms();

    while (!what(b) && clock_monotonic_ms() < began + PATIENCE_MS)
        assert_int_equal(loop_turn(&b->loop, 10), 0);
    return what(b);
}

/* The number of letters that are taken before one is refused. */
static size_t send_until_refused(struct box *b, struct box_commit **taken)
{
    for (size_t i = 0; i < LETTERS_MOST; i++) {
        taken[i] = box_accept(b, i, LETTER);
        if (taken[i]->trouble == SPOOL_FINE)
            continue;
        check("for want of room", taken[i]->trouble == SPOOL_FULL);
        box_commit_free(taken[i]);
        return i;
    }
    return LETTERS_MOST;
}

static void record_outcomes(struct box *b, uint64_t id)
{
    static char text[OUTCOME_TEXT];
    struct store_outcome o = { .message = id,
                               .rcpts = both,
                               .rcpt_count = 2,
                               .state = STORE_DEFERRED,
                               .text = view_make(text, sizeof(text)) };

    memset(text, 't', sizeof(text));
    for (o.attempts = 1; o.attempts <= OUTCOMES; o.attempts++)
        store_settle(b->store, &o, NULL);
}

static uint32_t attempts_of(struct box *b, uint64_t id)
{
    struct box_message *m = box_find(b, id);
    struct store_outcome o = { 0 };
    struct arena arena;

    check("told", m != NULL);
    arena_init(&arena, 65536);
    check("read", store_read_outcome(b->store, m->outcome, &arena, &o) == 0);
    arena_reset(&arena);
    return o.attempts;
}

static void outcomes_are_durable_on_a_full_disk(void **state)
{
    static struct box_commit *taken[LETTERS_MOST];
    struct box_commit *c;
    struct box b;
    size_t count;

    (void)state;
    box_new(&b);
    if (mount("none", b.path, "tmpfs", 0, "size=10m") < 0) {
        box_remove(&b);
        skip();
    }
    b.reserve_bytes = 0;
    box_open(&b, true);
    check("spares are made", comes_true(&b, has_all_spares));
    fill_disk(&b);
    count = send_until_refused(&b, taken);
    check("mail goes on for a while, and ends", count > 1 && count < LETTERS_MOST);
    check("the watcher is told", comes_true(&b, is_full));

    record_outcomes(&b, taken[0]->commit.id);
    check("outcomes are written", comes_true(&b, is_idle));
    c = box_accept(&b, 1, 10);
    check("mail is not", c->trouble == SPOOL_FULL);
    box_commit_free(c);
    box_close(&b);
    box_open(&b, true);
    check("nothing is lost", b.told_count == count);
    check("not even the last outcome", attempts_of(&b, taken[0]->commit.id) == OUTCOMES);
    c = box_accept(&b, 1, LETTER);
    check("still no mail", c->trouble == SPOOL_FULL);
    box_commit_free(c);

    for (size_t i = 0; i < count; i++)
        store_finish(b.store, taken[i]->commit.id, taken[i]->commit.where);
    check("ends are written", comes_true(&b, is_idle));
    check("and make room for new mail", comes_true(&b, is_well));
    c = box_accept(&b, 1, LETTER);
    check("which comes", c->trouble == SPOOL_FINE);
    box_commit_free(c);
    for (size_t i = 0; i < count; i++)
        box_commit_free(taken[i]);
    box_close(&b);
    umount2(b.path, MNT_DETACH);
    box_remove(&b);
}

static void mail_comes_again_when_there_is_room(void **state)
{
    static struct box_commit *taken[LETTERS_MOST];
    struct box b;
    size_t count;

    (void)state;
    box_new(&b);
    if (mount("none", b.path, "tmpfs", 0, "size=10m") < 0) {
        box_remove(&b);
        skip();
    }
    b.reserve_bytes = 0;
    box_open(&b, true);
    fill_disk(&b);
    count = send_until_refused(&b, taken);
    check("refused", count < LETTERS_MOST && comes_true(&b, is_full));
    make_room(&b);
    check("well by itself", comes_true(&b, is_well));
    taken[count] = box_accept(&b, count, LETTER);
    check("taken", taken[count]->trouble == SPOOL_FINE);
    for (size_t i = 0; i <= count; i++) {
        check("whole", box_is_whole(&b, taken[i]->commit.id, taken[i]->commit.where, i, LETTER));
        box_commit_free(taken[i]);
    }
    box_close(&b);
    umount2(b.path, MNT_DETACH);
    box_remove(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outcomes_are_durable_on_a_full_disk),
        cmocka_unit_test(mail_comes_again_when_there_is_room),
    };

    /* Mounts of its own, which end with it; without them, the tests are passed over. */
    if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        perror("unshare");
    else if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        perror("mount");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
