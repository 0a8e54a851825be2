#include "mail/address.h"
#include "mail/params.h"
#include "smtpd/commands.h"
#include "smtpd/policy.h"

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

/* What "rcpt=local@domain" takes in an envelope; what is escaped there takes three bytes. */
static size_t encoded_bytes(struct view address)
{
    size_t bytes = sizeof("rcpt=\n") - 1;

    for (size_t i = 0; i < address.len; i++) {
        unsigned char c = (unsigned char)address.ptr[i];

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

static bool add_rcpt(struct session *s, const struct address *to)
{
    struct transaction *t = &s->transaction;
    struct view copy;

    if (t->rcpt_count >= s->rules->recipients || !has_room(t) ||
        !arena_copy(&t->arena, address_said(to), &copy) ||
        t->rcpt_bytes + encoded_bytes(copy) > SESSION_RCPTS_BYTES_MAX)
        return false;
    t->rcpts[t->rcpt_count++].address = copy;
    t->rcpt_bytes += encoded_bytes(copy);
    return true;
}

/* rcpt = "RCPT TO:" Forward-path [ SP Rcpt-parameters ] CRLF; RFC 5321, 4.1.1.3 */
struct step run_rcpt(struct session *s, struct view args)
{
    const struct policy_reply *reply;
    struct address to;
    struct param p;

    if (!view_take_nocase(&args, VIEW("TO:")))
        return step_refuse(s, 501, "5.5.4", "Syntax: RCPT TO:<address>");
    args = view_trim(args);
    if (!address_take_path(&args, false, &to) || (args.len > 0 && args.ptr[0] != ' ') ||
        address_is_null(&to))
        return step_refuse(s, 501, "5.1.3", "Bad recipient address");
    s->asked_rcpt = address_said(&to);
    switch (params_take(&args, &p)) {
    case PARAMS_END:
        break;
    case PARAMS_NEXT: /* none is offered */
        return step_refuse(s, 555, "5.5.4", "Parameter not recognized");
    case PARAMS_MALFORMED:
        return step_refuse(s, 501, "5.5.4", "Malformed parameters");
    }
    reply = policy_reply(policy_rcpt(s->rules->settings, s->trusted, &to));
    if (reply->code >= 400)
        return step_refuse(s, reply->code, reply->enhanced, reply->text);
    if (!add_rcpt(s, &to))
        return step_refuse(s, 452, "4.5.3", "Too many recipients");
    return step_accept(SESSION_RCPT, reply->code, reply->enhanced, reply->text);
}
