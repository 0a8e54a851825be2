/* Routes: where mail goes instead of to the MX hosts of its domain, and how. */
#include "ipc/settings_routes.h"

#include "common/attrs.h"
#include "ipc/settings_rows.h"

enum {
    SMTP_PORT = 25,
    SMTPS_PORT = 465,
    LMTP_PORT = 24,
    REPLY_WORDS_MAX = 200, /* bytes */
    COMMAND_MAX = 4096,    /* bytes of its words together */
};

static const char *const tls_words[] = { "opportunistic", "none", "encrypt", "verify", NULL };
static const char via_words[] =
    "expected smtp://HOST[:PORT], smtps://HOST[:PORT], lmtp://HOST[:PORT], lmtp:///PATH, mx, "
    "discard, or a reply such as \"550 5.7.1 not here\"";

static void read_name(struct config *c, struct config_node *n, void *section);
static void read_domain(struct config *c, struct config_node *n, void *section);
static void read_sender(struct config *c, struct config_node *n, void *section);
static void read_via(struct config *c, struct config_node *n, void *section);
static void read_source(struct config *c, struct config_node *n, void *section);
static void read_command(struct config *c, struct config_node *n, void *section);

/* clang-format off */
static const struct config_item items[] = {
    READ("name", read_name, false, NULL,
         "for rules that choose it, and what the queue calls its mail; without a condition below, only rules choose it"),
    READ("domain", read_domain, false, NULL,
         "of the recipient: example.net, .example.net for all names below it, or \"*\" for every domain"),
    READ("sender", read_sender, false, NULL,
         "an address, a domain as above, or \"<>\" for notices"),
    VALUE("login", TEXT, struct route_settings, login, NULL, "who authenticated"),
    VALUE("tag", TEXT, struct route_settings, tag, NULL, "a tag that a rule has given"),
    READ("via", read_via, true, NULL,
         "where to, or a list of which each is tried when those before cannot be reached"),
    VALUE("balance", BOOL, struct route_settings, balance, "no",
          "begin with each of the list in turn"),
    READ("source", read_source, false, NULL,
         "address to connect from, or one of each family; the other family is not used"),
    VALUE("auth-login", TEXT, struct route_settings, auth_login, NULL,
          "who to log in as"),
    VALUE("auth-password", PATH, struct route_settings, auth_password, NULL,
          "file whose first line is the password"),
    VALUE("auth-token", PATH, struct route_settings, auth_token, NULL,
          "file whose first line is an OAuth token; it is read again when it has changed"),
    READ("auth-token-command", read_command, false, NULL,
         "a program and its arguments, run as users.tokens, that prints an OAuth token"),
    CHOICE("tls", struct route_settings, tls, tls_words, "opportunistic",
           "opportunistic: when the host offers it; encrypt: or no delivery; verify: and with a certificate for the host's name"),
    VALUE("ca", PATH, struct route_settings, ca, NULL,
          "certificates of the authorities to believe on this route, PEM, instead of tls.trust-anchors; with verify"),
};
/* clang-format on */

const struct settings_table settings_routes = { "routes", items, COUNT_OF(items) };

const char *settings_tls_name(enum route_tls level)
{
    return tls_words[level];
}

bool settings_has_commands(const struct settings *s)
{
    for (size_t i = 0; i < s->route_count; i++) {
        if (s->routes[i].auth_command.len > 0)
            return true;
    }
    return false;
}

static void read_name(struct config *c, struct config_node *n, void *section)
{
    struct route_settings *r = section;

    if (!config_scalar(n, &r->name) || !settings_is_name(r->name))
        config_report(c, n, "expected a name: letters, digits and . _ -");
}

/* "example.net", ".example.net" or "*" */
static bool is_domain_pattern(struct view text)
{
    struct view name = text;

    (void)view_take_byte(&name, '.');
    return view_equal(text, VIEW("*")) || domain_valid(name, true);
}

static void read_domain(struct config *c, struct config_node *n, void *section)
{
    struct route_settings *r = section;

    if (config_scalar(n, &r->domain) && is_domain_pattern(r->domain))
        return;
    config_report(c, n, "expected a domain: example.net, .example.net or \"*\"");
}

