/* Addresses without a domain in the header of a submission (RFC 6409, 8): watches the body of an
 * address field (RFC 5322, 3.4) go by, and says where "@domain" is missing. Whatever it does not
 * understand stays as it is. */
#ifndef MAIL_QUALIFY_H
#define MAIL_QUALIFY_H

#include "common/view.h"

enum {
    QUALIFY_HELD_MAX = 256
}; /* bytes of blanks and comments behind a word; with more it stays */

/* Zeroed is a fresh start, at the colon of a field. */
struct qualify {
    /* All of it private. */
    unsigned depth;                /* of comments */
    bool escaped, quoted, literal; /* within a quoted string, or a domain literal */
    bool angle;                    /* between "<" and ">" */
    bool in_word, other;           /* `other`: it is more than one word, or has a domain */
    bool holding, flush;           /* what follows a word waits in `held`, or can go */
    unsigned words;                /* since the mailbox began */
    char held[QUALIFY_HELD_MAX];
    size_t held_len;
};

enum qualify_step {
    QUALIFY_MORE,  /* the input is used up */
    QUALIFY_PIECE, /* content, as it came */
    QUALIFY_HERE,  /* "@domain" goes here */
};

/* The next step, from the front of *input, which moves. A piece borrows from the input or from `q`,
 * until the next call; all pieces together are the content. With an empty input and `last` the
 * field has ended, and `q` is fresh after QUALIFY_MORE. */
enum qualify_step qualify_next(struct qualify *q, struct view *input, bool last,
                               struct view *piece);

#endif
