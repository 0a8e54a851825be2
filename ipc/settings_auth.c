/* Who may log in, how often that may fail, and which senders belong to whom. */
#include "common/attrs.h"
#include "ipc/settings_rows.h"

enum {
    SHA256_DIGITS = 64, /* hexadecimal */
};

static void read_certificates(struct config *c, struct config_node *n, void *section);
static void read_senders(struct config *c, struct config_node *n, void *section);

/* clang-format off */
#define TRIES(key, field, text) \
    NUMBER(key, COUNT, struct auth_settings, field, 1, 100000, "10", text)
static const struct config_item items[] = {
    /* What a listener can have for itself. */
    TRIES("tries-per-client", tries.per_client, "logins of one client that may fail in tries-time"),
    TRIES("tries-per-login",  tries.per_login,
          "those of one login, from clients that it was not used from before"),
    NUMBER("tries-time", SECONDS, struct auth_settings, tries.time_ms, SECOND_MS, 30 * DAY_MS, "10m",
           "after that they are forgotten"),
    VALUE("users", PATH, struct auth_settings, users, NULL,
          "file of those who may log in; \"tern user\" writes it"),
    VALUE("dovecot", PATH, struct auth_settings, dovecot, NULL,
          "socket of Dovecot's auth service for clients, which checks logins instead"),
    VALUE("client-ca", PATH, struct auth_settings, client_ca, NULL,
          "authorities whose certificates clients may log in with, PEM"),
    READ("certificates", read_certificates, false, "{}",
         "names in certificates of clients, and the logins that they are"),
    READ("senders", read_senders, false, "{}",
         "logins, and the addresses that they may send from"),
    VALUE("check-from", BOOL, struct auth_settings, check_from, "no",
          "refuse messages of logins whose From field has an address that is not theirs"),
    NUMBER("timeout", SECONDS, struct auth_settings, timeout_ms, SECOND_MS, HOUR_MS, "1m",
           "waiting until a login has been checked"),
};
/* clang-format on */

const struct settings_table settings_auth_table = { "auth", items, COUNT_OF(items) };

void settings_read_auth(struct config *c, struct config_node *n, void *settings)
{
    struct auth_settings *auth = &((struct settings *)settings)->auth;

    config_section(c, n, items, COUNT_OF(items), auth);
    if (auth->users.len > 0 && auth->dovecot.len > 0)
        config_report(c, n, "give users or dovecot: logins are checked in one place");
    if (auth->certificate_count > 0 && auth->client_ca.len == 0)
        config_report(c, n, "certificates are believed if their authority is: give client-ca");
    if (auth->dovecot.len > NET_PATH_MAX)
        config_report(c, config_find(n, "dovecot"), "the path of a socket has at most %d bytes",
                      NET_PATH_MAX);
}

bool settings_has_logins(const struct settings *s)
{
    return s->auth.users.len > 0 || s->auth.dovecot.len > 0;
}

/* ---- certificates ---- */

static bool is_fingerprint(struct view text)
{
    if (!view_take_nocase(&text, VIEW("sha256:")) || text.len != SHA256_DIGITS)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = byte_lower(text.ptr[i]);

        if (!byte_is_digit(c) && (c < 'a' || c > 'f'))
            return false;
    }
    return true;
}

static bool is_certificate_name(struct view text)
{
    struct address a;

    return is_fingerprint(text) || domain_valid(text, false) ||
           (address_parse(text, false, &a) && a.domain.len > 0);
}

static void read_certificates(struct config *c, struct config_node *n, void *section)
{
    struct auth_settings *auth = section;
    size_t count = config_count(n);
    struct client_certificate_settings *list = config_alloc(c, MAX(count, 1), sizeof(*list));

    if (!config_is_map(n)) {
        config_report(c, n, "expected names, \"printer.example.org: printer\"");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (!config_scalar(config_key_at(n, i), &list[i].name) ||
            !is_certificate_name(list[i].name))
            config_report(c, config_key_at(n, i),
                          "expected a host name, an e-mail address, or \"sha256:\" and the %d "
                          "hexadecimal digits of a fingerprint",
                          SHA256_DIGITS);
        else if (!config_scalar(config_at(n, i), &list[i].login) || list[i].login.len == 0)
            config_report(c, config_at(n, i), "expected a login");
    }
    auth->certificates = list;
    auth->certificate_count = count;
}