static void read_sender(struct config *c, struct config_node *n, void *section)
{
    struct route_settings *r = section;
    struct address a;

    if (config_scalar(n, &r->sender) &&
        (view_equal(r->sender, VIEW("<>")) || is_domain_pattern(r->sender) ||
         (view_has(r->sender, '@') && address_parse(r->sender, true, &a))))
        return;
    config_report(c, n, "expected an address, a domain, .example.net or \"<>\"");
}

/* ---- targets ---- */

/* host = name / IPv4 address / "[" IPv6 address "]" */
static bool take_host(struct view *text, struct view *host)
{
    struct net_address a;

    if (view_take_byte(text, '[')) {
        *host = view_take_until(text, ']');
        return net_parse_address(*host, &a) && a.family == AF_INET6;
    }
    *host = view_sub(*text, 0, view_find(*text, ':'));
    *text = view_from(*text, host->len);
    return net_parse_address(*host, &a) || domain_valid(*host, false);
}

/* host [ ":" port ] */
static bool read_host(struct view text, uint16_t usual, struct route_target *t)
{
    uint64_t port = usual;

    t->kind = TARGET_HOST;
    if (!take_host(&text, &t->host) ||
        (text.len > 0 && !(view_take_byte(&text, ':') && view_to_u64(text, UINT16_MAX, &port))))
        return false;
    t->port = (uint16_t)port;
    return port != 0;
}

static bool read_lmtp(struct view text, struct route_target *t)
{
    t->lmtp = true;
    if (!view_starts(text, VIEW("/")))
        return read_host(text, LMTP_PORT, t);
    t->kind = TARGET_PATH;
    t->host = text;
    return text.len > 1 && text.len <= NET_PATH_MAX;
}

/* A reply of class 4 or 5, with an enhanced code of the same class. */
static bool read_reply(struct view text, struct route_target *t)
{
    struct view rest = text;
    uint64_t code;

    t->kind = TARGET_REPLY;
    if (!view_to_u64(view_take_word(&rest), 599, &code) || code < 400 ||
        !enhanced_take(&rest, &t->enhanced) || t->enhanced.class != code / 100)
        return false;
    t->code = (unsigned)code;
    t->host = view_trim(rest);
    return t->host.len > 0 && t->host.len <= REPLY_WORDS_MAX;
}

static bool read_target(struct view text, struct route_target *t)
{
    if (view_equal(text, VIEW("mx"))) {
        t->kind = TARGET_MX;
        return true;
    }
    if (view_equal(text, VIEW("discard"))) {
        t->kind = TARGET_DISCARD;
        return true;
    }
    if (view_take_nocase(&text, VIEW("smtp://")))
        return read_host(text, SMTP_PORT, t);
    t->implicit_tls = view_take_nocase(&text, VIEW("smtps://"));
    if (t->implicit_tls)
        return read_host(text, SMTPS_PORT, t);
    if (view_take_nocase(&text, VIEW("lmtp://")))
        return read_lmtp(text, t);
    return read_reply(text, t);
}

static void add_target(struct config *c, struct config_node *n, struct route_settings *r)
{
    struct route_target t = { .kind = TARGET_MX };
    struct view text;

    if (!config_scalar(n, &text) || !read_target(text, &t))
        config_report(c, n, "%s", via_words);
    else if (r->target_count == ROUTE_TARGETS_MAX)
        config_report(c, n, "there may be at most %d", ROUTE_TARGETS_MAX);
    else
        r->targets[r->target_count++] = t;
}

static void read_via(struct config *c, struct config_node *n, void *section)
{
    struct route_settings *r = section;

    r->origin = config_origin(c, n);
    if (!config_is_list(n))
        add_target(c, n, r);
    for (size_t i = 0; config_is_list(n) && i < config_count(n); i++)
        add_target(c, config_at(n, i), r);
    for (size_t i = 0; i < r->target_count && r->target_count > 1; i++) {
        if (r->targets[i].kind >= TARGET_DISCARD)
            config_report(c, n,
                          "discard and replies stand alone: nothing is ever tried after them");
        else if (r->targets[i].kind == TARGET_MX && i > 0)
            config_report(c, n,
                          "mx comes first: what is behind it is tried when no mail host of the "
                          "domain can be reached");
    }
}

