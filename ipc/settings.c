#include "ipc/settings.h"

#include "common/attrs.h"
#include "ipc/rules.h"
#include "ipc/settings_check.h"
#include "ipc/settings_rows.h"

#include <stdio.h>
#include <string.h>

enum {
    DNS_PORT = 53,
    /* The largest private networks are 10.0.0.0/8 and fc00::/7; what is larger is a mistake. */
    TRUST_PREFIX4_LEAST = 8,
    TRUST_PREFIX6_LEAST = 7,
};

static const char *const log_formats[] = { "text", "json", NULL };
static const char *const log_levels[] = { "debug", "info", "warning", "error", NULL };
static const char *const tls_minimum_words[] = { "1.2", "1.3", NULL };
static void read_trust(struct config *c, struct config_node *n, void *section);
static void read_extensions(struct config *c, struct config_node *n, void *section);
static void read_dns_servers(struct config *c, struct config_node *n, void *section);
static void read_message_rate(struct config *c, struct config_node *n, void *section);
static void read_recipient_rate(struct config *c, struct config_node *n, void *section);
static void read_connection_rate(struct config *c, struct config_node *n, void *section);
static void read_own_addresses(struct config *c, struct config_node *n, void *section);

/* clang-format off */
static const struct config_item log_items[] = {
    CHOICE("format", struct settings, log_format, log_formats, "text",
           "one line for each event: key=value, or JSON"),
    CHOICE("level", struct settings, log_level, log_levels, "info",
           "the least important events that are written"),
};

/* Providers whose mail hosts have a name for each domain, or several sets of names: without these
 * each domain would be a destination of its own. */
#define DESTINATIONS                                                                               \
    "[{name: microsoft365, host: [.mail.protection.outlook.com, .mx.microsoft]}, "                 \
    "{name: outlook, host: .olc.protection.outlook.com}, "                                         \
    "{name: google, host: [.google.com, .googlemail.com]}, "                                       \
    "{name: yahoo, host: .yahoodns.net}]"

#define USERS(key, field, value, text) \
    VALUE(key, TEXT, struct users_settings, field, value, text)
static const struct config_item users_items[] = {
    USERS("smtpd",    smtpd,    "tern-smtpd",    "user of the processes that receive mail"),
    USERS("queue",    queue,    "tern-queue",    "user of the queue, owner of the spool"),
    USERS("delivery", delivery, "tern-delivery", "user of the processes that send mail"),
    USERS("dns",      dns,      "tern-dns",      "user of the process that asks name servers"),
    USERS("local",    local,    "tern-local",    "user of local delivery, owner of the mailboxes"),
    USERS("auth",     auth,     "tern-auth",     "user of the process that checks logins"),
    USERS("keys",     keys,     "tern-keys",     "user of the process that has the private keys"),
    USERS("tokens",   tokens,   "tern-tokens",   "user of the commands that get tokens"),
};

static const struct config_item tls_items[] = {
    VALUE("certificate", PATH, struct tls_settings, certificate, NULL,
          "certificate and chain of this server, PEM"),
    VALUE("key", PATH, struct tls_settings, key, NULL,
          "private key that belongs to the certificate, PEM"),
    READ("certificates", settings_read_certificates, false, "{}",
         "more certificates and their keys, for clients that ask for one of their names"),
    CHOICE("minimum", struct tls_settings, minimum, tls_minimum_words, "1.2",
           "the oldest version of TLS that clients may speak"),
    VALUE("trust-anchors", PATH, struct tls_settings, trust_anchors,
          "/etc/ssl/certs/ca-certificates.crt", "certificates of the authorities to believe, PEM"),
};

static const struct config_item maildir_items[] = {
    VALUE("root", PATH, struct maildir_settings, root, NULL, "folder that holds all mailboxes"),
};

#define SPOOL(key, field, low, high, value, text) \
    NUMBER(key, BYTES, struct spool_settings, field, low, high, value, text)
