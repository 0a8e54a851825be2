#include "mail/address.h"
#include "smtpd/parameters.h"

/* size-value = 1*20DIGIT; RFC 1870, 6.1 */
static struct step take_size(struct session *s, struct view value)
{
    uint64_t size;

    if (value.len > 20 || !view_to_u64(value, UINT64_MAX, &size))
        return step_refuse(s, 501, "5.5.4", "Bad SIZE value");
    if (size > s->rules->listener->limits.message_bytes)
        return step_refuse(s, 552, "5.3.4", "Message too large");
    if (size > s->rules->spool->room_bytes)
        return step_trouble(s->state, SPOOL_FULL);
    return step_accept(SESSION_MAIL, 0, NULL, NULL);
}

/* body-value = "7BIT" / "8BITMIME"; RFC 6152, 2 */
static struct step take_body(struct session *s, struct view value)
{
    bool *high = &s->transaction.said.body_8bit;

    *high = view_equal_nocase(value, VIEW("8BITMIME"));
    if (!*high && !view_equal_nocase(value, VIEW("7BIT")))
        return step_refuse(s, 501, "5.5.4", "Bad BODY value");
    return step_accept(SESSION_MAIL, 0, NULL, NULL);
}

/* A keyword alone. */
static struct step take_flag(const struct session *s, struct view value, bool *flag)
{
    *flag = value.len == 0;
    return *flag ? step_accept(s->state, 0, NULL, NULL)
                 : step_refuse(s, 501, "5.5.4", "This parameter has no value");
}

/* RFC 6531, 3.4 */
static struct step take_smtputf8(struct session *s, struct view value)
{
    return take_flag(s, value, &s->transaction.said.utf8);
}

/* RFC 8689, 2 */
static struct step take_requiretls(struct session *s, struct view value)
{
    return take_flag(s, value, &s->transaction.said.require_tls);
}

/* clang-format off */
static const struct parameter parameters[] = {
    { VIEW_INIT("SIZE"),       take_size,           EXTENSION_NONE },
    { VIEW_INIT("BODY"),       take_body,           EXTENSION_NONE },
    { VIEW_INIT("AUTH"),       take_auth_parameter, EXTENSION_NONE },
    { VIEW_INIT("RET"),        take_ret,            EXTENSION_DSN },
    { VIEW_INIT("ENVID"),      take_envid,          EXTENSION_DSN },
    { VIEW_INIT("SMTPUTF8"),   take_smtputf8,       EXTENSION_SMTPUTF8 },
    { VIEW_INIT("REQUIRETLS"), take_requiretls,     EXTENSION_REQUIRETLS },
    { VIEW_INIT("BY"),         take_by,             EXTENSION_DELIVERBY },
    { VIEW_INIT("HOLDFOR"),    take_holdfor,        EXTENSION_FUTURERELEASE },
    { VIEW_INIT("HOLDUNTIL"),  take_holduntil,      EXTENSION_FUTURERELEASE },
    { VIEW_INIT("MT-PRIORITY"), take_priority,      EXTENSION_MT_PRIORITY },
};
/* clang-format on */

/* What the listener asks of its clients before any mail; code 0: nothing is missing. */
static struct step check_client(const struct session *s)
{
    const struct listener_settings *l = s->rules->listener;

    if (l->tls == LISTENER_TLS_REQUIRED && s->tls[0] == '\0')
        return step_refuse(s, 530, "5.7.0", "Say STARTTLS first"); /* RFC 3207, 4 */
    if (!l->strangers && !s->trusted && auth_configured(s) && auth_away(s))
        return step_refuse(s, 454, "4.7.0", "Logins cannot be checked now, try again later");
    if (!l->strangers && !s->trusted && auth_offered(s))
        return step_refuse(s, 530, "5.7.0", "Authentication required"); /* RFC 4954, 6 */
    if (!l->strangers && !s->trusted)
        return step_refuse(s, 550, "5.7.1", "This port takes mail only from those who may relay");
    return step_accept(s->state, 0, NULL, NULL);
}

/* A login sends only from addresses that belong to it. The null reverse-path is nobody's: receipts
 * are sent from it (RFC 8098, 3). */
static bool is_of_another(const struct session *s, const struct address *from)
{
    return s->login != NULL && !address_is_null(from) &&
           !settings_login_owns(s->rules->settings, view_of(s->login), from);
}

/* mail = "MAIL FROM:" Reverse-path [ SP Mail-parameters ] CRLF; RFC 5321, 4.1.1.2.
 * A blank before the path is against the grammar, but too common to refuse. */
struct step run_mail(struct session *s, struct view args)
{
    const struct rule *rule;
    struct address from;
    struct step step, counted;

    if (!view_take_nocase(&args, VIEW("FROM:")))
        return step_refuse(s, 501, "5.5.4", "Syntax: MAIL FROM:<address>");
    args = view_trim(args);
    submission_qualify(s, &args);
    if (!address_take_path(&args, extension_on(s, EXTENSION_SMTPUTF8), &from) ||
        (args.len > 0 && args.ptr[0] != ' ') || (from.domain.len == 0 && !address_is_null(&from)))
        return step_refuse(s, 501, "5.1.7", "Bad sender address");
    s->asked_sender = address_said(&from);
    step = check_client(s);
    if (step.code != 0)
        return step;
    if (is_of_another(s, &from))
        return step_refuse(s, 553, "5.7.1", "This sender address does not belong to your login");
    if (s->rules->spool->trouble != SPOOL_FINE)
        return step_trouble(s->state, s->rules->spool->trouble);
    rule = screen_session(s, RULE_AT_MAIL, s->asked_sender);
    if (rule != NULL)
        return step_rule(s, rule);
    step = parameters_take(s, parameters, COUNT_OF(parameters), args);
    if (step.code != 0)
        return step;
    if (from.utf8 && !s->transaction.said.utf8)
        return step_refuse(s, 553, "5.6.7",
                           "This sender address needs SMTPUTF8"); /* RFC 6531, 3.5 */
    counted = step_counted(s, RATE_MESSAGES);
    if (counted.code != 0)
        return counted;
    if (addresses_short(s) || !transaction_begin(s, &from))
        return step_refuse(s, 452, "4.3.1", "Out of room for addresses");
    return step_accept(SESSION_MAIL, 250, "2.1.0", "Sender ok");
}
