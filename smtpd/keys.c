#include "smtpd/keys.h"

#include "io/clock.h"
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

/* The next packet, before `end_ms`; its length, 0 when none came, or -1 when none can come any
 * more. */
static ssize_t wait_for_packet(struct keys *k, char *room, uint64_t end_ms)
{
    for (;;) {
        struct pollfd p = { .fd = k->fd, .events = POLLIN };
        uint64_t now_ms = clock_monotonic_ms();
        int ready = poll(&p, 1, now_ms < end_ms ? (int)(end_ms - now_ms) : 0);
        ssize_t n;

        if (ready == 0)
            return 0;
        n = ready < 0 ? -1 : recv(k->fd, room, ROOM, MSG_DONTWAIT);
        if (n > 0)
            return n;
        if (n == 0 || (errno != EINTR && errno != EAGAIN))
            return -1;
    }
}

/* The answer to request `number`. Answers to earlier ones, which came too late, are passed over. */
static size_t hear(struct keys *k, uint64_t number, char *out, size_t size)
{
    uint64_t end_ms = clock_monotonic_ms() + (k->late ? KEYS_PATIENCE_LATE_MS : KEYS_PATIENCE_MS);
    struct message_key_signed answer;
    enum message type;
    struct view fields;
    char room[ROOM];
    ssize_t len;

    do {
        len = wait_for_packet(k, room, end_ms);
        if (len == 0) {
            if (!k->late)
                log_warn("keys_late", LOG_U64("waited_ms", KEYS_PATIENCE_MS));
            k->late = true;
            return 0;
        }
        if (len < 0 || !message_open(view_make(room, (size_t)len), &type, &fields) ||
            type != MESSAGE_KEY_SIGNED || !message_key_signed_decode(fields, &answer))
            return lose(k, "it does not answer");
    } while (answer.request != number);
    k->late = false;
    if (answer.bytes.len > size)
        return 0;
    if (answer.bytes.len > 0)
        memcpy(out, answer.bytes.ptr, answer.bytes.len);
    return answer.bytes.len;
}

static size_t sign(struct tls_signer *signer, unsigned number, enum tls_signing how,
                   struct view bytes, char *out, size_t size)
{
    struct keys *k = container_of(signer, struct keys, signer);
    const struct message_key_sign m = {
        .request = ++k->requests, .key = number, .how = (uint8_t)how, .bytes = bytes
    };

    if (k->fd < 0 || bytes.len > TLS_SIGNED_MAX)
        return 0;
    if (ask(k, &m))
        return hear(k, m.request, out, size);
    return k->late && errno == EAGAIN ? 0 : lose(k, "it cannot be asked");
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
    k->late = false;
}
