#include "smtpd/listener.h"

#include "common/memory.h"
#include "io/log.h"
#include "ipc/policy.h"
#include "mail/reply.h"
#include "smtpd/admission.h"
#include "smtpd/conn.h"
#include "smtpd/origin.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum {
    ACCEPTS_PER_TURN = 64, /* so that sessions are served too */
    REST_MS = 1000,        /* without descriptors: not every attempt is worth one */
    REPORT_MS = 1000,      /* refusals are logged once in this time, with their count */
};

static void log_refusals(struct listener *l, const struct net_address *client, const char *reason)
{
    char room[NET_ADDRESS_TEXT_MAX];
    struct buf text = BUF_ON_ARRAY(room);

    (void)net_print_address(client, &text);
    log_info("connection_refused", LOG_VIEW("client", buf_view(&text)),
             LOG_STRING("reason", reason), LOG_U64("count", l->refused_count));
    l->refused_count = 0;
    loop_start_timer(l->server->loop, &l->report, REPORT_MS);
}

static void on_report(struct timer *t)
{
    struct listener *l = container_of(t, struct listener, report);

    if (l->refused_count == 0)
        return;
    log_info("connection_refused", LOG_STRING("reason", "too many connections"),
             LOG_U64("count", l->refused_count));
    l->refused_count = 0;
    loop_start_timer(l->server->loop, t, REPORT_MS);
}

/* With a word, which a fresh socket takes whole; under implicit TLS nobody could read it. */
static void refuse(struct listener *l, int fd, const struct net_address *client, enum admission why)
{
    char room[256];
    struct buf reply = BUF_ON_ARRAY(room);

    (void)reply_print(421, "4.7.0", view_of(admission_reply(why)), &reply);
    if (l->rules.listener->tls != LISTENER_TLS_IMPLICIT)
        (void)!write(fd, buf_view(&reply).ptr, buf_len(&reply));
    close(fd);
    l->refused_count++;
    if (!timer_running(&l->report))
        log_refusals(l, client, admission_reason(why));
}

static void watch(struct listener *l)
{
    if (loop_watch(l->server->loop, &l->watch, WANT_READ | WANT_SHARED) < 0)
        loop_start_timer(l->server->loop, &l->rest, REST_MS);
}

static void on_rested(struct timer *t)
{
    watch(container_of(t, struct listener, rest));
}

static int make_reserve(struct listener *l)
{
    return fcntl(l->watch.fd, F_DUPFD_CLOEXEC, 0);
}

/* No descriptor for the next connection. One client is told so with the one that was kept back; the
 * others wait in the backlog while the loop does what frees some. */
static void pause_accepting(struct listener *l, int err)
{
    struct net_address client;
    int fd;

    log_warn("accepting_paused", LOG_ERRNO("error", -err), LOG_U64("pause_ms", REST_MS));
    loop_unwatch(l->server->loop, &l->watch);
    loop_start_timer(l->server->loop, &l->rest, REST_MS);
    if (l->reserve < 0) {
        l->reserve = make_reserve(l);
        return;
    }
    close(l->reserve);
    fd = net_accept(l->watch.fd, &client);
    if (fd >= 0)
        refuse(l, fd, &client, REFUSED_TOTAL);
    l->reserve = make_reserve(l);
}

static bool is_shortage(int err)
{
    return err == -EMFILE || err == -ENFILE || err == -ENOMEM || err == -ENOBUFS;
}

/* Whoever may relay here, or comes to log in, goes first when there is no room. */
static bool is_stranger(const struct listener *l, const struct net_address *client)
{
    return l->rules.listener->role == LISTENER_MX &&
           !policy_trusts(l->server->settings, l->rules.listener, client);
}

static bool may_make_room(const struct listener *l, enum admission verdict,
                          const struct net_address *client)
{
    const struct listener_settings *at = verdict == REFUSED_TOTAL ? NULL : l->rules.listener;

    return (verdict == REFUSED_TOTAL || verdict == REFUSED_LISTENER) &&
           server_make_room(l->server, at, is_stranger(l, client));
}

