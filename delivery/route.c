#include "delivery/route.h"

#include <string.h>

/* ---- ends ---- */

static const char *doing(const struct route *r)
{
    return r->mx && !r->routed ? "looking up the mail hosts" : "looking up the address";
}

/* "words (detail)", kept with the route. */
static struct view join(struct route *r, const char *words, struct view detail)
{
    char room[256];
    struct buf text = BUF_ON_ARRAY(room);
    struct view kept;

    if (detail.len == 0 || !buf_printf(&text, "%s (%.*s)", words, VIEW_ARG(detail)) ||
        !arena_copy(&r->memory, buf_view(&text), &kept))
        return view_of(words);
    return kept;
}

static void end(struct route *r, struct enhanced code, const char *words, struct view detail)
{
    r->end = (struct outcome){ .class = code.class == 5 ? OUTCOME_FAILED : OUTCOME_DEFERRED,
                               .scope = r->mx && !r->routed ? SCOPE_DOMAIN : SCOPE_DESTINATION,
                               .enhanced = code,
                               .text = join(r, words, detail),
                               .doing = view_of(doing(r)) };
}

/* Nothing was tried, for no fault of the domain's answer itself. */
static void end_without_address(struct route *r)
{
    /* There may be more hosts, or addresses of the family that the source is not of. */
    bool unseen = r->host_count == ROUTE_HOSTS_MAX || (r->family != 0 && r->host_count > 0);

    if (r->tried > 0 || r->end.text.len > 0)
        return; /* or a look-up has said why */
    if (!r->mx)
        end(r, (struct enhanced){ 4, 4, 4 }, "the configured host has no address that can be used",
            r->target);
    else if (unseen)
        end(r, (struct enhanced){ 4, 4, 4 },
            "none of the mail hosts that were looked up can be used", r->target);
    else if (r->ends_here)
        end(r, (struct enhanced){ 5, 4, 6 }, "mail for this domain comes back to this host",
            r->target);
    else
        end(r, (struct enhanced){ 5, 4, 4 }, "no mail host has an address that can be used",
            r->target);
}

/* ---- hosts ---- */

/* By name, so that no address of ours has to be looked up. */
static bool names_us(const struct route *r, struct view host)
{
    return settings_is_own_name(r->settings, host);
}

/* Hosts that are not better than this machine would give the mail back to it (RFC 5321, 5.1). */
static void drop_from(struct route *r, uint16_t preference)
{
    size_t kept = 0;

    r->ends_here = true;
    while (kept < r->host_count && r->hosts[kept].preference < preference)
        kept++;
    r->host_count = kept;
}

static bool add_host(struct route *r, struct view name, uint16_t preference)
{
    struct route_host *h = &r->hosts[r->host_count];

    h->preference = preference;
    if (!arena_copy(&r->memory, name, &h->name))
        return false;
    r->host_count++;
    return true;
}

static void take_hosts(struct route *r, const struct message_dns_answer *a)
{
    struct view rest = a->items;
    struct dns_item item;

    r->hosts = arena_alloc(&r->memory, ROUTE_HOSTS_MAX * sizeof(*r->hosts));
    while (r->hosts != NULL && rest.len > 0 && dns_items_take(&rest, DNS_ROUTE, &item)) {
        if (names_us(r, item.host)) {
            drop_from(r, item.preference);
            return;
        }
        if (r->host_count == ROUTE_HOSTS_MAX || !add_host(r, item.host, item.preference))
            return;
    }
}

static void answer_route(struct route *r, const struct message_dns_answer *a)
{
    switch (a->result) {
    case DNS_OK:
        take_hosts(r, a);
        break;
    case DNS_NO_DOMAIN:
        end(r, (struct enhanced){ 5, 1, 2 }, "the domain does not exist", r->target);
        break;
    case DNS_NO_HOSTS:
        end(r, (struct enhanced){ 5, 4, 4 }, "the domain has no mail host and no address",
            r->target);
        break;
    case DNS_NULL_MX: /* RFC 7505, 4.1 */
        end(r, (struct enhanced){ 5, 1, 10 }, "the domain takes no mail (null MX)", r->target);
        break;
    case DNS_TEMPORARY:
    case DNS_MALFORMED:
        end(r, (struct enhanced){ 4, 4, 3 }, "the mail hosts cannot be looked up", a->words);
        break;
    case DNS_RESULTS:
        break;
    }
    r->routed = true;
}

