/* What the queue knows in memory of every message: where its record lies, which of its recipients
 * are open, grouped into units (one message x one destination), and where those wait. Pure
 * bookkeeping: no clock, no disk, no decision. 74 bytes for a message with one recipient, of which
 * two are for finding it by its id.
 *
 *   mail 1 -> unit a -> destination example.org -> site mx.provider.test
 *          -> unit b -> destination example.net --^
 *
 * A unit is in the wheel, or among the due ones of its site (queue/site.h), or with a job, ... It
 * is known by its number, wherever it lies. */
#ifndef QUEUE_INDEX_H
#define QUEUE_INDEX_H

#include "common/list.h"
#include "io/loop.h"
#include "ipc/settings.h"
#include "queue/chains.h"
#include "queue/pool.h"
#include "queue/rcpts.h"
#include "queue/site.h"
#include "queue/store.h"
#include "queue/wheel.h"

struct worker;

enum { INDEX_RESTING_MAX = 2000 };

enum unit_state {
    UNIT_PARKED,  /* nowhere: its message is held */
    UNIT_TIMED,   /* in the wheel */
    UNIT_DUE,     /* in a flow of its destination's site */
    UNIT_RUNNING, /* a worker has it */
    UNIT_FAILING, /* given up; the notice to the sender waits, or is not durable yet */
    UNIT_ARRIVED, /* they have it; likewise. From here it only goes: nobody gets it twice */
    UNIT_STATES
};

enum { UNIT_ATTEMPTS_MAX = 0x7fff };

/* So that no bytes are lost between the fields. */
typedef uint64_t packed_u64 __attribute__((aligned(4)));

struct unit {
    struct wheel_link link; /* UNIT_TIMED: the wheel's; UNIT_DUE: the flow's, with it as `due` */
    uint32_t destination;   /* POOL_NONE: there is no unit */
    packed_u64 last_place;  /* of the newest outcome's record */
    uint16_t last_bytes;
    uint16_t attempts : 15;
    uint16_t in_doubt : 1; /* may have arrived: a queue died when it may have been in a job */
    uint16_t routing;      /* the settings that chose the destination */
    uint8_t state;         /* enum unit_state; set by the index alone */
};

/* Of a message with several recipients. */
struct part {
    struct unit unit;
    uint32_t mail;
    uint32_t next;      /* of the message */
    struct rcpts rcpts; /* never empty */
};

/* The flags of struct mail. */
enum {
    MAIL_HELD = 1,
    MAIL_NOTICED = 2,     /* its sender knows of the delay */
    MAIL_NULL_SENDER = 4, /* nobody to tell */
    MAIL_OVERDUE = 8,     /* its lifetime is over: the next deferral is the last */
    MAIL_DELETED = 16,    /* in the trash (DEADLINE_TRASH), or goes when its last unit comes back */
    MAIL_RESTORED = 32,   /* from before the start */
    MAIL_DAMAGED = 64,    /* cannot be read back: held */
    MAIL_JOB_LOST = 128,  /* a worker ended while it had it */
};

/* Messages by deadline. The first of a list is the one that arrived first: it is the next to act
 * on. */
enum deadline {
    DEADLINE_NONE,
    DEADLINE_NOTICE,  /* then DEADLINE_NOTICED */
    DEADLINE_NOTICED, /* expiry */
    DEADLINE_EXPIRY,  /* expiry; never a notice of delay */
    DEADLINE_TRASH,   /* the end of a deleted message; arrival_s is when it was deleted */
    DEADLINES
};

struct mail {
    union {               /* private */
        struct unit only; /* of a message with one recipient: here, which halves what it takes */
        uint32_t parts;   /* of the others: the first */
    };
    uint32_t sender; /* who takes turns with others (site_sender) */
    uint32_t hash_next;
    packed_u64 id;
    packed_u64 place;
    uint32_t record_bytes;
    uint32_t body_bytes;
    uint32_t arrival_s;       /* of the queue's clock, rounded up; begins the lifetime */
    uint16_t rcpt_count : 15; /* in the envelope */
    uint16_t surplus : 1;     /* held: its login sent more than its rates allow */
    uint8_t flags;
    uint8_t deadline : 3; /* enum deadline */
    uint8_t priority : 5; /* RFC 6710: 0 the least, FLOW_PRIORITIES - 1 the most */
};

/* Where the settings send a recipient: a domain's mail hosts, a configured host, or local. */
struct destination {
    struct hop hop; /* by which it is found; its views are on the heap */
    uint32_t hash_next;
    uint32_t self;
    uint32_t units; /* that name it, whatever their state */
    uint32_t due_count;
    uint32_t running;   /* jobs */
    uint32_t recent;    /* private: the unit that index_add made last */
    struct site *site;  /* that takes its mail, as far as is known */
    struct list member; /* of the site's destinations */
    struct list rest;   /* among those that nobody needs now */
    uint32_t placed;    /* the settings that chose the site, plus 1; queue/mx.c */
    struct view hosts;  /* HOP_MX: a name for the set of its mail hosts; empty: not known; heap */
    uint32_t order;     /* of preference, of those: MX_ANSWER */
    uint64_t fresh_ms;  /* until then `hosts` need not be asked for again; the queue's clock */
    struct list asking; /* queue/mx.c: waits to be asked for, or for the answer */
    uint64_t question;
    struct worker *asked_of; /* NULL: nobody yet */
};

/* Of a run of messages that are neighbours in their pool. */
struct deadline_run {
    uint32_t since_s[DEADLINES]; /* none of the list arrived before; UINT32_MAX: there is none */
};

