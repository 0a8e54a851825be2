#include "delivery/client_phases.h"

#include "common/attrs.h"
#include "delivery/client_say.h"

/* ---- outcomes ---- */

struct outcome client_make_outcome(const struct client *c, enum outcome_class class,
                                   enum outcome_scope scope)
{
    static const uint8_t digits[OUTCOME_CLASSES] = {
        [OUTCOME_DELIVERED] = 2, [OUTCOME_DEFERRED] = 4, [OUTCOME_FAILED] = 5
    };

    return (struct outcome){ .class = class,
                             .scope = scope,
                             .enhanced = { digits[class], 0, 0 },
                             .doing = view_of(client_phases[c->hearing].doing) };
}

/* RFC 5321, 4.5.3.1.10: 452 to RCPT. 552 once meant that, and still may. So does X.5.3 (RFC 3463,
 * 3.6), where one is said: with whatever code, when others were taken, since the host will say it
 * again to the first one if it means him. */
static bool means_too_many(const struct client *c, const struct reply *r)
{
    bool usual = r->code == 452 || r->code == 552;
    bool said = r->enhanced.subject == 5 && r->enhanced.detail == 3;

    if (c->hearing != CLIENT_RCPT)
        return false;
    return r->enhanced.class == 0 ? usual
                                  : said && (usual || r->code / 100 == 4 || c->accepted > 0);
}

/* A policy of security (RFC 3463, 3.8: X.7.X), or words about TLS. Not to the content, which has
 * been looked at then. */
static bool speaks_of_tls(const struct client *c, const struct reply *r)
{
    if (c->hearing != CLIENT_MAIL && c->hearing != CLIENT_RCPT && c->hearing != CLIENT_DATA)
        return false;
    return r->enhanced.class == 0 ? view_find_view(r->text, VIEW("TLS")) < r->text.len
                                  : r->enhanced.subject == 7;
}

/* RFC 3207, 4: 530 is "STARTTLS first"; others say it otherwise. Where it was offered, and failed,
 * it may work next time, or at another host. */
static bool misses_tls(const struct client *c, const struct reply *r)
{
    if (r->code / 100 != 5 || !c->ext.starttls || c->encrypted)
        return false;
    return r->code == 530 || (c->tls.broken && speaks_of_tls(c, r));
}

static enum outcome_class class_of(const struct client *c, const struct reply *r)
{
    if (r->code / 100 == 2)
        return OUTCOME_DELIVERED;
    if (means_too_many(c, r) || misses_tls(c, r))
        return OUTCOME_DEFERRED;
    return r->code / 100 == 5 ? OUTCOME_FAILED : OUTCOME_DEFERRED;
}

static struct outcome outcome_of(const struct client *c, const struct reply *r,
                                 enum outcome_class class, enum outcome_scope scope)
{
    struct outcome o = client_make_outcome(c, class, scope);

    o.code = r->code;
    o.text = r->text;
    if (r->enhanced.class != 0) {
        o.enhanced.subject = r->enhanced.subject;
        o.enhanced.detail = r->enhanced.detail;
    }
    return o;
}

static void decide_rest(struct client *c, const struct reply *r)
{
    c->decided = true;
    c->verdict =
        (struct client_verdict){ .rest = true,
                                 .elsewhere = misses_tls(c, r),
                                 .outcome = outcome_of(c, r, class_of(c, r), SCOPE_MESSAGE) };
}

static void decide_one(struct client *c, const struct reply *r, size_t rcpt)
{
    c->decided = true;
    c->verdict = (struct client_verdict){ .rcpt = rcpt,
                                          .elsewhere = misses_tls(c, r),
                                          .outcome = outcome_of(c, r, class_of(c, r), SCOPE_RCPT) };
}