static void add_source(struct config *c, struct config_node *n, struct route_settings *r)
{
    struct net_address a;
    struct view text;

    if (!config_scalar(n, &text) || !net_parse_address(text, &a) || net_is_unusable(&a)) {
        config_report(c, n, "expected an address of this machine");
        return;
    }
    for (size_t i = 0; i < r->source_count; i++) {
        if (r->sources[i].family == a.family) {
            config_report(c, n, "there is one of this family already");
            return;
        }
    }
    r->sources[r->source_count++] = a;
}

static void read_source(struct config *c, struct config_node *n, void *section)
{
    struct route_settings *r = section;

    if (!config_is_list(n))
        add_source(c, n, r);
    for (size_t i = 0; config_is_list(n) && i < config_count(n); i++)
        add_source(c, config_at(n, i), r);
}

/* Words of which none has a NUL; the first is a path, since nobody looks for it. */
static bool put_word(struct config_node *n, bool first, struct buf *out)
{
    struct view word;

    return config_scalar(n, &word) && !view_has(word, '\0') &&
           (!first || view_starts(word, VIEW("/"))) && buf_put(out, word) &&
           buf_put_byte(out, '\0');
}

static void read_command(struct config *c, struct config_node *n, void *section)
{
    struct route_settings *r = section;
    char room[COMMAND_MAX];
    struct buf words = BUF_ON_ARRAY(room);
    bool good =
        config_is_list(n) && config_count(n) > 0 && config_count(n) <= ROUTE_COMMAND_WORDS_MAX;

    for (size_t i = 0; good && i < config_count(n); i++)
        good = put_word(config_at(n, i), i == 0, &words);
    if (good)
        r->auth_command = view_make(settings_copy(c, words.room, buf_len(&words)), buf_len(&words));
    else
        config_report(c, n,
                      "expected a list of a program's path and its arguments, such as "
                      "[/usr/local/bin/token, --quiet]; no shell reads it");
}

void settings_read_routes(struct config *c, struct config_node *n, void *section)
{
    struct settings *s = section;

    s->routes = settings_rows(c, n, items, COUNT_OF(items), sizeof(*s->routes), &s->route_count);
}

/* ---- mistakes that only several settings make ---- */

static struct config_node *find_item(struct config *c, size_t route, const char *name)
{
    struct config_node *row = config_at(config_find(config_root(c), "routes"), route);
    struct config_node *item = config_find(row, name);

    return item != NULL ? item : row;
}

/* Everything but the domain is left open. */
static bool asks_for_domain_alone(const struct route_settings *r)
{
    return r->domain.len > 0 && r->sender.len == 0 && r->login.len == 0 && r->tag.len == 0;
}

static bool has_condition(const struct route_settings *r)
{
    return r->domain.len > 0 || r->sender.len > 0 || r->login.len > 0 || r->tag.len > 0;
}

static bool same_target(const struct route_target *a, const struct route_target *b)
{
    return a->kind == b->kind && a->lmtp == b->lmtp && a->implicit_tls == b->implicit_tls &&
           a->port == b->port && a->code == b->code && view_equal_nocase(a->host, b->host);
}

/* Their mail may wait in one queue, and share connections. */
static bool same_way(const struct route_settings *a, const struct route_settings *b)
{
    if (a->target_count != b->target_count || a->source_count != b->source_count ||
        a->tls != b->tls || !view_equal(a->ca, b->ca) || a->balance != b->balance ||
        !view_equal(a->auth_login, b->auth_login) ||
        !view_equal(a->auth_password, b->auth_password) ||
        !view_equal(a->auth_token, b->auth_token) || !view_equal(a->auth_command, b->auth_command))
        return false;
    for (size_t i = 0; i < a->target_count; i++) {
        if (!same_target(&a->targets[i], &b->targets[i]))
            return false;
    }
    for (size_t i = 0; i < a->source_count; i++) {
        if (!net_equal(&a->sources[i], &b->sources[i]))
            return false;
    }
    return true;
}

