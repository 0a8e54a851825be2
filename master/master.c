#include "master/master.h"

#include "common/memory.h"
#include "io/clock.h"
#include "io/log.h"
#include "io/net.h"
#include "io/sandbox.h"
#include "ipc/role.h"
#include "ipc/rules.h"
#include "master/fixed.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    RESTART_FIRST_MS = 100,     /* pause before a role is started again; doubles ... */
    RESTART_LONGEST_MS = 30000, /* ... up to this, */
    RESTART_FORGET_MS = 60000,  /* and begins anew for one that ran so long */
    SECRETS_MS = 15000,         /* between looks for new tokens */
    RELOAD_PATIENCE_MS = 60000, /* for the new generation to be ready */
    LOOK_MS = 1000,             /* between two looks at the files of lists */
    TICKETS_MS = 24 * 3600000,  /* who steals a secret of tickets can read no more sessions than of so
                                   long (RFC 9325, 3.4) */
    DRAIN_EXTRA_MS = 10000,     /* beyond timeouts.drain, before what is left is killed */
};

struct restart {
    struct list link;
    struct timer timer;
    struct deferred free_later;
    struct master *master;
    enum process kind;
    uint32_t index;
    uint32_t generation; /* its number; the queue outlives it */
};

static void begin_reload(struct master *m);
static void kill_children(struct master *m, const struct generation *only)
{
    list_each (it, &m->children) {
        const struct child *c = container_of(it, struct child, link);

        if (only == NULL || (c->generation == only && c->kind != QUEUE))
            kill(c->pid, SIGKILL);
    }
}

/* ---- starting ---- */

static bool start_one(struct master *m, struct generation *g, enum process kind, uint32_t index)
{
    int err = child_start(m, g, kind, index);

    if (err < 0)
        log_error("process_start_failed", LOG_STRING("kind", process_name(kind)),
                  LOG_ERRNO("error", -err));
    return err == 0;
}

/* Everything but the queue. dns first and smtpd last, so that mail is taken once it can go on. */
static bool start_workers(struct master *m, struct generation *g)
{
    bool ok = start_one(m, g, DNS, 0);

    for (uint32_t i = 0; ok && i < g->delivery_count; i++)
        ok = start_one(m, g, DELIVERY, i);
    if (ok && g->settings.maildir.root.len > 0)
        ok = start_one(m, g, LOCAL, 0);
    if (ok && g->settings.tls.key.len > 0)
        ok = start_one(m, g, KEYS, 0);
    if (ok && settings_has_logins(&g->settings))
        ok = start_one(m, g, AUTH, 0);
    for (uint32_t i = 0; ok && i < g->smtpd_count; i++)
        ok = start_one(m, g, SMTPD, i);
    return ok;
}

/* Counts the generation's workers, and those that are ready. */
static uint32_t count_workers(const struct master *m, const struct generation *g, uint32_t *ready)
{
    uint32_t all = 0;

    *ready = 0;
    list_each (it, &m->children) {
        const struct child *c = container_of(it, struct child, link);

        if (c->generation == g && c->kind != QUEUE) {
            all++;
            *ready += c->ready;
        }
    }
    return all;
}

static bool workers_ready(const struct master *m, const struct generation *g)
{
    uint32_t ready;
    uint32_t all = count_workers(m, g, &ready);

    return all > 0 && all == ready;
}

static void fail_start(struct master *m, int status)
{
    m->exit_status = status;
    m->state = MASTER_DRAINING;
    kill_children(m, NULL);
    if (list_empty(&m->children))
        loop_stop(&m->loop);
}

/* ---- reloading ---- */

static struct child *find_queue(struct master *m)
{
    list_each (it, &m->children) {
        struct child *c = container_of(it, struct child, link);

        if (c->kind == QUEUE)
            return c;
    }
    return NULL;
}

static void tell_queue(struct master *m, bool ok, const char *words)
{
    const struct message_reloaded told = {
        .generation = m->now->number, .at_ms = clock_wall_ms(), .ok = ok, .words = view_of(words)
    };
    struct child *queue = find_queue(m);

    if (queue != NULL)
        peer_send_reloaded(&queue->peer, &told, -1);
    if (ok)
        log_info("reloaded", LOG_U64("generation", m->now->number));
    else
        log_error("reload_failed", LOG_STRING("reason", words),
                  LOG_U64("generation", m->now->number));
}