static const struct config_item spool_items[] = {
    VALUE("path", PATH, struct spool_settings, path, SPOOL_DEFAULT,
          "folder of the mail that is on its way"),
    SPOOL("segment",  segment_bytes,  MIB,     64 * MIB, "64M",
          "size of a file of the log, a power of two"),
    SPOOL("big-body", big_body_bytes, 4 * KIB, SPOOL_BIG_BODY_MAX, "256K",
          "larger messages get a file of their own; at most half a segment"),
    SPOOL("reserve",  reserve_bytes,  0,       1024 * GIB, "512M",
          "with less free space new mail is refused for the time being"),
    VALUE("recycle", BOOL, struct spool_settings, recycle, "yes",
          "write files of the log before their use, and use them again; without gain on btrfs and ZFS"),
    SPOOL("cache",    cache_bytes,    0,       64 * GIB, "64M",
          "memory for messages that are about to be delivered"),
    SPOOL("trash",    trash_bytes,    0,       1024 * GIB, "1G",
          "deleted messages that can be brought back; beyond it the oldest go"),
    NUMBER("trash-time", SECONDS, struct spool_settings, trash_ms, 0, 365 * DAY_MS, "1d",
           "how long they can be"),
    SPOOL("history",  history_bytes,  0,       1024 * GIB, "256M",
          "records of mail that is done, for tern trace; beyond it the oldest go"),
    NUMBER("history-time", SECONDS, struct spool_settings, history_ms, 0, 365 * DAY_MS, "7d",
           "how long they are kept"),
};

#define DNS(key, kind, field, low, high, value, text) \
    NUMBER(key, kind, struct dns_settings, field, low, high, value, text)
static const struct config_item dns_items[] = {
    READ("servers", read_dns_servers, false, NULL,
         "addresses of name servers, with a port where it is not 53"),
    DNS("timeout",       SECONDS, timeout_ms,      1, 5 * MINUTE_MS, "3s", "patience with one question"),
    DNS("tries",         COUNT,   tries,           1, 10,            "2",  "questions to each server"),
    DNS("cache-entries", COUNT,   cache_entries,   1, 10000000,      "100000", "answers that are kept"),
    DNS("longest-ttl",   SECONDS, ttl_most_ms,     0, 30 * DAY_MS,   "1d", "an answer is not kept longer"),
    DNS("negative-ttl",  SECONDS, negative_ttl_ms, 0, DAY_MS,        "5m",
        "a name that does not exist is not remembered longer"),
};

#define LIMIT(key, kind, field, low, high, value, text) \
    NUMBER(key, kind, struct limits_settings, field, low, high, value, text)
static const struct config_item limits_items[] = {
    LIMIT("message-size",           BYTES, message_bytes,          64 * KIB, GIB,  "50M",
          "the largest message that is accepted"),
    LIMIT("recipients",             COUNT, recipients,             100, 1000,      "1000",
          "recipients of a message"),
    LIMIT("hops",                   COUNT, hops,                   2, 1000,        "50",
          "Received fields of a message, beyond which it is going round in circles"),
    LIMIT("connections",            COUNT, connections,            1, 100000,      "1000",
          "clients at the same time"),
    LIMIT("connections-per-client", COUNT, connections_per_client, 1, 100000,      "50",
          "connections of one client at the same time"),
    LIMIT("errors",                 COUNT, errors,                 1, 100000,      "20",
          "refused commands, after which a session is ended"),
    LIMIT("client-prefix-ipv4",     COUNT, client_prefix4,         8, 32,          "32",
          "bits of an IPv4 address that make a client"),
    LIMIT("client-prefix-ipv6",     COUNT, client_prefix6,         16, 128,        "64",
          "bits of an IPv6 address that make a client"),
    LIMIT("notices",                COUNT, notices,                0, 1000000,     "100",
          "notices an hour to one domain, about mail of strangers"),
    LIMIT("body-memory",            BYTES, body_memory_bytes,      MIB, 64 * GIB,  "64M",
          "memory of one smtpd process for messages that are arriving"),
    LIMIT("address-memory",         BYTES, address_memory_bytes,   256 * KIB, 64 * GIB, "32M",
          "memory of one smtpd process for the addresses of those"),
};

#define TIMEOUT(key, field, value, text) \
    NUMBER(key, SECONDS, struct timeouts_settings, field, 1, DAY_MS, value, text)
