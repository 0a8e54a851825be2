/* Mail from the smtpd processes: bodies in parts or in files of their own, and commits. */
#ifndef QUEUE_INTAKE_H
#define QUEUE_INTAKE_H

#include "queue/queue.h"

struct intake *intake_new(struct queue *q) MUST_USE;
void intake_free(struct intake **i);
void intake_add_peer(struct intake *i, uint32_t index, int fd);
/* Tells all of them whether new mail is welcome. */
void intake_tell_state(struct intake *i);
/* No peer is there, and no commit waits. */
bool intake_idle(const struct intake *i);

#endif
