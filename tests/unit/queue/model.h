/* A store whose segments are emptied all the time, and a simple model of it. A crash is a start
 * from a copy of the folder, without what was not yet durable; each start compares the two. */
#ifndef TESTS_UNIT_QUEUE_MODEL_H
#define TESTS_UNIT_QUEUE_MODEL_H

#include "tests/unit/queue/spoolbox.h"

enum {
    RCPTS = 2, /* as box_commit makes them */
    ITEMS = 4096,
};

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
    bool may_fail; /* writing */
};

struct model *model_new(uint64_t seed);
struct model *model_new_resting(void); /* its segments rest longer than any test */
void model_open(struct model *m);      /* after box_close; fails the test when they differ */
void model_end(struct model *m);
/* The store goes down with what is durable now, and is opened again. */
void model_crash(struct model *m);

uint64_t model_pick(struct model *m, uint64_t below);
void model_do_something(struct model *m);
/* What the store accepted stays from now on. */
struct item *model_add(struct model *m, const struct box_commit *c, uint64_t seed);
void model_finish(struct model *m, struct item *i);
void model_settle_some(struct model *m, struct item *i);
void model_accept_big(struct model *m);
/* Turns until the log has no more than its bound; fails the test when that takes too long. */
void model_wait_until_small(struct model *m);

#endif