static void check_pair(struct config *c, const struct settings *s, size_t i, size_t earlier)
{
    const struct route_settings *r = &s->routes[i], *e = &s->routes[earlier];
    bool shadowed =
        asks_for_domain_alone(e) && r->domain.len > 0 && settings_route_matches(e, r->domain);

    if (r->name.len > 0 && view_equal(r->name, e->name))
        config_report(c, find_item(c, i, "name"), "the route at %s has this name already",
                      e->origin);
    else if (shadowed && r->name.len == 0)
        config_report(c, find_item(c, i, "domain"),
                      "this route is never used: the one at %s takes its mail", e->origin);
    else if (r->name.len == 0 && e->name.len == 0 && r->targets[0].kind != TARGET_MX &&
             same_target(&r->targets[0], &e->targets[0]) && !same_way(r, e))
        config_report(c, find_item(c, i, "via"),
                      "the route at %s begins with the same host, but goes on otherwise: give one "
                      "of them a name",
                      e->origin);
}

static void check_login(struct config *c, const struct route_settings *r, size_t i)
{
    int secrets = (r->auth_password.len > 0) + (r->auth_token.len > 0) + (r->auth_command.len > 0);

    if (r->auth_login.len == 0 && secrets > 0)
        config_report(c,
                      find_item(c, i,
                                r->auth_password.len > 0 ? "auth-password"
                                : r->auth_token.len > 0  ? "auth-token"
                                                         : "auth-token-command"),
                      "auth-login is missing: who to log in as");
    if (r->auth_login.len > 0 && secrets != 1)
        config_report(c, find_item(c, i, "auth-login"),
                      "a login needs one of auth-password, auth-token and auth-token-command");
    if (r->auth_login.len > 0 && r->tls != ROUTE_TLS_VERIFY)
        config_report(c, find_item(c, i, "auth-login"),
                      "a login needs \"tls: verify\": its secret is for a host that has proved its "
                      "name");
    for (size_t t = 0; t < r->target_count && r->auth_login.len > 0; t++) {
        if (r->targets[t].kind == TARGET_MX || r->targets[t].kind == TARGET_PATH)
            config_report(c, find_item(c, i, "via"), "a login is for smtp:// and lmtp:// hosts");
    }
}

static void check_route(struct config *c, const struct settings *s, size_t i)
{
    const struct route_settings *r = &s->routes[i];
    const struct domain_settings *d = settings_domain(s, r->domain);

    if (!has_condition(r) && r->name.len == 0)
        config_report(
            c, find_item(c, i, "via"),
            "this route is never used: it has neither a domain, sender, login or tag, nor "
            "a name; for all mail write domain: \"*\"");
    if (r->targets[0].kind == TARGET_MX && !asks_for_domain_alone(r) && r->name.len == 0)
        config_report(c, find_item(c, i, "via"),
                      "give this route a name: its mail waits apart from other mail for the same "
                      "domain");
    if (d != NULL && d->deliver != DOMAIN_RELAY)
        config_report(c, find_item(c, i, "domain"),
                      "this route is never used: the domain is delivered here, by %s", d->origin);
    check_login(c, r, i);
    if (r->ca.len > 0 && r->tls != ROUTE_TLS_VERIFY)
        config_report(c, find_item(c, i, "ca"),
                      "\"ca\" needs \"tls: verify\": nothing else proves a certificate");
    for (size_t t = 0; t < r->target_count; t++) {
        if (r->targets[t].implicit_tls && r->tls == ROUTE_TLS_NONE)
            config_report(c, find_item(c, i, "tls"),
                          "\"none\" contradicts smtps, which is TLS from the first byte");
    }
    for (size_t j = 0; j < i; j++) {
        if (s->routes[j].target_count > 0)
            check_pair(c, s, i, j);
    }
}

void settings_check_routes(struct config *c, const struct settings *s)
{
    for (size_t i = 0; i < s->route_count; i++) {
        if (s->routes[i].target_count > 0)
            check_route(c, s, i);
    }
}
