#include "delivery/tlspolicy.h"

struct tls_policy tlspolicy_choose(enum route_tls wanted, bool implicit,
                                   const struct tls_memory *memory, uint64_t now_ms)
{
    struct tls_policy policy = { wanted, wanted == ROUTE_TLS_REQUIRED };

    if (wanted == ROUTE_TLS_OFFERED && !implicit && now_ms < memory->broken_until_ms)
        policy.level = ROUTE_TLS_NONE;
    return policy;
}

bool tlspolicy_fall_back(struct tls_policy policy, bool implicit, struct tls_memory *memory,
                         uint64_t now_ms)
{
    if (policy.level != ROUTE_TLS_OFFERED || implicit)
        return false;
    memory->broken_until_ms = now_ms + TLSPOLICY_BROKEN_MS;
    return true;
}
