/* Letters that every text which a pattern matches has in it, one behind the other: a text without
 * them needs no matcher, and most patterns are not about most texts. */
#ifndef MAIL_LITERAL_H
#define MAIL_LITERAL_H

#include "common/view.h"

enum { LITERAL_MAX = 64 }; /* bytes; what is longer is cut */

/* What is at the front of the text, as literals have it: without case, and ends of lines are
 * nothing. False: no more. */
bool literal_next(struct view *text, char *letter);

struct literal {
    size_t len; /* 0: nothing is sure */
    char bytes[LITERAL_MAX];
};

/* The longest one of a pattern that compiles (PCRE2, caseless). Where the pattern has what is not
 * understood here, nothing is sure. */
struct literal literal_of(struct view pattern);
bool literal_is_in(const struct literal *l, struct view text);

#endif
