#include "io/stream.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

void stream_init(struct stream *s, int fd)
{
    *s = (struct stream){ .fd = fd };
}

void stream_close(struct stream *s)
{
    tls_free(&s->tls);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

int stream_accept_tls(struct stream *s, struct tls_context *c, struct view listener)
{
    s->tls = tls_accept_on(c, s->fd, listener);
    return s->tls == NULL ? -ENOMEM : 0;
}

int stream_connect_tls(struct stream *s, struct tls_context *c, struct view name, bool verify)
{
    s->tls = tls_connect_on(c, s->fd, name, verify);
    return s->tls == NULL ? -EINVAL : 0;
}

int stream_handshake(struct stream *s, struct error *err)
{
    return tls_handshake(s->tls, err);
}

long stream_read(struct stream *s, void *room, size_t size)
{
    ssize_t count;

    if (s->tls != NULL)
        return tls_read(s->tls, room, size);
    do
        count = read(s->fd, room, size);
    while (count < 0 && errno == EINTR);
    if (count >= 0)
        return count;
    return errno == EAGAIN ? STREAM_WANT_READ : -errno;
}

static long write_with(struct stream *s, const void *bytes, size_t size, int flags)
{
    ssize_t count;

    if (s->tls != NULL)
        return tls_write(s->tls, bytes, size);
    do
        count = send(s->fd, bytes, size, flags);
    while (count < 0 && errno == EINTR);
    if (count >= 0)
        return count;
    return errno == EAGAIN ? STREAM_WANT_WRITE : -errno;
}

long stream_write(struct stream *s, const void *bytes, size_t size)
{
    return write_with(s, bytes, size, 0);
}

long stream_write_last(struct stream *s, const void *bytes, size_t size)
{
    return write_with(s, bytes, size, MSG_MORE);
}

bool stream_has_pending(const struct stream *s)
{
    return s->tls != NULL && tls_has_pending(s->tls);
}