/* The recipients before it are enough for one transaction: it is to come in the next one. */
static void put_off(struct client *c, const struct reply *r, size_t rcpt)
{
    c->decided = true;
    c->verdict = (struct client_verdict){ .later = true, .rcpt = rcpt };
    c->put_off++;
    c->told_so = c->told_so || r->enhanced.class != 0;
}

/* Nobody was taken behind those that were put off: the host has a limit, unless it is a bare 452 to
 * one, which may be a full mailbox. */
static bool is_full(const struct client *c)
{
    return c->heard_rcpts == c->message.rcpt_count && (c->put_off > 1 || c->told_so);
}

static void take(struct client *c)
{
    c->accepted++;
    c->put_off = 0;
    c->told_so = false;
}

/* ---- ends ---- */

static enum client_phase say_goodbye(struct client *c)
{
    c->saying = CLIENT_QUIT;
    (void)client_say_word(c);
    return CLIENT_OVER;
}

/* The server refuses to go on. What it meant for good is temporary here: connections are refused by
 * mistake more often than recipients are. One that had taken the sender may mean this message. */
static enum client_phase end_by(struct client *c, const struct reply *r)
{
    bool of_message = c->hearing == CLIENT_RCPT || c->hearing == CLIENT_DATA;

    c->why = outcome_of(c, r, OUTCOME_DEFERRED, of_message ? SCOPE_MESSAGE : SCOPE_DESTINATION);
    c->chunk_sent = false;
    return r->code == 421 ? CLIENT_OVER : say_goodbye(c);
}

enum client_phase client_break_off(struct client *c, struct view words)
{
    c->why = client_make_outcome(c, OUTCOME_DEFERRED, client_phases[c->hearing].scope);
    c->why.enhanced.subject = 5; /* RFC 3463, 3.6: protocol */
    c->why.text = words;
    return CLIENT_OVER;
}

static enum client_phase miss_tls(struct client *c)
{
    c->why = client_make_outcome(c, OUTCOME_DEFERRED, SCOPE_DESTINATION);
    c->why.enhanced = (struct enhanced){ 4, 7, 10 };
    c->why.text = VIEW("TLS is required, and the host does not offer it");
    c->missed_tls = true;
    return say_goodbye(c);
}

/* RFC 8689, 4.2.1. */
static enum client_phase miss_promise(struct client *c)
{
    c->why = client_make_outcome(c, OUTCOME_FAILED, SCOPE_MESSAGE);
    c->why.enhanced = (struct enhanced){ 5, 7, 30 };
    c->why.text = VIEW("the sender requires TLS all the way (REQUIRETLS), and the host does not "
                       "promise that");
    return say_goodbye(c);
}

/* A router or proxy has led back here: for all that can be known of addresses, it was another host.
 * Mail would go in circles until it has too many Received fields. */
static enum client_phase meet_us(struct client *c)
{
    c->why = client_make_outcome(c, OUTCOME_FAILED, SCOPE_DOMAIN);
    c->why.enhanced = (struct enhanced){ 5, 4, 6 };
    c->why.text =
        VIEW("mail for this domain comes back to this host, which greets with its own name");
    c->met_us = true;
    return say_goodbye(c);
}

/* ---- hearing ---- */

/* greeting = "220 " (Domain / address-literal) [ SP textstring ] (RFC 5321, 4.2) */
static bool greets_as_us(const struct client *c, const struct reply *r)
{
    struct view rest = r->text, line = view_take_until(&rest, '\n');

    return c->own != NULL && settings_is_own_name(c->own, view_take_word(&line));
}

static enum client_phase hear_greeting(struct client *c, const struct reply *r)
{
    if (r->code / 100 != 2)
        return end_by(c, r);
    if (greets_as_us(c, r))
        return meet_us(c);
    c->greeted = true;
    return CLIENT_EHLO;
}

static enum client_phase miss_login(struct client *c, struct view words)
{
    c->why = client_make_outcome(c, OUTCOME_DEFERRED, SCOPE_DESTINATION);
    c->why.enhanced = (struct enhanced){ 4, 7, 0 };
    c->why.text = words;
    return say_goodbye(c);
}

