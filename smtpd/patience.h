/* Time: how long a client may take for what it does, and how long it has to wait for us. */
#ifndef SMTPD_PATIENCE_H
#define SMTPD_PATIENCE_H

#include "smtpd/conn.h"

void patience_init(struct conn *c);
void patience_end(struct conn *c);

/* Something happened: the patience begins anew. */
void patience_renew(struct conn *c);
/* A message begins, or the wait for one: it must end in time, whatever happens. */
void patience_set_deadline(struct conn *c);

/* A stranger who makes one mistake after the other waits for the answers. */
void patience_slow_down(struct conn *c, unsigned mistakes);
/* Nothing is sent; afterwards the client is greeted, or hears what was said meanwhile. */
void patience_pause(struct conn *c, uint64_t ms);

#endif
