/* Message content on the wire: dot-stuffing both ways, and the CRLF discipline
 * (RFC 5321, 2.3.8 and 4.5.2). Content is stored without dot-stuffing, as whole lines that end
 * in CRLF. */
#ifndef MAIL_BODY_H
#define MAIL_BODY_H

#include "common/view.h"

/* Receiving. Zeroed is a fresh start (at the beginning of a line). */
struct body_receiver {
    unsigned state;        /* private */
    uint64_t bytes;        /* content so far, CRLF counted, stuffing not (RFC 1870, 6.3) */
    bool done;             /* CRLF.CRLF was read; *input starts with what follows it */
    bool bare_cr, bare_lf; /* seen: the message must be refused, at its end */
    bool eight_bit;        /* an octet above 127 was seen */
    bool nul;              /* an octet 0 was seen */
};

/* The next piece of content from the front of *input, which moves. False when the input is
 * used up or the end was found. Pieces borrow from the input or from constants, are as long as
 * possible, and together are the content. Only CRLF "." CRLF ends it: bare CR or LF never does. */
bool body_receive(struct body_receiver *r, struct view *input, struct view *piece);

/* Receiving content that is counted (BDAT, RFC 3030): dots mean nothing, and all of `bytes` is
 * content. Whether it is a whole number of lines so far; a CR at its end is a bare one. */
void body_count(struct body_receiver *r, struct view bytes);
bool body_is_whole(const struct body_receiver *r);

/* Sending. Zeroed is a fresh start. */
struct body_sender {
    bool middle; /* private: not at the beginning of a line */
};

/* The next piece to send, with dots stuffed; false when the input is used up. The caller ends the
 * message with ".\r\n". */
bool body_send(struct body_sender *s, struct view *input, struct view *piece);

/* Watches content go by, piece by piece, up to the end of its header section. */
struct header_scan {
    unsigned state;    /* private */
    unsigned matched;  /* private: bytes of the field name that agree so far */
    unsigned received; /* Received fields so far: hops (RFC 5321, 6.3) */
    bool ended;        /* the empty line was seen */
};

void header_scan_feed(struct header_scan *h, struct view piece);

/* The header section of a whole message, without the empty line; all of it if there is no
 * empty line. */
struct view body_header(struct view message);
/* One field of it, as it stands there (RFC 5322, 2.2). */
struct header_field {
    struct view whole; /* with its line ends */
    struct view name;  /* empty: it is no field at all */
    struct view value; /* folded, without the last line end; as a rule it begins with a blank */
};

/* The next one from the front of *header, which moves; false: there is none. */
bool header_next(struct view *header, struct header_field *field) MUST_USE;
/* The value of the first field `name` (unfolded is the caller's work); false if there is none. */
bool header_find(struct view header, struct view name, struct view *value) MUST_USE;

#endif
