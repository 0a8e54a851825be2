/* What is wrong with the spool, for the status: in words, with what to do about it. */
#ifndef QUEUE_ALARM_H
#define QUEUE_ALARM_H

#include "common/buf.h"
#include "queue/store.h"

/* "alarms": a list of {"alarm":...,"what":...,"do":...}; empty when all is well. */
void alarm_write(const struct store_numbers *n, struct buf *out);

#endif
