/* Questions to the settings: domains, networks, next hops. */
#include "common/attrs.h"
#include "ipc/settings.h"

static const struct view postmaster = VIEW_INIT("postmaster");

const struct domain_settings *settings_domain(const struct settings *s, struct view domain)
{
    struct table_entry *e = table_find(&s->domains, domain);

    return e == NULL ? NULL : container_of(e, struct domain_settings, entry);
}

bool network_list_has(const struct network_list *l, const struct net_address *a)
{
    for (size_t i = 0; i < l->count; i++) {
        if (net_block_has(&l->blocks[i], a))
            return true;
    }
    return false;
}

bool settings_may_have_mailbox(const struct settings *s, const struct address *a)
{
    char room[ADDRESS_MAX + 2];
    struct buf key = BUF_ON_ARRAY(room);

    return s->pattern_count > 0 ||
           (address_key(a, &key) && (table_find(&s->mailboxes, buf_view(&key)) != NULL ||
                                     table_find(&s->folders, buf_view(&key)) != NULL));
}

/* Next hops */

bool settings_route_matches(const struct route_settings *r, struct view domain)
{
    if (view_equal(r->domain, VIEW("*")))
        return true;
    if (view_starts(r->domain, VIEW(".")) && domain.len > r->domain.len)
        return view_ends_nocase(domain, r->domain);
    return view_equal_nocase(domain, r->domain);
}

static void put_lower(struct buf *out, struct view text)
{
    for (size_t i = 0; i < text.len; i++)
        buf_put_byte(out, byte_lower(text.ptr[i]));
}

static bool hop_local(struct hop *out)
{
    *out = (struct hop){ .kind = HOP_LOCAL, .name = VIEW_INIT("local") };
    return true;
}

static bool hop_route(const struct route_settings *r, struct buf *room, struct hop *out)
{
    bool ipv6 = view_has(r->host, ':');

    if (ipv6)
        buf_put_byte(room, '[');
    put_lower(room, r->host);
    buf_printf(room, "%s:%u", ipv6 ? "]" : "", r->port);
    *out = (struct hop){ .kind = HOP_HOST,
                         .name = buf_view(room),
                         .host = r->host,
                         .port = r->port,
                         .tls = r->tls,
                         .implicit_tls = r->implicit_tls };
    return !room->overflowed;
}

/* address-literal = "[" ( IPv4 / "IPv6:" IPv6 ) "]" ; RFC 5321, 4.1.3 */
static bool hop_literal(const struct settings *s, struct view literal, struct buf *room,
                        struct hop *out)
{
    struct net_address a;

    (void)view_take_byte(&literal, '[');
    literal = view_sub(literal, 0, view_find(literal, ']'));
    (void)view_take_nocase(&literal, VIEW("IPv6:"));
    if (!net_parse_address(literal, &a) || net_is_unusable(&a))
        return false;
    if (net_is_loopback(&a) && !s->delivery.loopback)
        return false;
    a.port = (uint16_t)s->delivery.port;
    if (!net_print_address_port(&a, room))
        return false;
    *out = (struct hop){
        .kind = HOP_HOST, .name = buf_view(room), .port = a.port, .tls = ROUTE_TLS_OFFERED
    };
    out->host = view_sub(out->name, 0, view_find_last(out->name, ':'));
    if (a.family == AF_INET6)
        out->host = view_sub(out->host, 1, out->host.len - 2);
    return true;
}

static bool hop_mx(const struct settings *s, struct view domain, struct buf *room, struct hop *out)
{
    put_lower(room, domain);
    *out = (struct hop){ .kind = HOP_MX,
                         .name = buf_view(room),
                         .host = buf_view(room),
                         .port = (uint16_t)s->delivery.port,
                         .tls = ROUTE_TLS_OFFERED };
    return !room->overflowed;
}

bool settings_hop(const struct settings *s, const struct address *rcpt, struct buf *room,
                  struct hop *out)
{
    const struct domain_settings *d = settings_domain(s, rcpt->domain);

    buf_clear(room);
    if (rcpt->domain.len == 0)
        return view_equal_nocase(rcpt->local, postmaster) && hop_local(out);
    if (rcpt->literal)
        return hop_literal(s, rcpt->domain, room, out);
    if (d != NULL && d->deliver != DOMAIN_RELAY)
        return hop_local(out);
    for (size_t i = 0; i < s->route_count; i++) {
        if (settings_route_matches(&s->routes[i], rcpt->domain))
            return hop_route(&s->routes[i], room, out);
    }
    return hop_mx(s, rcpt->domain, room, out);
}
