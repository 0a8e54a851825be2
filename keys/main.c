/* tern-keys: has the private keys, and signs for the smtpd processes. Whoever breaks into one of
 * those can have things signed while he is there, but does not learn a key. */
#include "io/log.h"
#include "io/tls_key.h"
#include "ipc/service.h"

#include <stdlib.h>
#include <string.h>

enum {
    PEM_MOST = 1 << 20, /* bytes of a certificate chain, or a key */
    FILES_MAX = 1024,
};

static struct service service;
static struct tls_key *keys[CERTIFICATES_MAX];

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

    for (size_t i = 0; i < service.role.grant_count && bytes.ptr == NULL; i++) {
        const struct role_grant *g = &service.role.grants[i];

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
    const struct tls_settings *tls = &service.role.settings.tls;
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

static bool on_asked(struct client *c, enum message type, struct view fields)
{
    char room[TLS_SIGNATURE_MAX];
    struct message_key_signed answer = { 0 };
    struct message_key_sign m;

    if (type != MESSAGE_KEY_SIGN || !message_key_sign_decode(fields, &m) || m.how >= TLS_SIGNINGS ||
        m.bytes.len > TLS_SIGNED_MAX || m.key >= CERTIFICATES_MAX || keys[m.key] == NULL)
        return false;
    answer.request = m.request;
    answer.bytes.ptr = room;
    answer.bytes.len =
        tls_key_sign(keys[m.key], (enum tls_signing)m.how, m.bytes, room, sizeof(room));
    peer_send_key_signed(&c->peer, &answer, -1);
    return true;
}

int main(void)
{
    struct sandbox sandbox = { .files_max = FILES_MAX };

    role_begin(&service.role, KEYS);
    for (uint32_t i = 0; i <= service.role.settings.tls.more_count; i++)
        load_key(i);
    service.client_bytes = sizeof(struct client);
    service.heard = on_asked;
    return service_run(&service, &sandbox);
}
