/* tern-delivery: takes mail to other hosts. */
#include "delivery/sasl.h"
#include "delivery/worker.h"
#include "io/log.h"
#include "io/net.h"
#include "ipc/role.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TRUST_ANCHORS_MAX = 8 << 20, /* bytes of a CA bundle */
    SPARE_FILES = 64,            /* descriptors beside connections and the bodies of jobs */
};

static struct role role;
static struct worker worker;

static NORETURN void give_up(const char *doing, const char *why)
{
    log_error("start_failed", LOG_STRING("doing", doing), LOG_STRING("reason", why));
    exit(ROLE_EXIT_CONFIG);
}

/* PEM text, heap; `index` as in the grant. Without a bundle nothing can be verified: fine, as long
 * as no route asks for it. */
static struct view read_anchors(uint32_t index)
{
    struct error err = { "" };
    struct view pem = VIEW_EMPTY;

    for (size_t i = 0; i < role.grant_count; i++) {
        const struct role_grant *g = &role.grants[i];

        if (g->what.kind != GRANT_TRUST_ANCHORS || g->what.index != index)
            continue;
        pem = role_read_file(g->fd, TRUST_ANCHORS_MAX, &err);
        if (err.text[0] != '\0')
            give_up("reading the trust anchors", err.text);
    }
    return pem;
}

static struct tls_context *make_tls(uint32_t index, struct error *err)
{
    struct view pem = read_anchors(index);
    struct tls_context *tls = tls_client_new(pem, err);

    free((void *)(uintptr_t)pem.ptr);
    return tls;
}

static struct tls_context *make_general_tls(void)
{
    struct error err = { "" };
    struct tls_context *tls = make_tls(0, &err);

    if (tls == NULL)
        give_up("reading the trust anchors", err.text);
    return tls;
}

/* Routes with authorities of their own. */
static void make_route_tls(void)
{
    for (uint32_t i = 0; i < role.settings.route_count; i++) {
        const struct route_settings *r = &role.settings.routes[i];
        struct error err = { "" }, place;
        struct tls_context *tls;

        if (r->ca.len == 0)
            continue;
        tls = make_tls(i + 1, &err);
        if (tls == NULL) {
            (void)error_set(&place, -EINVAL, "the route at %s: %.*s: %s", r->origin,
                            VIEW_ARG(r->ca), err.text);
            give_up("reading the trust anchors", place.text);
        }
        worker_set_tls(&worker, i, tls);
    }
}

/* The first line; at the start, and again whenever master finds another. */
static void take_secret(uint32_t route, int fd)
{
    struct error err = { "" };
    struct view bytes = role_read_file(fd, SASL_SECRET_MAX, &err);
    struct view rest = bytes, line = VIEW_EMPTY;

    (void)view_take_line(&rest, &line);
    if (line.len == 0 && role.settings.routes[route].auth_command.len > 0)
        worker_set_secret(&worker, route, line); /* master has told why there is none */
    else if (line.len == 0)
        log_warn("secret_unreadable",
                 LOG_STRING("reason", err.text[0] != '\0' ? err.text : "the file is empty"));
    else
        worker_set_secret(&worker, route, line);
    if (bytes.len > 0)
        explicit_bzero((char *)(uintptr_t)bytes.ptr, bytes.len);
    free((char *)(uintptr_t)bytes.ptr);
}

static void on_granted(struct role *r, const struct message_grant *what, int fd)
{
    if (what->kind == GRANT_SECRET && what->index < r->settings.route_count)
        take_secret(what->index, fd);
    else if (what->kind == GRANT_PEER && what->peer == QUEUE)
        worker_connect_queue(&worker, what->index, fd);
    else if (what->kind == GRANT_PEER && what->peer == DNS)
        asker_connect(&worker.asker, what->index, fd);
    else if (what->kind != GRANT_TRUST_ANCHORS) /* those were read */
        close(fd);
}

static void on_refused(struct worker *w, uint32_t route)
{
    const struct message_token_refused m = { .route = route };

    (void)w;
    peer_send_token_refused(&role.master, &m, -1);
}

static void on_drain(struct role *r, bool stop)
{
    (void)r;
    worker_drain(&worker, stop);
}

/* UNIX sockets are in reach only where a route goes to one. */
static unsigned more_powers(const struct settings *s)
{
    for (size_t i = 0; i < s->route_count; i++) {
        for (size_t t = 0; t < s->routes[i].target_count; t++) {
            if (s->routes[i].targets[t].kind == TARGET_PATH)
                return SANDBOX_PATHS;
        }
    }
    return 0;
}

int main(void)
{
    struct sandbox sandbox = { .role = "delivery" };
    int err;

    role_begin(&role, DELIVERY);
    err = net_load_own();
    if (err < 0)
        log_warn("own_addresses_unknown", LOG_ERRNO("error", -err));
    scram_load();
    worker_init(&worker, &role.settings, &role.loop, make_general_tls());
    worker.refused = on_refused;
    worker.former_ms = role.loop.now_ms;
    make_route_tls();
    sandbox.powers = more_powers(&role.settings);
    /* Two attempts to connect and the file of a large body for each job. */
    sandbox.files_max = 3 * role.settings.delivery.connections + SPARE_FILES;
    role.granted = on_granted;
    role.drain = on_drain;
    return role_run(&role, &sandbox);
}
