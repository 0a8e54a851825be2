#include "smtpd/arrival.h"

#include "io/log.h"
#include "smtpd/origin.h"
#include "smtpd/patience.h"
#include "smtpd/proxy.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* ---- the greeting ---- */

void arrival_greet(struct conn *c)
{
    c->stage = CONN_SESSION;
    patience_set_deadline(c);
    if (c->session.state != SESSION_CLOSED)
        session_greet(&c->session);
    patience_renew(c);
    conn_advance(c, VIEW_EMPTY);
}

/* It is known who comes: what follows is the client's, perhaps a TLS handshake. */
static void await_greeting(struct conn *c)
{
    uint64_t delay_ms = c->session.rules->listener->manners.greet_delay_ms;

    if (delay_ms == 0 || c->session.trusted || !c->session.rules->listener->strangers ||
        c->session.state == SESSION_CLOSED ||
        c->session.rules->listener->tls == LISTENER_TLS_IMPLICIT) {
        arrival_greet(c);
        return;
    }
    c->stage = CONN_GREETING;
    patience_end(c);
    patience_pause(c, delay_ms);
    conn_watch(c, WANT_READ);
}

/* RFC 5321, 4.3.1: the client waits for the greeting. Programs that only want to get rid of their
 * mail do not. */
void arrival_hear_early(struct conn *c)
{
    char byte;
    ssize_t n = recv(c->stream.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        conn_lose(c);
        return;
    }
    log_info("early_talker", LOG_ID("session", c->session.id),
             LOG_VIEW("listener", c->session.rules->listener->name),
             LOG_STRING("client", c->session.client_text));
    (void)!origin_count_rate(&c->session, RATE_FAILURES);
    c->stage = CONN_SESSION;
    patience_end(c);
    c->reason = "talked before the greeting";
    session_turn_away(&c->session, "You spoke before the greeting");
    patience_set_deadline(c);
    patience_renew(c);
    conn_advance(c, VIEW_EMPTY);
}

/* ---- proxies ---- */

void arrival_refuse_proxy(struct conn *c, const char *why)
{
    log_warn("proxy_header_refused", LOG_ID("session", c->session.id),
             LOG_VIEW("listener", c->session.rules->listener->name),
             LOG_STRING("client", c->session.client_text), LOG_STRING("reason", why));
    conn_close(c, "no PROXY header");
}

/* Takes the next `count` bytes off the socket, which were looked at before. */
static void drop_input(struct conn *c, size_t count)
{
    (void)!recv(c->stream.fd, c->server->input, count, MSG_DONTWAIT);
}

/* Only looks at what came, since no byte behind the header may be taken. */
void arrival_receive_proxy(struct conn *c)
{
    char *room = c->server->input;
    size_t kept = c->input_len;
    struct proxy_header header;
    struct view whole;
    ssize_t n;

    if (kept > 0)
        memcpy(room, c->input, kept);
    n = recv(c->stream.fd, room + kept, PROXY_HEADER_MAX - kept, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        conn_lose(c);
        return;
    }
    whole = view_make(room, kept + (size_t)n);
    switch (proxy_read(whole, &header)) {
    case PROXY_MORE:
        conn_keep_input(c, whole);
        drop_input(c, (size_t)n);
        return;
    case PROXY_INVALID:
        arrival_refuse_proxy(c, "what came is no header of the PROXY protocol");
        return;
    case PROXY_CLIENT:
        session_set_client(&c->session, &header.client);
        origin_recount(c);
        break;
    case PROXY_ITSELF: /* whoever is behind it: the trust in the proxy is not theirs */
        session_set_client(&c->session, &(struct net_address){ 0 });
        break;
    }
    drop_input(c, header.bytes - kept);
    conn_keep_input(c, VIEW_EMPTY);
    await_greeting(c);
}

void arrival_begin(struct conn *c)
{
    if (c->stage != CONN_PROXY) {
        origin_ask(c);
        await_greeting(c);
        return;
    }
    patience_set_deadline(c);
    patience_renew(c);
    conn_watch(c, WANT_READ);
}
