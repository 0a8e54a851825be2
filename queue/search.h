/* Looks for a message in the history, from the oldest file to the newest, a slice at a time: the
 * bytes of the word are looked for first, and only a record that has them is read. */
#ifndef QUEUE_SEARCH_H
#define QUEUE_SEARCH_H

#include "common/buf.h"
#include "queue/past.h"

struct search {
    char *word, *needle; /* the same as records have it */
    bool exact;          /* an id: its case is known */
    char **names;        /* of files */
    size_t count, next;
    int fd; /* of the file that is read; -1: none */
    struct buf window;
    size_t at; /* in the window: what lies before has been looked at */
};

/* Of the history below the working folder. */
struct search *search_new(struct view word) MUST_USE;
void search_free(struct search **s);
enum search_step {
    SEARCH_FOUND, /* *p, until the next step */
    SEARCH_ON,    /* nothing in this slice: call again */
    SEARCH_OVER,
};
enum search_step search_step(struct search *s, struct arena *arena, struct past *p) MUST_USE;

#endif
