/* Which question is asked next. Questions wait in lines that take nothing from one another. Each
 * has some places for those that were asked just now: whoever is answered gives the place back at
 * once, and whoever is not after a short while. So name servers that are silent, however many and
 * for however long, hold nobody up for longer, and those that we ask get no more questions at once
 * than their buffers take, nor more in a time than they can keep. Pure; times are milliseconds. */
#ifndef DNS_LINES_H
#define DNS_LINES_H

#include "common/list.h"

#include <stdint.h>

enum {
    LINES_PLACES = 100,   /* of each line */
    LINES_FRESH_MS = 100, /* what has no answer then is with others that are slow, too */
};

/* The most urgent first. */
enum line {
    LINE_ADDRESSES, /* of hosts to which mail is on its way */
    LINE_ROUTES,    /* queue/mx.c keeps it short: mail that waits is in turns there */
    LINE_IMPLICIT,  /* addresses of domains without MX; twice the places: each has two questions */
    LINE_STRANGERS, /* what clients of smtpd make us ask */
    LINES
};

struct in_line { /* embed; zeroed is "in none" */
    struct list link;
    enum line line;
    enum { LINE_NOWHERE, LINE_WAITING, LINE_FRESH } state;
    uint64_t since_ms; /* LINE_FRESH */
};

struct lines {
    struct {
        struct list waiting, fresh; /* the oldest first */
        unsigned taken;             /* places */
    } of[LINES];
};

void lines_init(struct lines *l);
/* To the end of the line. */
void lines_add(struct lines *l, struct in_line *q, enum line line);
/* It is answered, or not to be asked any more; safe when it is in none. */
void lines_remove(struct lines *l, struct in_line *q);
/* The next for which there is a place, which it takes; NULL: there is none. */
struct in_line *lines_take(struct lines *l, uint64_t now_ms) MUST_USE;
/* When a place gets free without an answer; UINT64_MAX: none is taken. */
uint64_t lines_due_ms(const struct lines *l) MUST_USE;

#endif