static const struct config_item timeouts_items[] = {
    TIMEOUT("command",   command,   "5m",  "waiting for a client's next command"),
    TIMEOUT("content",   content,   "3m",  "waiting for more of a message"),
    TIMEOUT("message",   message,   "30m", "a whole message, from its first to its last byte"),
    TIMEOUT("session",   session,   "30m", "a session that sends no message"),
    TIMEOUT("handshake", handshake, "1m",  "a TLS handshake, in either direction"),
    TIMEOUT("commit",    commit,    "1m",  "waiting until a message is safe in the spool"),
    TIMEOUT("drain",     drain,     "30s", "for running transactions when Tern stops"),
    TIMEOUT("connect",   connect,   "30s", "a connection to a remote host"),
    TIMEOUT("opening",   opening,   "10m",
            "from there until it can be given a message: greeting, EHLO, TLS, login"),
    TIMEOUT("greeting",  greeting,  "5m",  "a remote host's greeting"),
    TIMEOUT("ehlo",      ehlo,      "5m",  "its reply to EHLO, HELO, STARTTLS or AUTH"),
    TIMEOUT("mail",      mail,      "5m",  "its reply to MAIL"),
    TIMEOUT("rcpt",      rcpt,      "5m",  "its reply to RCPT"),
    TIMEOUT("data",      data,      "2m",  "its reply to DATA"),
    TIMEOUT("block",     block,     "3m",  "until it takes more of a message"),
    TIMEOUT("transaction", transaction, "1h", "a whole message to a remote host, up to its final dot"),
    TIMEOUT("final",     final,     "10m", "its reply to the final dot"),
    TIMEOUT("rset",      rset,      "5m",  "its reply to RSET"),
    TIMEOUT("idle-connection", idle_connection, "5s",
            "how long a connection is kept for the next message, and its reply to QUIT"),
    TIMEOUT("token",     token,     "30s", "a command that gets a token for a route"),
};

#define RETRY(key, kind, field, low, high, value, text) \
    NUMBER(key, kind, struct retry_settings, field, low, high, value, text)
static const struct config_item retry_items[] = {
    RETRY("first",    SECONDS, first_ms,       1,    DAY_MS,      "5m", "until the second attempt"),
    RETRY("factor",   FACTOR,  factor_milli,   1000, 10000,       "2",
          "each interval is so many times the one before"),
    RETRY("longest",  SECONDS, longest_ms,     1,    7 * DAY_MS,  "4h", "the longest interval"),
    RETRY("lifetime", SECONDS, lifetime_ms,    1,    30 * DAY_MS, "5d",
          "after that the message goes back to its sender"),
    RETRY("notice",   SECONDS, notice_ms,      0,    30 * DAY_MS, "4h",
          "after that the sender is told of the delay; 0: never"),
    RETRY("jitter",   COUNT,   jitter_percent, 0,    50,          "10",
          "percent by which an interval may be shorter or longer"),
};

#define DELIVERY(key, field, low, high, value, text) \
    NUMBER(key, COUNT, struct delivery_settings, field, low, high, value, text)
static const struct config_item delivery_items[] = {
    DELIVERY("concurrency", concurrency, 1, 1000,  "20",  "connections to one destination"),
    DELIVERY("connections", connections, 1, 10000, "500", "connections of one delivery process"),
    DELIVERY("hosts",       hosts,       1, 20,    "5",   "MX hosts tried in one attempt"),
    DELIVERY("addresses",   addresses,   1, 50,    "8",   "addresses tried in one attempt"),
    DELIVERY("messages-per-connection", messages_per_connection, 1, 10000, "100",
             "messages sent over one connection"),
    READ("message-rate", read_message_rate, false, "none",
         "messages to one destination in a period, evenly spread: 10/1s, 1/200ms"),
    READ("recipient-rate", read_recipient_rate, false, "none",
         "recipients of one destination in a period"),
    READ("connection-rate", read_connection_rate, false, "none",
         "attempts to connect to one destination in a period"),
    DELIVERY("port",        port,        1, 65535, "25",  "port of MX hosts"),
    VALUE("loopback", BOOL, struct delivery_settings, loopback, "no",
          "deliver to loopback addresses that MX records name"),
    READ("own-addresses", read_own_addresses, false, "[]",
         "addresses that lead to this machine by way of a router or proxy, beside those of its interfaces"),
};

