#include "master/child.h"

#include "common/memory.h"
#include "io/clock.h"
#include "io/log.h"
#include "ipc/role.h"
#include "ipc/rules.h"
#include "master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char executables[PROCESS_KINDS][PATH_MAX];

int child_find_executables(struct error *err)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    const char *folder;

    if (n < 0)
        return error_set(err, -errno, "/proc/self/exe cannot be read: is /proc mounted?");
    self[n] = '\0';
    folder = dirname(self);
    for (unsigned kind = SMTPD; kind < PROCESS_KINDS; kind++) {
        const char *name = process_name((enum process)kind);
        char *path = executables[kind];

        snprintf(path, PATH_MAX, "%s/tern-%s", folder, name);
        if (access(path, X_OK) < 0)
            snprintf(path, PATH_MAX, "%s/../%s/tern-%s", folder, name, name);
        if (access(path, X_OK) < 0)
            return error_set(err, -errno, "tern-%s is not beside tern-master in %s", name, folder);
    }
    return 0;
}

/* Between fork and exec: only calls that are safe there. */
NORETURN void child_become(enum process kind, int channel)
{
    char name[32];
    char *argv[] = { name, NULL };
    sigset_t none;

    snprintf(name, sizeof(name), "tern-%s", process_name(kind));
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (channel == ROLE_CHANNEL_FD)
        fcntl(channel, F_SETFD, 0);
    else
        dup2(channel, ROLE_CHANNEL_FD);
    close_range(ROLE_CHANNEL_FD + 1, ~0U, 0);
    execv(executables[kind], argv);
    log_error("exec_failed", LOG_STRING("path", executables[kind]), LOG_ERRNO("error", errno));
    _exit(ROLE_EXIT_CONFIG);
}

static void grant(struct child *c, enum grant_kind kind, uint32_t index, enum process peer, int fd)
{
    const struct message_grant m = { kind, index, peer };

    if (fd >= 0)
        peer_send_grant(&c->peer, &m, fd);
}

/* Who has a channel to whom: the queue talks to those that bring and take mail, dns to those that
 * ask it. dns, auth and keys belong to a generation; the queue outlives them all. */
static bool talks_to(const struct child *a, const struct child *b)
{
    if (a->kind == QUEUE)
        return b->kind == SMTPD || b->kind == DELIVERY || b->kind == LOCAL;
    if (a->kind == DNS)
        return (b->kind == SMTPD || b->kind == DELIVERY) && a->generation == b->generation;
    if (a->kind == AUTH || a->kind == KEYS)
        return b->kind == SMTPD && a->generation == b->generation;
    return false;
}

/* A child that drains gets no new partner, but for a smtpd whose sessions still need the queue. */
static bool wants_partner(const struct child *c)
{
    return !c->draining || c->kind == SMTPD;
}

static void connect_to_others(struct child *c)
{
    list_each (it, &c->master->children) {
        struct child *other = container_of(it, struct child, link);
        int fds[2];

        if (other == c || !peer_is_open(&other->peer) || !wants_partner(other) ||
            (!talks_to(c, other) && !talks_to(other, c)))
            continue;
        if (channel_pair(fds) < 0) {
            log_error("channel_failed", LOG_STRING("peer", process_name(c->kind)));
            continue;
        }
        grant(c, GRANT_PEER, other->index, other->kind, fds[0]);
        grant(other, GRANT_PEER, c->index, c->kind, fds[1]);
        close(fds[0]);
        close(fds[1]);
    }
}

void child_grant_secret(struct child *c, uint32_t route)
{
    grant(c, GRANT_SECRET, route, MASTER, c->generation->secrets[route].fd);
}

