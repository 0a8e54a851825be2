/* A site: the hosts that take the mail of a destination, or of a thousand that one provider serves.
 * One set of limits and one breaker holds for all of it, and one worker has it, so that all about
 * it (connections, concurrency, TLS memory) lives in one process.
 *
 * The due units of a site wait in flows (queue/flow.h), one for each sender and priority; flows
 * take turns, so that a bulk mailing delays its own mail alone. A flow has a pass, which grows with
 * what it is given; the smallest is next, and a new flow begins one turn behind the last that was
 * served (self-clocked fair queueing). With each level of priority (RFC 6710) a turn costs half, so
 * that more urgent mail goes first, and none waits for ever. Pure bookkeeping, part of the index.
 */
#ifndef QUEUE_SITE_H
#define QUEUE_SITE_H

#include "common/list.h"
#include "common/view.h"
#include "io/loop.h"
#include "queue/flow.h"
#include "queue/pace.h"

#include <stdint.h>

struct index;

enum site_kind {
    SITE_LOCAL,
    SITE_DOMAIN, /* a domain whose mail hosts are not known: it stands for itself */
    SITE_HOSTS,  /* a set of mail hosts, or a configured host */
    SITE_NAMED,  /* what the settings name so */
};

struct site {
    struct view name; /* heap */
    enum site_kind kind;
    uint32_t hash_next; /* by kind and name */
    uint32_t self;
    struct list members; /* destinations */
    uint32_t member_count;
    uint32_t units; /* of all members */
    uint32_t due_count;
    uint32_t running; /* jobs */
    uint32_t leaving; /* of those, with workers that others have taken over from */
    struct flow_heap flows;
    uint64_t pass;                           /* of the flow that had the last turn */
    struct list turn;                        /* in its worker's round (queue/dispatch.c) */
    const struct destination_limits *limits; /* never NULL; queue/mx.c */
    uint32_t limited;                        /* the settings that they are of, plus 1 */
    struct pace pace;
    /* Back-off (queue/backoff.h). */
    bool backed_off;
    bool probing;                /* its time has come: one job may go */
    bool probe_out;              /* and went */
    bool forced;                 /* by an administrator, until one ends it */
    bool doubted;                /* the last fault may have been the doing of one message */
    uint16_t failures;           /* in a row */
    uint64_t since_ms, until_ms; /* the queue's clock */
    struct view cause;           /* mail/outcome.h fields; heap */
    struct list tls_notes;       /* queue/tlsnote.h */
    struct list trouble;         /* in the list of those that are backed off */
    /* While it is backed off: when its time comes; else: when the rates allow the next message,
     * though none may wait. */
    struct timer timer;
    void *owner; /* for the timer */
};

/* Who sends a message, for taking turns: its login, else its reverse-path, else its client; a keyed
 * hash. A mailing in which each message has a reverse-path of its own, made from the recipient's
 * address, is one sender. */
uint32_t site_sender(struct view login, struct view sender, struct view client) MUST_USE;

/* The unit joins the flow of its sender and priority, at the end or in front. */
void site_add_due(struct index *x, struct site *s, uint32_t unit, bool in_front);
void site_remove_due(struct index *x, uint32_t unit);
/* The unit whose turn it is; POOL_NONE: none is due. */
uint32_t site_first(const struct index *x, const struct site *s) MUST_USE;
/* The unit, which is due, is given so many recipients' worth. */
void site_charge(struct index *x, uint32_t unit, unsigned recipients);

/* Connections that its worker may use now: in a reload those of the worker before count, too. */
uint32_t site_connections(const struct site *s) MUST_USE;

#endif
