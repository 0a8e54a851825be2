/* What is still needed of a segment, written again: live messages (as C) at the end of the old
 * stream, newest states (as D and A) and ends of messages that lie elsewhere (as X), whose order
 * counts, at the end of the other. */
#ifndef QUEUE_REWRITER_H
#define QUEUE_REWRITER_H

#include "common/table.h"
#include "mail/envelope.h"
#include "queue/journal.h"

/* A message whose copy is not durable yet. */
struct move {
    struct table_entry entry;  /* by the message */
    struct list link;          /* in its batch */
    struct store_ref from, to; /* without PLACE_BIG */
    uint64_t flags;            /* PLACE_BIG or 0 */
    bool finished;             /* meanwhile */
};

struct rewriter {
    struct ledger *ledger;
    struct journal *journal, *old;
    struct store_watcher *watcher;
    void (*moved)(struct rewriter *w, struct move *m); /* the copy is durable */
    struct table moves;
    uint64_t bytes; /* appended so far */
    bool unsealed;  /* copies were */
    uint32_t rcpts[ENVELOPE_RCPTS_MAX], needed[ENVELOPE_RCPTS_MAX];
    char line[RECORD_LINE_MAX];
};

void rewriter_init(struct rewriter *w, struct ledger *ledger, struct journal *journal,
                   struct journal *old, struct store_watcher *watcher);
void rewriter_release(struct rewriter *w);

/* Where the message lies, without PLACE_BIG; nowhere when it is not there, or finished. */
struct store_ref rewriter_find(const struct rewriter *w, uint64_t message);
/* Appends what is needed of the record at `place`; `bytes` is its length. Of several states of the
 * same recipient in a segment, the newest must come first. */
void rewriter_write(struct rewriter *w, uint64_t place, uint32_t bytes, const struct record *r);
/* Appends the end of a message that lies at `place`. */
void rewriter_finish(struct rewriter *w, uint64_t message, uint64_t place);
/* All copies are durable: appends a record of a batch of its own behind them, so that what is
 * broken before it at some later start is known to be damage and not a torn end. */
void rewriter_seal(struct rewriter *w);

/* A batch is durable. */
void rewriter_written(struct rewriter *w, struct batch *b);
/* The batch with this copy failed. */
void rewriter_again(struct rewriter *w, const struct record *r);
/* The move of that message whose copy is not durable yet, or NULL. */
struct move *rewriter_move(const struct rewriter *w, uint64_t message);

#endif
