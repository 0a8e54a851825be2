/* The store: what is durable, and nothing else. It knows messages, outcomes and changes as records;
 * schedule, limits, bounces and the admin tool live above it. Small and asynchronous, so that
 * another store (a database that several nodes share) can stand beside the segment log.
 *
 * Everything is called from the queue's loop. Work is collected by store_accept, store_settle,
 * store_change and store_finish, and begins with store_flush, which the queue calls once per turn
 * before it sleeps: one write and one sync for all of it. */
#ifndef QUEUE_STORE_H
#define QUEUE_STORE_H

#include "common/arena.h"
#include "common/error.h"
#include "common/list.h"
#include "common/view.h"
#include "io/loop.h"
#include "ipc/messages.h"

struct store;

/* Where a record lies now. Opaque above the store; 0 is nowhere. */
struct store_ref {
    uint64_t place;
    uint32_t bytes; /* of the whole record, without a big body */
};

/* What an attempt did, or what the schedule decided: the newest one for a recipient counts. */
enum store_state { STORE_DEFERRED, STORE_DELIVERED, STORE_FAILED, STORE_STATES };

enum { STORE_FILE = 32 };       /* bytes of a file's name in the spool */
enum { STORE_TEXT_MAX = 8192 }; /* bytes of a text; a longer one is not kept */

struct store_outcome {
    uint64_t message;
    const uint32_t *rcpts; /* indexes in the envelope */
    size_t rcpt_count;
    enum store_state state;
    uint32_t attempts; /* so far, of these recipients */
    uint64_t next_ms;  /* the queue's clock; STORE_DEFERRED */
    uint64_t at_ms;    /* wall clock, for people */
    struct view text;  /* mail/outcome.h fields; empty: none */
};

enum store_change_kind { STORE_HOLD, STORE_RELEASE, STORE_NOTICED, STORE_DELETED, STORE_CHANGES };

struct store_change {
    uint64_t message;
    enum store_change_kind kind; /* STORE_NOTICED: the delay notice is out */
    uint64_t at_ms;              /* the queue's clock; STORE_RELEASE: its lifetime begins */
    struct view who;             /* "uid 0"; may be empty */
};

/* Who holds a message whose body is not what was accepted. */
#define STORE_DAMAGED VIEW("damaged")

/* Replay at start: every message whose record is there and that is not finished, and after a
 * message all that happened to it, in that order. Messages and records that are finished or damaged
 * do not appear; a message of which the body alone is damaged does, and is held.
 */
struct store_replay {
    void (*message)(struct store_replay *r, uint64_t id, struct store_ref where,
                    struct view envelope, uint64_t body_bytes);
    void (*outcome)(struct store_replay *r, const struct store_outcome *o, struct store_ref where);
    void (*change)(struct store_replay *r, const struct store_change *c);
};

struct store_watcher {
    /* Told when the answer to "may new mail come in?" changes; also once after store_open. */
    void (*state)(struct store_watcher *w, enum spool_trouble trouble, uint64_t room_bytes);
    /* The rest may be NULL: then nothing moves but outcomes that could not be written where they
     * were to lie. */
    /* Where a message lies; nowhere when it is not there, or finished. */
    struct store_ref (*find)(struct store_watcher *w, uint64_t id);
    /* It lies there from now on. */
    void (*moved)(struct store_watcher *w, uint64_t id, struct store_ref where);
    /* An outcome of that message that was recorded at `from` lies at `where` from now on. */
    void (*outcome_moved)(struct store_watcher *w, uint64_t id, uint64_t from,
                          struct store_ref where);
    /* What could not be read at the start can be read now: it is in the store that is opened next.
     */
    void (*readable)(struct store_watcher *w);
    /* It was to be moved and is not what was accepted: reported, and left where it lies. */
    void (*damaged)(struct store_watcher *w, uint64_t id);
};

/* The queue's clock (queue/schedule.h), as it was written down at that time of the wall clock. */
struct store_clock {
    uint64_t queue_ms, wall_ms;
    bool ended; /* in good order: nothing was under way */
};

struct store_options {
    const char *path;
    uint64_t segment_bytes, big_body_bytes, reserve_bytes;
    bool read_only;   /* offline inspection: takes no lock, writes nothing */
    bool fresh;       /* segments are made anew: the file system never writes in place */
    uint64_t rest_ms; /* after which what is left in a segment may be moved */
};

/* Opens or creates the spool, takes its lock, recovers. Damage is set aside and logged, never
 * an error. Errors: another process holds it, wrong owner, a newer format, no permission. */
