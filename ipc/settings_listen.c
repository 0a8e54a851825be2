/* Listeners: where connections are accepted, and the roles that give them their defaults. */
#include "common/attrs.h"
#include "ipc/settings.h"
#include "ipc/settings_rows.h"

#include <string.h>

enum { SUBMISSIONS_PORT = 465 }; /* RFC 8314, 3.3: TLS from the first byte */

static const char *const role_words[] = { "mx", "submission", "trusted", NULL };
static const char *const tls_words[] = { "offered", "none", "implicit", "required", NULL };
static const char *const auth_words[] = { "tls", "plain", "none", NULL };
static const char *const relay_words[] = { "networks", "logins", NULL };

static void read_name(struct config *c, struct config_node *n, void *section);
static void read_address(struct config *c, struct config_node *n, void *section);
static void read_trust(struct config *c, struct config_node *n, void *section);
static void read_proxy(struct config *c, struct config_node *n, void *section);
static void read_xclient(struct config *c, struct config_node *n, void *section);
static void read_extensions(struct config *c, struct config_node *n, void *section);
static void read_limits(struct config *c, struct config_node *n, void *section);
static void read_rates(struct config *c, struct config_node *n, void *section);
static void read_manners(struct config *c, struct config_node *n, void *section);
static void read_timeouts(struct config *c, struct config_node *n, void *section);
static void read_tries(struct config *c, struct config_node *n, void *section);

/* clang-format off */
static const struct config_item items[] = {
    CHOICE("role", struct listener_settings, role, role_words, "mx",
           "what it is for; each role has defaults of its own for the settings below"),
    READ("address", read_address, true, NULL,
         "address and port to listen on; \"*\" is every address"),
    READ("name", read_name, false, NULL,
         "what logs, the queue and rules call it, instead of by its address and port"),
    CHOICE("tls", struct listener_settings, tls, tls_words, "offered",
           "offered: STARTTLS when there is a certificate; required: and no mail without; implicit: TLS from the first byte"),
    CHOICE("auth", struct listener_settings, auth, auth_words, "tls",
           "tls: clients may log in under TLS; plain: also without, its network is trusted; none"),
    CHOICE("relay", struct listener_settings, relay, relay_words, "networks",
           "who may send to any domain: networks that are trusted, and logins; or logins alone"),
    READ("trust", read_trust, false, NULL,
         "networks that may relay through this listener, beside those of trust above"),
    VALUE("strangers", BOOL, struct listener_settings, strangers, "yes",
          "take mail for the domains here from clients that may not relay"),
    VALUE("hide-client", BOOL, struct listener_settings, hide_client, "no",
          "leave the client's name and address out of the Received field"),
    VALUE("hostname", HOST, struct listener_settings, hostname, NULL,
          "the name that it greets with, instead of the one above"),
    VALUE("domain", HOST, struct listener_settings, domain, NULL,
          "with role submission: what is added to addresses without a domain, instead of the hostname"),
    VALUE("banner", TEXT, struct listener_settings, banner, "ESMTP Tern",
          "what follows that name in the greeting"),
    READ("limits", read_limits, false, NULL,
         "limits here instead of those of all: message-size, recipients, hops, connections, connections-per-client, errors"),
    READ("rates", read_rates, false, NULL,
         "rates here instead of those of all, without the prefixes of networks"),
    READ("manners", read_manners, false, NULL,
         "how strangers are met here instead of as elsewhere: greet-delay, slow-after, slow-by, content-rate"),
    READ("timeouts", read_timeouts, false, NULL,
         "patience here instead of that with all: command, content, message, session, handshake"),
    READ("tries", read_tries, false, NULL,
         "logins that may fail here instead of as elsewhere: tries-per-client, tries-per-login, tries-time"),
    READ("proxy", read_proxy, false, NULL,
         "networks of proxies that begin each connection with a header of the PROXY protocol"),
    READ("xclient", read_xclient, false, NULL,
         "networks of proxies that may say with XCLIENT who their client is"),
    READ("extensions", read_extensions, false, "{}",
         "SMTP extensions that are not offered here, { dsn: no }; without role submission also futurerelease"),
};

/* What the roles change in the defaults of these rows; NULL: nothing. */
static const struct {
    const char *row, *submission, *trusted;
} presets[] = {
    { "tls",         "required", NULL },
    { "relay",       "logins",   NULL },
    { "strangers",   "no",       "no" },
    { "hide-client", "yes",      NULL },
};
/* clang-format on */

const struct settings_table settings_listen = { "listen", items, COUNT_OF(items) };

static void read_extensions(struct config *c, struct config_node *n, void *section)
{
    settings_read_own_extensions(c, n, section);
}

