/* What "tern explain" prints: one step of a decision after the other, each with the place in the
 * configuration that it comes from; as lines, or as one JSON object. */
#ifndef TOOLS_STEPS_H
#define TOOLS_STEPS_H

#include "common/attrs.h"
#include "common/view.h"

#include <stdbool.h>

struct steps {
    bool json;
    unsigned count; /* of what stands in the list that is open */
};

void steps_begin(struct steps *s, struct view sender, struct view recipient);
/* `origin` is "file:line", or NULL. */
void steps_add(struct steps *s, const char *step, const char *origin, const char *format, ...)
    PRINTF_LIKE(4, 5);
/* How it ends: "accepted", "refused" ... */
void steps_end(struct steps *s, const char *result);

#endif