/* ---- addresses ---- */

static bool listens_at(const struct settings *s, const struct net_address *a)
{
    static const uint8_t any[16];

    for (size_t i = 0; i < s->listener_count; i++) {
        const struct net_address *l = &s->listeners[i].address;

        if (l->port == a->port &&
            (net_equal(l, a) || (memcmp(l->bytes, any, sizeof(any)) == 0 &&
                                 (l->family == AF_INET6 || l->family == a->family))))
            return true;
    }
    return false;
}

/* Loopback addresses, where they are allowed, are other hosts unless this one listens there. */
static bool is_us(const struct route *r, const struct net_address *a)
{
    if (net_is_loopback(a))
        return r->settings->delivery.loopback && listens_at(r->settings, a);
    for (size_t i = 0; i < r->settings->delivery.own_count; i++) {
        if (net_equal(&r->settings->delivery.own[i], a))
            return true;
    }
    return net_is_own(a);
}

static bool is_usable(const struct route *r, const struct net_address *a)
{
    if (net_is_unusable(a) || (r->family != 0 && r->family != a->family))
        return false;
    return !r->mx || r->settings->delivery.loopback || !net_is_loopback(a);
}

static bool take_address(const struct route *r, struct view *rest, struct net_address *out)
{
    struct dns_item item;

    if (rest->len == 0 || !dns_items_take(rest, DNS_ADDRESSES, &item))
        return false;
    *out = (struct net_address){ .family = item.family, .port = r->port };
    memcpy(out->bytes, item.address, sizeof(out->bytes));
    net_unmap(out);
    return true;
}

static bool has_us(const struct route *r, const struct message_dns_answer *a)
{
    struct view rest = a->items;
    struct net_address address;

    while (take_address(r, &rest, &address)) {
        if (is_us(r, &address))
            return true;
    }
    return false;
}

static void take_addresses(struct route *r, const struct message_dns_answer *a)
{
    struct view rest = a->items;
    struct net_address address;

    if (r->mx && has_us(r, a)) {
        drop_from(r, r->hosts[r->host_at].preference);
        return;
    }
    while (r->address_count < ROUTE_ADDRESSES_MAX && take_address(r, &rest, &address)) {
        if (is_usable(r, &address))
            r->addresses[r->address_count++] = address;
    }
}

/* Else as they were (RFC 6724 is the resolver's to apply, or nobody's). */
static void put_second(struct route *r, uint8_t family)
{
    struct net_address sorted[ROUTE_ADDRESSES_MAX];
    size_t count = 0;

    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = r->address_at; i < r->address_count; i++) {
            if ((r->addresses[i].family == family) == (turn == 1))
                sorted[count++] = r->addresses[i];
        }
    }
    memcpy(r->addresses + r->address_at, sorted, count * sizeof(*sorted));
}

bool route_has_more(const struct route *r)
{
    return r->tried < r->settings->delivery.addresses && r->address_at < r->address_count;
}

bool route_turn_from(struct route *r, uint8_t family)
{
    if (r->address_at >= r->address_count)
        return false;
    r->second = family;
    put_second(r, family);
    return r->addresses[r->address_at].family != family;
}

static bool has_word(struct view text, struct view word)
{
    for (; text.len >= word.len; text = view_from(text, 1)) {
        if (view_starts_nocase(text, word))
            return true;
    }
    return false;
}

bool route_blames_ipv6(const struct outcome *o)
{
    bool policy = o->enhanced.subject == 7 || o->enhanced.subject == 0;

    if (o->class == OUTCOME_DELIVERED || o->code < 400)
        return false;
    return (o->enhanced.subject == 7 && o->enhanced.detail == 25) ||
           (policy && (has_word(o->text, VIEW("PTR")) || has_word(o->text, VIEW("IPv6")) ||
                       has_word(o->text, VIEW("reverse DNS"))));
}

static void miss_addresses(struct route *r, const struct message_dns_answer *a)
{
    if (!r->mx)
        end(r, (struct enhanced){ 4, 4, 4 }, "the configured host is not found", r->target);
    else if (a->result == DNS_TEMPORARY || a->result == DNS_MALFORMED)
        end(r, (struct enhanced){ 4, 4, 3 }, "a mail host cannot be looked up", a->words);
}

