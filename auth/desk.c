#include "auth/desk.h"

#include "common/memory.h"
#include "io/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- counts of failures ---- */

static void begin_tries(struct tries *t, const struct tries_settings *limits,
                        const struct settings *s)
{
    *t = (struct tries){
        .per_client = limits->per_client,
        .per_login = limits->per_login,
        .time_ms = limits->time_ms,
        .prefix4 = (unsigned)s->limits.client_prefix4,
        .prefix6 = (unsigned)s->limits.client_prefix6,
    };
    tries_init(t);
}

static bool has_own(const struct settings *s, size_t listener)
{
    const struct tries_settings *own = &s->listeners[listener].tries, *all = &s->auth.tries;

    return own->per_client != all->per_client || own->per_login != all->per_login ||
           own->time_ms != all->time_ms;
}

static struct tries *tries_of(struct desk *d, uint32_t listener)
{
    return has_own(d->settings, listener) ? &d->own[listener] : &d->tries;
}

/* Where a login was used from holds at every listener. */
static void remember_success(struct desk *d, const struct net_address *client, struct view login)
{
    tries_succeed(&d->tries, client, login, d->loop->now_ms);
    for (size_t i = 0; i < d->settings->listener_count; i++) {
        if (has_own(d->settings, i))
            tries_succeed(&d->own[i], client, login, d->loop->now_ms);
    }
}

void desk_init(struct desk *d, struct loop *l, const struct settings *s, struct source *source)
{
    *d = (struct desk){ .loop = l, .settings = s, .source = source };
    begin_tries(&d->tries, &s->auth.tries, s);
    d->own = memory_grow(NULL, MAX(s->listener_count, 1), sizeof(*d->own));
    for (size_t i = 0; i < s->listener_count; i++) {
        if (has_own(s, i))
            begin_tries(&d->own[i], &s->listeners[i].tries, s);
    }
    list_init(&d->tellers);
    source->desk = d;
}

void desk_release(struct desk *d)
{
    for (size_t i = 0; i < d->settings->listener_count; i++) {
        if (has_own(d->settings, i))
            tries_release(&d->own[i]);
    }
    free(d->own);
    d->own = NULL;
    tries_release(&d->tries);
}

/* ---- what can be had ---- */

static void tell_offer(struct teller *t)
{
    struct message_login_state m = { view_of(t->desk->mechanisms) };

    peer_send_login_state(&t->peer, &m, -1);
}

void desk_offer(struct desk *d, struct view mechanisms)
{
    (void)snprintf(d->mechanisms, sizeof(d->mechanisms), "%.*s", VIEW_ARG(mechanisms));
    list_each (link, &d->tellers)
        tell_offer(container_of(container_of(link, struct peer, link), struct teller, peer));
}

/* ---- exchanges ---- */

static void free_exchange(struct deferred *d)
{
    free(container_of(d, struct exchange, free_later));
}

static void drop(struct exchange *e)
{
    struct desk *d = e->teller->desk;

    d->source->forget(d->source, e);
    table_remove(&e->teller->exchanges, &e->entry);
    loop_defer(d->loop, &e->free_later);
}

/* Those that are blocked may be many: the one that was too many was logged. */
static void log_end(const struct exchange *e, enum login_result result, struct view login,
                    const char *why)
{
    static const enum log_level levels[LOGIN_RESULTS] = {
        [LOGIN_OK] = LOG_LEVEL_INFO,
        [LOGIN_REFUSED] = LOG_LEVEL_INFO,
        [LOGIN_TEMPORARY] = LOG_LEVEL_WARNING,
        [LOGIN_TOO_MANY] = LOG_LEVEL_DEBUG,
    };

    LOG_AT(levels[result],
           result == LOGIN_OK          ? "login_accepted"
           : result == LOGIN_REFUSED   ? "login_refused"
           : result == LOGIN_TEMPORARY ? "login_not_checked"
                                       : "login_blocked",
           LOG_ID("session", e->session), LOG_STRING("client", e->client_text),
           LOG_STRING("mechanism", e->mechanism), LOG_VIEW(login.len > 0 ? "login" : NULL, login),
           LOG_STRING(why != NULL ? "reason" : NULL, why));
}

static void log_limit(const struct exchange *e, struct view login, enum tries_verdict verdict)
{
    if (verdict == TRIES_CLIENT)
        log_warn("logins_limited", LOG_STRING("client", e->client_text),
                 LOG_STRING("reason", "too many failed from this client"));
    else
        log_warn("logins_limited", LOG_VIEW("login", login),
                 LOG_STRING("reason", "too many failed for this login"));
}

void exchange_challenge(struct exchange *e, struct view bytes)
{
    struct message_login_challenge m = { .exchange = e->id, .bytes = bytes };

    e->answering = false;
    peer_send_login_challenge(&e->teller->peer, &m, -1);
}