static const struct config_item workers_items[] = {
    NUMBER("smtpd",    COUNT, struct workers_settings, smtpd,    0, 64, "0",
           "processes that receive mail; 0: one for each processor"),
    NUMBER("delivery", COUNT, struct workers_settings, delivery, 1, 64, "1",
           "processes that send mail"),
};

static const struct config_item root_items[] = {
    { .name = "hostname", .type = CONFIG_HOST, PLACE(struct settings, hostname), .required = true,
      .summary = "the full name of this host, as it greets others" },
    VALUE("control", PATH, struct settings, control, CONTROL_DEFAULT,
          "socket of the admin command, tern"),
    READ("rates", settings_read_rates, false, "{}", "how often clients and logins may do things"),
    READ("strangers", settings_read_strangers, false, "{}",
         "how clients that may not relay for their address are met"),
    SECTION("limits", limits_items, limits, "limits for clients and messages"),
    SECTION("timeouts", timeouts_items, timeouts, "patience with clients and remote hosts"),
    READ("auth", settings_read_auth, false, "{}", "who may log in"),
    READ("listen", settings_read_listeners, false, "[{address: \"*:25\"}]", "where to accept connections"),
    READ("extensions", read_extensions, false, "{}", "SMTP extensions that are offered"),
    READ("trust", read_trust, false, "[127.0.0.0/8, \"::1/128\"]",
         "networks that may send mail to any domain"),
    /* These two fields stand in struct settings itself. */
    { .name = "log", .type = CONFIG_SECTION, .items = log_items, .item_count = COUNT_OF(log_items),
      .summary = "what is logged" },
    SECTION("users", users_items, users, "system users, when started as root"),
    SECTION("tls", tls_items, tls, "certificates"),
    READ("rules", settings_read_rules, false, "[]",
         "what to do with mail that comes in; the first that matches and decides counts"),
    READ("domains", settings_read_domains, false, "{}",
         "domains that mail from anybody is accepted for"),
    READ("mailboxes", settings_read_mailboxes, false, "{}",
         "addresses, or /patterns/ over them, and their folders below maildir.root"),
    SECTION("maildir", maildir_items, maildir, "local mailboxes"),
    READ("detail-delimiter", settings_read_detail, false, "+",
         "characters that end a mailbox's name: bob+news@example.org is bob@example.org"),
    READ("aliases", settings_read_aliases, false, "{}",
         "addresses, and where their mail goes instead"),
    READ("alias-files", settings_read_alias_files, false, "[]",
         "files of more aliases, in the format of aliases(5)"),
    READ("destinations", settings_read_destinations, false, DESTINATIONS,
         "limits for the hosts of others, by domain or host; the first match counts"),
    READ("routes", settings_read_routes, false, "[]",
         "where mail goes instead of to the MX hosts of its domain; the first match counts"),
    SECTION("spool", spool_items, spool, "where accepted mail is kept"),
    SECTION("dns", dns_items, dns, "name servers and the cache of their answers"),
    SECTION("retry", retry_items, retry, "when to try again, and when to give up"),
    SECTION("delivery", delivery_items, delivery, "how mail is sent"),
    SECTION("workers", workers_items, workers, "numbers of processes"),
};

/* Those of other files follow. */
static const struct settings_table tables[] = {
    { "",          root_items,      COUNT_OF(root_items) },
    { "log",       log_items,       COUNT_OF(log_items) },
    { "users",     users_items,     COUNT_OF(users_items) },
    { "tls",       tls_items,       COUNT_OF(tls_items) },
    { "maildir",   maildir_items,   COUNT_OF(maildir_items) },
    { "spool",     spool_items,     COUNT_OF(spool_items) },
    { "dns",       dns_items,       COUNT_OF(dns_items) },
    { "limits",    limits_items,    COUNT_OF(limits_items) },
    { "timeouts",  timeouts_items,  COUNT_OF(timeouts_items) },
    { "retry",     retry_items,     COUNT_OF(retry_items) },
    { "delivery",  delivery_items,  COUNT_OF(delivery_items) },
    { "workers",   workers_items,   COUNT_OF(workers_items) },
};
/* clang-format on */

