/* The TLS of a connection: what came of its policy, in words, and the sessions that are resumed.
 * For a connection alone. */
#ifndef DELIVERY_CONN_TLS_H
#define DELIVERY_CONN_TLS_H

#include "delivery/conn.h"

/* Begins TLS on the stream, with a session to resume if there is one; 0 or negative errno. */
int conn_open_tls(struct conn *c) MUST_USE;
/* The host gave a session with its first words in TLS: it is kept. */
void conn_keep_session(struct conn *c);
/* What came of the policy: TLS, or none, or none so far. */
void conn_note_tls(struct conn *c);
void conn_note_lack(struct conn *c, enum tls_lack lack);
void conn_note_plain(struct conn *c); /* unless there is TLS */
/* TLS that not everybody asks for is missing. */
bool conn_lacks_tls(const struct conn *c, const struct outcome *o) MUST_USE;

#endif
