/* Rates: how often clients, networks and logins may do things. */
#include "common/attrs.h"
#include "ipc/settings_rows.h"

static const char *const surplus_words[] = { "refuse", "hold", NULL };

#define RATE(key, of, value, text)                                                                 \
    {                                                                                              \
        .name = key, .type = CONFIG_RATE, PLACE(struct rates_settings, of), .fallback = value,     \
        .summary = text                                                                            \
    }
#define BITS(key, field, low, high, value, text)                                                   \
    NUMBER(key, COUNT, struct rates_settings, field, low, high, value, text)
/* clang-format off */
static const struct config_item items[] = {
    RATE("client-connections",  client[RATE_CONNECTIONS],  "200/1m",   "connections of one client"),
    RATE("client-messages",     client[RATE_MESSAGES],     "500/1m",   "messages from one client"),
    RATE("client-recipients",   client[RATE_RECIPIENTS],   "2000/1m",  "recipients of those"),
    RATE("client-failures",     client[RATE_FAILURES],     "100/10m",  "refusals for good (5xx) that one client gets"),
    RATE("network-connections", network[RATE_CONNECTIONS], "2000/1m",  "connections of one network"),
    RATE("network-messages",    network[RATE_MESSAGES],    "5000/1m",  "messages from one network"),
    RATE("network-recipients",  network[RATE_RECIPIENTS],  "20000/1m", "recipients of those"),
    RATE("network-failures",    network[RATE_FAILURES],    "1000/10m", "refusals for good that one network gets"),
    RATE("login-connections",   login[RATE_CONNECTIONS],   "2000/1h",  "connections that log in as one login"),
    RATE("login-messages",      login[RATE_MESSAGES],      "1000/1h",  "messages of one login"),
    RATE("login-recipients",    login[RATE_RECIPIENTS],    "5000/1h",  "recipients of those"),
    RATE("login-failures",      login[RATE_FAILURES],      "500/1h",   "refusals for good that one login gets"),
    CHOICE("login-surplus", struct rates_settings, login_surplus, surplus_words, "refuse",
           "what a login sends beyond those; hold: accepted, and held for an administrator to look at"),
    BITS("network-prefix-ipv4", network_prefix4, 8, 32,   "24", "bits of an IPv4 address that make a network"),
    BITS("network-prefix-ipv6", network_prefix6, 16, 128, "48", "bits of an IPv6 address that make a network"),
};
/* clang-format on */

const struct settings_table settings_rates = { "rates", items, COUNT_OF(items) };

void settings_read_rates(struct config *c, struct config_node *n, void *section)
{
    config_section(c, n, items, COUNT_OF(items), &((struct settings *)section)->rates);
}
