#include "smtpd/extensions.h"

#include "mail/trace.h"
#include "smtpd/commands.h"

#include <inttypes.h>
#include <stdio.h>

/* Strangers neither keep mail waiting here nor pass others. What is a submission listener's may be
 * announced before the login, without which nothing is accepted there. */
static bool is_submission(const struct session *s)
{
    return s->trusted || s->rules->listener->role == LISTENER_SUBMISSION;
}

bool extension_on(const struct session *s, enum extension e)
{
    if (e == EXTENSION_NONE)
        return true;
    if (!s->rules->extensions.on[e])
        return false;
    if (e == EXTENSION_FUTURERELEASE || e == EXTENSION_MT_PRIORITY)
        return is_submission(s);
    return e != EXTENSION_REQUIRETLS || s->tls[0] != '\0'; /* RFC 8689, 2 */
}

static void print_future(const struct session *s, struct buf *out)
{
    uint64_t most_ms = s->now_ms + FUTURE_MOST_S * 1000ULL;

    buf_printf(out, "FUTURERELEASE %u ", (unsigned)FUTURE_MOST_S);
    (void)!trace_timestamp(most_ms - most_ms % 1000, out);
    buf_put_byte(out, '\n');
}

static void print_words(const struct session *s, struct buf *out)
{
    buf_printf(out, "%s\nPIPELINING\nSIZE %" PRIu64 "\n8BITMIME\n", s->rules->hostname,
               s->rules->listener->limits.message_bytes);
    if (extension_on(s, EXTENSION_CHUNKING))
        buf_printf(out, "CHUNKING\n");
    if (extension_on(s, EXTENSION_DSN))
        buf_printf(out, "DSN\n");
    if (extension_on(s, EXTENSION_SMTPUTF8))
        buf_printf(out, "SMTPUTF8\n");
    if (extension_on(s, EXTENSION_REQUIRETLS))
        buf_printf(out, "REQUIRETLS\n");
    if (extension_on(s, EXTENSION_LIMITS))
        buf_printf(out, "LIMITS RCPTMAX=%" PRIu64 "\n", s->rules->listener->limits.recipients);
    if (extension_on(s, EXTENSION_DELIVERBY))
        buf_printf(out, "DELIVERBY\n");
    if (extension_on(s, EXTENSION_FUTURERELEASE))
        print_future(s, out);
    if (extension_on(s, EXTENSION_MT_PRIORITY))
        buf_printf(out, "MT-PRIORITY\n");
    if (s->rules->starttls && s->tls[0] == '\0')
        buf_printf(out, "STARTTLS\n");
    if (s->may_xclient)
        buf_printf(out, "XCLIENT ADDR PORT NAME HELO LOGIN PROTO\n");
    buf_printf(out, "ENHANCEDSTATUSCODES%c", '\0');
}

const char *extensions_text(const struct session *s)
{
    static char room[SESSION_REPLY_MAX];
    struct buf text = BUF_ON_ARRAY(room);

    print_words(s, &text);
    return auth_offer(s, room);
}
