/* One non-blocking byte stream, plain or TLS. No buffers of its own: the caller reads straight
 * into its input and writes straight from its output. */
#ifndef IO_STREAM_H
#define IO_STREAM_H

#include "common/attrs.h"
#include "common/error.h"
#include "io/tls.h"

enum {
    STREAM_WANT_READ = -100000,  /* nothing now; watch for readable */
    STREAM_WANT_WRITE = -100001, /* nothing now; watch for writable */
};

struct stream {
    int fd;
    struct tls *tls; /* NULL: plain */
};

void stream_init(struct stream *s, int fd); /* takes the descriptor */
/* Ends TLS and closes. `s->fd` is -1 afterwards. */
void stream_close(struct stream *s);

/* Turns a plain stream into TLS; then call stream_handshake until it answers 0. There is no way
 * back to plain text. Negative errno: out of resources. */
int stream_accept_tls(struct stream *s, struct tls_context *c, struct view listener) MUST_USE;
int stream_connect_tls(struct stream *s, struct tls_context *c, struct view name,
                       bool verify) MUST_USE;
int stream_handshake(struct stream *s, struct error *err) MUST_USE;

/* A count, 0 at the end of the stream, STREAM_WANT_*, or a negative errno (-ECONNRESET also when
 * TLS ends without saying so). After STREAM_WANT_WRITE the next write must begin with the same
 * bytes and not be shorter; they may have moved. SIGPIPE must be ignored. */
long stream_read(struct stream *s, void *room, size_t size) MUST_USE;
long stream_write(struct stream *s, const void *bytes, size_t size) MUST_USE;
/* As stream_write, of what comes before stream_close at once: it may travel with the end. */
long stream_write_last(struct stream *s, const void *bytes, size_t size) MUST_USE;
/* stream_read may give bytes although the socket does not become readable. */
bool stream_has_pending(const struct stream *s);

#endif
