/* Who was refused is told only when what was written of it cannot come to life any more. */
#include "queue/journal.h"
#include "tests/unit/queue/spoolbox.h"
#include "tests/unit/unit.h"

#include "common/memory.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- a disk where one sync fails ---- */

static struct {
    bool fails;       /* the next sync */
    unsigned synced;  /* since then */
    unsigned at_done; /* how many those were when the message was answered */
    bool done;
    enum spool_trouble trouble;
} disk;

int fdatasync(int fd)
{
    int result;

    if (disk.fails) {
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refusal_waits_for_the_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
