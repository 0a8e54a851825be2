/* The files of the history: what is kept of recipients that are done (queue/past.h), below the
 * spool, in files named by the time of their first record. Nothing depends on them, so nothing
 * waits for them: a thread appends, without a sync, and removes whole files that are too old or too
 * many. A crash costs what was not written yet, and the torn end of a file is passed over. */
#ifndef QUEUE_HISTORY_H
#define QUEUE_HISTORY_H

#include "common/buf.h"
#include "queue/past.h"

#define HISTORY_FOLDER "history"

struct history;
struct loop;

/* The folder is made, when there is something to write, in the working folder. */
struct history *history_new(struct loop *l) MUST_USE; /* NULL: no descriptor */
/* `ahead_ms`: what the queue's clock (queue/schedule.h) is ahead of the loop's. By that one files
 * are named and grow old, so that no setting of the wall clock removes them, or keeps them. */
int history_start(struct history *h, uint64_t ahead_ms) MUST_USE;
void history_free(struct history **h); /* writes what waits */
/* 0 bytes or no time: nothing is kept, and what is there goes. */
void history_limit(struct history *h, uint64_t bytes_most, uint64_t span_ms);
bool history_wanted(const struct history *h); /* NULL (offline): no */

void history_add(struct history *h, const struct past *p);
void history_add_encoded(struct history *h, struct view records);
/* One that could not be made. */
void history_drop(struct history *h);
/* Writes what waits now, not a little later. The mark is reached once that is done. */
uint64_t history_flush(struct history *h);
bool history_reached(const struct history *h, uint64_t mark);

/* The names of the files below the working folder, oldest first; the caller frees each and the
 * list. 0 or a negative errno. */
int history_list(char ***names, size_t *count) MUST_USE;

#endif