/* False: nobody waits any more, or nobody can be let in. */
static bool accept_one(struct listener *l)
{
    struct net_address client, counted;
    enum admission verdict;
    int fd = net_accept(l->watch.fd, &client);

    if (is_shortage(fd))
        pause_accepting(l, fd);
    if (fd == -EAGAIN || is_shortage(fd))
        return false;
    if (fd < 0) /* this one has gone already */
        return true;
    counted = origin_counted(&l->rules, &client);
    verdict = admission_take(l->server, &l->rules, &counted);
    if (may_make_room(l, verdict, &counted))
        verdict = admission_take(l->server, &l->rules, &counted);
    if (verdict == ADMITTED)
        conn_start(l->server, &l->rules, fd, &client);
    else
        refuse(l, fd, &client, verdict);
    return true;
}

static void on_connection(struct watch *w, unsigned what)
{
    struct listener *l = container_of(w, struct listener, watch);

    (void)what;
    for (int i = 0; i < ACCEPTS_PER_TURN && accept_one(l); i++)
        ;
}

static void report_refusal(const struct session *s, const struct session_refusal *r)
{
    bool has_rcpt = r->recipient.len > 0;

    LOG_AT(r->of_mail ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG,
           r->of_mail ? "message_refused" : "command_refused", LOG_ID("session", s->id),
           LOG_VIEW("listener", s->rules->listener->name), LOG_STRING("client", s->client_text),
           LOG_STRING(s->client_name != NULL ? "client_name" : NULL, s->client_name),
           LOG_VIEW("helo", view_make(s->helo, s->helo_len)),
           LOG_VIEW(r->of_mail ? "sender" : NULL, r->sender),
           LOG_VIEW(has_rcpt ? "recipient" : NULL, r->recipient), LOG_U64("code", r->code),
           LOG_STRING(r->rule != NULL ? "rule" : NULL, r->rule),
           LOG_STRING("enhanced", r->enhanced), LOG_STRING("reason", r->text));
}

static void report_applied(struct session *s, uint64_t message, struct view names)
{
    log_info("rules_applied", LOG_ID("message", message), LOG_ID("session", s->id),
             LOG_VIEW("rules", names));
}

static void report_discard(const struct session *s, const struct rule *rule, struct view recipient)
{
    log_info("message_discarded", LOG_ID("session", s->id),
             LOG_VIEW("listener", s->rules->listener->name), LOG_STRING("client", s->client_text),
             LOG_VIEW("sender", s->transaction.sender),
             LOG_VIEW(recipient.len > 0 ? "recipient" : NULL, recipient),
             LOG_STRING("rule", rule->label),
             LOG_U64(recipient.len > 0 ? NULL : "size_bytes", s->transaction.receiver.bytes));
}

void listener_open(struct server *s, const struct listener_settings *settings, int fd,
                   struct list *into)
{
    struct listener *l = memory_new(sizeof(*l));

    *l = (struct listener){
        .server = s,
        .watch = { .fd = fd, .ready = on_connection },
        .rest.fire = on_rested,
        .report.fire = on_report,
        .rules = { .settings = s->settings,
                   .listener = settings,
                   .spool = &s->spool.state,
                   .budget = &s->budget,
                   .addresses = &s->addresses,
                   .mechanisms = s->logins.mechanisms,
                   .starttls = settings->tls != LISTENER_TLS_NONE && s->tls != NULL,
                   .applied = report_applied,
                   .discarded = report_discard,
                   .refused = report_refusal,
                   .counted = origin_count_rate,
                   .charged = origin_charge_rate },
    };
    session_rules_init(&l->rules);
    l->reserve = make_reserve(l);
    list_append(into, &l->link);
    watch(l);
}

void listener_close(struct listener *l)
{
    if (l->watch.fd < 0)
        return;
    loop_stop_timer(l->server->loop, &l->rest);
    loop_unwatch(l->server->loop, &l->watch);
    close(l->watch.fd);
    l->watch.fd = -1;
    if (l->reserve >= 0)
        close(l->reserve);
    l->reserve = -1;
}
