#include "delivery/client_say.h"

#include "common/text.h"
#include "delivery/client_phases.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

PRINTF_LIKE(2, 3)
static void say(struct client *c, const char *format, ...)
{
    va_list args;
    bool fits;

    va_start(args, format);
    fits = buf_vprintf(&c->out, format, args);
    va_end(args);
    assert(fits);
}

enum client_phase client_say_word(struct client *c)
{
    say(c, "%s\r\n", client_phases[c->saying].word);
    return CLIENT_LISTEN;
}

enum client_phase client_say_ehlo(struct client *c)
{
    say(c, "%s %.*s\r\n", c->lmtp ? "LHLO" : "EHLO", VIEW_ARG(c->hostname));
    return CLIENT_LISTEN;
}

enum client_phase client_say_helo(struct client *c)
{
    say(c, "HELO %.*s\r\n", VIEW_ARG(c->hostname));
    return CLIENT_LISTEN;
}

/* Responses hold secrets: they go straight to where they are sent from. */
static void put_response(struct client *c, const struct buf *response)
{
    bool fits = buf_len(response) == 0 ? buf_put_byte(&c->out, '=')
                                       : base64_encode(buf_view(response), &c->out);

    assert(fits);
}

enum client_phase client_say_auth(struct client *c)
{
    char room[SASL_RESPONSE_MAX];
    struct buf response = BUF_ON_ARRAY(room);

    say(c, "AUTH %s", sasl_name(c->sasl.mechanism));
    if (sasl_first(&c->sasl, c->host, c->port, &response)) {
        say(c, " ");
        put_response(c, &response);
    }
    say(c, "\r\n");
    explicit_bzero(room, sizeof(room));
    return CLIENT_LISTEN;
}

/* "*" gives up (RFC 4954, 4). */
enum client_phase client_say_answer(struct client *c)
{
    char challenge_room[REPLY_TEXT_MAX], room[SASL_RESPONSE_MAX];
    struct buf challenge = BUF_ON_ARRAY(challenge_room), response = BUF_ON_ARRAY(room);

    c->gave_up = !base64_decode(c->challenge, &challenge) ||
                 !sasl_answer(&c->sasl, buf_view(&challenge), &response);
    if (c->gave_up)
        say(c, "*");
    else if (buf_len(&response) > 0)
        put_response(c, &response);
    say(c, "\r\n");
    explicit_bzero(room, sizeof(room));
    return CLIENT_LISTEN;
}

enum client_phase client_say_mail(struct client *c)
{
    bool fits = transaction_put_mail(&c->message, &c->ext, &c->out);

    assert(fits);
    return CLIENT_RCPT;
}

enum client_phase client_say_rcpt(struct client *c)
{
    size_t rcpt = c->message.rcpts[c->said_rcpts++];
    bool fits = transaction_put_rcpt(&c->message, rcpt, &c->ext, &c->out);

    assert(fits);
    if (c->said_rcpts < c->message.rcpt_count)
        return CLIENT_RCPT;
    return c->message.chunk && c->ext.chunking && c->ext.pipelining && !c->lmtp ? CLIENT_BDAT
                                                                                : CLIENT_DATA;
}

enum client_phase client_say_bdat(struct client *c)
{
    say(c, "BDAT %" PRIu64 " LAST\r\n", c->message.bytes);
    return CLIENT_CHUNK;
}