static enum client_phase begin_login(struct client *c)
{
    if (c->credential->secret_len == 0)
        return miss_login(c, VIEW("there is no password or token to log in with"));
    if (!sasl_begin(&c->sasl, c->credential, c->ext.auth))
        return miss_login(c, VIEW("the host offers no way to log in that Tern knows"));
    return CLIENT_AUTH;
}

static enum client_phase hear_auth(struct client *c, const struct reply *r)
{
    c->challenge = r->text;
    if (r->code == 334)
        return c->gave_up ? client_break_off(c, VIEW("a challenge to a login that was given up"))
                          : CLIENT_AUTH_ANSWER;
    if (r->code / 100 != 2) {
        c->credential->refused =
            c->credential->refused || (c->credential->token && r->code / 100 == 5);
        return end_by(c, r);
    }
    return sasl_end(&c->sasl) ? CLIENT_READY
                              : miss_login(c, VIEW("the host has not proved that it knows us"));
}

/* Where a session goes whose host has introduced itself. */
static enum client_phase go_on(struct client *c)
{
    if (c->encrypted && c->tls.onward && !c->ext.require_tls)
        return miss_promise(c);
    if (c->encrypted)
        return c->credential != NULL ? begin_login(c) : CLIENT_READY;
    if (!c->tls.tries)
        return CLIENT_READY;
    if (c->ext.starttls)
        return CLIENT_STARTTLS;
    return c->tls.needs ? miss_tls(c) : CLIENT_READY;
}

static enum client_phase hear_ehlo(struct client *c, const struct reply *r)
{
    if (r->code / 100 == 5 && !c->lmtp) /* RFC 5321, 3.2 */
        return CLIENT_HELO;
    if (r->code / 100 != 2)
        return end_by(c, r);
    ext_read(r->text, &c->ext);
    c->ext.require_tls = c->ext.require_tls && c->encrypted; /* RFC 8689, 2 */
    c->window = c->ext.pipelining ? CLIENT_WINDOW : 1;
    return go_on(c);
}

static enum client_phase hear_helo(struct client *c, const struct reply *r)
{
    return r->code / 100 == 2 ? go_on(c) : end_by(c, r);
}

static enum client_phase hear_starttls(struct client *c, const struct reply *r)
{
    if (r->code == 220)
        return CLIENT_HANDSHAKE;
    c->missed_tls = c->tls.needs;
    return c->missed_tls ? end_by(c, r) : CLIENT_READY;
}

static enum client_phase hear_unasked(struct client *c, const struct reply *r)
{
    return r->code == 421 ? end_by(c, r)
                          : client_break_off(c, VIEW("a reply that nobody asked for"));
}

/* Where a transaction goes once a reply is booked. A chunk that nobody takes any more is not sent
 * to its end. */
static enum client_phase carry_on(struct client *c, const struct reply *r)
{
    if (!c->refused)
        return c->saying;
    if (c->saying == CLIENT_CHUNK) {
        c->why = outcome_of(c, r, OUTCOME_DEFERRED, SCOPE_MESSAGE);
        return CLIENT_OVER;
    }
    return c->sent_count > 0 ? CLIENT_LISTEN : CLIENT_RSET;
}

static enum client_phase hear_mail(struct client *c, const struct reply *r)
{
    if (r->code / 100 != 2) {
        decide_rest(c, r);
        c->refused = true;
    }
    return carry_on(c, r);
}

static enum client_phase hear_rcpt(struct client *c, const struct reply *r)
{
    size_t at = c->heard_rcpts++;

