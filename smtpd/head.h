/* The beginning of a message, as long as its header is looked at as a whole before it is passed on:
 * the header section, and what of the body came with its end. */
#ifndef SMTPD_HEAD_H
#define SMTPD_HEAD_H

#include "common/attrs.h"
#include "common/view.h"
#include "smtpd/content.h"

enum { HEAD_MAX = 262144 }; /* bytes of a header section */

struct head { /* zeroed is empty */
    char *room;
    size_t len, capacity;
    bool collecting; /* the header has not ended */
    bool waiting;    /* it has, and is to be passed on */
};

/* False: too large, or the budget is used up. */
bool head_put(struct head *h, struct content_budget *budget, struct view piece) MUST_USE;
struct view head_view(const struct head *h);
void head_clear(struct head *h, struct content_budget *budget); /* gives the memory back */

#endif
