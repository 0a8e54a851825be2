/* tern-smtpd: receives mail over SMTP. Holds listening sockets and channels
 * to master, queue and dns; no paths, and no way to make a connection. */
#include "common/memory.h"
#include "io/clock.h"
#include "io/log.h"
#include "io/tls.h"
#include "ipc/role.h"
#include "ipc/rules.h"
#include "smtpd/keys.h"
#include "smtpd/limits.h"
#include "smtpd/listener.h"
#include "smtpd/server.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PEM_MOST = 1 << 20,      /* bytes of a certificate chain, or a key */
    DESCRIPTORS_APART = 256, /* beside those of connections and their files */
};

static struct role role;
static struct server server;
static struct keys keys;
static struct list listeners;

static NORETURN void give_up(const char *what, const struct error *err)
{
    log_error("start_failed", LOG_STRING("doing", what), LOG_STRING("reason", err->text));
    exit(ROLE_EXIT_CONFIG);
}

/* The descriptor of what was granted with this index; -1: it was not. */
static int find_grant(enum grant_kind kind, uint32_t index)
{
    for (size_t i = 0; i < role.grant_count; i++) {
        const struct message_grant *what = &role.grants[i].what;

        if (what->kind == kind && what->index == index)
            return role.grants[i].fd;
    }
    return -1;
}

static struct view read_grant(enum grant_kind kind, uint32_t index, const char *what)
{
    struct error err = { "" };
    struct view bytes;
    int fd = find_grant(kind, index);

    if (fd < 0)
        return VIEW_EMPTY;
    bytes = role_read_file(fd, PEM_MOST, &err);
    if (bytes.ptr == NULL)
        give_up(what, &err);
    return bytes;
}

static void forget_bytes(struct view bytes)
{
    char *ptr = (char *)(uintptr_t)bytes.ptr;

    if (ptr == NULL)
        return;
    explicit_bzero(ptr, bytes.len);
    free(ptr);
}

static void load_certificate(uint32_t index)
{
    struct view certificate = read_grant(GRANT_CERTIFICATE, index, "reading a certificate");
    const struct tls_settings *tls = &role.settings.tls;
    struct view path = index == 0 ? tls->certificate : tls->more[index - 1].certificate;
    struct error err = { "" }, why;

    if (certificate.ptr == NULL)
        return;
    if (tls_server_serve(&server.tls, certificate, &keys.signer, index, &err) < 0) {
        error_set(&why, 0, "%.*s: %s", VIEW_ARG(path), err.text);
        give_up("loading a certificate", &why);
    }
    forget_bytes(certificate);
}

static void load_client_ca(void)
{
    struct view pem = read_grant(GRANT_CLIENT_CA, 0, "reading auth.client-ca");
    struct error err = { "" };

    if (tls_server_ask(server.tls, pem, &err) < 0)
        give_up("loading auth.client-ca", &err);
    forget_bytes(pem);
}

static void load_tls(void)
{
    for (uint32_t i = 0; i <= role.settings.tls.more_count; i++)
        load_certificate(i);
    if (server.tls == NULL)
        return;
    if (role.settings.tls.minimum == TLS_MINIMUM_13)
        tls_server_want_13(server.tls);
    if (role.settings.auth.client_ca.len > 0)
        load_client_ca();
}

static void load_limits(void)
{
    struct error err = { "" };
    uint32_t index = role.start.index;
    int fd = find_grant(GRANT_COUNTERS, index);

    if (fd < 0) {
        error_set(&err, 0, "they were not granted");
        give_up("mapping the shared counters", &err);
    }
    if (limits_open(&server.limits, fd, index, &role.settings, &err) < 0)
        give_up("mapping the shared counters", &err);
}

static void load_rates(void)
{
    struct error err = { "" };
    int fd = find_grant(GRANT_RATES, 0);

    if (fd < 0) {
        error_set(&err, 0, "it was not granted");
        give_up("mapping the memory of rates", &err);
    }
    if (rates_open(&server.rates, fd, &role.settings, &err) < 0)
        give_up("mapping the memory of rates", &err);
}

