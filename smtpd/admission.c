#include "smtpd/admission.h"

#include "ipc/policy.h"
#include "smtpd/server.h"

static const struct {
    const char *reply, *reason;
} words[] = {
    [ADMITTED] = { "", "" },
    [REFUSED_TOTAL] = { "Too many connections here, try again later", "too many connections" },
    [REFUSED_LISTENER] = { "Too many connections here, try again later",
                           "too many connections of this listener" },
    [REFUSED_CLIENT] = { "Too many connections from your network, close some first",
                         "too many connections of this client" },
    [REFUSED_RATE] = { "Too many new connections from your network, try again later",
                       "too many new connections of this client" },
    [REFUSED_FAILURES] = { "Too much from your network was refused, try again later",
                           "too many failures of this client" },
};

static enum admission check_rates(struct server *s, const struct session_rules *rules,
                                  const struct net_address *client)
{
    const struct rates_owner who = { .at = rules->listener, .client = client };
    uint64_t now_ms = s->loop->now_ms;

    if (policy_trusts(s->settings, rules->listener, client))
        return ADMITTED;
    if (rates_look(&s->rates, RATE_FAILURES, &who, now_ms) != RATES_FINE)
        return REFUSED_FAILURES;
    return rates_take(&s->rates, RATE_CONNECTIONS, &who, now_ms) == RATES_FINE ? ADMITTED
                                                                               : REFUSED_RATE;
}

enum admission admission_take(struct server *s, const struct session_rules *rules,
                              const struct net_address *client)
{
    enum admission a;

    switch (limits_take(&s->limits, rules->listener, client)) {
    case LIMITS_FINE:
        break;
    case LIMITS_TOTAL:
        return REFUSED_TOTAL;
    case LIMITS_LISTENER:
        return REFUSED_LISTENER;
    case LIMITS_CLIENT:
        return REFUSED_CLIENT;
    }
    a = check_rates(s, rules, client);
    if (a != ADMITTED)
        limits_give(&s->limits, rules->listener, client);
    return a;
}

const char *admission_reply(enum admission a)
{
    return words[a].reply;
}

const char *admission_reason(enum admission a)
{
    return words[a].reason;
}
