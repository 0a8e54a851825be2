/* A disk that fails for one of the two streams of the log, or once for both. */
#include "tests/unit/queue/model.h"
#include "tests/unit/unit.h"

#include "io/clock.h"
#include "queue/ledger.h"
#include "queue/shelf.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATIENCE = 50000 }; /* turns of half a millisecond at least */

/* ---- syncs of segments ---- */

static struct {
    atomic_int error[STREAMS];
    atomic_bool once[STREAMS];     /* and not again */
    atomic_uint arrived[STREAMS];  /* at the gate */
    pthread_mutex_t gate[STREAMS]; /* they wait for it */
} syncs = { .gate = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER } };

static bool find_stream(int fd, enum stream *stream)
{
    char path[BOX_PATH];
    const char *name;
    uint64_t number;

    if (!box_path_of(fd, path))
        return false;
    name = strstr(path, "/log/");
    if (name == NULL || !segment_number(view_of(name + 5), &number))
        return false;
    *stream = segment_stream(number);
    return true;
}

int fdatasync(int fd)
{
    enum stream s;
    int error;

    if (find_stream(fd, &s)) {
        syncs.arrived[s]++;
        pthread_mutex_lock(&syncs.gate[s]);
        error = syncs.error[s];
        if (syncs.once[s])
            syncs.error[s] = 0;
        pthread_mutex_unlock(&syncs.gate[s]);
        if (error != 0) {
            errno = error;
            return -1;
        }
    }
    return (int)syscall(SYS_fdatasync, fd);
}

/* ---- time ---- */

static void pass(struct model *m, uint64_t ms)
{
    for (uint64_t at = 0; at < ms; at += 100) {
        usleep(500);
        clock_advance(100);
        assert_int_equal(loop_turn(&m->box.loop, 0), 0);
        store_flush(m->box.store);
    }
}

static struct store_numbers count(const struct model *m)
{
    struct store_numbers n;

    store_count(m->box.store, &n);
    return n;
}

static void pass_until(struct model *m, bool (*what)(struct model *m))
{
    for (unsigned i = 0; i < PATIENCE && !what(m); i++)
        pass(m, 100);
    check("in time", what(m));
}

/* ---- mail ---- */

static void accept_one(struct model *m, uint64_t seed)
{
    struct box_commit *c = box_accept(&m->box, seed, 60000);

    check("taken", c->trouble == SPOOL_FINE);
    model_add(m, c, seed);
    box_commit_free(c);
}

/* So much has gone that what is left will be moved. */
static struct model *new_sparse_model(void)
{
    struct model *m = model_new(1);

    for (unsigned i = 0; i < 250; i++)
        accept_one(m, i);
    for (unsigned i = 0; i < 250; i++) {
        if (i % 3 != 0)
            model_finish(m, &m->items[i]);
    }
    return m;
}

static bool is_small(struct model *m)
{
    struct store_numbers n = count(m);

    return n.copies_error == 0 && n.moved_bytes > 0 &&
           n.disk_bytes <= n.live_bytes * 3 / 2 + 6ull * BOX_SEGMENT;
}

static void end(struct model *m)
{
    pass_until(m, is_small);
    box_settle(&m->box);
    check("no damage", count(m).damaged == 0);
    box_close(&m->box);
    model_open(m);
    model_end(m);
}

/* ---- tests ---- */

static bool has_failed_often(struct model *m)
{
    check("mail is welcome", count(m).trouble == SPOOL_FINE && m->box.trouble == SPOOL_FINE);
    return count(m).syncs_failed >= 5;
}

static void copies_that_fail_stop_compaction_alone(void **state)
{
    struct model *m;
    uint64_t moved, failed;

    (void)state;
    clock_freeze(1700000000000);
    syncs.error[STREAM_OLD] = EIO;
    m = new_sparse_model();
    m->may_fail = true;
    pass_until(m, has_failed_often);
    check("it is said", count(m).copies_error == EIO && count(m).write_error == 0);
    check("nothing has moved", m->moved == 0);
    moved = count(m).moved_bytes;
    failed = count(m).syncs_failed;
    accept_one(m, 1000);
    pass(m, 25000);
    check("it rests", count(m).syncs_failed <= failed + 1 && count(m).moved_bytes <= moved * 2);
    syncs.error[STREAM_OLD] = 0;
    end(m);
}

static bool is_told(struct model *m)
{
    return m->box.trouble == count(m).trouble;
}

