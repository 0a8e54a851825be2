/* What the parts of the segment log share: opening and reading (queue/store.c), appending
 * (queue/store_append.c), and what is told when that fails (queue/store_trouble.c). */
#ifndef QUEUE_STORE_PARTS_H
#define QUEUE_STORE_PARTS_H

#include "queue/bodies.h"
#include "queue/clockfile.h"
#include "queue/compactor.h"
#include "queue/journal.h"
#include "queue/reader.h"
#include "queue/recover.h"
#include "queue/relook.h"
#include "queue/store.h"

/* How far opening came, and so what is to be closed. */
enum stage {
    STAGE_NOTHING,
    STAGE_SPOOL,
    STAGE_SHELF,
    STAGE_BODIES,
    STAGE_JOURNAL,
    STAGE_OLD,
    STAGE_ALL
};

struct store {
    enum stage stage;
    struct loop *loop;
    struct store_options options;
    struct spool spool;
    struct shelf shelf;
    struct bodies bodies;
    struct clockfile clock;
    struct ledger ledger;
    struct journal_numbers numbers;
    struct journal journal, old; /* of either stream */
    struct journal_owner owner;
    struct compactor compactor;
    struct store_watcher *watcher;
    struct timer poll; /* of the space */
    struct timer refusing;
    struct timer removing; /* of segments, after a failure */
    struct list refused[SPOOL_TROUBLES];
    struct list late; /* mail that waits until the log is smaller */
    unsigned late_count;
    bool low;   /* less than the reserve is free */
    bool stuck; /* no room for a segment */
    bool suspended;
    bool failed_before;
    uint64_t failed_ms; /* monotonic, when a write failed last */
    int write_error;    /* errno of that, or 0 */
    int copies_error;   /* of the write of copies that failed last, until one succeeds; or 0 */
    uint64_t free_bytes;
    enum spool_trouble told;
    uint64_t told_room;
    bool told_once;
    uint64_t live_messages, live_bytes, failures;
    struct reader reader;
    struct recovery recovery;
    bool recovering; /* not everything has been told yet */
    struct relook relook;
    uint64_t damaged_at_start;
    char line[RECORD_LINE_MAX];
};

/* ---- queue/store.c ---- */

/* No segment is emptied or used again: what is needed of them is not known yet. */
bool store_keeps_all(const struct store *s) MUST_USE;

/* ---- queue/store_trouble.c ---- */

/* What is left is for outcomes, when that is false. */
bool store_has_room_for_mail(const struct store *s) MUST_USE;
enum spool_trouble store_trouble(const struct store *s) MUST_USE;
void store_look_at_space(struct store *s);
/* Without mail, nothing else would show that writing works again. */
void store_probe(struct store *s);
void store_on_poll(struct timer *t);
void store_poll_now(struct store *s);
void store_note_success(struct store *s, const struct journal *j);
/* A write or a sync failed, of a batch or a large body. What to answer its mail. */
enum spool_trouble store_note_failure(struct store *s, int error);
enum spool_trouble store_on_failed(struct journal_owner *o, const struct batch *b,
                                   uint64_t *wait_ms);
/* Never at once: the caller is not ready for `done` inside store_accept. */
void store_refuse(struct store *s, struct store_commit *c, enum spool_trouble trouble);
/* Whether it takes no mail now; then it refuses this message. */
bool store_refuses(struct store *s, struct store_commit *c) MUST_USE;
void store_on_refusing(struct timer *t);

/* ---- queue/store_append.c ---- */

void store_on_again(struct journal_owner *o, const struct record *r, uint64_t place);
void store_on_refused(struct journal_owner *o, struct store_commit *c);
void store_on_moved(struct rewriter *w, struct move *m);
void store_place_late(struct store *s);
void store_forget_superseded(struct store_commit *c);

#endif