static void drop_unused_generations(struct master *m)
{
    list_each_safe (it, &m->generations) {
        struct generation *g = container_of(it, struct generation, link);
        bool used = g == m->now || g == m->next;

        list_each (child, &m->children)
            used = used || container_of(child, struct child, link)->generation == g;
        if (used)
            continue;
        list_remove(&g->link);
        generation_close(g);
        free(g);
    }
}

/* A SIGHUP that came meanwhile may bring what has been put right. */
static void reload_again(struct master *m)
{
    if (m->state != MASTER_RUNNING || !m->reload_again)
        return;
    m->reload_again = false;
    begin_reload(m);
}

static void abandon_reload(struct master *m, const char *words)
{
    struct generation *failed = m->next;

    m->next = NULL;
    m->state = MASTER_RUNNING;
    loop_stop_timer(&m->loop, &m->patience);
    if (failed != NULL)
        kill_children(m, failed);
    tell_queue(m, false, words);
    drop_unused_generations(m);
    reload_again(m);
}

static void drain_workers(struct master *m, const struct generation *g)
{
    list_each (it, &m->children) {
        struct child *c = container_of(it, struct child, link);

        if (c->generation == g && c->kind != QUEUE)
            child_drain(c, false);
    }
}

static void complete_reload(struct master *m)
{
    const struct message_grant settings = { GRANT_SETTINGS, 0, MASTER };
    struct generation *old = m->now;
    struct child *queue = find_queue(m);

    m->now = m->next;
    m->next = NULL;
    m->state = MASTER_RUNNING;
    loop_stop_timer(&m->loop, &m->patience);
    if (queue != NULL) {
        queue->generation = m->now;
        peer_send_grant(&queue->peer, &settings, m->now->bundle_fd);
    }
    drain_workers(m, old);
    generation_close_listeners(old);
    tell_queue(m, true, "");
    drop_unused_generations(m);
}

static void begin_reload(struct master *m)
{
    struct generation *g = memory_new(sizeof(*g));
    struct error why;
    int err = generation_open(g, m->config_path, m->now, &why);

    if (err < 0) {
        free(g);
        abandon_reload(m, why.text);
        return;
    }
    list_append(&m->generations, &g->link);
    if (fixed_check(m->now, g, &m->tokens, &why) < 0 || generation_make_folders(g, &why) < 0) {
        abandon_reload(m, why.text);
        return;
    }
    m->next = g;
    m->state = MASTER_RELOADING;
    tokens_run(&m->tokens);
    loop_start_timer(&m->loop, &m->patience, RELOAD_PATIENCE_MS);
    if (!start_workers(m, g))
        abandon_reload(m, "a process could not be started");
}

static void reload(struct master *m)
{
    if (m->state == MASTER_RUNNING)
        begin_reload(m);
    else
        m->reload_again = m->state != MASTER_DRAINING;
}

void master_child_ready(struct master *m, const struct child *c)
{
    log_info("process_ready", LOG_STRING("kind", process_name(c->kind)), LOG_U64("index", c->index),
             LOG_U64("child_pid", (uint64_t)c->pid), LOG_U64("generation", c->generation->number));
    if (m->state == MASTER_STARTING && c->kind == QUEUE) {
        if (!start_workers(m, m->now))
            fail_start(m, EXIT_FAILURE);
    } else if (m->state == MASTER_STARTING && workers_ready(m, m->now)) {
        m->state = MASTER_RUNNING;
        log_info("ready", LOG_U64("listeners", m->now->settings.listener_count));
    } else if (m->state == MASTER_RELOADING && workers_ready(m, m->next)) {
        complete_reload(m);
    }
    reload_again(m);
}

/* ---- ending ---- */

static void begin_drain(struct master *m)
{
    if (m->state == MASTER_DRAINING)
        return;
    log_info("draining", LOG_U64("seconds_most", m->now->settings.timeouts.drain / 1000));
    m->state = MASTER_DRAINING;
    list_each (it, &m->generations)
        generation_close_listeners(container_of(it, struct generation, link));
    list_each (it, &m->children)
        child_drain(container_of(it, struct child, link), true);
    loop_start_timer(&m->loop, &m->patience, m->now->settings.timeouts.drain + DRAIN_EXTRA_MS);
    if (list_empty(&m->children))
        loop_stop(&m->loop);
}