/* ---- whose senders ---- */

static bool is_sender(struct view text)
{
    struct address a;

    if (view_equal(text, VIEW("*")))
        return true;
    if (view_take_byte(&text, '@'))
        return domain_valid(text, true);
    return address_parse(text, true, &a) && a.domain.len > 0;
}

static void read_addresses(struct config *c, struct config_node *n, struct sender_settings *sender)
{
    size_t count = config_count(n);
    struct view *addresses = config_alloc(c, MAX(count, 1), sizeof(*addresses));

    if (!config_is_list(n)) {
        config_report(c, n, "expected a list of addresses, \"[bob@example.org, '@example.net']\"");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (config_scalar(config_at(n, i), &addresses[i]) && is_sender(addresses[i]))
            continue;
        config_report(c, config_at(n, i),
                      "expected an address, \"@example.org\" for all of a domain, or \"*\"");
        return;
    }
    sender->addresses = addresses;
    sender->count = count;
}

static void read_senders(struct config *c, struct config_node *n, void *section)
{
    struct auth_settings *auth = section;

    if (!config_is_map(n)) {
        config_report(c, n, "expected logins, \"printer: [scan@example.org]\"");
        return;
    }
    for (size_t i = 0; i < config_count(n); i++) {
        struct sender_settings *sender = config_alloc(c, 1, sizeof(*sender));
        struct config_node *key = config_key_at(n, i);
        struct table_entry *earlier;

        sender->origin = config_origin(c, key);
        read_addresses(c, config_at(n, i), sender);
        if (!config_scalar(key, &sender->login) || sender->login.len == 0) {
            config_report(c, key, "expected a login");
            continue;
        }
        earlier = table_find(&auth->senders, sender->login);
        if (earlier != NULL)
            config_report(c, key, "%.*s is given twice, first at %s", VIEW_ARG(sender->login),
                          container_of(earlier, struct sender_settings, entry)->origin);
        else
            table_add(&auth->senders, &sender->entry, sender->login);
    }
}

static bool is_same(const struct address *a, const struct address *b)
{
    char room_a[ADDRESS_MAX + 2], room_b[ADDRESS_MAX + 2];
    struct buf key_a = BUF_ON_ARRAY(room_a), key_b = BUF_ON_ARRAY(room_b);

    return address_key(a, &key_a) && address_key(b, &key_b) &&
           view_equal(buf_view(&key_a), buf_view(&key_b));
}

static bool is_among(const struct sender_settings *sender, const struct address *a)
{
    for (size_t i = 0; i < sender->count; i++) {
        struct view text = sender->addresses[i];
        struct address one;

        if (view_equal(text, VIEW("*")))
            return true;
        if (view_take_byte(&text, '@') ? view_equal_nocase(text, a->domain)
                                       : address_parse(text, true, &one) && is_same(&one, a))
            return true;
    }
    return false;
}

static const struct sender_settings *find_sender(const struct settings *s, struct view login)
{
    struct table_entry *e = table_find(&s->auth.senders, login);

    if (e == NULL)
        e = table_find(&s->auth.senders, VIEW("*"));
    return e == NULL ? NULL : container_of(e, struct sender_settings, entry);
}

static bool is_own(const struct settings *s, struct view login, const struct address *a)
{
    const struct sender_settings *sender = find_sender(s, login);
    const struct domain_settings *d = settings_domain(s, a->domain);
    struct address one = { .local = login, .domain = a->domain };

    if (sender != NULL)
        return is_among(sender, a);
    if (view_has(login, '@'))
        return address_parse(login, true, &one) && is_same(&one, a);
    return is_same(&one, a) &&
           (view_equal_nocase(a->domain, s->hostname) || (d != NULL && d->deliver != DOMAIN_RELAY));
}

bool settings_login_owns(const struct settings *s, struct view login, const struct address *a)
{
    struct address plain = *a;

    return is_own(s, login, a) || (settings_drop_detail(s, &plain) && is_own(s, login, &plain));
}