/* A full disk, as far as copies know. */
static void copies_without_room_keep_out_no_mail(void **state)
{
    struct model *m;

    (void)state;
    clock_freeze(1700000000000);
    syncs.error[STREAM_OLD] = ENOSPC;
    m = new_sparse_model();
    m->may_fail = true;
    for (unsigned i = 0; i < PATIENCE && count(m).copies_error == 0; i++)
        pass(m, 100);
    check("it is said", count(m).copies_error == ENOSPC && count(m).syncs_failed == 0);
    pass_until(m, is_told);
    check("mail is welcome", count(m).trouble == SPOOL_FINE);
    accept_one(m, 1000);
    syncs.error[STREAM_OLD] = 0;
    end(m);
}

static void wait_for_sync(struct model *m, enum stream s)
{
    for (unsigned i = 0; i < PATIENCE && syncs.arrived[s] == 0; i++)
        pass(m, 100);
    check("it is on its way", syncs.arrived[s] > 0);
}

static struct box_commit *send_one(struct model *m)
{
    struct box_commit *c = box_commit(&m->box, 2000, 1000);

    store_accept(m->box.store, &c->commit);
    store_flush(m->box.store);
    return c;
}

static enum spool_trouble answer_to(struct model *m, struct box_commit *c)
{
    enum spool_trouble trouble;

    for (unsigned i = 0; i < PATIENCE && !c->done; i++)
        pass(m, 100);
    check("answered", c->done);
    trouble = c->trouble;
    if (trouble == SPOOL_FINE)
        model_add(m, c, 2000);
    box_commit_free(c);
    return trouble;
}

static bool is_well(struct model *m)
{
    return m->box.trouble == SPOOL_FINE && count(m).trouble == SPOOL_FINE;
}

/* With the first copies on their way to the disk. */
static struct model *new_model_with_copies_held_up(void)
{
    struct model *m;

    pthread_mutex_lock(&syncs.gate[STREAM_OLD]);
    syncs.arrived[STREAM_OLD] = 0;
    m = new_sparse_model();
    m->may_fail = true;
    wait_for_sync(m, STREAM_OLD);
    return m;
}

/* That copies can be written says nothing of mail. */
static void copies_that_succeed_do_not_bring_mail_back(void **state)
{
    static const int errors[] = { ENOSPC, EIO };

    (void)state;
    clock_freeze(1700000000000);
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        struct model *m = new_model_with_copies_held_up();
        enum spool_trouble wanted = errors[i] == EIO ? SPOOL_SUSPENDED : SPOOL_FULL;

        syncs.error[STREAM_FRESH] = errors[i];
        check("refused", answer_to(m, send_one(m)) != SPOOL_FINE);
        if (errors[i] == EIO)
            check("again", answer_to(m, send_one(m)) != SPOOL_FINE);
        check("no more mail", count(m).trouble == wanted);
        pthread_mutex_lock(&syncs.gate[STREAM_FRESH]); /* no probe comes between */
        clock_advance(20000);
        pthread_mutex_unlock(&syncs.gate[STREAM_OLD]);
        for (unsigned k = 0; k < PATIENCE && m->moved == 0; k++) {
            usleep(500);
            assert_int_equal(loop_turn(&m->box.loop, 0), 0);
        }
        check("they moved", m->moved > 0);
        check("still none", count(m).trouble == wanted);
        syncs.error[STREAM_FRESH] = 0;
        pthread_mutex_unlock(&syncs.gate[STREAM_FRESH]);
        pass_until(m, is_well);
        check("taken", answer_to(m, send_one(m)) == SPOOL_FINE);
        end(m);
    }
}

/* One fault of the disk is one, however many files it hits. */
static void a_fault_that_hits_both_counts_once(void **state)
{
    struct model *m;
    struct box_commit *c;

    (void)state;
    clock_freeze(1700000000000);
    m = new_model_with_copies_held_up();
    pthread_mutex_lock(&syncs.gate[STREAM_FRESH]);
    syncs.arrived[STREAM_FRESH] = 0;
    c = send_one(m);
    wait_for_sync(m, STREAM_FRESH);
    for (unsigned s = 0; s < STREAMS; s++) {
        syncs.error[s] = EIO;
        syncs.once[s] = true;
        pthread_mutex_unlock(&syncs.gate[s]);
    }
    check("refused once", answer_to(m, c) == SPOOL_BROKEN);
    for (unsigned i = 0; i < PATIENCE && count(m).copies_error == 0; i++)
        pass(m, 100);
    check("both have failed", count(m).syncs_failed == 2 && count(m).copies_error == EIO);
    check("not twice", count(m).trouble == SPOOL_FINE);
    check("taken", answer_to(m, send_one(m)) == SPOOL_FINE);
    syncs.once[STREAM_FRESH] = syncs.once[STREAM_OLD] = false;
    end(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_that_fail_stop_compaction_alone),
        cmocka_unit_test(copies_without_room_keep_out_no_mail),
        cmocka_unit_test(copies_that_succeed_do_not_bring_mail_back),
        cmocka_unit_test(a_fault_that_hits_both_counts_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
