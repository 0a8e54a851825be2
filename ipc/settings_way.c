/* The way of mail in words: equal for two settings that lead it the same way. */
#include "common/crc32c.h"
#include "ipc/settings.h"

void settings_print_target(const struct route_target *t, struct buf *out)
{
    bool ipv6 = view_has(t->host, ':');

    switch (t->kind) {
    case TARGET_MX:
        buf_put(out, VIEW("the MX hosts of the domain"));
        break;
    case TARGET_HOST:
        buf_printf(out, "%s://%s%.*s%s:%u",
                   t->lmtp           ? "lmtp"
                   : t->implicit_tls ? "smtps"
                                     : "smtp",
                   ipv6 ? "[" : "", VIEW_ARG(t->host), ipv6 ? "]" : "", t->port);
        break;
    case TARGET_PATH:
        buf_printf(out, "lmtp at %.*s", VIEW_ARG(t->host));
        break;
    case TARGET_DISCARD:
        buf_put(out, VIEW("discard"));
        break;
    default:
        buf_printf(out, "%u %u.%u.%u %.*s", t->code, t->enhanced.class, t->enhanced.subject,
                   t->enhanced.detail, VIEW_ARG(t->host));
        break;
    }
}

/* Words of a command may be secrets: they are told apart, and not told. */
static void print_login(const struct route_settings *r, struct buf *out)
{
    buf_printf(out, ", as %.*s with ", VIEW_ARG(r->auth_login));
    if (r->auth_command.len > 0)
        buf_printf(out, "the token of command %08x", (unsigned)crc32c(0, r->auth_command));
    else if (r->auth_token.len > 0)
        buf_printf(out, "the token in %.*s", VIEW_ARG(r->auth_token));
    else
        buf_printf(out, "the password in %.*s", VIEW_ARG(r->auth_password));
}

static void print_route(const struct settings *s, const struct route_settings *r, struct buf *out)
{
    for (size_t i = 0; i < r->target_count; i++) {
        buf_put(out, i == 0 ? VIEW_EMPTY : r->balance ? VIEW(" or ") : VIEW(", then "));
        settings_print_target(&r->targets[i], out);
        if (r->targets[i].kind == TARGET_MX)
            buf_printf(out, " at port %llu", (unsigned long long)s->delivery.port);
    }
    if (r->targets[0].kind > TARGET_PATH)
        return;
    buf_printf(out, ", TLS %s", settings_tls_name((enum route_tls)r->tls));
    if (r->ca.len > 0)
        buf_printf(out, " by %.*s", VIEW_ARG(r->ca));
    for (size_t i = 0; i < r->source_count; i++) {
        buf_put(out, VIEW(", from "));
        (void)!net_print_address(&r->sources[i], out);
    }
    if (r->auth_login.len > 0)
        print_login(r, out);
}

void settings_print_way(const struct settings *s, const struct hop *hop, struct buf *out)
{
    static const struct route_settings none = { .targets = { { .kind = TARGET_MX } },
                                                .target_count = 1 };

    if (hop->kind == HOP_LOCAL)
        buf_put(out, VIEW("a mailbox here"));
    else if (hop->kind == HOP_HOST)
        buf_printf(out, "%.*s, TLS %s", VIEW_ARG(hop->name), settings_tls_name(ROUTE_TLS_OFFERED));
    else
        print_route(s, hop->route > 0 ? &s->routes[hop->route - 1] : &none, out);
}
