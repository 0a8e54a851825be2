#include "common/text.h"
#include "ipc/expand.h"
#include "ipc/policy.h"
#include "mail/address.h"
#include "smtpd/parameters.h"

#include <stdio.h>

struct view address_said(const struct address *a)
{
    size_t domain_len = a->domain.len > 0 ? a->domain.len + 1 : 0;

    return view_make(a->local.ptr, a->local.len + domain_len);
}

bool transaction_begin(struct session *s, const struct address *from)
{
    return arena_copy(&s->transaction.arena, address_said(from), &s->transaction.sender);
}

static enum policy_verdict verdict_of(enum recipients_answer answer, enum policy_verdict fine)
{
    static const enum policy_verdict bad[] = {
        [RECIPIENTS_TOO_MANY] = POLICY_TOO_MANY, [RECIPIENTS_NO_ROOM] = POLICY_NO_ROOM
    };

    return answer == RECIPIENTS_TAKEN ? fine : bad[answer];
}

/* A recipient of ours on the way to its mailboxes and to addresses elsewhere. */
struct arrival {
    struct expansion expansion;
    struct session *session;
    struct envelope_rcpt rcpt; /* as it was asked for */
    enum recipients_answer answer;
};

/* The address that the sender knows, where he did not say it himself. */
static bool name_original(struct arrival *arrival, struct envelope_rcpt *r)
{
    char room[ADDRESS_MAX + 16];
    struct buf text = BUF_ON_ARRAY(room);
    struct envelope_rcpt *asked = &arrival->rcpt;

    if (asked->original.len == 0 &&
        (!buf_printf(&text, text_is_ascii(asked->address) ? "rfc822;%.*s" : "utf-8;%.*s",
                     VIEW_ARG(asked->address)) ||
         !arena_copy(&arrival->session->transaction.arena, buf_view(&text), &asked->original)))
        return false;
    r->original = asked->original;
    return true;
}

static bool on_expanded(struct expansion *x, const struct address *a)
{
    struct arrival *arrival = container_of(x, struct arrival, expansion);
    struct envelope_rcpt r = arrival->rcpt;

    r.address = address_said(a);
    if (x->aliased && !name_original(arrival, &r))
        arrival->answer = RECIPIENTS_NO_ROOM;
    else
        arrival->answer = recipients_add(&arrival->session->transaction, &r,
                                         arrival->session->rules->listener->limits.recipients);
    return arrival->answer == RECIPIENTS_TAKEN;
}

/* RFC 3461, 5.2.7: an alias' one address gets what was asked for the alias; of several none tells
 * of success, and the queue tells that there are several. */
static void tell_of_several(struct recipients *to, size_t first)
{
    if (to->count - first < 2 || (to->all[first].notify & NOTIFY_SUCCESS) == 0)
        return;
    for (size_t i = first; i < to->count; i++) {
        unsigned *notify = &to->all[i].notify;

        *notify &= ~(unsigned)NOTIFY_SUCCESS;
        if (*notify == NOTIFY_UNSAID)
            *notify = NOTIFY_NEVER;
    }
    to->all[first].notify |= NOTIFY_EXPANDED;
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
    };
    size_t first = t->to.count;
    enum expand_result result = expand_rcpt(&arrival.expansion, to);

    if (result == EXPAND_DONE)
        tell_of_several(&t->to, first);
    return verdict_of(arrival.answer, policy_of(result));
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
    return s->listed_surely ? step_refuse(s, 550, "5.7.1", words)
                            : step_refuse(s, 450, "4.7.1", words);
}

static const struct parameter parameters[] = {
    { VIEW_INIT("NOTIFY"), take_notify, EXTENSION_DSN },
    { VIEW_INIT("ORCPT"), take_orcpt, EXTENSION_DSN },
};

/* What the rules say to it; code 0: it is to be added. What is discarded is not. */
static struct step screen(struct session *s, struct screen_found *found)
{
    const struct rule *rule;
    enum rule_act act;

    screen_rcpt(s, s->asked_rcpt, found);
    rule = found->decides;
    act = rule != NULL ? rule->decision->act : RULE_ACCEPT;

    if (act == RULE_REFUSE || act == RULE_DEFER)
        return step_rule(s, rule);
    if (act != RULE_DISCARD)
        return step_accept(s->state, 0, NULL, NULL);
    s->transaction.screen.discarded = rule;
    screen_tell_discarded(s, rule, s->asked_rcpt);
    return step_accept(SESSION_RCPT, 250, "2.1.5", "Recipient ok");
}

