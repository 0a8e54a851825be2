/* What a submission lacks (RFC 6409, 8): watches its content go by, from the front, and says where
 * its header ends, which fields are not there, and where addresses stand. */
#ifndef MAIL_COMPLETION_H
#define MAIL_COMPLETION_H

#include "common/view.h"

enum { COMPLETION_HELD_MAX = 100 }; /* bytes; a longer name is none of a field */

/* Zeroed is a fresh start. */
struct completion {
    unsigned state;                 /* private */
    char held[COMPLETION_HELD_MAX]; /* private: a line whose kind is not known yet */
    size_t held_len;
    bool any;              /* a field was seen */
    bool date, message_id; /* these were */
    bool addresses;        /* private: the field has addresses */
    bool ended;            /* the header is over */
    bool no_blank;         /* ...without an empty line: the body began */
};

enum completion_step {
    COMPLETION_MORE,      /* the input is used up */
    COMPLETION_PIECE,     /* content, as it came */
    COMPLETION_ADDRESSES, /* likewise, of the body of a field that has addresses */
    COMPLETION_HERE,      /* what is missing goes here */
};

/* The next step, from the front of *input, which moves. A piece borrows from the input or from `c`,
 * until the next call; all pieces together are the content. */
enum completion_step completion_next(struct completion *c, struct view *input, struct view *piece);

#endif
