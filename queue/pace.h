/* How much goes to a site at once and in a time. The window of connections grows while jobs succeed
 * (by one for each, until the first trouble, then by one for each round of the window), and is
 * halved by trouble, at most once a round. Rates spread messages and recipients evenly. Pure: times
 * are milliseconds of the queue's clock. */
#ifndef QUEUE_PACE_H
#define QUEUE_PACE_H

#include "ipc/settings.h"

enum {
    PACE_WINDOW_FIRST = 5,           /* connections to a site that nothing is known of */
    PACE_HOPE_MS = 10 * 1000,        /* a success so long ago still speaks for a site... */
    PACE_QUARRELS_MAX = 3,           /* ...against fewer faults than this since then */
    PACE_PROVEN_MS = 60 * 60 * 1000, /* and so long ago, that it takes mail at all */
    PACE_BURST_PART = 10,            /* of what a rate allows in its period may go at once */
};

struct pace {
    uint32_t window;    /* connections */
    uint32_t threshold; /* from here on the window grows slowly */
    uint32_t successes; /* since it last grew */
    uint32_t deaf;      /* jobs that began before it was halved: they have no more to say */
    uint32_t quarrels;  /* faults since the last success */
    uint64_t success_ms, failure_ms;               /* the last; 0: none */
    uint64_t messages_free_us, recipients_free_us; /* when rates allow the next */
};

void pace_init(struct pace *p);
/* Connections that may be used. */
uint32_t pace_window(const struct pace *p, const struct destination_limits *l) MUST_USE;

/* A job has ended: it got through, or there was trouble. `running`: jobs besides. */
void pace_succeed(struct pace *p, const struct destination_limits *l, uint64_t now_ms);
void pace_slow_down(struct pace *p, const struct destination_limits *l, uint32_t running,
                    uint64_t now_ms);
/* It was served lately, and nothing has happened since: its jobs will come back. */
bool pace_is_proven(const struct pace *p, uint64_t now_ms) MUST_USE;
/* The trouble may be one connection's alone: others were served just now. */
bool pace_has_hope(const struct pace *p, uint64_t now_ms) MUST_USE;
/* All has failed: it begins with one connection again, and grows fast to half of what it was. */
void pace_begin_again(struct pace *p, uint64_t now_ms);

/* When the rates allow a message: `now_ms` or later. */
uint64_t pace_free_ms(const struct pace *p, uint64_t now_ms) MUST_USE;
/* Recipients of one message that may go at once, so that one to a thousand keeps to the rate, too.
 * At least one; UINT32_MAX: as many as there are. */
uint32_t pace_burst(const struct destination_limits *l) MUST_USE;
/* Nothing is known of the site: what went until then may have used up all that the rates allow. */
void pace_begin(struct pace *p, const struct destination_limits *l, uint64_t former_ms);
/* The limits are new: what went under older ones holds nothing back for longer than it would have
 * under these. */
void pace_change_limits(struct pace *p, const struct destination_limits *l, uint64_t now_ms);
/* A message with so many recipients goes, in a transaction. */
void pace_spend(struct pace *p, const struct destination_limits *l, uint32_t recipients,
                uint64_t now_ms);

#endif