    if (c->refused)
        return carry_on(c, r);
    c->taken[at] = r->code / 100 == 2;
    if (c->taken[at])
        take(c);
    else if (c->accepted > 0 && means_too_many(c, r))
        put_off(c, r, c->message.rcpts[at]);
    else
        decide_one(c, r, c->message.rcpts[at]);
    c->verdict.full = c->decided && is_full(c);
    c->refused = c->accepted == 0 && c->heard_rcpts == c->message.rcpt_count;
    return carry_on(c, r);
}

/* RFC 2920, 3.1: a server may say 354 although it took no recipient. */
static enum client_phase hear_data(struct client *c, const struct reply *r)
{
    if (r->code == 354)
        return c->refused ? CLIENT_LONE_DOT : CLIENT_BODY;
    if (r->code / 100 == 2)
        return client_break_off(c, VIEW("DATA was answered like another command"));
    if (!c->refused)
        decide_rest(c, r);
    c->refused = true;
    return carry_on(c, r);
}

/* A reply before the final dot is a refusal, or is none: the message was not heard. */
static enum client_phase hear_early(struct client *c, const struct reply *r)
{
    if (r->code / 100 != 4 && r->code / 100 != 5)
        return client_break_off(c, VIEW("a reply before the end of the message"));
    decide_rest(c, r);
    /* It says nothing of recipients that were to come in another transaction. */
    c->why = outcome_of(c, r, OUTCOME_DEFERRED, SCOPE_MESSAGE);
    return CLIENT_OVER;
}

/* RFC 2033, 4.2: a reply for each recipient that was taken, in order. */
static enum client_phase hear_one_of_dot(struct client *c, const struct reply *r)
{
    while (!c->taken[c->answered])
        c->answered++;
    decide_one(c, r, c->message.rcpts[c->answered++]);
    if (r->code == 421)
        return end_by(c, r);
    c->settled = --c->accepted == 0;
    if (c->settled)
        return CLIENT_READY;
    client_remember(c, CLIENT_DOT);
    return CLIENT_LISTEN;
}

static enum client_phase hear_dot(struct client *c, const struct reply *r)
{
    if (c->lmtp)
        return hear_one_of_dot(c, r);
    decide_rest(c, r);
    if (r->code == 421)
        return end_by(c, r);
    c->settled = !c->verdict.elsewhere;
    return r->code / 100 == 2 ? CLIENT_READY : CLIENT_RSET;
}

/* The codes of a host that does not know the command, or not here. */
static bool means_no_bdat(const struct reply *r)
{
    return r->code >= 500 && r->code <= 504;
}

static enum client_phase hear_bdat(struct client *c, const struct reply *r)
{
    bool early = c->saying == CLIENT_CHUNK;

    c->chunk_sent = false;
    if (c->refused)
        return r->code == 421 ? end_by(c, r) : CLIENT_RSET;
    if (means_no_bdat(r)) {
        c->chunk_refused = true;
        c->ext.chunking = false;
        c->why = outcome_of(c, r, OUTCOME_DEFERRED, SCOPE_MESSAGE);
        return early ? CLIENT_OVER : CLIENT_RSET;
    }
    return early ? hear_early(c, r) : hear_dot(c, r);
}

static enum client_phase hear_lone_dot(struct client *c, const struct reply *r)
{
    (void)c;
    (void)r;
    return CLIENT_RSET;
}

static enum client_phase hear_rset(struct client *c, const struct reply *r)
{
    return r->code / 100 == 2 ? CLIENT_READY : end_by(c, r);
}

static enum client_phase hear_quit(struct client *c, const struct reply *r)
{
    c->why = outcome_of(c, r, OUTCOME_DEFERRED, SCOPE_DESTINATION);
    return CLIENT_OVER;
}