void exchange_end(struct exchange *e, enum login_result result, struct view login, const char *why)
{
    struct message_login_end m = { .exchange = e->id, .result = result };
    uint64_t now_ms = e->teller->desk->loop->now_ms;
    enum tries_verdict verdict = TRIES_FINE;

    if (result == LOGIN_OK) {
        m.login = login;
        remember_success(e->teller->desk, &e->client, login);
    } else if (result == LOGIN_REFUSED) {
        verdict = tries_fail(e->tries, &e->client, login, now_ms);
    }
    log_end(e, result, login, why);
    if (verdict != TRIES_FINE)
        log_limit(e, login, verdict);
    peer_send_login_end(&e->teller->peer, &m, -1);
    e->ended = true;
    drop(e);
}

bool exchange_blocked(struct exchange *e, struct view login)
{
    enum tries_verdict verdict =
        tries_ask(e->tries, &e->client, login, e->teller->desk->loop->now_ms);

    if (verdict == TRIES_FINE)
        return false;
    exchange_end(e, LOGIN_TOO_MANY, login, NULL);
    return true;
}

/* ---- what smtpd says ---- */

static bool hear_begin(struct teller *t, struct view fields)
{
    struct message_login_begin m;
    struct exchange *e;

    if (!message_login_begin_decode(fields, &m) || m.mechanism.len >= sizeof(e->mechanism) ||
        m.client.len >= sizeof(e->client_text) || m.listener >= t->desk->settings->listener_count ||
        table_find_number(&t->exchanges, m.exchange) != NULL)
        return false;
    if (t->exchanges.count >= DESK_EXCHANGES_MAX) {
        const struct message_login_end busy = { m.exchange, LOGIN_TEMPORARY, VIEW_EMPTY };

        peer_send_login_end(&t->peer, &busy, -1);
        return true;
    }
    e = memory_new(sizeof(*e));
    *e = (struct exchange){ .teller = t,
                            .free_later.run = free_exchange,
                            .id = m.exchange,
                            .session = m.session,
                            .tries = tries_of(t->desk, m.listener),
                            .answering = true };
    (void)snprintf(e->mechanism, sizeof(e->mechanism), "%.*s", VIEW_ARG(m.mechanism));
    list_init(&e->link);
    table_add_number(&t->exchanges, &e->entry, e->id);
    (void)snprintf(e->client_text, sizeof(e->client_text), "%.*s", VIEW_ARG(m.client));
    if (!net_parse_address(m.client, &e->client))
        e->client = (struct net_address){ 0 };
    if (!exchange_blocked(e, VIEW_EMPTY))
        t->desk->source->begin(t->desk->source, e, &m);
    return true;
}

static struct exchange *find(struct teller *t, uint64_t id)
{
    struct table_entry *entry = table_find_number(&t->exchanges, id);

    return entry == NULL ? NULL : container_of(entry, struct exchange, entry);
}

/* Ids that have ended here may be spoken of still. */
static bool hear_response(struct teller *t, struct view fields)
{
    struct message_login_response m;
    struct exchange *e;

    if (!message_login_response_decode(fields, &m))
        return false;
    e = find(t, m.exchange);
    if (e == NULL)
        return true;
    if (e->answering)
        return false;
    e->answering = true;
    t->desk->source->hear(t->desk->source, e, m.bytes);
    return true;
}

static bool hear_cancel(struct teller *t, struct view fields)
{
    struct message_login_cancel m;
    struct exchange *e;

    if (!message_login_cancel_decode(fields, &m))
        return false;
    e = find(t, m.exchange);
    if (e != NULL)
        drop(e);
    return true;
}

static bool on_smtpd_said(struct peer *p, enum message type, struct view fields, int fd)
{
    struct teller *t = container_of(p, struct teller, peer);

    if (fd >= 0)
        close(fd);
    if (type == MESSAGE_LOGIN_BEGIN)
        return hear_begin(t, fields);
    if (type == MESSAGE_LOGIN_RESPONSE)
        return hear_response(t, fields);
    return type == MESSAGE_LOGIN_CANCEL && hear_cancel(t, fields);
}

static void free_teller(struct deferred *d)
{
    free(container_of(d, struct teller, free_later));
}

static void on_smtpd_gone(struct peer *p)
{
    struct teller *t = container_of(p, struct teller, peer);
    struct table_entry *entry;

    while ((entry = table_next(&t->exchanges, NULL)) != NULL)
        drop(container_of(entry, struct exchange, entry));
    table_release(&t->exchanges);
    list_remove(&p->link);
    loop_defer(t->desk->loop, &t->free_later);
    if (list_empty(&t->desk->tellers))
        t->desk->emptied(t->desk);
}

int desk_connect(struct desk *d, uint32_t index, int fd)
{
    struct teller *t = memory_new(sizeof(*t));
    int err;

    t->desk = d;
    t->free_later.run = free_teller;
    t->peer.heard = on_smtpd_said;
    t->peer.gone = on_smtpd_gone;
    table_init(&t->exchanges, false);
    err = peer_open(&t->peer, d->loop, AUTH, SMTPD, index, fd);
    if (err < 0) {
        free(t);
        return err;
    }
    list_append(&d->tellers, &t->peer.link);
    tell_offer(t);
    return 0;
}