static void take_listener(uint32_t index, int fd)
{
    const struct listener_settings *l = &role.settings.listeners[index];

    if (l->tls == LISTENER_TLS_IMPLICIT && server.tls == NULL) {
        log_error("listener_without_certificate", LOG_STRING("origin", l->origin));
        close(fd);
        return;
    }
    listener_open(&server, l, fd, &listeners);
}

static void take_queue(uint32_t index, int fd)
{
    int err = spool_connect(&server.spool, index, fd);

    if (err < 0) {
        log_error("queue_not_connected", LOG_ERRNO("error", -err));
        close(fd);
    }
}

static void take_auth(uint32_t index, int fd)
{
    int err = logins_connect(&server.logins, index, fd);

    if (err < 0) {
        log_error("channel_failed", LOG_STRING("peer", process_name(AUTH)),
                  LOG_ERRNO("error", -err));
        close(fd);
    }
}

/* Those of the start come before the first connection. */
static void take_list(uint32_t index, int fd)
{
    struct rules *r = role.settings.rules;
    struct error err = { "" };
    struct view bytes = index < r->list_count ? rule_list_read(fd, &err) : VIEW_EMPTY;

    close(fd);
    if (bytes.ptr == NULL) {
        log_error("list_not_taken", LOG_STRING("reason", err.text));
        return;
    }
    rule_list_load(&r->lists[index], bytes);
    free((char *)(uintptr_t)bytes.ptr);
}

/* At the start, and again every day. */
static void take_tickets(int fd)
{
    struct error err = { "" };
    struct view secret = role_read_file(fd, TLS_TICKET_SECRET, &err);

    if (secret.len != TLS_TICKET_SECRET)
        log_error("tickets_not_taken", LOG_STRING("reason", err.text));
    else if (server.tls != NULL)
        tls_server_share_tickets(server.tls, secret);
    forget_bytes(secret);
}

static void on_granted(struct role *r, const struct message_grant *what, int fd)
{
    if (what->kind == GRANT_CERTIFICATE || what->kind == GRANT_COUNTERS ||
        what->kind == GRANT_RATES)
        return; /* used and closed before */
    if (what->kind == GRANT_TICKETS)
        take_tickets(fd);
    else if (what->kind == GRANT_LIST)
        take_list(what->index, fd);
    else if (what->kind == GRANT_LISTENER && what->index < r->settings.listener_count &&
             !server.draining)
        take_listener(what->index, fd);
    else if (what->kind == GRANT_PEER && what->peer == QUEUE)
        take_queue(what->index, fd);
    else if (what->kind == GRANT_PEER && what->peer == DNS)
        asker_connect(&server.asker, what->index, fd);
    else if (what->kind == GRANT_PEER && what->peer == AUTH)
        take_auth(what->index, fd);
    else if (what->kind == GRANT_PEER && what->peer == KEYS)
        keys_connect(&keys, fd);
    else
        close(fd);
}

static void on_drain(struct role *r, bool stop)
{
    (void)r;
    list_each (link, &listeners)
        listener_close(container_of(link, struct listener, link));
    server_drain(&server, stop);
}

static void on_emptied(struct server *s)
{
    loop_stop(s->loop);
}

/* Patterns are compiled and the time zone is read while files can still be. */
static void load_rules(void)
{
    struct error err = { "" };

    clock_load_zone();
    if (rules_prepare(role.settings.rules, &err) < 0)
        give_up("compiling the rules", &err);
}

int main(void)
{
    struct sandbox sandbox = { 0 };

    role_begin(&role, SMTPD);
    server_init(&server, &role.loop, &role.settings);
    server.emptied = on_emptied;
    list_init(&listeners);
    keys_init(&keys);
    load_tls();
    load_limits();
    load_rates();
    load_rules();
    /* A connection may have a file for its message. */
    sandbox.files_max = 2 * role.settings.limits.connections + DESCRIPTORS_APART;
    role.granted = on_granted;
    role.drain = on_drain;
    return role_run(&role, &sandbox);
}
