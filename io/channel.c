#include "io/channel.h"

#include "common/memory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PACKETS_PER_TURN = 64,
    SEND_ROOM_BYTES = 4 << 20, /* in the kernel; what it does not grant waits in `unsent` */
};

struct packet {
    struct list link;
    int fd; /* -1: none */
    size_t len;
    char bytes[];
};

/* Room for exactly one descriptor: CMSG_SPACE would round up to two, and a second one has to show
 * as MSG_CTRUNC. */
union control {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
};

int channel_pair(int fds[2])
{
    int bytes = SEND_ROOM_BYTES;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
        return -errno;
    for (int i = 0; i < 2; i++) {
        /* Only root may pass the system's limit; without it the limit is what we get. */
        if (setsockopt(fds[i], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
            (void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    }
    return 0;
}

static int send_packet(int socket, struct view bytes, int fd)
{
    struct iovec part = { .iov_base = (void *)(uintptr_t)bytes.ptr, .iov_len = bytes.len };
    struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
    union control control;

    if (fd >= 0) {
        control.head = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)),
            .cmsg_level = SOL_SOCKET,
            .cmsg_type = SCM_RIGHTS,
        };
        memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
        m.msg_control = &control;
        m.msg_controllen = CMSG_LEN(sizeof(int));
    }
    return sendmsg(socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static int fd_of(struct msghdr *m)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    int fd;

    if (c == NULL || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
        c->cmsg_len != CMSG_LEN(sizeof(int)))
        return -1;
    memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    return fd;
}

/* Bytes, 0 at the end, or a negative errno; then there is no descriptor. */
static long receive_packet(int socket, void *room, size_t size, int *fd)
{
    struct iovec part = { .iov_base = room, .iov_len = size };
    union control control;
    struct msghdr m = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = CMSG_LEN(sizeof(int)),
    };
    ssize_t len = recvmsg(socket, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

    *fd = -1;
    if (len < 0)
        return -errno;
    *fd = fd_of(&m);
    if (len == 0 || (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        if (*fd >= 0)
            close(*fd);
        *fd = -1;
        return len == 0 ? 0 : -EMSGSIZE;
    }
    return len;
}

static void drop_packet(struct channel *c, struct packet *p)
{
    list_remove(&p->link);
    c->unsent_bytes -= p->len;
    if (p->fd >= 0)
        close(p->fd);
    free(p);
}

static void drop_unsent(struct channel *c)
{
    list_each_safe (link, &c->unsent)
        drop_packet(c, container_of(link, struct packet, link));
}

static void close_and_tell(struct channel *c)
{
    channel_close(c);
    c->closed(c);
}

static void set_corked(struct channel *c, bool corked)
{
    int err;

    if (c->corked == corked)
        return;
    c->corked = corked;
    err = loop_watch(c->loop, &c->watch, corked ? WANT_READ | WANT_WRITE : WANT_READ);
    assert(err == 0); /* to change a watch needs no memory */
}

/* A way to say `closed` from the loop and not from inside channel_send: the socket reads what the
 * peer still said, and then its end. */
static void hang_up(struct channel *c)
{
    drop_unsent(c);
    set_corked(c, false);
    shutdown(c->watch.fd, SHUT_RDWR);
}

/* No room in the socket, or in the system: the packet may go later. */
static bool must_wait(int err)
{
    return err == -EAGAIN || err == -EINTR || err == -ENOBUFS || err == -ENOMEM ||
           err == -ETOOMANYREFS;
}

static void send_unsent(struct channel *c)
{
    while (!list_empty(&c->unsent)) {
        struct packet *p = container_of(c->unsent.next, struct packet, link);
        int err = send_packet(c->watch.fd, view_make(p->bytes, p->len), p->fd);

        if (must_wait(err))
            return;
        if (err < 0) {
            hang_up(c);
            return;
        }
        drop_packet(c, p);
    }
    set_corked(c, false);
    if (c->drained != NULL)
        c->drained(c);
}

static void receive_packets(struct channel *c)
{
    static char room[CHANNEL_PACKET_MAX];

    for (int i = 0; i < PACKETS_PER_TURN && channel_is_open(c); i++) {
        int fd;
        long len = receive_packet(c->watch.fd, room, sizeof(room), &fd);

        if (len == -EAGAIN || len == -EINTR)
            return;
        if (len > 0)
            c->received(c, view_make(room, (size_t)len), fd);
        else if (len != -ECONNRESET) /* said once, before what the peer sent until it went */
            close_and_tell(c);
    }
}

static void on_ready(struct watch *w, unsigned what)
{
    struct channel *c = container_of(w, struct channel, watch);

    if (c->corked && (what & WANT_WRITE))
        send_unsent(c);
    if (channel_is_open(c) && (what & WANT_READ))
        receive_packets(c);
}

int channel_open(struct channel *c, struct loop *l, int fd)
{
    int err;

    c->watch = (struct watch){ .fd = fd, .ready = on_ready };
    list_init(&c->unsent);
    c->unsent_bytes = 0;
    c->corked = false;
    err = loop_watch(l, &c->watch, WANT_READ);
    c->loop = err < 0 ? NULL : l;
    return err;
}

void channel_close(struct channel *c)
{
    if (!channel_is_open(c))
        return;
    drop_unsent(c);
    loop_unwatch(c->loop, &c->watch);
    close(c->watch.fd);
    c->watch.fd = -1;
    c->loop = NULL;
}

bool channel_is_open(const struct channel *c)
{
    return c->loop != NULL;
}

static void keep(struct channel *c, struct view bytes, int fd)
{
    struct packet *p;
    int copy = -1;

    if (c->unsent_bytes + bytes.len > CHANNEL_UNSENT_MAX) {
        hang_up(c);
        return;
    }
    if (fd >= 0) {
        copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (copy < 0) {
            hang_up(c);
            return;
        }
    }
    p = memory_new(sizeof(*p) + bytes.len);
    p->fd = copy;
    p->len = bytes.len;
    memcpy(p->bytes, bytes.ptr, bytes.len);
    list_append(&c->unsent, &p->link);
    c->unsent_bytes += p->len;
    set_corked(c, true);
}

void channel_send(struct channel *c, struct view bytes, int fd)
{
    int err = -EAGAIN;

    assert(bytes.len > 0 && bytes.len <= CHANNEL_PACKET_MAX);
    if (!channel_is_open(c))
        return;
    if (!c->corked)
        err = send_packet(c->watch.fd, bytes, fd);
    if (must_wait(err))
        keep(c, bytes, fd);
    else if (err < 0)
        hang_up(c);
}

long channel_receive_blocking(int socket, void *room, size_t size, int *fd)
{
    struct pollfd p = { .fd = socket, .events = POLLIN };

    for (;;) {
        long len = receive_packet(socket, room, size, fd);

        if (len != -EAGAIN && len != -EINTR && len != -ECONNRESET)
            return len;
        if (poll(&p, 1, -1) < 0 && errno != EINTR)
            return -errno;
    }
}