static void grant_all(struct child *c)
{
    const struct generation *g = c->generation;

    grant(c, GRANT_SETTINGS, 0, MASTER, g->bundle_fd);
    if (c->kind == SMTPD) {
        for (uint32_t i = 0; i < g->settings.listener_count; i++)
            grant(c, GRANT_LISTENER, i, MASTER, g->listener_fds[i]);
        for (uint32_t i = 0; i < CERTIFICATES_MAX; i++) {
            grant(c, GRANT_CERTIFICATE, i, MASTER, g->certificate_fds[i]);
        }
        grant(c, GRANT_CLIENT_CA, 0, MASTER, g->client_ca_fd);
        for (uint32_t i = 0; i < g->settings.rules->list_count; i++)
            grant(c, GRANT_LIST, i, MASTER, g->lists[i].fd);
        grant(c, GRANT_TICKETS, 0, MASTER, g->tickets_fd);
        grant(c, GRANT_COUNTERS, c->index, MASTER, g->counters_fd);
        grant(c, GRANT_RATES, 0, MASTER, g->rates_fd);
    }
    for (uint32_t i = 0; c->kind == KEYS && i < CERTIFICATES_MAX; i++) {
        grant(c, GRANT_CERTIFICATE, i, MASTER, g->certificate_fds[i]);
        grant(c, GRANT_KEY, i, MASTER, g->key_fds[i]);
    }
    if (c->kind == DELIVERY) {
        grant(c, GRANT_TRUST_ANCHORS, 0, MASTER, g->anchors_fd);
        for (uint32_t i = 0; i < g->settings.route_count; i++) {
            grant(c, GRANT_TRUST_ANCHORS, i + 1, MASTER, g->route_ca_fds[i]);
            child_grant_secret(c, i);
        }
    }
    if (c->kind == QUEUE)
        grant(c, GRANT_CONTROL, 0, MASTER, c->master->control_fd);
}

static uint32_t count_of_kind(const struct generation *g, enum process kind)
{
    return kind == SMTPD ? g->smtpd_count : kind == DELIVERY ? g->delivery_count : 1;
}

static void say_start(struct child *c)
{
    const struct identity *who = &c->generation->users[c->kind];
    const struct message_start start = { .index = c->index,
                                         .count = count_of_kind(c->generation, c->kind),
                                         .generation = c->generation->number,
                                         .uid = who->uid,
                                         .gid = who->gid };

    peer_send_start(&c->peer, &start, -1);
}

static bool on_heard(struct peer *p, enum message type, struct view fields, int fd)
{
    struct child *c = container_of(p, struct child, peer);
    struct message_ready ready;
    struct message_token_refused refused;

    if (fd >= 0)
        close(fd);
    if (type == MESSAGE_TOKEN_REFUSED && message_token_refused_decode(fields, &refused) &&
        refused.route < c->generation->settings.route_count) {
        tokens_refused(&c->master->tokens, c->generation, refused.route);
        return true;
    }
    if (type != MESSAGE_READY || !message_ready_decode(fields, &ready))
        return false;
    c->ready = true;
    master_child_ready(c->master, c);
    return true;
}

/* It has ended, or it broke the rules and must: SIGCHLD tells either way. */
static void on_gone(struct peer *p)
{
    kill(container_of(p, struct child, peer)->pid, SIGKILL);
}

static void on_free(struct deferred *d)
{
    free(container_of(d, struct child, free_later));
}

int child_start(struct master *m, struct generation *g, enum process kind, uint32_t index)
{
    struct child *c = memory_new(sizeof(*c));
    int fds[2];
    int err = channel_pair(fds);

    *c = (struct child){ .master = m,
                         .generation = g,
                         .kind = kind,
                         .index = index,
                         .started_ms = clock_monotonic_ms() };
    c->free_later.run = on_free;
    c->peer.heard = on_heard;
    c->peer.gone = on_gone;
    if (err < 0) {
        free(c);
        return err;
    }
    c->pid = fork();
    if (c->pid == 0)
        child_become(kind, fds[1]);
    close(fds[1]);
    if (c->pid < 0) {
        err = -errno;
        close(fds[0]);
        free(c);
        return err;
    }
    list_append(&m->children, &c->link);
    err = peer_open(&c->peer, &m->loop, MASTER, kind, index, fds[0]);
    if (err < 0) { /* its end brings the next attempt */
        log_error("channel_failed", LOG_STRING("peer", process_name(kind)),
                  LOG_ERRNO("error", -err));
        close(fds[0]);
        kill(c->pid, SIGKILL);
        return 0;
    }
    grant_all(c);
    connect_to_others(c);
    say_start(c);
    return 0;
}

void child_drain(struct child *c, bool stop)
{
    const struct message_drain drain = { .stop = stop };

    if (c->stopping || (c->draining && !stop))
        return;
    c->draining = true;
    c->stopping = stop;
    peer_send_drain(&c->peer, &drain, -1);
}

void child_forget(struct child *c)
{
    peer_close(&c->peer);
    list_remove(&c->link);
    loop_defer(&c->master->loop, &c->free_later);
}
