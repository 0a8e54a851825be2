/* Which job a connection has, and what becomes of it. For a connection alone. What returns false
 * leaves a connection that is not what it was: gone, or on its way to another host. */
#ifndef DELIVERY_CONN_JOB_H
#define DELIVERY_CONN_JOB_H

#include "delivery/conn.h"

/* Dials from the first host on, for its job. */
void conn_start_over(struct conn *c);
/* No host is left to be tried (struct dial). */
void conn_on_nothing_left(struct dial *d);

bool conn_start_job(struct conn *c, struct job *j) MUST_USE;
/* The engine is ready for a message. */
bool conn_next_job(struct conn *c) MUST_USE;
bool conn_decide(struct conn *c, const struct client_verdict *v) MUST_USE;
void conn_end_job(struct conn *c);

/* It takes no more jobs, and says QUIT. */
void conn_say_quit(struct conn *c);
/* The last words, if they can be said without waiting. */
void conn_say_goodbye(struct conn *c);
/* It is of no use any more: its job is decided, or goes by another way, or another host. */
void conn_fail(struct conn *c, const struct outcome *why);
/* The content of its job is not what the queue took in. */
void conn_spoil(struct conn *c);
void conn_end(struct conn *c);

#endif
