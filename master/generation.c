#include "master/generation.h"

#include "common/memory.h"
#include "io/log.h"
#include "io/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BUNDLE_MAX = 16 << 20, /* bytes of all configuration files together */
};

static int make_memory_file(const char *name, struct view bytes, size_t size, struct error *err)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return error_set(err, -errno, "no memory file for the %s: %s", name, strerror(errno));
    if (ftruncate(fd, (off_t)size) < 0 ||
        (bytes.len > 0 && write(fd, bytes.ptr, bytes.len) != (ssize_t)bytes.len)) {
        close(fd);
        return error_set(err, -ENOSPC, "no memory for the %s", name);
    }
    return fd;
}

static void seal(int fd)
{
    if (fd >= 0)
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
}

static int open_bundle(struct generation *g, struct error *err)
{
    struct buf room;
    int fd;

    buf_new(&room, BUNDLE_MAX);
    if (!config_bundle(g->config, &room)) {
        buf_free(&room);
        return error_set(err, -EFBIG, "the configuration is larger than %d bytes", BUNDLE_MAX);
    }
    fd = make_memory_file("settings", buf_view(&room), buf_len(&room), err);
    buf_free(&room);
    seal(fd);
    return fd;
}

static int open_tickets(struct error *err)
{
    char secret[TLS_TICKET_SECRET];
    int fd;

    if (getrandom(secret, sizeof(secret), 0) != sizeof(secret))
        return error_set(err, -errno, "no random bytes for TLS session tickets");
    fd = make_memory_file("tickets", view_make(secret, sizeof(secret)), sizeof(secret), err);
    explicit_bzero(secret, sizeof(secret));
    seal(fd);
    return fd;
}