/* Whether the limits of those rules allow one more; code 0: they do. */
static struct step charge(struct session *s, const struct screen_found *found)
{
    bool room;
    const struct charge *refusal = screen_charge_rcpt(s, s->asked_rcpt, found, &room);

    if (!room)
        return step_refuse(s, 452, "4.5.3", "Too many recipients");
    return refusal != NULL ? step_charged(s, refusal) : step_accept(s->state, 0, NULL, NULL);
}

static enum policy_verdict add(struct session *s, const struct address *to,
                               enum policy_verdict verdict, const struct envelope_rcpt *rcpt,
                               const struct screen_found *found)
{
    struct transaction *t = &s->transaction;
    size_t first = t->to.count;

    if (verdict == POLICY_LOCAL)
        verdict = add_own(s, to, rcpt);
    else
        verdict =
            verdict_of(recipients_add(t, rcpt, s->rules->listener->limits.recipients), verdict);
    if (policy_reply(verdict)->code >= 400)
        return verdict;
    if (!screen_keep_rcpt(s, rcpt->address, first, found))
        return POLICY_NO_ROOM;
    charges_take(s);
    return verdict;
}

/* rcpt = "RCPT TO:" Forward-path [ SP Rcpt-parameters ] CRLF; RFC 5321, 4.1.1.3 */
static struct step hear_rcpt(struct session *s, struct view args)
{
    const struct policy_reply *reply;
    enum policy_verdict verdict;
    struct screen_found found;
    struct envelope_rcpt *rcpt = &s->transaction.rcpt;
    struct address to;
    struct step step;
    bool others;

    if (!view_take_nocase(&args, VIEW("TO:")))
        return step_refuse(s, 501, "5.5.4", "Syntax: RCPT TO:<address>");
    args = view_trim(args);
    if (!view_starts_nocase(args, VIEW("<postmaster>"))) /* is whole as it is */
        submission_qualify(s, &args);
    if (!address_take_path(&args, extension_on(s, EXTENSION_SMTPUTF8), &to) ||
        (args.len > 0 && args.ptr[0] != ' ') || address_is_null(&to))
        return step_refuse(s, 501, "5.1.3", "Bad recipient address");
    s->asked_rcpt = address_said(&to);
    if (is_blocked(s, &to))
        return refuse_listed(s);
    if (to.utf8 && !s->transaction.said.utf8)
        return step_refuse(s, 553, "5.6.7", "This recipient address needs SMTPUTF8");
    *rcpt = (struct envelope_rcpt){ .address = s->asked_rcpt };
    step = parameters_take(s, parameters, COUNT_OF(parameters), args);
    if (step.code != 0)
        return step;
    if (addresses_short(s))
        return step_refuse(s, 452, "4.3.1", "Out of room for addresses");
    others = s->transaction.to.count > 0;
    verdict = policy_rcpt(s->rules->settings, s->trusted, &to);
    if (policy_reply(verdict)->code < 400) {
        step = screen(s, &found);
        if (step.code == 0)
            step = charge(s, &found);
        if (step.code == 0)
            step = step_counted(s, RATE_RECIPIENTS);
        if (step.code != 0)
            return step;
        verdict = add(s, &to, verdict, rcpt, &found);
    }
    /* With a message of its own there may be room. */
    if (verdict == POLICY_TOO_MANY && others)
        return step_refuse(s, 452, "4.5.3", "Too many recipients");
    reply = policy_reply(verdict);
    if (reply->code >= 400)
        return step_refuse(s, reply->code, reply->enhanced, reply->text);
    return step_accept(SESSION_RCPT, reply->code, reply->enhanced, reply->text);
}

/* What is refused, or was there, leaves nothing behind, and so no number of them takes the room of
 * the others. */
struct step run_rcpt(struct session *s, struct view args)
{
    struct recipients_mark mark;
    struct step step;

    if (screen_sets_apart(s))
        recipients_set_apart(&s->transaction);
    recipients_mark(&s->transaction, &mark);
    step = hear_rcpt(s, args);
    if (step.code >= 400)
        recipients_return(&s->transaction, &mark);
    else if (step.wish == WISH_NOTHING)
        recipients_settle(&s->transaction, &mark);
    return step;
}
