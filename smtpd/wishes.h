/* What a session wishes (session.h) and who fulfils it: TLS, the auth process, the queue. */
#ifndef SMTPD_WISHES_H
#define SMTPD_WISHES_H

#include "smtpd/conn.h"

void wishes_init(struct conn *c);
void wishes_release(struct conn *c);

/* Sees to what is wished, when it is new. */
void wishes_fulfil(struct conn *c);
/* At CONN_HANDSHAKE, when the socket is ready. */
void wishes_shake_hands(struct conn *c);
/* Content that came goes to its file, if it has one. */
void wishes_spill(struct conn *c);

/* An answer of the queue, or one of it, of the auth process or of dns, is to come. */
bool wishes_await_queue(const struct conn *c);
bool wishes_await_answer(const struct conn *c);
/* It did not come in time. */
void wishes_time_out(struct conn *c);
/* It came, or will not. */
void wishes_go_on(struct conn *c);

#endif
