#include "ipc/settings_check.h"

#include "ipc/settings_routes.h"

#include <string.h>

static struct config_node *find_item(struct config *c, const char *section, const char *name)
{
    struct config_node *n = config_find(config_root(c), section);
    struct config_node *item = name == NULL ? NULL : config_find(n, name);

    return item != NULL ? item : n != NULL ? n : config_root(c);
}

static bool is_given(struct config *c, const char *section, const char *name)
{
    return config_find(config_find(config_root(c), section), name) != NULL;
}

/* The i-th element of a list at the top level, or an item of it; for defaults the root. */
static struct config_node *find_element(struct config *c, const char *section, size_t i,
                                        const char *name)
{
    struct config_node *list = config_find(config_root(c), section);
    struct config_node *item;

    if (!config_is_list(list) || i >= config_count(list))
        return config_root(c);
    item = config_find(config_at(list, i), name);
    return item != NULL ? item : config_at(list, i);
}

static void check_tls(struct config *c, const struct settings *s)
{
    bool certificate = is_given(c, "tls", "certificate");
    bool key = is_given(c, "tls", "key");

    if (certificate != key)
        config_report(c, find_item(c, "tls", certificate ? "certificate" : "key"),
                      "%s is given without %s", certificate ? "certificate" : "key",
                      certificate ? "key" : "certificate");
    if (s->tls.more_count > 0 && !certificate)
        config_report(c, find_item(c, "tls", "certificates"),
                      "there are more certificates, but not the first: tls.certificate");
    for (size_t i = 0; i < s->listener_count && !certificate; i++) {
        if (s->listeners[i].tls == LISTENER_TLS_IMPLICIT)
            config_report(c, find_element(c, "listen", i, "tls"),
                          "implicit TLS needs tls.certificate and tls.key");
        if (s->listeners[i].tls == LISTENER_TLS_REQUIRED)
            config_report(c, find_element(c, "listen", i, "tls"),
                          "TLS is required here, which needs tls.certificate and tls.key");
    }
}

static bool is_wildcard(const struct net_address *a)
{
    static const struct net_address any;

    return memcmp(a->bytes, any.bytes, sizeof(a->bytes)) == 0;
}

static bool listeners_clash(const struct net_address *a, const struct net_address *b)
{
    if (a->port != b->port || a->port == 0 || a->family == 0 || b->family == 0)
        return false;
    return net_equal(a, b) || is_wildcard(a) || is_wildcard(b);
}

/* One without an address has neither place nor name, which was told. */
static void check_listener(struct config *c, const struct settings *s, size_t i)
{
    const struct listener_settings *l = &s->listeners[i];

    if (l->limits.connections > s->limits.connections)
        config_report(c, find_element(c, "listen", i, "limits"),
                      "a listener cannot have more connections than all of them: "
                      "limits.connections");
    for (size_t j = 0; j < i; j++) {
        const struct listener_settings *other = &s->listeners[j];

        if (listeners_clash(&l->address, &other->address))
            config_report(c, find_element(c, "listen", i, "address"),
                          "the listener at %s has this address and port already", other->origin);
        else if (l->name.len > 0 && view_equal_nocase(l->name, other->name))
            config_report(c, find_element(c, "listen", i, "name"),
                          "the listener at %s has this name already", other->origin);
        else
            continue;
        return;
    }
}

/* Where logins alone may relay, somebody must be able to log in. */
static void check_logins(struct config *c, const struct settings *s)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        const struct listener_settings *l = &s->listeners[i];

        if (l->relay == LISTENER_RELAY_LOGINS && l->xclient.count == 0 &&
            (l->auth == LISTENER_AUTH_NONE ||
             (!settings_has_logins(s) && s->auth.certificate_count == 0)))
            config_warn(c, find_element(c, "listen", i, "address"),
                        "nobody can log in here: give auth.users, auth.dovecot or "
                        "auth.certificates");
    }
}

/* Where logins alone may relay, no network is looked at. */
static void check_trust(struct config *c, const struct settings *s)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        const struct listener_settings *l = &s->listeners[i];

        if (l->relay == LISTENER_RELAY_LOGINS && l->trust.count > 0)
            config_warn(c, find_element(c, "listen", i, "trust"),
                        "trust does nothing where logins alone may relay: leave it out, or give "
                        "relay: networks");
    }
}

static void check_domains(struct config *c, const struct settings *s)
{
    for (size_t i = 0; i < s->domain_count; i++) {
        if (s->domain_list[i]->deliver != DOMAIN_LOCAL || is_given(c, "maildir", "root"))
            continue;
        config_report(c, find_item(c, "domains", NULL),
                      "%.*s is delivered to mailboxes, but maildir.root is not set",
                      VIEW_ARG(s->domain_list[i]->name));
        return;
    }
}

static void check_numbers(struct config *c, const struct settings *s)
{
    const struct spool_settings *spool = &s->spool;

    if (s->retry.longest_ms < s->retry.first_ms)
        config_report(c, find_item(c, "retry", "longest"), "longest is shorter than first");
    if ((spool->segment_bytes & (spool->segment_bytes - 1)) != 0)
        config_report(c, find_item(c, "spool", "segment"), "segment must be a power of two");
    if (spool->big_body_bytes > spool->segment_bytes / 2)
        config_report(c, find_item(c, "spool", "big-body"),
                      "big-body must be at most half of segment");
}

static void check_control(struct config *c, const struct settings *s)
{
    if (s->control.len > NET_PATH_MAX)
        config_report(c, config_find(config_root(c), "control"),
                      "the path of a socket has at most %d bytes", NET_PATH_MAX);
}

void settings_check(struct config *c, const struct settings *s)
{
    check_control(c, s);
    check_tls(c, s);
    for (size_t i = 0; i < s->listener_count; i++)
        check_listener(c, s, i);
    check_logins(c, s);
    check_trust(c, s);
    check_domains(c, s);
    check_numbers(c, s);
    settings_check_routes(c, s);
}
