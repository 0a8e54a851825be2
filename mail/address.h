/* Mail addresses as they stand in SMTP paths (RFC 5321, 4.1.2; RFC 6531, 3.3). */
#ifndef MAIL_ADDRESS_H
#define MAIL_ADDRESS_H

#include "common/arena.h"
#include "common/buf.h"
#include "common/view.h"

enum {
    ADDRESS_LOCAL_MAX = 255,  /* octets; RFC 5321, 4.5.3.1.1 asks for 64, VERP and SRS for more */
    ADDRESS_DOMAIN_MAX = 255, /* octets; RFC 5321, 4.5.3.1.2 */
    ADDRESS_MAX = 512,        /* local + "@" + domain */
};

/* All views borrow from what was parsed. */
struct address {
    struct view local;  /* as written: a quoted string keeps its quotes */
    struct view domain; /* empty for the null path and for a bare "postmaster" */
    bool literal;       /* the domain is an address literal, "[192.0.2.1]" */
    bool utf8;          /* has octets above 127 */
};

/* Path = "<" [ A-d-l ":" ] Mailbox ">", from the front of *input, which moves behind it.
 * "<>" gives an address with two empty views; a source route is read and dropped.
 * "<postmaster>" (any case) is allowed without a domain (RFC 5321, 4.1.1.3).
 * Octets above 127 are refused unless `utf8` (and then must be valid UTF-8). */
bool address_take_path(struct view *input, bool utf8, struct address *out) MUST_USE;

/* A whole view is a Mailbox without brackets, or a bare "postmaster": configuration, admin tool,
 * spool. */
bool address_parse(struct view text, bool utf8, struct address *out) MUST_USE;

/* A domain name: labels of letters, digits, hyphens (octets above 127 if utf8), no dot at
 * the end, 1 to 255 octets, labels to 63. Not an address literal. */
bool domain_valid(struct view domain, bool utf8) MUST_USE;

/* "local@domain" as parsed, nothing for the null path. */
bool address_print(const struct address *a, struct buf *out) MUST_USE;
/* Lower-cased copy for look-ups: unquotes a local part whose quotes are needless
 * ("\"bob\"@a" and "bob@a" are one address; RFC 5321, 4.1.2), lowers both sides. */
bool address_key(const struct address *a, struct buf *out) MUST_USE;
bool address_is_null(const struct address *a);

#endif
