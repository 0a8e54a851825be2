/* What happened: the newest outcome record of recipients carries, behind its outcome, how long the
 * attempt took, and the attempts before it, so that nothing else has to be kept or searched:
 *
 *   class=deferred ... duration=1200     the outcome's fields (mail/outcome.h) and milliseconds
 *   past=at=1795421700000%0Aduration=... the same of an earlier attempt, the newest first */
#ifndef QUEUE_ATTEMPTS_H
#define QUEUE_ATTEMPTS_H

#include "mail/outcome.h"
#include "queue/store.h"

enum {
    ATTEMPTS_KEPT = 5,                   /* before the newest */
    ATTEMPTS_BYTES_MAX = STORE_TEXT_MAX, /* what does not fit is left out */
    ATTEMPTS_ARENA_MAX = 262144,         /* what reading all of a text needs */
};

struct attempt {
    uint64_t at_ms;       /* wall clock, when it ended; 0: as the record says */
    uint64_t duration_ms; /* 0: not known */
    struct outcome outcome;
};

/* The text of a record for `outcome`, encoded; `before` is the text of the record before, from
 * `before_ms` (empty: there is none). `out` has room for ATTEMPTS_BYTES_MAX. */
void attempts_put(struct view outcome, uint64_t duration_ms, struct view before, uint64_t before_ms,
                  struct buf *out);
/* The first time the text's own attempt, then the past ones; false: there is no more. Views borrow
 * from `arena` and the text. */
bool attempts_take(struct view *text, struct arena *arena, struct attempt *a) MUST_USE;

#endif
