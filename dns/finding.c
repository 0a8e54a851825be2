#include "dns/finding.h"

void finding_explain(enum dns_result result, enum dns_question kind, struct view name,
                     const char *failure, struct buf *words)
{
    static const struct {
        const char *what, *none;
    } kinds[DNS_QUESTIONS] = {
        [DNS_ROUTE] = { "mail hosts", "neither mail hosts nor an address" },
        [DNS_ADDRESSES] = { "addresses", "no address" },
        [DNS_LISTED] = { "entry", "no entry" },
        [DNS_NAME] = { "name", "no name that leads back to it" },
    };
    const char *what = kinds[kind].what;

    switch (result) {
    case DNS_OK:
    case DNS_RESULTS:
        break;
    case DNS_NO_DOMAIN:
        buf_printf(words, "%.*s does not exist in the DNS", VIEW_ARG(name));
        break;
    case DNS_NO_HOSTS:
        buf_printf(words, "%.*s has %s in the DNS", VIEW_ARG(name), kinds[kind].none);
        break;
    case DNS_NULL_MX:
        buf_printf(words, "%.*s takes no mail (null MX)", VIEW_ARG(name));
        break;
    case DNS_TEMPORARY:
        buf_printf(words, "%s, looking up the %s of %.*s", failure != NULL ? failure : "no answer",
                   what, VIEW_ARG(name));
        break;
    case DNS_MALFORMED:
        buf_printf(words, "malformed answer, looking up the %s of %.*s", what, VIEW_ARG(name));
        break;
    }
}

uint64_t finding_limit_ttl(enum dns_result result, uint32_t ttl_s, const struct dns_settings *s)
{
    uint64_t ttl_ms = (uint64_t)ttl_s * 1000;

    switch (result) {
    case DNS_OK:
    case DNS_NULL_MX:
        return MIN(ttl_ms, s->ttl_most_ms);
    case DNS_NO_DOMAIN:
    case DNS_NO_HOSTS:
        return MIN(ttl_ms, s->negative_ttl_ms);
    case DNS_TEMPORARY:
    case DNS_MALFORMED:
        return FINDING_FAILURE_MS;
    case DNS_RESULTS:
        break;
    }
    return 0;
}
