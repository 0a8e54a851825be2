#include "master/tokens.h"

#include "io/clock.h"
#include "io/log.h"
#include "ipc/role.h"
#include "master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the process ---- */

static bool become_user(const struct identity *who)
{
    return geteuid() != 0 ||
           (setgroups(0, NULL) == 0 && setresgid(who->gid, who->gid, who->gid) == 0 &&
            setresuid(who->uid, who->uid, who->uid) == 0);
}

int tokens_start(struct tokens *t, struct master *m, struct error *err)
{
    int fds[2];
    int result;
    pid_t pid;

    *t = (struct tokens){ .master = m, .fd = -1, .uid = m->now->users[TOKENS].uid };
    if (!settings_has_commands(&m->now->settings))
        return 0;
    result = channel_pair(fds);
    if (result < 0)
        return error_set(err, result, "no channel for tern-tokens");
    pid = fork();
    if (pid == 0) {
        if (!become_user(&m->now->users[TOKENS]) || chdir("/") < 0 || setsid() < 0)
            _exit(ROLE_EXIT_CONFIG);
        child_become(TOKENS, fds[1]);
    }
    close(fds[1]);
    t->fd = fds[0];
    return pid < 0 ? error_set(err, -EAGAIN, "no process for tern-tokens") : 0;
}

/* ---- granting ---- */

static void hand_over(struct tokens *t, const struct generation *g, uint32_t route)
{
    list_each (it, &t->master->children) {
        struct child *c = container_of(it, struct child, link);

        if (c->kind == DELIVERY && c->generation == g && peer_is_open(&c->peer))
            child_grant_secret(c, route);
    }
}

static const char *origin_of(const struct generation *g, uint32_t route)
{
    return g->settings.routes[route].origin;
}

/* What was got before serves as long as it may. */
static void fail(struct tokens *t, struct generation *g, uint32_t route, struct view why)
{
    struct secret *s = &g->secrets[route];
    uint64_t now_ms = t->master->loop.now_ms;
    struct error err = { "" };

    s->question = 0;
    s->pause_ms =
        s->pause_ms == 0 ? TOKENS_FIRST_MS : MIN(s->pause_ms * 2, (uint64_t)TOKENS_LONGEST_MS);
    s->due_ms = now_ms + s->pause_ms;
    log_warn("token_failed", LOG_STRING("route", origin_of(g, route)), LOG_VIEW("reason", why),
             LOG_U64("again_s", s->pause_ms / 1000));
    if ((s->fd < 0 || now_ms >= s->expires_ms) &&
        generation_set_secret(g, route, VIEW_EMPTY, &err) < 0)
        log_error("token_failed", LOG_STRING("route", origin_of(g, route)),
                  LOG_STRING("reason", err.text));
    hand_over(t, g, route);
}

static void keep(struct tokens *t, struct generation *g, uint32_t route, struct view token,
                 uint64_t lifetime_s)
{
    struct secret *s = &g->secrets[route];
    uint64_t now_ms = t->master->loop.now_ms, life_ms = MIN(lifetime_s, 1ULL << 32) * 1000;
    struct error err = { "" };

    if (generation_set_secret(g, route, token, &err) < 0) {
        fail(t, g, route, view_of(err.text));
        return;
    }
    s->question = s->pause_ms = 0;
    s->due_ms = s->expires_ms = UINT64_MAX; /* until it is refused */
    if (lifetime_s > 0) {
        s->expires_ms = now_ms + life_ms;
        s->due_ms = s->expires_ms - MIN(life_ms / 2, (uint64_t)TOKENS_SOONER_MS);
    }
    log_info("secret_renewed", LOG_STRING("route", origin_of(g, route)),
             LOG_U64(lifetime_s > 0 ? "lifetime_s" : NULL, lifetime_s));
}

/* ---- asking ---- */

static struct generation *find_asked(struct tokens *t, uint64_t question, uint32_t *route)
{
    list_each (it, &t->master->generations) {
        struct generation *g = container_of(it, struct generation, link);

        for (uint32_t i = 0; i < g->settings.route_count; i++) {
            if (g->secrets[i].question == question) {
                *route = i;
                return g;
            }
        }
    }
    return NULL;
}

