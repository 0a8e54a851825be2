#include "tests/unit/queue/spoolbox.h"
#include "tests/unit/unit.h"

#include "io/clock.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static const uint32_t both[] = { 0, 1 };

static void says_when_the_disk_is_low(void **state)
{
    struct box b;
    struct box_commit *c;
    uint64_t file;

    (void)state;
    box_new(&b);
    b.reserve_bytes = 1ull << 60;
    box_open(&b, true);
    check("told in the first turn", loop_turn(&b.loop, 10) == 0 && b.states == 1);
    check("full", b.trouble == SPOOL_FULL);
    check("no file", store_create_body(b.store, &file) == -ENOSPC);
    c = box_accept(&b, 1, 100);
    check("but what comes all the same is kept", c->trouble == SPOOL_FINE);
    box_commit_free(c);
    box_remove(&b);
}

/* Every write fails, as on a disk that is broken. */
static void let_writes_fail(bool fail)
{
    struct rlimit r;

    getrlimit(RLIMIT_FSIZE, &r);
    r.rlim_cur = fail ? 0 : r.rlim_max;
    setrlimit(RLIMIT_FSIZE, &r);
}

static void turn_for(struct box *b, unsigned seconds)
{
    for (unsigned i = 0; i < seconds * 10; i++) {
        usleep(1000);
        clock_advance(100);
        assert_int_equal(loop_turn(&b->loop, 0), 0);
        store_flush(b->store);
    }
}

static void outcomes_can_be_read_while_nothing_can_be_written(void **state)
{
    struct box b;
    struct box_commit *c, *refused;
    struct store_outcome o;
    struct store_ref where;
    struct store_numbers n;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    box_new(&b);
    box_open(&b, true);
    c = box_accept(&b, 1, 500);
    o = box_outcome(c->commit.id, both, 2, STORE_DEFERRED);
    let_writes_fail(true);
    store_settle(b.store, &o, &where);
    b.followed = &where;
    refused = box_commit(&b, 2, 10);
    store_accept(b.store, &refused->commit);
    for (store_count(b.store, &n); n.syncs_failed < 4; store_count(b.store, &n)) {
        turn_for(&b, 1);
        check("meanwhile", box_reads_outcome(&b, where, o.message));
    }
    check("new mail is refused", refused->done && refused->trouble == SPOOL_BROKEN);
    let_writes_fail(false);
    box_settle(&b);
    check("afterwards", box_reads_outcome(&b, where, o.message));
    store_count(b.store, &n);
    check("no damage", n.damaged == 0 && box_count_files(&b, "bad") == 0);
    box_close(&b);
    box_open(&b, false);
    check("at the next start", b.told_count == 1 && b.told[0].deferred == 1);
    box_commit_free(c);
    box_commit_free(refused);
    box_remove(&b);
}

static void a_disk_that_fails_costs_no_record(void **state)
{
    struct box b;
    struct box_commit *kept, *broken, *later, *last;
    struct store_outcome o, back;
    struct store_ref where;
    struct arena arena;
    struct store_numbers n;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    clock_freeze(1700000000000);
    box_new(&b);
    box_open(&b, true);
    kept = box_accept(&b, 1, 100);
    let_writes_fail(true);
    broken = box_commit(&b, 2, 100);
    store_accept(b.store, &broken->commit);
    o = box_outcome(kept->commit.id, both, 2, STORE_DEFERRED);
    store_settle(b.store, &o, &where);
    b.followed = &where;
    store_flush(b.store);
    while (!broken->done)
        assert_int_equal(loop_turn(&b.loop, 10), 0);
    check("refused", broken->trouble == SPOOL_BROKEN);
    turn_for(&b, 3);
    check("it failed again", b.trouble == SPOOL_SUSPENDED);
    check("what was kept is read", box_is_whole(&b, kept->commit.id, kept->commit.where, 1, 100));
    later = box_commit(&b, 3, 100);
    store_accept(b.store, &later->commit);
    turn_for(&b, 1);
    check("refused at once", later->done && later->trouble == SPOOL_SUSPENDED);
    check("the outcome waits", !store_idle(b.store));
    let_writes_fail(false);
    turn_for(&b, 3);
    check("not any more", store_idle(b.store));
    arena_init(&arena, 65536);
    check("it is found in its new place", store_read_outcome(b.store, where, &arena, &back) == 0 &&
                                              back.message == kept->commit.id &&
                                              back.rcpt_count == 2);
    arena_reset(&arena);
    turn_for(&b, 20);
    check("and all is well", b.trouble == SPOOL_FINE);
    last = box_accept(&b, 4, 100);
    check("accepted", last->trouble == SPOOL_FINE);
    box_close(&b);
    box_open(&b, true);
    store_count(b.store, &n);
    check("no damage", n.damaged == 0);
    check("two, with the outcome", b.told_count == 2 &&
                                       box_find(&b, kept->commit.id)->deferred == 1 &&
                                       box_find(&b, last->commit.id) != NULL);
    box_commit_free(kept);
    box_commit_free(broken);
    box_commit_free(later);
    box_commit_free(last);
    box_remove(&b);
}

