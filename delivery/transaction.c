#include "delivery/transaction.h"

#include "common/attrs.h"
#include "common/text.h"
#include "mail/address.h"
#include "mail/idn.h"
#include "mail/xtext.h"

#include <inttypes.h>

/* ---- what the host lacks ---- */

static struct outcome refusal(enum outcome_scope scope, struct enhanced code, struct view text,
                              struct view doing)
{
    return (struct outcome){
        .class = OUTCOME_FAILED, .scope = scope, .enhanced = code, .text = text, .doing = doing
    };
}

/* The ASCII form of an address may be missing, and is only needed where the host asks for it. */
static bool has_form(struct view address, const struct ext *e)
{
    char room[ADDRESS_MAX * 2];
    struct buf unused = BUF_ON_ARRAY(room);

    return e->utf8 || idn_address(address, &unused);
}

/* RFC 2852, 4.1.4: what must come back in time is not given to a host that would keep it. */
static bool comes_too_late(const struct client_message *m, const struct ext *e)
{
    return m->envelope->by == BY_RETURN && e->deliver_by &&
           (m->by_seconds <= 0 || (uint64_t)m->by_seconds < e->by_least);
}

bool transaction_obstacle(const struct client_message *m, const struct ext *e, struct buf *room,
                          struct outcome *why)
{
    static const struct view sending = VIEW_INIT("sending MAIL FROM");

    if (e->size_most > 0 && m->bytes > e->size_most) {
        buf_printf(room, "the message has %" PRIu64 " bytes, the host takes %" PRIu64, m->bytes,
                   e->size_most);
        *why = refusal(SCOPE_MESSAGE, (struct enhanced){ 5, 3, 4 }, buf_view(room), sending);
    } else if (!has_form(m->envelope->sender, e)) {
        *why = refusal(SCOPE_MESSAGE, (struct enhanced){ 5, 6, 7 },
                       VIEW("the sender's address is not ASCII, and the host lacks SMTPUTF8"),
                       sending);
    } else if (m->envelope->by == BY_RETURN && !e->deliver_by) {
        *why = refusal(SCOPE_MESSAGE, (struct enhanced){ 5, 3, 3 },
                       VIEW("it is to come back unless it is delivered in time, and the host "
                            "lacks DELIVERBY"),
                       sending);
    } else if (comes_too_late(m, e)) {
        *why = refusal(SCOPE_MESSAGE, (struct enhanced){ 5, 4, 7 },
                       VIEW("the host cannot deliver it in the time that is left"), sending);
    } else {
        return false;
    }
    return true;
}

bool transaction_rcpt_obstacle(const struct envelope *e, size_t rcpt, const struct ext *ext,
                               struct outcome *why)
{
    if (has_form(e->rcpts[rcpt].address, ext))
        return false;
    *why = refusal(SCOPE_RCPT, (struct enhanced){ 5, 6, 7 },
                   VIEW("the recipient's address is not ASCII, and the host lacks SMTPUTF8"),
                   VIEW("sending RCPT TO"));
    return true;
}

/* ---- commands ---- */

static bool put_address(struct view address, const struct ext *e, struct buf *out)
{
    return e->utf8 ? buf_put(out, address) : idn_address(address, out);
}

/* Said also for addresses that are not ASCII for another reason than the client's word. */
static bool says_utf8(const struct client_message *m)
{
    const struct envelope *e = m->envelope;

    if (e->utf8 || !text_is_ascii(e->sender))
        return true;
    for (size_t i = 0; i < m->rcpt_count; i++) {
        if (!text_is_ascii(e->rcpts[m->rcpts[i]].address))
            return true;
    }
    return false;
}

/* RFC 3461, 5.2.1: as they came, and only those that came. */
static bool put_dsn(const struct envelope *e, struct buf *out)
{
    static const char *const words[] = { "", " RET=FULL", " RET=HDRS" };

    return buf_put(out, view_of(words[e->returns])) &&
           (e->envelope_id.len == 0 ||
            (buf_put(out, VIEW(" ENVID=")) && xtext_encode(e->envelope_id, out)));
}

/* by-value = by-time ";" by-mode [ by-trace ] */
static bool put_deliver_by(const struct client_message *m, struct buf *out)
{
    const struct envelope *e = m->envelope;

    return e->by == BY_UNSAID || buf_printf(out, " BY=%" PRId64 ";%s%s", m->by_seconds,
                                            e->by == BY_RETURN ? "R" : "N", e->by_trace ? "T" : "");
}

bool transaction_put_mail(const struct client_message *m, const struct ext *e, struct buf *out)
{
    const struct envelope *env = m->envelope;

    return buf_put(out, VIEW("MAIL FROM:<")) && put_address(env->sender, e, out) &&
           buf_put_byte(out, '>') && (!e->size || buf_printf(out, " SIZE=%" PRIu64, m->bytes)) &&
           (!e->eight_bit || !env->body_8bit || buf_put(out, VIEW(" BODY=8BITMIME"))) &&
           (!e->utf8 || !says_utf8(m) || buf_put(out, VIEW(" SMTPUTF8"))) &&
           (!e->dsn || put_dsn(env, out)) &&
           (!e->require_tls || !env->require_tls || buf_put(out, VIEW(" REQUIRETLS"))) &&
           (!e->priority || env->priority == 0 ||
            buf_printf(out, " MT-PRIORITY=%d", env->priority)) &&
           (!e->deliver_by || put_deliver_by(m, out)) && buf_put(out, VIEW("\r\n"));
}

static bool put_notify(unsigned notify, struct buf *out)
{
    static const struct {
        unsigned bit;
        const char *word;
    } words[] = {
        { NOTIFY_NEVER, "NEVER" },
        { NOTIFY_SUCCESS, "SUCCESS" },
        { NOTIFY_FAILURE, "FAILURE" },
        { NOTIFY_DELAY, "DELAY" },
    };
    const char *before = " NOTIFY=";

    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if ((notify & words[i].bit) == 0)
            continue;
        if (!buf_printf(out, "%s%s", before, words[i].word))
            return false;
        before = ",";
    }
    return true;
}

/* An original recipient in UTF-8 goes as ASCII: that form every host takes (RFC 6533, 3). */
static bool put_original(struct view original, struct buf *out)
{
    struct view address = original;
    struct view type = view_take_until(&address, ';');

    if (original.len == 0)
        return true;
    if (!view_equal_nocase(type, VIEW("utf-8")) || !utf8_valid(address))
        return buf_put(out, VIEW(" ORCPT=")) && buf_put(out, type) && buf_put_byte(out, ';') &&
               xtext_encode(address, out);
    return buf_put(out, VIEW(" ORCPT=utf-8;")) && xtext_encode_unicode(address, out);
}

bool transaction_put_rcpt(const struct client_message *m, size_t rcpt, const struct ext *e,
                          struct buf *out)
{
    const struct envelope_rcpt *r = &m->envelope->rcpts[rcpt];

    return buf_put(out, VIEW("RCPT TO:<")) && put_address(r->address, e, out) &&
           buf_put_byte(out, '>') &&
           (!e->dsn || (put_notify(r->notify, out) && put_original(r->original, out))) &&
           buf_put(out, VIEW("\r\n"));
}
