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
/* PATTERN_FAILED: a limit was reached first, and nobody knows. What is no UTF-8 is matched byte by
 * byte. */
enum pattern_result { PATTERN_NO, PATTERN_YES, PATTERN_FAILED };
enum pattern_result pattern_match(const struct pattern *p, struct view subject) MUST_USE;
/* What all that it matches has in it (mail/literal.h); empty: nothing is sure. */
struct view pattern_literal(const struct pattern *p);
/* False: pattern_match would say PATTERN_NO. Cheap, also for long texts. */
bool pattern_may_match(const struct pattern *p, struct view subject);

#endif
