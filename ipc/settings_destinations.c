/* Destinations: what is kept to with the hosts of others. */
#include "common/attrs.h"
#include "ipc/settings_rows.h"

static const char rate_words[] =
    "expected a number and a period: 10/1s, 600/1h or 1/200ms; or none";

static void read_name(struct config *c, struct config_node *n, void *section);
static void read_domains(struct config *c, struct config_node *n, void *section);
static void read_hosts(struct config *c, struct config_node *n, void *section);
static void read_messages(struct config *c, struct config_node *n, void *section);
static void read_recipients(struct config *c, struct config_node *n, void *section);
static void read_connections(struct config *c, struct config_node *n, void *section);

#define LIMIT(key, kind, field, low, high, text)                                                   \
    NUMBER(key, kind, struct destination_settings, limits.field, low, high, NULL, text)
/* clang-format off */
static const struct config_item items[] = {
    READ("name", read_name, false, NULL,
         "all that the entry matches is one destination of this name; without it, those with a domain below are each one, the others one for each set of mail hosts"),
    READ("domain", read_domains, false, NULL,
         "of the recipient: example.net, or .example.net for all names below it"),
    READ("host", read_hosts, false, NULL,
         "every mail host of the domain, or the host of its route, has such a name: as above"),
    LIMIT("concurrency", COUNT, concurrency, 1, 1000, "connections at the same time, at most"),
    LIMIT("messages-per-connection", COUNT, messages_per_connection, 1, 10000,
          "messages sent over one connection"),
    READ("message-rate", read_messages, false, NULL, "messages in a period, evenly spread"),
    READ("recipient-rate", read_recipients, false, NULL, "recipients in a period, evenly spread"),
    READ("connection-rate", read_connections, false, NULL,
         "attempts to connect in a period, evenly spread"),
    LIMIT("retry-first",   SECONDS, retry.first_ms,     1, DAY_MS,     "instead of retry.first"),
    LIMIT("retry-factor",  FACTOR,  retry.factor_milli, 1000, 10000,   "instead of retry.factor"),
    LIMIT("retry-longest", SECONDS, retry.longest_ms,   1, 7 * DAY_MS, "instead of retry.longest"),
    VALUE("bdat", BOOL, struct destination_settings, limits.bdat, "yes",
          "messages go by BDAT instead of DATA where hosts offer it (CHUNKING)"),
};
/* clang-format on */

const struct settings_table settings_destinations = { "destinations", items, COUNT_OF(items) };

static void read_name(struct config *c, struct config_node *n, void *section)
{
    struct destination_settings *d = section;

    if (!config_scalar(n, &d->name) || !settings_is_name(d->name))
        config_report(c, n, "expected a name: letters, digits and . _ -");
}

/* ---- which ---- */

static bool read_pattern(struct config *c, struct config_node *n, struct view *out)
{
    struct view text, name;

    if (config_scalar(n, &text)) {
        name = text;
        (void)view_take_byte(&name, '.');
        if (domain_valid(name, true)) {
            *out = settings_lower(c, text);
            return true;
        }
    }
    config_report(c, n, "expected a name: example.net or .example.net");
    return false;
}

static void read_patterns(struct config *c, struct config_node *n, struct name_list *list)
{
    bool many = config_is_list(n);
    size_t count = many ? config_count(n) : 1;
    struct view *names = config_alloc(c, MAX(count, 1), sizeof(*names));

    for (size_t i = 0; i < count; i++)
        list->count += read_pattern(c, many ? config_at(n, i) : n, &names[list->count]);
    list->names = names;
}

static void read_domains(struct config *c, struct config_node *n, void *section)
{
    read_patterns(c, n, &((struct destination_settings *)section)->domains);
}

static void read_hosts(struct config *c, struct config_node *n, void *section)
{
    read_patterns(c, n, &((struct destination_settings *)section)->hosts);
}

/* ---- how much ---- */

enum { RATE_MOST = 1000000, PERIOD_MOST_MS = 24 * 3600 * 1000 };

/* time = number ( "ms" / "s" / "m" / "h" / "d" ) */
static bool read_period(struct view text, uint64_t *ms)
{
    static const struct {
        struct view unit;
        uint64_t ms;
    } units[] = { { VIEW_INIT("ms"), 1 },
                  { VIEW_INIT("s"), SECOND_MS },
                  { VIEW_INIT("m"), MINUTE_MS },
                  { VIEW_INIT("h"), HOUR_MS },
                  { VIEW_INIT("d"), DAY_MS } };
    size_t digits = 0;
    uint64_t number;

    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    if (!view_to_u64(view_sub(text, 0, digits), PERIOD_MOST_MS, &number))
        return false;
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        if (view_equal(view_from(text, digits), units[i].unit)) {
            *ms = number * units[i].ms;
            return *ms > 0 && *ms <= PERIOD_MOST_MS;
        }
    }
    return false;
}

