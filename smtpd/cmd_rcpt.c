#include "ipc/expand.h"
#include "mail/address.h"
#include "mail/params.h"
#include "smtpd/commands.h"
#include "smtpd/policy.h"

#include <stdio.h>

enum { FIRST_RCPTS = 4 };

struct view address_said(const struct address *a)
{
    size_t domain_len = a->domain.len > 0 ? a->domain.len + 1 : 0;

    return view_make(a->local.ptr, a->local.len + domain_len);
}

bool transaction_begin(struct session *s, const struct address *from)
{
    return arena_copy(&s->transaction.arena, address_said(from), &s->transaction.sender);
}

/* What "key=value" takes in an envelope; what is escaped there takes three bytes. */
static size_t encoded_bytes(const char *frame, struct view value)
{
    size_t bytes = view_of(frame).len;

    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        bytes += c <= ' ' || c >= 127 || c == '%' ? 3 : 1;
    }
    return bytes;
}

static bool has_room(struct transaction *t)
{
    size_t room = t->rcpt_room == 0 ? FIRST_RCPTS : t->rcpt_room * 2;
    struct envelope_rcpt *rcpts;

    if (t->rcpt_count < t->rcpt_room)
        return true;
    rcpts = arena_alloc(&t->arena, room * sizeof(*rcpts));
    if (rcpts == NULL)
        return false;
    for (size_t i = 0; i < t->rcpt_count; i++)
        rcpts[i] = t->rcpts[i];
    t->rcpts = rcpts;
    t->rcpt_room = room;
    return true;
}

static bool add_rcpt(struct session *s, const struct envelope_rcpt *r)
{
    struct transaction *t = &s->transaction;
    struct envelope_rcpt copy = *r;
    size_t bytes = encoded_bytes("rcpt=\n", r->address);

    if (r->original.len > 0)
        bytes += encoded_bytes("orcpt=\n", r->original);
    if (t->rcpt_count >= s->rules->recipients || t->rcpt_bytes + bytes > SESSION_RCPTS_BYTES_MAX ||
        !has_room(t) || !arena_copy(&t->arena, r->address, &copy.address))
        return false;
    t->rcpts[t->rcpt_count++] = copy;
    t->rcpt_bytes += bytes;
    return true;
}

/* A recipient of ours on the way to its mailboxes and to addresses elsewhere. */
struct arrival {
    struct expansion expansion;
    struct session *session;
    struct envelope_rcpt rcpt; /* as it was asked for */
    size_t first;              /* of its own in the transaction */
};

static bool is_there(const struct transaction *t, struct view address)
{
    for (size_t i = 0; i < t->rcpt_count; i++) {
        if (view_equal_nocase(t->rcpts[i].address, address))
            return true;
    }
    return false;
}

/* The address that the sender knows, where he did not say it himself. */
static bool name_original(struct arrival *arrival, struct envelope_rcpt *r)
{
    char room[ADDRESS_MAX + 16];
    struct buf text = BUF_ON_ARRAY(room);
    struct envelope_rcpt *asked = &arrival->rcpt;

    if (asked->original.len == 0 &&
        (!buf_printf(&text, "rfc822;%.*s", VIEW_ARG(asked->address)) ||
         !arena_copy(&arrival->session->transaction.arena, buf_view(&text), &asked->original)))
        return false;
    r->original = asked->original;
    return true;
}

/* RFC 3461, 5.2.7: an alias' one address gets what was asked for the alias; of several, the first
 * tells of success, so that one recipient brings one notice. */
static bool on_expanded(struct expansion *x, const struct address *a)
{
    struct arrival *arrival = container_of(x, struct arrival, expansion);
    struct transaction *t = &arrival->session->transaction;
    struct envelope_rcpt r = arrival->rcpt;

    r.address = address_said(a);
    if (x->aliased && is_there(t, r.address))
        return true;
    if (x->aliased && !name_original(arrival, &r))
        return false;
    if (x->aliased && t->rcpt_count > arrival->first && (r.notify & NOTIFY_SUCCESS) != 0) {
        r.notify &= ~(unsigned)NOTIFY_SUCCESS;
        if (r.notify == NOTIFY_UNSAID)
            r.notify = NOTIFY_NEVER;
    }
    return add_rcpt(arrival->session, &r);
}

