#include "smtpd/policy.h"

static const struct policy_reply replies[POLICY_VERDICTS] = {
    [POLICY_LOCAL] = { 250, "2.1.5", "Recipient ok" },
    [POLICY_RELAY_DOMAIN] = { 250, "2.1.5", "Recipient ok" },
    [POLICY_TRUSTED] = { 250, "2.1.5", "Recipient ok" },
    [POLICY_UNKNOWN_MAILBOX] = { 550, "5.1.1", "No such mailbox here" },
    [POLICY_LITERAL] = { 550, "5.1.2", "Address literals are not accepted here" },
    [POLICY_DENIED] = { 554, "5.7.1", "Relay access denied" },
};

bool policy_trusts(const struct settings *s, const struct listener_settings *l,
                   const struct net_address *client)
{
    return l->relay == LISTENER_RELAY_NETWORKS &&
           (network_list_has(&s->trust, client) || network_list_has(&l->trust, client));
}

static bool has_mailbox(const struct settings *s, const struct address *rcpt)
{
    char room[ADDRESS_MAX + 1];
    struct buf folder = BUF_ON_ARRAY(room);

    return settings_mailbox(s, rcpt, &folder);
}

enum policy_verdict policy_rcpt(const struct settings *s, bool trusted, const struct address *rcpt)
{
    const struct domain_settings *domain;

    if (rcpt->literal)
        return trusted ? POLICY_TRUSTED : POLICY_LITERAL;
    domain = settings_domain(s, rcpt->domain);
    /* Without a domain it is "postmaster", which is ours (RFC 5321, 4.5.1). */
    if (rcpt->domain.len == 0 || (domain != NULL && domain->deliver == DOMAIN_LOCAL))
        return has_mailbox(s, rcpt) ? POLICY_LOCAL : POLICY_UNKNOWN_MAILBOX;
    if (domain != NULL)
        return POLICY_RELAY_DOMAIN;
    return trusted ? POLICY_TRUSTED : POLICY_DENIED;
}

const struct policy_reply *policy_reply(enum policy_verdict v)
{
    return &replies[v];
}
