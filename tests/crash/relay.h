/* A queue process, the real one, and around it what it talks to: the master that starts it, an
 * smtpd, a delivery worker, an administrator. One life at a time. */
#ifndef TESTS_CRASH_RELAY_H
#define TESTS_CRASH_RELAY_H

#include "common/arena.h"
#include "ipc/peer.h"
#include "mail/outcome.h"

#include <stdio.h>
#include <sys/types.h>

struct relay_stop {
    const char *how; /* tests/crash/stop.c */
    long at, count;  /* at 0: it is not stopped */
};

/* What the delivery worker is to deliver. The body is whole. */
struct relay_job {
    struct message_job_start start;
    struct envelope envelope;
    const uint32_t *indexes; /* of its recipients */
    struct view body;
};

struct relay {
    const char *queue, *library, *folder; /* programs, and where the spool lies */
    struct loop loop;
    /* A message is durable, with its id, or was refused: id 0. */
    void (*answered)(struct relay *r, uint64_t transaction, uint64_t id);
    /* Says with relay_result what becomes of each recipient. */
    void (*deliver)(struct relay *r, const struct relay_job *j);
    /* Private. */
    pid_t pid;
    struct peer master, smtpd, delivery;
    bool ready;
    int control; /* listens */
    struct watch log;
    char *said; /* on descriptor 2, in this life */
    size_t said_len;
    int opened_fd;
    bool opened, not_opened;
    char *parts;
    size_t parts_len;
};

enum relay_end {
    RELAY_RUNS,
    RELAY_ENDED,   /* in good order */
    RELAY_STOPPED, /* killed, as it was to be */
    RELAY_REFUSED, /* would not start */
    RELAY_BROKE    /* anything else */
};

void relay_begin(struct relay *r, const struct relay_stop *stop);
/* Turns the loop until `done` says so, or the queue ends, or patience does: then false. */
bool relay_wait(struct relay *r, bool (*done)(struct relay *r));
bool relay_is_ready(struct relay *r);
/* Asks it to end, if it still runs, and tells how it did. */
enum relay_end relay_finish(struct relay *r);
/* What it said in this life, NUL-terminated. */
const char *relay_said(const struct relay *r);
/* "calls N", of a life that ended in good order; -1: it did not say. */
long relay_calls(const struct relay *r);

/* False: there was no file for the body, so it was not offered whole. */
bool relay_offer(struct relay *r, uint64_t transaction, const struct envelope *e, struct view body,
                 bool big);
/* The same, but for the end. */
void relay_offer_half(struct relay *r, uint64_t transaction, struct view body, bool big);
void relay_result(struct relay *r, const struct relay_job *j, size_t rcpt, enum outcome_class c);
/* One line, as `tern` would say it. The number behind `key` in the answer; -1: there is none. */
long relay_ask(struct relay *r, const char *request, const char *key);

#endif
