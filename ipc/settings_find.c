/* Questions to the settings. */
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

/* Mailboxes */

static const struct mailbox_settings *find_in(const struct table *t, struct view key)
{
    struct table_entry *e = table_find(t, key);

    return e == NULL ? NULL : container_of(e, struct mailbox_settings, entry);
}

static const struct mailbox_settings *find_mailbox(const struct settings *s, struct view key)
{
    const struct mailbox_settings *m = find_in(&s->mailboxes, key);

    for (size_t i = 0; i < s->pattern_count && m == NULL; i++) {
        if (pattern_matches(s->patterns[i]->pattern, key))
            m = s->patterns[i];
    }
    return m != NULL ? m : find_in(&s->folders, key);
}

static const struct mailbox_settings *find_address(const struct settings *s,
                                                   const struct address *a)
{
    char room[ADDRESS_MAX + 2];
    struct buf key = BUF_ON_ARRAY(room);

    return address_key(a, &key) ? find_mailbox(s, buf_view(&key)) : NULL;
}

static const struct mailbox_settings *find_postmaster(const struct settings *s)
{
    const struct mailbox_settings *m = find_in(&s->mailboxes, postmaster);

    for (size_t i = 0; i < s->domain_count && m == NULL; i++) {
        struct address a = { .local = postmaster, .domain = s->domain_list[i]->name };

        if (s->domain_list[i]->deliver == DOMAIN_LOCAL)
            m = find_address(s, &a);
    }
    return m;
}

bool settings_mailbox(const struct settings *s, const struct address *a, struct buf *folder)
{
    const struct mailbox_settings *m = NULL;
    const struct domain_settings *d = settings_domain(s, a->domain);

    if (a->domain.len > 0 && (d == NULL || d->deliver != DOMAIN_LOCAL))
        return false;
    if (a->domain.len > 0)
        m = find_address(s, a);
    if (m == NULL && view_equal_nocase(a->local, postmaster))
        m = find_postmaster(s);
    return m != NULL && buf_put(folder, m->folder);
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
    if (d != NULL && d->deliver == DOMAIN_LOCAL)
        return hop_local(out);
    for (size_t i = 0; i < s->route_count; i++) {
        if (settings_route_matches(&s->routes[i], rcpt->domain))
            return hop_route(&s->routes[i], room, out);
    }
    return hop_mx(s, rcpt->domain, room, out);
}