/* Sections that have a file of their own (ipc/settings_rows.h). */
static const struct settings_table *const other_tables[] = {
    &settings_listen,       &settings_extensions,
    &settings_auth_table,   &settings_rules_table,
    &settings_domains,      &settings_routes,
    &settings_rates,        &settings_strangers,
    &settings_destinations, NULL,
};

static const struct settings_table *table_at(size_t i)
{
    return i < COUNT_OF(tables) ? &tables[i] : other_tables[i - COUNT_OF(tables)];
}

size_t settings_item_count(void)
{
    size_t count = 0;

    for (size_t i = 0; table_at(i) != NULL; i++)
        count += table_at(i)->count;
    return count;
}

void settings_item(size_t i, const char **section, const struct config_item **item)
{
    const struct settings_table *table;

    for (size_t t = 0; (table = table_at(t)) != NULL; t++) {
        if (i < table->count) {
            *section = table->name;
            *item = &table->items[i];
            return;
        }
        i -= table->count;
    }
}

void settings_read_own(struct config *c, struct config_node *n, const char *name, const char *last,
                       void *section)
{
    const struct settings_table *table = NULL;
    size_t count = 0;

    for (size_t i = 0; table == NULL || strcmp(table->name, name) != 0; i++)
        table = table_at(i);
    while (strcmp(table->items[count++].name, last) != 0)
        ;
    config_section_over(c, n, table->items, count, section);
}

/* Lists */

void *settings_copy(struct config *c, const void *bytes, size_t size)
{
    return memcpy(config_alloc(c, 1, size), bytes, size);
}

struct view settings_lower(struct config *c, struct view text)
{
    char *room = config_alloc(c, text.len + 1, 1);

    for (size_t i = 0; i < text.len; i++)
        room[i] = byte_lower(text.ptr[i]);
    return view_make(room, text.len);
}

bool settings_is_name(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!byte_is_alnum(text.ptr[i]) && !view_has(VIEW("._-"), text.ptr[i]))
            return false;
    }
    return text.len > 0 && text.len <= SETTINGS_NAME_MAX;
}

void *settings_rows(struct config *c, struct config_node *n, const struct config_item *items,
                    size_t item_count, size_t size, size_t *count)
{
    char *rows = config_alloc(c, MAX(config_count(n), 1), size);

    *count = 0;
    if (!config_is_list(n)) {
        config_report(c, n, "expected a list: each element begins with \"- \"");
        return rows;
    }
    *count = config_count(n);
    for (size_t i = 0; i < *count; i++)
        config_section(c, config_at(n, i), items, item_count, rows + i * size);
    return rows;
}

/* Networks */

static bool is_too_large(const struct net_block *b)
{
    return b->prefix < (b->base.family == AF_INET ? TRUST_PREFIX4_LEAST : TRUST_PREFIX6_LEAST);
}

static bool read_network(struct config *c, struct config_node *n, struct net_block *out)
{
    struct view text;

    if (!config_scalar(n, &text) || !net_parse_block(text, out))
        config_report(c, n,
                      "expected a network such as 192.0.2.0/24 or \"2001:db8::/32\", "
                      "without bits behind its prefix");
    else if (is_too_large(out))
        config_report(c, n,
                      "to trust %.*s would make this server an open relay: "
                      "name your own networks only",
                      VIEW_ARG(text));
    else
        return true;
    return false;
}

void settings_networks(struct config *c, struct config_node *n, struct network_list *list)
{
    struct net_block *blocks = config_alloc(c, MAX(config_count(n), 1), sizeof(*blocks));
    size_t count = 0;

    if (!config_is_list(n)) {
        config_report(c, n, "expected a list of networks, \"[192.0.2.0/24, 198.51.100.7]\"");
        return;
    }
    for (size_t i = 0; i < config_count(n); i++) {
        if (read_network(c, config_at(n, i), &blocks[count]))
            count++;
    }
    *list = (struct network_list){ blocks, count };
}

static void read_extensions(struct config *c, struct config_node *n, void *section)
{
    settings_read_extensions(c, n, &((struct settings *)section)->extensions);
}

static void read_trust(struct config *c, struct config_node *n, void *section)
{
    settings_networks(c, n, &((struct settings *)section)->trust);
}

