/* Next hops: where mail for a recipient goes, computed before every attempt. */
#include "common/attrs.h"
#include "ipc/settings.h"

static const struct view postmaster = VIEW_INIT("postmaster");

/* ---- matching ---- */

static bool matches_domain(struct view pattern, struct view domain)
{
    if (view_equal(pattern, VIEW("*")))
        return true;
    if (view_starts(pattern, VIEW(".")) && domain.len > pattern.len)
        return view_ends_nocase(domain, pattern);
    return view_equal_nocase(domain, pattern);
}

bool settings_route_matches(const struct route_settings *r, struct view domain)
{
    return r->domain.len == 0 || matches_domain(r->domain, domain);
}

static bool matches_sender(struct view pattern, struct view sender)
{
    if (pattern.len == 0)
        return true;
    if (view_equal(pattern, VIEW("<>")) || sender.len == 0)
        return view_equal(pattern, VIEW("<>")) && sender.len == 0;
    if (view_has(pattern, '@'))
        return view_equal_nocase(pattern, sender);
    return matches_domain(pattern, view_from(sender, view_find_last(sender, '@') + 1));
}

static bool has_tag(struct view tags, struct view tag)
{
    while (tags.len > 0) {
        if (view_equal(view_take_until(&tags, ','), tag))
            return true;
    }
    return tag.len == 0;
}

static bool takes(const struct route_settings *r, const struct envelope *e, struct view domain)
{
    bool any = r->domain.len > 0 || r->sender.len > 0 || r->login.len > 0 || r->tag.len > 0;

    return any && r->target_count > 0 && settings_route_matches(r, domain) &&
           matches_sender(r->sender, e->sender) &&
           (r->login.len == 0 || view_equal(r->login, e->login)) && has_tag(e->tags, r->tag);
}

/* The first that matches; but a rule's choice, as long as there is such a route, comes first. */
static const struct route_settings *find_route(const struct settings *s, const struct envelope *e,
                                               struct view domain)
{
    const struct route_settings *found = NULL;

    for (size_t i = 0; i < s->route_count; i++) {
        const struct route_settings *r = &s->routes[i];

        if (e->route.len > 0 && view_equal(r->name, e->route))
            return r;
        if (found == NULL && takes(r, e, domain))
            found = r;
    }
    return found;
}

/* ---- hops ---- */

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

/* What the queue calls the mail of a route that has no name. */
static void put_target(const struct route_target *t, struct buf *room)
{
    bool ipv6 = view_has(t->host, ':');

    switch (t->kind) {
    case TARGET_HOST:
        if (ipv6)
            buf_put_byte(room, '[');
        put_lower(room, t->host);
        buf_printf(room, "%s:%u", ipv6 ? "]" : "", t->port);
        break;
    case TARGET_PATH:
        buf_put(room, t->host);
        break;
    case TARGET_DISCARD:
        buf_put(room, VIEW("discard"));
        break;
    case TARGET_REPLY:
        buf_printf(room, "%u ", t->code);
        buf_put(room, t->host);
        break;
    case TARGET_MX:
    default:
        break;
    }
}

/* A name for each domain and each route. */
static void put_mx_name(const struct route_settings *r, struct view domain, struct buf *room)
{
    put_lower(room, domain);
    if (r != NULL && r->name.len > 0)
        buf_printf(room, " via %.*s", VIEW_ARG(r->name));
}

static bool hop_mx(const struct route_settings *r, struct view domain, struct buf *room,
                   struct hop *out)
{
    put_mx_name(r, domain, room);
    out->kind = HOP_MX;
    out->name = buf_view(room);
    out->host = view_sub(buf_view(room), 0, domain.len);
    return !room->overflowed;
}

static bool hop_route(const struct settings *s, const struct route_settings *r, struct view domain,
                      struct buf *room, struct hop *out)
{
    out->route = (uint32_t)(r - s->routes) + 1;
    if (r->targets[0].kind == TARGET_MX)
        return hop_mx(r, domain, room, out);
    if (r->name.len > 0)
        buf_put(room, r->name);
    else
        put_target(&r->targets[0], room);
    out->kind = HOP_ROUTE;
    out->name = buf_view(room);
    return !room->overflowed;
}

/* address-literal = "[" ( IPv4 / "IPv6:" IPv6 ) "]" ; RFC 5321, 4.1.3 */
static bool read_literal(const struct settings *s, struct view literal, struct net_address *out)
{
    (void)view_take_byte(&literal, '[');
    literal = view_sub(literal, 0, view_find(literal, ']'));
    (void)view_take_nocase(&literal, VIEW("IPv6:"));
    if (!net_parse_address(literal, out) || net_is_unusable(out))
        return false;
    return s->delivery.loopback || !net_is_loopback(out);
}

static bool hop_host(const struct settings *s, struct net_address *a, struct buf *room,
                     struct hop *out)
{
    a->port = (uint16_t)s->delivery.port;
    if (!net_print_address_port(a, room))
        return false;
    *out = (struct hop){ .kind = HOP_HOST, .name = buf_view(room) };
    out->host = view_sub(out->name, 0, view_find_last(out->name, ':'));
    if (a->family == AF_INET6)
        out->host = view_sub(out->host, 1, out->host.len - 2);
    return true;
}

/* Where the MX hosts would be: the address is the only one. */
static bool hop_literal(const struct settings *s, const struct route_settings *r,
                        struct view literal, struct buf *room, struct hop *out)
{
    char text[NET_ADDRESS_TEXT_MAX];
    struct buf address = BUF_ON_ARRAY(text);
    struct net_address a;

    if (!read_literal(s, literal, &a))
        return false;
    if (r == NULL)
        return hop_host(s, &a, room, out);
    return net_print_address(&a, &address) && hop_route(s, r, buf_view(&address), room, out);
}

bool settings_hop(const struct settings *s, const struct envelope *e, const struct address *rcpt,
                  struct buf *room, struct hop *out)
{
    const struct domain_settings *d = settings_domain(s, rcpt->domain);
    const struct route_settings *r;

    buf_clear(room);
    *out = (struct hop){ .kind = HOP_KINDS };
    if (rcpt->domain.len == 0)
        return view_equal_nocase(rcpt->local, postmaster) && hop_local(out);
    if (d != NULL && d->deliver != DOMAIN_RELAY)
        return hop_local(out);
    r = find_route(s, e, rcpt->domain);
    if (rcpt->literal && (r == NULL || r->targets[0].kind == TARGET_MX))
        return hop_literal(s, r, rcpt->domain, room, out);
    return r != NULL ? hop_route(s, r, rcpt->domain, room, out)
                     : hop_mx(NULL, rcpt->domain, room, out);
}
