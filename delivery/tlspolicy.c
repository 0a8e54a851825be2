#include "delivery/tlspolicy.h"

const struct tls_memory *tlspolicy_recall(const struct tls_memories *m,
                                          const struct net_address *address)
{
    for (size_t i = 0; i < TLSPOLICY_HOSTS_MAX; i++) {
        const struct tls_memory_of *h = &m->hosts[i];

        if (net_equal(&h->address, address) && h->address.port == address->port)
            return &h->memory;
    }
    return NULL;
}

struct tls_memory *tlspolicy_remember(struct tls_memories *m, const struct net_address *address)
{
    const struct tls_memory *known = tlspolicy_recall(m, address);
    struct tls_memory_of *h = &m->hosts[m->next % TLSPOLICY_HOSTS_MAX];

    if (known != NULL)
        return (struct tls_memory *)(uintptr_t)known;
    m->next++;
    *h = (struct tls_memory_of){ .address = *address };
    return &h->memory;
}

uint64_t tlspolicy_until_ms(const struct tls_memories *m)
{
    uint64_t until_ms = 0;

    for (size_t i = 0; i < TLSPOLICY_HOSTS_MAX; i++)
        until_ms = MAX(until_ms, m->hosts[i].memory.broken_until_ms);
    return until_ms;
}

/* clang-format off */
static const struct {
    bool tries, needs, verify, falls_back;
} levels[] = {
    /*                       tries  needs  verify falls back */
    [ROUTE_TLS_OFFERED] = { true,  false, false, true },
    [ROUTE_TLS_NONE]    = { false, false, false, false },
    [ROUTE_TLS_ENCRYPT] = { true,  true,  false, false },
    [ROUTE_TLS_VERIFY]  = { true,  true,  true,  false },
};
/* clang-format on */

/* REQUIRETLS comes before all else; then what is configured, as far as it is known to work. */
static enum route_tls find_level(struct tls_wish wish, bool broken)
{
    if (wish.onward)
        return ROUTE_TLS_VERIFY;
    return broken ? ROUTE_TLS_NONE : wish.level;
}

struct tls_policy tlspolicy_choose(struct tls_wish wish, const struct tls_memory *memory,
                                   uint64_t now_ms)
{
    bool broken = levels[wish.level].falls_back && !wish.implicit && !wish.onward &&
                  memory != NULL && now_ms < memory->broken_until_ms;
    enum route_tls level = find_level(wish, broken);

    return (struct tls_policy){ .level = level,
                                .implicit = wish.implicit,
                                .onward = wish.onward,
                                .tries = levels[level].tries,
                                .needs = levels[level].needs,
                                .verify = levels[level].verify,
                                .falls_back = levels[level].falls_back && !wish.implicit,
                                .broken = broken };
}

/* The facts, and with them what was wished and where. */
static void describe(struct view facts, struct tls_policy policy, const char *origin,
                     struct buf *out)
{
    enum route_tls wished = policy.broken ? ROUTE_TLS_OFFERED : policy.level;
    size_t mark = buf_len(out);

    if (buf_printf(out, "%.*s, by %s%s%s%s", VIEW_ARG(facts),
                   origin == NULL && !policy.onward ? "default " : "",
                   policy.onward ? "REQUIRETLS" : settings_tls_name(wished),
                   origin != NULL ? " at " : "", origin != NULL ? origin : ""))
        return;
    buf_truncate(out, mark);
    buf_put(out, facts); /* a place with a very long name */
}

void tlspolicy_describe(struct tls_policy policy, const char *origin, const struct tls_facts *facts,
                        struct buf *out)
{
    char room[TLSPOLICY_TEXT_MAX];
    struct buf text = BUF_ON_ARRAY(room);

    buf_printf(&text, "%s%s, certificate %sverified", facts->text,
               facts->resumed ? ", resumed" : "", facts->verified ? "" : "not ");
    describe(buf_view(&text), policy, origin, out);
}

static struct view facts_of_lack(struct tls_policy policy, enum tls_lack lack)
{
    if (lack == TLS_FAILED)
        return VIEW("TLS failed");
    if (policy.broken)
        return VIEW("plain text (STARTTLS failed before)");
    if (policy.level == ROUTE_TLS_NONE)
        return VIEW("plain text");
    return lack == TLS_REFUSED ? VIEW("plain text (STARTTLS is refused)")
                               : VIEW("plain text (STARTTLS is not offered)");
}

void tlspolicy_describe_lack(struct tls_policy policy, const char *origin, enum tls_lack lack,
                             struct buf *out)
{
    describe(facts_of_lack(policy, lack), policy, origin, out);
}

bool tlspolicy_fall_back(struct tls_policy policy, struct tls_memory *memory, uint64_t now_ms)
{
    if (!policy.falls_back)
        return false;
    memory->broken_until_ms = now_ms + TLSPOLICY_BROKEN_MS;
    return true;
}