/* What waits lies in memory: no more than a limit begins while the disk takes nothing. */
static void is_behind_while_much_waits(void **state)
{
    enum { MOST = 20000 };
    struct box b;
    struct box_commit *c;
    struct store_outcome o;
    unsigned told = 0;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    clock_freeze(1700000000000);
    box_new(&b);
    box_open(&b, true);
    c = box_accept(&b, 1, 500);
    o = box_outcome(c->commit.id, both, 2, STORE_DEFERRED);
    check("not yet", !store_is_behind(b.store));
    let_writes_fail(true);
    while (!store_is_behind(b.store) && told < MOST) {
        for (unsigned i = 0; i < 100; i++, told++)
            store_settle(b.store, &o, NULL);
        turn_for(&b, 1);
    }
    check("behind", told > 1000 && told < MOST);
    let_writes_fail(false);
    turn_for(&b, 30);
    check("caught up", !store_is_behind(b.store) && store_idle(b.store));
    box_commit_free(c);
    box_remove(&b);
}

/* Whether the process may open files. */
static void forbid_files(bool forbid)
{
    static struct rlimit before;
    struct rlimit r;

    if (forbid)
        getrlimit(RLIMIT_NOFILE, &before);
    r = before;
    if (forbid)
        r.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &r);
}

static void without_descriptors_the_disk_is_not_blamed(void **state)
{
    struct box b;
    struct box_commit *before, *c = NULL;
    struct store_message m;
    struct store_numbers n;
    unsigned refused = 0;

    (void)state;
    clock_freeze(1700000000000);
    box_new(&b);
    box_open(&b, true);
    before = box_accept(&b, 1, 100);
    forbid_files(true);
    check("cannot be read",
          store_read(b.store, before->commit.id, before->commit.where, true, &m) == -EMFILE);
    for (uint64_t i = 0; i < 30 && refused == 0; i++) { /* the next segment cannot be opened */
        c = box_commit(&b, 100 + i, 60000);
        store_accept(b.store, &c->commit);
        for (int turns = 0; turns < 100 && !c->done; turns++) /* a slow disk answers later */
            turn_for(&b, 1);
        refused += c->done && c->trouble == SPOOL_FULL;
        check("answered", c->done);
        box_commit_free(c);
    }
    turn_for(&b, 3);
    check("refused", refused == 1 && b.trouble == SPOOL_FULL);
    store_count(b.store, &n);
    check("no failure, no damage", n.syncs_failed == 0 && n.damaged == 0);
    forbid_files(false);
    for (int turns = 0; turns < 100 && b.trouble != SPOOL_FINE; turns++) /* as above */
        turn_for(&b, 1);
    check("well again", b.trouble == SPOOL_FINE);
    c = box_accept(&b, 500, 60000);
    check("accepted", c->trouble == SPOOL_FINE);
    check("and read", box_is_whole(&b, before->commit.id, before->commit.where, 1, 100));
    box_commit_free(c);
    box_commit_free(before);
    box_remove(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outcomes_can_be_read_while_nothing_can_be_written),
        cmocka_unit_test(says_when_the_disk_is_low),
        cmocka_unit_test(a_disk_that_fails_costs_no_record),
        cmocka_unit_test(is_behind_while_much_waits),
        cmocka_unit_test(without_descriptors_the_disk_is_not_blamed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