enum client_phase client_hear_reply(struct client *c, const struct reply *r)
{
    if (r->code == 421 && c->hearing != CLIENT_DOT && c->hearing != CLIENT_BODY &&
        c->hearing != CLIENT_BDAT)
        return end_by(c, r);
    if (c->hearing == CLIENT_AUTH || c->hearing == CLIENT_AUTH_ANSWER)
        return r->code / 100 != 3 || r->code == 334
                   ? hear_auth(c, r)
                   : client_break_off(c, VIEW("a reply that does not fit AUTH"));
    if (r->code / 100 == 3 && c->hearing != CLIENT_DATA)
        return client_break_off(c, VIEW("a reply that fits no command"));
    if (r->code / 100 == 3 && r->code != 354)
        return client_break_off(c, VIEW("a reply that does not fit DATA"));
    return client_phases[c->hearing].hear(c, r);
}

/* ---- the table ---- */

/* A lost connection speaks of the host, or (while a message is under way) of the message. */
enum { HOST = SCOPE_DESTINATION, MAIL = SCOPE_MESSAGE };

#define PHASE(name, doing, say, hear, timeout, scope)                                              \
    [CLIENT_##name] = { (doing),                                                                   \
                        (say),                                                                     \
                        (hear),                                                                    \
                        offsetof(struct timeouts_settings, timeout),                               \
                        (enum outcome_scope)(scope),                                               \
                        NULL }
/* Says one word, and listens. */
#define WORD(name, word, doing, hear, timeout, scope)                                              \
    [CLIENT_##name] = { (doing),                                                                   \
                        client_say_word,                                                           \
                        (hear),                                                                    \
                        offsetof(struct timeouts_settings, timeout),                               \
                        (enum outcome_scope)(scope),                                               \
                        (word) }

const struct client_phase_rules client_phases[CLIENT_PHASES] = {
    /* clang-format off */
    PHASE(GREETING,    "waiting for the greeting", NULL,              hear_greeting, greeting,        HOST),
    PHASE(EHLO,        "sending EHLO",             client_say_ehlo,   hear_ehlo,     ehlo,            HOST),
    PHASE(HELO,        "sending HELO",             client_say_helo,   hear_helo,     ehlo,            HOST),
    WORD(STARTTLS, "STARTTLS",
                       "sending STARTTLS",                            hear_starttls, ehlo,            HOST),
    PHASE(HANDSHAKE,   "starting TLS",             NULL,              hear_unasked,  handshake,       HOST),
    PHASE(AUTH,        "logging in",               client_say_auth,   hear_auth,     ehlo,            HOST),
    PHASE(AUTH_ANSWER, "logging in",               client_say_answer, hear_auth,     ehlo,            HOST),
    PHASE(READY,       "waiting for a message",    NULL,              hear_unasked,  idle_connection, HOST),
    PHASE(MAIL,        "sending MAIL FROM",        client_say_mail,   hear_mail,     mail,            HOST),
    PHASE(RCPT,        "sending RCPT TO",          client_say_rcpt,   hear_rcpt,     rcpt,            HOST),
    WORD(DATA, "DATA", "sending DATA",                                hear_data,     data,            HOST),
    PHASE(BODY,        "sending the message",      NULL,              hear_early,    block,           MAIL),
    PHASE(DOT,         "waiting for the reply to the message",
                                                   NULL,              hear_dot,      final,           MAIL),
    PHASE(BDAT,        "waiting for the reply to the message",
                                                   client_say_bdat,   hear_bdat,     final,           MAIL),
    PHASE(CHUNK,       "sending the message",      NULL,              hear_unasked,  block,           MAIL),
    WORD(LONE_DOT, ".", "sending an empty message",                   hear_lone_dot, final,           MAIL),
    WORD(RSET, "RSET", "sending RSET",                                hear_rset,     rset,            HOST),
    WORD(QUIT, "QUIT", "sending QUIT",                                hear_quit,     idle_connection, HOST),
    PHASE(LISTEN,      "waiting for a reply",      NULL,              hear_unasked,  ehlo,            HOST),
    PHASE(OVER,        "closing",                  NULL,              hear_unasked,  rset,            HOST),
    /* clang-format on */
};
