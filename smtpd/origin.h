/* Who the client is: as whose a connection counts, what its host is called, whether it is listed.
 */
#ifndef SMTPD_ORIGIN_H
#define SMTPD_ORIGIN_H

#include "smtpd/conn.h"

void origin_init(struct conn *c, const struct net_address *peer);
void origin_release(struct conn *c);

/* Who counts as the client of a connection from `peer` at first: nobody, when that is a proxy. */
struct net_address origin_counted(const struct session_rules *rules,
                                  const struct net_address *peer);
/* A proxy has said who the client is: the connection counts as that one's, or is turned away. */
void origin_recount(struct conn *c);
/* session_rules.counted of every session of a server. */
enum rates_verdict origin_count_rate(struct session *s, enum rate_kind kind);
/* Likewise session_rules.charged. */
bool origin_charge_rate(struct session *s, const struct rates_bucket *b, bool take);

/* Asks dns for the name, and for lists. */
void origin_ask(struct conn *c);
/* dns did not say the name in time. */
void origin_fail_name(struct conn *c);

#endif
