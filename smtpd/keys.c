#include "smtpd/keys.h"

#include "io/log.h"
#include "ipc/messages.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 2048 }; /* bytes of a packet either way */

static size_t lose(struct keys *k, const char *why)
{
    log_error("keys_lost", LOG_STRING("reason", why));
    close(k->fd);
    k->fd = -1;
    return 0;
}

static bool ask(struct keys *k, const struct message_key_sign *m)
{
    char room[ROOM];
    struct buf packet = BUF_ON_ARRAY(room);

    if (!message_key_sign_encode(m, &packet))
        return false;
    return send(k->fd, room, buf_len(&packet), MSG_NOSIGNAL) == (ssize_t)buf_len(&packet);
}

/* The next packet; its length, or 0. */
static size_t wait_for_packet(struct keys *k, char *room)
{
    struct pollfd p = { .fd = k->fd, .events = POLLIN };
    ssize_t n;
    int ready;

    do
        ready = poll(&p, 1, KEYS_PATIENCE_MS);
    while (ready < 0 && errno == EINTR);
    if (ready <= 0)
        return 0;
    n = recv(k->fd, room, ROOM, MSG_DONTWAIT);
    return n > 0 ? (size_t)n : 0;
}

static size_t sign(struct tls_signer *signer, unsigned number, enum tls_signing how,
                   struct view bytes, char *out, size_t size)
{
    struct keys *k = container_of(signer, struct keys, signer);
    const struct message_key_sign m = {
        .request = ++k->requests, .key = number, .how = (uint8_t)how, .bytes = bytes
    };
    struct message_key_signed answer;
    enum message type;
    struct view fields;
    char room[ROOM];
    size_t len;

    if (k->fd < 0 || bytes.len > TLS_SIGNED_MAX)
        return 0;
    if (!ask(k, &m))
        return lose(k, "it cannot be asked");
    len = wait_for_packet(k, room);
    if (!message_open(view_make(room, len), &type, &fields) || type != MESSAGE_KEY_SIGNED ||
        !message_key_signed_decode(fields, &answer) || answer.request != m.request)
        return lose(k, "it does not answer");
    if (answer.bytes.len > size)
        return 0;
    if (answer.bytes.len > 0)
        memcpy(out, answer.bytes.ptr, answer.bytes.len);
    return answer.bytes.len;
}

void keys_init(struct keys *k)
{
    *k = (struct keys){ .signer.sign = sign, .fd = -1 };
}

void keys_connect(struct keys *k, int fd)
{
    if (k->fd >= 0)
        close(k->fd);
    k->fd = fd;
}
