/* Who wrote a message, as its header says: the From field (RFC 5322, 3.6.2). */
#ifndef MAIL_FROM_H
#define MAIL_FROM_H

#include "common/arena.h"
#include "common/view.h"
#include "mail/address.h"

enum { FROM_TEXT_MAX = 4096 }; /* bytes of the field; more cannot be looked at */

/* Collects the field while the content goes by, piece by piece. Zeroed is a fresh start; the text
 * lies in the arena. */
struct from_scan {
    unsigned state;   /* private */
    unsigned matched; /* private */
    unsigned count;   /* From fields so far; more than one is no message (RFC 5322, 3.6) */
    char *text;       /* unfolded */
    size_t len;
    bool cut;     /* it is longer than FROM_TEXT_MAX */
    bool no_room; /* the arena is full */
    bool ended;   /* the empty line behind the header was seen */
};

void from_scan_feed(struct from_scan *f, struct arena *arena, struct view piece);

enum from_result { FROM_ADDRESS, FROM_END, FROM_MALFORMED };

/* The address of the next mailbox at the front of *rest, a mailbox-list or a group (RFC 6854); its
 * bytes are put into `room` (ADDRESS_MAX is enough). */
enum from_result from_take(struct view *rest, struct buf *room, struct address *out) MUST_USE;

#endif
