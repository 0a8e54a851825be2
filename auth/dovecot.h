/* The protocol of Dovecot's auth socket, as its clients speak it, versions 1.x: lines of fields
 * (Dovecot, "Authentication Protocol"). Bytes in, events out; knows no socket. */
#ifndef AUTH_DOVECOT_H
#define AUTH_DOVECOT_H

#include "common/buf.h"
#include "common/view.h"

enum {
    DOVECOT_LINE_MAX = 16384, /* bytes, LF included */
    DOVECOT_BYTES_MAX = 8192, /* of what a line has in base64; what we say has no more */
};

enum dovecot_event {
    DOVECOT_NOTHING,   /* more input is needed */
    DOVECOT_READY,     /* the handshake is over; `mechanisms` */
    DOVECOT_CHALLENGE, /* request `id`: `bytes` */
    DOVECOT_OK,        /* request `id`: `user` */
    DOVECOT_FAIL,      /* request `id`: `user` if it is known, `temporary`, and `why` for the log */
    DOVECOT_BROKEN,    /* `why`: the connection is of no use */
};

struct dovecot {
    bool versioned, ready; /* private */
    char line[DOVECOT_LINE_MAX];
    size_t line_len;
    char room[DOVECOT_LINE_MAX]; /* private: of the views below */
    char mechanisms[256];        /* without those that make no sense here; separated by blanks */
    size_t mechanisms_len;
    /* of the last event; views live until the next call */
    uint32_t id;
    struct view bytes, user;
    bool temporary;
    const char *why;
};

/* A zeroed struct is a fresh connection. Uses up bytes from the front of *input until something
 * happens. */
enum dovecot_event dovecot_hear(struct dovecot *d, struct view *input) MUST_USE;

/* What the client says; to be sent at once, since from 2.4 on the server waits for it. */
bool dovecot_put_hello(uint32_t pid, struct buf *out) MUST_USE;

struct dovecot_request {
    uint32_t id;
    struct view mechanism, session, client; /* client: an address */
    bool tls;
    bool initial;
    struct view response;
};
bool dovecot_put_request(const struct dovecot_request *r, struct buf *out) MUST_USE;
bool dovecot_put_response(uint32_t id, struct view response, struct buf *out) MUST_USE;
bool dovecot_put_cancel(uint32_t id, struct buf *out) MUST_USE;

#endif
