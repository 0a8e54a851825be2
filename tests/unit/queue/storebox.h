/* A store of any kind (conformance.h), what its replay told, and letters for it. */
#ifndef TESTS_UNIT_QUEUE_STOREBOX_H
#define TESTS_UNIT_QUEUE_STOREBOX_H

#include "common/buf.h"
#include "queue/store.h"

enum {
    TOLD_MOST = 400, /* messages */
    STORY_ROOM = 2048,
    BODY_ROOM = 512 << 10,
};

/* What the replay told of a message: a line for each thing that happened to it. */
struct told {
    uint64_t id;
    struct store_ref where, last_outcome;
    struct buf story;
    char room[STORY_ROOM];
};

struct storebox {
    struct store_options options;
    struct loop loop;
    struct store *store;
    struct store_replay replay;
    struct store_watcher watcher;
    struct told told[TOLD_MOST];
    size_t told_count;
    unsigned states; /* how often the watcher was told */
    enum spool_trouble trouble;
};

extern struct storebox storebox;

struct letter {
    struct store_commit commit;
    unsigned answers;
    enum spool_trouble trouble;
};

void storebox_begin(void); /* with nothing in it */
void storebox_open(bool read_only);
void storebox_tell_all(void);
void storebox_restart(void);
void storebox_settle(void); /* turns the loop until the store is idle */
void storebox_end(void);

struct told *storebox_find(uint64_t id); /* NULL: was not told */
struct told *storebox_must_find(uint64_t id);
const char *storebox_story(uint64_t id);

void letter_write(struct letter *l, const char *envelope, size_t body_bytes);
void letter_write_large(struct letter *l, const char *envelope, size_t body_bytes); /* a file */
void letter_send(struct letter *l); /* and waits for the answer */
void letter_post(struct letter *l, const char *envelope, size_t body_bytes); /* it is taken */
bool letter_reads_back(const struct letter *l, struct store_ref where);
bool letter_envelope_reads_back(const struct letter *l, struct store_ref where);

#endif