static bool on_heard(struct peer *p, enum message type, struct view fields, int fd)
{
    struct tokens *t = container_of(p, struct tokens, runner);
    struct message_token_answer answer;
    struct generation *g;
    uint32_t route;

    if (fd >= 0)
        close(fd);
    if (type != MESSAGE_TOKEN_ANSWER || !message_token_answer_decode(fields, &answer) ||
        answer.question == 0 || answer.token.len > TOKEN_MAX)
        return false;
    g = find_asked(t, answer.question, &route);
    if (g == NULL) /* it is over */
        return true;
    if (answer.token.len == 0) {
        fail(t, g, route, answer.words);
    } else {
        keep(t, g, route, answer.token, answer.lifetime_s);
        hand_over(t, g, route);
    }
    tokens_run(t);
    return true;
}

/* It cannot be started again from where the master is now. */
static void on_gone(struct peer *p)
{
    struct tokens *t = container_of(p, struct tokens, runner);

    log_error("tokens_gone", LOG_STRING("doing", "no token is got before a restart"));
    list_each (it, &t->master->generations) {
        struct generation *g = container_of(it, struct generation, link);

        for (uint32_t i = 0; i < g->settings.route_count; i++) {
            if (g->secrets[i].question != 0)
                fail(t, g, i, VIEW("tern-tokens is gone"));
        }
    }
}

static void ask(struct tokens *t, struct generation *g, uint32_t route)
{
    const struct message_token_ask m = { .question = ++t->last_question,
                                         .patience_ms = g->settings.timeouts.token,
                                         .command = g->settings.routes[route].auth_command };

    g->secrets[route].question = m.question;
    g->secrets[route].due_ms = t->master->loop.now_ms + m.patience_ms + TOKENS_LATE_MS;
    peer_send_token_ask(&t->runner, &m, -1);
}

/* When the next is due; UINT64_MAX: none. */
static uint64_t run_generation(struct tokens *t, struct generation *g)
{
    uint64_t next_ms = UINT64_MAX;

    for (uint32_t i = 0; i < g->settings.route_count; i++) {
        struct secret *s = &g->secrets[i];

        if (g->settings.routes[i].auth_command.len == 0)
            continue;
        if (s->due_ms <= t->master->loop.now_ms && s->question != 0)
            fail(t, g, i, VIEW("tern-tokens does not answer"));
        if (s->due_ms <= t->master->loop.now_ms)
            ask(t, g, i);
        next_ms = MIN(next_ms, s->due_ms);
    }
    return next_ms;
}

void tokens_run(struct tokens *t)
{
    uint64_t next_ms = UINT64_MAX;

    if (!peer_is_open(&t->runner))
        return;
    list_each (it, &t->master->generations) {
        uint64_t due_ms = run_generation(t, container_of(it, struct generation, link));

        next_ms = MIN(next_ms, due_ms);
    }
    loop_stop_timer(&t->master->loop, &t->timer);
    if (next_ms != UINT64_MAX)
        loop_start_timer(&t->master->loop, &t->timer, next_ms - t->master->loop.now_ms);
}

static void on_due(struct timer *timer)
{
    tokens_run(container_of(timer, struct tokens, timer));
}

int tokens_open(struct tokens *t, struct loop *l)
{
    int fd = t->fd;

    t->timer.fire = on_due;
    t->runner.heard = on_heard;
    t->runner.gone = on_gone;
    return fd < 0 ? 0 : peer_open(&t->runner, l, MASTER, TOKENS, 0, fd);
}

bool tokens_can_serve(const struct tokens *t, const struct generation *g)
{
    return !settings_has_commands(&g->settings) || peer_is_open(&t->runner);
}

void tokens_refused(struct tokens *t, struct generation *g, uint32_t route)
{
    struct secret *s = &g->secrets[route];
    uint64_t now_ms = t->master->loop.now_ms;
    bool lately = s->refused_ms != 0 && now_ms - s->refused_ms < TOKENS_REFUSED_MS;

    if (s->question != 0)
        return; /* the next one is on its way */
    if (lately || s->pause_ms > 0 || !peer_is_open(&t->runner)) {
        hand_over(t, g, route);
        return;
    }
    s->refused_ms = now_ms;
    s->due_ms = now_ms;
    tokens_run(t);
}
