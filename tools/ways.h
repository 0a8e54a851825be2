/* Where mail would connect to now. What looks it up is what does so when mail is sent: a pair of
 * processes, delivery and dns, that are started for the question alone, with the configuration as
 * it stands in the file. So the answer is the same whether Tern runs or not, and fresh. */
#ifndef TOOLS_WAYS_H
#define TOOLS_WAYS_H

#include "common/error.h"
#include "ipc/messages.h"
#include "ipc/settings.h"

struct ways; /* the processes; heap */

/* NULL: they cannot be started, and why. */
struct ways *ways_open(const struct config *c, const struct settings *s,
                       struct error *err) MUST_USE;
/* The answer's views live until the next question. A negative errno: there is none. */
int ways_ask(struct ways *w, const struct message_way_ask *question,
             struct message_way_answer *answer, struct error *err) MUST_USE;
void ways_close(struct ways **w);

#endif