/* An empty path, and a missing file that is not `required`, give -1 in *fd. */
static int open_file(struct view path, bool required, int *fd, struct error *err)
{
    char *name = memory_copy(path);
    int result = 0;

    *fd = -1;
    if (path.len > 0) {
        *fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (*fd < 0 && (required || errno != ENOENT))
            result = error_set(err, -errno, "%s cannot be read: %s", name, strerror(errno));
    }
    free(name);
    return result;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int open_key(struct view path, int *fd, struct error *err)
{
    struct stat st;
    int result = open_file(path, true, fd, err);

    if (result < 0 || *fd < 0)
        return result;
    if (fstat(*fd, &st) < 0 || (st.st_mode & S_IRWXO) != 0) {
        close(*fd);
        *fd = -1;
        return error_set(err, -EPERM, "%.*s may be read by everybody: chmod 600 it",
                         VIEW_ARG(path));
    }
    return 0;
}

static int open_certificates(struct generation *g, struct error *err)
{
    const struct tls_settings *tls = &g->settings.tls;
    int result = open_file(tls->certificate, true, &g->certificate_fds[0], err);

    if (result == 0)
        result = open_key(tls->key, &g->key_fds[0], err);
    for (size_t i = 0; i < tls->more_count && result == 0; i++) {
        result = open_file(tls->more[i].certificate, true, &g->certificate_fds[i + 1], err);
        if (result == 0)
            result = open_key(tls->more[i].key, &g->key_fds[i + 1], err);
    }
    return result;
}

static struct view secret_path(const struct route_settings *r)
{
    return r->auth_token.len > 0 ? r->auth_token : r->auth_password;
}

static int open_secrets(struct generation *g, struct error *err)
{
    size_t count = g->settings.route_count;
    int result = 0;

    g->secrets = memory_new_array(MAX(count, 1), sizeof(*g->secrets));
    for (size_t i = 0; i < count; i++)
        g->secrets[i].fd = -1;
    for (size_t i = 0; i < count && result == 0; i++) {
        result = open_key(secret_path(&g->settings.routes[i]), &g->secrets[i].fd, err);
        if (result == 0 && g->secrets[i].fd >= 0)
            result = fstat(g->secrets[i].fd, &g->secrets[i].seen);
    }
    return result;
}

static int open_route_anchors(struct generation *g, struct error *err)
{
    size_t count = g->settings.route_count;

    g->route_ca_fds = memory_new_array(MAX(count, 1), sizeof(*g->route_ca_fds));
    for (size_t i = 0; i < count; i++)
        g->route_ca_fds[i] = -1;
    for (size_t i = 0; i < count; i++) {
        const struct route_settings *r = &g->settings.routes[i];
        struct error why;
        int result = open_file(r->ca, true, &g->route_ca_fds[i], &why);

        if (result < 0)
            return error_set(err, result, "the route at %s: %s", r->origin, why.text);
    }
    return 0;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

bool generation_renew_secret(struct generation *g, size_t route)
{
    struct secret *s = &g->secrets[route];
    struct view path = g->settings.routes[route].auth_token;
    struct error err = { "" };
    struct stat now;
    int fd = -1;

    if (path.len == 0)
        return false;
    if (open_key(path, &fd, &err) < 0 || fstat(fd, &now) < 0) {
        log_warn("secret_unreadable", LOG_STRING("reason", err.text));
        close_fd(&fd);
        return false;
    }
    if (same_file(&now, &s->seen)) {
        close_fd(&fd);
        return false;
    }
    close_fd(&s->fd);
    s->fd = fd;
    s->seen = now;
    return true;
}

int generation_set_secret(struct generation *g, size_t route, struct view secret, struct error *err)
{
    int fd = make_memory_file("secret", secret, secret.len, err);

    if (fd < 0)
        return fd;
    close_fd(&g->secrets[route].fd);
    g->secrets[route].fd = fd;
    return 0;
}

static int find_listener(const struct generation *g, const struct net_address *a)
{
    for (size_t i = 0; g != NULL && i < g->settings.listener_count; i++) {
        const struct net_address *b = &g->settings.listeners[i].address;

        if (a->port != 0 && a->port == b->port && net_equal(a, b))
            return fcntl(g->listener_fds[i], F_DUPFD_CLOEXEC, 0);
    }
    return -1;
}

static int open_listeners(struct generation *g, const struct generation *old, struct error *err)
{
    size_t count = g->settings.listener_count;

    g->listener_fds = memory_new_array(count, sizeof(*g->listener_fds));
    for (size_t i = 0; i < count; i++)
        g->listener_fds[i] = -1;
    for (size_t i = 0; i < count; i++) {
        const struct net_address *a = &g->settings.listeners[i].address;
        int fd = find_listener(old, a);

        if (fd < 0)
            fd = net_listen(a, err);
        if (fd < 0)
            return fd;
        g->listener_fds[i] = fd;
    }
    return 0;
}

static int find_users(struct generation *g, struct error *err)
{
    for (unsigned i = 0; i < PROCESS_KINDS; i++) {
        struct view name = identity_name(&g->settings, (enum process)i);
        int result = name.len > 0 ? identity_find(name, &g->users[i], err) : 0;

        if (result < 0)
            return result;
    }
    return 0;
}

static uint32_t processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n > 0 ? (uint32_t)n : 1;
}

static int open_all(struct generation *g, const struct generation *old, struct error *err)
{
    const struct settings *s = &g->settings;
    size_t counters;
    int result;

    g->smtpd_count = s->workers.smtpd > 0 ? (uint32_t)s->workers.smtpd : processors();
    g->delivery_count = (uint32_t)s->workers.delivery;
    counters = (size_t)g->smtpd_count * COUNTERS_BYTES_PER_WORKER;
    if ((result = find_users(g, err)) < 0 || (result = open_certificates(g, err)) < 0 ||
        (result = open_secrets(g, err)) < 0 || (result = open_route_anchors(g, err)) < 0 ||
        (result = open_file(s->tls.trust_anchors, false, &g->anchors_fd, err)) < 0 ||
        (result = open_file(s->auth.client_ca, true, &g->client_ca_fd, err)) < 0 ||
        (result = open_listeners(g, old, err)) < 0 || (result = open_bundle(g, err)) < 0)
        return result;
    g->bundle_fd = result;
    g->lists = lists_open(s->rules, err);
    if (g->lists == NULL)
        return -EINVAL;
    if ((result = make_memory_file("counters", VIEW_EMPTY, counters, err)) < 0)
        return result;
    g->counters_fd = result;
    if ((result = open_tickets(err)) < 0)
        return result;
    g->tickets_fd = result;
    result = old != NULL ? fcntl(old->rates_fd, F_DUPFD_CLOEXEC, 0)
                         : make_memory_file("rates", VIEW_EMPTY, RATES_BYTES, err);
    if (result < 0)
        return old != NULL ? error_set(err, -errno, "no descriptor for the rates") : result;
    g->rates_fd = result;
    return 0;
}

int generation_renew_tickets(struct generation *g, struct error *err)
{
    int fd = open_tickets(err);

    if (fd < 0)
        return fd;
    close_fd(&g->tickets_fd);
    g->tickets_fd = fd;
    return 0;
}

int generation_open(struct generation *g, const char *path, const struct generation *old,
                    struct error *err)
{
    int result;

    *g = (struct generation){ .number = old != NULL ? old->number + 1 : 1,
                              .bundle_fd = -1,
                              .anchors_fd = -1,
                              .client_ca_fd = -1,
                              .counters_fd = -1,
                              .tickets_fd = -1,
                              .rates_fd = -1 };
    for (size_t i = 0; i < CERTIFICATES_MAX; i++)
        g->certificate_fds[i] = g->key_fds[i] = -1;
    g->config = config_read(path);
    settings_load(&g->settings, g->config);
    if (config_errors(g->config).len > 0) { /* warnings too */
        struct view words = config_errors(g->config);
        ssize_t ignored = write(STDERR_FILENO, words.ptr, words.len);

        (void)ignored;
    }
    if (config_error_count(g->config) > 0) {
        result = error_set(err, -EINVAL, "%s has %u mistakes", path, config_error_count(g->config));
    } else {
        result = open_all(g, old, err);
    }
    if (result < 0)
        generation_close(g);
    return result;
}

void generation_close_listeners(struct generation *g)
{
    for (size_t i = 0; g->listener_fds != NULL && i < g->settings.listener_count; i++)
        close_fd(&g->listener_fds[i]);
}

void generation_close(struct generation *g)
{
    close_fd(&g->bundle_fd);
    for (size_t i = 0; i < CERTIFICATES_MAX; i++) {
        close_fd(&g->certificate_fds[i]);
        close_fd(&g->key_fds[i]);
    }
    close_fd(&g->anchors_fd);
    close_fd(&g->client_ca_fd);
    for (size_t i = 0; g->secrets != NULL && i < g->settings.route_count; i++)
        close_fd(&g->secrets[i].fd);
    free(g->secrets);
    g->secrets = NULL;
    for (size_t i = 0; g->route_ca_fds != NULL && i < g->settings.route_count; i++)
        close_fd(&g->route_ca_fds[i]);
    free(g->route_ca_fds);
    g->route_ca_fds = NULL;
    close_fd(&g->counters_fd);
    close_fd(&g->tickets_fd);
    close_fd(&g->rates_fd);
    lists_close(&g->lists, g->settings.rules);
    generation_close_listeners(g);
    free(g->listener_fds);
    g->listener_fds = NULL;
    settings_release(&g->settings);
    config_free(&g->config);
}

/* So that mail in it is not lost with its name. EINVAL: no folder can be synced there. */
static int sync_parent(const char *name)
{
    char parent[PATH_MAX];
    int fd, result;

    if (snprintf(parent, sizeof(parent), "%s/..", name) >= (int)sizeof(parent))
        return -ENAMETOOLONG;
    fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    result = fd < 0 || fsync(fd) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    if (result != -EINVAL)
        return result;
    log_warn("folder_unsynced", LOG_STRING("path", parent), LOG_ERRNO("error", EINVAL));
    return 0;
}

/* Makes the last folder of `path` if it is missing. */
static int make_folder(struct view path, mode_t mode, struct identity owner, bool lasting,
                       struct error *err)
{
    char *name = memory_copy(path);
    int result = 0;

    if (mkdir(name, mode) == 0) {
        result = lasting ? sync_parent(name) : 0;
        if (result < 0)
            error_set(err, result, "the folder of %s cannot be synced: %s", name,
                      strerror(-result));
        if (owner.uid != UINT32_MAX && lchown(name, owner.uid, owner.gid) < 0)
            result =
                error_set(err, -errno, "%s cannot be given to its user: %s", name, strerror(errno));
    } else if (errno != EEXIST) {
        result = error_set(err, -errno, "%s cannot be made: %s", name, strerror(errno));
    }
    free(name);
    return result;
}

int generation_make_folders(const struct generation *g, struct error *err)
{
    const struct identity stay = { UINT32_MAX, UINT32_MAX };
    struct view control = g->settings.control;
    int result;

    control.len = view_find_last(control, '/');
    if (control.len > 0 && (result = make_folder(control, 0755, stay, false, err)) < 0)
        return result;
    if ((result = make_folder(g->settings.spool.path, 0700, g->users[QUEUE], true, err)) < 0)
        return result;
    if (g->settings.maildir.root.len > 0)
        return make_folder(g->settings.maildir.root, 0700, g->users[LOCAL], false, err);
    return 0;
}
