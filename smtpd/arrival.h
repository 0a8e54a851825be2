/* What comes before a session: the header of a proxy (proxy.h), and the wait for the greeting. */
#ifndef SMTPD_ARRIVAL_H
#define SMTPD_ARRIVAL_H

#include "smtpd/conn.h"

/* Of a connection that has just been made; at CONN_PROXY its header comes first. */
void arrival_begin(struct conn *c);

/* Something came at CONN_PROXY. */
void arrival_receive_proxy(struct conn *c);
/* Says why, and closes. */
void arrival_refuse_proxy(struct conn *c, const char *why);

/* Something came at CONN_GREETING. */
void arrival_hear_early(struct conn *c);
void arrival_greet(struct conn *c);

#endif
