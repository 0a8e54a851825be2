/* The start of a store: first what the log holds is looked through (queue/survey.h), then it is
 * told piece by piece, while new mail may already come in. */
#ifndef QUEUE_RECOVER_H
#define QUEUE_RECOVER_H

#include "queue/bodies.h"
#include "queue/survey.h"

#define PLACE_BIG (1ull << 63) /* in a struct store_ref: the message's body is a file */

struct recovery {
    struct store_replay *replay;
    struct survey survey;
    struct log_end ends[STREAMS];
    uint64_t live_messages, live_bytes; /* told so far */
    struct idset live;
    struct copies
        unended; /* finished messages that are there, and no end that speaks of the place */
    uint64_t began_ms;
    /* Where telling is: first the copies, so that what happened to a message comes behind it. */
    unsigned streams; /* that are not done; the last of them comes first */
    size_t source;
    bool entered;
    uint64_t again_ms; /* monotonic: the process lacked means to enter, not tried before; or 0 */
    struct digest *digest;        /* of the source */
    size_t large;                 /* to be looked at next */
    bool folders[BODIES_FOLDERS]; /* of large bodies, that are to be swept */
    unsigned folder;
};

/* 0, or a negative errno and words when the log cannot be read or written at all. Then, too, end
 * it. */
int recover_begin(struct recovery *r, struct spool *spool, struct ledger *ledger,
                  struct store_replay *replay, struct error *err) MUST_USE;
/* Tells of so many records more at most, then looks at as many large bodies, and removes those that
 * no message names; false when all that is done. */
bool recover_tell(struct recovery *r, unsigned records) MUST_USE;
/* Then: a finished message whose end may go before what lies at `place` does; it needs another one.
 * One after another; *at is 0 to begin with. False: that was all. */
bool recover_next_unended(const struct recovery *r, uint32_t *at, uint64_t *id,
                          uint64_t *place) MUST_USE;
/* It rests so long before it goes on. */
uint64_t recover_rest_ms(const struct recovery *r) MUST_USE;
/* That file was made meanwhile: it stays. */
void recover_spare_body(struct recovery *r, uint64_t big_file);
void recover_end(struct recovery *r);

#endif