/* Rates */

static void read_message_rate(struct config *c, struct config_node *n, void *section)
{
    settings_read_rate(c, n, &((struct delivery_settings *)section)->message_rate);
}

static void read_recipient_rate(struct config *c, struct config_node *n, void *section)
{
    settings_read_rate(c, n, &((struct delivery_settings *)section)->recipient_rate);
}

static void read_connection_rate(struct config *c, struct config_node *n, void *section)
{
    settings_read_rate(c, n, &((struct delivery_settings *)section)->connection_rate);
}

/* Addresses of this machine */

static void read_own_addresses(struct config *c, struct config_node *n, void *section)
{
    struct delivery_settings *d = section;
    struct net_address *own = config_alloc(c, MAX(config_count(n), 1), sizeof(*own));
    struct view text;

    if (!config_is_list(n))
        config_report(c, n, "expected a list of addresses, \"[192.0.2.1, 192.0.2.2]\"");
    for (size_t i = 0; config_is_list(n) && i < config_count(n); i++) {
        struct net_address *a = &own[d->own_count];

        if (config_scalar(config_at(n, i), &text) && net_parse_address(text, a) &&
            !net_is_unusable(a) && !net_is_loopback(a))
            d->own_count++;
        else
            config_report(c, config_at(n, i), "expected an address that others can connect to");
    }
    d->own = own;
}

/* Name servers */

static bool parse_server(struct view text, struct net_address *out)
{
    if (net_parse_address(text, out)) {
        out->port = DNS_PORT;
        return true;
    }
    return !view_starts(text, VIEW("*")) && net_parse_address_port(text, out) && out->port != 0;
}

static void read_dns_servers(struct config *c, struct config_node *n, void *section)
{
    struct dns_settings *dns = section;
    struct view text;

    if (!config_is_list(n) || config_count(n) == 0) {
        config_report(c, n, "expected a list of addresses, \"[192.0.2.53, 127.0.0.1:5353]\"");
        return;
    }
    dns->servers = config_alloc(c, config_count(n), sizeof(*dns->servers));
    for (size_t i = 0; i < config_count(n); i++) {
        if (config_scalar(config_at(n, i), &text) &&
            parse_server(text, &dns->servers[dns->server_count]))
            dns->server_count++;
        else
            config_report(c, config_at(n, i), "expected an address, or an address and a port");
    }
}

static void read_server_lines(struct config *c, struct dns_settings *dns, struct view list)
{
    struct view text;

    dns->servers = config_alloc(c, list.len / 2 + 1, sizeof(*dns->servers));
    while (view_take_line(&list, &text)) {
        if (parse_server(text, &dns->servers[dns->server_count]))
            dns->server_count++;
    }
}

/* Without a setting: those of the system, else the one on this host (resolv.conf(5)). */
static void read_system_servers(struct config *c, struct dns_settings *dns)
{
    struct view list;

    if (config_attachment(c, "resolvers", &list))
        read_server_lines(c, dns, list);
    if (dns->server_count == 0)
        read_server_lines(c, dns, VIEW("127.0.0.1"));
}

void settings_read(struct settings *s, struct config *c)
{
    unsigned errors = config_error_count(c);

    *s = (struct settings){ 0 };
    table_init(&s->auth.senders, true);
    table_init(&s->domains, true);
    table_init(&s->mailboxes, false);
    table_init(&s->folders, false);
    table_init(&s->aliases, false);
    config_section(c, config_root(c), root_items, COUNT_OF(root_items), s);
    settings_read_folders(c, s);
    if (s->dns.server_count == 0)
        read_system_servers(c, &s->dns);
    /* After a file that could not be read, what it says would be missed. */
    if (errors == 0)
        settings_check(c, s);
}

void settings_release(struct settings *s)
{
    for (size_t i = 0; i < s->pattern_count; i++) {
        if (s->patterns[i]->release != NULL)
            s->patterns[i]->release(&s->patterns[i]->pattern);
    }
    table_release(&s->auth.senders);
    if (s->rules != NULL && s->rules->release != NULL)
        s->rules->release(s->rules);
    table_release(&s->domains);
    table_release(&s->mailboxes);
    table_release(&s->folders);
    table_release(&s->aliases);
}
