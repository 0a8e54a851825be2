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

enum { HEADER_ID_MAX = 255 }; /* bytes of a Message-ID that is kept; a longer one is not */

/* Watches content go by, piece by piece, up to the end of its header section. */
struct header_scan {
    unsigned state;         /* private */
    unsigned matched;       /* private: bytes of the line that agree with a name so far */
    unsigned name;          /* private: which name that is */
    unsigned received;      /* Received fields so far: hops (RFC 5321, 6.3) */
    bool ended;             /* the empty line was seen */
    bool id_seen;           /* private: the first Message-ID counts */
    unsigned short id_len;  /* private */
    char id[HEADER_ID_MAX]; /* private */
};

void header_scan_feed(struct header_scan *h, struct view piece);
/* The first Message-ID, unfolded, without blanks around it (RFC 5322, 3.6.4); empty: none, or too
 * long, or not of visible ASCII alone. */
struct view header_scan_message_id(const struct header_scan *h);

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
