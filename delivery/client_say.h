/* What the client engine says in each phase: into `out`, which has room for it. Each returns the
 * phase that may follow before this one is answered. For the engine alone. */
#ifndef DELIVERY_CLIENT_SAY_H
#define DELIVERY_CLIENT_SAY_H

#include "delivery/client.h"

enum { CLIENT_BDAT_MAX = 40 }; /* bytes of the command */

enum client_phase client_say_word(struct client *c); /* of the phase */
enum client_phase client_say_ehlo(struct client *c);
enum client_phase client_say_helo(struct client *c);
enum client_phase client_say_auth(struct client *c);
enum client_phase client_say_answer(struct client *c);
enum client_phase client_say_mail(struct client *c);
enum client_phase client_say_rcpt(struct client *c);
enum client_phase client_say_bdat(struct client *c);

#endif
