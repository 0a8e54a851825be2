#include "delivery/client.h"

#include "delivery/client_phases.h"
#include "delivery/client_say.h"

#include <assert.h>
#include <string.h>

/* ---- saying ---- */

void client_remember(struct client *c, enum client_phase p)
{
    c->sent[(c->sent_first + c->sent_count++) % CLIENT_WINDOW] = (uint8_t)p;
}

/* What is promised must be sent: a chunk follows commands without a reply only when it fits behind
 * them, so that it is under way before any of them is heard. */
static bool may_say(const struct client *c)
{
    if (c->saying == CLIENT_BDAT)
        return c->sent_count == 0 || c->message.bytes + CLIENT_BDAT_MAX <= buf_space(&c->out);
    return buf_space(&c->out) >= TRANSACTION_COMMAND_MAX;
}

/* Says as much as the window and the protocol allow (RFC 2920, 3.1). */
static void speak(struct client *c)
{
    while (client_phases[c->saying].say != NULL && c->sent_count < c->window && may_say(c)) {
        client_remember(c, c->saying);
        c->saying = client_phases[c->saying].say(c);
    }
}

static enum client_phase forget_first(struct client *c)
{
    enum client_phase p = (enum client_phase)c->sent[c->sent_first];

    c->sent_first = (c->sent_first + 1) % CLIENT_WINDOW;
    c->sent_count--;
    return p;
}

/* Nothing was asked: whatever comes now was said before its time, and would be taken for the reply
 * to the next command. Behind STARTTLS it would be taken for protected (RFC 3207, 6). */
static bool expects_silence(const struct client *c)
{
    return c->sent_count == 0 && c->saying != CLIENT_BODY && c->saying != CLIENT_OVER;
}

static enum client_phase awaited(const struct client *c)
{
    return c->sent_count > 0 ? (enum client_phase)c->sent[c->sent_first] : c->saying;
}

static void hear(struct client *c, struct view *input)
{
    struct reply r;

    switch (reply_feed(&c->parser, input, &r)) {
    case REPLY_MORE:
        return;
    case REPLY_MALFORMED:
        c->hearing = awaited(c);
        c->saying = client_break_off(c, VIEW("a malformed reply"));
        return;
    case REPLY_READY:
        c->heard++;
        c->hearing = c->sent_count > 0 ? forget_first(c) : c->saying;
        c->saying = client_hear_reply(c, &r);
        if (expects_silence(c) && input->len > 0)
            c->saying = client_break_off(c, VIEW("more was said than had been asked"));
        speak(c);
        return;
    }
}

bool client_hear(struct client *c, struct view *input, struct client_verdict *v)
{
    c->decided = false;
    while (input->len > 0 && c->saying != CLIENT_OVER && !c->decided)
        hear(c, input);
    if (c->decided)
        *v = c->verdict;
    return c->decided;
}

void client_speak(struct client *c)
{
    speak(c);
}

/* ---- the life of a session ---- */

void client_init(struct client *c, struct view hostname, struct tls_policy tls, bool lmtp)
{
    *c = (struct client){ .hostname = hostname,
                          .tls = tls,
                          .lmtp = lmtp,
                          .window = 1,
                          .saying = tls.implicit ? CLIENT_HANDSHAKE : CLIENT_LISTEN };
    buf_new(&c->out, CLIENT_OUT_BYTES);
    reply_start(&c->parser);
    if (!tls.implicit)
        client_remember(c, CLIENT_GREETING);
}

void client_log_in(struct client *c, struct credential *credential, struct view host, unsigned port)
{
    assert(c->tls.verify);
    c->credential = credential;
    c->host = host;
    c->port = port;
}

void client_release(struct client *c)
{
    buf_free(&c->out);
}

