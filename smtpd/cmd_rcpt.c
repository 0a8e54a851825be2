#include "mail/address.h"
#include "mail/params.h"
#include "smtpd/commands.h"
#include "smtpd/policy.h"

enum { FIRST_RCPTS = 4 };

/* "local@domain", kept for the message. */
static bool keep_address(struct session *s, const struct address *a, struct view *copy)
{
    char room[ADDRESS_MAX + 1];
    struct buf text = BUF_ON_ARRAY(room);

    return address_print(a, &text) && arena_copy(&s->transaction.arena, buf_view(&text), copy);
}

bool transaction_begin(struct session *s, const struct address *from)
{
    return keep_address(s, from, &s->transaction.sender);
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

    if (t->rcpt_count >= s->rules->settings->limits.recipients || !has_room(t) ||
        !keep_address(s, to, &copy) ||
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
    struct view path;

    if (!view_take_nocase(&args, VIEW("TO:")))
        return step_refuse(s, 501, "5.5.4", "Syntax: RCPT TO:<address>");
    args = view_trim(args);
    path = args;
    if (!address_take_path(&args, false, &to) || (args.len > 0 && args.ptr[0] != ' ') ||
        address_is_null(&to))
        return step_refuse(s, 501, "5.1.3", "Bad recipient address");
    s->asked_rcpt = view_sub(path, 0, path.len - args.len);
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