static void on_patience_over(struct timer *t)
{
    struct master *m = container_of(t, struct master, patience);

    if (m->state == MASTER_RELOADING) {
        abandon_reload(m, "the new processes were not ready in time");
    } else if (m->state == MASTER_DRAINING) {
        log_warn("drain_timed_out", LOG_STRING("doing", "killing what is left"));
        kill_children(m, NULL);
    }
}

/* ---- children that end ---- */

static uint64_t next_pause(struct master *m, enum process kind)
{
    uint64_t pause = MAX(m->restart_ms[kind], (uint64_t)RESTART_FIRST_MS);

    m->restart_ms[kind] = MIN(pause * 2, (uint64_t)RESTART_LONGEST_MS);
    return pause;
}

static void on_free_restart(struct deferred *d)
{
    free(container_of(d, struct restart, free_later));
}

/* After a reload there is another in its place already. */
static bool still_wanted(const struct master *m, const struct restart *r)
{
    return m->state != MASTER_DRAINING && (r->kind == QUEUE || r->generation == m->now->number);
}

static void on_restart(struct timer *t)
{
    struct restart *r = container_of(t, struct restart, timer);
    struct master *m = r->master;

    if (still_wanted(m, r) && !start_one(m, m->now, r->kind, r->index)) {
        loop_start_timer(&m->loop, &r->timer, next_pause(m, r->kind));
        return;
    }
    list_remove(&r->link);
    loop_defer(&m->loop, &r->free_later);
}

static void restart_later(struct master *m, const struct child *c)
{
    struct restart *r = memory_new(sizeof(*r));

    if (clock_monotonic_ms() - c->started_ms > RESTART_FORGET_MS)
        m->restart_ms[c->kind] = 0;
    *r = (struct restart){
        .master = m, .kind = c->kind, .index = c->index, .generation = c->generation->number
    };
    r->timer.fire = on_restart;
    r->free_later.run = on_free_restart;
    list_append(&m->restarts, &r->link);
    loop_start_timer(&m->loop, &r->timer, next_pause(m, c->kind));
}

static void log_end(const struct child *c, int status)
{
    bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;

    LOG_AT(clean ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, clean ? "process_ended" : "process_died",
           LOG_STRING("kind", process_name(c->kind)), LOG_U64("index", c->index),
           LOG_U64("child_pid", (uint64_t)c->pid),
           LOG_U64(WIFEXITED(status) ? "status" : NULL, (uint64_t)WEXITSTATUS(status)),
           LOG_STRING(WIFSIGNALED(status) ? "signal" : NULL,
                      WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL));
}

static void after_end(struct master *m, const struct child *c, int status)
{
    if (m->state == MASTER_DRAINING) {
        if (list_empty(&m->children))
            loop_stop(&m->loop);
    } else if (m->state == MASTER_STARTING) {
        fail_start(m, WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status)
                                                                    : EXIT_FAILURE);
    } else if (m->state == MASTER_RELOADING && c->generation == m->next) {
        abandon_reload(m, "a new process ended before it was ready");
    } else if (!c->draining && (c->kind == QUEUE || c->generation == m->now)) {
        restart_later(m, c);
    }
    drop_unused_generations(m);
}

static void reap(struct master *m)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        list_each_safe (it, &m->children) {
            struct child *c = container_of(it, struct child, link);

            if (c->pid != pid)
                continue;
            log_end(c, status);
            child_forget(c);
            after_end(m, c, status);
            break;
        }
    }
}

/* ---- lists ---- */

static void hand_over_list(struct master *m, const struct generation *g, uint32_t i)
{
    const struct message_grant grant = { GRANT_LIST, i, MASTER };

    log_info("list_changed", LOG_VIEW("path", g->settings.rules->lists[i].path));
    list_each (it, &m->children) {
        struct child *c = container_of(it, struct child, link);

        if (c->kind == SMTPD && c->generation == g && peer_is_open(&c->peer))
            peer_send_grant(&c->peer, &grant, g->lists[i].fd);
    }
}

static void on_look(struct timer *t)
{
    struct master *m = container_of(t, struct master, look);

    list_each (it, &m->generations) {
        struct generation *g = container_of(it, struct generation, link);

        for (uint32_t i = 0; i < g->settings.rules->list_count; i++) {
            if (lists_look(g->lists, g->settings.rules, i))
                hand_over_list(m, g, i);
        }
    }
    loop_start_timer(&m->loop, t, LOOK_MS);
}

