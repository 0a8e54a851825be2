#include "ipc/policy.h"

static const struct policy_reply replies[POLICY_VERDICTS] = {
    [POLICY_LOCAL] = { 250, "2.1.5", "Recipient ok" },
    [POLICY_RELAY_DOMAIN] = { 250, "2.1.5", "Recipient ok" },
    [POLICY_TRUSTED] = { 250, "2.1.5", "Recipient ok" },
    [POLICY_UNKNOWN_MAILBOX] = { 550, "5.1.1", "No such mailbox here" },
    [POLICY_UNSURE] = { 451, "4.3.5", "This mailbox cannot be looked up now, try again later" },
    [POLICY_LOOP] = { 554, "5.4.6", "This address is an alias that leads back to itself" },
    [POLICY_TOO_MANY] = { 554, "5.5.3", "This address is an alias for too many recipients" },
    [POLICY_NO_ROOM] = { 452, "4.3.1", "Out of room for addresses" },
    [POLICY_LITERAL] = { 550, "5.1.2", "Address literals are not accepted here" },
    [POLICY_DENIED] = { 554, "5.7.1", "Relay access denied" },
};

bool policy_trusts(const struct settings *s, const struct listener_settings *l,
                   const struct net_address *client)
{
    return l->relay == LISTENER_RELAY_NETWORKS &&
           (network_list_has(&s->trust, client) || network_list_has(&l->trust, client));
}

enum policy_verdict policy_of(enum expand_result r)
{
    static const enum policy_verdict verdicts[] = {
        [EXPAND_DONE] = POLICY_LOCAL,        [EXPAND_UNKNOWN] = POLICY_UNKNOWN_MAILBOX,
        [EXPAND_UNSURE] = POLICY_UNSURE,     [EXPAND_LOOP] = POLICY_LOOP,
        [EXPAND_TOO_MANY] = POLICY_TOO_MANY,
    };

    return verdicts[r];
}

enum policy_verdict policy_rcpt(const struct settings *s, bool trusted, const struct address *rcpt)
{
    const struct expansion x = { .settings = s, .has_mailbox = settings_has_mailbox };
    const struct domain_settings *domain;

    if (rcpt->literal)
        return trusted ? POLICY_TRUSTED : POLICY_LITERAL;
    if (expand_is_ours(s, rcpt))
        return policy_of(expand_look(&x, rcpt));
    domain = settings_domain(s, rcpt->domain);
    if (domain != NULL)
        return POLICY_RELAY_DOMAIN;
    return trusted ? POLICY_TRUSTED : POLICY_DENIED;
}

const struct policy_reply *policy_reply(enum policy_verdict v)
{
    return &replies[v];
}
