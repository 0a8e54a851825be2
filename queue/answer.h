/* A request of the admin tool (queue/request.h), and the answer to it, a slice at a time. */
#ifndef QUEUE_ANSWER_H
#define QUEUE_ANSWER_H

#include "queue/parcel.h"
#include "queue/request.h"
#include "queue/search.h"

struct answer { /* zeroed but for these is "nothing was asked" */
    struct queue *queue;
    struct view who;
    void (*ready)(struct answer *a); /* from the loop: what was waited for is there */

    struct buf out; /* what is to be sent; who sends it consumes it */
    bool busy;      /* a request is being answered */
    struct request request;
    uint64_t cursor; /* how far the messages, or sites, have been looked at */
    uint64_t matched;
    struct parcel parcel;  /* of VERB_GET, on its way out */
    struct import *import; /* of VERB_PUT; NULL: none */
    bool past;             /* VERB_TRACE has looked through the queue */
    uint64_t history_mark; /* and waits until the history is written so far */
    struct timer pause;    /* runs while something is waited for */
    struct search *search; /* and now looks through the history */
};

/* When not busy. */
void answer_begin(struct answer *a, struct view line, const struct request_rights *rights);
/* The next slice, if there is room. False: it cannot be told to its end, and a length has been told
 * already. */
bool answer_go_on(struct answer *a) MUST_USE;
/* Another slice can be had at once. */
bool answer_can_go_on(const struct answer *a);

/* Bytes that follow the request belong to it. */
bool answer_wants_input(const struct answer *a);
/* How many of them; they are taken. */
size_t answer_feed(struct answer *a, struct view bytes);

/* Nobody hears it any more. */
void answer_leave(struct answer *a);
void answer_release(struct answer *a);

#endif
