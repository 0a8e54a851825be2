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