static void read_limits(struct config *c, struct config_node *n, void *section)
{
    settings_read_own(c, n, "limits", "errors", &((struct listener_settings *)section)->limits);
}

static void read_rates(struct config *c, struct config_node *n, void *section)
{
    settings_read_own(c, n, "rates", "login-surplus",
                      &((struct listener_settings *)section)->rates);
}

static void read_manners(struct config *c, struct config_node *n, void *section)
{
    settings_read_own(c, n, "strangers", "content-rate",
                      &((struct listener_settings *)section)->manners);
}

static void read_timeouts(struct config *c, struct config_node *n, void *section)
{
    settings_read_own(c, n, "timeouts", "handshake",
                      &((struct listener_settings *)section)->timeouts);
}

static void read_tries(struct config *c, struct config_node *n, void *section)
{
    settings_read_own(c, n, "auth", "tries-time", &((struct listener_settings *)section)->tries);
}

static void read_trust(struct config *c, struct config_node *n, void *section)
{
    settings_networks(c, n, &((struct listener_settings *)section)->trust);
}

static void read_proxy(struct config *c, struct config_node *n, void *section)
{
    settings_networks(c, n, &((struct listener_settings *)section)->proxy);
}

static void read_xclient(struct config *c, struct config_node *n, void *section)
{
    settings_networks(c, n, &((struct listener_settings *)section)->xclient);
}

/* Also a listener's name, until it has a better one. */
static void read_address(struct config *c, struct config_node *n, void *section)
{
    struct listener_settings *l = section;
    struct view text;

    l->origin = config_origin(c, n);
    if (config_scalar(n, &text) && net_parse_address_port(text, &l->address)) {
        l->name = text;
        return;
    }
    l->address.family = 0;
    config_report(c, n,
                  "expected an address and a port: \"*:25\", 192.0.2.1:25 or "
                  "\"[2001:db8::1]:25\"");
}

static void read_name(struct config *c, struct config_node *n, void *section)
{
    struct view text;

    if (config_scalar(n, &text) && settings_is_name(text))
        ((struct listener_settings *)section)->name = text;
    else
        config_report(c, n, "expected a name of a-z A-Z 0-9 . _ -, at most %d of them",
                      SETTINGS_NAME_MAX);
}

/* NULL: the role leaves the row's default. */
static const char *find_preset(unsigned role, const char *row)
{
    for (size_t i = 0; i < COUNT_OF(presets); i++) {
        if (strcmp(presets[i].row, row) == 0)
            return role == LISTENER_SUBMISSION ? presets[i].submission
                   : role == LISTENER_TRUSTED  ? presets[i].trusted
                                               : NULL;
    }
    return NULL;
}

static unsigned find_role(struct config_node *n)
{
    struct view text;

    for (unsigned i = 0; config_scalar(config_find(n, "role"), &text) && role_words[i] != NULL;
         i++) {
        if (view_equal_nocase(text, view_of(role_words[i])))
            return i;
    }
    return LISTENER_MX;
}

static bool is_submissions(struct config_node *n)
{
    struct net_address a;
    struct view text;

    return config_scalar(config_find(n, "address"), &text) && net_parse_address_port(text, &a) &&
           a.port == SUBMISSIONS_PORT;
}

/* The table of items as the listener's role changes it. */
static void read_listener(struct config *c, struct config_node *n, const struct settings *s,
                          struct listener_settings *l)
{
    struct config_item own[COUNT_OF(items)];
    unsigned role = find_role(n);

    memcpy(own, items, sizeof(items));
    for (size_t i = 0; i < COUNT_OF(own); i++) {
        const char *preset = find_preset(role, own[i].name);

        if (preset != NULL)
            own[i].fallback = preset;
        if (role == LISTENER_SUBMISSION && strcmp(own[i].name, "tls") == 0 && is_submissions(n))
            own[i].fallback = "implicit";
    }
    l->limits = s->limits;
    l->rates = s->rates;
    l->manners = s->strangers;
    l->timeouts = s->timeouts;
    l->tries = s->auth.tries;
    config_section(c, n, own, COUNT_OF(own), l);
}

/* Stands behind the sections that a listener's own begin with. */
void settings_read_listeners(struct config *c, struct config_node *n, void *section)
{
    struct settings *s = section;

    s->listeners = config_alloc(c, MAX(config_count(n), 1), sizeof(*s->listeners));
    if (!config_is_list(n)) {
        config_report(c, n, "expected a list: each element begins with \"- \"");
        return;
    }
    s->listener_count = config_count(n);
    for (size_t i = 0; i < s->listener_count; i++)
        read_listener(c, config_at(n, i), s, &s->listeners[i]);
    if (s->listener_count == 0)
        config_report(c, n, "at least one listener is needed");
}
