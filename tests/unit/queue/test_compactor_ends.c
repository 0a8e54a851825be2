/* Many ends at once, of messages whose segments stay for the sake of a few others. */
#include "tests/unit/queue/spoolbox.h"
#include "tests/unit/unit.h"

#include "io/clock.h"

#include <string.h>

enum { MESSAGES = 40000, STAYS = 50, ROUND = 500, PATIENCE_MS = 20000 };

static struct note {
    uint64_t id;
    struct store_ref where;
    bool live;
} notes[MESSAGES]; /* by id */

static struct note *find(uint64_t id)
{
    size_t low = 0, high = MESSAGES;

    while (low + 1 < high) {
        size_t middle = (low + high) / 2;

        if (notes[middle].id <= id)
            low = middle;
        else
            high = middle;
    }
    return &notes[low];
}

static struct store_ref on_find(struct store_watcher *w, uint64_t id)
{
    const struct note *n = find(id);

    (void)w;
    return n->id == id && n->live ? n->where : (struct store_ref){ 0 };
}

static void on_moved(struct store_watcher *w, uint64_t id, struct store_ref where)
{
    (void)w;
    find(id)->where = where;
}

static void accept_round(struct box *b, size_t from)
{
    struct box_commit *c[ROUND];

    for (size_t i = 0; i < ROUND; i++) {
        c[i] = box_commit(b, from + i, 300);
        store_accept(b->store, &c[i]->commit);
    }
    box_settle(b);
    for (size_t i = 0; i < ROUND; i++) {
        check("taken", c[i]->done && c[i]->trouble == SPOOL_FINE);
        notes[from + i] = (struct note){ c[i]->commit.id, c[i]->commit.where, true };
        box_commit_free(c[i]);
    }
}

static bool is_small(const struct store_numbers *n)
{
    return n->disk_bytes <= n->live_bytes * 3 / 2 + 6ull * BOX_SEGMENT;
}

static void ends_do_not_go_round(void **state)
{
    struct box b;
    struct store_numbers n;
    uint64_t began;

    (void)state;
    box_new(&b);
    b.watcher.find = on_find;
    b.watcher.moved = on_moved;
    b.rest_ms = 1;
    box_open(&b, true);
    memset(notes, 0xff, sizeof(notes));
    for (size_t i = 0; i < MESSAGES; i += ROUND)
        accept_round(&b, i);
    for (size_t i = 0; i < MESSAGES; i++) {
        if (i % STAYS == 0)
            continue;
        notes[i].live = false;
        store_finish(b.store, notes[i].id, notes[i].where);
    }
    box_settle(&b);
    store_count(b.store, &n);
    check("large", !is_small(&n));
    began = clock_monotonic_ms();
    while (!is_small(&n) && clock_monotonic_ms() < began + PATIENCE_MS) {
        assert_int_equal(loop_turn(&b.loop, 20), 0);
        store_flush(b.store);
        store_count(b.store, &n);
    }
    check("small again", is_small(&n));
    check("little was written", n.moved_bytes < 10ull * BOX_SEGMENT);
    box_remove(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_do_not_go_round),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
