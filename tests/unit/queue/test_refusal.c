/* Who was refused is told only when what was written of it cannot come to life any more. */
#include "queue/journal.h"
#include "tests/unit/queue/spoolbox.h"
#include "tests/unit/unit.h"

#include "common/memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- a disk where one sync of the log fails ---- */

static struct {
    bool fails;       /* the next sync */
    unsigned synced;  /* since then */
    unsigned at_done; /* how many those were when the message was answered */
    bool done;
    enum spool_trouble trouble;
} disk;

/* A thread makes segments beforehand in another folder. */
static bool is_of_log(int fd)
{
    char link[64], path[256];
    ssize_t len;

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    len = readlink(link, path, sizeof(path));
    return len > 0 && view_find_view(view_make(path, (size_t)len), VIEW("/log/")) < (size_t)len;
}

int fdatasync(int fd)
{
    int result;

    if (disk.fails && is_of_log(fd)) {
        disk.fails = false;
        disk.synced = 0;
        errno = EIO;
        return -1;
    }
    result = (int)syscall(SYS_fdatasync, fd);
    disk.synced += result == 0;
    return result;
}

static void on_done(struct store_commit *c, enum spool_trouble trouble)
{
    (void)c;
    disk.done = true;
    disk.at_done = disk.synced;
    disk.trouble = trouble;
}

static void a_refusal_waits_for_the_cut(void **state)
{
    struct box b;
    struct box_commit *kept, *c;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    kept = box_accept(&b, 1, 100);
    c = box_commit(&b, 2, 100);
    c->commit.done = on_done;
    disk.fails = true;
    store_accept(b.store, &c->commit);
    box_settle(&b);
    check("refused", disk.done && disk.trouble == SPOOL_BROKEN);
    check("when the cut was durable", disk.at_done > 0);
    box_close(&b);
    box_open(&b, true);
    check("it does not come to life", b.told_count == 1);
    box_commit_free(kept);
    box_commit_free(c);
    box_remove(&b);
}

/* Outcomes of the second recipient until a new segment begins. */
static void fill_segment(struct box *b, uint64_t message)
{
    static const uint32_t second = 1;
    static char text[8000];
    struct store_outcome o = { .message = message,
                               .rcpts = &second,
                               .rcpt_count = 1,
                               .state = STORE_DELIVERED,
                               .text = { text, sizeof(text) } };
    struct store_ref where;
    uint64_t first;

    memset(text, 'x', sizeof(text));
    store_settle(b->store, &o, &where);
    first = record_segment(where.place);
    while (record_segment(where.place) == first) {
        store_settle(b->store, &o, &where);
        box_settle(b);
    }
}

/* The notice that was to supersede it has never been. */
static void a_state_is_kept_when_the_newer_one_fails(void **state)
{
    static const uint32_t first = 0;
    struct store_outcome o = { .rcpts = &first, .rcpt_count = 1, .state = STORE_DEFERRED };
    struct box b;
    struct box_commit *about, *notice;

    (void)state;
    box_new(&b);
    box_open(&b, true);
    about = box_accept(&b, 1, 100);
    o.message = about->commit.id;
    fill_segment(&b, o.message);
    store_settle(b.store, &o, NULL);
    fill_segment(&b, o.message);
    notice = box_commit(&b, 2, 100);
    notice->commit.about = o.message;
    notice->commit.settles = &first;
    notice->commit.settle_count = 1;
    disk.fails = true;
    store_accept(b.store, &notice->commit);
    box_settle(&b);
    check("refused", notice->trouble == SPOOL_BROKEN);
    for (int i = 0; i < 3; i++)
        fill_segment(&b, o.message);
    box_close(&b);
    box_open(&b, true);
    check("still deferred", b.told_count == 1 && b.told[0].deferred == 1 && b.told[0].failed == 0);
    box_commit_free(about);
    box_commit_free(notice);
    box_remove(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refusal_waits_for_the_cut),
        cmocka_unit_test(a_state_is_kept_when_the_newer_one_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
