/* Patterns over addresses and names: PCRE2 with limits, so that no input can make it run
 * away. No JIT: the sandbox allows no executable memory. */
#ifndef MAIL_PATTERN_H
#define MAIL_PATTERN_H

#include "common/error.h"
#include "common/view.h"

struct pattern; /* heap; pattern_free */

/* Matches without case, anchored at both ends. NULL and *err when it does not compile. */
struct pattern *pattern_new(struct view text, struct error *err) MUST_USE;
void pattern_free(struct pattern **p);
/* A match limit that is reached counts as no match. */
bool pattern_matches(const struct pattern *p, struct view subject) MUST_USE;

#endif