static void on_tickets(struct timer *t)
{
    struct master *m = container_of(t, struct master, tickets);
    const struct message_grant grant = { .kind = GRANT_TICKETS, .peer = MASTER };
    struct error err;

    if (generation_renew_tickets(m->now, &err) < 0)
        log_error("tickets_not_renewed", LOG_STRING("reason", err.text));
    else
        list_each (it, &m->children) {
            struct child *c = container_of(it, struct child, link);

            if (c->kind == SMTPD && c->generation == m->now && peer_is_open(&c->peer))
                peer_send_grant(&c->peer, &grant, m->now->tickets_fd);
        }
    loop_start_timer(&m->loop, t, TICKETS_MS);
}

/* ---- the beginning ---- */

static void on_signal(struct watch *w, unsigned what)
{
    struct master *m = container_of(w, struct master, signals);
    struct signalfd_siginfo info;

    (void)what;
    while (read(w->fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGCHLD)
            reap(m);
        else if (info.ssi_signo == SIGHUP)
            reload(m);
        else
            begin_drain(m);
    }
}

/* Files of tokens are renewed by somebody else. */
static void on_secrets(struct timer *t)
{
    struct master *m = container_of(t, struct master, secrets);
    struct generation *g = m->now;

    for (uint32_t i = 0; i < g->settings.route_count; i++) {
        if (!generation_renew_secret(g, i))
            continue;
        log_info("secret_renewed", LOG_STRING("route", g->settings.routes[i].origin));
        list_each (it, &m->children) {
            struct child *c = container_of(it, struct child, link);

            if (c->kind == DELIVERY && c->generation == g && peer_is_open(&c->peer))
                child_grant_secret(c, i);
        }
    }
    loop_start_timer(&m->loop, t, SECRETS_MS);
}

static int watch_signals(struct master *m)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    m->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (m->signals.fd < 0)
        return -errno;
    m->signals.ready = on_signal;
    return loop_watch(&m->loop, &m->signals, WANT_READ);
}

static int lock_up(struct error *err)
{
    struct sandbox sandbox = { .role = process_name(MASTER),
                               .powers = role_powers(MASTER),
                               .uid = UINT32_MAX,
                               .gid = UINT32_MAX };

    return sandbox_enter(&sandbox, err);
}

static int prepare(struct master *m, struct error *err)
{
    struct generation *g = memory_new(sizeof(*g));
    char *control;
    int result = generation_open(g, m->config_path, NULL, err);

    if (result < 0) {
        free(g);
        return result;
    }
    m->now = g;
    list_append(&m->generations, &g->link);
    log_open("master", (enum log_format)g->settings.log_format,
             (enum log_level)g->settings.log_level);
    if ((result = generation_make_folders(g, err)) < 0)
        return result;
    control = memory_copy(g->settings.control);
    m->control_fd = net_listen_unix(control, 0666, err); /* SO_PEERCRED decides who may what */
    free(control);
    if (m->control_fd < 0)
        return m->control_fd;
    result = tokens_start(&m->tokens, m, err);
    return result < 0 ? result : lock_up(err);
}

int master_run(struct master *m, const char *config_path)
{
    struct error why = { "" };
    int err;

    *m = (struct master){ .config_path = config_path, .control_fd = -1 };
    list_init(&m->generations);
    list_init(&m->children);
    list_init(&m->restarts);
    m->patience.fire = on_patience_over;
    m->secrets.fire = on_secrets;
    m->look.fire = on_look;
    m->tickets.fire = on_tickets;
    err = child_find_executables(&why);
    if (err == 0)
        err = prepare(m, &why);
    if (err < 0) {
        log_error("start_failed", LOG_STRING("reason", why.text));
        return ROLE_EXIT_CONFIG;
    }
    err = loop_init(&m->loop);
    if (err == 0)
        err = watch_signals(m);
    if (err == 0)
        err = tokens_open(&m->tokens, &m->loop);
    if (err == 0)
        err = child_start(m, m->now, QUEUE, 0);
    if (err == 0) {
        loop_start_timer(&m->loop, &m->secrets, SECRETS_MS);
        loop_start_timer(&m->loop, &m->look, LOOK_MS);
        loop_start_timer(&m->loop, &m->tickets, TICKETS_MS);
        tokens_run(&m->tokens);
        err = loop_run(&m->loop);
    }
    if (err < 0)
        log_error("start_failed", LOG_ERRNO("error", -err));
    log_info("ended", LOG_U64("status", (uint64_t)m->exit_status));
    return err < 0 ? EXIT_FAILURE : m->exit_status;
}
