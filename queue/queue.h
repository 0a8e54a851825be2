/* The queue as a whole: what its parts share, the clock, the life of a message between them.
 *
 *   intake -> store (durable) -> queue_take_in -> dispatch -> worker -> result -> store
 *                                    ^               |                   |
 *                                    '---- wheel <---'---- back-off <----'-> notify -> store
 */
#ifndef QUEUE_QUEUE_H
#define QUEUE_QUEUE_H

#include "io/loop.h"
#include "ipc/messages.h"
#include "ipc/settings.h"
#include "queue/cache.h"
#include "queue/flood.h"
#include "queue/idset.h"
#include "queue/index.h"
#include "queue/store.h"
#include "queue/time.h"

enum {
    QUEUE_STEPS_PER_TURN = 20000, /* of the wheel */
    QUEUE_REST_MS = 5000,         /* of segments: most mail is gone by then */
};

struct dispatch;
struct history;
struct intake;
struct control;

/* Settings and what they borrow from. */
struct queue_settings {
    struct settings settings;
    struct config *config;
    char *bundle;
};

struct queue_totals { /* since the start */
    uint64_t accepted, delivered, deferred, bounced, failed, expired, deleted;
};

struct queue {
    struct loop *loop;
    /* NULL offline: then every domain is its own destination, and nothing is ever dispatched. */
    const struct settings *settings;
    struct queue_settings *replaced;   /* owns `settings` after the first reload */
    uint16_t routing;                  /* changes with the settings; see struct unit */
    uint32_t generation;               /* of the settings, for people */
    struct destination_limits *limits; /* of sites; queue/mx.c */
    struct {
        uint64_t at_ms;
        bool ok;
        char words[256];
    } reload; /* the last one; at_ms 0: none */

    struct store *store;
    struct store_replay replay;
    bool restored; /* what was in the spool at the start; until then nothing is delivered */
    struct timer restore_timer;
    /* Messages whose senders are to hear that they were expanded, and those who have; until then.
     */
    struct idset expansions, expansions_told;
    uint32_t restore_at;  /* all has been told, and messages before this one have their time */
    struct store_watcher watcher;
    enum spool_trouble trouble;
    uint64_t room_bytes;

    struct index index;
    struct cache cache;
    struct history *history; /* NULL offline: nothing is over there */
    struct intake *intake;
    struct dispatch *dispatch;
    struct control *control;
    struct queue_totals totals;
    uint64_t unreadable;               /* messages at the start whose envelope makes no sense */
    uint64_t bodies_damaged;           /* large ones, as workers and notices found */
    uint64_t trash_count, trash_bytes; /* deleted messages that can come back; all that they take */
    uint64_t notices_pending;          /* notices that are not durable yet */
    uint64_t notices_made;
    struct list notices_again; /* that the spool did not take: queue/notify.c */
    struct timer notices_timer;
    struct list appointments; /* queue/appointment.h */
    struct table losses;      /* queue/losses.h */
    struct table arrivals[2]; /* likewise: at hosts that will not tell, and in mailboxes */
    struct table unread;      /* queue/unread.h */
    uint64_t unread_lasting;  /* of them, those that have been for long */
    struct flood flood;       /* of notices about mail of strangers */

    uint64_t base_ms, monotonic_base_ms; /* the queue's clock at the start, and the other then */
    struct timer clock_timer;            /* writes it down */
    /* What was to be tried before this time may have been in a job when a former queue died, and
     * may have arrived; 0: that one ended in good order. */
    uint64_t doubt_ms;
    uint64_t former_ms;       /* a former queue may have sent mail until then; 0: there was none */
    struct timer wheel_timer; /* the next unit that becomes due */
    struct timer deadline_timer; /* the next delay notice or expiry */
    uint64_t deadline_ms;        /* when that is; the queue's clock */
    struct timer overdue_timer;  /* queue/backoff.c: looks for mail whose lifetime is over */
    uint32_t overdue_at;         /* it has come to this message */
    bool overdue_again;          /* from the beginning, when it is through */
    uint64_t notice_pause_ms;    /* no delay notices before this time of the queue's clock */
    struct hook hook;

    bool draining;
    bool renewing;          /* it drains to be started again, and those who bring mail stay */
    uint64_t drain_ends_ms; /* the queue's clock */
    struct timer drain_timer;
};

/* Opens the spool. `settings` NULL: offline, read-only. */
int queue_open(struct queue *q, struct loop *l, const struct settings *settings, const char *path,
               struct error *err) MUST_USE;
/* After the sandbox: from now on things happen by themselves. New mail is taken at once, and what
 * is in the spool comes into the index meanwhile. */
int queue_start(struct queue *q, struct error *err) MUST_USE;
void queue_close(struct queue *q);
/* Takes `next`, and frees what it replaces. */
void queue_reload(struct queue *q, struct queue_settings *next);
void queue_drain(struct queue *q);

/* A message that has become durable: into the index, and due at once. `letter` (NULL: none) is
 * taken. */
void queue_take_in(struct queue *q, const struct store_commit *c, const struct envelope *e,
                   struct letter *letter);
/* Into the index alone, its units parked. */
uint32_t queue_add_mail(struct queue *q, uint64_t id, struct store_ref where,
                        const struct envelope *e, uint64_t body_bytes,
                        uint64_t arrived_ms) MUST_USE;
/* Where the settings send a recipient now. */
struct destination *queue_destination(struct queue *q, const struct envelope *e, size_t rcpt);
/* The message cannot be read back: `err` from content_open. Held when it is damaged, else tried
 * again later. */
void queue_set_aside(struct queue *q, uint32_t mail, int err);
/* Forgets the message if nothing of it is open. True: it is gone. */
bool queue_finish_if_done(struct queue *q, uint32_t mail);
/* Removes the unit. */
void queue_remove_unit(struct queue *q, uint32_t unit);
/* The destination may have nothing to do any more. */
void queue_rest(struct queue *q, struct destination *d);
/* Starts the timer for what is due next. */
void queue_arm_wheel(struct queue *q);

#endif
