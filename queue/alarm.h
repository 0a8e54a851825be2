/* What is wrong with the spool or with what comes in, for the status: in words, with what to do
 * about it. */
#ifndef QUEUE_ALARM_H
#define QUEUE_ALARM_H

#include "common/buf.h"
#include "queue/store.h"

/* "alarms": a list of {"alarm":...,"what":...,"do":...}; empty when all is well. `surplus`:
 * messages that are held since their logins send too much; `unread`: those that the disk has not
 * given for long. */
void alarm_write(const struct store_numbers *n, uint64_t surplus, uint64_t unread, struct buf *out);

#endif
