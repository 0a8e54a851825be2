/* The phases of a client session: what each says, and what follows from the reply. For the engine
 * alone. */
#ifndef DELIVERY_CLIENT_PHASES_H
#define DELIVERY_CLIENT_PHASES_H

#include "delivery/client.h"

struct client_phase_rules {
    const char *doing; /* completes "timed out while ..." in logs and bounces */
    enum client_phase (*say)(struct client *c); /* returns what may follow unanswered */
    enum client_phase (*hear)(struct client *c, const struct reply *r); /* what to say next */
    size_t timeout;           /* in struct timeouts_settings; RFC 5321, 4.5.3.2 */
    enum outcome_scope scope; /* what a connection that is lost here speaks of */
    const char *word;         /* for client_say_word; NULL: more is to be said */
};

extern const struct client_phase_rules client_phases[CLIENT_PHASES];

/* What is said next after the reply to c->hearing. */
enum client_phase client_hear_reply(struct client *c, const struct reply *r);
/* The session cannot go on, and `words` tell why. */
enum client_phase client_break_off(struct client *c, struct view words);
struct outcome client_make_outcome(const struct client *c, enum outcome_class class,
                                   enum outcome_scope scope);
/* One more reply will answer that. */
void client_remember(struct client *c, enum client_phase p);

#endif
