/* A spool in a folder of its own, opened and closed by the tests, and what its replay told. */
#ifndef TESTS_UNIT_QUEUE_SPOOLBOX_H
#define TESTS_UNIT_QUEUE_SPOOLBOX_H

#include "common/buf.h"
#include "queue/store.h"

enum {
    BOX_SEGMENT = 1 << 20, /* bytes */
    BOX_TOLD_MOST = 4096,
    BOX_PATH = 256,
};

struct box_message {
    uint64_t id;
    struct store_ref where;
    uint64_t body_bytes;
    unsigned deferred, delivered, failed, held, noticed; /* told of it */
    struct store_ref outcome;                            /* where the last of them is */
};

struct box {
    char path[64];
    uint64_t reserve_bytes; /* 1 MiB to begin with */
    bool fresh;             /* as in struct store_options */
    uint64_t rest_ms;       /* likewise */
    bool lazy;              /* the replay is left to the test */
    struct loop loop;
    struct store *store;
    struct store_replay replay;
    struct store_watcher watcher;
    struct box_message *told;
    size_t told_count;
    enum spool_trouble trouble;
    struct store_ref *followed; /* NULL, or kept up when the outcome there moves */
    unsigned states;            /* how often the watcher was told */
    unsigned done, refused;
    enum spool_trouble last;
};

struct box_commit {
    struct store_commit commit;
    struct box *box;
    bool done;
    enum spool_trouble trouble;
};

void box_new(struct box *b);    /* makes the folder */
void box_remove(struct box *b); /* closes, and removes the folder */
int box_try(struct box *b, bool read_only, struct error *err);
void box_open(struct box *b, bool threads);
void box_close(struct box *b);
void box_settle(struct box *b); /* turns the loop until the store is idle */

struct box_message *box_find(struct box *b, uint64_t id); /* NULL: was not told */

/* Begins a commit of `body_bytes` bytes that are made from `seed`; the result is the caller's. */
struct box_commit *box_commit(struct box *b, uint64_t seed, size_t body_bytes);
void box_commit_free(struct box_commit *c);
/* Commits and waits; the id and place are in c->commit. */
struct box_commit *box_accept(struct box *b, uint64_t seed, size_t body_bytes);
/* The message reads as box_commit made it from `seed`. */
bool box_is_whole(struct box *b, uint64_t id, struct store_ref where, uint64_t seed,
                  size_t body_bytes);
/* And the replay told of it. */
bool box_is_told_whole(struct box *b, const struct box_commit *c, uint64_t seed);

/* After three attempts: "450 try later". */
struct store_outcome box_outcome(uint64_t id, const uint32_t *rcpts, size_t count,
                                 enum store_state s);
bool box_reads_outcome(struct box *b, struct store_ref where, uint64_t id); /* that, deferred */

size_t box_count_files(struct box *b, const char *folder);
void box_newest_segment(struct box *b, char *path, size_t size);
char *box_load(struct box *b); /* its bytes; the caller's */
void box_overwrite(struct box *b, size_t at, const char *bytes, size_t count); /* some of them */
size_t box_end_of(struct store_ref where); /* of the record there, in its segment */

/* Of an open file, for calls that a test takes the place of; false: there is none. */
bool box_path_of(int fd, char path[static BOX_PATH]);

#endif