struct index {
    struct pool mails, parts, destinations, sites, flows;
    struct chains by_id;    /* mails */
    struct chains by_hop;   /* destinations */
    struct chains by_name;  /* sites */
    uint32_t *flow_buckets; /* of flows by site and sender */
    uint32_t flow_bucket_count;
    uint32_t turns;      /* of all flows, for their ages */
    struct list resting; /* destinations without units, those that have been for longest first */
    uint32_t resting_count;
    struct wheel wheel;
    struct deadline_run *runs;
    uint32_t run_count;
    struct list troubled; /* sites that are backed off */
    uint64_t unit_counts[UNIT_STATES];
    uint64_t held_count, overdue_count, surplus_count;
};

void index_init(struct index *x);
void index_release(struct index *x);

struct mail *index_mail(const struct index *x, uint32_t mail);
struct unit *index_unit(const struct index *x, uint32_t unit);
struct destination *index_destination(const struct index *x, uint32_t destination);

/* A message without units, which it has only while it is made or taken apart. */
uint32_t index_add_mail(struct index *x, uint64_t id, unsigned rcpt_count) MUST_USE;
uint32_t index_find(const struct index *x, uint64_t id) MUST_USE; /* POOL_NONE: not there */
/* It must have no units any more. */
void index_remove_mail(struct index *x, uint32_t mail);

/* Of the site that stands for one destination alone, and is called as its hop. */
extern const enum site_kind index_own_site[HOP_KINDS];

/* The destination of a hop. A new one has a site of its own. */
struct destination *index_destination_for(struct index *x, const struct hop *hop);
/* Nothing of it is open, maybe: then it is kept for a while, with what was learned of it, as one of
 * INDEX_RESTING_MAX. */
void index_rest_destination(struct index *x, struct destination *d);
/* To the site of `kind` and `name` with all its units; the due ones come last there. */
void index_move_destination(struct index *x, struct destination *d, enum site_kind kind,
                            struct view name);
/* Forgets the site if nothing needs it: no destinations, no jobs, no back-off, no timer. */
void index_drop_site(struct index *x, struct site *s);

/* Puts a recipient of a new message into its parked unit for `d`, making that if there is none. */
void index_add_rcpt(struct index *x, uint32_t mail, struct destination *d, unsigned rcpt,
                    uint16_t routing);

/* States; each may be entered from any other. */
void index_park(struct index *x, uint32_t unit);
void index_time(struct index *x, uint32_t unit, uint32_t due_tick);
/* The next timed unit whose tick has come, parked (queue/wheel.h, wheel_take). */
uint32_t index_take_timed(struct index *x, uint32_t now_tick, unsigned *steps) MUST_USE;
void index_make_due(struct index *x, uint32_t unit, bool in_front);
void index_run(struct index *x, uint32_t unit);
void index_fail(struct index *x, uint32_t unit);
void index_arrive(struct index *x, uint32_t unit);

/* A new parked unit with those of `rcpts` that are in the unit, which loses them; the unit itself
 * if those are all it has; POOL_NONE if they are none. */
uint32_t index_split(struct index *x, uint32_t unit, const struct rcpts *rcpts) MUST_USE;
/* `unit` takes the recipients of `other`, a unit of the same message, which goes. */
void index_merge(struct index *x, uint32_t unit, uint32_t other);
/* To another destination; the unit must be parked. */
void index_move(struct index *x, uint32_t unit, uint32_t destination);
void index_remove_unit(struct index *x, uint32_t unit);

/* The unit may be removed in the body. */
#define index_each_unit(u, x, mail)                                                                \
    for (uint32_t u = index_first_unit((x), (mail)), u##_next = index_next_unit((x), u);           \
         u != POOL_NONE; u = u##_next, u##_next = index_next_unit((x), u))
uint32_t index_first_unit(const struct index *x, uint32_t mail); /* POOL_NONE: there is none */
uint32_t index_next_unit(const struct index *x, uint32_t unit);  /* POOL_NONE after POOL_NONE */
uint32_t index_mail_of(const struct index *x, uint32_t unit);
const struct rcpts *index_rcpts(const struct index *x, uint32_t unit);

/* Whether the recipient is in one of the message's units, and has not got it. */
bool index_is_open(const struct index *x, uint32_t mail, unsigned rcpt);

/* Into the list, by its arrival, which changes only before another call; it leaves the one that it
 * was in. */
void index_set_deadline(struct index *x, uint32_t mail, enum deadline list);
/* POOL_NONE when there is none, or when `*steps` is used up (then it is 0: call again soon). A step
 * is a look at a thousand messages. */
uint32_t index_first_deadline(struct index *x, enum deadline list, unsigned *steps) MUST_USE;

/* The next message from `*at` on (1 to begin with) whose lifetime is over and which only waits for
 * a site that is backed off. POOL_NONE when there is none, or when `*steps` is used up (then it is
 * 0: call again soon). A step is a look at a message, or a unit of it. */
uint32_t index_next_overdue(struct index *x, uint32_t *at, unsigned *steps) MUST_USE;

void index_set_held(struct index *x, uint32_t mail, bool held);
/* Until it is released or deleted. */
void index_set_surplus(struct index *x, uint32_t mail, bool surplus);
void index_set_overdue(struct index *x, uint32_t mail, bool overdue);

struct store_ref index_place(const struct mail *m);
void index_set_place(struct mail *m, struct store_ref where);
struct store_ref index_last(const struct unit *u);
void index_set_last(struct unit *u, struct store_ref where);

/* Among the parts of the index alone. `change`: 1 or -1 unit of the destination. */
void index_count_unit(struct index *x, struct destination *d, int change);
void index_init_destinations(struct index *x);
void index_release_destinations(struct index *x);
void index_release_parts(struct index *x);

#endif