int store_open(struct store **s, const struct store_options *o, struct loop *l,
               struct store_replay *replay, struct store_watcher *watcher,
               struct error *err) MUST_USE;
/* Replays so many records more at most; false when that was all. Until then new messages may come
 * and go, but nothing is done to those that were replayed: what happened to them is not all known
 * yet. */
bool store_replay(struct store *s, unsigned records) MUST_USE;
/* It has nothing to say for so long, since the process lacks something. */
uint64_t store_replay_rest_ms(const struct store *s) MUST_USE;
/* After store_open and sandbox_enter: starts the sync thread. */
int store_start(struct store *s, struct error *err) MUST_USE;
/* Everything collected has been made durable, or was answered with a trouble. */
bool store_idle(const struct store *s);
/* What happened is told faster than the disk takes it, or the disk takes nothing, or much mail
 * waits for compaction: begin nothing that ends in more of it. It lies in memory until then, and a
 * power cut would take it. */
bool store_is_behind(const struct store *s) MUST_USE;
/* What a former run wrote down last; false: nothing, or it is lost. */
bool store_last_clock(const struct store *s, struct store_clock *out) MUST_USE;
/* After store_start. The first one of a run is durable on return, the others soon; `ended` is
 * written when everything else is durable, by store_close, and not when outcomes are lost. A
 * failure is logged and does no harm now. */
void store_note_clock(struct store *s, const struct store_clock *c);
void store_close(struct store **s);

/* A message that is to become durable. The caller owns it and its bytes until `done`. */
struct store_commit {
    struct list link;     /* private until done */
    uint64_t *superseded; /* private: the segments of the states that it settles anew */
    struct view envelope; /* mail/envelope.h fields */
    struct view body;     /* in memory; empty when big */
    int big_fd;           /* -1, or the file that store_create_body gave; stays the caller's */
    uint64_t big_file;    /* its number */
    uint64_t body_bytes;
    uint32_t body_crc; /* CRC32C; checked against body_bytes and, for small bodies, the bytes */
    /* A notice about `about` (0: none) settles these recipients of it as STORE_FAILED in the same
     * record, so that no crash comes between. rcpt_count 0: it records STORE_NOTICED. */
    uint64_t about;
    const uint32_t *settles;
    size_t settle_count;
    uint64_t id;            /* out: never used before, never again */
    struct store_ref where; /* out */
    void (*done)(struct store_commit *c, enum spool_trouble trouble);
};

void store_accept(struct store *s, struct store_commit *c);
/* Nobody waits for these. *where (may be NULL) is where the record will lie. */
void store_settle(struct store *s, const struct store_outcome *o, struct store_ref *where);
void store_change(struct store *s, const struct store_change *c);
/* Every recipient is done: the message may be forgotten, its big body removed. `where` as given by
 * `message` or `done`. */
void store_finish(struct store *s, uint64_t id, struct store_ref where);
void store_flush(struct store *s);

/* A file for a large body under big/, open for writing; a negative errno. */
int store_create_body(struct store *s, uint64_t *big_file) MUST_USE;
void store_remove_body(struct store *s, uint64_t big_file);

/* A message read back and verified. */
struct store_message {
    struct view envelope;
    struct view body; /* empty when big */
    int big_fd;       /* -1, or open for reading; closed by store_message_release */
    uint64_t body_bytes;
    uint32_t body_crc;
    char *memory; /* owns the views: store_message_release */
};
/* 0, -EBADMSG for damage (logged with file and offset), or another negative errno. `with_body`
 * false reads and verifies the envelope alone. */
int store_read(struct store *s, uint64_t id, struct store_ref where, bool with_body,
               struct store_message *out) MUST_USE;
void store_message_release(struct store_message *m);
/* The outcome of a record, for lists; text borrows from `arena`. */
int store_read_outcome(struct store *s, struct store_ref where, struct arena *arena,
                       struct store_outcome *out) MUST_USE;

struct store_numbers {
    uint64_t segments, live_messages, live_bytes, disk_bytes, free_bytes;
    uint64_t batches, records, syncs_failed, damaged;
    uint64_t segments_emptied, moved_bytes; /* by compaction */
    int write_error;                        /* errno of the write that failed last, or 0 */
    int copies_error; /* the same of compaction's copies, while it waits for that; or 0 */
    enum spool_trouble trouble;
    /* Files of which a start could not read all, the first of them, and what is kept for them. */
    uint64_t unread, kept_bytes;
    char unread_file[STORE_FILE];
    uint64_t unread_offset;
    int unread_error; /* errno */
};
void store_count(const struct store *s, struct store_numbers *out);

#endif