static enum policy_verdict add_own(struct session *s, const struct address *to,
                                   const struct envelope_rcpt *rcpt)
{
    struct transaction *t = &s->transaction;
    struct arrival arrival = {
        .expansion = { .settings = s->rules->settings,
                       .has_mailbox = settings_has_mailbox,
                       .add = on_expanded },
        .session = s,
        .rcpt = *rcpt,
        .first = t->rcpt_count,
    };
    size_t bytes = t->rcpt_bytes;
    enum expand_result result = expand_rcpt(&arrival.expansion, to);

    if (result == EXPAND_DONE)
        return POLICY_LOCAL;
    t->rcpt_count = arrival.first;
    t->rcpt_bytes = bytes;
    if (result == EXPAND_TOO_MANY)
        return POLICY_TOO_MANY;
    return result == EXPAND_LOOP ? POLICY_LOOP : POLICY_UNKNOWN_MAILBOX;
}

/* Mail to those who can help is taken nevertheless. */
static bool is_blocked(const struct session *s, const struct address *to)
{
    return s->listed_at.len > 0 && !s->trusted &&
           !view_equal_nocase(to->local, VIEW("postmaster")) &&
           !view_equal_nocase(to->local, VIEW("abuse"));
}

static struct step refuse_listed(const struct session *s)
{
    static char words[ADDRESS_DOMAIN_MAX + NET_ADDRESS_TEXT_MAX + 64];

    (void)snprintf(words, sizeof(words), "Your address, %s, is listed at %.*s", s->client_text,
                   VIEW_ARG(s->listed_at));
    return step_refuse(s, 550, "5.7.1", words);
}

/* rcpt = "RCPT TO:" Forward-path [ SP Rcpt-parameters ] CRLF; RFC 5321, 4.1.1.3 */
struct step run_rcpt(struct session *s, struct view args)
{
    const struct policy_reply *reply;
    enum policy_verdict verdict;
    struct envelope_rcpt rcpt;
    struct address to;
    struct step step;
    struct param p;

    if (!view_take_nocase(&args, VIEW("TO:")))
        return step_refuse(s, 501, "5.5.4", "Syntax: RCPT TO:<address>");
    args = view_trim(args);
    if (!address_take_path(&args, false, &to) || (args.len > 0 && args.ptr[0] != ' ') ||
        address_is_null(&to))
        return step_refuse(s, 501, "5.1.3", "Bad recipient address");
    s->asked_rcpt = address_said(&to);
    if (is_blocked(s, &to))
        return refuse_listed(s);
    switch (params_take(&args, &p)) {
    case PARAMS_END:
        break;
    case PARAMS_NEXT: /* none is offered */
        return step_refuse(s, 555, "5.5.4", "Parameter not recognized");
    case PARAMS_MALFORMED:
        return step_refuse(s, 501, "5.5.4", "Malformed parameters");
    }
    rcpt = (struct envelope_rcpt){ .address = s->asked_rcpt };
    verdict = policy_rcpt(s->rules->settings, s->trusted, &to);
    if (policy_reply(verdict)->code < 400) {
        step = step_counted(s, RATE_RECIPIENTS);
        if (step.code != 0)
            return step;
    }
    if (verdict == POLICY_LOCAL)
        verdict = add_own(s, &to, &rcpt);
    else if (policy_reply(verdict)->code < 400 && !add_rcpt(s, &rcpt))
        verdict = POLICY_TOO_MANY;
    /* With a message of its own there may be room. */
    if (verdict == POLICY_TOO_MANY && s->transaction.rcpt_count > 0)
        return step_refuse(s, 452, "4.5.3", "Too many recipients");
    reply = policy_reply(verdict);
    if (reply->code >= 400)
        return step_refuse(s, reply->code, reply->enhanced, reply->text);
    return step_accept(SESSION_RCPT, reply->code, reply->enhanced, reply->text);
}
