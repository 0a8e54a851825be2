/* What belongs to the life of the running Tern, and so no reload can change. */
#ifndef MASTER_FIXED_H
#define MASTER_FIXED_H

#include "common/error.h"
#include "master/generation.h"
#include "master/tokens.h"

/* -EINVAL when `next`, which is to follow `now`, would: it stands on standard error with its place,
 * as mistakes do, and *err has words. */
int fixed_check(const struct generation *now, struct generation *next, const struct tokens *t,
                struct error *err) MUST_USE;

#endif
