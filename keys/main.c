/* tern-keys: has the private keys, and signs for the smtpd processes. Whoever breaks into one of
 * those can have things signed while he is there, but does not learn a key. */
#include "common/memory.h"
#include "io/log.h"
#include "io/tls_key.h"
#include "ipc/role.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PEM_MOST = 1 << 20, /* bytes of a certificate chain, or a key */
    FILES_MAX = 1024,
};

struct client {
    struct peer peer; /* its link is in `clients` */
    struct deferred free_later;
};

static struct role role;
static struct list clients;
static struct tls_key *keys[CERTIFICATES_MAX];
static bool draining;

/* ---- the keys ---- */

static NORETURN void give_up(const char *doing, const struct error *err)
{
    log_error("start_failed", LOG_STRING("doing", doing), LOG_STRING("reason", err->text));
    exit(ROLE_EXIT_CONFIG);
}

static struct view read_grant(enum grant_kind kind, uint32_t index)
{
    struct error err = { "" };
    struct view bytes = VIEW_EMPTY;

    for (size_t i = 0; i < role.grant_count && bytes.ptr == NULL; i++) {
        const struct role_grant *g = &role.grants[i];

        if (g->what.kind != kind || g->what.index != index)
            continue;
        bytes = role_read_file(g->fd, PEM_MOST, &err);
        if (bytes.ptr == NULL)
            give_up("reading a certificate or its key", &err);
    }
    return bytes;
}

static void forget_bytes(struct view bytes)
{
    char *ptr = (char *)(uintptr_t)bytes.ptr;

    if (ptr != NULL)
        explicit_bzero(ptr, bytes.len);
    free(ptr);
}

static void load_key(uint32_t index)
{
    const struct tls_settings *tls = &role.settings.tls;
    struct view certificate_path = index == 0 ? tls->certificate : tls->more[index - 1].certificate;
    struct view key_path = index == 0 ? tls->key : tls->more[index - 1].key;
    struct view certificate = read_grant(GRANT_CERTIFICATE, index);
    struct view key = read_grant(GRANT_KEY, index);
    struct error err = { "" }, why;

    keys[index] = tls_key_new(certificate, key, &err);
    if (keys[index] == NULL) {
        error_set(&why, 0, "%.*s for %.*s: %s", VIEW_ARG(key_path), VIEW_ARG(certificate_path),
                  err.text);
        give_up("loading a key", &why);
    }
    forget_bytes(certificate);
    forget_bytes(key);
}

/* ---- smtpd ---- */

static bool on_asked(struct peer *p, enum message type, struct view fields, int fd)
{
    char room[TLS_SIGNATURE_MAX];
    struct message_key_signed answer = { 0 };
    struct message_key_sign m;

    if (fd >= 0)
        close(fd);
    if (type != MESSAGE_KEY_SIGN || !message_key_sign_decode(fields, &m) || m.how >= TLS_SIGNINGS ||
        m.bytes.len > TLS_SIGNED_MAX || m.key >= CERTIFICATES_MAX || keys[m.key] == NULL)
        return false;
    answer.request = m.request;
    answer.bytes.ptr = room;
    answer.bytes.len =
        tls_key_sign(keys[m.key], (enum tls_signing)m.how, m.bytes, room, sizeof(room));
    peer_send_key_signed(p, &answer, -1);
    return true;
}

static void stop_when_unneeded(void)
{
    if (draining && list_empty(&clients))
        loop_stop(&role.loop);
}

static void on_free(struct deferred *d)
{
    free(container_of(d, struct client, free_later));
}

static void on_client_gone(struct peer *p)
{
    struct client *c = container_of(p, struct client, peer);

    list_remove(&p->link);
    loop_defer(&role.loop, &c->free_later);
    stop_when_unneeded();
}

static void on_granted(struct role *r, const struct message_grant *what, int fd)
{
    struct client *c;
    int err;

    if (what->kind == GRANT_CERTIFICATE || what->kind == GRANT_KEY)
        return; /* used and closed before */
    if (what->kind != GRANT_PEER || what->peer != SMTPD) {
        close(fd);
        return;
    }
    c = memory_new(sizeof(*c));
    c->free_later.run = on_free;
    c->peer.heard = on_asked;
    c->peer.gone = on_client_gone;
    err = peer_open(&c->peer, &r->loop, KEYS, what->peer, what->index, fd);
    if (err < 0) {
        log_error("channel_failed", LOG_STRING("peer", process_name(what->peer)),
                  LOG_ERRNO("error", -err));
        close(fd);
        free(c);
        return;
    }
    list_append(&clients, &c->peer.link);
}

/* Those that ask finish first. */
static void on_drain(struct role *r, bool stop)
{
    (void)r;
    (void)stop;
    draining = true;
    stop_when_unneeded();
}

int main(void)
{
    struct sandbox sandbox = { .files_max = FILES_MAX };

    role_begin(&role, KEYS);
    list_init(&clients);
    for (uint32_t i = 0; i <= role.settings.tls.more_count; i++)
        load_key(i);
    role.granted = on_granted;
    role.drain = on_drain;
    return role_run(&role, &sandbox);
}