static void answer_addresses(struct route *r, const struct message_dns_answer *a)
{
    r->address_count = r->address_at = 0;
    if (a->result == DNS_OK)
        take_addresses(r, a);
    else
        miss_addresses(r, a);
    put_second(r, r->second);
    r->hosts_tried += r->address_count > 0;
    r->host_at++;
}

/* ---- hosts of the same preference ---- */

/* The next of those that are as good as the one at hand, and were not looked at yet. One of them
 * may be this machine by another name, and then none of them may have the mail. */
static bool find_equal(struct route *r)
{
    size_t at_hand = r->host_at - 1;

    if (!r->mx || r->host_at == 0)
        return false;
    r->compared = MAX(r->compared, r->host_at);
    return r->compared < r->host_count && r->compared - at_hand < r->settings->delivery.hosts &&
           r->hosts[r->compared].preference == r->hosts[at_hand].preference;
}

static void answer_equal(struct route *r, const struct message_dns_answer *a)
{
    const struct route_host *h = &r->hosts[r->compared++];

    r->comparing = false;
    if (a->result != DNS_OK || !has_us(r, a))
        return;
    r->address_count = r->address_at = 0;
    drop_from(r, h->preference);
}

/* ---- what comes next ---- */

void route_init(struct route *r, const struct settings *s, bool mx, struct view target,
                uint16_t port)
{
    *r = (struct route){ .settings = s, .mx = mx, .target = target, .port = port };
    arena_init(&r->memory, ROUTE_MEMORY_BYTES);
}

void route_release(struct route *r)
{
    arena_reset(&r->memory);
}

static enum route_need ask(struct route *r, enum dns_question question, struct view name)
{
    r->question = question;
    r->name = name;
    return ROUTE_ASK;
}

static enum route_need try_address(struct route *r)
{
    r->address = r->addresses[r->address_at++];
    r->host = r->hosts[r->host_at - 1].name;
    r->tried++;
    return ROUTE_TRY;
}

/* An address needs no look-up. */
static bool is_address(struct route *r, struct view host)
{
    struct net_address a;

    if (r->mx || !net_parse_address(host, &a) || (r->family != 0 && r->family != a.family))
        return false;
    a.port = r->port;
    r->addresses[0] = a;
    r->address_count = 1;
    r->address_at = 0;
    r->host_at++;
    return true;
}

/* A configured host stands for the list. */
static bool prepare(struct route *r)
{
    if (r->addresses == NULL)
        r->addresses = arena_alloc(&r->memory, ROUTE_ADDRESSES_MAX * sizeof(*r->addresses));
    if (!r->mx && !r->routed) {
        r->hosts = arena_alloc(&r->memory, sizeof(*r->hosts));
        r->routed = r->hosts != NULL && add_host(r, r->target, 0);
    }
    return r->addresses != NULL;
}

enum route_need route_next(struct route *r)
{
    const struct delivery_settings *limits = &r->settings->delivery;

    if (!prepare(r))
        return ROUTE_END;
    if (!r->routed)
        return ask(r, DNS_ROUTE, r->target);
    r->comparing = find_equal(r);
    if (r->comparing)
        return ask(r, DNS_ADDRESSES, r->hosts[r->compared].name);
    if (route_has_more(r))
        return try_address(r);
    if (r->tried < limits->addresses && r->hosts_tried < limits->hosts &&
        r->host_at < r->host_count) {
        struct view host = r->hosts[r->host_at].name;

        return is_address(r, host) ? try_address(r) : ask(r, DNS_ADDRESSES, host);
    }
    end_without_address(r);
    return ROUTE_END;
}

bool route_next_beside(struct route *r, uint8_t family)
{
    if (!route_has_more(r))
        return false;
    put_second(r, family);
    (void)try_address(r);
    return true;
}

void route_meet_us(struct route *r)
{
    r->address_at = r->address_count;
    drop_from(r, r->hosts[r->host_at - 1].preference);
}

void route_put_back(struct route *r)
{
    r->address_at--;
    r->tried--;
}

bool route_put_behind(struct route *r)
{
    uint8_t family = r->address.family;

    if (!route_turn_from(r, family))
        return false;
    route_put_back(r);
    put_second(r, family);
    return true;
}

void route_answer(struct route *r, const struct message_dns_answer *a)
{
    if (r->question == DNS_ROUTE)
        answer_route(r, a);
    else if (r->comparing)
        answer_equal(r, a);
    else
        answer_addresses(r, a);
}
