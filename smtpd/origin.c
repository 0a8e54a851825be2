#include "smtpd/origin.h"

#include "io/log.h"
#include "smtpd/admission.h"
#include "smtpd/wishes.h"

/* ---- its name, and lists ---- */

static void on_named(struct question *q, const struct message_dns_answer *a)
{
    struct conn *c = container_of(q, struct conn, name);
    bool awaited = session_wish(&c->session) == WISH_NAME;
    struct view rest = a->items;
    struct dns_item item;

    if (c->session.naming != NAME_AWAITED) /* a proxy has told another one meanwhile */
        return;
    if (a->result == DNS_OK && dns_items_take(&rest, DNS_NAME, &item)) {
        session_name_client(&c->session, item.host);
        log_debug("client_named", LOG_ID("session", c->session.id),
                  LOG_STRING("client", c->session.client_text),
                  LOG_STRING("client_name", c->session.client_name));
    } else if (a->result == DNS_TEMPORARY || a->result == DNS_MALFORMED) {
        session_name_failed(&c->session);
    } else {
        session_name_client(&c->session, VIEW_EMPTY);
    }
    if (awaited)
        wishes_go_on(c);
}

void origin_fail_name(struct conn *c)
{
    asker_forget(&c->server->asker, &c->name);
    session_name_failed(&c->session);
}

static void on_list_decided(struct lists_check *l, const struct list_settings *by,
                            const struct net_address *answer, bool sure)
{
    struct conn *c = container_of(l, struct conn, listed);
    char room[NET_ADDRESS_TEXT_MAX];
    struct buf text = BUF_ON_ARRAY(room);

    if (by != NULL) {
        (void)net_print_address(answer, &text);
        log_info("client_listed", LOG_ID("session", c->session.id),
                 LOG_STRING("client", c->session.client_text), LOG_VIEW("list", by->zone),
                 LOG_VIEW("answer", buf_view(&text)));
        session_list_client(&c->session, by->zone, sure);
    }
    if (c->stage == CONN_SESSION)
        conn_advance(c, VIEW_EMPTY);
}

/* Only what rules ask for waits for the name; elsewhere it is unknown until it comes. Lists are
 * waited for before MAIL, and asked only where a stranger could send mail. */
void origin_ask(struct conn *c)
{
    struct session *s = &c->session;

    if (s->client.family == 0 || net_is_loopback(&s->client))
        return;
    if (s->client_name == NULL) {
        session_await_name(s);
        asker_ask(&c->server->asker, &c->name, DNS_NAME, view_of(s->client_text));
    }
    if (!s->trusted && s->rules->listener->strangers)
        lists_ask(&c->server->lists, &c->listed, &s->client);
}

static void forget_answers(struct conn *c)
{
    asker_forget(&c->server->asker, &c->name);
    lists_forget(&c->listed);
}

/* ---- as whose it counts ---- */

struct net_address origin_counted(const struct session_rules *rules, const struct net_address *peer)
{
    const struct listener_settings *l = rules->listener;
    bool is_proxy = network_list_has(&l->proxy, peer) || network_list_has(&l->xclient, peer);

    return is_proxy ? (struct net_address){ 0 } : *peer;
}

void origin_recount(struct conn *c)
{
    enum admission a = admission_take(c->server, c->session.rules, &c->session.client);

    if (a == ADMITTED) {
        limits_give(&c->server->limits, c->session.rules->listener, &c->counted);
        c->counted = c->session.client;
        forget_answers(c);
        origin_ask(c);
        return;
    }
    log_info("connection_refused", LOG_STRING("client", c->session.client_text),
             LOG_STRING("reason", admission_reason(a)), LOG_U64("count", 1));
    c->reason = admission_reason(a);
    session_turn_away(&c->session, admission_reply(a));
}

/* Whoever may relay for his address has no rates; for a login there are its own. */
enum rates_verdict origin_count_rate(struct session *s, enum rate_kind kind)
{
    struct server *server = container_of(s, struct conn, session)->server;
    const struct rates_owner who = { .at = s->rules->listener,
                                     .client = &s->client,
                                     .login = view_of(s->login) };

    if (s->trusted && s->login == NULL)
        return RATES_FINE;
    return rates_take(&server->rates, kind, &who, server->loop->now_ms);
}

bool origin_charge_rate(struct session *s, const struct rates_bucket *b, bool take)
{
    struct server *server = container_of(s, struct conn, session)->server;

    return take ? rates_bucket_take(&server->rates, b, server->loop->now_ms)
                : rates_bucket_look(&server->rates, b, server->loop->now_ms);
}

void origin_init(struct conn *c, const struct net_address *peer)
{
    c->name.answered = on_named;
    c->listed.decided = on_list_decided;
    c->counted = origin_counted(c->session.rules, peer);
}

void origin_release(struct conn *c)
{
    forget_answers(c);
    limits_give(&c->server->limits, c->session.rules->listener, &c->counted);
}
