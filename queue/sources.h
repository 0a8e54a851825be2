/* The segments that are in log/ at start, and what their heads say: a part of queue/survey.h. */
#ifndef QUEUE_SOURCES_H
#define QUEUE_SOURCES_H

#include "queue/survey.h"

/* Fills v->sources and the ledger. Segments that never began go back; those whose heads are lost,
 * or that belong to another spool, are set aside. 0 or a negative errno. */
int sources_find(struct survey *v) MUST_USE;
struct source *source_of(struct survey *v, uint64_t number); /* NULL: not there */
/* It cannot be read now, perhaps at the next start. Until then it stays, and all that was kept for
 * its sake (queue/relook.h). */
void source_leave(struct survey *v, uint64_t number, int err);
/* The same of one that was read, but whose end cannot be written. */
void source_leave_unwritable(struct survey *v, uint64_t number, int err);
/* The same of one of which a part cannot be read: what was read of it counts. */
void source_break(struct survey *v, struct source *s, int err);
/* That errno is not the disk's fault. */
bool source_lacks_means(int err);
/* "0000019f3a42.seg", until the next call; and "log/0000019f3a42.seg". */
const char *source_name(uint64_t number);
const char *source_path(uint64_t number);
/* Tells the inspector; false: there is none. */
bool source_tell(struct survey *v, struct finding f);

#endif
