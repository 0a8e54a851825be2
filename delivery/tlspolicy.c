#include "delivery/tlspolicy.h"

struct tls_policy tlspolicy_choose(struct tls_wish wish, const struct tls_memory *memory,
                                   uint64_t now_ms)
{
    struct tls_policy policy = { wish.level, wish.implicit, wish.onward, false };

    if (wish.onward)
        policy.level = ROUTE_TLS_VERIFY;
    else if (wish.level == ROUTE_TLS_OFFERED && !wish.implicit && now_ms < memory->broken_until_ms)
        policy.level = ROUTE_TLS_NONE;
    policy.verify = policy.level == ROUTE_TLS_VERIFY;
    return policy;
}

void tlspolicy_describe(struct tls_policy policy, const char *origin, const struct tls_facts *facts,
                        struct buf *out)
{
    size_t mark = buf_len(out);

    if (facts->text[0] == '\0' ||
        buf_printf(out, "%s%s, certificate %sverified, by %s%s%s%s", facts->text,
                   facts->resumed ? ", resumed" : "", facts->verified ? "" : "not ",
                   origin == NULL && !policy.onward ? "default " : "",
                   policy.onward ? "REQUIRETLS" : settings_tls_name(policy.level),
                   origin != NULL ? " at " : "", origin != NULL ? origin : ""))
        return;
    buf_truncate(out, mark);
    buf_put(out, view_of(facts->text)); /* a place with a very long name */
}

bool tlspolicy_needs_tls(struct tls_policy policy)
{
    return policy.level == ROUTE_TLS_ENCRYPT || policy.level == ROUTE_TLS_VERIFY;
}

bool tlspolicy_fall_back(struct tls_policy policy, struct tls_memory *memory, uint64_t now_ms)
{
    if (policy.level != ROUTE_TLS_OFFERED || policy.implicit)
        return false;
    memory->broken_until_ms = now_ms + TLSPOLICY_BROKEN_MS;
    return true;
}