enum client_wish client_wish(const struct client *c)
{
    if (c->saying == CLIENT_OVER)
        return CLIENT_WISH_CLOSE;
    if (c->saying == CLIENT_CHUNK)
        return CLIENT_WISH_CHUNK;
    if (c->sent_count > 0)
        return CLIENT_WISH_NOTHING;
    if (c->saying == CLIENT_HANDSHAKE)
        return CLIENT_WISH_TLS;
    if (c->saying == CLIENT_BODY)
        return CLIENT_WISH_BODY;
    return c->saying == CLIENT_READY ? CLIENT_WISH_MESSAGE : CLIENT_WISH_NOTHING;
}

/* Whatever was learned in plain text is forgotten (RFC 3207, 4.2). */
void client_tls_ready(struct client *c)
{
    assert(c->saying == CLIENT_HANDSHAKE);
    c->encrypted = true;
    c->ext = (struct ext){ .pipelining = false };
    c->window = 1;
    reply_start(&c->parser);
    if (c->greeted) {
        c->saying = CLIENT_EHLO;
    } else {
        client_remember(c, CLIENT_GREETING);
        c->saying = CLIENT_LISTEN;
    }
    speak(c);
}

void client_body_sent(struct client *c)
{
    assert(c->saying == CLIENT_BODY || c->saying == CLIENT_CHUNK);
    if (c->saying == CLIENT_BODY)
        client_remember(c, CLIENT_DOT);
    else
        c->chunk_sent = true;
    c->saying = CLIENT_LISTEN;
}

bool client_start(struct client *c, const struct client_message *m, struct client_verdict *v)
{
    struct buf words = BUF_ON_ARRAY(c->words);

    assert(client_wish(c) == CLIENT_WISH_MESSAGE);
    c->message = *m;
    c->said_rcpts = c->heard_rcpts = c->accepted = c->answered = c->put_off = 0;
    c->refused = c->chunk_sent = c->chunk_refused = c->told_so = c->settled = false;
    c->heard_before = c->heard;
    *v = (struct client_verdict){ .rest = true };
    if (transaction_obstacle(m, &c->ext, &words, &v->outcome))
        return true;
    c->saying = CLIENT_MAIL;
    speak(c);
    return false;
}

void client_quit(struct client *c)
{
    assert(client_wish(c) == CLIENT_WISH_MESSAGE);
    c->saying = CLIENT_QUIT;
    speak(c);
}

void client_lost(struct client *c, struct view words)
{
    c->hearing = c->chunk_sent ? CLIENT_BDAT : awaited(c);
    c->why = client_make_outcome(c, OUTCOME_DEFERRED, client_phases[c->hearing].scope);
    c->why.enhanced = c->hearing == CLIENT_HANDSHAKE ? (struct enhanced){ 4, 7, 5 }
                                                     : (struct enhanced){ 4, 4, 2 };
    c->why.text = words;
    c->saying = CLIENT_OVER;
    c->lost = true;
}

void client_closed(struct client *c, struct view words)
{
    c->chunk_sent = c->chunk_sent && c->heard > c->heard_before;
    client_lost(c, words);
    c->closed = true;
}

const struct outcome *client_why(const struct client *c)
{
    return &c->why;
}

bool client_failed_at_tls(const struct client *c)
{
    if (c->hearing == CLIENT_STARTTLS)
        return c->lost || (c->saying == CLIENT_OVER && c->why.code == 421);
    return c->lost && (c->hearing == CLIENT_HANDSHAKE ||
                       (c->hearing == CLIENT_EHLO && c->encrypted && c->closed));
}

bool client_failed_to_log_in(const struct client *c)
{
    return (c->hearing == CLIENT_AUTH || c->hearing == CLIENT_AUTH_ANSWER) &&
           c->why.code / 100 == 5;
}

bool client_is_past_dot(const struct client *c)
{
    return (c->chunk_sent && !c->refused) ||
           (!c->settled && (c->saying == CLIENT_OVER ? c->hearing : awaited(c)) == CLIENT_DOT);
}

uint64_t client_timeout_ms(const struct client *c, const struct timeouts_settings *t)
{
    uint64_t ms;

    memcpy(&ms, (const char *)t + client_phases[awaited(c)].timeout, sizeof(ms));
    return ms;
}
