/* Records read back from their place, and verified. */
#ifndef QUEUE_READER_H
#define QUEUE_READER_H

#include "mail/envelope.h"
#include "queue/ledger.h"
#include "queue/record.h"
#include "queue/spool.h"

enum { READER_FILES = 16 }; /* segments kept open */

struct reader {
    const struct spool *spool;
    const struct ledger *ledger;
    uint64_t open[READER_FILES]; /* numbers of segments; 0: free */
    unsigned next;
    uint64_t damaged; /* records, so far */
    uint32_t rcpts[ENVELOPE_RCPTS_MAX];
};

/* What was read; the views borrow from `memory`, lists of recipients from the reader. */
struct reading {
    char *memory; /* the caller's to free */
    struct record record;
    struct record_message message;
};

/* `place` and `bytes` are those of the record. 0, -EBADMSG for damage (logged, and a copy set
 * aside), or another negative errno: nothing is known of it just now. Without the body, front and
 * meta alone are read and verified. */
int reader_message(struct reader *r, uint64_t id, uint64_t place, uint32_t bytes, bool with_body,
                   struct reading *out) MUST_USE;
/* The outcome in a D, or in the M of a notice. */
int reader_outcome(struct reader *r, struct store_ref where, struct arena *arena,
                   struct store_outcome *out) MUST_USE;
/* The same of a record that is in memory; silent. */
int reader_take_outcome(struct reader *r, struct view bytes, uint32_t seed, struct arena *arena,
                        struct store_outcome *out) MUST_USE;
/* Says that the record is damaged: -EBADMSG. */
int reader_report(struct reader *r, uint64_t id, uint64_t place, struct view bytes);
/* Before the segment goes. */
void reader_close(struct reader *r, struct segment *s);

#endif