void settings_read_rate(struct config *c, struct config_node *n, struct rate *out)
{
    struct view text, count;
    struct rate r = { .set = true };

    if (config_scalar(n, &text)) {
        if (view_equal(text, VIEW("none"))) {
            *out = r;
            return;
        }
        count = view_take_until(&text, '/');
        if (view_to_u64(count, RATE_MOST, &r.count) && r.count > 0 &&
            read_period(text, &r.period_ms)) {
            *out = r;
            return;
        }
    }
    config_report(c, n, "%s", rate_words);
}

static void read_messages(struct config *c, struct config_node *n, void *section)
{
    settings_read_rate(c, n, &((struct destination_settings *)section)->limits.messages);
}

static void read_recipients(struct config *c, struct config_node *n, void *section)
{
    settings_read_rate(c, n, &((struct destination_settings *)section)->limits.recipients);
}

static void read_connections(struct config *c, struct config_node *n, void *section)
{
    settings_read_rate(c, n, &((struct destination_settings *)section)->limits.connections);
}

static bool is_given(struct config_node *destination, const char *key)
{
    struct config_node *n = config_find(destination, key);

    return n != NULL && !(config_is_list(n) && config_count(n) == 0);
}

void settings_read_destinations(struct config *c, struct config_node *n, void *section)
{
    struct settings *s = section;

    s->destinations = settings_rows(c, n, items, COUNT_OF(items), sizeof(*s->destinations),
                                    &s->destination_count);
    for (size_t i = 0; config_is_list(n) && i < s->destination_count; i++) {
        struct destination_settings *d = &s->destinations[i];

        d->origin = config_origin(c, config_at(n, i));
        if (!is_given(config_at(n, i), "domain") && !is_given(config_at(n, i), "host"))
            config_report(c, config_at(n, i), "which destinations? domain or host tells");
    }
}

/* ---- questions ---- */

static bool matches(const struct name_list *list, struct view name)
{
    for (size_t i = 0; i < list->count; i++) {
        struct view pattern = list->names[i];

        if (view_starts(pattern, VIEW(".")) && name.len > pattern.len
                ? view_ends_nocase(name, pattern)
                : view_equal_nocase(name, pattern))
            return true;
    }
    return false;
}

/* Of hosts that somebody else's domain may name, one that matches does not speak for the others. */
static bool all_match(const struct name_list *list, struct view hosts)
{
    if (hosts.len == 0)
        return false;
    while (hosts.len > 0) {
        if (!matches(list, view_take_until(&hosts, ',')))
            return false;
    }
    return true;
}

const struct destination_settings *settings_destination(const struct settings *s,
                                                        struct view domain, struct view hosts)
{
    for (size_t i = 0; i < s->destination_count; i++) {
        const struct destination_settings *d = &s->destinations[i];

        if (matches(&d->domains, domain) || (d->hosts.count > 0 && all_match(&d->hosts, hosts)))
            return d;
    }
    return NULL;
}

bool settings_destination_names(const struct destination_settings *d, struct view domain)
{
    return matches(&d->domains, domain);
}

static uint64_t choose(uint64_t own, uint64_t usual)
{
    return own > 0 ? own : usual;
}

static struct rate choose_rate(struct rate own, struct rate usual)
{
    return own.set ? own : usual;
}

void settings_limits(const struct settings *s, const struct destination_settings *d,
                     struct destination_limits *out)
{
    static const struct destination_limits none = { 0 };
    const struct destination_limits *own = d == NULL ? &none : &d->limits;

    *out = (struct destination_limits){
        .concurrency = choose(own->concurrency, s->delivery.concurrency),
        .messages_per_connection =
            choose(own->messages_per_connection, s->delivery.messages_per_connection),
        .messages = choose_rate(own->messages, s->delivery.message_rate),
        .recipients = choose_rate(own->recipients, s->delivery.recipient_rate),
        .connections = choose_rate(own->connections, s->delivery.connection_rate),
        .retry = s->retry,
        .bdat = d == NULL || d->limits.bdat,
    };
    out->retry.first_ms = choose(own->retry.first_ms, s->retry.first_ms);
    out->retry.factor_milli = choose(own->retry.factor_milli, s->retry.factor_milli);
    out->retry.longest_ms = choose(own->retry.longest_ms, s->retry.longest_ms);
}

uint64_t rate_interval_us(const struct rate *r)
{
    return r->count == 0 ? 0 : r->period_ms * 1000 / r->count;
}
